"""A scope with three tables and nothing else: what the log and the fold cost without a single other file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hmp_core.auth import LocalAuthBackend
from hmp_core.events import Event, EventStore, Fold, Row, Table

_SQL = """
CREATE TABLE simulations (id VARCHAR PRIMARY KEY, _stamp VARCHAR NOT NULL);
CREATE TABLE parameters (
    id VARCHAR NOT NULL, name VARCHAR NOT NULL, value DOUBLE, _stamp VARCHAR NOT NULL, PRIMARY KEY (id, name)
);
CREATE TABLE metrics (
    id VARCHAR NOT NULL, name VARCHAR NOT NULL, value DOUBLE, _stamp VARCHAR NOT NULL, PRIMARY KEY (id, name)
);
"""


def _rows(event: Event, root: Path) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    yield Row("simulations", (said["id"],), {}, stamp)
    yield from (Row("parameters", (said["id"], name), {"value": value}, stamp) for name, value in said["p"].items())
    yield from (Row("metrics", (said["id"], name), {"value": value}, stamp) for name, value in said["m"].items())


def open_store(where: Path) -> EventStore:
    """Return the store in ``where``, made if it is not there."""
    migrations = where / "migrations"
    if not migrations.exists():
        migrations.mkdir()
        (migrations / "0001_initial.sql").write_text(_SQL)
    tables = (Table("simulations", ("id",)), Table("parameters", ("id", "name")), Table("metrics", ("id", "name")))
    fold = Fold("rows", migrations, tables, _rows)
    store = EventStore(where / "rows.duckdb", fold, auth=LocalAuthBackend(), resource="rows:benchmark")
    store.prepare_schema()
    return store
