"""DuckDB: one in-memory instance per process, to which a database file is attached for a unit of work.

The only module that imports `duckdb`, and the only one that opens a database file. A file is attached under
its lock file and detached at the end of the lease, so that a notebook left open blocks nobody. Attaching
costs 3-5 ms to read and 12 ms to write 21 rows; a fresh connection costs 16-29 ms (measured on 1.5).
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_core.auth.gate import authorize
from hmp_core.backends import settings
from hmp_core.backends.answers import for_arrow, to_its_end
from hmp_core.backends.identifiers import identifier, insert_statement, upsert_statement
from hmp_core.backends.instance import Instance
from hmp_core.backends.leases import Leases, OpenFile, born_within, is_there, require_one_name
from hmp_core.backends.literals import PREPARED, literals, prepared
from hmp_core.backends.meanings import meaning
from hmp_core.backends.replay import is_left
from hmp_core.backends.staging import stage
from hmp_core.errors import BusyError, DatabaseNotFound, HmpError, InvalidInput, NotWritable, StatementError
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.saying import once

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from hmp_core.protocols.auth import AuthBackend

_log = logging.getLogger(__name__)


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    root = duckdb.connect(":memory:", config=settings.config())
    for statement in settings.STATEMENTS:
        root.execute(statement)
    return root


_instance = Instance(_connect)
_leases = Leases()


class DuckDBBackend:
    """Keeps the promises of `CatalogBackend`, `BulkBackend` and `StoreBackend` with DuckDB.

    Parameters
    ----------
    path : Path
        The database file; links are followed.
    read_only : bool
        Refuse every write with `NotWritable`.
    create : bool
        Make the file at the first write lease if it is not there.
    auth, resource
        Who is asked, and for what, at every lease; nobody if ``auth`` is None.
    timeout : float
        Seconds to wait for the lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        create: bool = False,
        auth: AuthBackend | None = None,
        resource: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._path = Path(os.path.realpath(path))
        self._read_only = read_only
        self._create = create
        self._auth = auth
        self._resource = resource
        self._timeout = timeout
        self._closed = False

    @property
    def path(self) -> Path:
        """The database file, links followed."""
        return self._path

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Import the engine and start it: 0.2 s the first time, and nobody should wait for that."""
        _instance.start()

    @property
    def only_reads(self) -> bool:
        """Whether the present thread holds a lease on the file, of this or another backend, that only reads."""
        file = _leases.on(str(self._path))
        return file is not None and not file.writing

    @property
    def leased(self) -> bool:
        """Whether the present thread holds a lease on the file, of this or another backend."""
        return _leases.on(str(self._path)) is not None

    @contextlib.contextmanager
    def lease(
        self,
        *,
        write: bool,
        timeout: float | None = None,
        action: Literal["read", "write"] | None = None,
        unlocked: bool = False,
    ) -> Iterator[None]:
        """Keep the database attached for the block.

        Parameters
        ----------
        write : bool
            Attach for writing.
        timeout : float, optional
            Seconds to wait for the lock; 0 tries once.
        action : {"read", "write"}, optional
            What the authority is asked for; a fold writes on behalf of a reader.
        unlocked : bool
            Read without the lock file, where it cannot be made (a read-only folder); other threads wait all the same.
        """
        self._require_open(write=write)
        if self._auth is not None:
            asked = action or ("write" if write else "read")
            authorize(self._auth, asked, self._resource, database=self._path, what=f"open it to {asked}")
        self._require_there(write=write)
        wait = self._timeout if timeout is None else timeout
        lock = database_lock(self._path)
        _instance.start()
        with lock.hold_among_threads(wait) if unlocked else lock.hold(wait):
            file = _instance.file(str(self._path))
            block = object()
            try:
                if not unlocked:
                    file.lock = lock
                self._enter(file, block, write=write)
                _leases.enter(self, file, block)
                yield
            finally:
                try:
                    self._leave(file, block)
                finally:
                    self._leave(file, block)

    def _require_open(self, *, write: bool) -> None:
        if self._closed:
            message = f"{self._path}: this backend is closed"
            raise InvalidInput(message)
        if write and self._read_only:
            message = f"{self._path} was opened read-only"
            raise NotWritable(message, path=str(self._path))

    def _require_there(self, *, write: bool) -> bool:
        """Return whether the file is there; it need not be where a write lease may make it."""
        there = is_there(self._path)
        if not there and not (write and self._create and self._path.parent.is_dir()):
            message = f"{self._path}: there is no database yet; make one with create=True, or rebuild it from its files"
            if not os.path.isdir(self._path.parent):
                message = f"{self._path}: its folder was moved or removed; open it where it lies now"
            raise DatabaseNotFound(message, path=str(self._path))
        return there

    def _enter(self, file: OpenFile, block: object, *, write: bool) -> None:
        if not file.blocks:
            if write and file.lock is not None:
                require_one_name(self._path)
            self._attach(file, write=write)
        elif write and not file.writing:
            raise self._only_reads()
        file.blocks.add(block)

    def _only_reads(self) -> InvalidInput:
        message = f"{self._path}: a write inside a block that only reads; leave the block first"
        return InvalidInput(message)

    def _attach(self, file: OpenFile, *, write: bool) -> None:
        alias = f"hmp{next(_instance.names)}"
        left, new = write and is_left(self._path), not self._require_there(write=write)
        file.connection, file.alias, file.writing = _instance.cursor(), alias, write
        try:
            with self._translated(opening=True):
                statements = settings.entering(self._path, alias, write=write, new=new, left=left)
                settings.run(file.connection.execute, statements, engine_error())
        except HmpError as error:
            if left:  # it may be attached and of no use: every question about tables would meet it
                self._detach(file.connection, alias, displaced=True)
            file.close()
            if isinstance(error, BusyError) and file.path in _instance.inherited:
                raise born_within(file.path) from error
            raise

    def _leave(self, file: OpenFile, block: object) -> None:
        if file.inherited:
            return
        _leases.leave(self, file, block)
        file.blocks.discard(block)
        if file.blocks:
            return
        try:
            if file.connection is not None:
                with self._translated():
                    self._detach(file.connection, file.alias, displaced=file.displaced)
        except KeyboardInterrupt:
            raise  # it may be attached still: what undoes twice comes again
        except BaseException:
            _instance.drop(file)
            raise
        _instance.drop(file)

    def _detach(self, connection: duckdb.DuckDBPyConnection, alias: str, *, displaced: bool) -> None:
        for attempt in (1, 2):
            try:
                connection.execute("USE memory")
                with settings.no_checkpoint(connection) if displaced else contextlib.nullcontext():
                    connection.execute(f"DETACH DATABASE IF EXISTS {alias}")
            except engine_error() as error:
                if "Connection already closed" in str(error):
                    return  # a fatal error has ended the engine (`discard`): what it met is told, and not this
                if "CHECKPOINT during DETACH failed" in str(error):
                    # what was committed is in the WAL, and the next lease reads it from there
                    once(_log, "%s: %s", self._path, " ".join(str(error).split()))
                    return
                if attempt == 2:
                    _instance.discard()  # else the file would stay attached as long as this process lives
                    raise meaning(error, str(self._path)) from error
                if "has been invalidated" in str(error):
                    # after a failed checkpoint it lets go of its file only where it is not in use (1.5.6)
                    with contextlib.suppress(engine_error()), contextlib.closing(_instance.cursor()) as other:
                        other.execute(f"DETACH DATABASE IF EXISTS {alias}")
                    continue
                with contextlib.suppress(engine_error()):  # a statement began a transaction and left it open
                    connection.execute("ROLLBACK")
            else:
                return

    @contextlib.contextmanager
    def _leased(self, *, write: bool) -> Iterator[OpenFile]:
        """Use the lease that this thread holds, else hold one for the block."""
        file = _leases.of(self)
        if file is None:
            with self.lease(write=write), self._leased(write=write) as leased:
                yield leased
            return
        self._require_open(write=write)
        if write and not file.writing:
            raise self._only_reads()
        yield file

    def _run(self, file: OpenFile, sql: str, params: Sequence[Any] = (), *, arrow: bool = False) -> Any:
        if file.connection is None or file.inherited:
            message = f"{self._path}: a lease does not outlive a fork"
            raise InvalidInput(message)
        with self._translated():
            result = self._bound(for_arrow(file.connection) if arrow else file.connection.execute, file, sql, params)
        if result is None:
            message = f"{self._path}: {sql!r} is not a statement"
            raise InvalidInput(message)
        return result

    def _bound(self, run: Callable[..., Any], file: OpenFile, sql: str, params: Sequence[Any]) -> Any:
        if not params:
            return run(sql)
        if ";" in sql and len(file.connection.extract_statements(sql)) > 1:
            message = f"{self._path}: one statement at a time when values are bound"
            raise InvalidInput(message)
        said = literals(params)
        if said is None or not prepared(file.connection, sql, refusal=engine_error()):
            return run(sql, list(params))
        return run(f"EXECUTE {PREPARED}({said})")

    # ── the eight verbs ──────────────────────────────────────────────────────────────────────────────

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """See `CatalogBackend.execute`."""
        with self._leased(write=True) as file, self._translated():
            file.require_lock()
            to_its_end(self._run(file, sql, params))

    def query(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """See `CatalogBackend.query`."""
        with self._leased(write=False) as file, self._translated():
            return self._run(file, sql, params, arrow=True).to_arrow_table()

    def fetch_one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See `CatalogBackend.fetch_one`."""
        rows = self.fetch_all(sql, params)
        return rows[0] if rows else None

    def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `CatalogBackend.fetch_all`."""
        with self._leased(write=False) as file, self._translated():
            rows: list[tuple[Any, ...]] = self._run(file, sql, params).fetchall()
            return rows

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """See `CatalogBackend.insert`."""
        self.execute(insert_statement(table, list(row)), list(row.values()))

    def upsert(self, table: str, row: Mapping[str, Any], *, key: Sequence[str]) -> None:
        """See `CatalogBackend.upsert`."""
        self.execute(upsert_statement(table, list(row), list(key)), list(row.values()))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """See `CatalogBackend.transaction`. Transactions do not nest: an inner one is refused."""
        with self._leased(write=True) as file:
            if file.in_transaction:
                message = f"{self._path}: already inside a transaction; they do not nest"
                raise InvalidInput(message)
            done = False
            try:
                file.in_transaction = True
                self._run(file, "BEGIN")
                yield
                file.require_lock()
                self._run(file, "COMMIT")
                done = True
            finally:
                try:
                    self._end(file, done)
                finally:
                    self._end(file, done)

    def _end(self, file: OpenFile, done: bool) -> None:  # noqa: FBT001 - undone twice, by position
        if not done:
            # a failed COMMIT has already rolled back, and then there is nothing left to undo
            with contextlib.suppress(HmpError):
                self._run(file, "ROLLBACK")
        file.in_transaction = False

    def close(self) -> None:
        """See `CatalogBackend.close`."""
        self._closed = True

    # ── in bulk ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def staged(self, name: str, table: pa.Table) -> Iterator[None]:
        """See `BulkBackend.staged`."""
        identifier(name)
        file = _leases.of(self)
        if file is None or file.connection is None:
            message = f"{name}: rows are staged inside a lease or a transaction"
            raise InvalidInput(message)
        connection = file.connection
        with self._translated():
            stage(connection, name, table)
        try:
            yield
        finally:
            # in a forked child it is the parent's; after an aborted transaction it is gone
            if not file.inherited:
                with contextlib.suppress(HmpError), self._translated():
                    connection.execute(f"DROP TABLE IF EXISTS temp.{identifier(name)}")

    def copy_to(self, other: DuckDBBackend) -> None:
        """Write everything that is here into ``other``, which is empty and on which this thread has a write lease.

        Raises
        ------
        InvalidInput
            Inside a transaction: one that fails would take the caller's changes with it.
        """
        with self._leased(write=False) as here, other._leased(write=True) as there:
            if here.in_transaction:
                message = f"{self._path}: a copy is not made inside a transaction; leave it first"
                raise InvalidInput(message)
            with self._translated():
                to_its_end(self._run(here, f"COPY FROM DATABASE {here.alias} TO {there.alias}"))

    def statements(self, script: str) -> list[str]:
        """See `BulkBackend.statements`."""
        self._require_open(write=False)
        cursor = _instance.cursor()
        try:
            with self._translated():
                return [statement.query for statement in cursor.extract_statements(script)]
        finally:
            cursor.close()

    # ── the border ───────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _translated(self, *, opening: bool = False) -> Iterator[None]:
        """Let no exception of the engine out: each becomes one of ours."""
        try:
            yield
        except HmpError:
            raise
        except engine_error() as error:
            if type(error).__name__ in {"FatalException", "InternalException"}:
                _instance.discard()
            raise meaning(error, str(self._path), opening=opening) from error
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise error.__cause__ from None  # the engine wraps Ctrl-C
            # a value or a text that cannot even be handed to the engine, as a lone surrogate
            message = f"{self._path}: {type(error).__name__}: {error}"
            raise StatementError(message) from error


def engine_error() -> type[Exception]:
    """Return the class of the engine's errors; imports the engine (0.1 s), which a forking process does first."""
    import duckdb

    return duckdb.Error
