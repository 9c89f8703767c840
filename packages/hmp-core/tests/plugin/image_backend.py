"""A database small enough to be an image: read whole, changed in memory, replaced whole when a unit of work ends."""

from __future__ import annotations

import contextlib
import sqlite3  # noqa: TID251 - a plug-in is the importer of its own engine
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hmp_core.backends import sqlite_text, sqlite_values
from hmp_core.backends.identifiers import insert_statement, upsert_statement
from hmp_core.durable import write_atomic
from hmp_core.errors import CorruptError, DatabaseNotFound, HmpError, InvalidInput, NotWritable, StatementError
from hmp_core.locks import database_lock


class ImageBackend:
    """Keeps the promises of `hmp_core.protocols.CatalogBackend`."""

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False, timeout: float = 30.0) -> None:
        self._path, self._create, self._read_only, self._timeout = path, create, read_only, timeout
        self._closed = False
        self._mine = threading.local()  # the image of the transaction that a thread is in

    # ── the eight verbs ──────────────────────────────────────────────────────────────────────────────

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        with self._image(write=True) as image:
            self._answer(image, sqlite_text.declared(sql), params)

    def query(self, sql: str, params: Sequence[Any] = ()) -> Any:
        with self._image(write=False) as image:
            return sqlite_values.rows_of_arrow(*self._answer(image, sql, params))

    def fetch_one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        return next(iter(self.fetch_all(sql, params)), None)

    def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._image(write=False) as image:
            return sqlite_values.rows_of_python(*self._answer(image, sql, params))

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        self.execute(insert_statement(table, list(row)), list(row.values()))

    def upsert(self, table: str, row: Mapping[str, Any], *, key: Sequence[str]) -> None:
        self.execute(upsert_statement(table, list(row), list(key)), list(row.values()))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        if getattr(self._mine, "image", None) is not None:
            raise InvalidInput(f"{self._path}: transactions do not nest")
        with self._image(write=True) as image:
            self._mine.image = image
            try:
                yield
            finally:
                self._mine.image = None

    def close(self) -> None:
        self._closed = True

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _image(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Keep the database in memory for the block; unless that is broken off, what was changed is written back."""
        if self._closed:
            raise InvalidInput(f"{self._path}: this backend is closed")
        if write and self._read_only:
            raise NotWritable(f"{self._path} was opened read-only", path=str(self._path))
        if (mine := getattr(self._mine, "image", None)) is not None:
            yield mine
            return
        if not self._path.exists() and not (write and self._create and self._path.parent.is_dir()):
            raise DatabaseNotFound(f"{self._path}: there is no database yet", path=str(self._path))
        with contextlib.ExitStack() as stack:
            if write:  # who only reads finds one whole image or the next
                stack.enter_context(database_lock(self._path).hold(self._timeout))
            image = stack.enter_context(contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)))
            if self._path.exists():
                self._read(image, self._path.read_bytes())
            yield image
            if write:
                write_atomic(self._path, image.serialize())

    def _read(self, image: sqlite3.Connection, data: bytes) -> None:
        try:
            if not data:
                raise sqlite3.DatabaseError("it is empty")
            image.deserialize(data)
            image.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.Error as error:
            raise CorruptError(f"{self._path} is no image of a database ({error})", path=str(self._path)) from error

    # ── the border ───────────────────────────────────────────────────────────────────────────────────

    def _answer(self, image: sqlite3.Connection, sql: str, params: Sequence[Any]) -> tuple[list[str], list[str], Any]:
        """Return names, declared types and rows; no exception of the engine gets out."""
        if sqlite_text.parameters(sql) != set(range(1, len(params) + 1)):
            raise StatementError(f"{self._path}: {len(params)} values were given to {sql!r}")
        if not sqlite_text.parts(sql, sqlite3.complete_statement):
            raise InvalidInput(f"{self._path}: {sql!r} is not a statement")
        try:
            cursor = image.execute(sql, {str(n): sqlite_values.stored(value) for n, value in enumerate(params, 1)})
            rows, names = cursor.fetchall(), [column[0] for column in cursor.description or ()]
            return names, self._types(image, sql) or [""] * len(names), rows
        except HmpError:
            raise
        except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise StatementError(f"{self._path}: {error}") from error

    def _types(self, image: sqlite3.Connection, sql: str) -> list[str]:
        question = sqlite_text.question(sql)
        if question is None:
            return []
        image.execute(f"CREATE TEMP VIEW answer AS {question}")
        types = [declared for _, _, declared, *_ in image.execute("PRAGMA temp.table_info(answer)")]
        image.execute("DROP VIEW temp.answer")
        return types
