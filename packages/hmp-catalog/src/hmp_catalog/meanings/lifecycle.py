"""What events about the life of a run mean: thrown away, brought back, purged for ever; what was cleared away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog.plain import from_microseconds
from hmp_catalog.sealed import LATER
from hmp_core.events import Event, Row
from hmp_core.events.fold import Purge

#: What these are called on the audit trail.
AUDITED = {
    "run.trashed": "sim.delete",
    "run.restored": "sim.restore",
    "run.purged": "sim.purge",
    "run.cited": "doi.set",
    "catalog.swept": "gc",
}


def _trashed(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    yield _in_trash(event, {"trashed_at": from_microseconds(event.at)})


def _restored(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    yield _in_trash(event, {"trashed_at": None})


def _in_trash(event: Event, values: dict[str, object]) -> Row:
    sim = event.payload["sim_id"]
    return Row("simulations", (sim,), values, event.stamp(LATER), group="trash", needs=("simulations", sim))


def _purged(event: Event, project: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    said = event.payload
    yield Purge(said["sim_id"])
    values = {
        "deleted_at": from_microseconds(event.at),
        "deleted_by": event.author,
        "reason": said["reason"],
        "components": json.dumps(said["components"], sort_keys=True),
        "sha256_snapshot": said["sha256_snapshot"],
    }
    yield Row("deletions", (said["sim_id"],), values, event.stamp())


def _cited(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    sim, values = event.payload["sim_id"], {"doi": event.payload["doi"]}
    yield Row("simulations", (sim,), values, event.stamp(LATER), group="doi", needs=("simulations", sim))


def _swept(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    """Clearing away is on the audit trail, and changes nothing else."""
    yield from ()


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row | Purge]]] = {
    "run.trashed": _trashed,
    "run.restored": _restored,
    "run.purged": _purged,
    "run.cited": _cited,
    "catalog.swept": _swept,
    # told by the folder alone, where the log is lost: any word of the log wins over it
    "run.found_in_trash": _trashed,
}
