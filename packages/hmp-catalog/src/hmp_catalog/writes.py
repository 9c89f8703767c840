"""The low-level verbs under their documented names: each delegates to the recorder of the run it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.errors import SimulationNotFound
from hmp_catalog.facts import GLOBAL_ZONE, OUTLET
from hmp_catalog.recorder import Recorder

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog


class WritesMixin:
    """Registers simulations and writes to them by id, where a ``with`` block does not fit.

    A simulation registered here belongs to this object and its process until `finalize` seals it.
    """

    def __init__(self, catalog: SimulationCatalog) -> None:
        self._catalog = catalog
        self._open: dict[str, Recorder] = {}

    def register_simulation(
        self, solver: str, *, sim_id: str | None = None, name: str | None = None, **about: Any
    ) -> str:
        """Open a simulation and return its id; see `SimulationCatalog.record` for what may be said of it."""
        recorder = self._catalog.record(solver, sim_id=sim_id, name=name, **about)
        self._open[recorder.sim_id] = recorder
        return recorder.sim_id

    def write_parameters(
        self, sim_id: str, parameters: Mapping[str, Any], *, unit: str | None = None, zone: str = GLOBAL_ZONE
    ) -> None:
        """Set parameters; see `Recorder.parameter`."""
        for name, value in parameters.items():
            self._recorder(sim_id).parameter(name, value, unit=unit, zone=zone)

    def write_metric(self, sim_id: str, name: str, value: float, *, station: str = OUTLET, **more: Any) -> None:
        """Set a metric; of a sealed run it is an addition. See `Recorder.metric` and `Run.metric`."""
        if sim_id in self._open:
            self._open[sim_id].metric(name, value, station=station, **more)
        else:
            self._catalog[sim_id].metric(name, value, station=station, **more)

    def write_timeseries(self, sim_id: str, variable: str, series: Any, **more: Any) -> None:
        """Keep a time series; see `Recorder.timeseries`."""
        self._recorder(sim_id).timeseries(variable, series, **more)

    def write_budget(self, sim_id: str, frame: Any) -> None:
        """Keep rows of the water budget in ``tables/budget.parquet``."""
        self._recorder(sim_id).table("budget", frame)

    def write_mass_balance(self, sim_id: str, frame: Any) -> None:
        """Keep rows of the mass balance in ``tables/mass_balance.parquet``."""
        self._recorder(sim_id).table("mass_balance", frame)

    def write_field(self, sim_id: str, name: str, array: Any, **more: Any) -> None:
        """Keep a field; see `Recorder.field`."""
        self._recorder(sim_id).field(name, array, **more)

    def write_provenance(self, sim_id: str, *inputs: Any) -> None:
        """Say what the simulation consumed; see `Recorder.input`."""
        self._recorder(sim_id).input(*inputs)

    def add_tag(self, sim_id: str, tag: str) -> None:
        """Add a tag."""
        if sim_id in self._open:
            self._open[sim_id].tag(tag)
        else:
            self._catalog[sim_id].tag(tag)

    def remove_tag(self, sim_id: str, tag: str) -> None:
        """Remove a tag of a sealed simulation."""
        self._catalog[sim_id].tag(f"-{tag}")

    def rename_simulation(self, sim_id: str, name: str) -> None:
        """Give a simulation another name."""
        self._catalog[sim_id].rename(name)

    def finalize(self, sim_id: str, status: str = "completed") -> None:
        """Seal a simulation; see `Recorder.seal`."""
        self._recorder(sim_id).seal(status)
        del self._open[sim_id]

    def _recorder(self, sim_id: str) -> Recorder:
        if sim_id not in self._open:
            message = f"simulation {sim_id} is not open here; what is sealed is not rewritten"
            raise SimulationNotFound(message, reference=sim_id, candidates=list(self._open))
        return self._open[sim_id]
