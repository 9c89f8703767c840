"""The provenance bridge: from a run to the input entries it consumed, and from an entry to the runs that used it.

The link is what the run recorded: entry, version and SHA-256. It holds when the input is refreshed, when its bytes
are purged, when the workspace is moved or copied; what has become of the input since is its ``state``:

- ``current``: the run consumed the version that the entry has now, and its bytes are there;
- ``superseded``: the entry has a newer version; the bytes that the run consumed are still there;
- ``purged``: the bytes that the run consumed are gone, their record is kept;
- ``missing``: the file is not where it should be, or nobody knows the input any more;
- ``modified``: the file is there with other bytes than were registered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from hmp_core.databases import Database
from hmp_core.errors import HmpError, NotFound, PathEscape, PathNotFound
from hmp_core.identity import sha256_path
from hmp_core.layout import cache_path, projects
from hmp_core.paths import from_relative

if TYPE_CHECKING:
    from hmp_cache import Entry, InputsNamespace
    from hmp_catalog import Run
    from hmp_core.protocols import AuthBackend

State = Literal["current", "superseded", "purged", "missing", "modified"]


@dataclass(frozen=True, slots=True)
class Consumed:
    """An input that a run consumed, and what has become of it."""

    variable: str
    source: str
    #: of the bytes that the run consumed
    sha256: str
    #: where they were, relative to the workspace
    path: str
    state: State
    #: the entry as the cache has it now; None for a plain file, or where the cache does not know it any more
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Use:
    """A run that consumed an entry."""

    workspace: Path
    project: Path
    sim_id: str
    name: str | None
    status: str
    #: of the version that it consumed
    sha256: str
    #: whether that is the version that the entry has now
    current: bool


class Uses(Sequence[Use]):
    """The runs that consumed an entry, and the projects that could not be asked, with the reason."""

    def __init__(self, uses: Sequence[Use], skipped: dict[str, str]) -> None:
        self._uses = list(uses)
        self.skipped = skipped

    def __repr__(self) -> str:
        asked = f", {len(self.skipped)} projects could not be asked" if self.skipped else ""
        return f"<Uses: {len(self)} runs{asked}>"

    def __len__(self) -> int:
        return len(self._uses)

    def __iter__(self) -> Iterator[Use]:
        return iter(self._uses)

    @overload
    def __getitem__(self, index: int) -> Use: ...
    @overload
    def __getitem__(self, index: slice) -> list[Use]: ...
    def __getitem__(self, index: int | slice) -> Use | list[Use]:
        return self._uses[index]


def input_entries(run: Run) -> list[Consumed]:
    """Return what a run consumed, each with its state now; see `hmp_catalog.Run.input_entries`."""
    rows = run.provenance.to_pylist()
    if not rows:
        return []
    if not cache_path(run.workspace).exists():
        return [_plain(row, run.workspace) for row in rows]
    from hmp_cache import InputsNamespace

    with InputsNamespace(run.workspace, auth=run.auth) as cache:
        return [_consumed(row, run.workspace, cache) for row in rows]


def _consumed(row: dict[str, Any], workspace: Path, cache: InputsNamespace) -> Consumed:
    if row["entry_id"] is None:
        return _plain(row, workspace)
    known = cache.check(id=row["entry_id"])
    if not known:
        return _plain(row, workspace, state="missing")
    entry = known[0]
    state = cast("State", entry.state)
    if entry.sha256 != row["source_sha256"]:
        state = "superseded" if is_kept(cache, row["source_sha256"]) else "purged"
    return Consumed(row["variable"], entry.source, row["source_sha256"], row["file_path"], state, entry)


def is_kept(cache: InputsNamespace, sha256: str) -> bool:
    """Return whether the bytes with this SHA-256 are still in the workspace."""
    try:
        cache.artifact_path(sha256)
    except (NotFound, PathNotFound):
        return False
    return True


def _plain(row: dict[str, Any], workspace: Path, *, state: State | None = None) -> Consumed:
    """Return an input that the cache does not know: the file itself is all there is to ask."""
    if state is None:
        try:
            file = from_relative(row["file_path"], workspace)
        except PathEscape:
            state = "missing"
        else:
            state = "missing" if not file.exists() else "current"
            if state == "current" and sha256_path(file) != row["source_sha256"]:
                state = "modified"
    return Consumed(row["variable"], row["data_provider"], row["source_sha256"], row["file_path"], state, None)


def used_by(entry: Entry, *, version: Literal["any", "current"] = "any", everywhere: bool = True) -> Uses:
    """Return the runs that consumed an entry; see `hmp_cache.Entry.used_by`.

    Parameters
    ----------
    entry
        The entry, as the cache gave it.
    version
        "any" version of it, or only the "current" one.
    everywhere
        Ask every workspace that the machine index knows, not only the entry's own. In another workspace a run used
        the entry if it consumed the same bytes.
    """
    home = entry.workspace
    from hmp_cache import InputsNamespace

    with InputsNamespace(home, auth=entry.auth) as cache:
        hashes = {v.sha256 for v in cache.versions(entry)} | {entry.sha256}
    if version == "current":
        hashes = {entry.sha256}
    found: list[Use] = []
    skipped: dict[str, str] = {}
    for workspace in _workspaces(entry, skipped) if everywhere else [home]:
        ask = _by_entry(entry, hashes) if workspace == home else _by_bytes(hashes)
        for project in projects(workspace):
            found += _ask(workspace, project, entry, ask, skipped)
    return Uses(found, skipped)


def uses(workspace: Path, hashes: Collection[str], auth: AuthBackend | None = None) -> dict[str, list[str]]:
    """Return which runs consumed each of these bytes, a line each: what is asked before bytes go.

    Parameters
    ----------
    workspace
        Whose bytes they are. Every other workspace that the machine index knows is asked too.
    hashes
        The SHA-256 of each.
    auth
        Who is asked for the right to look; by default whom each project names.

    Returns
    -------
    dict
        SHA-256 -> project and run; where projects could not be asked, a line that says how many.
    """
    Database("cache", cache_path(workspace)).authorize("read", auth)
    found: dict[str, list[str]] = {sha256: [] for sha256 in sorted(hashes)}
    skipped: dict[str, str] = {}
    asker = _Asker(workspace, auth)
    wanted = list(found)
    for home in _workspaces(asker, skipped) if wanted else []:
        for project in projects(home):
            for first in range(0, len(wanted), _TOGETHER):
                question = _by_bytes(set(wanted[first : first + _TOGETHER]))
                for use in _ask(home, project, asker, question, skipped):
                    place = "" if home == workspace else f"{home.name}/"
                    found[use.sha256].append(f"{place}{project.name}: {use.name or use.sim_id[:8]}")
    if skipped:
        for lines in found.values():
            lines.append(f"{len(skipped)} {'place' if len(skipped) == 1 else 'places'} could not be asked")
    return found


#: How many hashes are asked for in one question.
_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks for runs by bytes alone."""

    workspace: Path
    auth: AuthBackend | None
    sha256: str = ""


