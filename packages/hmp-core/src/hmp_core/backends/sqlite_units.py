"""A unit of work: the connection it was given, how that is set up, and what a fork leaves of it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.leases import OpenFile, never_free
from hmp_core.backends.sqlite_files import Seen, has_changes
from hmp_core.backends.sqlite_meanings import corrupt
from hmp_core.errors import NotWritable

if TYPE_CHECKING:
    import sqlite3  # noqa: TID251 - a type, nothing is opened here


class Unit(OpenFile):
    """A connection and the unit of work it was opened for."""

    def __init__(self, path: Path, *, writing: bool) -> None:
        super().__init__(str(path))
        self.writing = writing
        #: what the file was like, where nothing keeps others from changing it meanwhile
        self.seen: Seen | None = None


class Connections:
    """The connections of this process, and the files that those of its parent were on when it was forked."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        # one that an interrupt left behind is closed when nobody refers to it any more
        self.files: weakref.WeakSet[Unit] = weakref.WeakSet()
        self.inherited: set[str] = set()
        os.register_at_fork(after_in_child=self.forget)

    def add(self, file: Unit) -> None:
        """Know of a connection that was opened."""
        with self.guard:
            self.files.add(file)

    def remove(self, file: Unit) -> None:
        """Forget one that is closed."""
        with self.guard:
            self.files.discard(file)

    def forget(self) -> None:
        """Leave to the parent what it had open: SQLite believes the parent's locks to be ours as well."""
        for file in list(self.files):
            self.inherited.add(file.path)
            never_free(file.connection)  # to close it could play its changes into the file of the parent
        self.guard, self.files = threading.Lock(), weakref.WeakSet()


def begin(connection: sqlite3.Connection, path: Path, *, write: bool) -> None:
    """Set a connection up, and see whether there is a database."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cell_size_check = ON")  # some damage is found that would else be answered
    connection.execute("PRAGMA temp_store = MEMORY")
    if not write:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        _require_whole(connection, path)
        return
    connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        message = f"{path} cannot be written in WAL mode (its mode stays {mode}); is its file or folder read-only?"
        raise NotWritable(message, path=str(path))
    _require_whole(connection, path)


def _require_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that ends within a page: SQLite would read the missing bytes as zeros."""
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    if os.stat(path).st_size % page and not has_changes(path):
        raise corrupt(path, f"it does not end with a page of {page} bytes")


def on_our_own(file: Unit, sql: str, rows: Iterable[Any] | None = None) -> list[Any]:
    """Run a statement on tables and views of the connection alone; they may also be made where one only reads."""
    connection = file.connection
    connection.execute("PRAGMA query_only = OFF")
    try:
        found: list[Any] = (connection.execute(sql) if rows is None else connection.executemany(sql, rows)).fetchall()
        return found
    finally:
        connection.execute(f"PRAGMA query_only = {'OFF' if file.writing else 'ON'}")
