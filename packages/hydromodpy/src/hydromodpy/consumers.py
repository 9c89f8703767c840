"""Which runs consumed an input: every project is asked once, for everything that is wanted, on any workspace.

A project is read as it is: what is pending in its log is folded where that is allowed, nothing is brought up to date.
What could not be asked is named, with the reason.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hmp_core.databases import Database
from hmp_core.errors import HmpError, PathNotFound
from hmp_core.events import EventStore
from hmp_core.layout import WORKSPACE_MARKER, catalog_path, internal_folder, projects, read_root
from hydromodpy.experiments import folders, trainings

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols import AuthBackend, BulkBackend
    from hydromodpy.records import Recorded

T = TypeVar("T")

#: Seconds to wait for a project that somebody else holds; one among hundreds must not hold the answer.
PATIENCE = 5.0

_HASHES, _ENTRIES, _PATHS = "_hmp_wanted_hashes", "_hmp_wanted_entries", "_hmp_wanted_paths"
_ASKED = (
    "SELECT CAST(p.sim_id AS VARCHAR) AS sim_id, s.name, s.status, CAST(s.owner AS VARCHAR) AS owner, "
    "s.trashed_at IS NOT NULL AS is_trashed, CAST(p.entry_id AS VARCHAR) AS entry_id, p.source_sha256 AS sha256 "
    "FROM provenance p JOIN simulations s ON s.sim_id = p.sim_id "
    f"WHERE p.source_sha256 IN (SELECT sha256 FROM {_HASHES}) "
    f"OR p.entry_id IN (SELECT CAST(entry_id AS UUID) FROM {_ENTRIES}) "
    f"OR (p.entry_id IS NULL AND p.file_path IN (SELECT path FROM {_PATHS})) "
    "ORDER BY s.created_at, s.sim_id"
)


class Consumer(NamedTuple):
    """A run that consumed an input: in which project, and what it recorded of it."""

    workspace: Path
    project: Path
    sim_id: str
    name: str | None
    status: str
    is_trashed: bool
    entry_id: str | None
    sha256: str


@dataclass(slots=True)
class Asker:
    """Asks projects on behalf of a user, and keeps who could not be asked.

    Parameters
    ----------
    home
        The workspace that the question is about; None if it is about all of them.
    auth
        Who is asked for the right to look; by default whom each project names.
    """

    home: Path | None
    auth: AuthBackend | None = None
    #: place -> why it could not be asked
    skipped: dict[str, str] = field(default_factory=dict)

    def workspaces(self, *, everywhere: bool) -> list[Path]:
        """Return the home workspace and, where ``everywhere``, the others of the machine that are there."""
        known = [self.home] if self.home else []
        if not everywhere:
            return known
        from hmp_index.door import index

        seen = {_identity(home) for home in known}
        try:
            with index(auth=self.auth) as machine:
                listed = {each.path: each.copy_of or each.id for each in machine.workspaces(look=False)}
        except HmpError as error:
            self.skipped["machine index"] = str(error)
            return known
        for path, carried in listed.items():
            try:
                identity = _identity(path)
            except OSError as error:
                self.skipped[str(path)] = f"the workspace is not there ({error.strerror})"
                continue
            self.note(path, _lacking(path, carried))
            known += [] if identity in seen else [path]
            seen.add(identity)
        return known

    def consumers(
        self, workspace: Path, hashes: Collection[str], entries: Collection[str] = (), *, paths: Collection[str] = ()
    ) -> list[Consumer]:
        """Return the runs that consumed any of these bytes, any version of these entries, or a plain file there.

        The oldest comes first in each project; those in the trash are there, and say so. Experiments come last.
        """
        wanted = _Wanted(hashes, entries, paths)
        found = [each for project in self.projects(workspace) for each in self._of_project(workspace, project, wanted)]
        return found + [each for folder in folders(workspace) for each in self._of_store(workspace, folder, wanted)]

    def note(self, place: Path, lack: str) -> None:
        """Keep what the answer of a place lacks, if it lacks anything."""
        if lack:
            self.skipped[str(place)] = lack

    def projects(self, workspace: Path) -> list[Path]:
        """Return the projects of a workspace in which something was recorded."""
        try:
            return [project for project in projects(workspace) if has_catalog(project)]
        except OSError as error:
            self.skipped[str(workspace)] = f"it cannot be looked into: {error.strerror}"
            return []

    def _of_project(self, workspace: Path, project: Path, wanted: _Wanted) -> Iterator[Consumer]:
        from hmp_catalog.queries import state

        found = self.read(project, wanted.ask)
        for sim, name, status, owner, trashed, entry, sha256 in [] if found is None else _rows(found):
            yield Consumer(workspace, project, sim, name, state(status, owner), trashed, entry, sha256)

    def _of_store(self, workspace: Path, folder: Path, wanted: _Wanted) -> Iterator[Consumer]:
        for run in trainings(folder, self.auth, PATIENCE, self.note):
            of_run = (workspace, folder, run.run_id, run.name, run.status)
            for one in run.inputs:
                if wanted.means(one):
                    yield Consumer(*of_run, is_trashed=False, entry_id=one.entry_id, sha256=one.sha256)

    def read(self, project: Path, question: Callable[[BulkBackend], T]) -> T | None:
        """Return what a project answers; None where it could not be asked, which is noted."""
        from hmp_catalog.fold import FOLD

        known = Database("catalog", catalog_path(project))
        try:
            auth = known.auth() if self.auth is None else self.auth
            store = EventStore(known.path, FOLD, auth=auth, resource=known.resource, timeout=PATIENCE)
            with contextlib.closing(store), store.reading() as backend:
                found = question(backend)
        except HmpError as error:
            self.skipped[str(project)] = str(error)
            return None
        except OSError as error:
            self.skipped[str(project)] = f"it cannot be read: {error.strerror}"
            return None
        if store.notice:
            self.skipped[str(project)] = f"the answer is not complete: {store.notice}"
        return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which bytes, entries and paths are asked for."""

    hashes: Collection[str]
    entries: Collection[str]
    paths: Collection[str]

    def means(self, one: Recorded) -> bool:
        """Return whether an input is one that is asked for."""
        return (
            one.sha256 in self.hashes
            or one.entry_id in self.entries
            or (one.entry_id is None and one.path in self.paths)
        )

    def ask(self, backend: BulkBackend) -> pa.Table:
        """Ask one catalog."""
        import pyarrow as pa

        named = ((_HASHES, "sha256", self.hashes), (_ENTRIES, "entry_id", self.entries), (_PATHS, "path", self.paths))
        with contextlib.ExitStack() as stack:
            for name, column, values in named:
                stack.enter_context(backend.staged(name, pa.table({column: pa.array(sorted(values), pa.string())})))
            return backend.query(_ASKED)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table; a dictionary a row takes five times as long."""
    return zip(*table.to_pydict().values(), strict=True)


def has_catalog(project: Path) -> bool:
    """Return whether any simulation was ever recorded in a project."""
    database = catalog_path(project)
    return (
        not os.access(project, os.X_OK)  # a folder that is closed is named, not passed over
        or database.exists()
        or internal_folder(database).exists()
        or any((project / "simulations").glob("*/"))
    )


def _lacking(folder: Path, carried: str) -> str:
    """Return why a folder is not the workspace that was listed there, if it is not; what is there is asked anyway."""
    try:
        found = read_root(folder, WORKSPACE_MARKER)
    except PathNotFound:  # where something is mounted there is an empty folder while it is not
        return f"the workspace is not there (the folder has no {WORKSPACE_MARKER})"
    except HmpError as error:
        return str(error)
    return "" if str(found.id) == carried else f"another workspace is there ({found.name}) than the one that was listed"


def _identity(folder: Path) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino
