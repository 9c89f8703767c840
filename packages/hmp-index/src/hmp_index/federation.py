"""One project read as it is: its catalog folded first where that is possible, and its experiments beside it.

Whatever is wrong with either becomes a status and a sentence; it never becomes an error of the index, and hides
nothing of the other.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.errors import HmpError, MigrationPending, NotWritable
from hmp_core.events.pending import LogFiles, Position
from hmp_core.events.store import EventStore, folding_is_off
from hmp_core.layout import catalog_path
from hmp_core.statements import load_statements
from hmp_index.acquisition import Sessions
from hmp_index.asking import facts, status_of
from hmp_index.experiments import Stores
from hmp_index.fold import Place, Reading, snapshot
from hmp_index.survey import SeenProject, beside, joined, mark

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from hmp_core.events.fold import Fold
    from hmp_core.protocols import AuthBackend, BulkBackend

_log = logging.getLogger(__name__)

_SQL = load_statements("hmp_index")

#: Seconds to wait for one catalog: there may be a thousand others.
PATIENCE = 2.0


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
        #: what reads the experiments of a folder
        self.stores = Stores(auth)
        #: what reads the measuring sessions of a folder
        self.sessions = Sessions(auth)
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
        """Return what a project says, or why it says nothing; never raises for what it finds."""
        of_catalog = self._of_catalog(seen, place, timeout)
        parts = [self.stores.read(seen.path, place, timeout)] if seen.has_store else []
        parts += [self.sessions.read(seen.path, place, timeout)] if seen.has_sessions else []
        return _together(of_catalog, _beside(parts)) if parts else of_catalog

    def _of_catalog(self, seen: SeenProject, place: Place, timeout: float) -> Reading:
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
            return Reading(status, now, str(error), self.marking()(seen.catalog_mark) if settled else "")
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
            return Reading("ok", now, mark=self.marking()(seen.catalog_mark))
        detail = f"{seen.path} has no catalog.duckdb; `hmp catalog rebuild` makes it from the runs and the log"
        return Reading("unreachable", now, detail, self.marking()(seen.catalog_mark))

    def _read(self, seen: SeenProject, place: Place, now: datetime, timeout: float, fold: Fold | None) -> Reading:
        catalog = catalog_path(seen.path)
        with self._opened(catalog, timeout, fold) as (backend, lack):
            before = mark(catalog)
            told, odd = facts(backend)
            unread = LogFiles(catalog).unread(_positions(backend))
            may_fold = fold is not None and not folding_is_off(catalog) and os.access(catalog.parent, os.W_OK)
            settled = before == mark(catalog) and not (unread and may_fold)
        if unread and fold is None:
            lack = "hmp-catalog is not installed" if self.fold is None else "an older catalog is not folded"
        detail = "; ".join([*([lack] if lack else []), *odd])
        marked = self.marking()(before) if settled else ""
        return Reading("ok", now, detail, marked, unread, snapshot(place, told, now))

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


def _beside(parts: Sequence[Reading]) -> Reading:
    """Return what the experiments and the sessions of a folder say; while one says nothing the last snapshot stays."""
    first, *others = parts
    for other in others:
        both = first.snapshot is not None and other.snapshot is not None
        first = replace(
            first,
            status=first.status if first.status != "ok" else other.status,
            detail="; ".join(each.detail for each in (first, other) if each.detail),
            mark=beside(first.mark, other.mark) if first.mark and other.mark else "",
            unfolded=first.unfolded + other.unfolded,
            snapshot=first.snapshot.beside(other.snapshot) if both and first.snapshot and other.snapshot else None,
        )
    return first


def _together(of_catalog: Reading, of_store: Reading) -> Reading:
    """Return what a project says whose catalog and experiments were read one after the other."""
    simulations, experiments = of_catalog.snapshot, of_store.snapshot
    mark, _, suffix = of_catalog.mark.partition(" ")
    both = simulations is not None and experiments is not None
    return replace(
        of_catalog,
        status=of_catalog.status if of_catalog.status != "ok" else of_store.status,
        at=of_store.at,
        detail="; ".join(each.detail for each in (of_catalog, of_store) if each.detail),
        mark=f"{joined(mark, of_store.mark)} {suffix}".strip() if mark and of_store.mark else "",
        unfolded=of_catalog.unfolded + of_store.unfolded,
        snapshot=simulations.beside(experiments) if simulations and experiments else simulations or experiments,
        experiments=None if both else simulations is None,
    )


def _positions(backend: BulkBackend) -> dict[str, Position]:
    """Return how far the log is in the tables; nothing where the catalog keeps no such account."""
    if not backend.fetch_all(_SQL["catalog_keeps_account"].sql):
        return {}
    rows = backend.fetch_all(_SQL["catalog_segments"].sql)
    return {name: Position(position, packed) for name, position, packed in rows}
