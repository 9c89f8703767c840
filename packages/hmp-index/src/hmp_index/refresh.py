"""One look around: every registered workspace by `stat`, then into the catalogs that changed, and no others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from hmp_core.layout import PROJECT_MARKER
from hmp_index.federation import PATIENCE, Reader
from hmp_index.fold import Place, ProjectRow, Reading, WorkspaceRow, project_ids, project_row
from hmp_index.records import Notice, Skipped
from hmp_index.roster import Listed
from hmp_index.survey import SeenProject, SeenWorkspace, carried, look


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


@dataclass(slots=True)
class Found:
    """What one look around found."""

    at: datetime
    seen: list[SeenWorkspace] = field(default_factory=list)
    readings: list[tuple[Place, Reading]] = field(default_factory=list)
    #: rows of projects that go by another id now
    superseded: list[UUID] = field(default_factory=list)
    #: projects whose folder is not there any more
    lost: list[ProjectRow] = field(default_factory=list)
    #: projects that changed and were not read, because they may not be or time was up
    late: list[tuple[Place, Listed]] = field(default_factory=list)


def look_around(
    listed: Sequence[Listed],
    state: State,
    reader: Reader,
    *,
    only_stale: bool = True,
    budget: float | None = None,
) -> Found:
    """Return what changed in the listed workspaces since ``state``.

    Parameters
    ----------
    only_stale
        Leave alone the catalogs whose files are as they were.
    budget
        Seconds after which no further catalog is read; 0 reads none, None all of them.
    """
    found = Found(datetime.now(UTC).replace(tzinfo=None))
    deadline = None if budget is None else time.monotonic() + budget
    known = state.by_workspace()
    for line in listed:
        seen = look(line)
        found.seen.append(seen)
        rows = known.get(line.id, [])
        if seen.status == "ok":
            _look_into(seen, rows, reader, found, only_stale=only_stale and state.current, deadline=deadline)
        else:
            found.readings += [(row.place, _out_of_reach(seen.detail, found.at)) for row in rows]
    return found


def _look_into(
    seen: SeenWorkspace,
    rows: Sequence[ProjectRow],
    reader: Reader,
    found: Found,
    *,
    only_stale: bool,
    deadline: float | None,
) -> None:
    marks = {project.slug: reader.marked(project.mark) for project in seen.projects}
    present = {row.place.slug: row.mark for row in rows if row.place.slug in marks}
    if only_stale and present == marks and all(marks.values()) and len(rows) == len(marks):
        return
    former = {row.place.project_id: row for row in rows}
    places = dict(_places(seen))
    for project in seen.projects:
        place = places[project.slug]
        known = former.get(place.project_id)
        if only_stale and known is not None and known.place == place and known.mark == marks[project.slug] != "":
            continue
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            found.late.append((place, seen.line))
        else:
            found.readings.append(
                (place, reader.read(project, place, PATIENCE if left is None else min(PATIENCE, left)))
            )
    ids = {place.project_id for place in places.values()}
    for row in (row for row in rows if row.place.project_id not in ids):
        if row.place.slug in marks:
            found.superseded.append(row.place.project_id)
        else:
            found.lost.append(row)
            detail = (
                f"{seen.line.path / 'projects' / row.place.slug} is not there any more; `hmp index prune` forgets it"
            )
            found.readings.append((row.place, _out_of_reach(detail, found.at)))


def _places(seen: SeenWorkspace) -> Iterator[tuple[str, Place]]:
    own = {project.slug: carried(project.path) for project in seen.projects}
    ids = project_ids(seen.line.id, {slug: identity for slug, (identity, _) in own.items()})
    for project in seen.projects:
        name = own[project.slug][1]
        yield project.slug, Place(seen.line.id, ids[project.slug], project.slug, name, _made(project))


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
    changed: Sequence[ProjectRow] = ()
    #: the projects whose simulations are replaced, each with their rows as JSON text
    read: Sequence[tuple[UUID, str]] = ()
    gone: Sequence[UUID] = ()
    #: whether anything is to be written
    differs: bool = False


def settle(state: State, listed: Sequence[Listed], found: Found) -> Settled:
    """Return the rows of the index after a look around.

    What another process has read later stays as it is; a project of a workspace that was forgotten meanwhile goes.
    """
    ids = {line.id for line in listed}
    rows = {row.place.project_id: row for row in state.projects if row.place.workspace_id in ids}
    gone = [identity for identity in found.superseded if rows.pop(identity, None) is not None]
    changed, read = [], []
    for place, reading in found.readings:
        known = rows.get(place.project_id)
        if place.workspace_id not in ids or (known and known.taken_at and known.taken_at > reading.at):
            continue
        row = project_row(place, reading, known)
        if row != known:
            rows[place.project_id] = row
            changed.append(row)
        if reading.snapshot is not None:
            read.append((place.project_id, reading.snapshot.rows))
    workspaces = _workspaces(state, listed, found)
    differs = bool(changed or read or gone) or not state.current or not _alike(workspaces, state.workspaces)
    return Settled(
        State(current=True, workspaces=workspaces, projects=list(rows.values())), changed, read, gone, differs
    )


def _workspaces(state: State, listed: Sequence[Listed], found: Found) -> list[WorkspaceRow]:
    seen = {one.line.id: one for one in found.seen}
    known = {row.id: row for row in state.workspaces}
    rows = []
    for line in listed:
        row = known.get(line.id) or WorkspaceRow(line.id, "", "", "pending", "", None, line.registered_at)
        row = replace(row, uri=line.path.as_uri(), label=line.label, registered_at=line.registered_at)
        if line.id in seen:
            detail = seen[line.id].detail or (f"a copy of the workspace {line.copy_of}" if line.copy_of else "")
            row = replace(row, status=seen[line.id].status, detail=detail, scanned_at=found.at)
        rows.append(row)
    return rows


def _alike(one: Sequence[WorkspaceRow], other: Sequence[WorkspaceRow]) -> bool:
    """Return whether the rows differ in nothing but when they were looked at."""
    left, right = ({replace(row, scanned_at=None) for row in rows} for rows in (one, other))
    return left == right


def tell(state: State, listed: Sequence[Listed], found: Found, remarks: Sequence[str] = ()) -> Notice:
    """Return what an answer from ``state`` lacks."""
    skipped: list[Skipped] = []
    late = {place.project_id: place for place, _ in found.late}
    known = {row.place.project_id for row in state.projects}
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
            for place in late.values()
            if place.workspace_id == line.id and place.project_id not in known
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
    return line.path / "projects" / place.slug
