"""The database of a project made anew: from the run folders and the log, whether a catalog is open or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog import manifest
from hmp_catalog.fold import FOLD
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.errors import NotWritable
from hmp_core.events.rebuild import rebuild
from hmp_core.layout import catalog_path
from hmp_core.locks import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from hmp_core.events.store import EventStore, Notice
    from hmp_core.protocols import AuthBackend, BackendFactory


def rebuild_catalog(
    project: Path,
    *,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    backend: BackendFactory = DuckDBBackend,
) -> Notice:
    """Make the database of a project anew, whatever is there now; return what could not be told."""
    database = Database("catalog", catalog_path(project))
    authority = database.auth() if auth is None else auth
    return rebuild(database.path, FOLD, timeout=timeout, auth=authority, resource=database.resource, backend=backend)


def rebuild_store(store: EventStore, *, auth: AuthBackend | None, timeout: float) -> Notice:
    """Make the database of a catalog that is open anew, with the backend that it was opened with.

    Raises
    ------
    NotWritable
        If it was opened read-only.
    """
    if store.read_only:
        message = f"{store.path} was opened read-only"
        raise NotWritable(message, path=str(store.path))
    return rebuild_catalog(store.path.parent, auth=auth, timeout=timeout, backend=store.backend_factory)


def has_history(store: EventStore) -> bool:
    """Return whether there is something that a database could be made from: sealed runs, or a log."""
    return any(manifest.sealed_folders(store.path.parent)) or bool([*store.files.packed(), *store.files.segments()])
