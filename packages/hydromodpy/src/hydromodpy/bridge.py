"""The provenance bridge: from a run to the input entries it consumed, and from an entry to the runs that used it.

The link is what the run recorded: entry, version and SHA-256. It holds when the input is refreshed, when its bytes
are purged, when the workspace is moved or copied; what has become of the input since is its ``state``:

- ``current``: the run consumed the version that the entry has now, and its bytes are there;
- ``superseded``: the entry has a newer version; the bytes that the run consumed are still there;
- ``purged``: the bytes that the run consumed were let go, their record is kept;
- ``missing``: the bytes are not where they should be, and nobody said that they may go;
- ``modified``: the file is there with other bytes than were registered.

Each question is asked once a project and once a cache, however many runs there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_core.databases import Database
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.layout import anchor, cache_path, catalog_path, has_experiments
from hmp_core.paths import to_local
from hydromodpy.consumers import PATIENCE, Asker, Consumer, has_catalog
from hydromodpy.experiments import folders, trainings
from hydromodpy.fates import fates, opened, recorded_by
from hydromodpy.origins import upstream_in
from hydromodpy.reading import CacheReader
from hydromodpy.records import Consumed, Inputs, InputsOfRuns, Outdated, Recorded, Stale, Use, Uses, Version

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache import Entry
    from hmp_catalog import Run, SimulationCatalog
    from hmp_core.protocols import AuthBackend, BulkBackend

_FINISHED = "s.status IN ('completed', 'partial')"


def input_entries(run: Run) -> Inputs:
    """Return what a run consumed, each with its state now; see `hmp_catalog.Run.input_entries`."""
    recorded = recorded_by(run)
    found, notice = fates(run.workspace, recorded, run.auth)
    return _inputs(recorded, found, notice)


def inputs_of(catalog: SimulationCatalog) -> InputsOfRuns:
    """Return what each run of a catalog consumed, by its id; of those that consumed something.

    As many runs as there may be, it is one question to the catalog and one to the cache.
    """
    with catalog.reading() as backend:
        recorded = dict(_recorded(_all(backend)))
    found, notice = fates(catalog.workspace, (one for each in recorded.values() for one in each), catalog.auth)
    told = InputsOfRuns({sim: _inputs(each, found, notice) for sim, each in recorded.items()})
    told.notice = "; ".join(each for each in (str(catalog.notice) if catalog.notice else "", notice) if each)
    return told


def _inputs(recorded: Iterable[Recorded], found: Mapping[Recorded, Consumed], notice: str) -> Inputs:
    inputs = Inputs(found[one] for one in recorded)
    inputs.notice = notice
    return inputs


def _all(backend: BulkBackend, condition: str = "TRUE") -> pa.Table:
    """Return what the runs recorded that are not in the trash, a row per input, the newest run first."""
    return backend.query(
        "SELECT CAST(p.sim_id AS VARCHAR) AS sim_id, s.name, p.variable, p.data_provider, p.source_sha256, "
        "p.file_path, CAST(p.entry_id AS VARCHAR) AS entry_id, CAST(p.artifact_id AS VARCHAR) AS artifact_id, "
        "p.license FROM provenance p JOIN simulations s ON s.sim_id = p.sim_id "
        f"WHERE s.trashed_at IS NULL AND {condition} ORDER BY s.created_at DESC, s.sim_id, p.variable, p.source_ref"
    )


def _recorded(table: pa.Table) -> Iterator[tuple[str, list[Recorded]]]:
    columns = table.to_pydict()
    sims, _ = columns.pop("sim_id"), columns.pop("name")
    found: dict[str, list[Recorded]] = {}
    for sim, row in zip(sims, zip(*columns.values(), strict=True), strict=True):
        found.setdefault(sim, []).append(Recorded(*row))
    yield from found.items()


# ── from an entry to runs ────────────────────────────────────────────────────────────────────────────


def used_by(entry: Entry, *, version: Literal["any", "current"] = "any", everywhere: bool = True) -> Uses:
    """Return the runs that consumed an entry; see `hmp_cache.Entry.used_by`.

    Runs in the trash are left out.

    Parameters
    ----------
    entry
        The entry, as the cache gave it.
    version
        "any" version of it, or only the "current" one.
    everywhere
        Ask every workspace that the machine index knows, not only the entry's own. In another workspace, and where a
        run came from one in a package, a run used the entry if it consumed the same bytes.

    Returns
    -------
    Uses
        The runs; its ``skipped`` says which places could not be asked, and why.

    Raises
    ------
    InvalidInput
        For another ``version``.
    """
    if version not in {"any", "current"}:
        message = f"version is {version!r}; expected 'any' or 'current'"
        raise InvalidInput(message)
    asker = Asker(entry.workspace, entry.auth)
    with CacheReader(entry.workspace, entry.auth) as cache:
        found = uses_of([entry], cache, asker, version=version, everywhere=everywhere)
        asker.note(entry.workspace, cache.lack)
    return Uses(found[entry.id], asker.skipped)


def uses_of(
    entries: Sequence[Entry],
    cache: CacheReader,
    asker: Asker,
    *,
    version: Literal["any", "current"] = "any",
    everywhere: bool = True,
) -> dict[Any, list[Use]]:
    """Return entry id -> the runs that consumed it; each project is asked once for all entries of the workspace."""
    known = _Asked.of(entries, cache)
    # as keys, for a run may have consumed the same bytes as two inputs
    found: dict[Any, dict[Use, None]] = {entry.id: {} for entry in entries}
    for workspace in asker.workspaces(everywhere=everywhere):
        home = workspace == asker.home
        ids = {str(entry.id) for entry in entries} if home else set()
        for each in asker.consumers(workspace, known.hashes, ids):
            for entry in [] if each.is_trashed else known.meant(each, home=home):
                now = known.now.get(str(entry.id), entry).sha256
                if version == "any" or each.sha256 == now:
                    found[entry.id][_use(each, now)] = None
    return {identity: list(uses) for identity, uses in found.items()}


def _use(each: Consumer, now: str) -> Use:
    where = (each.workspace, each.project)
    return Use(*where, each.sim_id, each.name, each.status, each.sha256, current=each.sha256 == now)


class _Asked:
    """What a cache says of the entries that are asked for: which bytes were theirs, and whose else they are."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.now: dict[str, Entry] = {}
        self._entries = {str(entry.id): entry for entry in entries}
        #: SHA-256 -> the entries asked for that have had these bytes
        self._had: dict[str, set[str]] = {}
        #: every entry of this cache that has had any of these bytes
        self._others: set[str] = set()
        for entry in entries:
            self._had.setdefault(entry.sha256, set()).add(str(entry.id))

    @classmethod
    def of(cls, entries: Sequence[Entry], cache: CacheReader) -> _Asked:
        """Ask the cache of the home workspace."""
        known = cls(entries)
        ids = sorted(known._entries)
        known.now = {str(each.id): each for each in cache.current(ids)}
        sql = (
            "SELECT DISTINCT CAST(a.entry_id AS VARCHAR) AS id, a.sha256 FROM artifacts a "
            "WHERE a.sha256 IN (SELECT sha256 FROM artifacts WHERE entry_id IN "
            f"({', '.join(f'CAST(${n} AS UUID)' for n in range(1, len(ids) + 1))}))"
        )
        for row in cache.sql(sql, ids):
            known._others.add(row["id"])
            if row["id"] in known._entries:
                known._had.setdefault(row["sha256"], set()).add(row["id"])
        return known

    @property
    def hashes(self) -> Collection[str]:
        """The SHA-256 of every version of the entries."""
        return self._had.keys()

    def meant(self, each: Consumer, *, home: bool) -> list[Entry]:
        """Return the entries that a run used: the one it names, or where it names none of this cache, by the bytes."""
        if home and each.entry_id in self._entries:
            return [self._entries[each.entry_id]]
        if home and each.entry_id in self._others:
            return []  # the same bytes, but of another input
        return [self._entries[one] for one in sorted(self._had.get(each.sha256, ()))]


