"""What events mean that define a word: a metric, a variable or a solver of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog.plain import number
from hmp_core.events import Event, NotYet, Row

_TABLES = {"metrics": "metric_definitions", "variables": "dim_variables", "solvers": "solvers"}
_NUMBERS = ("best_value", "physical_min", "physical_max")
_SHARED = ("unit", "higher_is_better", "physical_min", "physical_max")


def _defined(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    said, stamp = event.payload, event.stamp()
    if said["kind"] not in _TABLES:
        message = f"a word of the {said['kind']} is defined, which only a newer hmp knows"
        raise NotYet(message)
    values = {name: number(value) if name in _NUMBERS else value for name, value in said["values"].items()}
    yield Row(_TABLES[said["kind"]], (said["code"],), values, stamp)
    if said["kind"] == "metrics":
        yield Row("dim_metrics", (said["code"],), {name: values[name] for name in _SHARED}, stamp)


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {"vocabulary.defined": _defined}
