"""What a database says when it is asked: its ledger, how far it was folded, what waits, rows without parents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.identifiers import identifier
from hmp_core.doctor import codes
from hmp_core.doctor.case import Case, read_log
from hmp_core.doctor.checks import Checks, Relation, Vocabulary
from hmp_core.doctor.findings import Finding, many, some
from hmp_core.events.apply import positions
from hmp_core.events.pending import LOST, Position
from hmp_core.migrations import ledger
from hmp_core.migrations.runner import require_current

#: How many keys are named.
_NAMED = 5

#: What differs from one event to the next in the reason why it waits.
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{12,}\b|__[0-9a-f]{8}\b")


def ask(case: Case, backend: DuckDBBackend, checks: Checks, found: list[Finding]) -> Any:
    """Add to ``found`` what the database says, and return what the scope wants to know; a lease is held.

    Raises
    ------
    SchemaTooNewError, SchemaIntegrityError, MigrationPending
        If this hmp cannot read it.
    """
    if strangers := ledger.strangers(backend):
        found.append(case.finding(codes.FOREIGN, f"it holds {some(strangers)}, and no ledger of hmp"))
        return None
    require_current(backend, case.database.components())
    tables = {row[0] for row in backend.fetch_all(_TABLES)}
    if case.is_logged:
        found += _folded(case, backend)
        found += _waiting(case, backend)
    for relation in checks.relations:
        found += _orphans(case, backend, relation, logged=case.is_logged)
    for vocabulary in checks.vocabularies:
        found += _strange(case, backend, vocabulary)
    return checks.ask(backend) if tables else None


_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database()"


def _folded(case: Case, backend: DuckDBBackend) -> Iterator[Finding]:
    known = positions(backend)
    lost = sorted(name.removeprefix(LOST) for name in case.files.lost(known))
    if lost:
        yield case.finding(codes.LOST, f"read before, and gone or shorter now: {some(lost)}", case.files.packs)
    for log in case.log:
        at = known.get(log.path.name, Position(0))
        if at.packed or log.end >= at.position or log.path.name in lost:
            continue
        end = read_log(log.path).end  # it may have been appended to, and folded, since it was looked at
        if end < at.position:
            what = f"{at.position - end} bytes from {end} on were read before, and no event can be read there now"
            yield case.finding(codes.LOG_DAMAGED, what, log.path)
    unread = case.files.unread(known)
    if unread:
        yield case.finding(codes.UNFOLDED, f"not in the tables yet: {many(unread, 'acknowledged event')}")


def _waiting(case: Case, backend: DuckDBBackend) -> Iterator[Finding]:
    reasons = [row[0] for row in backend.fetch_all("SELECT reason FROM _hmp_waiting")]
    grouped = Counter(_IDS.sub("...", reason) for reason in reasons)
    for reason, count in sorted(grouped.items(), key=lambda each: (-each[1], each[0]))[:10]:
        yield case.finding(codes.WAITING, f"{many(count, 'event')} waiting: {reason}")


def _orphans(case: Case, backend: DuckDBBackend, relation: Relation, *, logged: bool) -> Iterator[Finding]:
    child, column = map(identifier, relation.child.split("."))
    parent, key = map(identifier, relation.parent.split("."))
    conditions = [
        f"c.{column} IS NOT NULL",
        f"NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})",
        *([f"({relation.where})"] if relation.where else []),
    ]
    values = []
    if logged:
        # a parent that was deleted was known, and that is all that an event waits for
        deleted = "SELECT row_key FROM _hmp_tombstones WHERE table_name = $1"
        conditions.append(f"CAST(c.{column} AS VARCHAR) NOT IN ({deleted})")
        values = [relation.parent.partition(".")[0]]
        if not relation.required:
            conditions.append(f"CAST(c.{column} AS VARCHAR) NOT IN (SELECT subject FROM _hmp_purged)")
    sql = f"SELECT CAST(c.{column} AS VARCHAR), count(*) FROM {child} c WHERE {' AND '.join(conditions)} GROUP BY 1"
    rows = sorted(backend.fetch_all(sql, values))
    if rows:
        code = codes.ORPHAN_ROWS if relation.required else codes.ELSEWHERE
        total = sum(count for _, count in rows)
        what = (
            f"{total} rows of {relation.child} name no row of {relation.parent}: {some((r[0] for r in rows), _NAMED)}"
        )
        yield case.finding(code, what)


def _strange(case: Case, backend: DuckDBBackend, vocabulary: Vocabulary) -> Iterator[Finding]:
    table, column = map(identifier, vocabulary.column.split("."))
    rows = backend.fetch_all(f"SELECT DISTINCT CAST({column} AS VARCHAR) FROM {table} WHERE {column} IS NOT NULL")
    strange = sorted({word for (word,) in rows} - vocabulary.words)
    if strange:
        expected = ", ".join(sorted(vocabulary.words))
        what = f"{vocabulary.column} holds {some(map(repr, strange), _NAMED)}; known are {expected}"
        yield case.finding(codes.UNKNOWN_VALUE, what)
