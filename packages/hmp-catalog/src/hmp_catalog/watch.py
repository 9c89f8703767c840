"""What is running now: every open run with its age and its last sign of life; those whose process died are named.

A run gives no heartbeat of its own. Its process is looked up where it runs on this machine; elsewhere the last change
in its folder is all that can be known.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog

COLUMNS = ("sim_id", "name", "solver", "status", "started_at", "age_s", "silent_s", "host", "pid")


def open_runs(catalog: SimulationCatalog) -> list[dict[str, Any]]:
    """Return the open runs, newest first, each a mapping of `COLUMNS`.

    ``age_s`` counts from when it began, ``silent_s`` from the last change in its folder; both in seconds.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    return [_told(run.facts, run.folder, now) for run in catalog.find(status=["running", "interrupted"])]


def _told(facts: dict[str, Any], folder: Path, now: datetime) -> dict[str, Any]:
    owner = json.loads(facts["owner"] or "{}")
    changed = _last_change(folder)
    return {
        **{name: facts[name] for name in ("sim_id", "name", "solver", "status", "started_at")},
        "age_s": round((now - facts["started_at"]).total_seconds(), 1),
        "silent_s": None if changed is None else round(max(0.0, time.time() - changed), 1),
        "host": owner.get("host"),
        "pid": owner.get("pid"),
    }


def _last_change(folder: Path) -> float | None:
    """Return when anything in a run folder changed last; None where it has none."""
    times = list[float]()
    for path in (folder, *folder.rglob("*")):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue  # it is being written to
    return max(times, default=None)
