"""One harvest into the tables, in one transaction that also says how far the log was read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.errors import StatementError
from hmp_core.events import merge
from hmp_core.events.columns import texts
from hmp_core.events.fold import Batch, Fold, reduce
from hmp_core.events.pending import Harvest, LogFiles, Position
from hmp_core.events.record import Event
from hmp_core.migrations.runner import EVENT_TABLES
from hmp_core.saying import once

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols.backend import BulkBackend

_log = logging.getLogger(__name__)

#: How the reason of an event begins that the engine would not take: it is tried again by itself.
_REFUSED = "the engine refused it: "

_STAGED = "_hmp_files"


class Folding:
    """A write lease in which a harvest is put into the tables of a database.

    Parameters
    ----------
    backend
        Holds a write lease.
    fold
        What the scope declares.
    root
        The folder of the database.
    schemas
        Remembers the columns of each table from one folding to the next.
    """

    def __init__(self, backend: BulkBackend, fold: Fold, root: Path, schemas: dict[str, pa.Schema]) -> None:
        self._backend = backend
        self._fold = fold
        self._root = root
        self._schemas = schemas

    def apply(self, harvest: Harvest, *, retry: bool = True) -> None:
        """Put a harvest into the tables, in one transaction with how far it got.

        If the engine refuses the whole, the events that it refuses are found by halving; those wait, with the reason,
        and everything else is in. With ``retry`` those that were refused before are tried once more.
        """
        waited = merge.waiting_events(self._backend)
        refused = [event for event, reason in waited if reason.startswith(_REFUSED)]
        events = [event for event, reason in waited if not reason.startswith(_REFUSED)]
        released = {event.id for event, _ in waited}
        events += harvest.events
        try:
            with self._backend.transaction():
                self._merge(events, released)
                self._merge(self._orphans(), set())
                remember(self._backend, harvest)
                self._fold.before_commit(self._backend, self._root)
        except StatementError as error:
            once(_log, "%s: folding in halves, because %s", self._backend.path, error)
            self._commit(events, released, harvest)
            self._commit(self._orphans(), set(), Harvest(), account=False)
        if retry:
            for event in refused:
                self._commit([event], {event.id}, Harvest(), account=False)

    def _commit(self, events: Sequence[Event], released: set[Any], harvest: Harvest, *, account: bool = True) -> None:
        """Put in what the engine takes, and let the rest wait."""
        culprits = self._culprits(events)
        with self._backend.transaction():
            self._merge([event for event in events if event.id not in culprits], released)
            if culprits:
                held = Batch({}, {}, frozenset(), culprits, frozenset())
                merge.merge(self._backend, self._fold, held, self._schemas)
            if account:
                remember(self._backend, harvest)
            self._fold.before_commit(self._backend, self._root)

    def _orphans(self) -> list[Event]:
        """Ask, once the rest is in, which events could not be logged any more."""
        return list(self._fold.orphans(self._backend, self._root))

    def _merge(self, events: Sequence[Event], released: set[Any]) -> None:
        if not events:
            return
        batch = reduce(
            self._fold,
            events,
            self._root,
            purged=merge.purged(self._backend),
            present=lambda table, keys: merge.present(self._backend, self._fold, table, keys),
        )
        batch = replace(batch, released=frozenset(batch.applied & released))
        merge.merge(self._backend, self._fold, batch, self._schemas)

    def _culprits(self, events: Sequence[Event]) -> dict[Any, tuple[Event, str]]:
        """Return the events that the engine refuses, each with why; nothing is kept of the trials."""
        try:
            with contextlib.suppress(_Tried), self._backend.transaction():
                self._merge(events, set())
                raise _Tried
        except StatementError as error:
            if len(events) == 1:
                return {events[0].id: (events[0], f"{_REFUSED}{error}")}
            middle = len(events) // 2
            return self._culprits(events[:middle]) | self._culprits(events[middle:])
        return {}


def apply(backend: BulkBackend, fold: Fold, harvest: Harvest, root: Path, *, schemas: dict[str, pa.Schema]) -> None:
    """Put a harvest into the tables of a database on which a write lease is held (see `Folding`)."""
    Folding(backend, fold, root, schemas).apply(harvest)


class _Tried(Exception):
    """Undoes a trial."""


def positions(backend: BulkBackend) -> dict[str, Position]:
    """Return how far each file of the log was folded."""
    rows = backend.fetch_all("SELECT name, position, packed FROM _hmp_segments")
    return {name: Position(position, packed) for name, position, packed in rows}


def unsettled(backend: BulkBackend, fold: Fold, files: LogFiles, waiting: int) -> bool:
    """Return whether a fold has something to do though it would read nothing: asked once by each process."""
    known = positions(backend)
    if not known:
        return False  # an empty log tells of nobody who died
    if waiting or files.lost(known).keys() - known.keys():
        return True
    return any(True for _ in fold.orphans(backend, backend.path.parent))


def remember(backend: BulkBackend, harvest: Harvest) -> None:
    """Record how far each file of the log was read, in the caller's transaction."""
    before = positions(backend)
    gone = sorted(before.keys() - harvest.positions.keys())
    new = {name: at for name, at in harvest.positions.items() if before.get(name) != at}
    if gone:
        with backend.staged(_STAGED, texts(name=gone)):
            backend.execute(f"DELETE FROM _hmp_segments WHERE name IN (SELECT name FROM {_STAGED})")
    if new:
        staged = texts(
            name=list(new),
            position=[str(at.position) for at in new.values()],
            packed=[str(at.packed) for at in new.values()],
        )
        with backend.staged(_STAGED, staged):
            backend.execute(
                "INSERT INTO _hmp_segments "
                f"SELECT name, CAST(position AS BIGINT), CAST(packed AS BOOLEAN) FROM {_STAGED} "
                "ON CONFLICT (name) DO UPDATE SET position = excluded.position, packed = excluded.packed"
            )
    if harvest.events:
        seen = max(event.clock for event in harvest.events)
        backend.execute(
            "INSERT INTO _hmp_clock (id, seen) VALUES (1, $1) "
            "ON CONFLICT (id) DO UPDATE SET seen = greatest(_hmp_clock.seen, excluded.seen)",
            [seen],
        )


def components(fold: Fold) -> list[tuple[str, Path]]:
    """Return the components of an event-logged database and where their migrations are."""
    return [("events", EVENT_TABLES), (fold.component, fold.migrations)]
