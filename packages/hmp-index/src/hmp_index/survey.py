"""What lies on the disk now, looked at by `stat` alone: opening a database to see whether it changed costs a lease."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from hmp_core.errors import CorruptError, PathNotFound
from hmp_core.events.pending import LogFiles
from hmp_core.identity import sha256_bytes
from hmp_core.layout import PROJECT_MARKER, WORKSPACE_MARKER, catalog_path, read_root
from hmp_index.roster import Listed


@dataclass(frozen=True, slots=True)
class SeenProject:
    """A project folder as it lies there."""

    path: Path
    #: what its catalog and its log looked like (see `mark`)
    mark: str
    has_catalog: bool
    #: whether runs or a log lie there, from which a missing catalog can be rebuilt
    has_traces: bool
    #: why it could not be looked at
    trouble: str = ""

    @property
    def slug(self) -> str:
        """The name of the folder: unique in its workspace."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class SeenWorkspace:
    """A registered workspace, and whether it can be reached."""

    line: Listed
    #: "ok", "unreachable" or "corrupt"
    status: str
    detail: str = ""
    projects: Sequence[SeenProject] = ()
    #: whether it is certainly not at its place any more, or something else is
    gone: bool = False


def look(line: Listed) -> SeenWorkspace:
    """Return what lies at the place of a registered workspace; never raises for what it finds there."""
    seen = _root(line)
    if seen.status != "ok":
        return seen
    try:
        return SeenWorkspace(line, "ok", projects=_projects(line.path / "projects"))
    except OSError as error:
        return SeenWorkspace(line, "unreachable", f"{line.path} cannot be read: {error.strerror or error}")


def holds(line: Listed) -> bool:
    """Return whether the folder of a line still holds that workspace; one whose marker is damaged may be it."""
    return _root(line).status != "unreachable"


def _root(line: Listed) -> SeenWorkspace:
    try:
        root = read_root(line.path, WORKSPACE_MARKER)
    except PathNotFound:
        detail = f"{line.path} is not there; mount it, or register the workspace where it is now"
        return SeenWorkspace(line, "unreachable", detail, gone=True)
    except CorruptError as error:
        return SeenWorkspace(line, "corrupt", str(error))
    except OSError as error:
        return SeenWorkspace(line, "unreachable", f"{line.path} cannot be read: {error.strerror or error}")
    if root.id != line.own_id:
        detail = f"{line.path} holds another workspace now ({root.id}); register this one where it is"
        return SeenWorkspace(line, "unreachable", detail, gone=True)
    return SeenWorkspace(line, "ok")


def mark(catalog: Path) -> str:
    """Return a short text that changes whenever a catalog, its log, or the marker of its project does.

    Files are compared by inode, size and time of change, in nanoseconds; segments and packs only grow, so their
    size is enough.
    """
    files = LogFiles(catalog)
    seen = [_identity(path) for path in (catalog, catalog.with_name(f"{catalog.name}.wal"))]
    seen.append(_identity(catalog.parent / PROJECT_MARKER))
    seen += [f"{path.name} {_size(path)}" for path in (*files.segments(), *files.packed())]
    return sha256_bytes("\n".join(seen).encode())[:32]


def _projects(folder: Path) -> list[SeenProject]:
    """Return the projects in a folder, by name; one that may not be looked at is not left out."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        try:
            if (path / PROJECT_MARKER).is_file() or catalog_path(path).is_file():
                found.append(_project(path))
        except OSError as error:
            why = f"{path} cannot be read: {error.strerror or error}"
            found.append(SeenProject(path, "", has_catalog=False, has_traces=False, trouble=why))
    return found


def _project(path: Path) -> SeenProject:
    catalog = catalog_path(path)
    there = catalog.is_file()
    return SeenProject(path, mark(catalog), has_catalog=there, has_traces=there or _has_traces(catalog))


def carried(project: Path) -> tuple[UUID | None, str]:
    """Return the id and the name that a project folder carries; None and the folder's name without a good marker."""
    try:
        root = read_root(project, PROJECT_MARKER)
    except (PathNotFound, CorruptError, OSError):
        return None, project.name
    return root.id, root.name


def _has_traces(catalog: Path) -> bool:
    files = LogFiles(catalog)
    return bool(files.segments() or files.packed()) or any((catalog.parent / "simulations").glob("*/run.json"))


def _identity(path: Path) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return "-"
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # packed and removed between listing and looking
        return -1
