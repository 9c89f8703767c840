"""The dense arrays of a prediction: flattened on the way in, given their shapes and labels on the way out."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hmp_catalog.plain import plain
from hmp_core.errors import CorruptError, InvalidInput
from hmp_core.events.columns import texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized

    from numpy.typing import NDArray

#: What may be text, what keeps its shape, and what is numbers in one row.
_LABELS: Final = ("y_true", "y_pred")
_SHAPED: Final = (*_LABELS, "y_proba")
_FLAT: Final = ("sample_indices", "weights")
#: Each array and its column; the bytes of a journal are little-endian wherever they are read.
_TYPES: Final = dict.fromkeys((*_SHAPED, *_FLAT), np.dtype("<f8")) | {"sample_indices": np.dtype("<i8")}
#: Beyond it a float64 does not tell a whole number from the next.
_EXACT: Final = 1 << 53


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of one prediction as their columns keep them: flat, in row-major order, never changed.

    The names are those of the columns of ``prediction_arrays``.
    """

    prediction_id: str
    y_true: NDArray[np.float64] | None
    y_pred: NDArray[np.float64] | None
    y_proba: NDArray[np.float64] | None = None
    sample_indices: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    #: of what has not one dimension
    y_true_shape: tuple[int, ...] | None = None
    y_pred_shape: tuple[int, ...] | None = None
    y_proba_shape: tuple[int, ...] | None = None
    #: labels that are text; y_true and y_pred are positions in them
    classes: tuple[str, ...] | None = None


#: The columns of the table, in its order.
_COLUMNS: Final = tuple(each.name for each in fields(Arrays))


def arrays(
    prediction_id: str, y_true: Any, y_pred: Any, y_proba: Any = None, sample_indices: Any = None, weights: Any = None
) -> Arrays:
    """Return the arrays of a prediction as they are kept: copies, checked.

    Parameters
    ----------
    prediction_id : str
        The prediction they belong to.
    y_true, y_pred : array_like or None
        Numbers, truth values, or labels that are text, shape ``(n_samples, ...)``.
    y_proba : array_like, optional
        Numbers, shape ``(n_samples, ...)``.
    sample_indices : array_like, optional
        Whole numbers of 64 bits, shape ``(n_samples,)``.
    weights : array_like, optional
        Numbers, shape ``(n_samples,)``.

    Raises
    ------
    InvalidInput
        For what is neither numbers nor text (complex numbers, times, objects, missing values, rows of unequal length),
        whole numbers that a float64 would round, labels where the other side has numbers, and unequal lengths.

    Examples
    --------
    >>> found = arrays("p1", [[1, 2], [3, 4]], [[1, 2], [3, 5]])
    >>> found.y_pred.tolist(), found.y_pred_shape
    ([1.0, 2.0, 3.0, 5.0], (2, 2))
    """
    given = dict(zip(_TYPES, (y_true, y_pred, y_proba, sample_indices, weights), strict=True))
    found = {name: _array(value, name) for name, value in given.items() if value is not None}
    _require_one_length(found)
    classes = _classes(found)
    flat = {name: _flat(array, name, classes) for name, array in found.items()}
    shapes = {f"{name}_shape": array.shape for name, array in found.items() if array.ndim != 1}
    return Arrays(prediction_id, **({"y_true": None, "y_pred": None} | flat | shapes), classes=classes)  # type: ignore[arg-type]


