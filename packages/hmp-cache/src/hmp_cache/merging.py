"""Two histories of one input become one: every version of both is kept, and the one that was stored last is current.

Events keep their ids, so that merging once more adds nothing. Where the two have gone different ways, or a file has to
lie under another name than where it came from, one event more is needed: it stores the current version once more, here,
and names the version that made way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmp_cache.fold import rows
from hmp_cache.sidecar import Sidecar
from hmp_core.events import Event, EventStore
from hmp_core.events.clock import clock


@dataclass(frozen=True, slots=True)
class Merged:
    """What two histories make together."""

    sidecar: Sidecar
    #: those that are not in ours
    events: tuple[Event, ...]

    @property
    def artifact(self) -> Mapping[str, Any]:
        """The facts of the version that is current now."""
        assert self.sidecar.newest is not None
        found: Mapping[str, Any] = self.sidecar.newest.payload["artifact"]
        return found


def merge(
    store: EventStore, ours: Sidecar, theirs: Sidecar, where: Callable[[Mapping[str, Any]], str]
) -> Merged | None:
    """Return what two histories make together; None if ours has all that theirs has.

    Parameters
    ----------
    where
        Tells where a version lies here that is current, relative to the workspace.
    """
    here = {event.id for event in ours.events}
    fresh = sorted((event for event in theirs.events if event.id not in here), key=Event.stamp)
    if not fresh:
        return None
    told = ours
    for event in fresh:
        told = told.with_event(event)
    newest = told.newest
    assert newest is not None
    current = newest.payload["artifact"]
    place = where(current)
    left = _left_current(told.events, current["id"])
    clock.observe(max(event.clock for event in told.events))  # what is said from now on was said after all of it
    if left is None and place == current["path"]:
        return Merged(told, tuple(fresh))
    joint = [_joint(store, newest, place, left), *_decided_after(store, told, newest)]
    for event in joint:
        told = told.with_event(event)
    return Merged(told, (*fresh, *joint))


def _left_current(events: Sequence[Event], current: str) -> Mapping[str, Any] | None:
    """Return the facts of a version that nothing has superseded, though it is not the current one."""
    states: dict[str, str] = {}
    facts: dict[str, Mapping[str, Any]] = {}
    for event in sorted(events, key=Event.stamp):
        for row in rows(event, Path()):
            if row.table == "artifacts" and row.group == "place":
                states[row.key[0]] = (row.values or {})["state"]
        if event.kind == "input.stored":
            facts[event.payload["artifact"]["id"]] = event.payload["artifact"]
    left = [facts[name] for name, state in states.items() if state == "current" and name != current and name in facts]
    return left[-1] if left else None


def _joint(store: EventStore, newest: Event, place: str, left: Mapping[str, Any] | None) -> Event:
    former = dict(left) | {"path": f"data/.versions/{left['sha256']}"} if left else None
    said = dict(newest.payload) | {"artifact": newest.payload["artifact"] | {"path": place}, "superseded": former}
    return store.prepare("input.stored", said)


def _decided_after(store: EventStore, told: Sidecar, newest: Event) -> list[Event]:
    """Return again what was decided about the current version after it was stored."""
    stands = {"input.purged": told.purged(newest.payload["artifact"]["id"]), "input.removed": told.removed}
    found = []
    for kind in (kind for kind, valid in stands.items() if valid):
        decided = max((event for event in told.events if event.kind == kind), key=Event.stamp)
        found.append(store.prepare(kind, decided.payload))
    return found
