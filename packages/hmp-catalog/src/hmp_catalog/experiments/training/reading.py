"""Tables that a dataset is read from: frames, CSV and Parquet files, folders of them, entries of the cache."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.errors import ReplayError
from hmp_catalog.experiments import libraries
from hmp_catalog.experiments.replaying import by_name, names_of
from hmp_catalog.inputs import InputEntry
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.paths import from_relative, to_local

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What the files of a folder are called, without regard to case: training X and y, then test X and y.
_NAMES = (("xcal", "ycal", "xval", "yval"), ("xtrain", "ytrain", "xtest", "ytest"), ("x", "y", "xtest", "ytest"))
_DELIMITERS = (";", "\t", "|", ",")


def of_source(given: Any, target: str | Sequence[str] | None, root: Path) -> dict[str, Any]:
    """Return the parts of a dataset of a file, a folder or a cache entry.

    Raises
    ------
    InvalidInput
        If it is none of these, or cannot be read as one.
    PathNotFound
        If there is no such file.
    """
    if isinstance(given, InputEntry):
        where = _of_entry(given, root)
        named = getattr(given, "name", None) or given.variable or where.stem
    elif isinstance(given, (str, os.PathLike)) or hasattr(given, "protocol"):
        where = to_local(given)
        named = where.name if where.is_dir() else where.stem
    else:
        message = (
            f"the dataset is a {type(given).__name__}, expected arrays (X, y), a mapping with X and y, a frame, a "
            "path, or an entry of the cache"
        )
        raise InvalidInput(message)
    if not where.exists():
        message = f"{where}: no such dataset"
        raise PathNotFound(message, path=str(where))
    found = _of_folder(where, target) if where.is_dir() else of_table(_table(where), target, str(where))
    return {"inputs": [given if isinstance(given, InputEntry) else where]} | found | {"name": str(named)}


def _of_entry(entry: InputEntry, root: Path) -> Path:
    here = getattr(entry, "path", None)
    return from_relative(entry.relative_path, home_of(entry, root)) if here is None else to_local(here)


def home_of(given: Any, root: Path) -> Path:
    """Return the workspace of a cache entry, which may tell its own; of a file, ``root``."""
    own = getattr(given, "workspace", None) if isinstance(given, InputEntry) else None
    return root if own is None else to_local(own)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────


def of_table(frame: Any, target: str | Sequence[str] | None, where: str) -> dict[str, Any]:
    """Return X and y of a frame: the target columns, and all others.

    Raises
    ------
    InvalidInput
        If no target is named, or not one of its columns, or another column is not numbers.
    """
    columns = [str(name) for name in frame.columns]
    if target is None:
        message = f"{where} is a table: name the column that is predicted, target=..., one of {', '.join(columns[:20])}"
        raise InvalidInput(message)
    targets = _targets(target, columns, where)
    features = {name: frame[key] for name, key in zip(columns, frame.columns, strict=True) if name not in targets}
    if not features or not targets:
        message = f"{where} needs a target and another column at least"
        raise InvalidInput(message)
    sought = [np.asarray(frame[frame.columns[columns.index(name)]].to_numpy()) for name in targets]
    return {
        "X": stacked(features, where),
        "y": sought[0] if len(sought) == 1 else np.column_stack(sought),
        "features": list(features) if names_of(frame) else None,
    }


def _targets(target: str | Sequence[str], columns: Sequence[str], where: str) -> list[str]:
    targets = [target] if isinstance(target, str) else list(target)
    if missing := [name for name in targets if name not in columns]:
        message = f"{where} has no column {', '.join(map(str, missing))}, expected of {', '.join(columns[:20])}"
        raise InvalidInput(message)
    return targets


def stacked(columns: Mapping[str, Any], where: str) -> NDArray[Any]:
    """Return columns of numbers as a matrix.

    Raises
    ------
    InvalidInput
        If one of them is not numbers, or has no value somewhere; the message says which.
    """
    found = {name: np.asarray(column.to_numpy()) for name, column in columns.items()}
    for name, column in found.items():
        if column.dtype.kind not in "biuf":
            message = (
                f"column {name!r} of {where} is of type {column.dtype}, expected numbers; encode it or leave it out"
            )
            raise InvalidInput(message)
        if not np.isfinite(column).all():
            message = f"column {name!r} of {where} has no finite value in row {int(np.isfinite(column).argmin())}"
            raise InvalidInput(message)
    return np.column_stack(list(found.values()))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


def _of_folder(folder: Path, target: str | Sequence[str] | None) -> dict[str, Any]:
    files = {p.stem.lower(): p for p in sorted(folder.iterdir()) if p.suffix.lower() in {".csv", ".parquet"}}
    names = next((names for names in _NAMES if names[0] in files and names[1] in files), None)
    if names is None:
        message = f"{folder} has neither Xcal.csv and Ycal.csv nor X.csv and Y.csv (Parquet will do)"
        raise InvalidInput(message)
    found: dict[str, Any] = {"inputs": [files[name] for name in names if name in files]}
    named: list[str] = []
    for x, y, suffix in ((names[0], names[1], ""), (names[2], names[3], "_test")):
        if x not in files:
            continue
        targets = _table(files[y]) if y in files else None
        frame = _features(files[x], None if targets is None else len(targets))
        if not suffix:
            found |= {"wavelengths": _wavelengths(frame), "features": names_of(frame)}
        frame = in_order(frame, found["features"], str(files[x]))
        found[f"X{suffix}"] = stacked({str(name): frame[name] for name in frame.columns}, str(files[x]))
        if targets is not None:
            # those of the test stand anywhere, if they are called the same
            same = named if set(named) == set(targets.columns) else targets.columns
            named = _targets(target or same, targets.columns, str(files[y]))
            columns = [np.asarray(targets[name].to_numpy()) for name in named]
            found[f"y{suffix}"] = columns[0] if len(columns) == 1 else np.column_stack(columns)
    return found


def in_order(frame: Any, features: Sequence[str] | None, where: str) -> Any:
    """Return a frame with these columns, if both have names.

    Raises
    ------
    InvalidInput
        If one of them is not there.
    """
    try:
        return by_name(frame, None if features is None else list(features), where)
    except ReplayError as error:
        raise InvalidInput(error.message) from error


def _features(file: Path, rows: int | None) -> Any:
    """Return the frame of a file of features.

    A first line of numbers is a row of data, unless there is one row more than there are targets.
    """
    found = _table(file)
    if file.suffix.lower() == ".csv" and rows is not None and len(found) == rows + 1 and _unnamed(found):
        found = _table(file, header=True)
    return found


def _wavelengths(frame: Any) -> NDArray[Any] | None:
    """Return the numbers that columns are named after, as wavelengths are."""
    if _unnamed(frame) or not all(_is_number(name) for name in frame.columns):
        return None
    return np.array([float(name) for name in frame.columns])


def _unnamed(frame: Any) -> bool:
    return all(str(name).startswith("column_") for name in frame.columns)


def _table(file: Path, *, header: bool | None = None) -> Any:
    """Return the frame of a CSV or Parquet file; whether it has a header is seen from it."""
    polars = libraries.polars()
    kind = file.suffix.lower()
    if kind not in {".csv", ".txt", ".tsv", ".parquet"}:
        message = f"{file}: expected a CSV or Parquet file, or a folder of them; give the arrays of others"
        raise InvalidInput(message)
    try:
        if kind == ".parquet":
            return polars.read_parquet(file, hive_partitioning=False)
        return polars.read_csv(file, infer_schema_length=None, **_dialect(file, header=header))
    except (polars.exceptions.PolarsError, OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{file} cannot be read: {error}"
        raise InvalidInput(message) from error


def _dialect(file: Path, *, header: bool | None) -> dict[str, Any]:
    """Return how a CSV file is written: what parts its cells, a point or a comma in its numbers, a header or none."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        first, second = lines.readline().rstrip("\r\n"), lines.readline().rstrip("\r\n")
    counts = {delimiter: first.count(delimiter) for delimiter in _DELIMITERS}
    delimiter = next((each for each in _DELIMITERS[:3] if counts[each]), ",")
    if not any(counts.values()) and second.count(",") == 1:
        delimiter = ";"  # one column of numbers with a decimal comma
    cells = next(csv.reader([first], delimiter=delimiter), [])
    later = next(csv.reader([second], delimiter=delimiter), cells)
    comma = delimiter != "," and any("," in cell and _is_number(cell.replace(",", ".")) for cell in [*cells, *later])
    if header is None:
        header = not all(_is_number(cell.replace(",", ".") if comma else cell) for cell in cells)
    return {"separator": delimiter, "decimal_comma": comma, "has_header": header}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
