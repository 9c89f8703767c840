"""Every block, every line, every row: what `hmp db verify` reads. Nothing is changed; what is made, is made elsewhere.

Each block of each table is read through the engine, whose checksums tell a flipped bit; the schema is compared with
that of a fresh database; every line of the log is decoded; every backup is opened. Asked to look deep, the log and the
files are folded from zero into a database in the folder for temporary files, which is compared row by row, and the
scope hashes every file it answers for.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.identifiers import identifier
from hmp_core.doctor import backups, codes, content, log
from hmp_core.doctor.case import Case
from hmp_core.doctor.checks import checks_of
from hmp_core.doctor.examine import reading
from hmp_core.doctor.findings import Finding, some
from hmp_core.events.apply import Folding, positions
from hmp_core.events.fold import Fold
from hmp_core.events.pending import Harvest, Position
from hmp_core.events.record import Event, decode
from hmp_core.events.segment import claim
from hmp_core.migrations.runner import create_database

#: Of the fold itself: never part of a comparison.
_BOOKS = ("_hmp_", "schema_migrations")

_SHAPE = """
SELECT
    'column',
    table_name || '.' || column_name,
    data_type || CASE WHEN is_nullable THEN '' ELSE ' NOT NULL' END || coalesce(' DEFAULT ' || column_default, '')
FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT 'constraint', table_name || ' ' || constraint_type || ' ' || CAST(constraint_column_names AS VARCHAR), ''
FROM duckdb_constraints() WHERE database_name = current_database()
UNION ALL
SELECT 'index', index_name, sql FROM duckdb_indexes() WHERE database_name = current_database()
UNION ALL
SELECT 'view', view_name, sql FROM duckdb_views() WHERE database_name = current_database() AND NOT internal
"""

_COLUMNS = (
    "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal "
    "AND table_oid IN (SELECT table_oid FROM duckdb_tables() WHERE database_name = current_database()) "
    "ORDER BY table_name, column_name"
)

_KEYS = (
    "SELECT table_name, constraint_column_names FROM duckdb_constraints() "
    "WHERE database_name = current_database() AND constraint_type = 'PRIMARY KEY'"
)

#: Seconds between a file that tells an event and the event itself.
_MOMENT = 0.5

#: Key of a row, as text -> hash of the whole of it.
Rows = Mapping[str, int]


@dataclass
class Seen:
    """What was read of a database while it was held."""

    shape: set[tuple[str, str, str]] = field(default_factory=set)
    n_tables: int = 0
    n_rows: int = 0
    rows: dict[str, Rows] = field(default_factory=dict)
    #: of the log, as far as the database had folded it
    events: list[Event] = field(default_factory=list)
    comparable: bool = True
    told: Any = None


@dataclass
class Verdict:
    """What was found, and how much was read."""

    findings: list[Finding]
    read: str


def verify(case: Case, *, deep: bool = False) -> Verdict:
    """Return what is wrong with a database, having read all of it.

    Parameters
    ----------
    case
        The database.
    deep
        Also fold the log and the files from zero and compare every row, and hash every file.

    Raises
    ------
    BusyError
        If it could not be had in time.
    CorruptError, SchemaTooNewError, SchemaIntegrityError, MigrationPending, NotWritable, AccessDenied, MissingPart
        If it cannot be read.
    """
    found: list[Finding] = []
    fold = case.database.fold()
    with tempfile.TemporaryDirectory(prefix="hmp-verify-") as folder:
        path = Path(folder) / "fresh.duckdb"
        create_database(path, case.database.components())
        fresh = DuckDBBackend(path)
        with fresh.lease(write=False, unlocked=True):
            shape, keys = _shape(fresh), dict(fresh.fetch_all(_KEYS))
        seen = _read(case, found, keys, deep=deep)
        found += _shapes(case, seen.shape, shape)
        if deep and fold is not None and seen.shape == shape:
            found += _from_zero(case, seen, fold, fresh)
    found += log.damage(case)
    for backup in backups.all_of(case):
        found += backups.opened(case, backup)
    if deep:
        found += checks_of(case.database.component).deep(case, seen.told)
    lines = sum(len(file.events) for file in case.log)
    told = f"{seen.n_tables} tables, {seen.n_rows} rows" + (f", {lines} events" if case.is_logged else "")
    return Verdict(found, told)


# ── what the database holds ──────────────────────────────────────────────────────────────────────────


def _read(case: Case, found: list[Finding], keys: Mapping[str, list[str]], *, deep: bool) -> Seen:
    seen = Seen()
    with reading(case) as backend:
        seen.told = content.ask(case, backend, checks_of(case.database.component), found)
        seen.shape = _shape(backend)
        for table, columns in _tables(backend).items():
            seen.n_tables += 1
            seen.n_rows += _blocks(backend, table, columns)
            found += _keys(case, backend, table, keys.get(table, []))
        if deep and case.is_logged:
            seen.rows = _rows(backend)
            seen.events, seen.comparable = _folded(case, positions(backend))
    return seen


def _shape(backend: DuckDBBackend) -> set[tuple[str, str, str]]:
    return {(kind, name, said) for kind, name, said in backend.fetch_all(_SHAPE)}


def _tables(backend: DuckDBBackend) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in backend.fetch_all(_COLUMNS):
        found.setdefault(table, []).append(column)
    return found


def _hash(columns: list[str]) -> str:
    return f"hash({', '.join(f't.{identifier(column)}' for column in columns)})"


def _blocks(backend: DuckDBBackend, table: str, columns: list[str]) -> int:
    """Read every block of a table, and return how many rows it has."""
    row = backend.fetch_one(f"SELECT count(*), bit_xor({_hash(columns)}) FROM {identifier(table)} t")
    return int(row[0]) if row else 0


def _keys(case: Case, backend: DuckDBBackend, table: str, key: list[str]) -> Iterator[Finding]:
    if not key:
        return
    named = ", ".join(map(identifier, key))
    twice = backend.fetch_all(f"SELECT {named} FROM {identifier(table)} GROUP BY {named} HAVING count(*) > 1 LIMIT 6")
    if twice:
        keys = some(" ".join(map(str, row)) for row in twice)
        yield case.finding(codes.KEY_TWICE, f"in {table}: {keys}")


def _rows(backend: DuckDBBackend) -> dict[str, Rows]:
    """Return the rows of all tables of the scope, by their keys; and which events wait."""
    keys = dict(backend.fetch_all(_KEYS))
    found: dict[str, Rows] = {}
    for table, columns in _tables(backend).items():
        if table.startswith(_BOOKS):
            continue
        key = " || chr(31) || ".join(f"CAST(t.{identifier(c)} AS VARCHAR)" for c in keys.get(table, columns))
        rows = backend.query(f"SELECT {key} AS k, {_hash(columns)} AS h FROM {identifier(table)} t")
        found[table] = dict(zip(rows["k"].to_pylist(), rows["h"].to_pylist(), strict=True))
    waiting = backend.fetch_all("SELECT CAST(event_id AS VARCHAR) FROM _hmp_waiting")
    return found | {"the events that wait": {row[0]: 0 for row in waiting}}


def _folded(case: Case, known: Mapping[str, Position]) -> tuple[list[Event], bool]:
    """Return what the database had read of its log; False if a fold would find more than what is appended now."""
    events: list[Event] = []
    comparable = True
    for path in (*case.files.packed(), *case.files.segments()):
        at = known.get(path.name, Position(0))
        try:
            with path.open("rb") as file:
                data = file.read(at.position)
        except FileNotFoundError:
            continue
        events += [line.event for line in decode(data) if line.event is not None]
        if path.parent == case.files.pending and not at.packed and (descriptor := claim(path)) is not None:
            comparable = False  # its owner is dead: it may have left a seal that nobody has logged
            os.close(descriptor)
    return events, comparable


# ── what it should hold ──────────────────────────────────────────────────────────────────────────────


def _shapes(case: Case, shape: set[tuple[str, str, str]], expected: set[tuple[str, str, str]]) -> Iterator[Finding]:
    for what, parts in (("is missing", expected - shape), ("is not expected", shape - expected)):
        if parts:
            listed = sorted(parts)
            named = some(f"{kind} {name}" + (f" ({said})" if kind == "column" else "") for kind, name, said in listed)
            yield case.finding(codes.SCHEMA_DIFFERS, f"{what}: {named}")


def _from_zero(case: Case, seen: Seen, fold: Fold, fresh: DuckDBBackend) -> Iterator[Finding]:
    if not seen.comparable:
        yield case.finding(codes.NOT_COMPARED, "processes have ended and left segments that were not folded")
        return
    told = list(fold.files(case.home))
    logged = {event.id for event in seen.events}
    if any(event.id not in logged for event in told):
        time.sleep(_MOMENT)  # a file is written before its event is appended
    case.read_log_again()
    later = {event.id for file in case.log for event in file.events}
    # as in a rebuild: where log and file tell the same event, the log is believed
    told = [event for event in told if event.id in logged or event.id not in later]
    with fresh.lease(write=True, unlocked=True):
        Folding(fresh, fold, case.home, {}).apply(Harvest(events=[*told, *seen.events]))
        expected = _rows(fresh)
    for table in sorted(expected.keys() | seen.rows.keys()):
        yield from _compared(case, table, seen.rows.get(table, {}), expected.get(table, {}))


def _compared(case: Case, table: str, rows: Rows, expected: Rows) -> Iterator[Finding]:
    differing = sorted(key for key in rows.keys() & expected.keys() if rows[key] != expected[key])
    parts = (
        ("are missing", sorted(expected.keys() - rows.keys())),
        ("should not be there", sorted(rows.keys() - expected.keys())),
        ("differ", differing),
    )
    for what, keys in parts:
        if keys:
            named = some(key.replace("\x1f", " ") for key in keys)
            yield case.finding(codes.ROWS_DIFFER, f"{len(keys)} rows of {table} {what}: {named}")
