"""What events about workflows mean: a run opened, a step of it began, a step or the run ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hmp_catalog.plain import from_microseconds, number
from hmp_catalog.sealed import OPENED, SEALED
from hmp_core.events import Event, Row

#: The columns that ending sets; until then a step runs.
END = (
    "status",
    "ended_at",
    "duration_s",
    "outputs_hash",
    "error_message",
    "artifact_uris",
    "result",
    "reused_step_id",
)


def _opened(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    said = event.payload
    # the run as a whole is its step 0
    yield from _begun(event, said["run_id"], {"step_order": 0, "step_name": said["workflow"]})


def _began(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    about = {"step_order": said["order"], "step_name": said["step"], "inputs_hash": said["inputs_hash"]}
    yield from _begun(event, said["step_id"], about)


def _begun(event: Event, step_id: str, about: dict[str, Any]) -> Iterator[Row]:
    said = event.payload
    values = {
        "run_id": said["run_id"],
        "workflow": said["workflow"],
        "owner": json.dumps(said["owner"]),
        "started_at": from_microseconds(event.at),
    }
    yield Row("workflow_steps", (step_id,), values | about, event.stamp())
    yield Row("workflow_steps", (step_id,), {"status": "running"}, event.stamp(OPENED), group="end")


def _ended(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    values = {
        "status": said["status"],
        "ended_at": from_microseconds(event.at),
        "duration_s": number(said["duration_s"]),
        "outputs_hash": said["outputs_hash"],
        "error_message": said["error"],
        "artifact_uris": json.dumps(said["artifacts"], ensure_ascii=False),
        "result": json.dumps(said["result"], ensure_ascii=False),
        "reused_step_id": said["reused_step_id"],
    }
    yield Row("workflow_steps", (said["step_id"],), values, event.stamp(SEALED), group="end")


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {
    "workflow.opened": _opened,
    "workflow.began": _began,
    "workflow.ended": _ended,
}
