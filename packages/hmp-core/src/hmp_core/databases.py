"""The databases that can be found from a folder: whose each one is, and how it is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from hmp_core.errors import HmpError, InvalidInput, MissingPart, NotWritable, PathNotFound
from hmp_core.layout import (
    anchor,
    cache_path,
    catalog_path,
    experiments_path,
    has_experiments,
    index_path,
    project_root,
    projects,
    workspace_root,
)
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.events.fold import Fold
    from hmp_core.events.store import EventStore
    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BulkBackend, StoreBackend

#: Components whose databases have no log of events; of what they hold, the first is derived, the second is not.
UNLOGGED = frozenset({"index", "experiments"})

#: The package that knows a component, where it is not called so.
_PACKAGES = {"experiments": "hmp-catalog"}


class Settling(Protocol):
    """How databases without a log of events are read, whose writers keep journals; entry point group ``hmp.stores``."""

    def reading(
        self, database: Path, *, auth: AuthBackend | None, resource: str, timeout: float
    ) -> AbstractContextManager[tuple[BulkBackend, str]]:
        """Hold a lease that reads, with what the journals hold put into the tables first; also tell what is not."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """A database of hmp, there or not: the scope it belongs to (``component``), and where it lies."""

    component: str
    path: Path

    @property
    def resource(self) -> str:
        """What an authority is asked about: ``index``, ``cache:<workspace>``, ``catalog:<workspace>/<project>``; for
        experiments ``catalog:<workspace>/<folder>``.

        The names are those of the folders, links followed: by another way in it is no other resource.
        """
        home = self._home()
        match self.component:
            case "index":
                return "index"
            case "cache":
                return f"cache:{home.parent.name}"
        return f"catalog:{anchor(home).name}/{home.name}"

    def auth(self) -> AuthBackend:
        """Return the authority that is asked, that of its workspace or of the environment; see `get_auth_backend`."""
        from hmp_core.auth.choice import get_auth_backend

        return get_auth_backend(folder=None if self.component == "index" else self._home())

    def _home(self) -> Path:
        """Return the folder that it belongs to: where it really lies, if hmp knows that place, else where its name is.

        A link into a workspace is a way in; one that leads out of it to a scratch disk leaves it in its workspace.
        """
        real = Path(os.path.realpath(self.path)).parent
        known = workspace_root(real) or project_root(real)
        return real if known else Path(os.path.realpath(self.path.parent))

    def authorize(self, action: Literal["read", "write"], auth: AuthBackend | None = None, *, what: str = "") -> None:
        """Return if the current user may do ``action`` here, by ``auth`` or else the authority that is asked.

        Raises
        ------
        AccessDenied
            If not.
        """
        from hmp_core.auth.gate import authorize

        authorize(self.auth() if auth is None else auth, action, self.resource, database=self.path, what=what)

    def fold(self) -> Fold | None:
        """Return what its scope declares about its events; None for a database without a log (index, experiments).

        Raises
        ------
        MissingPart
            If the scope is not installed.
        """
        from importlib.metadata import entry_points  # 10 ms, which a door does not need

        for point in entry_points(group="hmp.folds", name=self.component):
            loaded: Fold = point.load()
            return loaded
        if any(entry_points(group="hmp.schemas", name=self.component)):
            return None
        package = _PACKAGES.get(self.component, f"hmp-{self.component}")
        message = f"a database of the component {self.component} needs {package}: install it"
        raise MissingPart(message, install=package)

    def components(self) -> list[tuple[str, Path]]:
        """Return the components of its schema, the scope's own last, and where their migrations are.

        Raises
        ------
        MissingPart
            If the scope is not installed.
        """
        from importlib.metadata import entry_points

        from hmp_core.events.store import components

        fold = self.fold()
        if fold is not None:
            return components(fold)
        return [point.load() for point in entry_points(group="hmp.schemas", name=self.component)]

    def settle(self, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Put what the journals of its writers hold into the tables, and return what that lacks; empty if nothing.

        Databases of which no scope declares such journals are left alone.
        """
        from importlib.metadata import entry_points

        for point in entry_points(group="hmp.stores", name=self.component):
            store: Settling = point.load()
            try:
                with store.reading(self.path, auth=self.auth(), resource=self.resource, timeout=timeout) as (_, lack):
                    return lack
            except HmpError as error:  # whatever is done next meets it too, or can do without
                return str(error)
        return ""

    def backend(self) -> DuckDBBackend:
        """Return a backend of the file as it is, with the authority asked at each lease."""
        from hmp_core.backends.duckdb import DuckDBBackend

        return DuckDBBackend(self.path, auth=self.auth(), resource=self.resource)

    def store(self) -> EventStore | None:
        """Return the event-logged database, to be closed by the caller; None for one without a log."""
        from hmp_core.events.store import EventStore

        fold = self.fold()
        return None if fold is None else EventStore(self.path, fold, auth=self.auth(), resource=self.resource)


def databases(path: str) -> Iterator[Database]:
    """Return the machine index and the databases of the workspace, else the project, that ``path`` lies in.

    Raises
    ------
    PathNotFound
        If there is no such folder.
    InvalidInput
        If it is a file, and none of the databases around it.
    """
    start = to_local(path)
    if not start.exists():
        message = f"{start}: no such folder"
        raise PathNotFound(message, path=str(start))
    if start.is_dir():
        yield from _around(start)
        return
    found = list(_around(start.parent))
    if os.path.realpath(start) not in {os.path.realpath(each.path) for each in found}:
        message = f"{start} is a file, and no database of hmp; name a workspace, a project or one of their databases"
        raise InvalidInput(message)
    yield from found


def require_meant(path: str) -> None:
    """Return if ``path`` lies in a workspace or a project, or is a database: what changes something asks first.

    Where neither is, the machine index alone would be found, which is another thing than what was named.

    Raises
    ------
    InvalidInput
        If not.
    """
    start = to_local(path)
    known = workspace_root(start) or project_root(start) or has_experiments(start)
    if start.suffix == ".duckdb" or not start.is_dir() or known:
        return
    message = (
        f"{start} belongs to no workspace and no project, so that nothing is changed; name one, or, if the machine "
        f"index is meant, its file: {index_path()}"
    )
    raise InvalidInput(message)


def _around(start: Path) -> Iterator[Database]:
    yield Database("index", index_path())
    workspace = workspace_root(start)
    homes: list[Path] = []
    if workspace is not None:
        yield Database("cache", cache_path(workspace))
        homes = [workspace, *projects(workspace)]
    elif (project_here := project_root(start)) is not None:
        homes = [project_here]
    for home in homes:
        if home != workspace:
            yield Database("catalog", catalog_path(home))
        yield from _experiments(home)
    if start not in homes:
        yield from _experiments(start)


def _experiments(folder: Path) -> Iterator[Database]:
    if has_experiments(folder):
        yield Database("experiments", experiments_path(folder))


@contextlib.contextmanager
def read_lease(backend: StoreBackend) -> Iterator[None]:
    """Hold a lease that reads; without the lock file where this user may make none."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(backend.lease(write=False))
        except NotWritable:
            stack.enter_context(backend.lease(write=False, unlocked=True))
        yield
