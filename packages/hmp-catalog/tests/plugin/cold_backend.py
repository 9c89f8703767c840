"""A backend of somebody else: an engine of its own for each lease, started when it begins and ended with it.

hmp keeps one engine for each process. This one is slower by what starting another takes, and nothing is left between
two leases; it stands on the contracts of `hmp_core.protocols.backend` and has no part of `DuckDBBackend` in it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb  # noqa: TID251 - a plug-in is the importer of its own engine

from hmp_core.auth.gate import authorize
from hmp_core.backends.identifiers import identifier, insert_statement, upsert_statement
from hmp_core.backends.leases import is_there, never_free
from hmp_core.backends.meanings import meaning
from hmp_core.errors import DatabaseNotFound, HmpError, InvalidInput, NotWritable, StatementError
from hmp_core.locks import database_lock

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols import AuthBackend

#: What it has done in this process: leases, statements.
told: Counter[str] = Counter()


class _Open:
    """A file that a thread has open; the blocks in which it does."""

    def __init__(self, path: Path, *, write: bool) -> None:
        self.writing, self.in_transaction = write, False
        self.blocks: set[object] = set()
        self.engine = duckdb.connect(
            ":memory:", config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
        self.engine.execute("SET GLOBAL TimeZone = 'UTC'")
        self.attach(path)

    def attach(self, path: Path, name: str = "store") -> None:
        options = "TYPE duckdb" if path.exists() else "TYPE duckdb, STORAGE_VERSION 'v1.5.0', BLOCK_SIZE 16384"
        literal = str(path).replace("'", "''")
        self.engine.execute(f"ATTACH '{literal}' AS {name} ({options}{'' if self.writing else ', READ_ONLY'})")
        if name == "store":
            self.engine.execute("USE store")
            if self.writing and path.with_name(f"{path.name}.wal").exists():
                self.engine.execute("CHECKPOINT store")  # rows that are replayed lack their index entries (1.5.6)

    def detach(self, name: str = "store") -> None:
        self.engine.execute("USE memory")
        self.engine.execute(f"DETACH DATABASE IF EXISTS {name}")


class _Here(threading.local):
    def __init__(self) -> None:
        self.files: dict[Path, _Open] = {}


_here = _Here()


def _forget() -> None:
    """Let the child of a fork begin with nothing, and never free what is its parent's."""
    for file in _here.files.values():
        never_free(file.engine)
    _here.files = {}


os.register_at_fork(after_in_child=_forget)