def _array(value: Any, name: str) -> NDArray[Any]:
    """Return what numpy makes of a value, where it makes something that can be kept."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        message = f"{name} has masked values; fill them, with NaN or a number"
        raise InvalidInput(message)
    try:
        found = np.asarray(value)
        if found.dtype.kind in "UT" and not isinstance(value, np.ndarray):
            found = np.asarray(value, dtype=object)  # numpy writes the numbers beside text as text
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        message = f"{name} is no array of numbers or text: {error}"
        raise InvalidInput(message) from error
    if found.ndim == 0 or (found.ndim > 1 and name in _FLAT):
        wanted = "one dimension" if name in _FLAT else "one dimension or more"
        message = f"{name} is a {type(value).__name__} of shape {found.shape}, expected {wanted}, samples first"
        raise InvalidInput(message)
    return found


def _require_one_length(found: Mapping[str, NDArray[Any]]) -> None:
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        message = f"the arrays of a prediction have one length, got {lengths}"
        raise InvalidInput(message)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────


def _classes(found: Mapping[str, NDArray[Any]]) -> tuple[str, ...] | None:
    """Return the labels that are text, in order; None where there are numbers."""
    sides = {name: array for name, array in found.items() if name in _LABELS}
    labels = {name: _labels(array, name) for name, array in sides.items() if array.dtype.kind in "UTO"}
    if not labels:
        return None
    if len(labels) < len(sides):
        message = f"{next(iter(labels))} is text and the other of {' and '.join(sides)} is not; give both as labels"
        raise InvalidInput(message)
    return tuple(sorted(set().union(*labels.values())))


def _labels(array: NDArray[Any], name: str) -> set[str]:
    values = array.reshape(-1).tolist()
    if others := sorted({kind.__name__ for kind in set(map(type, values)) if not issubclass(kind, str)}):
        message = f"{name} holds objects ({', '.join(others)}), expected an array of numbers or of text"
        raise InvalidInput(message)
    return {plain(each, f"a label of {name}") for each in set(values)}


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────


def _flat(array: NDArray[Any], name: str, classes: tuple[str, ...] | None) -> NDArray[Any]:
    """Return a copy of an array as its column keeps it; it is not written to any more."""
    flat: NDArray[Any]
    if name in _LABELS and classes is not None:
        positions = {label: n for n, label in enumerate(classes)}
        flat = np.fromiter((positions[label] for label in array.reshape(-1).tolist()), np.float64, array.size)
    elif array.dtype.kind not in "biuf":
        message = f"{name} is of type {array.dtype}, expected numbers"
        raise InvalidInput(message)
    else:
        flat = (_whole if name == "sample_indices" else _real)(array, name).reshape(-1)
    flat.setflags(write=False)
    return flat


def _real(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    if array.dtype.kind in "iu" and array.size and not -_EXACT <= int(array.min()) <= int(array.max()) <= _EXACT:
        message = f"{name} has whole numbers beyond 2**53, which a float64 would round; give them as text"
        raise InvalidInput(message)
    try:
        with np.errstate(over="raise"):
            return np.array(array, dtype=np.float64, order="C")
    except FloatingPointError as error:  # of a long double
        message = f"{name} has numbers that are too great for a float64"
        raise InvalidInput(message) from error


def _whole(array: NDArray[Any], name: str) -> NDArray[np.int64]:
    kind = array.dtype.kind
    exact = kind in "iu" or (kind == "f" and bool((np.isfinite(array) & (np.trunc(array) == array)).all()))
    most = _EXACT if kind == "f" else (1 << 63) - 1  # a float beyond may have been another number
    if not exact or (array.size and not (-most - 1 <= int(array.min()) and int(array.max()) <= most)):
        message = f"{name} is of type {array.dtype}, expected whole numbers of 64 bits"
        raise InvalidInput(message)
    return np.array(array, dtype=np.int64, order="C")


# ── in a journal ─────────────────────────────────────────────────────────────────────────────────────


def to_payload(found: Arrays) -> dict[str, Any]:
    """Return arrays as JSON keeps them: the bytes of their columns in base64 (RFC 4648, section 4)."""
    payload: dict[str, Any] = {}
    for column in _COLUMNS:
        value = getattr(found, column)
        if value is None:
            continue
        if column in _TYPES:
            value = base64.b64encode(value.astype(_TYPES[column], copy=False).data).decode("ascii")
        payload[column] = list(value) if isinstance(value, tuple) else value
    return payload


def from_payload(payload: Mapping[str, Any]) -> Arrays:
    """Return the arrays that `to_payload` gave.

    Raises
    ------
    CorruptError
        If they cannot be read.
    """
    found: dict[str, Any] = {"y_true": None, "y_pred": None}
    try:
        for column in _COLUMNS:
            value = payload.get(column)
            if column in _TYPES and value is not None:
                data = base64.b64decode(value, validate=True)
                found[column] = np.frombuffer(data, dtype=_TYPES[column])
            elif value is not None:
                found[column] = tuple(value) if isinstance(value, list) else value
        return Arrays(**found)
    except (TypeError, ValueError) as error:
        message = f"the arrays of prediction {payload.get('prediction_id')} cannot be read: {error}"
        raise CorruptError(message) from error


# ── in the table ─────────────────────────────────────────────────────────────────────────────────────


def to_table(rows: Sequence[Arrays]) -> pa.Table:
    """Return arrays as rows of ``prediction_arrays``.

    The buffers are laid out here, as the Arrow format says: ``pyarrow.array`` imports pandas, 0.8 s at the first flush.
    """
    columns = {"prediction_id": texts(id=[row.prediction_id for row in rows])["id"]}
    for name, kind in _TYPES.items():
        columns[name] = _lists([getattr(row, name) for row in rows], kind)
    for name in _SHAPED:
        columns[f"{name}_shape"] = _lists([getattr(row, f"{name}_shape") for row in rows], np.dtype(np.int64))
    labels = texts(each=[label for row in rows for label in row.classes or ()])["each"].combine_chunks()
    columns["classes"] = _nested([row.classes for row in rows], labels)
    return pa.table(columns)


def _lists(flats: Sequence[NDArray[Any] | tuple[int, ...] | None], kind: np.dtype[Any]) -> pa.Array:
    """Return a column of lists that lie behind one another: one copy, and no Python object for a number."""
    values = np.concatenate([np.empty(0, kind), *(np.asarray(flat, kind) for flat in flats if flat is not None)])
    numbers = pa.Array.from_buffers(pa.from_numpy_dtype(kind), values.size, [None, pa.py_buffer(values)])
    return _nested(flats, numbers)


def _nested(flats: Sequence[Sized | None], values: pa.Array) -> pa.Array:
    """Return ``values`` as lists of the lengths of ``flats``; offsets of 32 bits are 16 GiB in one transaction."""
    ends = np.cumsum([0] + [0 if flat is None else len(flat) for flat in flats], dtype=np.int64).astype(np.int32)
    present = np.packbits(np.array([flat is not None for flat in flats], np.bool_), bitorder="little")
    buffers = [pa.py_buffer(present), pa.py_buffer(ends)]
    return pa.Array.from_buffers(pa.list_(values.type), len(flats), buffers, children=[values])


def from_row(row: Mapping[str, Any]) -> dict[str, NDArray[Any] | None]:
    """Return the arrays of a row of ``prediction_arrays``, with their shapes and labels; they are the caller's own.

    Parameters
    ----------
    row : mapping
        The columns of the row, as Arrow scalars, lists or arrays.

    Raises
    ------
    CorruptError
        If shapes or labels do not fit the numbers.

    Examples
    --------
    >>> kept = to_table([arrays("p1", ["low", "high"], ["low", "low"])])
    >>> from_row(kept.to_pylist()[0])["y_true"]
    array(['low', 'high'], dtype='<U4')
    """
    try:
        return {name: _restored(row, name) for name in _TYPES}
    except (ValueError, IndexError) as error:
        message = f"the arrays of prediction {row['prediction_id']} are not as they were written: {error}"
        raise CorruptError(message) from error


def _restored(row: Mapping[str, Any], name: str) -> NDArray[Any] | None:
    flat = _numpy(row[name], _TYPES[name])
    if flat is None:
        return None
    classes = _listed(row["classes"])
    if name in _LABELS and classes is not None:
        flat = np.array(classes, dtype=np.str_)[flat.astype(np.int64)]
    shape = _listed(row[f"{name}_shape"]) if name in _SHAPED else None
    return flat if shape is None else flat.reshape(shape)


def _listed(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _numpy(value: Any, kind: np.dtype[Any]) -> NDArray[Any] | None:
    if isinstance(value, pa.Scalar):
        value = value.values if value.is_valid else None
    if isinstance(value, pa.DoubleArray | pa.Int64Array) and value.null_count == 0 and len(value):
        # its own way to numpy imports pandas: 0.4 s the first time
        stored = "f8" if isinstance(value, pa.DoubleArray) else "i8"
        value = np.frombuffer(value.buffers()[1], stored, len(value), value.offset * 8)
    elif isinstance(value, pa.Array):
        value = value.to_pylist()
    return None if value is None else np.array(value, dtype=kind)
