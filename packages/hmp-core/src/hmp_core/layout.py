"""Where each file lies on the machine, in a workspace and in a project, and what marks a root.

::

    $HMP_STATE_HOME | <user state>/hydromodpy    index.duckdb  workspaces.toml
    <workspace>/                                 workspace.toml  data/cache.duckdb  projects/
    <workspace>/projects/<project>/              project.toml  catalog.duckdb  simulations/  events/
    <workspace> or <project>/                    store.duckdb  artifacts/   (experiments, where there are any)
                                                 acquisition/<session>.db  <session>.zarr/   (measuring sessions)

A marker file, not a database, makes a root: deleting a database never un-makes a project.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import CorruptError, InvalidInput, NotWritable, PathNotFound, PathTaken
from hmp_core.identity import sha256_bytes, slug
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

WORKSPACE_MARKER = "workspace.toml"
PROJECT_MARKER = "project.toml"


@dataclass(frozen=True, slots=True)
class Root:
    """A workspace or a project: its folder, its own id, its name."""

    path: Path
    id: UUID
    name: str


def state_home() -> Path:
    """Return the folder of the machine index: ``HMP_STATE_HOME``, else the platform's user state."""
    override = os.environ.get("HMP_STATE_HOME")
    if override:
        return to_local(override)
    import platformdirs

    return Path(platformdirs.user_state_path("hydromodpy", appauthor=False))


def index_path() -> Path:
    """Return where the machine index lies."""
    return state_home() / "index.duckdb"


def cache_path(workspace: Path) -> Path:
    """Return where the input cache of a workspace lies."""
    return workspace / "data" / "cache.duckdb"


def catalog_path(project: Path) -> Path:
    """Return where the catalog of a project lies."""
    return project / "catalog.duckdb"


def experiments_path(folder: Path) -> Path:
    """Return where the experiments store of a folder lies: a project, a workspace, or any other."""
    return folder / "store.duckdb"


def has_experiments(folder: Path) -> bool:
    """Return whether there is an experiments store in a folder, or what is left of one that lost its database."""
    path = experiments_path(folder)
    return os.path.lexists(path) or os.path.isdir(internal_folder(path))


def acquisition_folder(folder: Path) -> Path:
    """Return where the measuring sessions of a project or a workspace lie."""
    return folder / "acquisition"


