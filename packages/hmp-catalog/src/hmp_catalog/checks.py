"""What `hmp doctor` and `hmp db verify` ask of a project: do rows, run folders and manifests tell the same?"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmp_catalog import doing, manifest, packs, queries, readings
from hmp_catalog.calibration import STATUSES
from hmp_catalog.facts import ENDS
from hmp_catalog.fold import AUDITED
from hmp_core.doctor import Case, Checks, Code, Finding, Relation, Vocabulary
from hmp_core.doctor.findings import some
from hmp_core.errors import CorruptError, InvalidInput, SchemaTooNewError
from hmp_core.identity import sha256_file
from hmp_core.paths import from_relative
from hmp_core.protocols import CatalogBackend

ORPHAN = Code(
    "orphan-folder",
    "warning",
    "A run folder that no row and no event speaks of.",
    "`hmp catalog rebuild` takes it in, if it was sealed; else it is of no use: move it away",
)
GONE = Code(
    "run-folder-missing",
    "error",
    "A finished simulation whose folder is not there.",
    "put the folder back from a backup",
)
NO_MANIFEST = Code(
    "manifest-missing", "error", "A finished simulation without its manifest.", "put run.json back from a backup"
)
BAD_MANIFEST = Code(
    "manifest-damaged",
    "error",
    "A manifest that is not as it was sealed, or cannot be read.",
    "put run.json back from a backup",
)
NEWER_MANIFEST = Code(
    "manifest-newer", "warning", "A manifest that was written by a newer hmp.", "upgrade hmp-catalog on this machine"
)
DISAGREES = Code(
    "manifest-disagrees",
    "error",
    "The manifest in a folder is a good one, but not the one that the row was folded from.",
    "put run.json back from a backup, or take what the folders say: `hmp catalog rebuild`",
)
FILE_GONE = Code(
    "run-file-missing",
    "error",
    "A file that a simulation left behind is not there.",
    "put it back from a backup",
)
FILE_CHANGED = Code(
    "run-file-changed",
    "error",
    "A file of a sealed simulation has another size, or other bytes, than when it was sealed.",
    "put it back from a backup",
)
INTERRUPTED = Code(
    "run-interrupted",
    "info",
    "A simulation whose process ended before it was sealed.",
    "nothing: it stays listed as interrupted; run it again",
)
HALF_DONE = Code(
    "half-done",
    "warning",
    "A simulation was being thrown away, restored or purged when the process died.",
    "open the catalog where it may be written: the rest is done then",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A simulation as the catalog has it."""

    sim_id: str
    name: str | None
    status: str
    folder: str
    manifest_sha256: str | None
    owner: str | None
    trashed: bool

    def __str__(self) -> str:
        return f"{self.sim_id[:8]} ({self.name or 'no name'}, {self.status})"


def ask(backend: CatalogBackend) -> list[Kept]:
    """Return every simulation."""
    return [Kept(*row) for row in queries.folders(backend)]


def look(case: Case, told: Sequence[Kept] | None) -> Iterator[Finding]:
    """Yield where folders, manifests and rows do not tell the same; files are looked at by size alone."""
    folders = _folders(case.home)
    yield from _half_done(case)
    rows = {kept.folder: kept for kept in told or ()}
    if told is not None:
        yield from _rows(case, told, {folder.name for folder in folders})
        yield from _orphans(case, folders, rows.keys())
    for folder in folders:
        yield from _folder(case, folder, rows.get(folder.name))
    yield from readings.look(case, deep=False)


def _folders(project: Path) -> list[Path]:
    """Return the folders of runs, those in the trash too."""
    found: list[Path] = []
    for home in (project / manifest.HOME, project / manifest.TRASH):
        if home.is_dir():
            with os.scandir(home) as entries:
                found += sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
    return found


def _half_done(case: Case) -> Iterator[Finding]:
    try:
        for each in doing.half_done(case.home / "catalog.duckdb"):
            yield case.finding(HALF_DONE, f"{each.verb} of {each.sim_id[:8]} was begun and not ended", case.home)
    except CorruptError as error:
        yield case.finding(HALF_DONE, str(error), Path(error.path))


