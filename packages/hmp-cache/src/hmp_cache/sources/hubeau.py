"""Hub'Eau, the French water data: discharge and stage of rivers, groundwater levels.

Built after https://hubeau.eaufrance.fr/page/api-hydrometrie (version 2) and
https://hubeau.eaufrance.fr/page/api-piezometrie (version 1):

- A page that is not the last is answered with 206, and ``next`` leads on. 20,000 rows fit a page, and 20,000 are all
  that can be had of one question, except of ``observations_tr``: longer records are asked for in parts.
- Daily discharge is the mean over the day in UTC, in l/s; its time is the day's beginning. ``QmnJ`` was called ``QmJ``
  in version 1.
- Real-time discharge (l/s) and stage (mm above the gauge's zero, also negative) reach one month back.
- Groundwater levels are metres above sea level (NGF), depths metres below the mark at the well's head. ``chroniques``
  has a value a day, dated by the day in France; ``chroniques_tr`` has hourly raw values of a year or two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from hmp_cache.sources.answers import Row, as_documented, moment, number, table, unlike
from hmp_cache.sources.offers import chosen, one_station
from hmp_cache.sources.protocol import Asset, Destination, Offer, Request, Station
from hmp_core.errors import InvalidInput

_DEPTH = 20_000
#: So long a record has less than 20,000 values, if its frequency is as it should be.
_SPAN = {"1D": timedelta(days=50 * 365), "1h": timedelta(days=2 * 365)}
_EARLIEST = datetime(1900, 1, 1)
#: How far back real-time data may be asked for: a month, and February is one.
_MONTH = timedelta(days=28)
_FRANCE = (-63.2, -21.4, 55.9, 51.1)
_LICENSE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence/"
_SITE = re.compile(r"[A-Z0-9]\d{7}")
_GAUGE = re.compile(r"[A-Z0-9]\d{9}")
_WELL = re.compile(r"BSS\d{3}[A-Z]{4}|\d{5}[A-Z]\d{4}/[^,*\s]+")

_Window = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class _Operation:
    """What Hub'Eau calls what an operation is asked and answers."""

    path: str
    first: str
    last: str
    time: str
    quality: tuple[str, ...] = ()


_DAYS = _Operation(
    "v2/hydrometrie/obs_elab",
    *("date_debut_obs_elab", "date_fin_obs_elab", "date_obs_elab"),
    quality=("libelle_statut", "libelle_qualification"),
)
_NOW = _Operation(
    "v2/hydrometrie/observations_tr",
    *("date_debut_obs", "date_fin_obs", "date_obs"),
    quality=("libelle_statut", "libelle_qualification_obs"),
)
_WELLS = _Operation(
    "v1/niveaux_nappes/chroniques",
    *("date_debut_mesure", "date_fin_mesure", "date_mesure"),
    quality=("statut", "qualification"),
)
_WELLS_NOW = _Operation("v1/niveaux_nappes/chroniques_tr", "date_debut_mesure", "date_fin_mesure", "date_mesure")


@dataclass(frozen=True, slots=True)
class _Series:
    """One kind of series: what it is, which operation answers it, and how."""

    offer: Offer
    operation: _Operation
    value: str
    select: Mapping[str, str]
    #: how many of Hub'Eau's units make one of ours
    divisor: float = 1.0

    @property
    def of_rivers(self) -> bool:
        return "hydrometrie" in self.operation.path

    @property
    def fields(self) -> str:
        place = "code_station" if self.of_rivers else "code_bss"
        return ",".join((place, self.operation.time, self.value, *self.operation.quality))


def _offer(variable: str, unit: str, frequency: str, description: str) -> Offer:
    period = (_EARLIEST, None) if frequency == "1D" else None
    return Offer(variable, unit, frequency, description, "FR", _FRANCE, period, _LICENSE)


def _level(frequency: str, operation: _Operation, value: str, description: str) -> _Series:
    variable = "groundwater_depth" if value == "profondeur_nappe" else "groundwater_level"
    return _Series(_offer(variable, "m", frequency, description), operation, value, {"sort": "asc"})


_MEAN = _offer("discharge", "m3 s-1", "1D", "daily mean")
_FLOW = _offer("discharge", "m3 s-1", "real-time", "as measured, of the last month")
_STAGE = _offer("water_level", "m", "real-time", "stage above the gauge's zero, of the last month")

