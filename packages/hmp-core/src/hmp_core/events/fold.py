"""Events in, rows out, in any order: what a scope declares about its tables, and how rows are reduced.

Every row is set by the event with the greatest stamp; a deletion is a row too (it leaves a tombstone); a purge
beats everything that was ever said about its subject. So any permutation and any repetition of events gives the
same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hmp_core.errors import HmpError
from hmp_core.events.record import Event
from hmp_core.protocols.backend import BulkBackend, CatalogBackend


class NotYet(Exception):
    """Raised by a scope's ``rows``: the event must wait (unknown kind, newer version, missing file).

    Parameters
    ----------
    reason
        What it waits for.
    subject
        Whom it tells of: once that is purged, nothing is waited for any more.
    rest
        The rows that it gives then.
    """

    def __init__(self, reason: str, *, subject: str | None = None, rest: Sequence[Row] = ()) -> None:
        super().__init__(reason)
        self.subject = subject
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Table:
    """What the fold must know of a table.

    Parameters
    ----------
    name
        Its name; the stamp of a row is in its column ``_stamp``.
    key
        The columns of the primary key, in order.
    groups
        Columns that may be set independently of the rest of the row, by group; the stamp of group ``g`` is in
        column ``_stamp_g``. The row itself must have been set first: until then what is said of a group waits.
        Rows of a table with groups have one key column and are never deleted, but hidden (by a group that says so)
        or purged: what was said of a group after a deletion would be lost with the row.
    subject
        The column that names what a purge removes, if rows of the table belong to something.
    emptied
        For rows that stay: a column that names something, and the columns that a purge of it empties.
    """

    name: str
    key: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subject: str | None = None
    emptied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.groups and len(self.key) != 1:
            message = f"{self.name}: a table with groups has one key column, got {self.key}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Row:
    """What an event says about one row of one table.

    ``values`` are the columns besides the key (of the group, if one is named); None deletes the row.
    ``needs`` names a row of another table, by its single key, without which the event waits; it need only have been
    set once, a deleted one will do.
    """

    table: str
    key: tuple[Any, ...]
    values: Mapping[str, Any] | None
    stamp: str
    group: str = ""
    needs: tuple[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Purge:
    """All rows of ``subject``, earlier and later, are gone."""

    subject: str


def _no_files(root: Path) -> Iterable[Event]:  # noqa: ARG001 - the signature is the contract
    return ()


def _no_orphans(backend: CatalogBackend, root: Path) -> Iterable[Event]:  # noqa: ARG001
    return ()


def _no_circumstances(kind: str, folder: Path, author: str) -> dict[str, Any]:  # noqa: ARG001
    return {}


def _nothing(backend: BulkBackend, root: Path) -> None:  # noqa: ARG001
    return


@dataclass(frozen=True, slots=True)
class Fold:
    """What a scope declares: its tables, and the pure function from an event to rows.

    Parameters
    ----------
    component
        The scope, as "catalog"; also its name in the migration ledger.
    migrations
        The folder of its migrations.
    tables
        The tables that events fill, parents before children.
    rows
        From an event and the folder of the database to what it says; raises `NotYet` if it cannot be told now.
    files
        Events that the files on disk (manifests, sidecars) tell without the log; used by rebuild.
    orphans
        Events that should have been logged by processes that died before they could; asked at each fold.
    before_commit
        Called at the end of each transaction of a fold, under the lock: what it puts on the disk is there before any
        row says so. Its process may die before the commit, so that it must bear to be called again.
    circumstances
        From the kind of an event that is about to be told, the folder of the database and who tells it, to what its
        payload says beside the facts.
    """

    component: str
    migrations: Path
    tables: Sequence[Table]
    rows: Callable[[Event, Path], Iterable[Row | Purge]]
    files: Callable[[Path], Iterable[Event]] = _no_files
    orphans: Callable[[CatalogBackend, Path], Iterable[Event]] = _no_orphans
    before_commit: Callable[[BulkBackend, Path], None] = _nothing
    circumstances: Callable[[str, Path, str], dict[str, Any]] = _no_circumstances

    def table(self, name: str) -> Table:
        """Return the table called ``name``."""
        return next(t for t in self.tables if t.name == name)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one fold changes: per table and group the winning rows, and deletions; purges; events that wait."""

    upserts: Mapping[tuple[str, str], Mapping[tuple[Any, ...], Row]]
    deletes: Mapping[str, Mapping[tuple[Any, ...], str]]
    purged: frozenset[str]
    waiting: Mapping[Any, tuple[Event, str]]
    applied: frozenset[Any]
    released: frozenset[Any] = frozenset()


