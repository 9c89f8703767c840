"""What events about the whereabouts of a run mean: its files were packed or unpacked; it was exported or imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog.sealed import LATER
from hmp_core.events import Event, Row

#: The columns of `simulations` that say whether its files lie in one.
PACKED = ("zarr_packed", "pack_sha256")


def _packed(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    sim, sha256 = event.payload["sim_id"], event.payload.get("sha256")
    values = {"zarr_packed": sha256 is not None, "pack_sha256": sha256}
    yield Row("simulations", (sim,), values, event.stamp(LATER), group="packed", needs=("simulations", sim))


def _on_record(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    """Yield nothing beyond the audit trail; but not before its run is known."""
    return iter(())


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {
    "run.packed": _packed,
    "run.unpacked": _packed,
    "run.exported": _on_record,
    "run.imported": _on_record,
}

#: What they are called on the audit trail.
AUDITED = {
    "run.packed": "sim.pack",
    "run.unpacked": "sim.unpack",
    "run.exported": "export",
    "run.imported": "import",
}