def sessions(folder: Path) -> list[Path]:
    """Return the files of a project or a workspace that are sessions by their place and name, by name."""
    try:
        names = os.listdir(acquisition_folder(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [acquisition_folder(folder) / name for name in sorted(names) if name.endswith(".db") and name[0] != "."]


def internal_folder(database: Path) -> Path:
    """Return the folder of a database's own files: pending segments, rejected lines, backups."""
    return database.parent / ".hmp" / database.stem


def init_workspace(path: str | Path | UPath, *, name: str | None = None) -> Root:
    """Make ``path`` a workspace (or return the one that is there) and return its root.

    Raises
    ------
    UnsupportedScheme
        For a URI of another scheme than ``file``; nothing is created.
    NotWritable
        If the folder cannot be written.
    """
    return _init(to_local(path), WORKSPACE_MARKER, name, folders=("data", "projects"))


def init_project(workspace: str | Path | UPath, name: str) -> Root:
    """Make the project ``name`` in a workspace (or return the one that is there).

    Raises
    ------
    InvalidInput
        For a name that is empty or holds control characters.
    PathTaken
        If another project has the folder that this name would have, as "ete" and "été".
    """
    root = read_root(to_local(workspace), WORKSPACE_MARKER)
    made = _init(root.path / "projects" / project_folder(name), PROJECT_MARKER, name, folders=("simulations",))
    if name not in {made.name, made.path.name}:
        message = f"{made.path} is the project {made.name!r}; choose a name that differs in more than accents or signs"
        raise PathTaken(message, path=str(made.path))
    return made


def project_folder(name: str) -> str:
    """Return the name of the folder of a project: its slug, or a part of its hash where no letter would be left.

    Raises
    ------
    InvalidInput
        For a name that is empty, holds control characters, or is ``.`` or ``..``.
    """
    if not isinstance(name, str) or not name.strip(" .") or not name.isprintable():
        message = f"{name!r} is not the name of a project: expected printable text"
        raise InvalidInput(message)
    found = slug(name, length=64)
    return found if found != "unnamed" or name == "unnamed" else f"project-{sha256_bytes(name.encode())[:8]}"


def init_project_folder(path: str | Path | UPath) -> Root:
    """Make the folder ``path`` a project, wherever it lies (without a workspace it is its own)."""
    return _init(to_local(path), PROJECT_MARKER, None, folders=("simulations",))


def workspace_root(path: Path) -> Path | None:
    """Return the nearest folder at or above ``path`` that is a workspace, or None."""
    return _nearest(path, WORKSPACE_MARKER)


def project_root(path: Path) -> Path | None:
    """Return the nearest folder at or above ``path`` that is a project, or None."""
    return _nearest(path, PROJECT_MARKER)


def anchor(project: Path) -> Path:
    """Return the folder that kept paths are relative to: the workspace, else the project itself."""
    return workspace_root(project) or project


def projects(workspace: Path) -> list[Path]:
    """Return the projects of a workspace, by name; those marked, those with only a catalog, those closed to this user.

    Whether a closed folder is a project cannot be told: it is better named than passed over.
    """
    folder = workspace / "projects"
    if not os.path.isdir(folder):
        return []
    return sorted(entry for entry in folder.iterdir() if _is_project(entry) or _is_closed(entry))


def _is_project(folder: Path) -> bool:
    return os.path.isfile(folder / PROJECT_MARKER) or os.path.isfile(catalog_path(folder))


def _is_closed(folder: Path) -> bool:
    return os.path.isdir(folder) and not folder.name.startswith(".") and not os.access(folder, os.X_OK)


def read_root(path: Path, marker: str) -> Root:
    """Return the root that ``marker`` in ``path`` describes.

    Raises
    ------
    PathNotFound
        If there is no marker.
    CorruptError
        If the marker is not what it should be.
    NotWritable
        If it may not be read.
    """
    file = path / marker
    try:
        with file.open("rb") as stream:
            found = tomllib.load(stream)
        return Root(path=path, id=root_id(found), name=str(found.get("name", path.name)))
    except (FileNotFoundError, NotADirectoryError):
        kind = marker.removesuffix(".toml")
        remedy = f"make one with {_init_command(path)}" if kind == "workspace" else "make one with create=True"
        message = f"{path} is not a {kind}: it has no {marker}; {remedy}"
        raise PathNotFound(message, path=str(path)) from None
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise NotWritable(message, path=str(file)) from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, brackets too deep, no id, no UUID
        message = (
            f'{file} cannot be read ({error}); it should hold id = "<uuid>" and name = "..."; {marker_remedy(file)}'
        )
        raise CorruptError(message, path=str(file)) from error


def root_id(said: Mapping[str, Any]) -> UUID:
    """Return the id in what a marker says: a marker without one was emptied or is not ours.

    Raises
    ------
    ValueError
        If there is none, or it is no UUID.
    """
    if "id" not in said:
        message = "it has no id"
        raise ValueError(message)
    try:
        return UUID(str(said["id"]))
    except ValueError:
        message = f"its id is {said['id']!r}, no UUID"
        raise ValueError(message) from None


def marker_remedy(file: Path) -> str:
    """Return what to do about a marker that cannot be used."""
    put_back = "put a copy of it back"
    if file.name != WORKSPACE_MARKER:
        return put_back
    return (
        f"{put_back}, or remove it and run {_init_command(file.parent)}: a new id, without the former [auth] and [fold]"
    )


def _init_command(path: Path) -> str:
    there = os.path.isdir(path) and (not os.access(path, os.R_OK) or any(path.iterdir()))
    return f"`hmp init {shlex.quote(str(path))}{' --force' if there else ''}`"


def _nearest(path: Path, marker: str) -> Path | None:
    # a folder above may be closed to us: os.path.isfile says no where Path.is_file raises
    return next((p for p in (path, *path.parents) if os.path.isfile(p / marker)), None)


def _init(path: Path, marker: str, name: str | None, *, folders: tuple[str, ...]) -> Root:
    if not os.path.isfile(path / marker):
        make_folder(path)
        _write_marker(path / marker, {"id": str(uuid4()), "name": name or path.name})
    root = read_root(path, marker)
    for folder in folders:
        make_folder(path / folder)
    return root


def _write_marker(file: Path, content: dict[str, Any]) -> None:
    import tomli_w

    # two processes may make the same root at once: the first marker stays
    write_atomic(file, tomli_w.dumps(content).encode(), overwrite=False)
