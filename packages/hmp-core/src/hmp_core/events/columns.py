"""Plain values into the columns of an Arrow table, without the seconds that pyarrow takes to do it itself.

``pyarrow.array`` imports pandas, if it is installed, to see whether it was given one of its own: 0.4 to 2 s at the
first fold of a process (measured on 26.0). Columns of the plain types are therefore laid out here, as the Arrow format
says; whatever else there is, or does not fit its type, is left to pyarrow, and to its errors.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)

#: Arrow type -> type code of `array`; all have the same layout on both sides.
_NUMBERS = {
    "double": "d",
    "float": "f",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
}

_UNFIT = (TypeError, ValueError, OverflowError, AttributeError)


def arrow_table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of ``columns``, each of the type that ``schema`` says.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If a value does not fit (pyarrow's own errors are among these); the column is named.
    """
    import pyarrow as pa

    arrays = []
    for name, values in columns.items():
        try:
            arrays.append(_array(values, schema.field(name).type))
        except (ValueError, TypeError, OverflowError) as error:
            message = f"{name}: {error}"
            raise ValueError(message) from error
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def texts(**columns: Sequence[str]) -> pa.Table:
    """Return a table of text columns."""
    import pyarrow as pa

    return arrow_table(columns, pa.schema([(name, pa.string()) for name in columns]))


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    layout = _layout(str(kind))
    if layout is not None:
        try:
            present = None if all(value is not None for value in values) else _bits([v is not None for v in values])
            buffers = [present, *layout(values)]
            return pa.Array.from_buffers(kind, len(values), [b if b is None else pa.py_buffer(b) for b in buffers])
        except _UNFIT:
            pass  # pyarrow converts it, or says what is wrong with it
    if not pa.types.is_floating(kind) and any(isinstance(v, float) and not v.is_integer() for v in values):
        message = f"a number with a fraction does not fit {kind}"  # pyarrow would cut it off
        raise ValueError(message)
    return pa.array(values, type=kind, from_pandas=False)


_Layout = Callable[[Sequence[Any]], list[bytes]]


def _layout(kind: str) -> _Layout | None:
    if kind in _NUMBERS:
        return lambda values: [array(_NUMBERS[kind], [0 if v is None else v for v in values]).tobytes()]
    others: dict[str, _Layout] = {"string": _texts, "bool": _flags, "timestamp[us]": _times, "date32[day]": _days}
    return others.get(kind)


def _texts(values: Sequence[str | None]) -> list[bytes]:
    encoded = [b"" if value is None else value.encode() for value in values]
    return [array("i", accumulate(map(len, encoded), initial=0)).tobytes(), b"".join(encoded)]


def _flags(values: Sequence[bool | None]) -> list[bytes]:
    if any(value not in (None, True, False) or type(value) is int for value in values):
        raise TypeError
    return [_bits([bool(value) for value in values])]


def _times(values: Sequence[datetime | None]) -> list[bytes]:
    return [array("q", [0 if value is None else (value - _EPOCH) // _MICROSECOND for value in values]).tobytes()]


def _days(values: Sequence[date | None]) -> list[bytes]:
    if any(isinstance(value, datetime) for value in values):
        raise TypeError
    return [array("i", [0 if value is None else value.toordinal() - 719163 for value in values]).tobytes()]


def _bits(flags: Sequence[bool]) -> bytes:
    """Return flags as Arrow keeps them: eight a byte, the first in the lowest bit."""
    packed = bytearray((len(flags) + 7) // 8)
    for index, flag in enumerate(flags):
        packed[index >> 3] |= flag << (index & 7)
    return bytes(packed)


def import_arrow() -> None:
    """Import what rows are folded with, and tables answered: 0.1 s the first time, and nobody should wait for that."""
    import pyarrow  # noqa: F401
