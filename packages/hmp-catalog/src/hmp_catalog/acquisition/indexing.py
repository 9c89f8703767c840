"""Bringing a master index up to date with the session files: what changed is read, what is gone is said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.glance import Glance, glance, is_something_else
from hmp_catalog.acquisition.values import dumped
from hmp_core.errors import DatabaseNotFound, HmpError, PathEscape
from hmp_core.paths import from_relative, to_relative
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    from hmp_core.backends import SQLiteBackend
    from hmp_core.protocols import AuthBackend

SQL = {name: found.sql for name, found in load_statements("hmp_catalog.acquisition", "master").items()}

#: Whose a session is that does not say so.
UNKNOWN = "unknown"

#: How a session was found when it was last looked for.
OK, MISSING, MOVED, DAMAGED = "ok", "missing", "moved", "damaged"

_SUFFIX = ".db"
#: Seconds to wait for a session that somebody else holds: what cannot be read now is read the next time.
_PATIENCE = 2.0


@dataclass
class Refreshed:
    """What a look at the session files found.

    Parameters
    ----------
    sessions
        How many there are.
    read
        How many of them were read again.
    missing
        Where sessions were that are not there any more; the index keeps their runs.
    moved
        Where sessions were -> where they are.
    skipped
        Files that could not be read -> why.
    """

    sessions: int = 0
    read: int = 0
    missing: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class _Known:
    """A session that the index knows."""

    id: int
    path: str
    store_id: str | None
    state: str | None
    mark: str | None
    goes_on: int
    label: str
    researcher: str


@dataclass
class _Found:
    """A session file as it lies there; without a glance it is as the index knows it."""

    path: str
    mark: str
    store_id: str | None
    glance: Glance | None

    @property
    def order(self) -> tuple[int, str]:
        """Of copies, the one that lies highest is the session."""
        return self.path.count("/"), self.path


def refresh(backend: SQLiteBackend, index: Path, root: Path, *, auth: AuthBackend | None) -> Refreshed:
    """Bring an index up to date with what lies below a folder; in the caller's transaction."""
    base, report = index.parent, Refreshed()
    known = [_Known(*row) for row in backend.fetch_all(SQL["known_beamtimes"])]
    at = {each.path: each for each in known}
    found: list[_Found] = []
    for path in sorted({*_listed(root, base, index, report), *(p for p in at if (base / p).exists())}):
        each = _look(path, base, at.get(path), report, auth)
        if each is not None:
            found.append(each)
    found = _without_copies(found, report)
    placed = _placed(backend, found, known, report)
    for each in found:
        _write(backend, placed[each.path], each, report)
    _say_missing(backend, base, known, {row.id for row in placed.values() if row is not None}, report)
    report.sessions = len(found)
    return report


def numbered(backend: SQLiteBackend, name: str, root: str, facts: Sequence[str | None]) -> int:
    """Return the number of a researcher, who is added if not known; in a transaction."""
    found = backend.fetch_one(SQL["researcher_called"], [name])
    if found is None:
        backend.execute(SQL["add_researcher"], [name, *facts, root])
        found = backend.fetch_one(SQL["researcher_called"], [name])
    (number,) = found or (0,)
    backend.execute(SQL["complete_researcher"], [*facts, number])
    return int(number)


def mark(database: Path) -> str:
    """Return a short text that changes whenever a session does; by `stat` alone."""
    return " ".join(_identity(f"{database}{end}") for end in ("", "-wal"))


def _identity(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "-"
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _listed(root: Path, base: Path, index: Path, report: Refreshed) -> Iterator[str]:
    """Yield the files below a folder that may be sessions, relative to the folder of the index."""
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and not name.endswith(".zarr")]
        for name in files:
            path = Path(folder, name)
            if not name.endswith(_SUFFIX) or name.startswith(".") or path == index:
                continue
            try:
                yield to_relative(path, base)
            except PathEscape as error:
                report.skipped[str(path)] = str(error)


def _look(path: str, base: Path, known: _Known | None, report: Refreshed, auth: AuthBackend | None) -> _Found | None:
    file = from_relative(path, base)
    seen = mark(file)
    if known is not None and known.state == OK and known.mark == seen and not known.goes_on:
        return _Found(path, seen, known.store_id, None)
    try:
        said = glance(file, auth=auth, timeout=_PATIENCE)
    except DatabaseNotFound:
        return None  # it went away since it was listed
    except HmpError as error:
        if known is not None or not is_something_else(file):
            report.skipped[path] = str(error)
        return None
    return _Found(path, seen, said.store_id, said)


