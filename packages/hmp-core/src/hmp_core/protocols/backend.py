"""What a database adapter promises: eight verbs, and a second contract for those that load in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa


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