_SERIES = (
    _Series(_MEAN, _DAYS, "resultat_obs_elab", {"grandeur_hydro_elab": "QmnJ"}, 1000.0),
    _Series(_FLOW, _NOW, "resultat_obs", {"grandeur_hydro": "Q"}, 1000.0),
    _Series(_STAGE, _NOW, "resultat_obs", {"grandeur_hydro": "H"}, 1000.0),
    _level("1D", _WELLS, "niveau_nappe_eau", "above sea level (NGF)"),
    _level("1h", _WELLS_NOW, "niveau_eau_ngf", "above sea level (NGF), raw"),
    _level("1D", _WELLS, "profondeur_nappe", "below the mark at the well's head"),
    _level("1h", _WELLS_NOW, "profondeur_nappe", "below the mark at the well's head, raw"),
)


class HubEau:
    """Hub'Eau: rivers and groundwater of France (https://hubeau.eaufrance.fr).

    Parameters
    ----------
    url
        Where the service is.
    """

    name = "hubeau"
    #: many gauges send the values of an hour together
    absent_lately_for = timedelta(hours=1)

    def __init__(self, *, url: str = "https://hubeau.eaufrance.fr/api") -> None:
        self._url = url.rstrip("/")
        self._stations: dict[tuple[str, str], Station] = {}

    def coverage(self) -> Sequence[Offer]:
        """See `hmp_cache.sources.Source`."""
        return [series.offer for series in _SERIES]

    def plan(self, request: Request) -> Sequence[Asset]:
        """See `hmp_cache.sources.Source`: a record of more than 50 years in several pieces."""
        offer = chosen(self.name, self.coverage(), request)
        series = _series_of(offer.variable, offer.frequency)
        station = _checked(series, request)
        return [self._asset(series, station, window) for window in _windows(series, request.period or (None, None))]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """See `hmp_cache.sources.Source`."""
        said = asset.parameters
        series = _series_of(said["variable"], said["frequency"])
        destination.station(self._station(series, said["station"], destination))
        found = self._records(series, dict(said["query"]), destination)
        with as_documented(asset.uri):
            kept = _of_one_place(found, said["station"]) if series.of_rivers else found
            rows = table(_row(series, record) for record in kept)
        destination.rows(rows)

    def _asset(self, series: _Series, station: str, window: _Window) -> Asset:
        named = "code_entite" if series.of_rivers else _key(station)
        first, last = _dates(series, window)
        asked = {named: station, **series.select, series.operation.first: first, series.operation.last: last}
        query = {key: value for key, value in asked.items() if value} | {"fields": series.fields, "size": str(_DEPTH)}
        return Asset(
            uri=f"{self._url}/{series.operation.path}?{urlencode(query)}",
            file_name=f"{station.replace('/', '_')}.csv",
            period=None if window == (None, None) else window,
            parameters={
                "variable": series.offer.variable,
                "frequency": series.offer.frequency,
                "station": station,
                "query": query,
            },
        )

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────

    def _records(self, series: _Series, query: dict[str, str], destination: Destination) -> list[Mapping[str, Any]]:
        """Return all that one question is answered with: page by page, in halves where it is too much."""
        operation = series.operation
        uri = f"{self._url}/{operation.path}"
        answer = destination.json(uri, query, also=(206,))
        with as_documented(uri):
            count = int(answer["count"])
        too_much = count > _DEPTH and operation is not _NOW
        if too_much and (halves := _halves(query[operation.first], query[operation.last])):
            parts = [query | {operation.first: first, operation.last: last} for first, last in halves]
            return [record for part in parts for record in self._records(series, part, destination)]
        found = self._pages(uri, answer, destination)
        if len(found) < count:
            raise unlike(uri, f"{len(found)} rows came of {count} that were announced", reason="truncated")
        return found

    def _pages(self, uri: str, answer: Any, destination: Destination) -> list[Mapping[str, Any]]:
        found, seen = [], {uri}
        while True:
            with as_documented(uri):
                found += list(answer["data"])
                following = answer.get("next")
            if not following:
                return found
            following = self._here(following)
            if following in seen:
                raise unlike(uri, f"next leads back to {following}")
            seen.add(following)
            answer = destination.json(following, also=(206,))

    def _here(self, uri: str) -> str:
        """Return a link with our own scheme and host: behind the proxy the service takes itself for http."""
        ours = urlsplit(self._url)
        return urlunsplit(urlsplit(uri)._replace(scheme=ours.scheme, netloc=ours.netloc))

    # ── stations ─────────────────────────────────────────────────────────────────────────────────────

    def _station(self, series: _Series, station: str, destination: Destination) -> Station:
        key = (series.offer.variable, station)
        if key not in self._stations:
            self._stations[key] = self._asked(series, station, destination)
        return self._stations[key]

    def _asked(self, series: _Series, station: str, destination: Destination) -> Station:
        operation, named, names = _referential(series, station)
        uri = f"{self._url}/{operation}"
        answer = destination.json(uri, {named: station, "format": "json", "size": 1}, also=(206,))
        with as_documented(uri):
            found = list(answer["data"])
            if not found:
                message = f"{self.name} knows no station {station!r} ({uri})"
                raise InvalidInput(message)
            name, lat, lon, z = (found[0].get(key) for key in names)
            where = (number(lat), number(lon), _altitude(number(z)))
            return Station(self.name, station, series.offer.variable, name, *where)


