"""Rows of Arrow into a temporary table of the engine, so that statements can select from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_core.backends.identifiers import identifier

if TYPE_CHECKING:
    import pyarrow as pa


def stage(connection: Any, name: str, table: pa.Table) -> None:
    """Copy rows into a temporary table, once.

    From a table or reader of pyarrow DuckDB would import pyarrow.dataset, and that pandas: 0.4 to 2 s (measured on
    1.5.6). A bare stream it takes as it is, but only once.
    """
    stream = f"{name}_stream"
    connection.register(stream, table.__arrow_c_stream__())
    try:
        connection.execute(f"CREATE TEMP TABLE {identifier(name)} AS SELECT * FROM {identifier(stream)}")
    finally:
        connection.unregister(stream)
