"""What events about calibrations mean: opened, tried, closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hmp_catalog.plain import from_microseconds, number
from hmp_catalog.sealed import OPENED, SEALED
from hmp_core.events import Event, Row


def _opened(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    said = event.payload
    at = from_microseconds(event.at)
    values = {
        "project": said["project"],
        "method": said["method"],
        "objective_name": said["objective"],
        "config": json.dumps(said["config"]),
        "seed": said["seed"],
        "hostname": said["hostname"],
        # events of the first weeks do not know whose it was
        "owner": None if said.get("owner") is None else json.dumps(said["owner"]),
        "started_at": at,
    }
    yield Row("calibration_sessions", (said["session_id"],), values, event.stamp())
    running = {"status": "running"}
    yield Row("calibration_sessions", (said["session_id"],), running, event.stamp(OPENED), group="end")


def _trial(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    yield _tried(event, event.payload)


def _trials(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    yield from (_tried(event, said) for said in event.payload["trials"])


def _tried(event: Event, said: dict[str, Any]) -> Row:
    values = {
        "iteration": said["iteration"],
        "sim_id": said["sim_id"],
        "params_hash": said["params_hash"],
        "parameters": json.dumps(said["parameters"]),
        "objective_value": number(said["objective"]),
        "metrics": json.dumps(said["metrics"]),
        "status": said["status"],
        "from_cache": said["status"] == "cached",
    }
    session = event.payload["session_id"]
    needs = ("calibration_sessions", session)
    return Row("calibration_iterations", (session, said["trial_id"]), values, event.stamp(), needs=needs)


def _closed(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    values = {
        "status": said["status"],
        "n_iterations": said["n_trials"],
        "best_objective": number(said["best_objective"]),
        "best_params_hash": said["best_params_hash"],
        "best_sim_id": said["best_sim_id"],
        "error_message": said["error"],
        "duration_s": number(said["duration_s"]),
        "ended_at": from_microseconds(event.at),
    }
    session = said["session_id"]
    needs = ("calibration_sessions", session)
    yield Row("calibration_sessions", (session,), values, event.stamp(SEALED), group="end", needs=needs)


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {
    "calibration.opened": _opened,
    "calibration.trial": _trial,
    "calibration.trials": _trials,
    "calibration.closed": _closed,
}
