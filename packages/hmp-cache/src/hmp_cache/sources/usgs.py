"""USGS, daily values of the National Water Information System of the United States.

Built after https://waterservices.usgs.gov/docs/dv-service/daily-values-service-details (WaterML in JSON):

- Without dates the service gives the newest value only, so they are always given; a whole record is one question.
- A value is a statistic (mean, sum) of one day in the station's own time; its time here is that day at 0:00, with no
  zone: what was measured after midnight UTC belongs to the day on which it was measured.
- ``noDataValue`` (-999999) stands for what is missing, as under ice; its qualifiers say why and are kept.
- 404 is the answer where a station has no such data; an empty ``timeSeries`` is another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hmp_cache.sources.answers import Row, as_documented, moment, number, table
from hmp_cache.sources.offers import chosen, one_station
from hmp_cache.sources.protocol import Asset, Destination, Offer, Request, Station
from hmp_core.errors import InvalidInput

_FOOT = 0.3048
_INCH = 25.4
_NUMBER = re.compile(r"\d{8,15}")
_US = (-179.2, 13.2, 179.8, 71.4)
_EARLIEST = datetime(1851, 1, 1)
_LICENSE = "https://www.usgs.gov/information-policies-and-instructions/copyrights-and-credits"
_MEAN, _SUM = "00003", "00006"


def _offer(variable: str, unit: str, description: str) -> Offer:
    return Offer(variable, unit, "1D", description, "US", _US, (_EARLIEST, None), _LICENSE)


#: Variable -> what is offered, the service's code of the parameter and of the statistic, what one of its units is.
_KINDS: dict[str, tuple[Offer, str, str, float]] = {
    "discharge": (_offer("discharge", "m3 s-1", "daily mean"), "00060", _MEAN, _FOOT**3),
    "water_level": (_offer("water_level", "m", "daily mean above the gage's datum"), "00065", _MEAN, _FOOT),
    "groundwater_depth": (
        _offer("groundwater_depth", "m", "daily mean depth to water below land surface"), "72019", _MEAN, _FOOT,
    ),
    "precipitation": (_offer("precipitation", "mm d-1", "daily sum"), "00045", _SUM, _INCH),
}  # fmt: skip


class USGS:
    """USGS: daily values of rivers and wells of the United States (https://waterservices.usgs.gov).

    Parameters
    ----------
    url
        Where the service is.

    Notes
    -----
    Where a station has several sensors for the same thing, ``parameters={"method": "<id>"}`` says which.
    """

    name = "usgs"

    def __init__(self, *, url: str = "https://waterservices.usgs.gov/nwis") -> None:
        self._url = url.rstrip("/")

    def coverage(self) -> Sequence[Offer]:
        """See `hmp_cache.sources.Source`."""
        return [offer for offer, *_ in _KINDS.values()]

    def plan(self, request: Request) -> Sequence[Asset]:
        """See `hmp_cache.sources.Source`: one piece, however long."""
        offer = chosen(self.name, self.coverage(), request)
        station = one_station(self.name, request, "01646500")
        if not _NUMBER.fullmatch(station):
            message = f"station {station!r}: expected a site number of 8 to 15 digits, as '01646500'"
            raise InvalidInput(message)
        start, end = request.period or (None, None)
        first, last = max(start or _EARLIEST, _EARLIEST), end or datetime.now(UTC).replace(tzinfo=None)
        if first > last:
            return []
        _, code, statistic, _ = _KINDS[offer.variable]
        query = {
            "format": "json",
            "sites": station,
            "startDT": f"{first:%Y-%m-%d}",
            "endDT": f"{last:%Y-%m-%d}",
            "parameterCd": code,
            "statCd": statistic,
            "siteStatus": "all",
        }
        said = {
            "variable": offer.variable,
            "station": station,
            "query": query,
            "method": request.parameters.get("method"),
        }
        return [Asset(f"{self._url}/dv/?{urlencode(query)}", f"{station}.csv", (first, last), said)]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """See `hmp_cache.sources.Source`."""
        said = asset.parameters
        *_, factor = _KINDS[said["variable"]]
        answer = destination.json(f"{self._url}/dv/", said["query"], also=(404,))
        if answer is None:
            destination.rows(table([]))
            return
        with as_documented(asset.uri):
            series = answer["value"]["timeSeries"]
            stations = [_station(one["sourceInfo"], said["station"], said["variable"]) for one in series[:1]]
            blocks = [block for one in series for block in one["values"] if block["value"]]
            missing = number(series[0]["variable"]["noDataValue"]) if series else None
            values = _of_method(blocks, said["method"], said["station"])
            rows = table(_row(value, missing, factor) for value in values)
        for station in stations:
            destination.station(station)
        destination.rows(rows)


def _station(source: Mapping[str, Any], station: str, variable: str) -> Station:
    where = source["geoLocation"]["geogLocation"]
    return Station("usgs", station, variable, source["siteName"], number(where["latitude"]), number(where["longitude"]))


def _of_method(blocks: Sequence[Mapping[str, Any]], method: Any, station: str) -> Sequence[Mapping[str, Any]]:
    """Return the values of one sensor: of several, nobody but the user knows which is meant."""
    ids = {str(block["method"][0]["methodID"]): block for block in blocks}
    if method is not None:
        found = ids.get(str(method))
        return found["value"] if found else []
    if len(ids) <= 1:
        return [value for block in blocks for value in block["value"]]
    listed = "; ".join(
        f"{key} ({block['method'][0].get('methodDescription') or 'unnamed'})" for key, block in ids.items()
    )
    message = f"station {station} has several sensors; say which, as parameters={{'method': '...'}}: {listed}"
    raise InvalidInput(message)


def _row(value: Mapping[str, Any], missing: float | None, factor: float) -> Row:
    found = number(value["value"], missing=missing)
    quality = " ".join(value.get("qualifiers") or ())
    return Row(moment(value["dateTime"][:10]), None if found is None else found * factor, quality or None)
