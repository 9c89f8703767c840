"""One look around: every registered workspace by `stat`, then into the catalogs that changed, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from hmp_core.layout import PROJECT_MARKER
from hmp_index.federation import PATIENCE, Reader
from hmp_index.fold import Place, ProjectRow, Reading, WorkspaceRow, project_ids, project_row
from hmp_index.hands import look_at_all
from hmp_index.records import Notice, Skipped
from hmp_index.roster import Listed
from hmp_index.survey import SeenProject, SeenWorkspace, carried


@dataclass(frozen=True, slots=True)
class State:
    """What the index holds: the rows of its workspaces and projects."""

    #: whether the snapshot has the form that this hmp writes
    current: bool = True
    workspaces: Sequence[WorkspaceRow] = ()
    projects: Sequence[ProjectRow] = ()

    def by_workspace(self) -> dict[UUID, list[ProjectRow]]:
        """Return the projects of each workspace that has any."""
        found: dict[UUID, list[ProjectRow]] = {}
        for row in self.projects:
            found.setdefault(row.place.workspace_id, []).append(row)
        return found


@dataclass(frozen=True, slots=True)
class Due:
    """A project that is to be read."""

    project: SeenProject
    place: Place
    line: Listed
    #: what is known of it by another id, which goes once it was read by its own
    former: ProjectRow | None = None


@dataclass(slots=True)
class Found:
    """What one look around found, or a part of it."""

    at: datetime
    seen: list[SeenWorkspace] = field(default_factory=list)
    readings: list[tuple[Place, Reading]] = field(default_factory=list)
    #: rows of projects that go by another id now
    superseded: list[UUID] = field(default_factory=list)
    #: projects whose folder is not there any more
    lost: list[ProjectRow] = field(default_factory=list)
    #: projects that changed and were not read, because they may not be or time was up
    late: list[tuple[Place, Listed]] = field(default_factory=list)


#: Told, in a sentence, how far one is.
Progress = Callable[[str], None]

#: Seconds between two such sentences.
_EVERY = 1.0

#: How many projects are read before they are written down, and how large their text may grow, in characters: what was
#: read is kept if the rest is interrupted, and memory does not grow with the machine.
GROUP, GROUP_SIZE = 100, 32_000_000


def look_around(
    listed: Sequence[Listed],
    state: State,
    reader: Reader,
    *,
    only_stale: bool = True,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Iterator[Found]:
    """Yield what changed in the listed workspaces since ``state``, a group of projects at a time.

    The first part has what was seen by `stat`, in the others only further projects were read.

    Parameters
    ----------
    only_stale
        Leave alone the catalogs whose files are as they were.
    budget
        Seconds after which no further catalog is read; 0 reads none, None all of them.
    progress
        Called with a sentence about once a second while projects are read.
    """
    deadline = None if budget is None else time.monotonic() + budget
    part = Found(datetime.now(UTC).replace(tzinfo=None))
    marked, known = reader.marking(), state.by_workspace()
    due: list[Due] = []
    for seen in look_at_all(listed):
        part.seen.append(seen)
        rows = known.get(seen.line.id, [])
        if seen.status == "ok":
            due += _changed(seen, rows, part, marked=marked, only_stale=only_stale and state.current)
        else:
            part.readings += [(row.place, _out_of_reach(seen.detail, part.at)) for row in rows]
    yield from _read(part, due, reader, deadline=deadline, progress=progress)


def _read(
    part: Found, due: Sequence[Due], reader: Reader, *, deadline: float | None, progress: Progress | None
) -> Iterator[Found]:
    """Yield the parts of a look around, of which one was begun."""
    size, told = 0, 0.0
    for number, one in enumerate(due, 1):
        if progress is not None and time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            progress(f"read {number - 1} of {len(due)} projects that changed")
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            part.late.append((one.place, one.line))
            continue
        reading = reader.read(one.project, one.place, PATIENCE if left is None else min(PATIENCE, left))
        if one.former is None:
            part.readings.append((one.place, reading))
        elif not reading.settles:
            part.readings.append((one.former.place, replace(reading, mark="", snapshot=None)))
        else:
            part.superseded.append(one.former.place.project_id)
            part.readings.append((one.place, reading))
        size += len(reading.snapshot.rows) if reading.snapshot is not None else 0
        if number < len(due) and (len(part.readings) >= GROUP or size >= GROUP_SIZE):
            yield part
            part, size = Found(part.at), 0
    yield part


def _changed(
    seen: SeenWorkspace, rows: Sequence[ProjectRow], part: Found, *, marked: Callable[[str], str], only_stale: bool
) -> Iterator[Due]:
    """Yield what is to be read of a workspace; note what is lost."""
    marks = {project.slug: marked(project.mark) for project in seen.projects}
    present = {row.place.slug: row.mark for row in rows if row.place.slug in marks}
    if only_stale and present == marks and all(marks.values()) and len(rows) == len(marks):
        return
    known = {row.place.project_id: row for row in rows}
    places = places_of(seen)
    if places is None:
        # it went while it was looked at: what is known of it stays
        detail = f"{seen.line.path} went away while it was looked at"
        part.readings += [(row.place, _out_of_reach(detail, part.at)) for row in rows]
        return
    ids = {place.project_id for place in places.values()}
    former = {row.place.slug: row for row in rows if row.place.project_id not in ids}
    for project in seen.projects:
        place, other = places[project.slug], former.pop(project.slug, None)
        row = known.get(place.project_id)
        if not (only_stale and row and row.place == place and row.mark == marks[project.slug] != ""):
            yield Due(project, place, seen.line, other)
        elif other is not None:
            part.superseded.append(other.place.project_id)
    for row in former.values():
        where = _folder(seen.line, row.place)
        part.lost.append(row)
        detail = f"{where} is not there any more; `hmp index prune` forgets it"
        part.readings.append((row.place, _out_of_reach(detail, part.at)))


def places_of(seen: SeenWorkspace) -> dict[str, Place] | None:
    """Return where the projects of a workspace stand in the index; None if one has gone since it was seen."""
    own = {project.slug: carried(project) for project in seen.projects}
    there = {slug: found for slug, found in own.items() if found is not None}
    if len(there) != len(own):
        return None
    ids = project_ids(seen.line.id, {slug: identity for slug, (identity, _) in there.items()})
    return {
        project.slug: Place(seen.line.id, ids[project.slug], project.slug, there[project.slug][1], _made(project))
        for project in seen.projects
    }


def _made(project: SeenProject) -> datetime | None:
    try:
        written = (project.path / PROJECT_MARKER).stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(written, UTC).replace(tzinfo=None)


def _out_of_reach(detail: str, at: datetime) -> Reading:
    return Reading("unreachable", at, detail)


# ── what follows from it: pure ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows that follow from a look around, and which of them are new."""

    state: State
    #: the workspaces and the projects whose rows differ from what they were
    workspaces: Sequence[WorkspaceRow] = ()
    projects: Sequence[ProjectRow] = ()
    #: the projects whose simulations are replaced, each with their rows as JSON text
    read: Sequence[tuple[UUID, str]] = ()
    #: of which of these only the experiments were read (True), or everything else (False)
    parts: Mapping[UUID, bool] = field(default_factory=dict)
    #: the workspaces that are not listed any more, and the projects that are gone
    forgotten: Sequence[UUID] = ()
    gone: Sequence[UUID] = ()
    #: the workspaces that were looked at
    seen: Sequence[UUID] = ()
    #: whether anything is to be written but when they were looked at
    differs: bool = False


