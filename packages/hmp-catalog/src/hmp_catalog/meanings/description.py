"""What events mean that describe a run anew: what it is for, where, and whom to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog.facts import ABOUT
from hmp_catalog.sealed import LATER
from hmp_core.events import Event, Row

#: What is on the audit trail, and what it is called there.
AUDITED = {"run.described": "objective.set"}


def _described(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    sim = event.payload["sim_id"]
    values = {column: event.payload[column] for column in ABOUT}
    yield Row("simulations", (sim,), values, event.stamp(LATER), group="about", needs=("simulations", sim))


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {"run.described": _described}
