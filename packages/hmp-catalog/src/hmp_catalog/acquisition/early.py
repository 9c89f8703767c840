"""Files of the very first form: stamped 1, but two streams may have one name, and two events one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import sqlite3  # noqa: TID251 - a type, nothing is opened here

#: Index -> the table and columns that it makes unique.
_RULES = {
    "idx_streams_run_name": ("streams", ("run_uid", "name")),
    "idx_events_seq": ("events", ("stream_uid", "seq_num")),
}


def restore_uniqueness(conn: sqlite3.Connection) -> None:
    """Make unique what should be, in the caller's transaction.

    Raises
    ------
    InvalidInput
        If it is not: two streams of a run have one name, or two events of a stream one number. They are named.
    """
    for index, (table, columns) in _RULES.items():
        listed = ", ".join(columns)
        found = {row[1]: bool(row[2]) for row in conn.execute(f"PRAGMA index_list({table})")}
        if found.get(index):
            continue
        doubles = conn.execute(
            f"SELECT {listed}, count(*) FROM {table} GROUP BY {listed} HAVING count(*) > 1"
        ).fetchall()
        if doubles:
            named = "; ".join(f"{dict(zip(columns, row, strict=False))} {row[-1]} times" for row in doubles[:5])
            message = (
                f"{table} has {len(doubles)} doubles, and {listed} must be unique: {named}; mend them by hand first"
            )
            raise InvalidInput(message)
        conn.execute(f"DROP INDEX IF EXISTS {index}")
        conn.execute(f"CREATE UNIQUE INDEX {index} ON {table} ({listed})")