class ColdBackend:
    """Keeps the promises of `hmp_core.protocols.StoreBackend`; see there."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        create: bool = False,
        auth: AuthBackend | None = None,
        resource: str = "",
        timeout: float = 30.0,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self._read_only, self._create, self._timeout = read_only, create, timeout
        self._auth, self._resource = auth, resource
        self._closed = False

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Nothing is started before a lease, and the engine was imported with this module."""

    @property
    def leased(self) -> bool:
        return self.path in _here.files

    @property
    def only_reads(self) -> bool:
        return self.leased and not _here.files[self.path].writing

    @contextlib.contextmanager
    def lease(
        self,
        *,
        write: bool,
        timeout: float | None = None,
        action: Literal["read", "write"] | None = None,
        unlocked: bool = False,
    ) -> Iterator[None]:
        self._require_open(write=write)
        if self._auth is not None:
            asked = action or ("write" if write else "read")
            authorize(self._auth, asked, self._resource, database=self.path, what=f"open it to {asked}")
        if not is_there(self.path) and not (write and self._create and self.path.parent.is_dir()):
            raise DatabaseNotFound(f"{self.path}: there is no database yet", path=str(self.path))
        wait = self._timeout if timeout is None else timeout
        lock, block = database_lock(self.path), object()
        with lock.hold_among_threads(wait) if unlocked else lock.hold(wait):
            try:
                self._enter(block, write=write)
                yield
            finally:
                try:
                    self._leave(block)
                finally:
                    self._leave(block)  # the first may have been cut short by a Ctrl-C

    def _enter(self, block: object, *, write: bool) -> None:
        file = _here.files.get(self.path)
        if file is None:
            with self._translated(opening=True):
                file = _here.files[self.path] = _Open(self.path, write=write)
            told["leases"] += 1
        elif write and not file.writing:
            raise self._only_reads()
        file.blocks.add(block)

    def _leave(self, block: object) -> None:
        file = _here.files.get(self.path)
        if file is None:
            return  # it never was opened, or this is a child that was forked within the lease
        if not file.blocks - {block}:
            with self._translated():
                file.engine.close()
            del _here.files[self.path]
        file.blocks.discard(block)

    def _require_open(self, *, write: bool) -> None:
        if self._closed:
            raise InvalidInput(f"{self.path}: this backend is closed")
        if write and self._read_only:
            raise NotWritable(f"{self.path} was opened read-only", path=str(self.path))

    def _only_reads(self) -> InvalidInput:
        return InvalidInput(f"{self.path}: a write inside a block that only reads; leave the block first")

    @contextlib.contextmanager
    def _leased(self, *, write: bool) -> Iterator[_Open]:
        if (file := _here.files.get(self.path)) is None:
            with self.lease(write=write):
                yield _here.files[self.path]
            return
        self._require_open(write=write)
        if write and not file.writing:
            raise self._only_reads()
        yield file

    def _run(self, file: _Open, sql: str, params: Sequence[Any] = ()) -> Any:
        found = len(file.engine.extract_statements(sql))
        if not found or (params and found > 1):
            raise InvalidInput(f"{self.path}: one statement at a time, and not {sql!r}")
        told["statements"] += 1
        return file.engine.execute(sql, list(params))

    # ── the eight verbs ──────────────────────────────────────────────────────────────────────────────

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        with self._leased(write=True) as file, self._translated():
            self._run(file, sql, params).fetchall()

    def query(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        with self._leased(write=False) as file, self._translated():
            return self._run(file, sql, params).to_arrow_table()

    def fetch_one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        return next(iter(self.fetch_all(sql, params)), None)

    def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._leased(write=False) as file, self._translated():
            rows: list[tuple[Any, ...]] = self._run(file, sql, params).fetchall()
            return rows

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        self.execute(insert_statement(table, list(row)), list(row.values()))

    def upsert(self, table: str, row: Mapping[str, Any], *, key: Sequence[str]) -> None:
        self.execute(upsert_statement(table, list(row), list(key)), list(row.values()))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with self._leased(write=True) as file:
            if file.in_transaction:
                raise InvalidInput(f"{self.path}: already inside a transaction; they do not nest")
            done = False
            try:
                file.in_transaction = True
                with self._translated():
                    self._run(file, "BEGIN")
                yield
                with self._translated():
                    self._run(file, "COMMIT")
                done = True
            finally:
                try:
                    self._end(file, done=done)
                finally:
                    self._end(file, done=done)

    def _end(self, file: _Open, *, done: bool) -> None:
        if not done:
            with contextlib.suppress(HmpError), self._translated():
                self._run(file, "ROLLBACK")
        file.in_transaction = False

    def close(self) -> None:
        self._closed = True

    # ── in bulk ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def staged(self, name: str, table: pa.Table) -> Iterator[None]:
        rows = identifier(name)
        if (file := _here.files.get(self.path)) is None:
            raise InvalidInput(f"{name}: rows are staged inside a lease or a transaction")
        with self._translated():
            file.engine.register("arriving", table)
            file.engine.execute(f"CREATE TEMP TABLE {rows} AS SELECT * FROM arriving")
            file.engine.unregister("arriving")
        try:
            yield
        finally:
            with contextlib.suppress(HmpError), self._translated():  # it is gone if the transaction was
                file.engine.execute(f"DROP TABLE IF EXISTS temp.{rows}")

    def statements(self, script: str) -> list[str]:
        with self._translated(), contextlib.closing(duckdb.connect(":memory:")) as engine:
            return [statement.query for statement in engine.extract_statements(script)]

    def copy_to(self, other: ColdBackend) -> None:
        """Two engines cannot share a file: that of ``other`` lets go of it for as long as ours writes."""
        with self._leased(write=False) as here, other._leased(write=True) as there:
            if here.in_transaction:
                raise InvalidInput(f"{self.path}: a copy is not made inside a transaction; leave it first")
            with self._translated():
                there.detach()
                literal = str(other.path).replace("'", "''")
                here.engine.execute(f"ATTACH '{literal}' AS copy (TYPE duckdb)")
                try:
                    self._run(here, "COPY FROM DATABASE store TO copy").fetchall()
                finally:
                    here.engine.execute("DETACH copy")
                    there.attach(other.path)

    # ── the border ───────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _translated(self, *, opening: bool = False) -> Iterator[None]:
        """Let no exception of the engine out."""
        try:
            yield
        except HmpError:
            raise
        except duckdb.Error as error:
            raise meaning(error, str(self.path), opening=opening) from error
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise error.__cause__ from None  # the engine wraps Ctrl-C
            raise StatementError(f"{self.path}: {type(error).__name__}: {error}") from error
