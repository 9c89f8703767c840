"""How you get in: from a project folder, a database file or a workspace to its `SimulationCatalog`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.catalog import SimulationCatalog
from hmp_core.databases import Database
from hmp_core.durable import right_to_write
from hmp_core.errors import InvalidInput, NotWritable, PathNotFound
from hmp_core.layout import (
    PROJECT_MARKER,
    WORKSPACE_MARKER,
    catalog_path,
    init_project_folder,
    projects,
)
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols import AuthBackend, BackendFactory


def open(  # noqa: A001 - the documented name of the door
    path: str | Path | UPath,
    *,
    create: bool = False,
    read_only: bool = False,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    backend: BackendFactory | None = None,
) -> SimulationCatalog:
    """Open the catalog of a project.

    Parameters
    ----------
    path
        A project folder, its ``catalog.duckdb``, or a workspace with exactly one project.
    create
        Make the project and its catalog if they are not there.
    read_only
        Refuse every write.
    auth
        Who is asked for the right to read and write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for the database's lock.
    backend
        Makes what opens the database file, an adapter that keeps `hmp_core.protocols.StoreBackend`; by default
        `hmp_core.backends.DuckDBBackend`.

    Raises
    ------
    PathNotFound, DatabaseNotFound
        If there is nothing (a ``FileNotFoundError``); nothing is created.
    InvalidInput
        If a workspace has no project, or several; they are listed.
    UnsupportedScheme, NotWritable, CorruptError, SchemaTooNewError, BusyError
        See `hmp_core.errors`.

    Examples
    --------
    >>> import tempfile
    >>> with open(tempfile.mkdtemp() + "/aare", create=True) as cat:
    ...     with cat.record(solver="gr4j", name="base", parameters={"x1": 320.0}) as rec:
    ...         rec.metric("nse", 0.83)
    ...     cat["base"].metrics
    {'nse': 0.83}
    """
    project = locate(to_local(path), create=create and not read_only, auth=auth)
    return SimulationCatalog(project, create=create, read_only=read_only, auth=auth, timeout=timeout, backend=backend)


def locate(where: Path, *, create: bool = False, auth: AuthBackend | None = None) -> Path:
    """Return the project folder that ``where`` means, making it if ``create``.

    Raises
    ------
    PathNotFound
        If there is none.
    InvalidInput
        If a workspace has no project, or several.
    """
    if where.name == "catalog.duckdb":
        where = where.parent
    if os.path.isfile(where / PROJECT_MARKER) or os.path.isfile(catalog_path(where)):
        return where
    if os.path.isfile(where / WORKSPACE_MARKER):
        return _only_project(where)
    if create:
        Database("catalog", catalog_path(where)).authorize("write", auth, what="make the project")
        return init_project_folder(where).path
    if os.path.isdir(where) and not os.access(where, os.X_OK):
        message = f"{where} is closed to this user; {right_to_write(where)}"
        raise NotWritable(message, path=str(where))
    if os.path.isdir(where):
        kind = "is not a project: it has no project.toml"
    else:
        kind = "is a file, not a project folder" if os.path.exists(where) else "does not exist"
    message = f"{where} {kind}; make a project there with create=True (or `hmp init`)"
    raise PathNotFound(message, path=str(where))


def _only_project(workspace: Path) -> Path:
    found = projects(workspace)
    if len(found) == 1:
        return found[0]
    if not found:
        remedy = (
            f"make one with `hmp init {workspace} --project NAME`, or open {workspace}/projects/NAME with create=True"
        )
        message = f"{workspace} is a workspace without a project yet; {remedy}"
        raise InvalidInput(message)
    names = ", ".join(p.name for p in found)
    message = (
        f"{workspace} is a workspace with {len(found)} projects ({names}); open one, as <workspace>/projects/<name>"
    )
    raise InvalidInput(message)
