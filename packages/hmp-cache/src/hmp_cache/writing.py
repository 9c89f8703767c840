"""The low-level inserters: a fact that somebody writes by hand becomes an event, and by it a row.

They say nothing of bytes and stand beside no file: what is served comes in through `hmp_cache.intake` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from hmp_cache.labels import Label, artifact_id, checked_bbox, checked_moment, checked_parameters, checked_period
from hmp_cache.opening import Rooms
from hmp_core.errors import InvalidInput
from hmp_core.events import Event
from hmp_core.paths import to_relative


def checked_id(what: str, value: UUID | str | None) -> str | None:
    """Return an id as text.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    if value is None:
        return None
    try:
        return str(UUID(str(value)))
    except ValueError:
        message = f"{what} is {value!r}, expected the id of one (a UUID)"
        raise InvalidInput(message) from None


def _required(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        message = f"{what} is {value!r}, expected text"
        raise InvalidInput(message)
    return value


def _written(rooms: Rooms, kind: str, payload: dict[str, Any]) -> Event:
    rooms.may_write(f"record {kind}")
    return rooms.store.append(kind, payload)


def artifact(rooms: Rooms, entry: UUID | str, sha256: str, path: str, said: Mapping[str, Any]) -> UUID:
    """Record a former version of an input; see `DataCatalogDuckDB.write_artifact`."""
    if not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        message = f"sha256 is {sha256!r}, expected 64 hexadecimal digits"
        raise InvalidInput(message)
    size = said["size_bytes"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        message = f"size_bytes is {size!r}, expected a number from 0 on"
        raise InvalidInput(message)
    kept = to_relative(rooms.shelf.workspace / path, rooms.shelf.workspace)
    owner = rooms.asking.one(entry)
    identity = artifact_id(owner.id, sha256)
    facts = dict(said) | {"id": str(identity), "entry_id": str(owner.id), "variable": owner.variable}
    _written(rooms, "artifact.written", {"artifact": facts | {"sha256": sha256, "path": kept}})
    return identity


def provenance(rooms: Rooms, artifact_reference: UUID | str, said: Mapping[str, Any]) -> UUID:
    """Record how a version was obtained; see `DataCatalogDuckDB.write_provenance`."""
    version = rooms.asking.artifact(str(artifact_reference))
    checked_parameters("request", said["request"])
    checked_parameters("parameters", said["parameters"])
    fetched = checked_moment("fetched_at", said["fetched_at"])
    facts = dict(said) | {
        "artifact_id": str(version.artifact_id),
        "entry_id": str(version.id),
        "variable": version.variable,
        "source": version.source,
        "fetched_at": fetched.isoformat() if fetched else None,
        "parents": [checked_id("parents", each) for each in said["parents"]] or None,
    }
    return _written(rooms, "provenance.written", {"provenance": facts}).id


def report(rooms: Rooms, artifact_reference: UUID | str, schema: str, *, passed: bool, errors: Sequence[Any]) -> UUID:
    """Record a verdict on a version; see `DataCatalogDuckDB.write_validation_report`."""
    version = rooms.asking.artifact(str(artifact_reference))
    if not isinstance(passed, bool):
        message = f"passed is {passed!r}, expected True or False"
        raise InvalidInput(message)
    checked_parameters("errors", {"errors": list(errors)})
    facts = {"artifact_id": str(version.artifact_id), "entry_id": str(version.id), "passed": passed}
    facts |= {"schema_name": _required("schema_name", schema), "errors": list(errors)}
    return _written(rooms, "report.written", {"report": facts}).id


def station(rooms: Rooms, source: str, variable: str, station_id: str, said: Mapping[str, Any]) -> None:
    """Record what is known of a station; see `DataCatalogDuckDB.upsert_station`."""
    label = Label(variable, source, _required("station_id", station_id), name=said["name"])
    numbers = {}
    for name in ("lat", "lon", "z"):
        try:
            numbers[name] = None if said[name] is None else float(said[name])
        except (TypeError, ValueError):
            message = f"{name} is {said[name]!r}, expected a number"
            raise InvalidInput(message) from None
    named = {"source": source, "variable": variable, "station_id": label.station, "name": label.name}
    _written(rooms, "station.described", named | numbers)


def coverage(rooms: Rooms, label: Label, state: str, n_records: int | None, expires_at: Any) -> UUID:
    """Record what a source had of a period; see `DataCatalogDuckDB.write_coverage`."""
    if state not in {"held", "empty"}:
        message = f"state is {state!r}, expected 'held' or 'empty'"
        raise InvalidInput(message)
    expires = checked_moment("expires_at", expires_at)
    start, end = checked_period(label.period) or (None, None)
    box = checked_bbox(label.bbox)
    said: dict[str, Any] = {"variable": label.variable, "source": label.source, "station_id": label.station}
    said |= {"bbox": list(box) if box else None, "state": state, "n_records": n_records, "entry_id": None}
    said["period"] = [start.isoformat() if start else None, end.isoformat() if end else None]
    said["expires_at"] = expires.isoformat() if expires else None
    return _written(rooms, "source.answered", said).id


def failure(rooms: Rooms, label: Label, error_type: str, message: str, said: Mapping[str, Any]) -> UUID:
    """Record an attempt that failed; see `DataCatalogDuckDB.write_failure`."""
    checked_parameters("request", said["request"])
    facts = {
        "entry_id": None,
        "variable": label.variable,
        "source": label.source,
        "source_ref": said["source_ref"],
        "error_type": _required("error_type", error_type),
        "message": _required("message", message),
        "status": None,
        "attempts": None,
        "next_retry": None,
        "request": said["request"],
    }
    return _written(rooms, "input.failed", {"failure": facts}).id