def settle(state: State, listed: Sequence[Listed], found: Found, now: datetime | None = None) -> Settled:
    """Return the rows of the index after a look around, or a part of it.

    What another process has read later stays as it is; a project of a workspace that was forgotten meanwhile goes.

    Parameters
    ----------
    now
        The time (UTC, without a zone), by default that of the clock. What seems to have been read after it was read
        before the clock was set back: it would stay for as long as the clock was ahead, and nobody would be told.
    """
    ids = {line.id for line in listed}
    former = {row.place.project_id: row for row in state.projects}
    # rows of another form are read again, also if what reads them now is interrupted
    rows = {identity: row if state.current else replace(row, mark="") for identity, row in former.items()}
    gone = {identity for identity in found.superseded if identity in rows}
    gone |= {identity for identity, row in rows.items() if row.place.workspace_id not in ids}
    rows = {identity: row for identity, row in rows.items() if identity not in gone}
    read, parts = _taken(rows, [each for each in found.readings if each[0].workspace_id in ids], now)
    changed = [row for identity, row in rows.items() if row != former.get(identity)]
    workspaces = _workspaces(state, listed, found)
    before = {row.id: row for row in state.workspaces}
    other = [row for row in workspaces if row.id not in before or not _alike(row, before[row.id])]
    forgotten = [identity for identity in before if identity not in ids]
    return Settled(
        State(current=True, workspaces=workspaces, projects=list(rows.values())),
        other,
        changed,
        read,
        parts,
        forgotten,
        sorted(gone),
        [one.line.id for one in found.seen if one.line.id in ids],
        differs=bool(other or changed or read or forgotten or gone) or not state.current,
    )