def _orphans(case: Case, folders: Sequence[Path], known: Collection[str]) -> Iterator[Finding]:
    """Yield the folders that neither a row nor the log speaks of; a run is logged before it has a folder."""
    strange = [folder for folder in folders if folder.name not in known]
    if strange:
        case.read_log_again()
        events = (event for log in case.log for event in log.events if event.kind.startswith("run."))
        logged = {str(event.payload["folder"]) for event in events if "folder" in event.payload}
        yield from (case.finding(ORPHAN, _what_is_in(f), f) for f in strange if f.name not in logged)


def _what_is_in(folder: Path) -> str:
    sealed = (folder / manifest.NAME).is_file()
    return "no row and no event speaks of it; " + ("it was sealed" if sealed else "it was never sealed")


def _rows(case: Case, told: Sequence[Kept], there: set[str]) -> Iterator[Finding]:
    for kept in told:
        if kept.status in ENDS and kept.folder not in there:
            where = case.home / (manifest.TRASH if kept.trashed else manifest.HOME) / kept.folder
            yield case.finding(GONE, f"{kept} has no folder", where)
    open_ = [kept for kept in told if not kept.trashed and queries.state(kept.status, kept.owner) == "interrupted"]
    # one that was sealed and cannot be read is told of as that
    open_ = [kept for kept in open_ if not (case.home / manifest.HOME / kept.folder / manifest.NAME).is_file()]
    if open_:
        yield case.finding(INTERRUPTED, f"{len(open_)} simulations were never sealed: {some(open_)}")


def _folder(case: Case, folder: Path, kept: Kept | None) -> Iterator[Finding]:
    try:
        content, checksum = manifest.read(folder)
    except FileNotFoundError:
        if kept is not None and kept.status in ENDS:
            yield case.finding(NO_MANIFEST, f"{kept} has no {manifest.NAME}", folder)
        return
    except CorruptError as error:
        yield case.finding(BAD_MANIFEST, str(error), folder / manifest.NAME)
        return
    except SchemaTooNewError as error:
        yield case.finding(NEWER_MANIFEST, str(error), folder / manifest.NAME)
        return
    if kept is not None and kept.manifest_sha256 not in {None, checksum}:
        what = f"{kept} was folded from {str(kept.manifest_sha256)[:12]}, the file is {checksum[:12]}"
        yield case.finding(DISAGREES, what, folder / manifest.NAME)
    elif kept is not None and (why := _unlike(kept, content["run"])):
        yield case.finding(DISAGREES, why, folder / manifest.NAME)
    yield from _files(case, folder, content, deep=False)


def _unlike(kept: Kept, run: Mapping[str, Any]) -> str:
    """Return what a row says otherwise than its manifest; an open run may be sealed and not yet folded."""
    said = {"sim_id": run["sim_id"], "status": run["status"]}
    ours = {"sim_id": kept.sim_id, "status": kept.status}
    unlike = [f"{key} is {ours[key]} in the row and {said[key]} in the file" for key in said if ours[key] != said[key]]
    return "; ".join(unlike) if kept.status in ENDS else ""


def _files(case: Case, folder: Path, content: Mapping[str, Any], *, deep: bool) -> Iterator[Finding]:
    gone, changed = [], []
    for said in content["files"]:
        try:
            size, sha256 = _found(folder, said["path"])
        except (FileNotFoundError, NotADirectoryError, InvalidInput):
            gone.append(said["path"])
            continue
        except CorruptError as error:  # the pack: all of them are in it
            yield case.finding(FILE_CHANGED, str(error), folder / packs.NAME)
            return
        if size != said["size"] or (deep and sha256() != said["sha256"]):
            changed.append(said["path"])
    if gone:
        yield case.finding(FILE_GONE, f"{len(gone)} files are missing: {some(gone)}", folder)
    if changed:
        yield case.finding(FILE_CHANGED, f"{len(changed)} files are not as they were sealed: {some(changed)}", folder)


def _found(folder: Path, path: str) -> tuple[int, Callable[[], str]]:
    """Return the size of a file of a run, and how to hash it, packed or loose."""
    if (folder / packs.NAME).exists():
        packed = packs.Packed(folder / packs.NAME, path)
        if not packed.exists():
            raise FileNotFoundError(path)
        return packed.size(), lambda: packs.sha256(packed)
    file = from_relative(path, folder)
    return file.stat().st_size, lambda: sha256_file(file)