def _series_of(variable: str, frequency: str | None) -> _Series:
    return next(s for s in _SERIES if (s.offer.variable, s.offer.frequency) == (variable, frequency))


def _key(well: str) -> str:
    return "bss_id" if well.startswith("BSS") else "code_bss"


def _referential(series: _Series, station: str) -> tuple[str, str, tuple[str, str, str, str]]:
    """Return which operation knows a station, by which name, and what it calls name, latitude, longitude, altitude."""
    if not series.of_rivers:
        return "v1/niveaux_nappes/stations", _key(station), ("libelle_pe", "y", "x", "altitude_station")
    kind, what = ("sites", "site") if _SITE.fullmatch(station) else ("stations", "station")
    names = (f"libelle_{what}", f"latitude_{what}", f"longitude_{what}", "altitude_ref_alti_station")
    return f"v2/hydrometrie/referentiel/{kind}", f"code_{what}", names


def _altitude(found: float | None) -> float | None:
    """Return an altitude in metres; that of some gauges is given in millimetres, which is none in France."""
    return found if found is not None and found < 4_810 else None


def _checked(series: _Series, request: Request) -> str:
    station = one_station("hubeau", request, "K003002010" if series.of_rivers else "BSS001VZGZ")
    if series.of_rivers and not (_SITE.fullmatch(station) or _GAUGE.fullmatch(station)):
        message = f"station {station!r}: expected the code of a gauge or a site, as 'K003002010' or 'K0030020'"
        raise InvalidInput(message)
    if not series.of_rivers and not _WELL.fullmatch(station):
        message = f"station {station!r}: expected a BSS identifier or code, as 'BSS001VZGZ' or '07548X0009/F'"
        raise InvalidInput(message)
    return station


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────


def _windows(series: _Series, asked: _Window) -> list[_Window]:
    """Return what to ask for one after the other; nothing where nothing can be."""
    start, end = asked
    now = datetime.now(UTC).replace(tzinfo=None)
    if series.operation is _NOW:
        # a beginning more than a month ago is refused (400); none means as early as can be
        reach = now - _MONTH
        past = end is not None and end < reach - timedelta(days=4)
        return [] if past else [(start if start is not None and start >= reach else None, end)]
    span = _SPAN[series.offer.frequency or "1D"]
    earliest = now - span if series.operation is _WELLS_NOW else _EARLIEST
    start, end = max(start or earliest, _EARLIEST), end or now
    windows: list[_Window] = []
    while start <= end:
        last = min(end, start + span)
        windows.append((start, last))
        start = datetime(last.year, last.month, last.day) + timedelta(days=1)
    return windows


def _dates(series: _Series, window: _Window) -> tuple[str | None, str | None]:
    """Return a window as the service takes it: moments for rivers in real time, days for everything else."""
    start, end = window
    if series.operation is _WELLS_NOW and end is not None:
        end += timedelta(days=1)  # whether the last day's hours count is not said
    form = "%Y-%m-%dT%H:%M:%SZ" if series.operation is _NOW else "%Y-%m-%d"
    return start.strftime(form) if start else None, end.strftime(form) if end else None


def _halves(first: str, last: str) -> list[tuple[str, str]]:
    """Return two windows for one, with a day in common; none where that would not be less."""
    start, end = moment(first), moment(last)
    middle = start + timedelta(days=(end - start).days // 2 + 1)
    return [(first, f"{middle:%Y-%m-%d}"), (f"{middle:%Y-%m-%d}", last)] if middle < end else []


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────


def _of_one_place(records: Sequence[Mapping[str, Any]], station: str) -> list[Mapping[str, Any]]:
    """Return the rows of what was asked for: a site is answered with those of its gauges too."""
    if not _SITE.fullmatch(station):
        return [record for record in records if record["code_station"] == station]
    own = [record for record in records if record["code_station"] is None]
    gauges = sorted({record["code_station"] for record in records if record["code_station"] is not None})
    if own or len(gauges) < 2:
        return own or list(records)
    message = f"{station} is a site with several gauges; ask for one of {', '.join(gauges)}"
    raise InvalidInput(message)


def _row(series: _Series, record: Mapping[str, Any]) -> Row:
    value = number(record[series.value])
    quality = "; ".join(str(record[key]) for key in series.operation.quality if record.get(key))
    ours = None if value is None else value / series.divisor
    return Row(moment(record[series.operation.time]), ours, quality or None)