def _workspaces(entry: Entry | _Asker, skipped: dict[str, str]) -> list[Path]:
    from hmp_index.door import index

    known = [entry.workspace]
    try:
        with index(auth=entry.auth) as machine:
            for workspace in machine.workspaces():
                if not workspace.path.is_dir():
                    skipped[str(workspace.path)] = "the workspace is not there"
                elif not any(workspace.path.samefile(k) for k in known):
                    known.append(workspace.path)
    except HmpError as error:
        skipped["machine index"] = str(error)
    return known


_Question = tuple[str, list[Any]]


def _by_entry(entry: Entry, hashes: set[str]) -> _Question:
    condition, values = _hash_condition(hashes, 2)
    return f"p.entry_id = CAST($1 AS UUID) AND {condition}", [str(entry.id), *values]


def _by_bytes(hashes: set[str]) -> _Question:
    return _hash_condition(hashes, 1)


def _hash_condition(hashes: set[str], first: int) -> _Question:
    values = sorted(hashes)
    marks = ", ".join(f"${first + n}" for n in range(len(values)))
    return f"p.source_sha256 IN ({marks})", list(values)


def _ask(
    workspace: Path, project: Path, entry: Entry | _Asker, question: _Question, skipped: dict[str, str]
) -> Iterator[Use]:
    from hmp_catalog.door import open as open_catalog

    try:
        with open_catalog(project, auth=entry.auth) as catalog:
            sql = (
                "SELECT CAST(s.sim_id AS VARCHAR) AS sim_id, p.source_sha256 FROM provenance p "
                f"JOIN simulations s ON s.sim_id = p.sim_id WHERE s.trashed_at IS NULL AND {question[0]} "
                "ORDER BY s.created_at"
            )
            rows = catalog.sql(sql, question[1]).to_pylist()
            if catalog.notice:
                skipped[str(project)] = f"the answer is not complete: {catalog.notice}"
            runs = {r.sim_id: r for r in catalog.find(sim_id=[row["sim_id"] for row in rows])}
    except HmpError as error:
        skipped[str(project)] = str(error)
        return
    for row in rows:
        run, consumed = runs[row["sim_id"]], row["source_sha256"]
        yield Use(workspace, project, run.sim_id, run.name, run.status, consumed, consumed == entry.sha256)


def stale(project: Path, say: Callable[[str], None] | None = None) -> list[tuple[Run, list[Consumed]]]:
    """Return the finished runs of a project whose inputs are no longer the current ones, with these inputs.

    ``say`` is told of an answer that is not complete.
    """
    from hmp_catalog.door import open as open_catalog

    found = []
    with open_catalog(project) as catalog:
        for run in catalog.find(status="completed"):
            changed = [c for c in input_entries(run) if c.state != "current"]
            if changed:
                found.append((run, changed))
        if catalog.notice and say is not None:
            say(str(catalog.notice))
    return found
