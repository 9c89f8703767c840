"""The plan of an experiments store: its files, its tables, and the words that its columns know."""

from __future__ import annotations

from pathlib import Path

#: The database in the folder of a store, and the folder of fitted objects beside it.
DATABASE = "store.duckdb"
ARTIFACTS = "artifacts"

#: What `hmp db` needs to know: the component and its migrations.
COMPONENT = "experiments"
SCHEMA = (COMPONENT, Path(__file__).parent / "sql" / "migrations")

#: Table -> its key. Children after parents.
TABLES = {
    "runs": "run_id",
    "pipelines": "pipeline_id",
    "chains": "chain_id",
    "predictions": "prediction_id",
    "prediction_arrays": "prediction_id",
    "artifacts": "artifact_id",
    "logs": "log_id",
}

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
#: A run whose process ended without a word; it may still be completed by another.
INTERRUPTED = "interrupted"
STATUSES = frozenset({RUNNING, COMPLETED, FAILED, INTERRUPTED})

#: The columns that rank predictions.
SCORES = ("val_score", "test_score", "train_score")
