"""What events about inputs mean: stored, sighted, confirmed, purged, restored, removed, failed, rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hmp_cache.meanings import values
from hmp_core.events import Event, Row
from hmp_core.events.record import to_json
from hmp_core.identity import derived_id

# ── the bytes of an input ────────────────────────────────────────────────────────────────────────────


def _stored(event: Event) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    entry, artifact, data = said["entry"], said["artifact"], said["data"]
    yield Row("entries", (entry["id"],), _entry(entry, data), stamp)
    yield Row("entries", (entry["id"],), _current(entry, artifact, data), stamp, group="current")
    yield _state(entry, "current", stamp)
    yield _sighting(entry, artifact, stamp)
    yield from _artifact(entry, artifact, "current", stamp)
    if said["superseded"]:
        yield from _artifact(entry, said["superseded"], "superseded", stamp)
    yield Row("provenance", (str(event.id),), _provenance(event), stamp)
    yield Row("validation_reports", (str(event.id),), _report(event, said["validation"]), stamp)
    yield from _whereabouts(event)


def _entry(entry: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    start, end = period_of(entry, data)
    named = ("variable", "source", "station_id", "crs", "frequency", "unit", "source_unit", "is_custom")
    return {name: entry[name] for name in named} | {
        **values.box(entry["bbox"]),
        "date_start": start,
        "date_end": end,
        "created_at": values.moment(entry["created_at"]),
    }


def period_of(entry: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return the period that was stated; where none was, the one that the data cover."""
    start, end = entry["period"] or (None, None)
    return values.moment(start or data["date_start"]), values.moment(end or data["date_end"])


