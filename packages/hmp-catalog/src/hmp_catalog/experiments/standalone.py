"""What a script that predicts on its own does: this text stands in every ``.n4a.py``, after that of `replaying`.

Nothing of hmp is there when it runs: the standard library, numpy, joblib and the packages of the estimators are all it
has. `script` leaves out what is imported from hmp and fills the three tables below.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hmp_catalog.experiments.replaying import features_of, places, replay

#: Where the chain comes from, as the manifest of a bundle says it; the chain itself; its artefacts by their ids:
#: format, SHA-256, and the bytes as base64.
ABOUT: dict[str, Any] = {}
CHAIN: dict[str, Any] = {}
ARTIFACTS: dict[str, tuple[str, str, str]] = {}

_loaded: dict[str, object] = {}
#: What stands in a table where a number is missing: a first row with it is no header, but a row that cannot be used.
_MISSING = frozenset({"", "-", "?", "na", "n/a", "#n/a", "null", "none", "missing"})


def predict(X: Any, wavelengths: Any = None) -> Any:  # noqa: N803 - the word of the field
    """Return what the chain predicts for the rows of a matrix; a list of matrices where it has several sources."""
    return replay(CHAIN, load_artifact, X, wavelengths=wavelengths)


def load_artifact(artifact_id: str) -> object:
    """Return a fitted object; it is unpickled only if its bytes are those that were exported."""
    if artifact_id not in _loaded:
        if artifact_id not in ARTIFACTS:
            message = f"this script has no artefact {artifact_id}: it was cut short or changed; export it again"
            raise ValueError(message)
        format_, sha256, text = ARTIFACTS[artifact_id]
        data = base64.b64decode(text)
        if hashlib.sha256(data).hexdigest() != sha256:
            message = f"artefact {artifact_id} of this script has been changed: it is not unpickled; export it again"
            raise ValueError(message)
        _loaded[artifact_id] = _unpickled(data, format_)
    return _loaded[artifact_id]


def _unpickled(data: bytes, format_: str) -> object:
    if format_ != "joblib":
        return pickle.loads(data)
    found: object = importlib.import_module("joblib").load(io.BytesIO(data))
    return found


def predict_from_file(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str] | None = None,
    delimiter: str = ",",
    *,
    header: bool | None = None,
    wavelengths: Any = None,
) -> Any:
    """Return what the chain predicts for the rows of a CSV file, and write it to another if one is named.

    A first row in which a word stands is a header and left out. Say ``header=True`` where the names of the columns are
    numbers themselves, as wavelengths are. Where the chain knows the names of its columns, those of a header are taken
    by their names, and others passed over; without a header all are taken in order. What is written has no header: one
    row of numbers or labels a sample, each number so that it reads back to the last bit.
    """
    samples = read_csv(input_path, delimiter, header=header, features=features_of(CHAIN))
    predictions = predict(samples, wavelengths)
    if output_path is not None:
        write_csv(output_path, predictions, delimiter)
    return predictions


def read_csv(
    path: str | os.PathLike[str],
    delimiter: str = ",",
    *,
    header: bool | None = None,
    features: list[str] | None = None,
) -> Any:
    """Return the numbers of a CSV file as a matrix, of ``features`` if it names them; see `predict_from_file`."""
    rows: list[Any] = []
    order: list[int] | None = None
    width = 0
    first = True
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                if first and (_is_header(row) if header is None else header):
                    if features is not None:
                        order, width = places(row, features, str(path)), len(row)
                else:
                    width = width or len(row)
                    rows.append(_numbers(row, f"{path}, line {reader.line_num}", width, order))
                first = False
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"{path} is not a CSV file in UTF-8: {error}"
        raise ValueError(message) from error
    if not rows:
        message = f"{path} has no row of numbers"
        raise ValueError(message)
    return np.array(rows, dtype=np.float64)


def _is_header(row: list[str]) -> bool:
    """Return whether a word stands in a row: neither a number nor what stands for a missing one."""
    return any(cell.strip().lower() not in _MISSING and _number(cell) is None for cell in row)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python takes 1_000 for a number
    except ValueError:
        return None


def _numbers(row: list[str], where: str, expected: int, order: list[int] | None) -> Any:
    if len(row) != expected:
        message = f"{where} has {len(row)} columns, expected {expected} as in the rows before; is the delimiter right?"
        raise ValueError(message)
    taken = range(len(row)) if order is None else order
    found = [_number(row[at]) for at in taken]
    if None in found:
        at = taken[found.index(None)]
        message = f"{where}, column {at + 1}: {row[at]!r:.60} is not a number; is the delimiter right?"
        raise ValueError(message)
    return np.array(found, dtype=np.float64)


def write_csv(path: str | os.PathLike[str], predictions: Any, delimiter: str = ",") -> None:
    """Write predictions, one sample a row: all of them or nothing."""
    target = Path(path)
    beside = target.with_name(f".{target.name[:200]}.{os.getpid()}.tmp")
    try:
        with beside.open("w", newline="", encoding="utf-8") as file:
            _write_rows(file, predictions, delimiter)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _write_rows(file: Any, predictions: Any, delimiter: str) -> None:
    values = np.asarray(predictions)
    rows = values.reshape(len(values), -1).tolist()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
        [repr(value) if isinstance(value, float) else value for value in row] for row in rows
    )


def main(arguments: list[str]) -> int:
    """Predict for a CSV file; print the predictions, or write them to another file."""
    if arguments in (["-h"], ["--help"]):
        print(_usage())
        return 0
    files = [each for each in arguments if each != "--header"]
    if len(files) not in {1, 2} or any(each.startswith("--") for each in files):
        print(_usage(), file=sys.stderr)
        return 1
    try:
        predictions = predict_from_file(*files, header=True if "--header" in arguments else None)
        if len(files) == 1:
            _write_rows(sys.stdout, predictions, ",")
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError, AttributeError) as error:
        return _failed(error)
    except pickle.UnpicklingError as error:
        return _failed(error)
    return 0


def _usage() -> str:
    return (
        f"usage: python {Path(sys.argv[0]).name} input.csv [output.csv] [--header]\n"
        "--header: the first row names the columns, though it is of numbers; one with words is left out anyway"
    )


def _failed(error: BaseException) -> int:
    print(f"{Path(sys.argv[0]).name}: {type(error).__name__}: {error}", file=sys.stderr)
    return 1
