"""What lies on the disk now, looked at by `stat` alone: opening a database to see whether it changed costs a lease."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from hmp_core.errors import CorruptError, PathNotFound
from hmp_core.events.pending import LogFiles
from hmp_core.events.segment import SUFFIX
from hmp_core.identity import sha256_bytes
from hmp_core.layout import (
    PROJECT_MARKER,
    WORKSPACE_MARKER,
    acquisition_folder,
    catalog_path,
    experiments_path,
    read_root,
    sessions,
)
from hmp_index.fold import ROOT
from hmp_index.roster import Listed

_CATALOG = catalog_path(Path()).name
_FILES = LogFiles(catalog_path(Path()))
#: Where a project has the files of its log.
_LOGS = (os.fspath(_FILES.pending), os.fspath(_FILES.packs))

#: The database of an experiments store, and where it has the journals of its writers.
_STORE = experiments_path(Path()).name
_JOURNALS = (os.fspath(LogFiles(experiments_path(Path())).pending),)


#: Where measuring sessions lie.
_SESSIONS = acquisition_folder(Path()).name


@dataclass(frozen=True, slots=True)
class SeenProject:
    """A project folder as it lies there."""

    path: Path
    #: what its catalog, its log and its experiments looked like (see `mark` and `store_mark`)
    mark: str
    has_catalog: bool
    #: whether runs or a log lie there, from which a missing catalog can be rebuilt
    has_traces: bool
    #: why it could not be looked at
    trouble: str = ""
    #: whether it has a `project.toml`, by which it is known
    has_marker: bool = False
    #: whether an experiments store lies there, or the journals of one
    has_store: bool = False
    #: whether measuring sessions lie there
    has_sessions: bool = False
    #: whether it is the workspace itself, which has no catalog
    is_root: bool = False

    @property
    def slug(self) -> str:
        """The name of the folder: unique in its workspace; that of the workspace itself is `ROOT`."""
        return ROOT if self.is_root else self.path.name

    @property
    def catalog_mark(self) -> str:
        """What its catalog and its log looked like, without the experiments."""
        return self.mark.partition("+")[0]


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
        projects = _projects(line)
        # without any it may have gone since its marker was read: an empty workspace is not made of that
        return SeenWorkspace(line, "ok", projects=projects) if projects else _root(line)
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
    project = os.fspath(catalog.parent)
    return _mark(project, _stat(f"{project}/{_CATALOG}"), _stat(f"{project}/{PROJECT_MARKER}"))


def store_mark(folder: str | Path) -> str:
    """Return the same of the experiments store of a folder: its file, its WAL, its journals; empty without one."""
    # of most folders this is all: without an exception, which costs more than the look itself
    if not os.access(f"{folder}/{_STORE}", os.F_OK) and not os.access(f"{folder}/{_JOURNALS[0]}", os.F_OK):
        return ""
    found, journals = _stat(f"{folder}/{_STORE}"), _logs(os.fspath(folder), _JOURNALS)
    if found is None and not journals:
        return ""
    seen = [_identity(each) for each in (found, _stat(f"{folder}/{_STORE}.wal"))]
    return sha256_bytes("\n".join([*seen, *(f"{name} {size}" for name, size in journals)]).encode())[:32]


def session_mark(folder: str | Path) -> str:
    """Return the same of the measuring sessions of a folder: their files and WALs; empty without any."""
    if not os.access(f"{folder}/{_SESSIONS}", os.F_OK):
        return ""
    found = [f"{path}{end}" for path in sessions(Path(folder)) for end in ("", "-wal")]
    if not found:
        return ""
    return sha256_bytes("\n".join(f"{Path(path).name} {_identity(_stat(path))}" for path in found).encode())[:32]


def beside(*marks: str) -> str:
    """Return what there is beside a catalog, by the marks of its parts; empty without any."""
    return "~".join(mark for mark in marks if mark)


def joined(mark: str, of_store: str) -> str:
    """Return the mark of a project with experiments; empty if either must be read again."""
    return f"{mark}+{of_store}" if mark and of_store else ""


def _mark(project: str, catalog: os.stat_result | None, marker: os.stat_result | None) -> str:
    seen = [_identity(found) for found in (catalog, _stat(f"{project}/{_CATALOG}.wal"), marker)]
    seen += [f"{name} {size}" for name, size in _logs(project)]
    return sha256_bytes("\n".join(seen).encode())[:32]


def _projects(line: Listed) -> list[SeenProject]:
    """Return the projects of a workspace, by name; one that may not be looked at is not left out."""
    folder = f"{line.path}/projects"
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    found = [each for name in names if (each := _project(f"{folder}/{name}")) is not None]
    return [*_of_root(line.path), *found]


def _of_root(workspace: Path) -> list[SeenProject]:
    """Return the workspace itself, where it has an experiments store or measuring sessions."""
    try:
        of_store, of_sessions = store_mark(workspace), session_mark(workspace)
    except OSError as error:
        why = f"{workspace} cannot be read: {error.strerror or error}"
        return [SeenProject(workspace, "", has_catalog=False, has_traces=False, trouble=why, is_root=True)]
    if not of_store and not of_sessions:
        return []
    mark = joined("-", beside(of_store, of_sessions))
    return [
        SeenProject(
            workspace,
            mark,
            has_catalog=False,
            has_traces=False,
            has_store=bool(of_store),
            has_sessions=bool(of_sessions),
            is_root=True,
        )
    ]


def _project(project: str) -> SeenProject | None:
    """Return what lies in a folder, None if it is no project.

    The path is text: with path objects the same look at a thousand workspaces took twice as long.
    """
    try:
        marker, catalog = _stat(f"{project}/{PROJECT_MARKER}"), _stat(f"{project}/{_CATALOG}")
        there = catalog is not None and stat.S_ISREG(catalog.st_mode)
        marked = marker is not None and stat.S_ISREG(marker.st_mode)
        if not there and not marked:
            return None
        if catalog is not None and not there:
            return _troubled(project, f"{project}/{_CATALOG} is not a file; move it away")
        seen, traces = _mark(project, catalog, marker), there or _has_traces(project)
        of_store, of_sessions = store_mark(project), session_mark(project)
    except OSError as error:
        return _troubled(project, f"{project} cannot be read: {error.strerror or error}")
    return SeenProject(
        Path(project),
        joined(seen, beside(of_store, of_sessions)) if of_store or of_sessions else seen,
        has_catalog=there,
        has_traces=traces,
        has_marker=marked,
        has_store=bool(of_store),
        has_sessions=bool(of_sessions),
    )


def _troubled(project: str, why: str) -> SeenProject:
    return SeenProject(Path(project), "", has_catalog=False, has_traces=False, trouble=why)


def carried(project: SeenProject) -> tuple[UUID | None, str] | None:
    """Return the id and the name that a project folder carries; None and the folder's name without a good marker.

    None alone where the marker that was seen is not there any more: the folder is gone, or its disk, and nothing can
    be said of whose it was.
    """
    try:
        root = read_root(project.path, PROJECT_MARKER)
    except PathNotFound:
        return None if project.has_marker else (None, project.slug)
    except (CorruptError, OSError):
        return None, project.slug
    return root.id, root.name


def _has_traces(project: str) -> bool:
    return bool(_logs(project)) or any((Path(project) / "simulations").glob("*/run.json"))


def _logs(project: str, folders: Sequence[str] = _LOGS) -> list[tuple[str, int]]:
    """Return the segments and then the packs of a catalog, by name, each with its size."""
    found = []
    for folder in folders:
        try:
            names = sorted(os.listdir(f"{project}/{folder}"))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # as the log itself does: what may not be listed is not read either
        found += [
            (name, _size(f"{project}/{folder}/{name}"))
            for name in names
            if name.endswith(SUFFIX) and not name.startswith(".")
        ]
    return found


def _stat(path: str) -> os.stat_result | None:
    """Return what `stat` says of a file, links followed; None if there is none."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _identity(found: os.stat_result | None) -> str:
    return "-" if found is None else f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _size(path: str) -> int:
    found = _stat(path)
    return -1 if found is None else found.st_size  # packed and removed between listing and looking
