"""One batch into the tables, in bulk: the only room that writes rows of an event-logged database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hmp_core.backends.identifiers import identifier
from hmp_core.errors import StatementError
from hmp_core.events.columns import arrow_table, texts
from hmp_core.events.fold import Batch, Fold, Row, Table
from hmp_core.events.record import Event, from_dict, to_json
from hmp_core.protocols.backend import BulkBackend

if TYPE_CHECKING:
    import pyarrow as pa

_STAGED = "_hmp_incoming"


def merge(backend: BulkBackend, fold: Fold, batch: Batch, schemas: dict[str, pa.Schema]) -> None:
    """Put a batch into the tables, inside the caller's transaction.

    ``schemas`` remembers the columns of each table from one call to the next.
    """
    new = sorted(batch.purged - purged(backend)) if batch.purged else []
    if new:
        _purge(backend, fold, new)
    for group_first in (False, True):
        for table in fold.tables:
            groups = list(table.groups) if group_first else [""]
            for group in groups:
                rows = batch.upserts.get((table.name, group))
                if rows:
                    _upsert(backend, table, group, rows, _schema(backend, table, schemas))
    for table in fold.tables:
        keys = batch.deletes.get(table.name)
        if keys:
            _delete(backend, table, keys, _schema(backend, table, schemas))
    _set_waiting(backend, batch)


def purged(backend: BulkBackend) -> frozenset[str]:
    """Return the subjects that were purged."""
    return frozenset(row[0] for row in backend.fetch_all("SELECT subject FROM _hmp_purged"))


def present(backend: BulkBackend, fold: Fold, table: str, keys: set[Any]) -> set[Any]:
    """Return which of ``keys`` are, or were, rows of ``table`` (by its single key), as they were given."""
    if not keys:
        return set()
    column = identifier(fold.table(table).key[0])
    staged = texts(k=sorted(str(k) for k in keys))
    with backend.staged(_STAGED, staged):
        sql = (
            f"SELECT i.k FROM {_STAGED} i JOIN {identifier(table)} t ON CAST(t.{column} AS VARCHAR) = i.k "
            f"UNION SELECT i.k FROM {_STAGED} i JOIN _hmp_tombstones d ON d.row_key = i.k "
            f"WHERE d.table_name = '{table}'"
        )
        found = {row[0] for row in backend.fetch_all(sql)}
    return {k for k in keys if str(k) in found}


def _schema(backend: BulkBackend, table: Table, schemas: dict[str, pa.Schema]) -> pa.Schema:
    if table.name not in schemas:
        schemas[table.name] = backend.query(f"SELECT * FROM {identifier(table.name)} LIMIT 0").schema
    return schemas[table.name]


def _arrow(columns: Mapping[str, Sequence[Any]], schema: pa.Schema, table: str) -> pa.Table:
    try:
        return arrow_table(columns, schema)
    except (ValueError, TypeError, OverflowError) as error:
        message = f"{table}.{error}"
        raise StatementError(message) from error


def _upsert(
    backend: BulkBackend, table: Table, group: str, rows: Mapping[tuple[Any, ...], Row], schema: pa.Schema
) -> None:
    stamp = f"_stamp_{group}" if group else "_stamp"
    grouped = {column for columns in table.groups.values() for column in columns}
    if group:
        names = list(table.groups[group])
    else:
        names = [n for n in schema.names if n not in table.key and n not in grouped and not n.startswith("_stamp")]
    _refuse_strangers(table, names, rows)
    columns: dict[str, list[Any]] = {k: [key[i] for key in rows] for i, k in enumerate(table.key)}
    for name in names:
        columns[name] = [(row.values or {}).get(name) for row in rows.values()]
    columns[stamp] = [row.stamp for row in rows.values()]
    staged = _arrow(columns, schema, table.name)
    with backend.staged(_STAGED, staged):
        backend.execute(_overlay_sql(table, names, stamp) if group else _upsert_sql(table, names))


def _refuse_strangers(table: Table, names: Sequence[str], rows: Mapping[tuple[Any, ...], Row]) -> None:
    """A scope that names a column which is not there would lose what it says without a word."""
    strangers = {name for row in rows.values() for name in row.values or {}} - set(names)
    if strangers:
        message = f"{table.name} has no column {', '.join(sorted(strangers))}"
        raise StatementError(message)


def _upsert_sql(table: Table, names: Sequence[str]) -> str:
    columns = [*table.key, *names, "_stamp"]
    listed = ", ".join(map(identifier, columns))
    selected = ", ".join(f"i.{identifier(c)}" for c in columns)
    key = ", ".join(map(identifier, table.key))
    sets = ", ".join(f"{identifier(c)} = excluded.{identifier(c)}" for c in [*names, "_stamp"])
    return (
        f"INSERT INTO {identifier(table.name)} ({listed}) SELECT {selected} FROM {_STAGED} i "
        f"WHERE NOT EXISTS (SELECT 1 FROM _hmp_tombstones d WHERE d.table_name = '{table.name}' "
        f"AND d.row_key = {_key_sql(table)} AND d.stamp > i._stamp) "
        f"ON CONFLICT ({key}) DO UPDATE SET {sets} WHERE excluded._stamp > {identifier(table.name)}._stamp"
    )


def _overlay_sql(table: Table, names: Sequence[str], stamp: str) -> str:
    sets = ", ".join(f"{identifier(c)} = i.{identifier(c)}" for c in [*names, stamp])
    return (
        f"UPDATE {identifier(table.name)} AS t SET {sets} FROM {_STAGED} i WHERE {_same_key(table)} "
        f"AND i.{identifier(stamp)} > coalesce(t.{identifier(stamp)}, '')"
    )


def _delete(backend: BulkBackend, table: Table, keys: Mapping[tuple[Any, ...], str], schema: pa.Schema) -> None:
    columns: dict[str, list[Any]] = {k: [key[i] for key in keys] for i, k in enumerate(table.key)}
    columns["_stamp"] = list(keys.values())
    staged = _arrow(columns, schema, table.name)
    name = identifier(table.name)
    with backend.staged(_STAGED, staged):
        # the row may be newer than its deletion: then it stays, and the tombstone does it no harm
        backend.execute(f"DELETE FROM {name} AS t USING {_STAGED} i WHERE {_same_key(table)} AND t._stamp < i._stamp")
        backend.execute(
            f"INSERT INTO _hmp_tombstones SELECT '{table.name}', {_key_sql(table)}, i._stamp FROM {_STAGED} i "
            "ON CONFLICT (table_name, row_key) DO UPDATE SET stamp = excluded.stamp "
            "WHERE excluded.stamp > _hmp_tombstones.stamp"
        )


def _purge(backend: BulkBackend, fold: Fold, subjects: Sequence[str]) -> None:
    with backend.staged(_STAGED, texts(subject=subjects)):
        for table in fold.tables:
            if table.subject is not None:
                column = identifier(table.subject)
                backend.execute(
                    f"DELETE FROM {identifier(table.name)} WHERE CAST({column} AS VARCHAR) IN "
                    f"(SELECT subject FROM {_STAGED})"
                )
            for column, lost in table.emptied.items():
                sets = ", ".join(f"{identifier(c)} = NULL" for c in lost)
                backend.execute(
                    f"UPDATE {identifier(table.name)} SET {sets} WHERE CAST({identifier(column)} AS VARCHAR) IN "
                    f"(SELECT subject FROM {_STAGED})"
                )
        backend.execute(f"INSERT INTO _hmp_purged SELECT subject FROM {_STAGED} ON CONFLICT DO NOTHING")


def _set_waiting(backend: BulkBackend, batch: Batch) -> None:
    if batch.released:
        with backend.staged(_STAGED, texts(id=[str(identity) for identity in batch.released])):
            backend.execute(f"DELETE FROM _hmp_waiting WHERE CAST(event_id AS VARCHAR) IN (SELECT id FROM {_STAGED})")
    if batch.waiting:
        staged = texts(
            event_id=[str(identity) for identity in batch.waiting],
            reason=[reason for _, reason in batch.waiting.values()],
            event=[to_json(event.as_dict()) for event, _ in batch.waiting.values()],
        )
        with backend.staged(_STAGED, staged):
            backend.execute(
                f"INSERT INTO _hmp_waiting SELECT event_id, reason, event FROM {_STAGED} "
                "ON CONFLICT (event_id) DO UPDATE SET reason = excluded.reason"
            )


def waiting_events(backend: BulkBackend) -> list[tuple[Event, str]]:
    """Return the events that wait, as they were logged, and why."""
    rows = backend.fetch_all("SELECT event, reason FROM _hmp_waiting ORDER BY event_id")
    return [(from_dict(json.loads(text)), reason) for text, reason in rows]


def _same_key(table: Table) -> str:
    return " AND ".join(f"t.{identifier(k)} = i.{identifier(k)}" for k in table.key)


def _key_sql(table: Table) -> str:
    return " || chr(31) || ".join(f"CAST(i.{identifier(k)} AS VARCHAR)" for k in table.key)
