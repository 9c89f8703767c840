"""What the tables of the gauges must hold after some events, worked out the slow way: by dictionaries alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hmp_core.events import Event
from hmp_core.events.record import to_json

_EPOCH = datetime(2020, 1, 1)
_KINDS = {"gauge.set", "gauge.named", "gauge.hidden", "gauge.purged", "level.set", "observer.set", "visit.made"}

Rows = list[tuple[Any, ...]]


def tables(events: Iterable[Event]) -> tuple[dict[str, Rows], set[UUID]]:
    """Return the rows of all tables, in order, and the ids of the events that wait; surveys are not told here."""
    known = {event.id: event for event in events}
    said = sorted((e for e in known.values() if e.v == 1 and e.kind in _KINDS), key=lambda e: e.stamp())
    waiting = {event.id for event in known.values()} - {event.id for event in said}
    purged = {e.payload["gauge"] for e in said if e.kind == "gauge.purged"}
    there = {e.payload["gauge"] for e in said if e.kind == "gauge.set"}
    came = {e.payload["code"] for e in said if e.kind == "observer.set"}
    found: dict[str, dict[Any, Any]] = {"gauges": {}, "levels": {}, "observers": {}, "visits": {}, "namings": {}}
    for event in said:
        gauge = event.payload.get("gauge")
        if gauge in purged:
            if event.kind == "gauge.named":
                found["namings"][event.id] = (event.id, UUID(gauge), None, event.stamp())
            continue
        orphan = event.kind in {"gauge.named", "gauge.hidden", "level.set"} and gauge not in there
        if orphan or (event.kind == "visit.made" and event.payload["code"] not in came):
            waiting.add(event.id)
        else:
            _say(found, event)
    rows = {
        "gauges": [_gauge(key, value) for key, value in found["gauges"].items() if "river" in value],
        "levels": [(*key, *value) for key, value in found["levels"].items() if value is not None],
        "observers": [(key, *value) for key, value in found["observers"].items() if value is not None],
        "visits": list(found["visits"].values()),
        "namings": list(found["namings"].values()),
    }
    return {name: sorted(listed, key=lambda row: row[:2]) for name, listed in rows.items()}, waiting


def _say(found: dict[str, dict[Any, Any]], event: Event) -> None:
    """Let an event, the latest so far, set what it speaks of."""
    said, stamp = event.payload, event.stamp()
    match event.kind:
        case "gauge.set":
            told = {"river": said["river"], "elevation": said.get("elevation"), "stamp": stamp}
            found["gauges"].setdefault(said["gauge"], {}).update(told)
        case "gauge.named":
            found["gauges"].setdefault(said["gauge"], {}).update(name=(said["name"], stamp))
            found["namings"][event.id] = (event.id, UUID(said["gauge"]), said["name"], stamp)
        case "gauge.hidden":
            found["gauges"].setdefault(said["gauge"], {}).update(hidden=(said["on"], stamp))
        case "level.set":
            key = (UUID(said["gauge"]), _EPOCH + timedelta(days=said["day"]))
            row = (said["level"], to_json(said.get("remarks")), stamp)
            found["levels"][key] = None if said["level"] is None else row
        case "observer.set":
            found["observers"][said["code"]] = None if said["called"] is None else (said["called"], stamp)
        case "visit.made":
            found["visits"][event.id] = (event.id, UUID(said["gauge"]), said["code"], stamp)


def _gauge(key: str, told: dict[str, Any]) -> tuple[Any, ...]:
    name, name_stamp = told.get("name", (None, None))
    hidden, hidden_stamp = told.get("hidden", (False, None))
    first = (UUID(key), told["river"], _EPOCH, told["elevation"], name, hidden)
    return (*first, told["stamp"], name_stamp, hidden_stamp)
