"""Files over an extent: one that covers what is asked for is an answer, a larger one makes smaller ones needless."""

from __future__ import annotations

from typing import Any

from hmp_cache import queries, windows
from hmp_cache.extents import covers
from hmp_cache.intake import Intake
from hmp_cache.records import Entry
from hmp_cache.series import kept_windows
from hmp_cache.shelf import Shelf
from hmp_cache.signature import Bytes
from hmp_cache.wanted import Wanted
from hmp_core.events import EventStore


class Grids:
    """What is held of grids. Extents are compared only within one coordinate system, by its name."""

    def __init__(self, store: EventStore, shelf: Shelf, intake: Intake) -> None:
        self._store = store
        self._shelf = shelf
        self._intake = intake

    def covering(self, wanted: Wanted) -> Entry | None:
        """Return a download of the same source that has all of an extent and a period, unharmed; the newest."""
        label, (start, end) = wanted.label, windows.closed(wanted.window)
        if label.bbox is None or label.station is not None or start is None:
            return None
        for entry in self._alike(wanted, {"bbox": label.bbox, "period": (start, end)}):
            if Bytes(entry.sha256, entry.signature).are_in(self._shelf.local(entry.relative_path)):
                return entry
        return None

    def subsume(self, entry: Entry, wanted: Wanted) -> list[Entry]:
        """Remove the downloads that lie within a newer one, in space and time; their bytes stay until they are pruned.

        Returns
        -------
        list of Entry
            Those that were removed. A user's file never is.
        """
        if entry.bbox is None or entry.period is None or None in entry.period:
            return []
        smaller = [other for other in self._alike(wanted, {}) if other.id != entry.id and _within(other, entry)]
        return [other for other in smaller if self._remove(other, f"subsumed by {entry.id}")]

    def _alike(self, wanted: Wanted, more: dict[str, Any]) -> list[Entry]:
        """Return the downloads of files, not of series, that differ in extent and period alone."""
        label = wanted.label
        same = {name: getattr(label, name) for name in ("variable", "source", "crs", "frequency", "unit")}
        with self._store.reading() as backend:
            found = queries.find(backend, {**same, "station": None, "is_custom": False, **more})
            if not found.num_rows:
                return []
            requests = queries.requests(backend, same)
        entries = queries.entries(found, self._shelf)
        return [e for e in entries if e.state == "current" and not kept_windows(requests.get(str(e.id)))]

    def _remove(self, entry: Entry, why: str) -> bool:
        with self._intake.holding(entry.variable, entry.source):
            self._intake.settle(entry.id)
            known = self._intake.ledger.find(
                entry.id, variable=entry.variable, source=entry.source, file_name=entry.relative_path.rpartition("/")[2]
            )
            if known is None or known.sidecar.removed or known.artifact["in_place"]:
                return False
            changes = self._intake.changes
            changes.intend(known, [changes.event("input.removed", known, why=why)])
            return True


def _within(smaller: Entry, larger: Entry) -> bool:
    if smaller.bbox is None or larger.bbox is None or smaller.period is None or larger.period is None:
        return False
    (start, end), (first, last) = smaller.period, larger.period
    if start is None or end is None or first is None or last is None:
        return False
    return covers(larger.bbox, smaller.bbox) and first <= start and end <= last
