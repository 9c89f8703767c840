"""The database of a project made anew: from the run folders and the log, without a catalog that is open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.fold import FOLD
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.events.rebuild import rebuild
from hmp_core.layout import catalog_path
from hmp_core.locks import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from hmp_core.events.store import Notice
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
