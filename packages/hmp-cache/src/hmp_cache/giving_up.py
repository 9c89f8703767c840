"""The low-level verbs by which inputs are given up: hidden with their record kept, a user's file never touched.

What the original deletes is hidden here, so that a run that consumed it can still be told what it was; the copies that
the cache made go where that is asked for, and `restore` brings them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hmp_cache.errors import EntryNotFound
from hmp_cache.extents import covers
from hmp_cache.labels import Label, Period, checked_bbox
from hmp_cache.mending import check
from hmp_cache.opening import Rooms
from hmp_cache.purging import Wish, prune
from hmp_cache.records import Entry
from hmp_cache.registering import register
from hmp_cache.removing import remove
from hmp_core.errors import InvalidInput


def give_up(rooms: Rooms, entries: Iterable[Entry], why: str, *, delete_files: bool) -> int:
    """Hide inputs, and let the cache's own copies go where that is asked for; return how many.

    What ``hydromodpy.lock`` names stays, if its bytes were to go.
    """
    rooms.may_write(why)
    done = 0
    for entry in entries:
        if delete_files:
            done += remove(rooms, entry, apply=True, force=False).applied
        else:
            done += _hide(rooms, entry, why)
    return done


def _hide(rooms: Rooms, entry: Entry, why: str) -> bool:
    intake = rooms.intake
    with intake.holding(entry.variable, entry.source):
        intake.settle(entry.id)
        known = intake.known(entry)
        if known is None or known.sidecar.removed:
            return False
        intake.changes.intend(known, [intake.changes.event("input.removed", known, why=why)])
        return True


def invalidate(rooms: Rooms, variable: str, source: str | None, station_id: str | None, *, delete_files: bool) -> int:
    """Give up what goes by these names; see `DataCatalogDuckDB.invalidate`."""
    rooms.may_write(f"invalidate {variable}")
    asked = {"variable": variable, "source": source, "station_id": station_id}
    found = rooms.asking.find({key: value for key, value in asked.items() if value is not None})
    return give_up(rooms, found, "it was invalidated", delete_files=delete_files)


def subsume(
    rooms: Rooms, larger: UUID | str, bbox: Sequence[float] | None, period: Period, *, delete_files: bool
) -> int:
    """Give up the grids that a larger one holds; see `DataCatalogDuckDB.subsume_entries`."""
    rooms.may_write("subsume what a larger grid holds")
    entry = rooms.asking.one(larger)
    box = checked_bbox(bbox if bbox is not None else entry.bbox)
    if box is None:
        message = f"{entry.name} has no extent; say which one is held, as bbox=(xmin, ymin, xmax, ymax)"
        raise InvalidInput(message)
    asked = {name: getattr(entry, name) for name in ("variable", "source", "crs", "frequency", "unit")}
    start, end = period if period != (None, None) else entry.period or (None, None)
    within = [
        each
        for each in rooms.asking.find(asked | {"station_id": None})
        if each.id != entry.id and each.bbox is not None and covers(box, each.bbox) and _during(each.period, start, end)
    ]
    return give_up(rooms, within, f"subsumed by {entry.id}", delete_files=delete_files)


def _during(period: Period | None, start: datetime | None, end: datetime | None) -> bool:
    """Return whether a period lies between two moments; one that is not known lies nowhere, but in no bounds."""
    if start is None and end is None:
        return True
    first, last = period or (None, None)
    return first is not None and last is not None and (start or first) <= first and last <= (end or last)


def prune_older_than(rooms: Rooms, days: float, *, delete_files: bool) -> int:
    """Give up what was stored too long ago; see `DataCatalogDuckDB.prune_older_than`."""
    if not isinstance(days, (int, float)) or isinstance(days, bool) or not days >= 0:
        message = f"days is {days!r}, expected a number from 0 on"
        raise InvalidInput(message)
    rooms.may_write(f"prune what is older than {days:g} days")
    age = timedelta(days=days)
    if delete_files:
        return len(prune(rooms, Wish.of(age, None, None, superseded=False, force=False), {}, apply=True))
    before = datetime.now(UTC).replace(tzinfo=None) - age
    return give_up(rooms, rooms.asking.find({"stored_at_lt": before}), f"older than {days:g} days", delete_files=False)


def check_and_fix(rooms: Rooms) -> dict[str, int]:
    """Look at every file and put in order what can be; see `DataCatalogDuckDB.check_and_fix`."""
    found = check(rooms, {}, fix=True, verify="quick")
    refreshed = len(found.fixed)
    for entry in found:
        if entry.state == "modified":
            refreshed += _registered_again(rooms, entry)
    return {"dropped": sum(entry.state == "missing" for entry in found), "refreshed": refreshed}


def _registered_again(rooms: Rooms, entry: Entry) -> bool:
    """Make a user's file that was changed the next version of its input; what the cache made is none of theirs."""
    with rooms.intake.holding(entry.variable, entry.source):
        known = rooms.intake.known(entry)
    if known is None or not known.artifact["in_place"]:
        return False
    said: dict[str, Any] = known.newest.payload["entry"]
    label = Label(
        **{name: said[name] for name in ("variable", "source", "bbox", "crs", "period", "frequency", "unit")},
        station=said["station_id"],
        source_unit=said["source_unit"],
    )
    metadata = known.newest.payload["data"]["metadata"]
    path = Path(rooms.shelf.workspace / entry.relative_path)
    register(rooms, path, label, is_custom=said["is_custom"], expected=(None, None), metadata=metadata)
    return True


def cleanup(rooms: Rooms) -> int:
    """Hide the inputs whose files are gone; see `DataCatalogDuckDB.cleanup`."""
    rooms.may_write("clean up what is missing")
    missing = [entry for entry in rooms.asking.find({}) if entry.state == "missing"]
    return give_up(rooms, missing, "its file is missing", delete_files=False)


def custom_file_mtime(rooms: Rooms, variable: str, source: str, station_id: str | None) -> float:
    """Return when a user's file was last modified; see `DataCatalogDuckDB.custom_file_mtime`."""
    asked: dict[str, Any] = {"variable": variable, "source": source, "is_custom": True}
    found = rooms.asking.find(asked | ({"station_id": station_id} if station_id is not None else {}))
    if not found:
        message = f"no file of a user is registered as {variable} of {source}" + (
            f", {station_id}" if station_id else ""
        )
        raise EntryNotFound(message, reference=variable, candidates=[])
    return found[0].signature.mtime
