"""How a value is said to the engine where binding it would cost a second.

DuckDB imports pandas, if it is installed, to see whether a bound value is one of its own: 0.4 to 1 s at the first
statement of a process (measured on 1.5.6). Values of the plain types are therefore given to a prepared statement
by ``EXECUTE``; they never become part of the statement itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import duckdb  # noqa: TID251 - a type, nothing is opened here

#: What the statement is called that values are given to.
PREPARED = "hmp_prepared"


def prepared(connection: duckdb.DuckDBPyConnection, sql: str, *, refusal: type[Exception]) -> bool:
    """Prepare a statement, if the engine does not refuse it."""
    try:
        connection.execute(f"PREPARE {PREPARED} AS {sql}")
    except refusal:
        return False  # of a kind that cannot be prepared, or wrong: said as it stands, it says why
    return True


def literals(values: Sequence[Any]) -> str | None:
    """Return plain values as the arguments of ``EXECUTE``; None if one of them is not plain.

    Examples
    --------
    >>> literals([1, "O'Hara", None, 0.1])
    "1, 'O''Hara', NULL, CAST('0.1' AS DOUBLE)"
    """
    said = [_literal(value.item() if type(value).__module__ == "numpy" else value) for value in values]
    return None if None in said else ", ".join(text for text in said if text is not None)


def _literal(value: Any) -> str | None:
    match value:
        case None | bool():
            return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
        case int():
            # beyond 128 bits the engine would read a DOUBLE and lose digits without a word
            return str(int(value)) if -(1 << 127) < value < (1 << 127) else None
        case float():
            return f"CAST('{float(value)!r}' AS DOUBLE)"
        case str():
            return _text(str.__str__(value))
        case UUID():
            return f"CAST('{value}' AS UUID)"
        case _ if type(value) is datetime:
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'" if value.tzinfo is None else None
        case _ if type(value) is date:
            return f"DATE '{value.isoformat()}'"
    return None


def _text(value: str) -> str | None:
    # a NUL would end the statement
    return None if "\0" in value else "'" + value.replace("'", "''") + "'"
