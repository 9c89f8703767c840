"""A workspace and its projects as a user holds them: where the doors are, and the one cache they share."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from hmp_core.databases import Database
from hmp_core.errors import PathTaken
from hmp_core.layout import (
    PROJECT_MARKER,
    WORKSPACE_MARKER,
    cache_path,
    catalog_path,
    init_project,
    init_workspace,
    project_folder,
    projects,
    read_root,
)
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_cache import InputsNamespace
    from hmp_catalog import SimulationCatalog


def init(path: str | Path | UPath, *, name: str | None = None, force: bool = False) -> Workspace:
    """Make ``path`` a workspace with its input cache; the machine index hears of it, as of any that is worked in.

    Parameters
    ----------
    path
        A folder; made if it does not exist.
    name
        What people call it; the folder's name by default.
    force
        Also where there is something already: a workspace is opened as it is, another folder becomes one around
        what it holds.

    Raises
    ------
    PathTaken
        Without ``force``, if it is a workspace already or holds something; nothing is changed.
    UnsupportedScheme, NotWritable
        If hmp cannot keep files there; nothing is created.

    Examples
    --------
    >>> import tempfile
    >>> workspace = init(tempfile.mkdtemp() + "/aare")
    >>> workspace.project("base").catalog.find()
    <SimulationGroup of 0>
    """
    if not force:
        _require_free(to_local(path))
    here = to_local(path)
    there = _is_whole(here, WORKSPACE_MARKER, "data", "projects")
    action: Literal["read", "write"] = "read" if there else "write"
    Database("cache", cache_path(here)).authorize(action, what="open it" if there else "make the workspace")
    root = init_workspace(path, name=name)
    workspace = Workspace(root.path)
    workspace.data.close()  # the door of the cache makes its database, and leaves word for the machine index
    return Workspace(root.path)


def _require_free(folder: Path) -> None:
    if (folder / WORKSPACE_MARKER).exists():
        message = f"{folder} is a workspace already; open it with Workspace({str(folder)!r}), or use force"
    elif folder.exists() and not folder.is_dir():
        message = f"{folder} is a file; choose a folder"
    elif folder.is_dir() and any(folder.iterdir()):
        message = f"{folder} holds something already; choose another folder, or use force to make it a workspace"
    else:
        return
    raise PathTaken(message, path=str(folder))


def _is_whole(home: Path, marker: str, *folders: str) -> bool:
    """Return whether nothing would be made by making it."""
    return (home / marker).is_file() and all((home / folder).is_dir() for folder in folders)


class Workspace:
    """A folder with one input cache and any number of projects.

    Parameters
    ----------
    path
        Its root, which has a ``workspace.toml``.

    Raises
    ------
    PathNotFound
        If it is not a workspace; `init` makes one.
    """

    def __init__(self, path: str | Path | UPath) -> None:
        self._root = read_root(to_local(path), WORKSPACE_MARKER)

    def __repr__(self) -> str:
        return f"<Workspace {self.name}: {self.path}>"

    @property
    def path(self) -> Path:
        """Its root folder."""
        return self._root.path

    @property
    def id(self) -> UUID:
        """Its own id, which it keeps when it is moved."""
        return self._root.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._root.name

    @cached_property
    def data(self) -> InputsNamespace:
        """The input cache, shared by all projects."""
        from hmp_cache import InputsNamespace

        return InputsNamespace(self.path)

    def project(self, name: str, *, create: bool = True) -> Project:
        """Return the project ``name``, making it (and its catalog) if it is not there.

        Raises
        ------
        PathNotFound
            With ``create=False``, if it is not there.
        """
        if create:
            home = self.path / "projects" / project_folder(name)
            if not _is_whole(home, PROJECT_MARKER, "simulations"):
                Database("catalog", catalog_path(home)).authorize("write", what=f"make project {home.name}")
            return Project(init_project(self.path, name).path)
        here = [p for p in self.projects() if name in {p.name, p.path.name}]
        return here[0] if here else Project(self.path / "projects" / project_folder(name))

    def projects(self) -> list[Project]:
        """Return the projects, by name."""
        return [Project(path) for path in projects(self.path)]

    def close(self) -> None:
        """Close the cache."""
        if "data" in self.__dict__:
            self.data.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Project:
    """A catchment's folder in a workspace: its catalog, and the workspace's data."""

    def __init__(self, path: str | Path | UPath) -> None:
        self._root = read_root(to_local(path), PROJECT_MARKER)

    def __repr__(self) -> str:
        return f"<Project {self.name}: {self.path}>"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._root.path

    @property
    def name(self) -> str:
        """What people call it."""
        return self._root.name

    @property
    def workspace(self) -> Workspace:
        """The workspace it belongs to."""
        return Workspace(self.path.parent.parent)

    @cached_property
    def catalog(self) -> SimulationCatalog:
        """Its simulations; the database is made at the first use."""
        from hmp_catalog.door import open as open_catalog

        return open_catalog(self.path, create=True)

    @cached_property
    def data(self) -> InputsNamespace:
        """The input cache of the workspace."""
        return self.workspace.data

    def close(self) -> None:
        """Close the catalog and the cache."""
        for door in ("catalog", "data"):
            if door in self.__dict__:
                getattr(self, door).close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
