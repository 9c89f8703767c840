"""Simulations that need not be run again: what makes two of them the same, and where the finished one is.

The same are: solver (its version and the hash of its binary, where these were said), configuration, parameters, seed,
what bounds the model in space and time, and the SHA-256 of every input in the order given. Names, tags, descriptions
and where an input lies do not count. The code of a model in Python is not seen: say ``solver_version`` and change it
with the code.

Of several that want the same at once one runs it (see `hmp_catalog.claims`): the others wait, and get its run.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hmp_catalog import claims, manifest, queries
from hmp_catalog.plain import digest, real
from hmp_core.errors import CorruptError, HmpError, InvalidInput, SchemaTooNewError

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.claims import Claim
    from hmp_catalog.recorder import Recorder
    from hmp_catalog.run import Run
    from hmp_catalog.said import Said
    from hmp_core.events import Event
    from hmp_core.protocols import CatalogBackend

#: What to do where somebody is running the same simulation.
IF_RUNNING = ("wait", "fail", "run")
#: Seconds to wait for whoever runs it, unless told otherwise.
LONGEST = 3600.0

#: What is said of a run when it begins and changes what comes out.
_BOUNDS = ("flow_regime", "mesh_topology", "period", "bbox", "crs", "outlet")
_OF_SOLVER = ("solver_version_text", "solver_binary_sha256", "additional_solvers")


def identity(said: Said) -> str:
    """Return the hash that two runs have in common which must give the same results."""
    spec, about = said.spec, said.spec.about()
    return digest(  # all of it is plain already: to look again was 50 ms of 10,000 parameters
        {
            "solver": spec.solver,
            "config": spec.config or {},
            "seed": spec.seed,
            "parameters": [[p["name"], p["zone"], p["type"], p["value"], p["unit"]] for p in said.ordered()],
            "inputs": [[one["role"], one["variable"], one["sha256"]] for one in said.files()],
            "bounds": {name: about[name] for name in _BOUNDS},
            "solvers": {name: said.environment.get(name) for name in _OF_SOLVER},
        }
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What to do where somebody is running the same simulation: wait (how long), refuse, or run it beside."""

    if_running: str
    wait: float


def wish(said: dict[str, Any]) -> Wish | None:
    """Take what is wished out of what is said of a run that begins; None where a finished run is not asked for.

    Raises
    ------
    InvalidInput
        For another word than wait, fail or run, a time that is none, or either without ``reuse=True``.
    """
    wanted, how = said.pop("reuse", False), {key: said.pop(key) for key in ("if_running", "wait") if key in said}
    if not wanted:
        if how:
            message = f"{' and '.join(how)}: who else runs the same simulation is asked with reuse=True"
            raise InvalidInput(message)
        return None
    if_running, seconds = how.get("if_running", "wait"), real(how.get("wait", LONGEST), "wait")
    if if_running not in IF_RUNNING or not seconds >= 0:
        message = (
            f"if_running is {if_running!r}, expected one of {', '.join(IF_RUNNING)}; wait is {seconds}, in seconds"
        )
        raise InvalidInput(message)
    return Wish(if_running, seconds if if_running == "wait" else 0.0)


def finished_or_begun(
    catalog: SimulationCatalog, recorder: Recorder, wanted: Wish, start: Callable[[], Recorder]
) -> Recorder:
    """Return a recorder that stands for the finished run that is the same, else one that is begun.

    Raises
    ------
    BusyError
        If somebody is still running the same.
    """
    same = identity(recorder.said)
    claim = None if wanted.if_running == "run" else _claim(catalog, recorder, same, wanted)
    try:
        # asked with the claim in hand: whoever had it may have finished the simulation
        if (known := twin(catalog, same)) is not None:
            return stand_for(*known, recorder, start)
        begun = start()
        if claim is not None:
            # whoever drops the recorder unsealed will not seal it, however long the process lives
            weakref.finalize(begun, claim.release)
        begun.claim, claim = claim, None
        return begun
    finally:
        if claim is not None:
            claim.release()


def _claim(catalog: SimulationCatalog, recorder: Recorder, same: str, wanted: Wish) -> Claim | None:
    """Return the claim on a simulation, having waited for it unless it is finished."""
    asked = partial(claims.take, catalog.store.path, same, recorder.sim_id)
    try:
        return asked(wait=0.0)
    except HmpError:  # who only gets a finished one waits for nobody, and needs no room on the disk
        return None if twin(catalog, same) is not None else asked(wait=wanted.wait)


def twin(catalog: SimulationCatalog, same: str) -> tuple[Run, Path] | None:
    """Return the newest finished run that has an identity and whose files are there, and its folder."""
    from hmp_catalog.run import Run

    found = catalog.store.glance(partial(_identical, catalog.path, same))
    if found is None:
        with catalog.reading() as backend:
            found = queries.identical(backend, same)
    # the facts of a run are not asked for: who was told without a fold would fold for them
    runs = ((Run(catalog, sim), manifest.run_folder(catalog.path, name)) for sim, name in found)
    return next(((run, folder) for run, folder in runs if (folder / manifest.NAME).is_file()), None)


def _identical(project: Path, same: str, backend: CatalogBackend, recent: list[Event]) -> list[tuple[str, str]] | None:
    """Return the finished ones that are the same; None where an event that is not a row yet may tell of one."""
    known = queries.of_identity(backend, same)
    for event in recent:
        if event.payload.get("sim_id") in known or event.v != 1 or event.kind == "run.unreadable":
            return None
        if event.kind == "run.sealed" and _sealed_as(project, event) in {same, None}:
            return None
    return queries.identical(backend, same) if known else []


#: What the runs were whose sealing was in the log when it was asked for, by that event: each is read once.
_sealed: dict[UUID, str] = {}
#: More than wait to be folded; then it is begun again.
_MANY = 4096


def _sealed_as(project: Path, event: Event) -> str | None:
    """Return the identity of a run that was sealed; None where its manifest does not tell."""
    if (known := _sealed.get(event.id)) is not None:
        return known
    try:
        content, checksum = manifest.read(manifest.run_folder(project, event.payload["folder"]), verify=False)
    except (FileNotFoundError, CorruptError, SchemaTooNewError, ValueError):
        return None
    if checksum != event.payload["sha256"]:
        return None
    if len(_sealed) >= _MANY:
        _sealed.clear()
    _sealed[event.id] = told = content["run"].get("identity_hash") or ""
    return told


def stand_for(finished: Run, folder: Path, recorder: Recorder, begin: Callable[[], Any]) -> Recorder:
    """Let a recorder stand for a finished run; nothing is recorded unless something is said all the same.

    That becomes a run of its own, linked to the finished one as its duplicate: a result is never replaced, never lost.
    """
    own = recorder.sim_id

    def duplicate() -> None:
        recorder.sim_id = own
        recorder.said.restate(parent=finished.sim_id, lineage="duplicate")
        begin()

    recorder.reused, recorder.sim_id, recorder.folder, recorder.later = (
        finished,
        finished.sim_id,
        folder,
        duplicate,
    )
    return recorder


def simulate(catalog: SimulationCatalog, solver: str, work: Callable[[Recorder], Any], about: dict[str, Any]) -> Run:
    """Return the finished run that is the same, else do the work and return its run."""
    from hmp_catalog.run import Run

    with catalog.record(solver, reuse=True, **about) as recorder:
        if recorder.reused is None:
            work(recorder)
    return Run(catalog, recorder.sim_id)
