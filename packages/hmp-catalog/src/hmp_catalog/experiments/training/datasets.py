"""What a pipeline is trained on: matrices and targets in memory, checked, with the hash of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.experiments.replaying import names_of
from hmp_catalog.experiments.training import reading
from hmp_catalog.plain import word
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: What a mapping may hold.
_KEYS = ("X", "y", "X_test", "y_test", "groups", "wavelengths", "name")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples to train on, and samples that no training sees.

    Each X is a tuple of matrices, one of each source, with a row for each sample; ``y`` and ``y_test`` have the
    shape ``(n,)``, or ``(n, k)`` where there are several targets. ``inputs`` are the files and cache entries that
    all of it came from. ``features`` are the names of the columns of X, where it came from a table with names.
    """

    name: str
    X: tuple[NDArray[Any], ...]
    y: NDArray[Any]
    X_test: tuple[NDArray[Any], ...] | None = None
    y_test: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    wavelengths: NDArray[Any] | None = None
    features: tuple[str, ...] | None = None
    inputs: tuple[Any, ...] = field(default=())

    @property
    def n_samples(self) -> int:
        """How many samples there are, those of the test part too."""
        return len(self.y) + (0 if self.X_test is None else len(self.X_test[0]))

    @property
    def n_features(self) -> int:
        """How many columns there are, of all sources."""
        return sum(each.shape[1] for each in self.X)

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the arrays: their bytes, shapes and types, and what each is for."""
        found = hashlib.sha256()
        test = self.X_test or ()
        for part, arrays in (("X", self.X), ("y", (self.y,)), ("X_test", test), ("y_test", (self.y_test,))):
            _update(found, part, arrays)
        _update(found, "groups", (self.groups,))
        _update(found, "wavelengths", (self.wavelengths,))
        return found.hexdigest()


def _update(found: Any, part: str, arrays: Sequence[NDArray[Any] | None]) -> None:
    for array in arrays:
        if array is not None:
            found.update(f"{part} {array.dtype.str} {array.shape};".encode())
            found.update(np.ascontiguousarray(array).tobytes())


def read(given: Any, target: str | Sequence[str] | None, root: Path) -> Dataset:
    """Return what is to be trained on, in any of the forms that `hmp_catalog.experiments.training.run` takes.

    Parameters
    ----------
    given
        Arrays, a frame, a mapping, a path, a cache entry, or a `Dataset`.
    target
        The columns of a table that are predicted.
    root
        The workspace, which the path of a cache entry is relative to.

    Raises
    ------
    InvalidInput
        If something is missing, empty, not numbers, NaN, or of another length; the message says what.
    PathNotFound
        If there is no such file.
    """
    if isinstance(given, Dataset):
        return given
    found = _parts(given, target, root)
    inputs = tuple(found.pop("inputs", ()))
    named = word(found.pop("name", None) or "dataset", "name of the dataset")
    features, test = found.get("features", names_of(found.get("X"))), found.get("X_test")
    wavelengths = found.get("wavelengths")
    made = Dataset(
        name=named,
        X=_matrices(found.get("X"), "X"),
        y=_target(found.get("y"), "y"),
        X_test=None if test is None else _matrices(reading.in_order(test, features, "X_test"), "X_test"),
        y_test=None if found.get("y_test") is None else _target(found["y_test"], "y_test"),
        groups=None if found.get("groups") is None else _labels(found["groups"], "groups"),
        wavelengths=None if wavelengths is None else _labels(wavelengths, "wavelengths"),
        features=None if features is None else tuple(features),
        inputs=inputs,
    )
    _require_consistent(made)
    return made


def _parts(given: Any, target: str | Sequence[str] | None, root: Path) -> dict[str, Any]:
    if target is not None and isinstance(given, (Mapping, tuple)):
        message = f"target is {target!r:.80}, a column of a table; of arrays the targets are y"
        raise InvalidInput(message)
    if isinstance(given, Mapping):
        if unknown := [key for key in given if key not in _KEYS]:
            message = f"the dataset has {', '.join(map(str, unknown))}, expected {', '.join(_KEYS)}"
            raise InvalidInput(message)
        return dict(given)
    if isinstance(given, tuple):
        if len(given) not in (2, 4):
            message = f"the dataset is a tuple of {len(given)}, expected (X, y) or (X_train, y_train, X_test, y_test)"
            raise InvalidInput(message)
        return dict(zip(("X", "y", "X_test", "y_test"), given, strict=False))
    if is_frame(given):
        return reading.of_table(given, target, "the frame")
    return reading.of_source(given, target, root)


def is_frame(value: Any) -> bool:
    """Return whether a value is a frame, of pandas or polars."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


