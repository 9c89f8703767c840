"""Several simulations at once: rank, compare, tabulate."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from hmp_catalog import criteria, queries
from hmp_catalog.errors import SimulationNotFound
from hmp_catalog.facts import json_text
from hmp_catalog.run import Run

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hmp_catalog.catalog import SimulationCatalog


class SimulationGroup:
    """The answer to `SimulationCatalog.find`: runs in order, newest first; may be empty."""

    def __init__(self, catalog: SimulationCatalog, rows: Sequence[dict[str, Any]]) -> None:
        self._catalog = catalog
        self._rows = list(rows)

    def __repr__(self) -> str:
        return f"<SimulationGroup of {len(self)}>"

    @property
    def sim_ids(self) -> list[str]:
        """The ids, in order."""
        return [row["sim_id"] for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Run]:
        return (Run(self._catalog, row["sim_id"], row) for row in self._rows)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> SimulationGroup: ...
    def __getitem__(self, index: int | slice) -> Run | SimulationGroup:
        if isinstance(index, slice):
            return SimulationGroup(self._catalog, self._rows[index])
        try:
            row = self._rows[index]
        except IndexError:
            message = f"there are {len(self)} simulations in this group, none at {index}"
            raise SimulationNotFound(message, reference=str(index), candidates=[]) from None
        return Run(self._catalog, row["sim_id"], row)

    def filter(self, **filters: Any) -> SimulationGroup:
        """Return those of the group that also fit (see `SimulationCatalog.find`)."""
        kept = set(self._catalog.find(**filters).sim_ids)
        return SimulationGroup(self._catalog, [row for row in self._rows if row["sim_id"] in kept])

    # ── ranking ──────────────────────────────────────────────────────────────────────────────────────

    def ranked(self, metric: str, *, station: str | None = None) -> list[tuple[Run, float]]:
        """Return (run, value) of the finished runs that have the metric, best first.

        Raises
        ------
        UnrankedMetric
            If nobody said which way the metric is better.
        """
        here = {row["sim_id"]: row for row in self._rows}
        with self._catalog.reading() as backend:
            ranking = queries.ranking(backend, metric, station=station)
        return [(Run(self._catalog, sim, here[sim]), value) for sim, value in ranking if sim in here]

    def best(self, metric: str, *, station: str | None = None) -> Run:
        """Return the best finished run by the metric's own direction; NaN never wins."""
        return self._end(metric, station, 0)

    def worst(self, metric: str, *, station: str | None = None) -> Run:
        """Return the worst finished run by the metric's own direction."""
        return self._end(metric, station, -1)

    def _end(self, metric: str, station: str | None, position: int) -> Run:
        ranked = self.ranked(metric, station=station)
        if not ranked:
            message = f"none of these {len(self)} simulations is finished and has the metric {metric!r}"
            raise SimulationNotFound(message, reference=metric, candidates=[])
        return ranked[position][0]

    def compare(self, metric: str, *, station: str | None = None) -> pd.DataFrame:
        """Return a frame of sim_id, name, solver, the metric and all parameters, best first."""
        import pandas as pd

        ranked = self.ranked(metric, station=station)
        rows = [{"sim_id": run.sim_id, "name": run.name, "solver": run.solver, metric: value} for run, value in ranked]
        columns = ["sim_id", "name", "solver", metric]
        with self._catalog.reading() as backend:
            wide = queries.wide(backend, "parameters", [run.sim_id for run, _ in ranked])
        for key in sorted({key for values in wide.values() for key in values}):
            # a parameter may be called "name", too
            columns.append(f"param.{key}" if key in columns[:4] else key)
            for row in rows:
                row[columns[-1]] = wide.get(str(row["sim_id"]), {}).get(key)
        return pd.DataFrame(rows, columns=columns)

    # ── tabulating ───────────────────────────────────────────────────────────────────────────────────

    @property
    def table(self) -> pa.Table:
        """The group as an Arrow table: facts, then ``metric.<name>`` and ``param.<name>`` columns."""
        import pyarrow as pa

        with self._catalog.reading() as backend:
            metrics = queries.wide(backend, "metrics", self.sim_ids)
            parameters = queries.wide(backend, "parameters", self.sim_ids)
        names = [c for c in queries.SUMMARY if c != "owner"]
        columns: dict[str, pa.Array] = {c: pa.array([row[c] for row in self._rows], _type(c)) for c in names}
        for prefix, wide in (("metric.", metrics), ("param.", parameters)):
            for key in sorted({k for values in wide.values() for k in values}):
                columns[prefix + key] = _array([wide.get(row["sim_id"], {}).get(key) for row in self._rows])
        return pa.table(columns)

    @property
    def frame(self) -> pd.DataFrame:
        """The group as a pandas DataFrame (see `table`)."""
        return self.table.to_pandas()

    def _repr_html_(self) -> str:
        shown = ("name", "solver", "status", "created_at", "duration_s")
        head = "".join(f"<th>{c}</th>" for c in ("id", *shown))
        body = "".join(
            f"<tr><td><code>{row['sim_id'][:8]}</code></td>"
            + "".join(f"<td>{html.escape('' if row[c] is None else str(row[c]))}</td>" for c in shown)
            + "</tr>"
            for row in self._rows[:30]
        )
        more = f"<caption>{len(self)} simulations</caption>"
        return f"<table>{more}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _type(column: str) -> pa.DataType:
    """Return the type of a column, which does not hang on what happens to be in it."""
    import pyarrow as pa

    if column == "seed":
        return pa.int64()
    if column in criteria.NUMBERS:
        return pa.float64()
    return pa.timestamp("us") if column in criteria.TIMES else pa.string()


def _array(values: list[Any]) -> pa.Array:
    """Return a column of numbers; one that has anything else in it is text, or all yes and no."""
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {float}:
        return pa.array(values, pa.float64())
    if kinds <= {float, int}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([v if v is None or isinstance(v, str) else json_text(v) for v in values], pa.string())
