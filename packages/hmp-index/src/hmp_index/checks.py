"""What `hmp doctor` asks of the machine index: are the registered workspaces where it thinks they are?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from hmp_core.arrivals import waiting
from hmp_core.doctor import Case, Checks, Code, Finding, Relation, Vocabulary
from hmp_core.doctor.findings import some
from hmp_core.errors import HmpError
from hmp_core.layout import WORKSPACE_MARKER, read_root, workspace_root
from hmp_core.protocols import CatalogBackend
from hmp_index import queries, roster
from hmp_index.fold import ProjectRow
from hmp_index.refresh import State
from hmp_index.roster import Listed
from hmp_index.survey import SeenWorkspace
from hmp_index.survey import look as survey

BAD_LIST = Code(
    "workspace-list-damaged",
    "error",
    "The list of workspaces cannot be read.",
    "mend workspaces.toml, or move it away: it is written again from index.duckdb",
)
GONE = Code(
    "workspace-unreachable",
    "warning",
    "A registered workspace is not at its place.",
    "mount it, let `hmp index refresh` look for it, or `hmp index prune` it",
)
DAMAGED = Code(
    "workspace-damaged", "warning", "The marker of a registered workspace cannot be read.", "mend its workspace.toml"
)
MOVED = Code(
    "workspace-moved",
    "warning",
    "A registered workspace lies here, and not where it was registered.",
    "`hmp index refresh` looks for it, `hmp index register` says where it is",
)
COPIED = Code(
    "workspace-copied",
    "info",
    "A registered workspace carries the id of another: one is a copy.",
    "nothing: both are told apart",
)
UNLISTED = Code(
    "workspace-unregistered",
    "info",
    "This workspace is not in the machine index.",
    "`hmp index register` it, if it is to be found from everywhere",
)
NEVER = Code(
    "snapshot-missing",
    "info",
    "A project was never read into the index.",
    "nothing: the next question reads it, as does `hmp index refresh`",
)
STALE = Code(
    "snapshot-stale",
    "info",
    "A project has changed since its snapshot was taken.",
    "nothing: the next question reads it, as does `hmp index refresh`",
)
UNREAD = Code(
    "project-unreadable",
    "warning",
    "A project of a registered workspace could not be read when it was last looked at.",
    "the reason says why; `hmp doctor` in that workspace tells more",
)


def look(case: Case, told: State | None) -> Iterator[Finding]:
    """Yield what is to be said of the registered workspaces, and of the one that the user stands in."""
    file = case.home / roster.NAME
    try:
        listed = roster.read(file)
    except HmpError as error:
        yield case.finding(BAD_LIST, str(error), file)
        return
    yield from _here(case, listed or ())
    yield from _copies(case, listed or ())
    for line in listed or ():
        seen = survey(line)
        if seen.status == "ok":
            yield from _snapshots(case, seen, told) if told is not None else ()
        else:
            yield case.finding(DAMAGED if seen.status == "corrupt" else GONE, seen.detail, line.path)


def _here(case: Case, listed: Sequence[Listed]) -> Iterator[Finding]:
    """Yield whether the workspace that the user stands in is known, and known to be here."""
    root = workspace_root(case.start)
    if root is None or not (case.path.exists() or listed):
        return  # where there is no index nobody misses it
    try:
        own = read_root(root, WORKSPACE_MARKER).id
    except HmpError:
        return  # who looks at the workspace itself says so
    real = root.resolve()
    lines = [line for line in listed if line.own_id == own]
    if any(line.path == real for line in lines) or _is_announced(case.home, real):
        return
    lost = [line for line in lines if survey(line).gone]
    if lost:
        yield case.finding(MOVED, f"{lost[0].label} is registered at {lost[0].path}", root)
    else:
        yield case.finding(UNLISTED, f"{root} is not registered", root)


def _is_announced(home: Path, workspace: Path) -> bool:
    """Return whether the index will list a workspace when it is next asked."""
    try:
        return any(word.path == workspace for word in waiting(home))
    except OSError:
        return False


def _copies(case: Case, listed: Sequence[Listed]) -> Iterator[Finding]:
    alike: dict[UUID, list[Path]] = defaultdict(list)
    for line in listed:
        alike[line.own_id].append(line.path)
    for own, paths in alike.items():
        if len(paths) > 1:
            yield case.finding(COPIED, f"{len(paths)} workspaces carry the id {own}: {some(paths)}", paths[1])


def _snapshots(case: Case, seen: SeenWorkspace, told: State) -> Iterator[Finding]:
    rows = {row.place.slug: row for row in told.projects if row.place.workspace_id == seen.line.id}
    never = [project.path for project in seen.projects if project.slug not in rows]
    if never:
        yield case.finding(NEVER, f"never read: {some(path.name for path in never)}", never[0])
    pairs = [(project, rows[project.slug]) for project in seen.projects if project.slug in rows]
    stale = [project.path for project, row in pairs if _is_stale(row, project.mark)]
    if stale:
        yield case.finding(STALE, f"changed since: {some(path.name for path in stale)}", stale[0])
    for project, row in pairs:
        if row.status != "ok":
            yield case.finding(UNREAD, f"{row.status}: {row.detail}", project.path)


def _is_stale(row: ProjectRow, mark: str) -> bool:
    """Return whether a project looks otherwise than when it was read; the reader adds its version to what it saw."""
    return row.status == "ok" and row.mark.partition(" ")[0] != mark


def _asked(backend: CatalogBackend) -> State:
    return queries.state(backend)


_WORKSPACE = "workspaces.workspace_id"

CHECKS = Checks(
    component="index",
    codes=(BAD_LIST, GONE, DAMAGED, MOVED, COPIED, UNLISTED, NEVER, STALE, UNREAD),
    relations=(
        Relation("projects.workspace_id", _WORKSPACE),
        Relation("simulations_cache.workspace_id", _WORKSPACE),
        Relation("simulations_cache.project_id", "projects.project_id"),
    ),
    vocabularies=(
        Vocabulary("workspaces.status", frozenset({"ok", "unreachable", "corrupt", "pending"})),
        Vocabulary("projects.status", frozenset({"ok", "busy", "unreachable", "corrupt", "schema_mismatch"})),
        Vocabulary("simulations_cache.kind", frozenset({"simulation", "acquisition", "experiment"})),
    ),
    outside={
        "workspaces.workspace_id": "its own key",
        "projects.project_id": "its own key",
        "simulations_cache.sim_id": "a simulation of the project's catalog",
        "simulations_cache.principal_id": "a user",
    },
    ask=_asked,
    look=look,
)
