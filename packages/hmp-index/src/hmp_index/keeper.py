"""The list of workspaces and the file derived from it, kept together: what changes the one is followed by the other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from hmp_core.arrivals import waiting
from hmp_core.auth import get_auth_backend
from hmp_core.errors import (
    BusyError,
    CorruptError,
    DatabaseNotFound,
    HmpError,
    NotWritable,
    StorageError,
    WalCorrupt,
)
from hmp_core.layout import WORKSPACE_MARKER, read_root
from hmp_core.paths import to_local
from hmp_core.questions import ask, require_question
from hmp_index import queries, roster
from hmp_index.book import Book
from hmp_index.enrolling import Enrolled, discard, newcomers, not_yet, settle_moves
from hmp_index.federation import Reader
from hmp_index.fold import WorkspaceRow
from hmp_index.records import Notice, Project, Skipped
from hmp_index.refresh import Found, Progress, State, look_around, settle, tell
from hmp_index.roster import Listed
from hmp_index.scanning import seek

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.protocols import AuthBackend

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that an answer spends on reading what changed; what is left over is told to be stale.
BUDGET = 10.0


@dataclass(frozen=True, slots=True)
class View:
    """What an answer is given from."""

    listed: Sequence[Listed]
    state: State
    found: Found
    notice: Notice

    def projects(self) -> list[Project]:
        """Return the records of all projects."""
        lines = {line.id: line for line in self.listed}
        late = {place.project_id for place, _ in self.found.late}
        return [
            queries.project(lines[row.place.workspace_id], row, late=row.place.project_id in late)
            for row in self.state.projects
        ]

    def labels(self) -> dict[str, str]:
        """Return the label of each workspace by its id."""
        return {str(line.id): line.label for line in self.listed}


class Keeper:
    """Keeps ``workspaces.toml`` and ``index.duckdb`` beside it."""

    def __init__(self, path: Path, *, auth: AuthBackend | None, timeout: float, read_only: bool) -> None:
        self.path = Path(os.path.realpath(path))
        self.file = self.path.with_name(roster.NAME)
        self.read_only = read_only
        #: the authority that was given; None where each workspace or the environment names it
        self.auth = auth
        authority = get_auth_backend() if auth is None else auth
        self._book = Book(self.path, auth=authority, timeout=timeout, read_only=read_only)
        self._reader = Reader.installed(auth)
        self._remarks: list[str] = []
        self._mended(self._book.prepare)

    # ── the list ─────────────────────────────────────────────────────────────────────────────────────

    def listed(self) -> list[Listed]:
        """Return the list; where the file was lost, as the database remembers it."""
        found = roster.read(self.file)
        if found is not None:
            return found
        remembered = [_remembered(row) for row in self._book.state().workspaces]
        if not remembered or self.read_only:
            return remembered
        with self._book.locked("read"):
            found = roster.read(self.file)
            if found is None:
                roster.write(self.file, remembered)
                self._remarks.append(f"{self.file} was missing; it was written again from {self.path.name}")
        return remembered if found is None else found

    def change(self, how: Callable[[list[Listed]], tuple[list[Listed], T]]) -> T:
        """Replace the list by what ``how`` makes of it, under the lock; return what else it returns."""

        def work() -> T:
            with self._book.locked("write"):
                listed, outcome = how(self.listed())
                roster.write(self.file, listed)
            return outcome

        return self._mended(work)

    def enrol(self, how: Callable[[Enrolled], None]) -> Enrolled:
        """Put workspaces on the list as ``how`` does it, under the lock; the next answer has the remarks."""

        def after(listed: list[Listed]) -> tuple[list[Listed], Enrolled]:
            enrolled = Enrolled(listed)
            how(enrolled)
            return enrolled.listed, enrolled

        enrolled = self.change(after)
        self._remarks += enrolled.remarks
        return enrolled

    def authorize(self) -> None:
        """Return if this user may change the list."""
        self._book.authorize("write")

    def _welcome(self) -> list[Skipped]:
        """Put the workspaces that were announced on the list; return those that could not be, and why."""
        try:
            words = waiting(self.path.parent)
        except OSError as error:
            _log.warning("what was announced to %s cannot be read: %s", self.path, error)
            return []
        if not words:
            return []
        new = newcomers(words, self.listed())
        if self.read_only:
            return not_yet(new, "the index was opened read-only")
        if new and not self._book.may_change():
            return not_yet(new, "this user may not change the list")
        try:
            if new:
                self.enrol(lambda enrolled: enrolled.add_all(new))
        except (BusyError, NotWritable, StorageError) as error:
            return not_yet(new, str(error))
        discard(words)
        return []

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────

    def answer(
        self, ask: Callable[[DuckDBBackend, View], T], *, only: Collection[UUID] | None = None
    ) -> tuple[T, Notice]:
        """Bring the snapshot up to date, ask, and say what the answer lacks; see `look` for ``only``."""

        def work() -> tuple[T, Notice]:
            view = self._as_far_as_known(only=only)
            with self._book.reading() as backend:
                return ask(backend, view), view.notice

        return self._mended(work)

    def view(self, *, only_stale: bool = True, budget: float | None = BUDGET, progress: Progress | None = None) -> View:
        """Look around at everything and return what there is then; see `look`."""
        return self._mended(lambda: self.look(only_stale=only_stale, budget=budget, progress=progress))

    def known(self) -> View:
        """Look around for an answer, and return what there is then."""
        return self._mended(self._as_far_as_known)

    def _as_far_as_known(self, *, budget: float = BUDGET, only: Collection[UUID] | None = None) -> View:
        """Look around; where nothing can be written down the last snapshot counts, and what changed since is told."""
        try:
            return self.look(budget=budget, only=only)
        except (NotWritable, StorageError) as error:  # a folder that may only be read, or a full disk
            view = self.look(budget=0.0, only=only, keep=False)
            remarks = [*view.notice.remarks, f"what changed cannot be written down: {error}"]
            return replace(view, notice=replace(view.notice, remarks=tuple(remarks)))

    def look(
        self,
        *,
        only_stale: bool = True,
        budget: float | None = BUDGET,
        only: Collection[UUID] | None = None,
        progress: Progress | None = None,
        keep: bool = True,
    ) -> View:
        """Look around and write down what changed.

        Parameters
        ----------
        only_stale
            Leave alone the catalogs whose files are as they were.
        budget
            Seconds after which no further catalog is read; None reads all.
        only
            The workspaces to look at, of the others what is known counts; by default all.
        progress
            Called with a sentence about once a second while catalogs are read.
        keep
            Write down what is found, unless this is opened to be read.
        """
        keep = keep and not self.read_only
        missing = self._welcome()
        listed, state = self.listed(), self._book.state()
        chosen = [line for line in listed if only is None or line.id in only]
        budget = budget if keep else 0.0
        parts = look_around(chosen, state, self._reader, only_stale=only_stale, budget=budget, progress=progress)
        whole = Found(datetime.now(UTC).replace(tzinfo=None))
        for found in parts:
            whole.seen += found.seen
            whole.lost += found.lost
            whole.late += found.late
            settled = settle(state, listed, found)
            state = settled.state
            if keep and (settled.differs or not only_stale):
                listed, state = self._store(found)
        remarks, self._remarks = self._remarks, []
        notice = tell(state, listed, whole, remarks)
        return View(listed, state, whole, replace(notice, skipped=(*notice.skipped, *missing)))

    def live(self, query: str, params: Sequence[Any], progress: Progress | None = None) -> tuple[pa.Table, Notice]:
        """Ask the catalogs as they are at this moment, each by itself; what the question does not name is not read."""
        from hmp_index import live

        def work() -> tuple[pa.Table, Notice]:
            with self._book.reading() as backend:
                require_question(backend, query)
            view = self._as_far_as_known(budget=0.0)
            wanted = live.named(query)
            read = live.read(view.found.seen, self._reader, wanted, progress)
            with self._book.reading() as backend, live.staged(backend, read, wanted):
                answer = ask(backend, query, params)
            pending = [one for one in view.notice.skipped if one.status == "pending"]
            return answer, Notice((*read.skipped, *pending), view.notice.remarks)

        return self._mended(work)

    def found_again(
        self, *, only_stale: bool = True, budget: float | None = BUDGET, progress: Progress | None = None
    ) -> View:
        """Look around, and for workspaces that are gone from their place also where they may have moved to."""
        view = self.view(only_stale=only_stale, budget=budget, progress=progress)
        lost = [seen.line for seen in view.found.seen if seen.gone]
        if not lost or not self._book.may_change():
            return view
        sought = seek(lost, view.listed)

        def after(listed: list[Listed]) -> tuple[list[Listed], Enrolled]:
            enrolled = settle_moves(listed, lost, sought)
            return enrolled.listed, enrolled

        enrolled = self.change(after) if sought.found else Enrolled([])
        remarks = [*view.notice.remarks, *enrolled.remarks]
        if sought.gave_up:
            remarks.append("not every folder was looked at for the workspaces that are gone from their place")
        if not enrolled.lines:
            return replace(view, notice=replace(view.notice, remarks=tuple(remarks)))
        self._remarks += remarks
        return self.view(budget=budget)

    def drop(self, projects: Sequence[UUID]) -> None:
        """Forget projects whose folders are gone."""
        self._store(Found(datetime.now(UTC).replace(tzinfo=None), superseded=list(projects)))

    def _store(self, found: Found) -> tuple[list[Listed], State]:
        with self._book.locked("read"):
            listed = self.listed()
            return listed, self._book.store(listed, found)

    # ── mending ──────────────────────────────────────────────────────────────────────────────────────

    def rebuild(self, progress: Progress | None = None) -> View:
        """Make the database anew from the list and the workspaces; snapshots of what is out of reach are kept."""
        self._book.begin_anew()
        return self.view(only_stale=False, budget=None, progress=progress)

    def close(self) -> None:
        """Refuse every further use."""
        self._book.close()

    def _mended(self, work: Callable[[], T]) -> T:
        """Do something; if the database turns out to be damaged or gone, make it anew and do it again."""
        for again in (False, True):
            try:
                return work()
            except (CorruptError, DatabaseNotFound) as error:
                if self.read_only or error.path != str(self.path):
                    raise
                self._mend(error, surely=again)
        return work()

    def _mend(self, error: HmpError, *, surely: bool) -> None:
        """Make the database anew if it is damaged still; ``surely`` if that was met again after the first time."""
        with self._book.locked("read"):
            if isinstance(error, WalCorrupt) and (kept := self._book.set_wal_aside()):
                self._remarks.append(
                    f"{error.wal} could not be replayed and is kept as {kept}; the workspaces are read anew"
                )
            damaged = isinstance(error, CorruptError) and (surely or self._book.is_damaged())
            if not damaged:
                try:
                    self._book.prepare()
                except CorruptError:  # in what only the preparation reads
                    damaged = True
            if damaged:
                self._book.set_aside()
                self._remarks.append(
                    f"{self.path} was damaged; it was set aside and is made anew from {roster.NAME} and the workspaces"
                )


def _remembered(row: WorkspaceRow) -> Listed:
    """Return the line of the list that a row was derived from."""
    path = to_local(row.uri)
    try:
        own = read_root(path, WORKSPACE_MARKER).id
    except HmpError:
        own = row.id
    return Listed(row.id, path, row.label, row.registered_at, copy_of=None if own == row.id else own)
