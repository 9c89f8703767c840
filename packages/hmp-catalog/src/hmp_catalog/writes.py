"""The low-level verbs under their documented names: each hands over to the room that does it.

A simulation that is open here is written to through its recorder; one that is sealed takes what may be said later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from hmp_catalog.errors import SealedRunError, SimulationNotFound
from hmp_catalog.facts import GLOBAL_ZONE, OUTLET

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.recorder import Recorder
    from hmp_catalog.run import Run

Mode = Literal["keep", "fail", "version", "replace"]
P = ParamSpec("P")
R = TypeVar("R")


class LowLevelWriter:
    """Registers simulations and writes to them by id, where a ``with`` block does not fit.

    `SimulationCatalog` has every verb of it. A simulation registered here belongs to this object and its process until
    `finalize` seals it.
    """

    def __init__(self, catalog: SimulationCatalog) -> None:
        self._catalog = catalog
        self._open: dict[str, Recorder] = {}
        self._times: dict[str, Any] = {}

    # ── a simulation ─────────────────────────────────────────────────────────────────────────────────

    def register_simulation(
        self, /, solver: str, *, sim_id: str | None = None, if_exists: Mode = "keep", **about: Any
    ) -> str:
        """Open a simulation and return its id; see `SimulationCatalog.record` for what may be said of it."""
        recorder = self._catalog.record(solver, sim_id=sim_id, if_exists=if_exists, **about)
        self._open[recorder.sim_id] = recorder
        return recorder.sim_id

    def finalize(self, sim_id: str, status: str = "completed") -> None:
        """Seal a simulation; see `Recorder.seal`."""
        self._recorder(sim_id).seal(status)
        del self._open[sim_id]

    def delete(self, sim_id: str) -> None:
        """Move a simulation to the trash; one that is open here is ended as aborted first."""
        if sim_id in self._open:
            self.finalize(sim_id, "aborted")
        self._catalog.delete(sim_id)

    def rename_simulation(self, sim_id: str, name: str) -> None:
        """Give a simulation another name."""
        self._run(sim_id).rename(name)

    def add_note(self, sim_id: str, words: str | None) -> None:
        """Set the note of a simulation; None takes it away."""
        self._run(sim_id).note(words)

    def add_tag(self, sim_id: str, tag: str) -> bool:
        """Add a tag; return whether it was new."""
        return self._tagged(sim_id, tag, on=True)

    def remove_tag(self, sim_id: str, tag: str) -> bool:
        """Remove a tag; return whether it was there."""
        return self._tagged(sim_id, tag, on=False)

    def _tagged(self, sim_id: str, tag: str, *, on: bool) -> bool:
        if sim_id in self._open:
            return self._open[sim_id].said.retag(tag, on=on)
        run = self._run(sim_id)
        had = tag in run.tags
        run.tag(tag if on else f"-{tag}")
        return had != on

    def write_scientific_objective(self, sim_id: str, objective: str) -> None:
        """Say what a simulation is for."""
        self._run(sim_id).describe(scientific_objective=objective)

    # ── what went in ─────────────────────────────────────────────────────────────────────────────────

    def write_parameters(
        self, sim_id: str, parameters: Mapping[str, Any], *, unit: str | None = None, zone: str = GLOBAL_ZONE
    ) -> None:
        """Set parameters; see `Recorder.parameter`."""
        recorder = self._recorder(sim_id)
        for name, value in parameters.items():
            recorder.parameter(name, value, unit=unit, zone=zone)

    def update_parameter(
        self, sim_id: str, name: str, value: Any, *, unit: str | None = None, zone: str = GLOBAL_ZONE
    ) -> None:
        """Set a parameter that was set before.

        Raises
        ------
        NotFound
            If it was not; it is a ``KeyError``.
        """
        self._recorder(sim_id).said.reset_parameter(name, value, unit=unit, zone=zone)

    def write_provenance(self, sim_id: str, *inputs: Any) -> None:
        """Say what the simulation consumed; see `Recorder.input`."""
        self._recorder(sim_id).input(*inputs)

    def register_tracked_files(self, sim_id: str, files: Any, *, role: str = "config") -> None:
        """Say which files of the workspace belong to a simulation besides its inputs; they are hashed now."""
        self._recorder(sim_id).said.track(files, role)

    def remove_tracked_file(self, sim_id: str, path: Any, *, role: str = "config") -> None:
        """Take back that a file belongs to a simulation; the file stays."""
        self._recorder(sim_id).said.untrack(path, role)

    def write_run_environment(self, /, sim_id: str, **facts: Any) -> None:
        """Correct what was captured of the environment, as ``solver_version_text="6.5.0"``."""
        self._recorder(sim_id).said.correct_environment(facts)

    # ── what came out ────────────────────────────────────────────────────────────────────────────────

    def write_metric(self, /, sim_id: str, name: str, value: float, *, station: str = OUTLET, **more: Any) -> None:
        """Set a metric; of a sealed run it is an addition. See `Recorder.metric` and `Run.metric`."""
        where = self._open.get(sim_id) or self._run(sim_id)
        where.metric(name, value, station=station, **more)

    def write_metrics(self, /, sim_id: str, values: Mapping[str, float], **where: Any) -> None:
        """Set several metrics measured at the same place."""
        for name, value in values.items():
            self.write_metric(sim_id, name, value, **where)

    def write_timeseries(self, /, sim_id: str, variable: str, series: Any, **more: Any) -> None:
        """Keep a time series; see `Recorder.timeseries`."""
        self._recorder(sim_id).timeseries(variable, series, **more)

    def write_timeseries_batch(self, sim_id: str, batch: Iterable[Mapping[str, Any]]) -> None:
        """Keep several time series: of each a mapping with ``variable``, ``series``, ``station``, ``unit``."""
        for one in batch:
            self.write_timeseries(sim_id, **one)

    def write_timeseries_columns(self, sim_id: str, variable: str, frame: Any, *, unit: str = "") -> None:
        """Keep a time series for each column of a DataFrame with a DatetimeIndex: its name is the station."""
        for station in frame.columns:
            self.write_timeseries(sim_id, variable, frame[station], station=str(station), unit=unit)

    def write_budget(self, sim_id: str, frame: Any) -> None:
        """Keep rows of the water budget in ``tables/budget.parquet``."""
        self._recorder(sim_id).table("budget", frame)

    def write_mass_balance(self, sim_id: str, frame: Any) -> None:
        """Keep rows of the mass balance in ``tables/mass_balance.parquet``."""
        self._recorder(sim_id).table("mass_balance", frame)

    def write_budgets(self, sim_id: str, frames: Iterable[Any]) -> None:
        """Keep the rows of several budgets, one after the other."""
        for frame in frames:
            self.write_budget(sim_id, frame)

    def write_mass_balances(self, sim_id: str, frames: Iterable[Any]) -> None:
        """Keep the rows of several mass balances, one after the other."""
        for frame in frames:
            self.write_mass_balance(sim_id, frame)

    def write_view(self, /, sim_id: str, kind: str, frame: Any, **more: Any) -> None:
        """Keep any other table in ``tables/<kind>.parquet``; see `Recorder.table`."""
        self._recorder(sim_id).table(kind, frame, **more)

    # ── where, and in which shape ────────────────────────────────────────────────────────────────────

    def write_time(self, sim_id: str, times: Any) -> None:
        """Say at which times the fields are that follow; a field may still say its own."""
        self._recorder(sim_id)
        self._times[sim_id] = times

    def write_crs(self, sim_id: str, crs: str) -> None:
        """Say in which coordinate system the simulation is, before its fields and features are written."""
        self._recorder(sim_id).said.restate(crs=crs)

    def write_mesh(self, /, sim_id: str, nodes: Any, cells: Any, **more: Any) -> None:
        """Say on which mesh the fields lie; see `hmp_catalog.fields.SimulationZarr.write_mesh`."""
        self._recorder(sim_id).fields.write_mesh(nodes, cells, **more)

    def write_field(self, /, sim_id: str, name: str, array: Any, **more: Any) -> None:
        """Keep a field; see `Recorder.field`."""
        self._recorder(sim_id).field(name, array, **self._timed(sim_id, more))

    def _timed(self, sim_id: str, more: dict[str, Any]) -> dict[str, Any]:
        dims = more.get("dims")
        known = sim_id in self._times and (dims is None or "time" in dims)
        return {"time": self._times[sim_id]} | more if known else more

    def write_field_stack(self, /, sim_id: str, name: str, steps: Sequence[Any], **more: Any) -> None:
        """Keep a field of which the steps are given one by one, in the order of time."""
        import numpy as np

        self.write_field(sim_id, name, np.stack([np.asarray(step) for step in steps]), **more)

    def write_geographic_metadata(self, sim_id: str, values: Mapping[str, Any], *, unit: str | None = None) -> None:
        """Say figures and words about the catchment; see `Recorder.geographic_metadata`."""
        for key, value in values.items():
            self._recorder(sim_id).geographic_metadata(key, value, unit)

    def write_geographic_feature(self, sim_id: str, name: str, features: Any, *, crs: Any = None) -> None:
        """Keep a layer of features; see `Recorder.geographic_feature`."""
        self._recorder(sim_id).geographic_feature(name, features, crs=crs)

    def write_observation_point(self, /, sim_id: str, station: str, x: float, y: float, **where: Any) -> None:
        """Say where a station lies in the mesh; see `Recorder.observation_point`."""
        self._recorder(sim_id).observation_point(station, x, y, **where)

    # ── beside the simulations ───────────────────────────────────────────────────────────────────────

    def write_station(self, /, station: str, variable: str, **about: Any) -> None:
        """Describe a station; see `Stations.add`."""
        self._catalog.stations.add(station, variable, **about)

    def write_observations(self, /, station: str, variable: str, series: Any = None, **about: Any) -> str:
        """Add to what a station observed, and return the id of the addition; see `Observations.add`."""
        return self._catalog.observations.add(station, variable, series, **about)

    # ── which one ────────────────────────────────────────────────────────────────────────────────────

    def _run(self, sim_id: str) -> Run:
        return self._catalog[sim_id]

    def _recorder(self, sim_id: str) -> Recorder:
        if sim_id in self._open:
            return self._open[sim_id]
        run = self._catalog[sim_id]
        if run.status in {"running", "interrupted"}:
            message = f"simulation {sim_id} is {run.status}, and was not registered through this catalog object"
            raise SimulationNotFound(message, reference=sim_id, candidates=list(self._open))
        message = f"simulation {sim_id} is sealed: what it is and left behind does not change; record a new one"
        raise SealedRunError(message)


def verb(method: Callable[Concatenate[LowLevelWriter, P], R]) -> Callable[Concatenate[SimulationCatalog, P], R]:
    """Return a low-level verb as a verb of the catalog, which hands it over to its writer."""

    @wraps(method)
    def handed_over(catalog: SimulationCatalog, /, *arguments: P.args, **options: P.kwargs) -> R:
        return method(catalog.writer, *arguments, **options)

    return handed_over


#: Under this name older code imports it.
WritesMixin = LowLevelWriter
