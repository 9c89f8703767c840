"""Simulations that need not be run again: what makes two of them the same, and where the finished one is.

The same are: solver (its version and the hash of its binary, where these were said), configuration, parameters, seed,
what bounds the model in space and time, and the SHA-256 of every input in the order given. Names, tags, descriptions
and where an input lies do not count. The code of a model in Python is not seen: say ``solver_version`` and change it
with the code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hmp_catalog import manifest, queries
from hmp_catalog.plain import digest

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.recorder import Recorder
    from hmp_catalog.run import Run
    from hmp_catalog.said import Said

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


def twin(catalog: SimulationCatalog, said: Said) -> Run | None:
    """Return the newest finished run that is the same and whose files are there."""
    from hmp_catalog.run import Run

    with catalog.reading() as backend:
        found = queries.identical(backend, identity(said))
    runs = (Run(catalog, sim) for sim in found)
    return next((run for run in runs if (run.folder / manifest.NAME).is_file()), None)


def stand_for(finished: Run, recorder: Recorder, begin: Callable[[], Any]) -> Recorder:
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
        finished.folder,
        duplicate,
    )
    return recorder


def simulate(catalog: SimulationCatalog, solver: str, work: Callable[[Recorder], Any], about: dict[str, Any]) -> Run:
    """Return the finished run that is the same, else do the work and return its run."""
    with catalog.record(solver, reuse=True, **about) as recorder:
        if recorder.reused is None:
            work(recorder)
    return catalog[recorder.sim_id]
