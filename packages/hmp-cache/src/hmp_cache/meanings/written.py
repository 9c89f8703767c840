"""What the low-level inserters say: rows that somebody writes by hand, in the log and beside no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hmp_cache.meanings import values
from hmp_core.events import Event, Row
from hmp_core.events.record import to_json


def _artifact(event: Event) -> Iterator[Row]:
    said, stamp = event.payload["artifact"], event.stamp()
    named = ("entry_id", "variable", "artifact_type", "sha256", "size_bytes", "media_type")
    told = {name: said[name] for name in named} | {"created_at": values.at(event)}
    yield Row("artifacts", (said["id"],), told, stamp)
    place = {"state": "superseded", "path": said["path"]}  # current is what an entry points at
    yield Row("artifacts", (said["id"],), place, stamp, group="place")


def _provenance(event: Event) -> Iterator[Row]:
    said = event.payload["provenance"]
    named = ("artifact_id", "entry_id", "variable", "source", "uri", "etag", "last_modified", "license", "tool_name",
             "tool_version")  # fmt: skip
    told: dict[str, Any] = {name: said[name] for name in named}
    told |= {
        "input_hash": None,
        "request": values.json(said["request"]),
        "parents": values.json(said["parents"]),
        "parameters_json": values.json(said["parameters"]),
        "fetched_at": values.moment(said["fetched_at"]),
        "recorded_at": values.at(event),
    }
    yield Row("provenance", (str(event.id),), told, event.stamp())


def _report(event: Event) -> Iterator[Row]:
    said = event.payload["report"]
    told = {name: said[name] for name in ("artifact_id", "entry_id", "schema_name", "passed")}
    told |= {"errors_json": to_json(said["errors"]), "validated_at": values.at(event)}
    yield Row("validation_reports", (str(event.id),), told, event.stamp())


MEANINGS: dict[str, Callable[[Event], Iterator[Row]]] = {
    "artifact.written": _artifact,
    "provenance.written": _provenance,
    "report.written": _report,
}
