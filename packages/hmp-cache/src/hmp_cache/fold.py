"""Events in, rows per table out: what the cache's log means. Pure; rebuilding reads the sidecars into the same fold.

Kinds of events, all of version 1:

``input.stored``
    A version of an input is on the disk: the entry, the artifact, the one it superseded, its provenance and report.
``input.failed``
    An attempt to obtain an input failed.
``input.rejected``
    Bytes arrived that their contract does not accept; they are kept aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hmp_cache import sidecar
from hmp_core.errors import CorruptError, SchemaTooNewError
from hmp_core.events import Event, Fold, NotYet, Row, Table
from hmp_core.events.record import to_json
from hmp_core.identity import derived_id

_log = logging.getLogger(__name__)

#: Columns of an entry that follow its current version.
_CURRENT = ("artifact_id", "file_path", "file_mtime", "sha256", "fetch_metadata", "state")

TABLES = (
    Table("entries", ("id",), groups={"current": _CURRENT}, subject="id"),
    Table("artifacts", ("id",), subject="entry_id"),
    Table("provenance", ("id",), subject="entry_id"),
    Table("stations", ("source", "station_id", "variable")),
    Table("coverage", ("id",)),
    Table("failures", ("id",)),
    Table("validation_reports", ("id",), subject="entry_id"),
)


def rows(event: Event, root: Path) -> Iterable[Row]:  # noqa: ARG001 - the signature is the contract
    """Return what an event says.

    Raises
    ------
    NotYet
        For a kind or a version that only a newer hmp knows.
    """
    meaning = _MEANINGS.get(event.kind)
    if meaning is None or event.v > 1:
        message = f"{event.kind} v{event.v} is of a newer hmp"
        raise NotYet(message)
    return meaning(event)


def files(root: Path) -> Iterator[Event]:
    """Yield the events that the sidecars of a ``data`` folder hold; one that cannot be read is logged."""
    for path in sidecar.every(root):
        try:
            found = sidecar.read(path)
        except (CorruptError, SchemaTooNewError) as error:
            # the caller reports it (see `InputsNamespace.rebuild`); what the log knows of it is not lost
            _log.error("%s", error)
            continue
        yield from found.events if found else ()


# ── input.stored ─────────────────────────────────────────────────────────────────────────────────────


def _stored(event: Event) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    entry, artifact, data = said["entry"], said["artifact"], said["data"]
    yield Row("entries", (entry["id"],), _entry(entry, data), stamp)
    yield Row("entries", (entry["id"],), _current(entry, artifact, data), stamp, group="current")
    yield Row("artifacts", (artifact["id"],), _artifact(entry, artifact, "current"), stamp)
    if said["superseded"]:
        former = said["superseded"]
        yield Row("artifacts", (former["id"],), _artifact(entry, former, "superseded"), stamp)
    yield Row("provenance", (str(event.id),), _provenance(event), stamp)
    yield Row("validation_reports", (str(event.id),), _report(event, said["validation"]), stamp)
    yield from _place(event)


def _entry(entry: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = entry["bbox"] or (None,) * 4
    start, end = _period(entry, data)
    named = ("variable", "source", "station_id", "crs", "frequency", "unit", "source_unit", "is_custom")
    return {name: entry[name] for name in named} | {
        "bbox_xmin": xmin,
        "bbox_ymin": ymin,
        "bbox_xmax": xmax,
        "bbox_ymax": ymax,
        "date_start": start,
        "date_end": end,
        "created_at": _moment(entry["created_at"]),
    }


def _period(entry: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return the period that was stated; where none was, the one that the data cover."""
    start, end = entry["period"] or (None, None)
    return _moment(start or data["date_start"]), _moment(end or data["date_end"])


