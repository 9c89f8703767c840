"""How an answer is taken from the engine, where its versions differ.

DuckDB 2.0 warns when a result of ``execute`` is asked for Arrow, and lets a connection do nothing else while a result
is unread; in 1.5 ``sql`` runs no statement that changes something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb  # noqa: TID251 - a type, nothing is opened here


def for_arrow(connection: duckdb.DuckDBPyConnection) -> Callable[..., Any]:
    """Return what runs a statement whose rows are wanted in Arrow."""
    if not hasattr(connection, "complete"):
        return connection.execute
    return lambda sql, params=None: connection.sql(sql, params=params)


def to_its_end(result: Any) -> None:
    """Let the connection go on to the next statement."""
    if hasattr(result, "complete"):
        result.complete()