def _current(entry: Mapping[str, Any], artifact: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    learned = {"n_records": data["n_records"], "columns": data["columns"]}
    return {
        "name": entry["name"],
        "artifact_id": artifact["id"],
        "file_path": artifact["path"],
        "sha256": artifact["sha256"],
        # the name is there too: where it was before it had a column of its own
        "fetch_metadata": to_json({**(data["metadata"] or {}), **learned, "name": entry["name"]}),
    }


def _state(entry: Mapping[str, Any], state: str, stamp: str) -> Row:
    return Row("entries", (entry["id"],), {"state": state}, stamp, group="state")


def _sighting(entry: Mapping[str, Any], seen: Mapping[str, Any], stamp: str) -> Row:
    # events of 0.1 know neither: then size and time alone tell
    how = {"file_mtime": seen["mtime"], "file_mtime_ns": seen.get("mtime_ns"), "file_inode": seen.get("inode")}
    return Row("entries", (entry["id"],), how, stamp, group="sighted")


def _artifact(entry: Mapping[str, Any], artifact: Mapping[str, Any], state: str, stamp: str) -> Iterator[Row]:
    facts = {
        "entry_id": entry["id"],
        "variable": entry["variable"],
        "artifact_type": artifact["type"],
        "sha256": artifact["sha256"],
        "size_bytes": artifact["size"],
        "media_type": artifact["media_type"],
        "created_at": values.moment(artifact["created_at"]),
    }
    yield Row("artifacts", (artifact["id"],), facts, stamp)
    yield _place(artifact, state, stamp)


def _place(artifact: Mapping[str, Any], state: str, stamp: str) -> Row:
    return Row("artifacts", (artifact["id"],), {"state": state, "path": artifact["path"]}, stamp, group="place")


def _provenance(event: Event) -> dict[str, Any]:
    entry, how = event.payload["entry"], event.payload["provenance"]
    named = ("uri", "etag", "last_modified", "license", "tool_name", "tool_version", "input_hash")
    return {name: how[name] for name in named} | {
        "artifact_id": event.payload["artifact"]["id"],
        "entry_id": entry["id"],
        "variable": entry["variable"],
        "source": entry["source"],
        "request": values.json(how["request"]),
        "fetched_at": values.moment(how["fetched_at"]),
        "parents": values.json(how["parents"]),
        "parameters_json": values.json(how["parameters"]),
        "recorded_at": values.at(event),
    }


def _report(event: Event, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "artifact_id": (event.payload.get("artifact") or {}).get("id"),
        "entry_id": event.payload["entry"]["id"],
        "schema_name": report["schema_name"],
        "passed": report["passed"],
        "errors_json": to_json(report["errors"]),
        "validated_at": values.at(event),
    }


def _whereabouts(event: Event) -> Iterator[Row]:
    """Yield what a stored version tells of its station and of what is covered."""
    entry, data, stamp = event.payload["entry"], event.payload["data"], event.stamp()
    if entry["station_id"]:
        yield from station(entry["source"], entry["variable"], entry["station_id"], stamp)
        first, last = values.moment(data["date_start"]), values.moment(data["date_end"])
        known = {"first_valid": first.date() if first else None, "last_valid": last.date() if last else None}
        key = station_key(entry["source"], entry["variable"], entry["station_id"])
        yield Row("stations", (key,), known, stamp, group="valid")
    start, end = period_of(entry, data)
    if start or end or entry["bbox"]:
        covered = {
            "variable": entry["variable"],
            "source": entry["source"],
            "station_id": entry["station_id"],
            "region_wkt": values.polygon(entry["bbox"]),
            "period_start": start,
            "period_end": end,
            "n_stations": 1 if entry["station_id"] else None,
            "n_records": data["n_records"],
            "entry_id": entry["id"],
            "state": "held",
            "recorded_at": values.at(event),
        }
        yield Row("coverage", (str(derived_id("hmp-cache coverage 1", entry["id"])),), covered, stamp)


def station_key(source: str, variable: str, station_id: str) -> str:
    """Return the key of a station; neither a source nor a variable has a slash in its name."""
    return f"{source}/{variable}/{station_id}"


def station(source: str, variable: str, station_id: str, stamp: str) -> Iterator[Row]:
    """Yield the row that a station has, whatever is known of it."""
    facts = {"source": source, "variable": variable, "station_id": station_id}
    yield Row("stations", (station_key(source, variable, station_id),), facts, stamp)


# ── what became of it ────────────────────────────────────────────────────────────────────────────────


def _sighted(event: Event) -> Iterator[Row]:
    yield _sighting(event.payload["entry"], event.payload["artifact"], event.stamp())


def _confirmed(event: Event) -> Iterator[Row]:
    yield Row("provenance", (str(event.id),), _provenance(event), event.stamp())


def _purged(event: Event) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    yield _place(said["artifact"], "purged", stamp)
    if said["current"]:
        yield _state(said["entry"], "purged", stamp)


def _restored(event: Event) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    yield _place(said["artifact"], "current" if said["current"] else "superseded", stamp)
    if said["current"]:
        yield _state(said["entry"], "current", stamp)
        yield _sighting(said["entry"], said["artifact"], stamp)


def _removed(event: Event) -> Iterator[Row]:
    yield _state(event.payload["entry"], "removed", event.stamp())


# ── what did not become one ──────────────────────────────────────────────────────────────────────────


def _failed(event: Event) -> Iterator[Row]:
    failure = event.payload["failure"]
    named = ("variable", "source", "source_ref", "error_type", "message")
    told = {name: failure[name] for name in named}
    # events of 0.1 know none of these
    told |= {name: failure.get(name) for name in ("entry_id", "status", "attempts")}
    told |= {
        "request": values.json(failure["request"]),
        "next_retry": values.moment(failure.get("next_retry")),
        "occurred_at": values.at(event),
    }
    yield Row("failures", (str(event.id),), told, event.stamp())


def _rejected(event: Event) -> Iterator[Row]:
    yield from _failed(event)
    report = _report(event, event.payload["validation"])
    yield Row("validation_reports", (str(event.id),), report, event.stamp())


MEANINGS: dict[str, Callable[[Event], Iterator[Row]]] = {
    "input.stored": _stored,
    "input.sighted": _sighted,
    "input.confirmed": _confirmed,
    "input.purged": _purged,
    "input.restored": _restored,
    "input.removed": _removed,
    "input.failed": _failed,
    "input.rejected": _rejected,
}