def reduce(
    fold: Fold,
    events: Iterable[Event],
    root: Path,
    *,
    purged: frozenset[str] = frozenset(),
    present: Callable[[str, set[Any]], set[Any]],
) -> Batch:
    """Return what a set of events changes. Pure but for ``fold.rows``, which may read files.

    Parameters
    ----------
    events
        In any order, with repetitions.
    purged
        The subjects that were purged before.
    present
        Tells which of some single keys of a table are in the database, or were deleted from it.
    """
    said: dict[Any, tuple[Event, list[Row]]] = {}
    waiting: dict[Any, tuple[Event, str]] = {}
    held: dict[Any, tuple[Event, NotYet]] = {}
    purges = set(purged)
    tables = {table.name: table for table in fold.tables}
    for event in {e.id: e for e in events}.values():
        try:
            rows = [_checked(row, tables) for row in fold.rows(event, root)]
        except NotYet as reason:
            held[event.id] = (event, reason)
        except _NOT_UNDERSTOOD as error:
            # acknowledged facts are never thrown away: a later hmp may understand what this one cannot
            waiting[event.id] = (event, f"its facts are not understood: {type(error).__name__}: {error}")
        else:
            purges.update(r.subject for r in rows if isinstance(r, Purge))
            said[event.id] = (event, [r for r in rows if isinstance(r, Row)])
    for identity, (event, not_yet) in held.items():
        if not_yet.subject in purges:
            said[identity] = (event, list(not_yet.rest))
        else:
            waiting[identity] = (event, str(not_yet))
    subjects = _Subjects(tables, purges)
    for identity, (event, kept) in said.items():
        said[identity] = (event, [subjects.emptied(r) for r in kept if not subjects.gone(r)])
    _hold_back(said, waiting, present, purges)
    upserts, deletes = _winners([row for _, rows in said.values() for row in rows])
    return Batch(upserts, deletes, frozenset(purges), waiting, frozenset(said))


#: What a scope may raise over facts that it does not expect; one such event must not keep the others out.
_NOT_UNDERSTOOD = (HmpError, OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def _checked(row: Row | Purge, tables: Mapping[str, Table]) -> Row | Purge:
    if isinstance(row, Purge):
        return row
    table = tables[row.table]
    if row.group and row.group not in table.groups:
        message = f"{row.table} has no group {row.group!r}"
        raise ValueError(message)
    if len(row.key) != len(table.key):
        message = f"{row.table} has the key {table.key}, got {row.key}"
        raise ValueError(message)
    if row.values is None and table.groups:
        message = f"a row of {row.table} has groups: it is hidden or purged, never deleted"
        raise ValueError(message)
    if row.needs and len(tables[row.needs[0]].key) != 1:
        message = f"{row.needs[0]} has several key columns: no row of it can be needed"
        raise ValueError(message)
    return row


class _Subjects:
    def __init__(self, tables: Mapping[str, Table], purges: set[str]) -> None:
        self._purges = purges
        self._tables = tables

    def gone(self, row: Row) -> bool:
        table = self._tables[row.table]
        if not self._purges or table.subject is None:
            return False
        if table.subject in table.key:
            subject = row.key[table.key.index(table.subject)]
        else:
            subject = (row.values or {}).get(table.subject)
        return str(subject) in self._purges

    def emptied(self, row: Row) -> Row:
        """Return the row without what a purge empties in it."""
        values = row.values or {}
        named = self._tables[row.table].emptied if self._purges else {}
        lost = {c for column, those in named.items() if str(values.get(column)) in self._purges for c in those}
        return replace(row, values={c: None if c in lost else v for c, v in values.items()}) if lost else row


def _needs(row: Row) -> Iterator[tuple[str, Any]]:
    if row.needs:
        yield row.needs
    if row.group:
        yield (row.table, row.key[0])


def _hold_back(
    said: dict[Any, tuple[Event, list[Row]]],
    waiting: dict[Any, tuple[Event, str]],
    present: Callable[[str, set[Any]], set[Any]],
    purges: set[str],
) -> None:
    """Move to ``waiting`` the events whose parent is neither in the database nor said by one that stays.

    A parent that was deleted or purged counts as known: else it would depend on the order of folding whether the
    child was seen in time.
    """
    needed: dict[str, set[Any]] = {}
    for _, rows in said.values():
        for table, key in (need for row in rows for need in _needs(row)):
            needed.setdefault(table, set()).add(key)
    known = {(table, key) for table, keys in needed.items() for key in present(table, keys) | (keys & purges)}
    while True:
        here = {(row.table, row.key[0]) for _, rows in said.values() for row in rows if not row.group}
        lost = {
            identity: need
            for identity, (_, rows) in said.items()
            for need in (need for row in rows for need in _needs(row))
            if need not in known and need not in here
        }
        if not lost:
            return
        for identity, (table, key) in lost.items():
            event, _ = said.pop(identity)
            waiting[identity] = (event, f"{table} {key} is not known yet")


def _winners(
    rows: Sequence[Row],
) -> tuple[dict[tuple[str, str], dict[tuple[Any, ...], Row]], dict[str, dict[tuple[Any, ...], str]]]:
    deletes: dict[str, dict[tuple[Any, ...], str]] = {}
    for row in rows:
        if row.values is None:
            gone = deletes.setdefault(row.table, {})
            gone[row.key] = max(gone.get(row.key, ""), row.stamp)
    best: dict[tuple[str, str], dict[tuple[Any, ...], Row]] = {}
    for row in rows:
        if row.values is None or row.stamp < deletes.get(row.table, {}).get(row.key, ""):
            continue
        place = best.setdefault((row.table, row.group), {})
        if row.key not in place or row.stamp > place[row.key].stamp:
            place[row.key] = row
    return best, deletes
