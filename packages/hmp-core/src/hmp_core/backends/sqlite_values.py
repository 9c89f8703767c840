"""What a value of ours is in SQLite, and what it is again: a file knows integers, reals, text and bytes, no more.

A column's declared type says what its values mean. What was computed has no declared type, and is what it looks like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_core.errors import StatementError

if TYPE_CHECKING:
    import pyarrow as pa

#: SQLite turns a NaN into NULL; as this text it is kept, and lies above all numbers, as in DuckDB.
_NAN = "NaN"


def stored(value: Any) -> Any:
    """Return a value as SQLite keeps it.

    Raises
    ------
    TypeError
        If it cannot be kept: no default of the engine guesses.
    OverflowError
        If it is an integer beyond 64 bits.

    Examples
    --------
    >>> stored(datetime(2001, 2, 3, 4, 5, tzinfo=UTC))
    '2001-02-03 04:05:00'
    """
    value = value.item() if type(value).__module__ == "numpy" else value
    match value:
        case None | str() | bytes() | bool():
            return value
        case int():
            if not -(1 << 63) <= value < (1 << 63):
                message = f"{value} needs more than 64 bits"
                raise OverflowError(message)
            return int(value)
        case float():
            return _NAN if math.isnan(value) else float(value)
        case datetime():
            return _moment(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytearray() | memoryview():
            return bytes(value)
    message = f"a {type(value).__name__} cannot be kept in SQLite"
    raise TypeError(message)


def _moment(value: datetime) -> str:
    # a fixed order of fixed widths: text sorts as time does
    utc = value if value.tzinfo is None else value.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time()).isoformat(sep=" ")


# ── and back ─────────────────────────────────────────────────────────────────────────────────────────


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _real(value: Any) -> float:
    if value == _NAN:
        return math.nan
    if not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        raise TypeError(value)
    return str(value)


def _instant(value: Any) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(value)
    return value


#: First word of a declared type -> what makes its values again, and their type in Arrow.
_KINDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    **dict.fromkeys(("BOOLEAN", "BOOL"), (_flag, "bool_")),
    # an INTEGER of SQLite has 64 bits, whatever its name
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT"), (_whole, "int64")),
    **dict.fromkeys(("DOUBLE", "REAL", "FLOAT"), (_real, "float64")),
    **dict.fromkeys(("VARCHAR", "TEXT", "CHAR", "STRING", "JSON"), (_text, "string")),
    **dict.fromkeys(("BLOB", "BYTEA"), (_bytes, "binary")),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), (_instant, "timestamp")),
    "DATE": (date.fromisoformat, "date32"),
    # as DuckDB answers in Arrow
    "UUID": (UUID, "string"),
}

_NAMES = {bool: "bool_", int: "int64", float: "float64", str: "string", bytes: "binary"}


def rows_of_python(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return rows as tuples of what was meant."""
    columns = [_column(*each)[0] for each in zip(names, types, _turned(rows, len(names)), strict=True)]
    return list(zip(*columns, strict=True))


def rows_of_arrow(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return rows as an Arrow table, whose types are known also where it is empty."""
    import pyarrow as pa

    arrays = []
    for name, declared, values in zip(names, types, _turned(rows, len(names)), strict=True):
        meant, kind = _column(name, declared, values)
        if declared.upper() == "UUID":
            meant = [None if value is None else str(value) for value in meant]
        arrow = pa.timestamp("us") if kind == "timestamp" else getattr(pa, kind)()
        arrays.append(pa.array(meant, arrow))
    return pa.table(arrays, names=list(names))


def declared_types(table: pa.Table) -> dict[str, str]:
    """Return column -> the type to declare for it.

    Raises
    ------
    StatementError
        If SQLite has nothing that could keep it.
    """
    import pyarrow.types as of

    kinds: list[tuple[Callable[[Any], bool], str]] = [
        (of.is_boolean, "BOOLEAN"),
        (of.is_integer, "BIGINT"),
        (of.is_floating, "DOUBLE BLOB"),
        (lambda kind: of.is_string(kind) or of.is_large_string(kind) or of.is_null(kind), "VARCHAR"),
        (lambda kind: of.is_binary(kind) or of.is_large_binary(kind), "BLOB"),
        (of.is_timestamp, "TIMESTAMP"),
        (of.is_date, "DATE"),
    ]
    found = {field.name: next((name for fits, name in kinds if fits(field.type)), "") for field in table.schema}
    astray = [f"{name} ({table.schema.field(name).type})" for name, kind in found.items() if not kind]
    if astray:
        message = f"SQLite cannot keep the columns {', '.join(astray)}"
        raise StatementError(message)
    return found


def _turned(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(count)]


def _column(name: str, declared: str, values: list[Any]) -> tuple[list[Any], str]:
    """Return what the values of a column mean, and their type in Arrow."""
    make, kind = _KINDS.get(declared.partition(" ")[0].partition("(")[0].upper()) or _looks(name, values)
    if kind == "binary" and not all(isinstance(value, bytes | None) for value in values):
        make, kind = _looks(name, values)  # a BLOB may hold anything, and newer ones say it of what was computed
    try:
        return [None if value is None else make(value) for value in values], kind
    except (TypeError, ValueError) as error:
        message = f"column {name} is declared {declared} and holds something else: {error}"
        raise StatementError(message) from error


def _looks(name: str, values: list[Any]) -> tuple[Callable[[Any], Any], str]:
    """Return what values of no declared type look like."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float} and all(float(value) == value for value in values if type(value) is int):
        return float, "float64"
    if len(kinds) > 1:
        message = f"column {name} mixes {', '.join(sorted(kind.__name__ for kind in kinds))}: CAST it to one of them"
        raise StatementError(message)
    return (lambda value: value), _NAMES[kinds.pop()] if kinds else "null"