def _taken(
    rows: dict[UUID, ProjectRow], readings: Sequence[tuple[Place, Reading]], now: datetime | None
) -> tuple[list[tuple[UUID, str]], dict[UUID, bool]]:
    """Put what was read into the rows, and return what is replaced of which project; see `Settled`."""
    now = now or datetime.now(UTC).replace(tzinfo=None)
    read, parts = list[tuple[UUID, str]](), dict[UUID, bool]()
    for place, reading in readings:
        known = rows.get(place.project_id)
        if known and known.taken_at and reading.at < known.taken_at <= now:
            continue
        rows[place.project_id] = project_row(place, reading, known)
        if reading.snapshot is not None:
            read.append((place.project_id, reading.snapshot.rows))
            if reading.experiments is not None:
                parts[place.project_id] = reading.experiments
    return read, parts


def _workspaces(state: State, listed: Sequence[Listed], found: Found) -> list[WorkspaceRow]:
    seen = {one.line.id: one for one in found.seen}
    known = {row.id: row for row in state.workspaces}
    rows = []
    for line in listed:
        row = known.get(line.id) or WorkspaceRow(line.id, "", "", "pending", "", None, line.registered_at)
        status, detail, at = row.status, row.detail, row.scanned_at
        if line.id in seen:
            detail = seen[line.id].detail or (f"a copy of the workspace {line.copy_of}" if line.copy_of else "")
            status, at = seen[line.id].status, found.at
        uri = line.path.as_uri()
        rows.append(WorkspaceRow(line.id, uri, line.label, status, detail, at, line.registered_at))
    return rows


def _alike(one: WorkspaceRow, other: WorkspaceRow) -> bool:
    """Return whether two rows differ in nothing but when they were looked at."""
    return one == other or replace(one, scanned_at=None) == replace(other, scanned_at=None)


def tell(state: State, listed: Sequence[Listed], found: Found, remarks: Sequence[str] = ()) -> Notice:
    """Return what an answer from ``state`` lacks."""
    skipped: list[Skipped] = []
    late = {place.project_id: place for place, _ in found.late}
    unread: dict[UUID, list[Place]] = {}
    known = {row.place.project_id for row in state.projects}
    for place in (place for identity, place in late.items() if identity not in known):
        unread.setdefault(place.workspace_id, []).append(place)
    projects = state.by_workspace()
    status = {row.id: row for row in state.workspaces}
    for line in listed:
        rows = projects.get(line.id, [])
        workspace = status[line.id]
        if workspace.status not in {"ok", "pending"}:
            skipped.append(_out(line, workspace, rows))
            continue
        skipped += [_skipped(line, row, late=row.place.project_id in late) for row in rows if _lacks(row, late)]
        skipped += [
            Skipped(line.label, place.slug, _folder(line, place), "stale", "not read yet")
            for place in unread.get(line.id, ())
        ]
    return Notice(tuple(skipped), tuple(remarks))


def _out(line: Listed, workspace: WorkspaceRow, rows: Sequence[ProjectRow]) -> Skipped:
    """Say of a whole workspace that it is out of reach, and how old the oldest snapshot of it is."""
    taken = min((row.taken_at for row in rows if row.taken_at), default=None)
    unfolded = sum(row.unfolded for row in rows)
    return Skipped(line.label, "", line.path, workspace.status, workspace.detail, unfolded, taken)


def _lacks(row: ProjectRow, late: dict[UUID, Place]) -> bool:
    return bool(row.status != "ok" or row.detail or row.unfolded or row.place.project_id in late)


def _skipped(line: Listed, row: ProjectRow, *, late: bool) -> Skipped:
    status, detail = ("stale", "changed since its snapshot was taken") if late else (row.status, row.detail)
    return Skipped(line.label, row.place.slug, _folder(line, row.place), status, detail, row.unfolded, row.taken_at)


def _folder(line: Listed, place: Place) -> Path:
    return line.path / place.relative
