"""Giving an input up: the cache's own copies go, the input is hidden, its record and sidecar stay.

A file that stays where its owner has it is left alone. Adding or fetching the input again brings it back under the
same id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from hmp_cache.errors import EntryNotFound
from hmp_cache.locking import named_by_lock
from hmp_cache.plans import Kept, Plan, Planned
from hmp_cache.purging import Going
from hmp_cache.records import Entry
from hmp_cache.uses import uses_of
from hmp_core.events import Event

if TYPE_CHECKING:
    from hmp_cache.ledger import Known
    from hmp_cache.opening import Rooms

_WHY = "the input was removed"


def remove(rooms: Rooms, reference: Entry | UUID | str, *, apply: bool, force: bool) -> Plan:
    """Return what would go with an input, and give it up if ``apply``; see `InputsNamespace.remove`."""
    if apply:
        rooms.may_write(f"remove {reference}")
    entry = rooms.asking.one(reference.id if isinstance(reference, Entry) else reference)
    plan = _plan(rooms, entry, force=force)
    locked = any(each.why.startswith("hydromodpy.lock") for each in plan.kept)
    if not apply or locked:
        return plan
    return _apply(rooms, entry, plan)


def _plan(rooms: Rooms, entry: Entry, *, force: bool) -> Plan:
    versions = [version for version in rooms.asking.versions(entry) if version.state not in {"purged", "missing"}]
    locked = frozenset() if force else named_by_lock(rooms.shelf.workspace)
    named = [Kept(v, "hydromodpy.lock names it; with force it goes") for v in versions if v.sha256 in locked]
    if named:
        return Plan((), tuple(named), force=force)
    uses = uses_of(rooms, versions)
    items = [Planned(v, _WHY, v.size, uses.of(v.sha256)) for v in versions]
    return Plan(tuple(items), force=force, unasked=tuple(uses.unasked))


def _apply(rooms: Rooms, entry: Entry, plan: Plan) -> Plan:
    intake = rooms.intake
    with intake.holding(entry.variable, entry.source):
        intake.settle(entry.id)
        known = intake.known(entry)
        if known is None or known.sidecar.removed:
            message = f"{entry.name} was removed meanwhile"
            raise EntryNotFound(message, reference=str(entry.id), candidates=[])
        events, freed, kept = _events(rooms, known, plan)
        events.append(intake.changes.event("input.removed", known, why=_WHY))
        intake.changes.intend(known, events)
    items = [replace(item, freed=freed[item.entry.sha256]) for item in plan.items if item.entry.sha256 in freed]
    return replace(plan, items=tuple(items), kept=tuple(kept), applied=True)


def _events(rooms: Rooms, known: Known, plan: Plan) -> tuple[list[Event], dict[str, int], list[Kept]]:
    """Return what happens to the versions of an input, how many bytes each frees, and what stays where it is."""
    entries = {item.entry.sha256: item.entry for item in plan.items}
    going, events, freed, kept = Going(rooms, known), [], {}, []
    for sha256 in dict.fromkeys(e.payload["artifact"]["sha256"] for e in known.sidecar.events if e.kind == _STORED):
        version = known.sidecar.stored(sha256)
        assert version is not None
        event = going.purged(version, _WHY)
        if isinstance(event, str):
            kept += [Kept(entries[sha256], event)] if sha256 in entries else []
        elif event.payload["freed"] or sha256 in entries:
            events.append(event)
            freed[sha256] = event.payload["freed"]
    return events, freed, kept


_STORED = "input.stored"
