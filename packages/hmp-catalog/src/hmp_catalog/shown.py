"""What a notebook shows of a catalog, a group and a run: HTML with every word of a user escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.group import SimulationGroup
    from hmp_catalog.run import Run

#: How many simulations, parameters or metrics are shown; the rest is counted.
_MOST = 30
_FACTS = ("name", "solver", "status", "created_at", "duration_s")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return html.escape(str(value))


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table; the first cell of each row, an id or a name, is set as code."""
    names = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><td><code>{_text(first)}</code></td>" + "".join(f"<td>{_text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def group_html(group: SimulationGroup) -> str:
    """Return the first simulations of a group, a row each, with their metrics."""
    first = group[:_MOST].table
    metrics = [name for name in first.column_names if name.startswith("metric.")]
    head = ("id", *_FACTS, *(name.removeprefix("metric.") for name in metrics))
    rows = [
        (row["sim_id"][:8], *(row[name] for name in _FACTS), *(row[name] for name in metrics))
        for row in first.to_pylist()
    ]
    more = f", the first {len(rows)} shown" if len(group) > len(rows) else ""
    more += f": {group.hint}" if group.hint else ""
    return _table(f"{len(group)} simulation{'s' if len(group) != 1 else ''}{more}", head, rows)


def catalog_html(catalog: SimulationCatalog) -> str:
    """Return what is in a catalog: how many simulations in which state, and the newest."""
    found = catalog.find()
    states: dict[str, int] = {}
    for status in found.facts["status"].to_pylist():
        states[status] = states.get(status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in sorted(states.items())) or "no simulations yet"
    return f"<p><b>{html.escape(catalog.path.name)}</b>: {html.escape(told)}</p>{group_html(found)}"


def run_html(run: Run) -> str:
    """Return the facts of a run, its parameters and its metrics."""
    known = {name: value for name, value in run.facts.items() if value is not None and name != "owner"}
    known |= {"tags": ", ".join(run.tags)} if run.tags else {}
    parts = [
        _pairs(f"Run {run.name or run.sim_id[:8]}", known),
        _pairs("Parameters", run.parameters),
        _pairs("Metrics", run.metrics),
    ]
    return "".join(parts)


def _pairs(caption: str, said: Mapping[str, Any]) -> str:
    if not said:
        return ""
    shown = list(said.items())[:_MOST]
    more = f" (the first {len(shown)} of {len(said)})" if len(said) > len(shown) else ""
    return _table(caption + more, ("", ""), shown)