def uses(workspace: Path, hashes: Collection[str], auth: AuthBackend | None = None) -> dict[str, list[str]]:
    """Return which runs consumed each of these bytes, a line each: what is asked before bytes go.

    Runs in the trash are named too, for they can come back.

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
        SHA-256 -> project and run, a line each; ``""`` -> a line for each place that could not be asked.
    """
    Database("cache", cache_path(workspace)).authorize("read", auth)
    found: dict[str, dict[tuple[Path, str], str]] = {sha256: {} for sha256 in sorted(hashes)}
    asker = Asker(workspace, auth)
    for home in asker.workspaces(everywhere=True) if found else []:
        place = "" if home == workspace else f"{home.name}/"
        for each in asker.consumers(home, found.keys()):
            trashed = " (in the trash)" if each.is_trashed else ""
            line = f"{place}{each.project.name}: {each.name or each.sim_id[:8]}{trashed}"
            found[each.sha256][each.project, each.sim_id] = line  # once, though it had these bytes from two inputs
    skipped = [f"{place} could not be asked: {reason}" for place, reason in asker.skipped.items()]
    return {sha256: list(lines.values()) for sha256, lines in found.items()} | ({"": skipped} if skipped else {})


# ── what must be run again ───────────────────────────────────────────────────────────────────────────


