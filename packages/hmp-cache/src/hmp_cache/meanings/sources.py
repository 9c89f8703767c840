"""What events about sources mean: what one offers, what it answered, what is known of its stations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hmp_cache.meanings import values
from hmp_cache.meanings.inputs import station, station_key
from hmp_core.events import Event, Row
from hmp_core.identity import derived_id


def _described(event: Event) -> Iterator[Row]:
    source = event.payload["source"]
    for offer in event.payload["offers"]:
        start, end = offer["period"] or (None, None)
        named = {name: offer[name] for name in ("variable", "country", "description", "unit", "frequency", "license")}
        told = named | values.box(offer["bbox"])
        told |= {"period_start": values.moment(start), "period_end": values.moment(end)}
        told |= {"source": source, "recorded_at": values.at(event)}
        yield Row("api_coverage", (_offer_id(source, offer),), told, event.stamp())


def _offer_id(source: str, offer: dict[str, Any]) -> str:
    named = (offer["variable"], offer["frequency"] or "", offer["country"] or "", offer["description"])
    return str(derived_id("hmp-cache offer 1", source, *named))


def _answered(event: Event) -> Iterator[Row]:
    said = event.payload
    start, end = said["period"] or (None, None)
    told = {name: said[name] for name in ("variable", "source", "station_id", "state", "n_records", "entry_id")}
    told |= {
        "region_wkt": values.polygon(said["bbox"]),
        "period_start": values.moment(start),
        "period_end": values.moment(end),
        "n_stations": 1 if said["station_id"] else None,
        "expires_at": values.moment(said["expires_at"]),
        "recorded_at": values.at(event),
    }
    yield Row("coverage", (str(event.id),), told, event.stamp())


def _station(event: Event) -> Iterator[Row]:
    said, stamp = event.payload, event.stamp()
    named = (said["source"], said["variable"], said["station_id"])
    yield from station(*named, stamp)
    known = {name: said[name] for name in ("name", "lat", "lon", "z")}
    yield Row("stations", (station_key(*named),), known, stamp, group="described")


MEANINGS: dict[str, Callable[[Event], Iterator[Row]]] = {
    "source.described": _described,
    "source.answered": _answered,
    "station.described": _station,
}
