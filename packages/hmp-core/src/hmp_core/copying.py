"""The whole of a database in a new file, through the engine, and compared with what it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import translated
from hmp_core.errors import CorruptError, StorageError

if TYPE_CHECKING:
    from hmp_core.protocols.backend import BackendFactory, StoreBackend

#: What a database is made of, each with the statement that would make it.
_PARTS = """
SELECT 'table', schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = current_database()
UNION ALL
SELECT 'index', schema_name, index_name, sql FROM duckdb_indexes() WHERE database_name = current_database()
UNION ALL
SELECT 'sequence', schema_name, sequence_name, sql FROM duckdb_sequences() WHERE database_name = current_database()
UNION ALL
SELECT 'view', schema_name, view_name, sql FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
ORDER BY ALL
"""


def copy_whole(
    source: StoreBackend, new: Path, *, unlocked: bool = False, backend: BackendFactory = DuckDBBackend
) -> None:
    """Write all that ``source`` holds into a new database at ``new``, a name that nobody else knows.

    Every block of the source is read on the way, so damage that has not shown yet shows here.

    Parameters
    ----------
    source
        What is copied; a lease that reads is taken, or the one that this thread has is used.
    new
        Where to. Nothing is there yet; whatever is left after an error is the caller's to remove.
    unlocked
        The source is a file that nobody writes to: it needs no lock file.
    backend
        Makes what opens the new one, of the kind that the source is.

    Raises
    ------
    StorageError, NotWritable
        If the copy cannot be written.
    CorruptError
        If the source is damaged, or the copy is not what it came from.
    BusyError
        If the source is not to be had in time.
    """
    target = backend(new, create=True)
    with source.lease(write=False, unlocked=unlocked):
        with translated(new), target.lease(write=True, unlocked=True):
            try:
                source.copy_to(target)
                target.execute("CHECKPOINT")
            except StorageError as error:
                why = error.__cause__ or error
                message = f"{source.path} could not be copied to {new.parent}; free some space and try again ({why})"
                raise StorageError(message, path=str(new.parent)) from error
        expected = contents(source)
    with target.lease(write=False, unlocked=True):
        found = contents(target)
    if found != expected:
        unlike = sorted(f"{part[0]} {part[2]}" for part, _ in found.items() ^ expected.items())
        message = (
            f"the copy of {source.path} is not what it was made from and was not used: {', '.join(unlike[:5])} "
            "differ; rebuild the database from its files, with the `rebuild` verb of its scope"
        )
        raise CorruptError(message, path=str(source.path))


def contents(backend: StoreBackend) -> dict[tuple[Any, ...], int | None]:
    """Return what a database is made of, each table with how many rows it has."""
    with backend.lease(write=False, unlocked=True):
        return {part: _count(backend, *part[1:3]) if part[0] == "table" else None for part in backend.fetch_all(_PARTS)}


def _count(backend: StoreBackend, schema: str, table: str) -> int:
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
    row = backend.fetch_one(f"SELECT count(*) FROM {quoted}")
    return int(row[0]) if row else 0
