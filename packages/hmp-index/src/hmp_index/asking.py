"""What is asked of a database that is attached: its rows by the names of its columns, and what an error says of it.

Whatever is wrong with a database becomes a status and a sentence; it never becomes an error of the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hmp_core.backends.identifiers import identifier
from hmp_core.errors import (
    BusyError,
    CorruptError,
    HmpError,
    InvalidInput,
    MigrationPending,
    SchemaIntegrityError,
    SchemaTooNewError,
    StatementError,
)
from hmp_core.statements import load_statements
from hmp_index.fold import TOLD, VIEW, Facts

if TYPE_CHECKING:
    from hmp_core.protocols import BulkBackend

_SQL = load_statements("hmp_index")

#: Ids leave as text.
_LEAVING = {"UUID": "VARCHAR"}


def status_of(error: HmpError) -> str:
    """Return the status of a catalog that could not be read for that reason."""
    match error:
        case BusyError() | InvalidInput():  # the latter: this very thread holds a lease on it
            return "busy"
        case CorruptError():
            return "corrupt"
        case SchemaTooNewError() | MigrationPending() | SchemaIntegrityError() | StatementError():
            return "schema_mismatch"
    return "unreachable"


def facts(backend: BulkBackend) -> tuple[Facts, list[str]]:
    """Return what a catalog says, and what it has in a form that is not understood."""
    columns: dict[str, set[str]] = {}
    for table, column in backend.fetch_all(_SQL["catalog_columns"].sql):
        columns.setdefault(table.lower(), set()).add(column.lower())
    if "sim_id" not in columns.get(VIEW, ()):
        message = f"{backend.path} has no view {VIEW} with a column sim_id: it is not a catalog that this hmp knows"
        raise StatementError(message)
    told = {
        table: _selected(backend, table, wanted, columns.get(table, set()), essential)
        for table, wanted, essential in TOLD
    }
    ids = [row["sim_id"] for row in told[VIEW]]
    if len(set(ids)) != len(ids):
        message = f"{backend.path}: {VIEW} shows {len(ids) - len(set(ids))} simulations more than once"
        raise StatementError(message)
    odd = [
        f"{table} has no column {' or '.join(sorted(essential - columns[table]))}"
        for table, _, essential in TOLD
        if table in columns and not essential <= columns[table]
    ]
    return Facts(told[VIEW], told["metrics"], told["parameters"], told["tags"]), odd


def _selected(
    backend: BulkBackend, table: str, wanted: Mapping[str, str], there: set[str], essential: frozenset[str]
) -> list[dict[str, Any]]:
    """Return the wanted columns of a table, by name; NULL for a column, nothing for a table that is not there."""
    expressions = [
        f"CAST(CAST({identifier(name) if name in there else 'NULL'} AS {kind}) AS {_LEAVING.get(kind, kind)})"
        for name, kind in wanted.items()
    ]
    source = "WHERE FALSE"
    if essential <= there:
        known = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in sorted(essential))
        source = f"FROM {identifier(table)} WHERE {known}"
    elif there:
        source = f"FROM {identifier(table)} WHERE FALSE"
    # not through Arrow: its conversions import pandas where that is installed, which takes a second
    rows = backend.fetch_all(f"SELECT {', '.join(expressions)} {source}")
    return [dict(zip(wanted, row, strict=True)) for row in rows]
