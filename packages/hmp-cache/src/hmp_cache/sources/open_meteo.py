"""Open-Meteo, the weather of the past everywhere: the archive of reanalyses (ERA5, ERA5-Land) from 1940.

Built after https://open-meteo.com/en/docs/historical-weather-api:

- A place is a latitude and a longitude: the nearest cell answers. Dates are days in UTC (``timezone=GMT``).
- Daily values are sums or means of the 24 hours of a day and stand at its beginning. Hourly temperature, humidity, wind
  and soil moisture are those of the moment; hourly sums and radiation belong to the hour before it.
- The archive is some days behind: what it has not yet is null at the end, and is left out here, so that it is asked for
  again.
- Refusals (400, 429) come with ``{"error": true, "reason": ...}``, under load also with status 200.
- A year a question: the service counts a long one as many, and refuses what is too much at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hmp_cache.sources.answers import Row, as_documented, moment, number, table, unlike
from hmp_cache.sources.offers import chosen
from hmp_cache.sources.protocol import Asset, Destination, Offer, Request, Station
from hmp_core.errors import InvalidInput

_EARLIEST = datetime(1940, 1, 1)
_LICENSE = "https://creativecommons.org/licenses/by/4.0/"
_DAY = 86_400.0


class _Kind(NamedTuple):
    """What is offered, what the service calls it and in which unit it answers, and what one of those is in ours."""

    offer: Offer
    called: str
    unit: str
    factor: float = 1.0


def _kind(what: str, called: str, unit: str, factor: float = 1.0) -> _Kind:
    variable, ours, frequency, description = what.split(", ")
    offer = Offer(variable, ours, frequency, description, None, (-180, -90, 180, 90), (_EARLIEST, None), _LICENSE)
    return _Kind(offer, called, unit, factor)


_KINDS = (
    _kind("precipitation, mm d-1, 1D, sum of rain and snow", "precipitation_sum", "mm"),
    _kind("precipitation, mm h-1, 1h, sum of the hour before", "precipitation", "mm"),
    _kind("air_temperature, degC, 1D, mean at 2 m", "temperature_2m_mean", "°C"),
    _kind("air_temperature, degC, 1h, at 2 m", "temperature_2m", "°C"),
    _kind("air_temperature_min, degC, 1D, least at 2 m", "temperature_2m_min", "°C"),
    _kind("air_temperature_max, degC, 1D, greatest at 2 m", "temperature_2m_max", "°C"),
    _kind("evapotranspiration, mm d-1, 1D, reference (FAO-56)", "et0_fao_evapotranspiration", "mm"),
    _kind("evapotranspiration, mm h-1, 1h, reference (FAO-56)", "et0_fao_evapotranspiration", "mm"),
    _kind("radiation, W m-2, 1D, shortwave", "shortwave_radiation_sum", "MJ/m²", 1e6 / _DAY),
    _kind("radiation, W m-2, 1h, shortwave", "shortwave_radiation", "W/m²"),
    _kind("relative_humidity, %, 1h, at 2 m", "relative_humidity_2m", "%"),
    _kind("wind_speed, m s-1, 1h, at 10 m", "wind_speed_10m", "m/s"),
    _kind("soil_moisture, 1, 1h, of the upper 7 cm", "soil_moisture_0_to_7cm", "m³/m³"),
)


class OpenMeteo:
    """Open-Meteo: past weather everywhere, from reanalyses (https://open-meteo.com).

    Parameters
    ----------
    url
        Where the service is.
    api_key
        Of customers; ``api_key_env`` in the settings names the variable it is in.
    """

    name = "open-meteo"

    def __init__(self, *, url: str = "https://archive-api.open-meteo.com/v1", api_key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._key = api_key

    def coverage(self) -> Sequence[Offer]:
        """See `hmp_cache.sources.Source`."""
        return [kind.offer for kind in _KINDS]

    def plan(self, request: Request) -> Sequence[Asset]:
        """See `hmp_cache.sources.Source`: a piece for each year; of an extent, its centre."""
        offer = chosen(self.name, self.coverage(), request)
        kind = next(kind for kind in _KINDS if kind.offer == offer)
        lat, lon = _place(request)
        resolution = "hourly" if offer.frequency == "1h" else "daily"
        units = {"timezone": "GMT", "wind_speed_unit": "ms"}
        said = {"variable": offer.variable, "frequency": offer.frequency, "station": request.station}
        assets = []
        for first, last in _years(request):
            days = {"start_date": f"{first:%Y-%m-%d}", "end_date": f"{last:%Y-%m-%d}"}
            query = {"latitude": repr(lat), "longitude": repr(lon), **days, resolution: kind.called, **units}
            uri = f"{self._url}/archive?{urlencode(query)}"
            assets.append(Asset(uri, f"{lat:.4f}_{lon:.4f}_{first:%Y}.csv", (first, last), {**said, "query": query}))
        return assets

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """See `hmp_cache.sources.Source`."""
        said = asset.parameters
        kind = next(k for k in _KINDS if (k.offer.variable, k.offer.frequency) == (said["variable"], said["frequency"]))
        answer = destination.json(f"{self._url}/archive", {**said["query"], "apikey": self._key})
        with as_documented(asset.uri):
            if answer.get("error"):
                raise unlike(asset.uri, f"it refuses: {answer.get('reason')}")
            resolution = "hourly" if said["frequency"] == "1h" else "daily"
            unit = answer[f"{resolution}_units"][kind.called]
            if unit != kind.unit:
                raise unlike(asset.uri, f"{kind.called} comes in {unit!r}, expected {kind.unit!r}")
            cell = _station(answer, said)
            rows = table(_rows(answer[resolution], kind))
        if said["station"] is not None:
            destination.station(cell)
        destination.rows(rows)


def _place(request: Request) -> tuple[float, float]:
    """Return latitude and longitude: those that a station is called by, or the centre of an extent in degrees."""
    if request.station is not None and request.bbox is None:
        return _coordinates(request.station)
    if request.bbox is None or request.station is not None:
        message = "open-meteo needs a place: either station='48.11,-1.68' (latitude,longitude) or an extent in degrees"
        raise InvalidInput(message)
    if request.crs not in {None, "EPSG:4326", "OGC:CRS84"}:
        message = f"open-meteo takes an extent in degrees (EPSG:4326), not in {request.crs}"
        raise InvalidInput(message)
    west, south, east, north = request.bbox
    return _in_range((south + north) / 2, (west + east) / 2, request.bbox)


def _coordinates(station: str) -> tuple[float, float]:
    try:
        lat, lon = (float(part) for part in station.split(","))
    except ValueError:
        message = f"station {station!r}: open-meteo expects 'latitude,longitude' in degrees, as '48.11,-1.68'"
        raise InvalidInput(message) from None
    return _in_range(lat, lon, station)


def _in_range(lat: float, lon: float, said: object) -> tuple[float, float]:
    if abs(lat) <= 90 and abs(lon) <= 180:
        return lat, lon
    message = f"{said!r} is no place on earth: latitude {lat}, longitude {lon}, expected degrees"
    raise InvalidInput(message)


def _years(request: Request) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of the period that lie in one year each, none before 1940 and none after today (400)."""
    now = datetime.now(UTC).replace(tzinfo=None)
    start, end = request.period or (None, None)
    first, last = max(start or _EARLIEST, _EARLIEST), min(end or now, now)
    while first <= last:
        following = datetime(first.year + 1, 1, 1)
        yield first, min(last, following - timedelta(seconds=1))
        first = following


def _station(answer: Mapping[str, Any], said: Mapping[str, Any]) -> Station:
    """Return the cell that answered; its place is not quite the one that was asked for."""
    lat, lon, z = (number(answer.get(key)) for key in ("latitude", "longitude", "elevation"))
    return Station("open-meteo", said["station"], said["variable"], None, lat, lon, z)


def _rows(found: Mapping[str, Any], kind: _Kind) -> list[Row]:
    rows = []
    for time, value in zip(found["time"], found[kind.called], strict=True):
        known = number(value)
        rows.append(Row(moment(time), None if known is None else known * kind.factor))
    while rows and rows[-1].value is None:
        rows.pop()
    return rows
