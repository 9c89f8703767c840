"""What a database adapter promises: eight verbs; bulk loading and leases; what a store with a log stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols.auth import AuthBackend


@runtime_checkable
class CatalogBackend(Protocol):
    """Runs statements on one database.

    Parameters are positional: ``$1``, ``$2``, ... Table and column names given to `insert` and `upsert` are
    validated (letters, digits, underscore; `InvalidInput` otherwise); values are always bound.

    Note for implementers
    ---------------------
    A verb called outside a transaction is its own unit of work: it takes what locks it needs and leaves none
    behind. Results are complete before a verb returns. Raise `BusyError` when a lock was not free in time,
    `CorruptError` for a file that is not a database of yours, `DatabaseNotFound` where there is none,
    `NotWritable` for a write on a read-only backend, `StatementError` for a statement the engine refuses;
    no other exception of the engine may leave the adapter.
    """

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement that changes something."""
        ...

    def query(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """Return the rows of a statement as an Arrow table."""
        ...

    def fetch_one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        ...

    def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows as tuples."""
        ...

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row."""
        ...

    def upsert(self, table: str, row: Mapping[str, Any], *, key: Sequence[str]) -> None:
        """Add one row, or replace the other columns of the row with the same ``key``."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: commit at the end of the block, roll back on any `BaseException`."""
        ...

    def close(self) -> None:
        """Give back what is held. Closing twice is allowed; any other verb afterwards is `InvalidInput`."""
        ...


@runtime_checkable
class BulkBackend(CatalogBackend, Protocol):
    """A backend that holds a lease over several verbs and loads Arrow tables.

    Note for implementers
    ---------------------
    A lease is re-entrant within its thread and exclusive among threads. A write inside a read lease is
    refused (`InvalidInput`): the caller decides at the outset.
    """

    @property
    def path(self) -> Path:
        """The database file."""
        ...

    def lease(self, *, write: bool, timeout: float | None = None) -> AbstractContextManager[None]:
        """Keep the database open for the block."""
        ...

    def staged(self, name: str, table: pa.Table) -> AbstractContextManager[None]:
        """Let statements of the block select from ``table`` by ``name``; a lease must be held."""
        ...

    def statements(self, script: str) -> list[str]:
        """Return the single statements of a script."""
        ...


@runtime_checkable
class StoreBackend(BulkBackend, Protocol):
    """A backend that an event-logged database stands on: catalogs and caches are opened with one (``backend=``).

    Its statements are in DuckDB's SQL (migrations, folds and questions are written in it), and it keeps one file, at
    the path that it was given: a rebuild makes another beside it and renames that one into its place.

    Note for implementers
    ---------------------
    A store has several of your backends on one file, and a thread asks one while it holds a lease of another, or
    only the lock (`hmp_core.locks.database_lock`, which counts within a thread): what a thread has open belongs to the
    file, not to the object. Raise `WalCorrupt` where what a killed process left beside the file keeps it from being
    opened. A backend need not pickle; what makes it (`BackendFactory`) must, if catalogs are to travel to workers.
    """

    def start(self) -> None:
        """Get ready what takes long the first time: it is called before the lock is taken."""
        ...

    @property
    def leased(self) -> bool:
        """Whether the present thread has the file open, through this backend or another."""
        ...

    @property
    def only_reads(self) -> bool:
        """Whether the present thread has the file open, through this backend or another, and only to read."""
        ...

    def lease(
        self,
        *,
        write: bool,
        timeout: float | None = None,
        action: Literal["read", "write"] | None = None,
        unlocked: bool = False,
    ) -> AbstractContextManager[None]:
        """Keep the database open for the block.

        Parameters
        ----------
        write
            Open it for writing.
        timeout
            Seconds to wait for the lock, 0 to try once; by default as the backend was made.
        action
            What the authority is asked for instead: a fold writes on behalf of a reader.
        unlocked
            Without the lock file: it cannot be made there, or nobody else knows the file. Threads wait all the same.
        """
        ...

    def copy_to(self, other: Self) -> None:
        """Write all that is here into ``other``, empty and of the same kind, on which this thread has a write lease."""
        ...


class BackendFactory(Protocol):
    """Makes the backend of a database file: the class of an adapter, or a function or partial around one."""

    def __call__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        create: bool = False,
        auth: AuthBackend | None = None,
        resource: str = "",
        timeout: float = 30.0,
    ) -> StoreBackend:
        """Return a backend on ``path``; nothing is opened or made yet.

        Parameters
        ----------
        path
            The database file.
        read_only
            Refuse every write with `NotWritable`.
        create
            Make the file at the first write lease if it is not there.
        auth, resource
            Who is asked, and for what, at every lease (`hmp_core.auth.authorize`); nobody if ``auth`` is None.
        timeout
            Seconds to wait for the lock.
        """
        ...
