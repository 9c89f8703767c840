"""Every catalog asked at this moment: its rows, put together by the names of their columns, for a question in SQL.

Each catalog is opened by itself, folded where that is possible, and let go before the next one: however many there
are, one file is open at a time, and nobody waits longer than for a snapshot. What the question does not name is not
read.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hmp_core.backends.identifiers import identifier
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.statements import load_statements
from hmp_index.asking import status_of
from hmp_index.federation import PATIENCE, Reader
from hmp_index.fold import METRICS, PARAMETERS, SUMMARY, TAGS, VIEW, Place
from hmp_index.records import Skipped
from hmp_index.refresh import places_of
from hmp_index.roster import Listed
from hmp_index.survey import SeenProject, SeenWorkspace

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols import BulkBackend

_SQL = load_statements("hmp_index")

#: Table of a live question -> the view or table of each catalog that it is made of, and the types that are known.
TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "all_simulations": (VIEW, SUMMARY),
    "all_metrics": ("metrics", METRICS),
    "all_parameters": ("parameters", PARAMETERS),
    "all_tags": ("tags", TAGS),
}
PROJECTS = "all_projects"

#: Columns that each of them begins with; a column of a catalog that is called so is left out.
HOME = ("workspace_id", "workspace", "project_id", "project")

#: Types that every program knows; what is of another one leaves as text.
_PLAIN = {
    *("BOOLEAN", "DATE", "DOUBLE", "FLOAT", "TIMESTAMP", "VARCHAR"),
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
}


#: Seconds between two words of progress.
_EVERY = 1.0


@dataclass(slots=True)
class Live:
    """What was read of the catalogs, and which of them could not be."""

    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    projects: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def named(query: str) -> list[str]:
    """Return which of the tables a question may mean; the words alone are looked at, also those in quotes.

    Raises
    ------
    InvalidInput
        If it names none of them.
    """
    words = set(re.findall(r"\w+", query.lower()))
    found = [name for name in (*TABLES, PROJECTS) if name in words]
    if not found:
        message = f"{query.strip()[:60]!r}: a live question is about {', '.join(TABLES)} or {PROJECTS}"
        raise InvalidInput(message)
    return found


def read(
    seen: Iterable[SeenWorkspace], reader: Reader, wanted: Sequence[str], progress: Callable[[str], None] | None = None
) -> Live:
    """Return what the catalogs of some workspaces say at this moment, as far as it is ``wanted``."""
    live, told = Live(), 0.0
    for workspace in seen:
        line = workspace.line
        found = places_of(workspace) if workspace.status == "ok" else None
        if found is None:
            why = workspace.detail or f"{line.path} went away while it was looked at"
            live.skipped.append(Skipped(line.label, "", line.path, workspace.status, why))
            continue
        for project in workspace.projects:
            _take(project, found[project.slug], line, reader, wanted, live)
        if progress is not None and time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            progress(f"asked {len(live.projects)} projects, the last in {line.label}")
    return live


def _take(project: SeenProject, place: Place, line: Listed, reader: Reader, wanted: Sequence[str], live: Live) -> None:
    home = (str(line.id), line.label, str(place.project_id), place.slug)
    status, lack = "ok", project.trouble
    try:
        if project.trouble:
            status = "unreachable"
        elif project.has_catalog:
            with reader.opened(project) as (backend, lack):
                rows = _rows(backend, wanted, home)
            for name, table in rows.items():
                live.tables.setdefault(name, []).append(table)
        elif project.has_traces:
            status, lack = "unreachable", f"{project.path} has no catalog.duckdb; `hmp catalog rebuild` makes it"
    except HmpError as error:
        status, lack = status_of(error), str(error)
    except OSError as error:
        status, lack = "unreachable", f"{project.path} cannot be read: {error.strerror or error}"
    of_store, lacks = _experiments(project, reader, wanted, home, live) if project.has_store else ("ok", "")
    status, lack = status if status != "ok" else of_store, "; ".join(each for each in (lack, lacks) if each)
    told = dict(zip(HOME, home, strict=True)) | {"name": place.name, "path": str(project.path)}
    live.projects.append(told | {"status": status, "status_detail": lack})
    if lack:
        live.skipped.append(Skipped(line.label, place.slug, project.path, status, lack))


def _experiments(
    project: SeenProject, reader: Reader, wanted: Sequence[str], home: Sequence[str], live: Live
) -> tuple[str, str]:
    """Take what the experiments of a project say; return their status, and what they lack."""
    try:
        with reader.stores.opened(project.path, PATIENCE) as (backend, lack):
            rows = _rows(backend, wanted, home)
    except HmpError as error:
        return status_of(error), str(error)
    except OSError as error:
        return "unreachable", f"{project.path} cannot be read: {error.strerror or error}"
    for name, table in rows.items():
        live.tables.setdefault(name, []).append(table)
    return "ok", lack


def _rows(backend: BulkBackend, wanted: Sequence[str], home: Sequence[str]) -> dict[str, pa.Table]:
    """Return the wanted tables of one catalog, each with where it comes from; not those that it does not have."""
    there: dict[str, dict[str, str]] = {}
    for table, column, kind in backend.fetch_all(_SQL["catalog_types"].sql):
        there.setdefault(table.lower(), {})[column.lower()] = kind
    found = {}
    for name in wanted:
        source, known = TABLES.get(name, ("", {}))
        columns = {column: kind for column, kind in there.get(source, {}).items() if column not in HOME}
        if columns and not all(column.startswith("_") for column in columns):
            marks = [f"${n} AS {identifier(column)}" for n, column in enumerate(HOME, 1)]
            read = [_selected(column, known.get(column, kind)) for column, kind in columns.items() if column[0] != "_"]
            found[name] = backend.query(f"SELECT {', '.join([*marks, *read])} FROM {identifier(source)}", list(home))
    return found


def _selected(column: str, kind: str) -> str:
    """Return how a column is read: as the type it has in every catalog, ids and what is not plain as text."""
    wanted = "DOUBLE" if kind == "DOUBLE PRECISION" else kind
    through = f"CAST({identifier(column)} AS {wanted})"
    return f"{through if wanted in _PLAIN else f'CAST({through} AS VARCHAR)'} AS {identifier(column)}"


# ── for the question ─────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def staged(backend: BulkBackend, live: Live, wanted: Sequence[str]) -> Iterator[None]:
    """Let questions of the block see what was read, beside what the database itself has; a lease is held."""
    with contextlib.ExitStack() as stack:
        for name in wanted:
            table = _projects(live.projects) if name == PROJECTS else _together(name, live.tables.get(name, []))
            stack.enter_context(backend.staged(name, table))
        yield


def _projects(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    names = [*HOME, "name", "path", "status", "status_detail"]
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})


def _together(name: str, tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all catalogs; a column that one does not have is missing in its rows."""
    import pyarrow as pa

    if not tables:  # a question about nothing is answered with nothing
        typed = {"DOUBLE PRECISION": pa.float64(), "INTEGER": pa.int32(), "TIMESTAMP": pa.timestamp("us")}
        columns = {**dict.fromkeys(HOME, "VARCHAR"), **TABLES[name][1]}
        return pa.table({column: pa.array([], typed.get(kind, pa.string())) for column, kind in columns.items()})
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for one in table.schema:
            kinds.setdefault(one.name, set()).add(one.type)
    schema = {column: _common(found) for column, found in kinds.items()}
    fitting = [table.cast(pa.schema([(one, schema[one]) for one in table.column_names])) for table in tables]
    return pa.concat_tables(fitting, promote_options="default")


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    """Return a type that all values of a column fit into, whatever each catalog has: else they are text."""
    import pyarrow as pa

    if len(kinds) == 1:
        return next(iter(kinds))
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
    return pa.float64() if numbers else pa.string()