def _without_copies(found: Sequence[_Found], report: Refreshed) -> list[_Found]:
    first: dict[str, _Found] = {}
    kept = []
    for each in sorted(found, key=lambda each: each.order):
        original = first.setdefault(each.store_id or each.path, each)
        if original is each:
            kept.append(each)
        else:
            report.skipped[each.path] = f"it is a copy of {original.path}"
    return kept


def _placed(
    backend: SQLiteBackend, found: Sequence[_Found], known: Sequence[_Known], report: Refreshed
) -> dict[str, _Known | None]:
    """Return what the index knows of each session, by where that lies now; whoever moved is told so."""
    by_store = {each.store_id: each for each in known if each.store_id is not None}
    at = {each.path: each for each in known}
    placed: dict[str, _Known | None] = {each.path: by_store.get(each.store_id or "") for each in found}
    taken = {row.id for row in placed.values() if row is not None}
    for each in found:
        here = at.get(each.path)
        if placed[each.path] is None and here is not None and here.id not in taken and _may_be(here, each):
            placed[each.path] = here
            taken.add(here.id)
    moved = {path: row for path, row in placed.items() if row is not None and row.path != path}
    for row in moved.values():  # two may have changed places
        backend.execute(SQL["place_beamtime"], [f"moving:{row.id}", row.id])
    for path in placed:
        gone = at.get(path)
        if gone is not None and gone.id not in taken:  # another session lies at the place of one that is gone
            gone.path = f"{path}~{(gone.store_id or 'gone')[:8]}"
            backend.execute(SQL["place_beamtime"], [gone.path, gone.id])
    for path, row in moved.items():
        report.moved[row.path] = path
        row.state, row.path = MOVED, path
        backend.execute(SQL["place_beamtime"], [path, row.id])
    return placed


def _may_be(known: _Known, found: _Found) -> bool:
    """Return whether a session at its place is the one that was there: an older version had no id of its own."""
    return known.store_id is None or known.store_id.startswith("run:") or found.store_id is None


def _write(backend: SQLiteBackend, known: _Known | None, found: _Found, report: Refreshed) -> None:
    moved = known is not None and known.path in report.moved.values()
    said = found.glance
    if said is not None:
        number = _described(backend, known, found, said)
        report.read += 1
    else:
        number = known.id if known is not None else 0
    # a session that moved is read again the next time, and is then at its place
    backend.execute(SQL["say_state"], [MOVED if moved else OK, found.mark, number])


def _described(backend: SQLiteBackend, known: _Known | None, found: _Found, said: Glance) -> int:
    """Put down what a session says of itself, and its runs; what it does not say stays as it was registered."""
    who = said.researcher
    name = who.name if who is not None else known.researcher if known is not None else UNKNOWN
    facts = [None, None, None] if who is None else [who.email, who.orcid, who.affiliation]
    owner = numbered(backend, name, Path(found.path).parent.as_posix(), facts)
    label = said.label or (known.label if known is not None else Path(found.path).stem)
    if known is None:
        backend.execute(SQL["add_beamtime"], [owner, label, found.path, None])
        (number,) = backend.fetch_one(SQL["beamtime_at"], [found.path]) or (0,)
    else:
        number = known.id
    starts = [run.summary.time_start for run in said.runs]
    stops = [run.summary.time_stop for run in said.runs if run.summary.time_stop is not None]
    times = [min(starts, default=said.created_at), max(stops, default=None)]
    backend.execute(SQL["describe_beamtime"], [owner, label, *times, said.description, said.store_id, number])
    backend.execute(SQL["forget_runs"], [number])
    for run in said.runs:
        backend.execute(SQL["read_run"], _row(run.summary, run.tags, owner, number))
    return int(number)


def _row(run: Any, tags: Sequence[str], owner: int, number: int) -> list[Any]:
    about = [run.uid, owner, number, run.plan_name, run.sample_name, run.time_start, dumped(list(tags), "tags")]
    return [*about, run.exit_status, run.time_stop, run.num_events, run.operator, run.scan_id]


def _say_missing(
    backend: SQLiteBackend, base: Path, known: Sequence[_Known], placed: set[int], report: Refreshed
) -> None:
    for each in known:
        if each.id in placed:
            continue
        there = (base / each.path).exists()
        if not there:
            report.missing.append(each.path)
        backend.execute(SQL["say_state"], [DAMAGED if there else MISSING, None, each.id])
