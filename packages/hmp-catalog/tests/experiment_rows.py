"""Rows of an experiments store that were not written through its door: what a question is tried on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hmp_catalog.experiments.schema import SCHEMA
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.identifiers import identifier
from hmp_core.filters import Bound
from hmp_core.migrations.runner import migrate

START = datetime(2026, 1, 1)

_NEW: dict[str, dict[str, Any]] = {
    "runs": {"name": "a run", "datasets": [{"name": "wheat"}], "status": "running"},
    "pipelines": {"name": "a pipeline", "dataset_name": "wheat", "status": "running", "run_id": "r0"},
    "chains": {
        "pipeline_id": "p0",
        "steps": [{"step_idx": 1}],
        "model_step_idx": 1,
        "model_class": "sklearn.linear_model.Ridge",
        "preprocessings": "SNV",
        "fold_strategy": "per_fold",
    },
    "predictions": {
        "pipeline_id": "p0",
        "dataset_name": "wheat",
        "model_name": "Ridge",
        "model_class": "sklearn.linear_model.Ridge",
        "fold_id": "fold_0",
        "partition": "val",
        "metric": "rmse",
        "task_type": "regression",
        "preprocessings": "",
        "exclusion_count": 0,
        "exclusion_rate": 0.0,
    },
    "logs": {"pipeline_id": "p0", "step_idx": 1, "event": "start", "level": "info"},
}

_KEYS = {
    "runs": "run_id",
    "pipelines": "pipeline_id",
    "chains": "chain_id",
    "predictions": "prediction_id",
    "logs": "log_id",
}


def empty(folder: Path) -> DuckDBBackend:
    """Return the database of a store in which nothing is."""
    path = folder / "store.duckdb"
    migrate(path, [SCHEMA])
    return DuckDBBackend(path)


def put(backend: DuckDBBackend, table: str, *rows: Mapping[str, Any]) -> None:
    """Add rows: each a microsecond after the one before, their ids by their number, unless they say otherwise."""
    made = []
    for number, row in enumerate(rows):
        key = {_KEYS[table]: f"{table[0]}{number}"} if table in _KEYS else {}
        made.append({"created_at": START + timedelta(microseconds=number)} | key | _NEW[table] | dict(row))
    if not made:
        return
    names, bound = list(dict.fromkeys(name for row in made for name in row)), Bound()
    marks = ", ".join(f"({', '.join(bound.add(_kept(row.get(name))) for name in names)})" for row in made)
    backend.execute(f"INSERT INTO {table} ({', '.join(map(identifier, names))}) VALUES {marks}", bound.values)


def _kept(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def ids(frame: Any) -> Sequence[str]:
    """Return the first column of a frame."""
    return list(frame.to_series(0))
