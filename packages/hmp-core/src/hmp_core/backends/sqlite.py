"""SQLite: one connection for a unit of work, in WAL mode; what an acquisition writes while somebody looks on.

The only module that imports `sqlite3`. A connection is opened for each unit of work and closed at its end (0.3 ms to
read, 1.4 ms to write a row durably; measured on 3.40): at rest the file lies alone, a process holds nothing, and a
fork inherits nothing.

**Whose locks.** On one host SQLite's own are right, and readers take no other: WAL lets them read while somebody
writes. Who writes takes hmp's lock file too. It names its holder, which SQLite cannot; it lasts over several
transactions of one lease; waiting for it ends with Ctrl-C; and a new file can be made whole beside its place, where
SQLite alone would show an empty one. Programs that know nothing of the lock file are still kept out by SQLite's.

**What differs from DuckDB.** There are no checksums: a bit that flips within a value is not seen. A type is a hint: a
column keeps whatever it is given, and it is reading that refuses. Sums see a NaN as 0 (``WHERE x <> 'NaN'``).
Foreign keys are enforced.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.auth.gate import authorize
from hmp_core.backends import sqlite_files as files
from hmp_core.backends import sqlite_text as text
from hmp_core.backends import sqlite_units as units
from hmp_core.backends import sqlite_values as values
from hmp_core.backends.identifiers import identifier, insert_statement, upsert_statement
from hmp_core.backends.leases import Leases, require_one_name
from hmp_core.backends.sqlite_meanings import BUSY, busy, corrupt, meaning
from hmp_core.errors import CorruptError, DatabaseNotFound, HmpError, InvalidInput, NotWritable, StatementError
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa

    from hmp_core.protocols.auth import AuthBackend

#: Seconds between two tries, as for the lock file.
_POLL = 0.005

#: Steps of the engine between two looks at whether the user pressed Ctrl-C: a few milliseconds.
_STEPS = 100_000

#: Bytes of the smallest page there is: no database is smaller.
_SMALLEST = 512

_VIEW = "hmp_answer"


_connections = units.Connections()
_leases = Leases()


class SQLiteBackend:
    """Keeps the promises of `CatalogBackend` and `BulkBackend` with SQLite.

    Parameters
    ----------
    path : Path
        The database file; links are followed.
    read_only : bool
        Refuse every write with `NotWritable`.
    create : bool
        Make the file at the first write if it is not there.
    auth, resource
        Who is asked, and for what, at every unit of work; nobody if ``auth`` is None.
    timeout : float
        Seconds to wait for a lock.

    Examples
    --------
    >>> from pathlib import Path
    >>> backend = SQLiteBackend(Path("session.db"), create=True)
    >>> backend.execute("CREATE TABLE shots (id INTEGER PRIMARY KEY, taken TIMESTAMP, energy DOUBLE)")
    >>> backend.insert("shots", {"id": 1, "energy": 8.5})
    >>> backend.fetch_all("SELECT id, taken, energy FROM shots")
    [(1, None, 8.5)]
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

    @contextlib.contextmanager
    def lease(self, *, write: bool, timeout: float | None = None) -> Iterator[None]:
        """See `BulkBackend.lease`. Who only reads sees one state of the database for the whole block."""
        self._require_open(write=write)
        if self._auth is not None:
            asked: Any = "write" if write else "read"
            authorize(self._auth, asked, self._resource, database=self._path, what=f"open it to {asked}")
        self._require_there(write=write)
        held: Any = _leases.on(str(self._path))
        if held is not None and write and not held.writing:
            raise self._only_reads()
        wait = self._timeout if timeout is None else timeout
        with database_lock(self._path).hold(wait) if write else contextlib.nullcontext():
            file = held or self._opened(write=write, wait=wait)
            file.depth += 1
            _leases.enter(self, file)
            try:
                yield
                self._require_unchanged(file)
            except CorruptError:
                self._require_unchanged(file)
                raise
            finally:
                _leases.leave(self, file)
                self._leave(file)

    def _require_open(self, *, write: bool) -> None:
        if self._closed:
            message = f"{self._path}: this backend is closed"
            raise InvalidInput(message)
        if write and self._read_only:
            message = f"{self._path} was opened read-only"
            raise NotWritable(message, path=str(self._path))
        if str(self._path) in _connections.inherited:
            message = (
                f"{self._path} was in use when this process was forked: SQLite cannot be used on it here; "
                "fork outside of a unit of work, or start the process afresh (spawn)"
            )
            raise InvalidInput(message)

    def _require_there(self, *, write: bool) -> bool:
        """Return whether the file is there; it need not be where a write may make it."""
        there = os.path.exists(self._path)
        if not there and not (write and self._create and self._path.parent.is_dir()):
            message = f"{self._path}: there is no database yet; make one with create=True"
            raise DatabaseNotFound(message, path=str(self._path))
        return there

    def _only_reads(self) -> InvalidInput:
        message = f"{self._path}: a write inside a block that only reads; leave the block first"
        return InvalidInput(message)

    def _require_unchanged(self, file: units.Unit) -> None:
        if file.seen is not None and file.seen != files.seen(self._path):
            raise busy(self._path, waited=0.0)  # what was read may be half the one and half the other

    def _opened(self, *, write: bool, wait: float) -> units.Unit:
        """Open the file for a unit of work; whoever writes has the lock file."""
        if not self._require_there(write=write):
            with self._translated(writing=True):
                files.make(self._path, _make)
        if write:
            require_one_name(self._path)  # a WAL goes by the name too: what the one holds the other does not know
        if (size := os.stat(self._path).st_size) < _SMALLEST:
            raise corrupt(self._path, f"it has {size} bytes, and SQLite would take it for a new one")
        file = units.Unit(self._path, writing=write)
        way, alone = files.way_in(self._path, write=write)
        file.seen = files.seen(self._path) if alone else None
        with self._translated(writing=write):
            file.connection = _connect(way)
        _connections.add(file)
        try:
            with self._translated(writing=write):
                self._patiently(file, lambda: units.begin(file.connection, self._path, write=write), wait)
        except BaseException:
            self._leave(file)
            raise
        return file

    def _leave(self, file: units.Unit) -> None:
        if file.inherited:
            return
        file.depth -= 1
        if file.depth <= 0:
            _connections.remove(file)
            # what was begun and not committed is rolled back; the last one out plays the WAL into the file
            file.connection.close()

    def _patiently(self, file: units.Unit, act: Callable[[], Any], wait: float) -> Any:
        """Do what may find the file locked, again and again until ``wait`` seconds are over."""
        import sqlite3

        began, within = time.monotonic(), file.connection.in_transaction
        while True:
            try:
                return act()
            except sqlite3.Error as error:
                if within or not str(getattr(error, "sqlite_errorname", "")).startswith(BUSY):
                    raise
                if (waited := time.monotonic() - began) >= wait:
                    raise busy(self._path, waited=waited) from error
                if file.connection.in_transaction:
                    file.connection.execute("ROLLBACK")
            time.sleep(_POLL)

    @contextlib.contextmanager
    def _leased(self, *, write: bool) -> Iterator[units.Unit]:
        """Use the lease that this thread holds, else hold one for the block."""
        file: Any = _leases.of(self)
        if file is None:
            with self.lease(write=write), self._leased(write=write) as leased:
                yield leased
            return
        self._require_open(write=write)
        if write and not file.writing:
            raise self._only_reads()
        yield file

    def _run(self, file: units.Unit, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._require_one(sql)
        if file.in_transaction and not file.connection.in_transaction:
            message = f"{self._path}: the transaction was rolled back by an error before this statement"
            raise StatementError(message)
        if (used := text.parameters(sql)) != set(range(1, len(params) + 1)):
            message = f"{self._path}: the statement uses the parameters {sorted(used)}, {len(params)} values were given"
            raise StatementError(message)
        bound = {str(n): values.stored(value) for n, value in enumerate(params, 1)}
        said = text.declared(sql) if file.writing else sql
        found: sqlite3.Cursor = self._patiently(file, lambda: file.connection.execute(said, bound), self._timeout)
        return found

    def _require_one(self, sql: str) -> None:
        count = len(self.statements(sql))
        if count != 1:
            message = f"{self._path}: one statement at a time, not {count}: {sql!r}"
            raise InvalidInput(message)

    # ── the eight verbs ──────────────────────────────────────────────────────────────────────────────

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """See `CatalogBackend.execute`."""
        with self._leased(write=True) as file, self._translated(writing=True):
            self._run(file, sql, params).fetchall()

    def query(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """See `CatalogBackend.query`."""
        with self._leased(write=False) as file, self._translated(writing=file.writing):
            return values.rows_of_arrow(*self._answer(file, sql, params))

    def fetch_one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See `CatalogBackend.fetch_one`."""
        rows = self.fetch_all(sql, params)
        return rows[0] if rows else None

    def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `CatalogBackend.fetch_all`."""
        with self._leased(write=False) as file, self._translated(writing=file.writing):
            return values.rows_of_python(*self._answer(file, sql, params))

    def _answer(self, file: units.Unit, sql: str, params: Sequence[Any]) -> tuple[list[str], list[str], list[Any]]:
        """Return the names, the declared types and the rows that a statement answers with."""
        cursor = self._run(file, sql, params)
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description or ()]
        types = _declared(file, text.question(sql)) if names else []
        return names, types if len(types) == len(names) else [""] * len(names), rows

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
            self._say(file, "BEGIN IMMEDIATE")
            file.in_transaction = True
            try:
                yield
                self._say(file, "COMMIT")
            except BaseException:
                # some errors roll back by themselves, and then there is nothing left to undo
                with contextlib.suppress(HmpError):
                    self._say(file, "ROLLBACK")
                raise
            finally:
                file.in_transaction = False

    def _say(self, file: units.Unit, sql: str) -> None:
        if file.inherited:
            message = f"{self._path}: a transaction does not outlive a fork"
            raise InvalidInput(message)
        with self._translated(writing=True):
            self._patiently(file, lambda: file.connection.execute(sql), self._timeout)

    def close(self) -> None:
        """See `CatalogBackend.close`."""
        self._closed = True

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection of the present unit of work, for functions that are given one; a write lease is held.

        What they begin they must end.
        """
        with self._leased(write=True) as file:
            yield file.connection

    # ── in bulk ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def staged(self, name: str, table: pa.Table) -> Iterator[None]:
        """See `BulkBackend.staged`."""
        quoted = f"temp.{identifier(name)}"
        file: Any = _leases.of(self)
        if file is None:
            message = f"{name}: rows are staged inside a lease or a transaction"
            raise InvalidInput(message)
        with self._translated(writing=True):
            columns = ", ".join(f"{identifier(k)} {v}" for k, v in values.declared_types(table).items())
            units.on_our_own(file, f"CREATE TABLE {quoted} ({columns})")
        try:
            with self._translated(writing=True):
                marks = ", ".join("?" * table.num_columns)
                kept = zip(*([values.stored(v) for v in column.to_pylist()] for column in table.columns), strict=True)
                units.on_our_own(file, f"INSERT INTO {quoted} VALUES ({marks})", kept)
            yield
        finally:
            # in a forked child it is the parent's; after a transaction that was rolled back it is gone
            if not file.inherited:
                with self._translated(writing=True):
                    units.on_our_own(file, f"DROP TABLE IF EXISTS {quoted}")

    def statements(self, script: str) -> list[str]:
        """See `BulkBackend.statements`."""
        import sqlite3

        self._require_open(write=False)
        return text.parts(script, sqlite3.complete_statement)

    # ── the border ───────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _translated(self, *, writing: bool) -> Iterator[None]:
        """Let no exception of the engine out: each becomes one of ours."""
        import sqlite3

        try:
            yield
        except HmpError:
            raise
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                raise KeyboardInterrupt from None  # nothing else stops a statement on its way
            raise meaning(error, self._path, writing=writing) from error
        except (TypeError, ValueError, OverflowError) as error:
            # a value or a text that cannot even be handed to the engine, as a lone surrogate
            message = f"{self._path}: {type(error).__name__}: {error}"
            raise StatementError(message) from error


def _connect(uri: str) -> sqlite3.Connection:
    import sqlite3

    # threads do not share it; its block may be left by another one all the same
    connection = sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None, check_same_thread=False)
    connection.set_progress_handler(lambda: 0, _STEPS)
    return connection


def _make(path: Path) -> None:
    """Make an empty database."""
    connection = _connect(f"{path.as_uri()}?mode=rwc")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _declared(file: units.Unit, question: str | None) -> list[str]:
    """Return the types that the columns of an answer were declared with; a view of it knows them, a cursor does not."""
    import sqlite3

    if question is None:
        return []
    try:
        units.on_our_own(file, f"CREATE TEMP VIEW {_VIEW} AS {question}")
        return [declared for _, _, declared, *_ in file.connection.execute(f"PRAGMA temp.table_info({_VIEW})")]
    except sqlite3.OperationalError:
        return []  # it selects what no view can; values are then what they look like
    finally:
        units.on_our_own(file, f"DROP VIEW IF EXISTS temp.{_VIEW}")


def engine_version() -> str:
    """Return the version of the SQLite library that this Python was built with."""
    import sqlite3

    return sqlite3.sqlite_version