# ── X ────────────────────────────────────────────────────────────────────────────────────────────────


def _matrices(value: Any, where: str) -> tuple[NDArray[Any], ...]:
    if isinstance(value, (list, tuple)) and value and all(is_frame(v) or getattr(v, "ndim", 0) == 2 for v in value):
        sources = tuple(_matrix(each, f"{where}[{n}]") for n, each in enumerate(value))
        if len({len(each) for each in sources}) > 1:
            message = (
                f"the sources of {where} have {', '.join(str(len(s)) for s in sources)} rows, expected as many each"
            )
            raise InvalidInput(message)
        return sources
    return (_matrix(value, where),)


def _matrix(value: Any, where: str) -> NDArray[Any]:
    if value is None:
        message = f"the dataset has no {where}"
        raise InvalidInput(message)
    if is_frame(value):
        return reading.stacked({str(name): value[name] for name in value.columns}, where)
    try:
        found = np.asarray(value)
    except ValueError as error:
        message = f"{where} is no matrix: {error}"
        raise InvalidInput(message) from error
    if found.ndim != 2:
        remedy = "; give one column as X.reshape(-1, 1)" if found.ndim == 1 else ""
        message = f"{where} has shape {found.shape}, expected a matrix of samples by features{remedy}"
        raise InvalidInput(message)
    return _numbers(found, where)


def _numbers(found: NDArray[Any], where: str) -> NDArray[Any]:
    if found.dtype.kind not in "biuf":
        message = f"{where} is of type {found.dtype}, expected numbers; encode what is not before it is trained on"
        raise InvalidInput(message)
    if not found.size:
        message = f"{where} is empty: its shape is {found.shape}"
        raise InvalidInput(message)
    _require_finite(found, where)
    return found


def _require_finite(found: NDArray[Any], where: str) -> None:
    if found.dtype.kind == "f" and not (finite := np.isfinite(found)).all():
        at = tuple(int(n) for n in np.argwhere(~finite)[0])
        message = f"{where} has {int((~finite).sum())} NaN or infinite values, the first at {list(at)}; leave them out"
        raise InvalidInput(message)


# ── y and groups ─────────────────────────────────────────────────────────────────────────────────────


def _target(value: Any, where: str) -> NDArray[Any]:
    found = _labels(value, where)
    if found.ndim == 2 and found.shape[1] == 1:
        return found.reshape(-1)
    return found


def _labels(value: Any, where: str) -> NDArray[Any]:
    """Return numbers or text, of a column or several."""
    if value is None:
        message = f"the dataset has no {where}"
        raise InvalidInput(message)
    try:
        found = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except ValueError as error:
        message = f"{where} is neither a column nor a matrix: {error}"
        raise InvalidInput(message) from error
    if found.dtype.kind in "OT" and found.size and all(isinstance(each, str) for each in found.reshape(-1).tolist()):
        found = found.astype(np.str_)
    if found.ndim not in (1, 2):
        message = f"{where} has shape {found.shape}, expected a value for each sample, or a row"
        raise InvalidInput(message)
    if found.dtype.kind == "U" and found.size:
        return found
    return _numbers(found, where)


def _require_consistent(made: Dataset) -> None:
    pairs = [("X", made.X[0], "y", made.y)]
    if made.groups is not None:
        pairs.append(("X", made.X[0], "groups", made.groups))
    if made.X_test is not None and made.y_test is not None:
        pairs.append(("X_test", made.X_test[0], "y_test", made.y_test))
    for one, first, other, second in pairs:
        if len(first) != len(second):
            message = f"{one} has {len(first)} rows and {other} {len(second)}, expected as many"
            raise InvalidInput(message)
    if made.X_test is None and made.y_test is not None:
        message = "the dataset has y_test and no X_test"
        raise InvalidInput(message)
    if made.X_test is not None and [s.shape[1] for s in made.X] != [s.shape[1] for s in made.X_test]:
        message = f"X has {[s.shape[1] for s in made.X]} columns and X_test {[s.shape[1] for s in made.X_test]}"
        raise InvalidInput(message)
    if made.y_test is not None and made.y.shape[1:] != made.y_test.shape[1:]:
        message = f"y has shape {made.y.shape} and y_test {made.y_test.shape}, expected as many targets"
        raise InvalidInput(message)