def stale(where: Iterable[str | Path], *, everywhere: bool = False, auth: AuthBackend | None = None) -> Stale:
    """Return the finished runs whose inputs are not what they were: not current, or made of what is not any more.

    Parameters
    ----------
    where
        Folders of projects.
    everywhere
        Also every project of every workspace that the machine index knows.
    auth
        Who is asked for the right to look; by default whom each project and its cache name.

    Returns
    -------
    Stale
        The runs, the newest of each project first; its ``skipped`` says which places could not be asked, and why.

    Raises
    ------
    AccessDenied
        If a project that was named, or its cache, may not be read.
    """
    named = [to_local(each) for each in where]
    for project in named:  # what was named is refused; what is merely found is noted
        Database("catalog", catalog_path(project)).authorize("read", auth)
    asker = Asker(anchor(named[0]) if named else None, auth)
    projects = {project.resolve(): project for project in named}
    for home in asker.workspaces(everywhere=True) if everywhere else []:
        projects |= {each.resolve(): each for each in (*asker.projects(home), *folders(home))}
    by_home: dict[Path, list[Path]] = {}
    for project in projects.values():
        by_home.setdefault(anchor(project), []).append(project)
    found: list[Outdated] = []
    for home, some in by_home.items():
        try:
            found += _stale(asker, home, some)
        except HmpError as error:
            if not everywhere:
                raise
            asker.skipped[str(home)] = str(error)
    return Stale(found, asker.skipped)


def _stale(asker: Asker, home: Path, projects: Sequence[Path]) -> Iterator[Outdated]:
    catalogs = [project for project in projects if has_catalog(project) or not has_experiments(project)]
    tables = {project: asker.read(project, lambda backend: _all(backend, _FINISHED)) for project in catalogs}
    read = {project: table for project, table in tables.items() if table is not None}
    recorded = {project: dict(_recorded(table)) for project, table in read.items()}
    names = {sim: name for table in read.values() for sim, name in zip(*_names(table), strict=True)}
    for run in (run for each in projects for run in trainings(each, asker.auth, PATIENCE, asker.note)):
        if run.status == "completed":
            recorded.setdefault(run.folder, {})[run.run_id] = run.inputs
            names[run.run_id] = run.name
    asked = {one for runs in recorded.values() for each in runs.values() for one in each}
    became, made_of = _became(home, asked, asker)
    for project, runs in recorded.items():
        for sim, each in runs.items():
            changed = tuple(became[one] for one in each if became[one].state != "current")
            outdated = tuple((became[one], made_of[one]) for one in each if made_of.get(one))
            if changed or outdated:
                yield Outdated(home, project, sim, names[sim], changed, outdated)


def _names(table: pa.Table) -> tuple[list[str], list[str | None]]:
    return table["sim_id"].to_pylist(), table["name"].to_pylist()


def _became(
    home: Path, asked: Collection[Recorded], asker: Asker
) -> tuple[Mapping[Recorded, Consumed], Mapping[Recorded, tuple[Version, ...]]]:
    """Return what became of inputs, and of those that are current what is outdated among what they were made of."""
    recorded = list(asked)
    with opened(home, asker.auth) as cache:
        upstream = upstream_in(home, recorded, cache)
    asker.note(home, upstream.notice)
    became = dict(zip(recorded, upstream.inputs, strict=True))
    made_of = {}
    for one, fate in became.items():
        version = upstream.of(fate)
        if version is not None and fate.state == "current" and version.parents:
            made_of[one] = tuple(each for each in upstream.ancestors(version) if each.outdated)
    return became, made_of