def deep(case: Case, told: Sequence[Kept] | None) -> Iterator[Finding]:  # noqa: ARG001 - the signature is the contract
    """Yield the sealed files whose bytes are not those that were sealed: every file of every run is read."""
    for folder in _folders(case.home):
        try:
            content, _ = manifest.read(folder)
        except FileNotFoundError:
            continue
        except (CorruptError, SchemaTooNewError) as error:
            yield case.finding(BAD_MANIFEST, str(error), folder / manifest.NAME)
            continue
        yield from _files(case, folder, content, deep=True)
    yield from readings.look(case, deep=True)


#: Tables whose rows belong to a simulation.
_OF_A_RUN = (
    "parameters",
    "metrics",
    "tags",
    "provenance",
    "tracked_files",
    "runs_environment",
    "observation_points",
    "geographic_features",
    "geographic_metadata",
    "parquet_files",
)
_RUN = "simulations.sim_id"

CHECKS = Checks(
    component="catalog",
    codes=(
        ORPHAN,
        GONE,
        NO_MANIFEST,
        BAD_MANIFEST,
        NEWER_MANIFEST,
        DISAGREES,
        FILE_GONE,
        FILE_CHANGED,
        INTERRUPTED,
        HALF_DONE,
        *readings.CODES,
    ),
    relations=(
        *(Relation(f"{table}.sim_id", _RUN) for table in _OF_A_RUN),
        Relation("simulations.parent_sim_id", _RUN, required=False),
        Relation("audit_log.sim_id", _RUN, required=False),
        Relation("calibration_sessions.best_sim_id", _RUN, required=False),
        Relation("calibration_iterations.sim_id", _RUN, required=False),
        Relation("calibration_iterations.session_id", "calibration_sessions.session_id"),
        Relation("simulations.solver", "solvers.code"),
        Relation("simulations.status", "statuses.code"),
        Relation("simulations.study_area_name", "dim_study_areas.code"),
        # a run may be of a kind that has no word yet
        Relation("simulations.flow_regime", "flow_regimes.code", required=False),
        Relation("simulations.mesh_topology", "mesh_topologies.code", required=False),
    ),
    vocabularies=(
        Vocabulary("parameters.parameterization", frozenset({"uniform"})),
        Vocabulary("provenance.source_type", frozenset({"cache", "custom_file"})),
        Vocabulary("calibration_sessions.status", frozenset({"running", *ENDS})),
        Vocabulary("calibration_iterations.status", frozenset(STATUSES)),
        Vocabulary("workflow_steps.status", frozenset({"running", "completed", "failed", "aborted"})),
        Vocabulary("audit_log.event_type", frozenset({*AUDITED.values(), "sim.tag_remove"})),
        Vocabulary("audit_log.actor_kind", frozenset({"os_user", "principal", "system", "cli", "api"})),
    ),
    outside={
        "simulations.principal_id": "a user",
        "runs_environment.principal_id": "a user",
        "provenance.entry_id": "an input of the cache, also when it was purged there",
        "provenance.artifact_id": "a version of an input of the cache",
        "tracked_files.entry_id": "an input of the cache, also when it was purged there",
        "metrics.station_id": "any place that was measured at; `__outlet__` for the outlet",
        "parameters.zone_id": "a zone of the model; `__global__` for all of it",
        "stations.station_id": "its own key",
        "observations.station_id": "a station, with its variable",
        "observation_points.station_id": "a station, by whatever variable",
        "observation_points.cell_id": "a cell of the mesh",
        "calibration_iterations.trial_id": "its own key",
        "calibration_sessions.session_id": "its own key",
        "simulations.sim_id": "its own key",
        "workflow_steps.step_id": "its own key",
        "workflow_steps.run_id": "a run of the workflow",
        "workflow_steps.reused_step_id": "a step of an earlier run",
        "observations.addition_id": "its own key",
        "observations.entry_id": "an input of the cache, also when it was purged there",
        "observations.artifact_id": "a version of an input of the cache",
        "audit_log.event_id": "its own key",
        "deletions.sim_id": "its own key: a simulation that is no more",
    },
    ask=ask,
    look=look,
    deep=deep,
    remains=lambda case: [folder for folder in _folders(case.home) if (folder / manifest.NAME).is_file()],
)
