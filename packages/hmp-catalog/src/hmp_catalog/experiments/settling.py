"""Pending entries into rows: in bulk, in the caller's transaction, each exactly once.

A row whose parent is gone, because somebody deleted its run or failed its pipeline meanwhile, goes with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments.arrays import Arrays, from_payload, to_table
from hmp_catalog.experiments.journal import Pages
from hmp_catalog.experiments.schema import TABLES
from hmp_catalog.plain import from_microseconds
from hmp_core.backends.identifiers import identifier
from hmp_core.events.columns import arrow_table, texts
from hmp_core.saying import once
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols.backend import StoreBackend

_log = logging.getLogger(__name__)

SQL = {name: found.sql for name, found in load_statements("hmp_catalog.experiments", "settling").items()}

#: The name under which the rows of a step are staged.
INCOMING = "incoming"

#: Kind of entry -> the table that it adds a row to, in the order in which they are added.
ADDING = {
    "run.begun": "runs",
    "pipeline.begun": "pipelines",
    "artifact.saved": "artifacts",
    "chain.saved": "chains",
    "prediction.saved": "predictions",
    "step.logged": "logs",
}
ARRAYS = "arrays.saved"
PIPELINE_ENDED, RUN_ENDED = "pipeline.ended", "run.ended"

#: Table -> its parent and the column that names it.
_PARENTS = {
    "pipelines": ("runs", "run_id"),
    "chains": ("pipelines", "pipeline_id"),
    "predictions": ("pipelines", "pipeline_id"),
    "logs": ("pipelines", "pipeline_id"),
}

#: Columns of time; entries have them in microseconds since 1970.
_TIMES = frozenset({"created_at", "completed_at"})

Schemas = dict[str, "pa.Schema"]


def positions(backend: StoreBackend) -> dict[str, int]:
    """Return how far each journal is in the tables."""
    return dict(backend.fetch_all(SQL["positions"]))


def settle(backend: StoreBackend, pages: Sequence[Pages], schemas: Schemas) -> None:
    """Put what journals say into the tables, inside the caller's transaction.

    ``schemas`` remembers the columns of each table from one call to the next.
    """
    said: dict[str, list[Any]] = {}
    for each in pages:
        for entry in each.entries:
            said.setdefault(entry.kind, []).append(entry.facts)
    for kind, table in ADDING.items():
        if rows := said.get(kind):
            _add(backend, table, rows, schemas)
    _refer(backend, pages)
    if found := said.get(ARRAYS):
        _add_arrays(backend, found)
    for kind, table, statement in (
        (PIPELINE_ENDED, "pipelines", "end_pipelines"),
        (RUN_ENDED, "runs", "end_runs"),
    ):
        if rows := said.get(kind):
            last = {row[TABLES[table]]: row for row in rows}
            with backend.staged(INCOMING, _arrow(list(last.values()), _schema(backend, table, schemas))):
                backend.execute(SQL[statement])


def remember(backend: StoreBackend, pages: Sequence[Pages], names: Iterable[str]) -> None:
    """Record how far journals are in the tables, inside the caller's transaction; ``names`` are all that are there."""
    import pyarrow as pa

    ends = {each.name: each.end for each in pages}
    schema = pa.schema([("name", pa.string()), ("position", pa.int64())])
    listed = arrow_table({"name": list(ends), "position": list(ends.values())}, schema)
    with backend.staged(INCOMING, listed):
        backend.execute(SQL["set_positions"])
    left = {each.name for each in pages if each.descriptor is not None}
    with backend.staged(INCOMING, texts(name=sorted({*names, *ends}))):
        backend.execute(SQL["forget_journals"])
    with backend.staged(INCOMING, texts(name=sorted({*names, *ends} - left))):
        backend.execute(SQL["forget_writers"])


def interrupt(backend: StoreBackend, runs: Sequence[str], pipelines: Sequence[str]) -> None:
    """Mark what dead writers left running, inside the caller's transaction."""
    for ids, statement in ((runs, "interrupt_runs"), (pipelines, "interrupt_pipelines")):
        if ids:
            with staged_ids(backend, ids):
                backend.execute(SQL[statement])


