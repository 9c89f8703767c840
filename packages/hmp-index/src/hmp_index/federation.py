"""One project catalog read as it is: folded first where that is possible, its columns matched by name.

Whatever is wrong with a catalog becomes a status and a sentence; it never becomes an error of the index.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.identifiers import identifier
from hmp_core.databases import Database
from hmp_core.errors import (
    BusyError,
    CorruptError,
    HmpError,
    InvalidInput,
    MigrationPending,
    NotWritable,
    SchemaIntegrityError,
    SchemaTooNewError,
    StatementError,
)
from hmp_core.events.pending import LogFiles, Position
from hmp_core.events.store import EventStore, folding_is_off
from hmp_core.layout import catalog_path
from hmp_core.statements import load_statements
from hmp_index.fold import TOLD, VIEW, Facts, Place, Reading, snapshot
from hmp_index.survey import SeenProject, mark

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from hmp_core.events.fold import Fold
    from hmp_core.protocols import AuthBackend, BulkBackend

_log = logging.getLogger(__name__)

_SQL = load_statements("hmp_index")

#: Seconds to wait for one catalog: there may be a thousand others.
PATIENCE = 2.0

#: Ids leave as text.
_LEAVING = {"UUID": "VARCHAR"}


class Reader:
    """Reads catalogs, on behalf of a user.

    Parameters
    ----------
    auth : AuthBackend, optional
        Who is asked before each catalog is read; by default whom its workspace or the environment names.
    point : EntryPoint, optional
        Where the fold of catalogs is, if a scope that folds them is installed; it is loaded when it is needed.
    """

    def __init__(self, auth: AuthBackend | None, point: EntryPoint | None = None) -> None:
        self.auth = auth
        self._point = point
        #: tells apart what another installation might read otherwise
        self.version = f"{point.value} {point.dist.version if point.dist else ''}" if point else ""

    @classmethod
    def installed(cls, auth: AuthBackend | None) -> Reader:
        """Return a reader that folds with the scope that is installed, if one is."""
        from importlib.metadata import entry_points

        return cls(auth, next(iter(entry_points(group="hmp.folds", name="catalog")), None))

    @cached_property
    def fold(self) -> Fold | None:
        """How catalogs are folded; None if nobody here can."""
        if self._point is None:
            return None
        try:
            loaded: Fold = self._point.load()
        except (ImportError, AttributeError) as error:
            _log.warning("catalogs are read without folding: %s cannot be loaded: %s", self._point.value, error)
            return None
        return loaded

    def marking(self) -> Callable[[str], str]:
        """Return what makes of a mark one that also changes when this reader could now read more than another did."""
        suffix = f" {self.version}{' never' if folding_is_off() else ''}".rstrip()
        return lambda mark: f"{mark}{suffix}" if mark else ""

    def read(self, seen: SeenProject, place: Place, timeout: float = PATIENCE) -> Reading:
        """Return what the catalog of a project says, or why it says nothing; never raises for what it finds."""
        now = datetime.now(UTC).replace(tzinfo=None)
        if seen.trouble:
            return Reading("unreachable", now, seen.trouble)
        if not seen.has_catalog:
            return self._absent(seen, now)
        try:
            try:
                return self._read(seen, place, now, timeout, self.fold)
            except MigrationPending as older:
                # folding never migrates, but what an older catalog holds can be told by the names of its columns
                reading = self._read(seen, place, now, timeout, None)
                return replace(reading, status="schema_mismatch", detail=str(older))
        except HmpError as error:
            status = status_of(error)
            settled = status in {"corrupt", "schema_mismatch"}
            return Reading(status, now, str(error), self.marking()(seen.mark) if settled else "")
        except OSError as error:
            return Reading("unreachable", now, f"{seen.path} cannot be read: {error.strerror or error}")

    @contextlib.contextmanager
    def opened(self, seen: SeenProject, timeout: float = PATIENCE) -> Iterator[tuple[BulkBackend, str]]:
        """Hold a lease on a catalog, folded where it can be; also tell what it lacks nevertheless."""
        catalog = catalog_path(seen.path)
        with contextlib.ExitStack() as stack:
            try:
                found = stack.enter_context(self._opened(catalog, timeout, self.fold))
            except MigrationPending as older:
                backend, _ = stack.enter_context(self._opened(catalog, timeout, None))
                found = backend, str(older)
            yield found

    def _absent(self, seen: SeenProject, now: datetime) -> Reading:
        if not seen.has_traces:
            return Reading("ok", now, mark=self.marking()(seen.mark))
        detail = f"{seen.path} has no catalog.duckdb; `hmp catalog rebuild` makes it from the runs and the log"
        return Reading("unreachable", now, detail, self.marking()(seen.mark))

    def _read(self, seen: SeenProject, place: Place, now: datetime, timeout: float, fold: Fold | None) -> Reading:
        catalog = catalog_path(seen.path)
        with self._opened(catalog, timeout, fold) as (backend, lack):
            before = mark(catalog)
            facts, odd = _facts(backend)
            unread = LogFiles(catalog).unread(_positions(backend))
            may_fold = fold is not None and not folding_is_off(catalog) and os.access(catalog.parent, os.W_OK)
            settled = before == mark(catalog) and not (unread and may_fold)
        if unread and fold is None:
            lack = "hmp-catalog is not installed" if self.fold is None else "an older catalog is not folded"
        detail = "; ".join([*([lack] if lack else []), *odd])
        marked = self.marking()(before) if settled else ""
        return Reading("ok", now, detail, marked, unread, snapshot(place, facts, now))

    @contextlib.contextmanager
    def _opened(self, catalog: Path, timeout: float, fold: Fold | None) -> Iterator[tuple[BulkBackend, str]]:
        """Hold a lease on the catalog, folded if there is a fold; also tell what it lacks nevertheless."""
        real = Path(os.path.realpath(catalog))
        known = Database("catalog", real)
        auth, resource = known.auth() if self.auth is None else self.auth, known.resource
        if fold is not None:
            store = EventStore(real, fold, auth=auth, resource=resource, timeout=timeout)
            with store.reading() as backend:
                yield backend, str(store.notice) if store.notice else ""
            return
        backend = DuckDBBackend(real, auth=auth, resource=resource, timeout=timeout)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(backend.lease(write=False))
            except NotWritable:  # no lock file can be made in a folder that may only be read
                stack.enter_context(backend.lease(write=False, unlocked=True))
            yield backend, ""


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


def _facts(backend: BulkBackend) -> tuple[Facts, list[str]]:
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


def _positions(backend: BulkBackend) -> dict[str, Position]:
    """Return how far the log is in the tables; nothing where the catalog keeps no such account."""
    if not backend.fetch_all(_SQL["catalog_keeps_account"].sql):
        return {}
    rows = backend.fetch_all(_SQL["catalog_segments"].sql)
    return {name: Position(position, packed) for name, position, packed in rows}
