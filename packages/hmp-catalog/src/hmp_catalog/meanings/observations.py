"""What events about observations mean: added, withdrawn; where a station is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog.plain import from_microseconds, moment, number
from hmp_core.events import Event, Row

#: A station of which nothing but its observations is known: any description wins over that.
_NEVER_WINS = "0"


def _added(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001 - the signature is the contract
    said, origin = event.payload, event.payload["input"] or {}
    values = {
        "station_id": said["station"],
        "variable_type": said["variable"],
        "unit": said["unit"],
        "path": said["path"],
        "sha256": said["sha256"],
        "size_bytes": said["size"],
        "n_rows": said["rows"],
        "first_time": moment(said["first"]),
        "last_time": moment(said["last"]),
        "source": said["source"],
        "entry_id": origin.get("entry_id"),
        "artifact_id": origin.get("artifact_id"),
        "source_path": origin.get("path"),
        "source_sha256": origin.get("sha256"),
        "license": origin.get("license"),
        "added_at": from_microseconds(event.at),
        "added_by": event.author,
    }
    yield Row("observations", (said["addition_id"],), values, event.stamp())
    yield Row("stations", (said["station"], said["variable"]), {}, _NEVER_WINS)


def _withdrawn(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    yield Row("observations", (event.payload["addition_id"],), None, event.stamp(2))


def _described(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    values = {
        "name": said["name"],
        "latitude": number(said["latitude"]),
        "longitude": number(said["longitude"]),
        "elevation": number(said["elevation"]),
        "source": said["source"],
        "active": said["active"],
        "metadata": None if said["metadata"] is None else json.dumps(said["metadata"], ensure_ascii=False),
    }
    yield Row("stations", (said["station"], said["variable"]), values, event.stamp())


MEANINGS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {
    "observations.added": _added,
    "observations.withdrawn": _withdrawn,
    "station.described": _described,
}