def staged_ids(backend: StoreBackend, ids: Iterable[str]) -> Any:
    """Stage ids for the statements of a block."""
    return backend.staged(INCOMING, texts(id=list(ids)))


def recount(backend: StoreBackend, artifacts: Iterable[str]) -> None:
    """Count again how many chains name artefacts, inside the caller's transaction."""
    ids = sorted(set(artifacts))
    if ids:
        with backend.staged(INCOMING, texts(artifact_id=ids)):
            backend.execute(SQL["count_references"])


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────


def _add(backend: StoreBackend, table: str, rows: Sequence[Mapping[str, Any]], schemas: Schemas) -> None:
    staged = _arrow(rows, _schema(backend, table, schemas))
    names = ", ".join(map(identifier, staged.schema.names))
    where = _with_parent(table)
    with backend.staged(INCOMING, staged):
        if where:
            _tell_lost(backend, table, where)
        # an artefact may have been saved before: it is the same
        backend.execute(
            f"INSERT INTO {identifier(table)} ({names}) SELECT {names} FROM {INCOMING} i "
            f"WHERE {where or 'TRUE'} ON CONFLICT DO NOTHING"
        )


def _with_parent(table: str) -> str:
    if table not in _PARENTS:
        return ""
    parent, key = _PARENTS[table]
    return f"EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = i.{key} AND p.status <> 'failed')"


def _tell_lost(backend: StoreBackend, table: str, where: str) -> None:
    (lost,) = backend.fetch_one(f"SELECT count(*) FROM {INCOMING} i WHERE NOT {where}") or (0,)
    if lost:
        once(_log, "%s: %d %s were dropped: what they belong to was deleted, or failed", backend.path, lost, table)


def _add_arrays(backend: StoreBackend, found: Sequence[Arrays | Mapping[str, Any]]) -> None:
    rows = {each.prediction_id: each for each in (f if isinstance(f, Arrays) else from_payload(f) for f in found)}
    table = to_table(list(rows.values()))
    names = ", ".join(map(identifier, table.schema.names))
    with backend.staged(INCOMING, table):
        backend.execute(SQL["drop_arrays"])
        backend.execute(
            f"INSERT INTO prediction_arrays ({names}) SELECT {names} FROM {INCOMING} i "
            "WHERE i.prediction_id IN (SELECT prediction_id FROM predictions)"
        )


def _refer(backend: StoreBackend, pages: Sequence[Pages]) -> None:
    """Count what chains name, and note what is saved and not named yet: it is no garbage while its writer lives."""
    named: dict[tuple[str, str], str] = {}
    held: dict[tuple[str, str], bool] = {}
    for each in pages:
        for entry in each.entries:
            if entry.kind == "artifact.saved":
                held[entry.facts["artifact_id"], each.name] = True
            elif entry.kind == "chain.saved":
                for artifact in entry.facts["artifacts"]:
                    named[entry.facts["chain_id"], artifact] = artifact
                    held[artifact, each.name] = False
    if named:
        chains, artifacts = zip(*named, strict=True)
        with backend.staged(INCOMING, texts(chain_id=chains, artifact_id=artifacts)):
            backend.execute(SQL["add_references"])
    for wanted, statement in ((False, "release"), (True, "hold")):
        if pairs := [pair for pair, is_held in held.items() if is_held is wanted]:
            ids, writers = zip(*pairs, strict=True)
            with backend.staged(INCOMING, texts(artifact_id=ids, writer=writers)):
                backend.execute(SQL[statement])
    recount(backend, (artifact for artifact, _ in held))


def _schema(backend: StoreBackend, table: str, schemas: Schemas) -> pa.Schema:
    if table not in schemas:
        schemas[table] = backend.query(f"SELECT * FROM {identifier(table)} LIMIT 0").schema
    return schemas[table]


def _arrow(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a table that the entries know."""
    names = [name for name in schema.names if name in rows[0]]
    columns: dict[str, Sequence[Any]] = {name: [row.get(name) for row in rows] for name in names}
    for name in _TIMES.intersection(names):
        columns[name] = [None if at is None else from_microseconds(at) for at in columns[name]]
    return arrow_table(columns, schema)
