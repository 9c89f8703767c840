"""How two simulations differ: what they were told, what they consumed, what they ran on, and what came out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.records import Difference

if TYPE_CHECKING:
    from hmp_catalog.run import Run

#: Facts of a run that say what it is, and not when it was made or what it is called.
_FACTS = ("solver", "status", "seed", "flow_regime", "mesh_topology", "study_area_name", "period_start", "period_end")
#: What of the environment is the same for no two runs, or stands in a part of its own.
_PASSING = {"command", "memory_gb"}


def difference(left: Run, right: Run) -> list[Difference]:
    """Return what is not the same, part by part.

    Raises
    ------
    PathNotFound
        If one of them is not sealed, or its folder is gone: its configuration is not known then.
    """
    found = list[Difference]()
    for part, here, there in (
        ("run", {n: left.facts[n] for n in _FACTS}, {n: right.facts[n] for n in _FACTS}),
        ("parameters", left.parameters, right.parameters),
        ("metrics", left.metrics, right.metrics),
        ("config", dict(_flat(left.config)), dict(_flat(right.config))),
        ("inputs", _inputs(left), _inputs(right)),
        ("environment", dict(_environment(left)), dict(_environment(right))),
    ):
        found += _compared(part, here, there)
    return found


def _compared(part: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted(left.keys() | right.keys()):
        if key not in right:
            yield Difference(part, key, left[key], None, only="left")
        elif key not in left:
            yield Difference(part, key, None, right[key], only="right")
        elif not _same(left[key], right[key]):
            yield Difference(part, key, left[key], right[key])


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and bool(left == right)


def _flat(said: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value; a list is one value."""
    for key, value in said.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _inputs(run: Run) -> dict[str, str]:
    return {f"{one['variable']} {one['path']}".strip(): one["sha256"] for one in run.manifest["inputs"]}


def _environment(run: Run) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in _flat(run.environment) if key not in _PASSING)
