"""Several simulations at once: rank, compare, tabulate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from hmp_catalog import columns, queries
from hmp_catalog.errors import SimulationNotFound
from hmp_catalog.ranking import ranking
from hmp_catalog.run import Run

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr

    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.plot.groups import GroupPlots


class SimulationGroup:
    """The answer to `SimulationCatalog.find`: runs in order, newest first; may be empty.

    Which simulations they are is settled when they are found; what is known of them is read when it is asked for.
    """

    def __init__(self, catalog: SimulationCatalog, sim_ids: Sequence[str], *, hint: str = "") -> None:
        self._catalog = catalog
        self.sim_ids = list(sim_ids)
        #: of an empty group: which words of the question nobody has recorded, and which are near
        self.hint = hint

    def __repr__(self) -> str:
        return f"<SimulationGroup of {len(self)}{f': {self.hint}' if self.hint else ''}>"

    def __len__(self) -> int:
        return len(self.sim_ids)

    def __iter__(self) -> Iterator[Run]:
        return (Run(self._catalog, facts["sim_id"], facts) for facts in self._rows)

    @cached_property
    def facts(self) -> pa.Table:
        """What is known of each in a line, without parameters and metrics; in the order of the group.

        Raises
        ------
        SimulationNotFound
            If one was purged since.
        """
        with self._catalog.reading() as backend:
            return columns.facts(backend, self.sim_ids)

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return list(self.facts.to_pylist())

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> SimulationGroup: ...
    def __getitem__(self, index: int | slice) -> Run | SimulationGroup:
        if isinstance(index, slice):
            return SimulationGroup(self._catalog, self.sim_ids[index])
        try:
            return Run(self._catalog, self.sim_ids[index])
        except IndexError:
            message = f"there are {len(self)} simulations in this group, none at {index}"
            raise SimulationNotFound(message, reference=str(index), candidates=[]) from None

    def filter(self, **filters: Any) -> SimulationGroup:
        """Return those of the group that also fit (see `SimulationCatalog.find`)."""
        kept = set(self._catalog.find(**filters).sim_ids)
        return SimulationGroup(self._catalog, [sim for sim in self.sim_ids if sim in kept])

    # ── ranking ──────────────────────────────────────────────────────────────────────────────────────

    def ranked(
        self, metric: str, *, station: str | None = None, variable: str | None = None, ascending: bool | None = None
    ) -> list[tuple[Run, float]]:
        """Return (run, value) of the finished runs that have the metric, best first.

        Values that are no number, or outside what the metric can be, never count. Discharge at the outlet counts,
        else the only value at the outlet, else the only one anywhere.

        Parameters
        ----------
        metric
            Its name.
        station, variable
            Only what was measured there, and of that variable.
        ascending
            Order by the value itself; by default by the metric's own direction.

        Raises
        ------
        UnrankedMetric
            If nobody said which way the metric is better.
        AmbiguousScore
            If a run has it at several stations and ``station`` does not say which counts.
        """
        found = self._ranking(metric, station=station, variable=variable, ascending=ascending)
        return [(Run(self._catalog, sim), value) for sim, value in found]

    def _ranking(self, metric: str, **how: Any) -> list[tuple[str, float]]:
        with self._catalog.reading() as backend:
            return ranking(backend, metric, among=set(self.sim_ids), **how)

    def rank(self, metric: str, n: int | None = None, **how: Any) -> SimulationGroup:
        """Return the ``n`` best (all) of the group that have the metric, best first; see `ranked`."""
        return SimulationGroup(self._catalog, [sim for sim, _ in self._ranking(metric, **how)[:n]])

    def best(self, metric: str, **where: Any) -> Run:
        """Return the best finished run by the metric's own direction; NaN never wins. See `ranked`."""
        return self._end(metric, where, 0)

    def worst(self, metric: str, **where: Any) -> Run:
        """Return the worst finished run by the metric's own direction."""
        return self._end(metric, where, -1)

    def _end(self, metric: str, where: dict[str, Any], position: int) -> Run:
        ranked = self._ranking(metric, **where)
        if not ranked:
            message = f"none of these {len(self)} simulations is finished and has the metric {metric!r}"
            raise SimulationNotFound(message, reference=metric, candidates=[])
        return Run(self._catalog, ranked[position][0])

    def compare(self, metric: str, **where: Any) -> pd.DataFrame:
        """Return a frame of sim_id, name, solver, the metric and all parameters, best first. See `ranked`."""
        import pandas as pd

        ranked = self._ranking(metric, **where)
        best = SimulationGroup(self._catalog, [sim for sim, _ in ranked])
        with self._catalog.reading() as backend:
            wide = columns.wide(backend, "parameters", best.sim_ids)
            facts = best.facts
        about = {name: facts[name].to_pylist() for name in ("sim_id", "name", "solver")}
        found = about | {metric: [value for _, value in ranked]}
        # a parameter may be called "name", too
        found |= {f"param.{name}" if name in found else name: column.to_pylist() for name, column in wide.items()}
        return pd.DataFrame(found)

    # ── tabulating ───────────────────────────────────────────────────────────────────────────────────

    @property
    def table(self) -> pa.Table:
        """The group as an Arrow table: facts, then ``metric.<name>`` and ``param.<name>`` columns."""
        import pyarrow as pa

        with self._catalog.reading() as backend:
            metrics = columns.wide(backend, "metrics", self.sim_ids)
            parameters = columns.wide(backend, "parameters", self.sim_ids)
            facts = columns.facts(backend, self.sim_ids)
        found = {name: facts[name] for name in queries.SUMMARY if name != "owner"}
        found |= {f"metric.{name}": column for name, column in metrics.items()}
        return pa.table(found | {f"param.{name}": column for name, column in parameters.items()})

    @property
    def frame(self) -> pd.DataFrame:
        """The group as a pandas DataFrame (see `table`)."""
        return self.table.to_pandas()

    def to_xarray(self, field: str, *, without: str = "raise") -> xr.DataArray:
        """Return a field of all runs as one lazy array along ``simulation``, labelled with ids and names.

        Parameters
        ----------
        field
            Which one; it must have the same shape in all runs.
        without
            What to do about runs that lack it: "raise", or "report", which leaves them out and names them in
            ``attrs["simulations_without"]``.

        Raises
        ------
        NotFound
            If runs lack it; they are named.
        InvalidInput
            If it differs in shape.
        """
        from hmp_catalog.stacking import stacked

        return stacked(list(self), field, without=without)

    @property
    def plot(self) -> GroupPlots:
        """Pictures (extra ``[plot]``): ``group.plot.scatter("x1", "nse")``, ``group.plot.parallel("nse")``."""
        from hmp_catalog.plot.groups import GroupPlots

        return GroupPlots(self)

    def _repr_html_(self) -> str:
        from hmp_catalog.shown import group_html

        return group_html(self)