def _current(entry: Mapping[str, Any], artifact: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    learned = {"n_records": data["n_records"], "columns": data["columns"]}
    return {
        "artifact_id": artifact["id"],
        "file_path": artifact["path"],
        "file_mtime": artifact["mtime"],
        "sha256": artifact["sha256"],
        "fetch_metadata": to_json({**(data["metadata"] or {}), **learned, "name": entry["name"]}),
        "state": "current",
    }


def _artifact(entry: Mapping[str, Any], artifact: Mapping[str, Any], state: str) -> dict[str, Any]:
    return {
        "entry_id": entry["id"],
        "variable": entry["variable"],
        "artifact_type": artifact["type"],
        "sha256": artifact["sha256"],
        "size_bytes": artifact["size"],
        "path": artifact["path"],
        "media_type": artifact["media_type"],
        "state": state,
        "created_at": _moment(artifact["created_at"]),
    }


def _provenance(event: Event) -> dict[str, Any]:
    entry, how = event.payload["entry"], event.payload["provenance"]
    named = ("uri", "etag", "last_modified", "license", "tool_name", "tool_version", "input_hash")
    return {name: how[name] for name in named} | {
        "artifact_id": event.payload["artifact"]["id"],
        "entry_id": entry["id"],
        "variable": entry["variable"],
        "source": entry["source"],
        "request": _json(how["request"]),
        "fetched_at": _moment(how["fetched_at"]),
        "parents": _json(how["parents"]),
        "parameters_json": _json(how["parameters"]),
        "recorded_at": _at(event),
    }


def _report(event: Event, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "artifact_id": (event.payload.get("artifact") or {}).get("id"),
        "entry_id": event.payload["entry"]["id"],
        "schema_name": report["schema_name"],
        "passed": report["passed"],
        "errors_json": to_json(report["errors"]),
        "validated_at": _at(event),
    }


def _place(event: Event) -> Iterator[Row]:
    """Yield what a stored version tells of its station and of what is covered."""
    entry, data, stamp = event.payload["entry"], event.payload["data"], event.stamp()
    first, last = _moment(data["date_start"]), _moment(data["date_end"])
    if entry["station_id"]:
        known = {"first_valid": first.date() if first else None, "last_valid": last.date() if last else None}
        yield Row("stations", (entry["source"], entry["station_id"], entry["variable"]), known, stamp)
    start, end = _period(entry, data)
    if start or end or entry["bbox"]:
        covered = {
            "variable": entry["variable"],
            "source": entry["source"],
            "station_id": entry["station_id"],
            "region_wkt": _polygon(entry["bbox"]),
            "period_start": start,
            "period_end": end,
            "n_stations": 1 if entry["station_id"] else None,
            "state": "held",
            "recorded_at": _at(event),
        }
        yield Row("coverage", (str(derived_id("hmp-cache coverage 1", entry["id"])),), covered, stamp)


def _polygon(bbox: list[float] | None) -> str | None:
    if not bbox:
        return None
    xmin, ymin, xmax, ymax = bbox
    corners = ((xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax), (xmin, ymin))
    return f"POLYGON (({', '.join(f'{x!r} {y!r}' for x, y in corners)}))"


# ── input.failed, input.rejected ─────────────────────────────────────────────────────────────────────


def _failed(event: Event) -> Iterator[Row]:
    failure = event.payload["failure"]
    named = ("variable", "source", "source_ref", "error_type", "message")
    told = {name: failure[name] for name in named}
    told |= {"request": _json(failure["request"]), "occurred_at": _at(event)}
    yield Row("failures", (str(event.id),), told, event.stamp())


def _rejected(event: Event) -> Iterator[Row]:
    yield from _failed(event)
    report = _report(event, event.payload["validation"])
    yield Row("validation_reports", (str(event.id),), report, event.stamp())


_MEANINGS: dict[str, Callable[[Event], Iterator[Row]]] = {
    "input.stored": _stored,
    "input.failed": _failed,
    "input.rejected": _rejected,
}


# ── plain values to columns ──────────────────────────────────────────────────────────────────────────


def _at(event: Event) -> datetime:
    return datetime.fromtimestamp(event.at / 1e6, UTC).replace(tzinfo=None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value)


FOLD = Fold(
    component="cache",
    migrations=Path(__file__).parent / "sql" / "migrations",
    tables=TABLES,
    rows=rows,
    files=files,
)
