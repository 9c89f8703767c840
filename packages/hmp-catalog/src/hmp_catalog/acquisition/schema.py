"""The tables of a session and of the master index: made, and brought up to date, on the caller's connection.

The version of a file is its ``PRAGMA user_version``. A step is one transaction with its stamp: a process that dies in
between leaves the file as it was. A file that a newer hmp wrote is refused, and never stamped down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.early import restore_uniqueness
from hmp_catalog.errors import NoMigrationPath
from hmp_core.backends.sqlite_errors import MalformedDatabase
from hmp_core.errors import BusyError, SchemaTooNewError, StatementError

if TYPE_CHECKING:
    import sqlite3  # noqa: TID251 - a type, nothing is opened here

#: The versions that this hmp writes.
BEAMTIME_SCHEMA_VERSION = 3
INDEX_SCHEMA_VERSION = 2

_SQL = Path(__file__).parent / "sql"

#: What must be put right before a step, by (schema, version that the step leads to).
_BEFORE: dict[tuple[str, int], Callable[[Any], None]] = {("session", 2): restore_uniqueness}


def create_beamtime_schema(conn: sqlite3.Connection) -> None:
    """Make the tables of a session, the latest version of them; one that is older is brought up to date.

    Parameters
    ----------
    conn
        An open connection to the file. Foreign keys are enforced on it from here on; what it had open is committed.

    Raises
    ------
    MalformedDatabase
        If the file is no database or is damaged (a ``sqlite3.DatabaseError``).
    SchemaTooNewError
        If a newer hmp wrote it; it is left as it is.
    BusyError
        If another process holds it for longer than the connection waits.
    """
    _migrate(conn, "session", BEAMTIME_SCHEMA_VERSION)


def migrate_beamtime_schema(conn: sqlite3.Connection, target_version: int = BEAMTIME_SCHEMA_VERSION) -> None:
    """Bring the tables of a session up to ``target_version``; a blank file gets just that version.

    Raises
    ------
    SchemaTooNewError
        If the file is beyond it (a ``RuntimeError``): there is no way down.
    NoMigrationPath
        If no such version is known; nothing is applied.
    InvalidInput
        If an early file has two streams of one name, or two events of one number: they are named.
    MalformedDatabase, BusyError
        See `create_beamtime_schema`.
    """
    _migrate(conn, "session", target_version)


def create_index_schema(conn: sqlite3.Connection) -> None:
    """Make the tables of a master index, the latest version of them; see `create_beamtime_schema`."""
    _migrate(conn, "index", INDEX_SCHEMA_VERSION)


def migrate_index_schema(conn: sqlite3.Connection, target_version: int = INDEX_SCHEMA_VERSION) -> None:
    """Bring the tables of a master index up to ``target_version``; see `migrate_beamtime_schema`."""
    _migrate(conn, "index", target_version)


def version_of(conn: sqlite3.Connection) -> int:
    """Return the version of a file; 0 for a blank one.

    Raises
    ------
    MalformedDatabase
        If it is no database.
    """
    with _translated(conn):
        (found,) = conn.execute("PRAGMA user_version").fetchone()
    return int(found)


def _migrate(conn: sqlite3.Connection, schema: str, target: int) -> None:
    enforce_foreign_keys(conn)
    _require_path(conn, schema, version_of(conn), target)
    while version_of(conn) < target:
        _step(conn, schema, target)


def _require_path(conn: sqlite3.Connection, schema: str, found: int, target: int) -> None:
    known = len(_steps(schema))
    if found > target:
        message = (
            f"{_where(conn)}: Cannot downgrade schema from version {found} to {target}. It was written by a newer hmp: "
            "upgrade this one"
        )
        raise SchemaTooNewError(message, path=_where(conn), found=found, known=target)
    if not isinstance(target, int) or target > known or target < 0:
        message = f"No migration path from {schema} schema version {found} to {target}: known are 1 to {known}"
        raise NoMigrationPath(message, found=found, target=target)


def _step(conn: sqlite3.Connection, schema: str, target: int) -> None:
    """Apply the next step and its stamp in one transaction; another process may have done so meanwhile."""
    with _translated(conn), _transaction(conn):
        (found,) = conn.execute("PRAGMA user_version").fetchone()
        if found >= target:
            return
        before = _BEFORE.get((schema, found + 1))
        if before is not None:
            before(conn)
        for statement in _steps(schema)[found]:
            if not _is_done(conn, statement):
                conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {found + 1:d}")


def _is_done(conn: sqlite3.Connection, statement: str) -> bool:
    """Return whether a column is there already: the first versions added one and died before the stamp."""
    words = statement.split()
    if words[:2] != ["ALTER", "TABLE"]:
        return False
    table, column = words[2], words[5]
    return any(row[1] == column for row in conn.execute(f"PRAGMA table_info({table})"))


@cache
def _steps(schema: str) -> list[list[str]]:
    """Return the statements of each step of a schema."""
    return [_statements(file.read_text(encoding="utf-8")) for file in sorted((_SQL / schema).glob("*.sql"))]


def _statements(script: str) -> list[str]:
    text = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def enforce_foreign_keys(conn: sqlite3.Connection) -> None:
    """Enforce foreign keys on a connection: each has to be told, and not within a transaction."""
    with _translated(conn), _by_itself(conn):
        conn.execute("PRAGMA foreign_keys = ON")


@contextlib.contextmanager
def _by_itself(conn: sqlite3.Connection) -> Iterator[None]:
    """End what is open, and keep Python from opening a transaction for the block."""
    conn.commit()
    implicit = getattr(conn, "autocommit", None) is False  # Python 3.12: one is always open
    if implicit:
        conn.autocommit = True  # type: ignore[attr-defined, unused-ignore]
    try:
        yield
    finally:
        if implicit:
            conn.autocommit = False  # type: ignore[attr-defined, unused-ignore]


@contextlib.contextmanager
def _transaction(conn: sqlite3.Connection) -> Iterator[None]:
    with _by_itself(conn):
        conn.execute("BEGIN IMMEDIATE")
        try:
            yield
            conn.execute("COMMIT")
        finally:
            if conn.in_transaction:
                conn.execute("ROLLBACK")


@contextlib.contextmanager
def _translated(conn: sqlite3.Connection) -> Iterator[None]:
    """Turn what the caller's engine says into errors of hmp."""
    try:
        yield
    except conn.ProgrammingError:
        raise  # the connection is closed, or another thread's: the caller's own mistake, told by his engine
    except conn.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            message = f"{_where(conn)}: {error}"
            raise StatementError(message) from error
        message = f"{_where(conn)} is held by another process; wait longer (timeout= of the connection) or try again"
        raise BusyError(message, path=_where(conn), holder="another process", waited=0.0) from error
    except conn.DatabaseError as error:
        message = f"{_where(conn)}: {error}"
        raise MalformedDatabase(message, path=_where(conn)) from error


def _where(conn: sqlite3.Connection) -> str:
    try:
        rows = conn.execute("PRAGMA database_list").fetchall()
    except conn.Error:
        return "the database"
    return str(rows[0][2] or "the database in memory") if rows else "the database"
