"""The public water and weather services as their documentation describes them, on loopback, over small tables.

Parameters are honoured (stations, dates, page size, cursor) and what the real service refuses is refused in its words.
A parameter that the documentation does not know is refused too, which the real ones do not: a client that misspells one
would otherwise be answered with everything.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pyarrow as pa

from hmp_cache import http
from hmp_cache.http import Answer, Failure
from hmp_cache.retries import Retry
from hmp_cache.sources import Request, Source
from hmp_cache.sources.arriving import Arriving

HASTY = Retry(attempts=3, first=0.01, longest=0.02, stalled=5.0)


@dataclass(frozen=True)
class Said:
    """What a service answers."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: what Content-Length says, if it is not the truth
    announced: int | None = None

    @classmethod
    def json(cls, content: Any, status: int = 200, **headers: str) -> Said:
        return cls(json.dumps(content).encode(), status, {"Content-Type": "application/json;charset=UTF-8", **headers})


#: Makes another answer of the true one, once.
Fault = Callable[[Said], Said]


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Return the fault that another answer comes; underscores in headers are hyphens."""
    return lambda _: Said(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def cut(said: Said) -> Said:
    """Send half of the body, and close."""
    return replace(said, body=said.body[: len(said.body) // 2], announced=len(said.body))


class Service:
    """A server on loopback; a context manager."""

    def __init__(self) -> None:
        #: each is used up by one request
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __enter__(self) -> Any:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, query: dict[str, str]) -> Said:
        raise NotImplementedError

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
                service.asked.append((parts.path, query))
                said = service.answer(parts.path, query)
                if service.faults:
                    said = service.faults.pop(0)(said)
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(said.body) if said.announced is None else said.announced))
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler


# ── asking them as the cache does ────────────────────────────────────────────────────────────────────


class Arrived(Arriving):
    """What a source delivered, and every attempt that failed on the way."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        super().__init__(self._ask)

    def _ask(self, uri: str, body: BytesIO, *, also: Any = ()) -> Answer:
        def restart() -> None:
            body.seek(0)
            body.truncate()

        return http.download(uri, body.write, restart, retry=HASTY, also=also, failed=self.failures.append)

    @property
    def values(self) -> dict[str, float | None]:
        """Value by time, in ISO 8601; without seconds where they are 0, a day alone where it begins."""
        return {_short(row["time"]): row["value"] for row in self.listed}

    @property
    def listed(self) -> list[dict[str, Any]]:
        """Every row that came, by time."""
        whole = pa.concat_tables(self.tables, promote_options="default")
        return sorted(whole.to_pylist(), key=lambda row: row["time"])


def _short(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes").removesuffix("T00:00")


# ── Hub'Eau ──────────────────────────────────────────────────────────────────────────────────────────

GAUGE = {
    "code_site": "K0030020", "code_station": "K003002010", "libelle_station": "La Loire à Bas-en-Basset",
    "type_station": "STD", "longitude_station": 4.1096, "latitude_station": 45.3052,
    "altitude_ref_alti_station": 444.21, "code_systeme_alti_site": 3, "en_service": True,
}  # fmt: skip
SITE = {
    "code_site": "K0030020", "libelle_site": "La Loire à Bas-en-Basset", "longitude_site": 4.11, "latitude_site": 45.3,
}  # fmt: skip
WELL = {
    "code_bss": "07548X0009/F", "bss_id": "BSS001VZGZ", "libelle_pe": "Forage de Saint-Loubès",
    "x": -0.43, "y": 44.92, "altitude_station": 22.5, "profondeur_investigation": 80.0,
}  # fmt: skip

#: operation -> parameters beside those that all have
_HYDRO = {"code_entite", "fields", "bbox", "distance", "latitude", "longitude", "cursor"}
_PIEZO = {"code_bss", "bss_id", "date_debut_mesure", "date_fin_mesure", "fields", "page", "sort"}
_KNOWN = {
    "observations_tr": _HYDRO | {"date_debut_obs", "date_fin_obs", "grandeur_hydro", "sort", "timestep", "code_statut"},
    "obs_elab": _HYDRO
    | {"date_debut_obs_elab", "date_fin_obs_elab", "grandeur_hydro_elab", "date_debut_prod", "date_fin_prod"},
    "chroniques": _PIEZO,
    "chroniques_tr": _PIEZO,
    "referentiel/stations": {"code_station", "code_site", "libelle_station", "en_service", "page"},
    "referentiel/sites": {"code_site", "libelle_site", "page"},
    "stations": {"code_bss", "bss_id", "page", "date_recherche"},
}


class HubEau(Service):
    """https://hubeau.eaufrance.fr/api: hydrometry 2.0 and piezometry 1.4."""

    def __init__(self, *, page: int = 20_000) -> None:
        super().__init__()
        self.page = page
        #: rows of ``obs_elab``, ``observations_tr``, ``chroniques`` and ``chroniques_tr``
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in list(_KNOWN)[:4]}
        self.gauges, self.sites, self.wells = [GAUGE], [SITE], [WELL]
        #: in links; the real service, behind its proxy, says http
        self.scheme = "http"

    def daily(self, day: str, litres: float | None, *, station: str | None = "K003002010", **other: Any) -> None:
        self.tables["obs_elab"].append({
            "code_site": "K0030020", "code_station": station, "date_obs_elab": day, "resultat_obs_elab": litres,
            "date_prod": "2026-08-18T08:26:11Z", "code_statut": 16, "libelle_statut": "Donnée validée",
            "code_methode": 10, "libelle_methode": "Expertisée", "code_qualification": 20,
            "libelle_qualification": "Bonne", "longitude": 4.1096, "latitude": 45.3052, "grandeur_hydro_elab": "QmnJ",
        } | other)  # fmt: skip

    def now(self, moment: datetime, value: float, grandeur: str = "H") -> None:
        self.tables["observations_tr"].append({
            "code_site": "K0030020", "code_station": "K003002010", "grandeur_hydro": grandeur,
            "date_obs": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "resultat_obs": value, "code_methode_obs": 0,
            "libelle_methode_obs": "Mesurée", "code_qualification_obs": 16,
            "libelle_qualification_obs": "Non qualifiée", "code_statut": 4, "libelle_statut": "Brute",
        })  # fmt: skip

    def level(self, day: str, level: float | None, depth: float | None = None) -> None:
        self.tables["chroniques"].append({
            "code_bss": WELL["code_bss"], "bss_id": WELL["bss_id"], "date_mesure": day, "timestamp_mesure": 0,
            "niveau_nappe_eau": level, "profondeur_nappe": depth, "statut": "Donnée contrôlée niveau 2",
            "qualification": "Correcte", "mode_obtention": "Valeur mesurée", "code_continuite": "2",
        })  # fmt: skip

    def hourly(self, moment: datetime, level: float) -> None:
        self.tables["chroniques_tr"].append({
            "code_bss": WELL["code_bss"], "bss_id": WELL["bss_id"], "date_mesure": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "niveau_eau_ngf": level, "profondeur_nappe": 22.5 - level, "altitude_station": 22.5,
        })  # fmt: skip

    def answer(self, path: str, query: dict[str, str]) -> Said:
        operation = path.removeprefix("/v2/hydrometrie/").removeprefix("/v1/niveaux_nappes/")
        if operation not in _KNOWN or path == f"/{operation}":
            return Said(b"<html><title>404 Not Found</title>", 404, {"Content-Type": "text/html"})
        unknown = query.keys() - _KNOWN[operation] - {"format", "size", "pretty"}
        if unknown:
            return _invalid(f"unknown parameter {sorted(unknown)}")
        if int(query.get("size", 1000)) > 20_000:
            return _invalid("size must be less than or equal to 20000")
        begin = query.get("date_debut_obs")
        if begin and datetime.fromisoformat(begin) < datetime.now(UTC) - timedelta(days=31):
            return _invalid("date can't be < 1 month from now")
        found = [self._trimmed(row, query) for row in self._rows(operation, query)]
        return self._paged(
            path, query, found, cursors="cursor" in _KNOWN[operation], deep=operation == "observations_tr"
        )

    def _rows(self, operation: str, query: dict[str, str]) -> list[dict[str, Any]]:
        if operation == "referentiel/stations":
            return [row for row in self.gauges if row["code_station"] == query.get("code_station", row["code_station"])]
        if operation == "referentiel/sites":
            return [row for row in self.sites if row["code_site"] == query.get("code_site", row["code_site"])]
        if operation == "stations":
            return [row for row in self.wells if _of_well(row, query)]
        rows = self.tables[operation]
        if operation.startswith("chroniques"):
            first, last = query.get("date_debut_mesure", ""), query.get("date_fin_mesure", "9999")
            found = [row for row in rows if _of_well(row, query) and first <= row["date_mesure"][:10] <= last]
            return sorted(found, key=lambda row: row["date_mesure"], reverse=query.get("sort") == "desc")
        if operation == "obs_elab":
            kind, time, what = "grandeur_hydro_elab", "date_obs_elab", "obs_elab"
        else:
            kind, time, what = "grandeur_hydro", "date_obs", "obs"
        entity = query["code_entite"]
        first, last = query.get(f"date_debut_{what}", ""), query.get(f"date_fin_{what}", "9999")
        found = [
            row
            for row in rows
            if entity in {row["code_station"], row["code_site"]}
            and row[kind] == query.get(kind, row[kind])
            and first <= row[time] <= last
        ]
        return sorted(found, key=lambda row: row[time], reverse=operation == "observations_tr")

    def _trimmed(self, row: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        wanted = query.get("fields")
        return {key: row[key] for key in wanted.split(",")} if wanted else row

    def _paged(self, path: str, query: dict[str, str], rows: list[Any], *, cursors: bool, deep: bool) -> Said:
        size = min(int(query.get("size", 1000)), self.page)
        if cursors:
            begin = int(base64.b64decode(query["cursor"])) if query.get("cursor") else 0
            following = {"cursor": base64.b64encode(str(begin + size).encode()).decode()}
        else:
            page = int(query.get("page", 1))
            begin = (page - 1) * size
            following = {"page": str(page + 1)}
        reach = len(rows) if deep else min(len(rows), 20_000)
        more = begin + size < reach
        host = f"{self.scheme}://{urlsplit(self.address).netloc}"
        link = f"{host}{path}?{urlencode(query | following)}" if more else None
        answer = {
            "count": len(rows), "first": f"{host}{path}?{urlencode(query)}", "prev": None, "next": link,
            "api_version": "2.0.1", "data": rows[begin : begin + size],
        }  # fmt: skip
        return Said.json(answer, 206 if more else 200)


def _of_well(row: dict[str, Any], query: dict[str, str]) -> bool:
    return all(row[key] == query.get(key, row[key]) for key in ("code_bss", "bss_id"))


def _invalid(message: str) -> Said:
    return Said.json({"code": "ValidatorError", "message": message, "field_errors": []}, 400)


# ── USGS ─────────────────────────────────────────────────────────────────────────────────────────────


class USGS(Service):
    """https://waterservices.usgs.gov/nwis: daily values as WaterML in JSON."""

    def __init__(self) -> None:
        super().__init__()
        #: (parameter, statistic, method) -> day -> value and qualifiers
        self.series: dict[tuple[str, str, int], dict[str, tuple[str, list[str]]]] = {}
        #: whether nothing is answered with 404, else with an empty list
        self.says_404 = True

    def daily(
        self,
        day: str,
        value: str,
        *qualifiers: str,
        code: str = "00060",
        statistic: str = "00003",
        method: int = 120_344,
    ) -> None:
        self.series.setdefault((code, statistic, method), {})[day] = (value, list(qualifiers) or ["A"])

    def answer(self, path: str, query: dict[str, str]) -> Said:
        known = {"format", "sites", "startDT", "endDT", "parameterCd", "statCd", "siteStatus"}
        if path != "/dv/" or query.keys() - known or query.get("format") != "json":
            return Said(
                b"<html><head><title>Error 400 - Bad Request</title></head></html>", 400, {"Content-Type": "text/html"}
            )
        blocks = [
            (method, {day: v for day, v in days.items() if query["startDT"] <= day <= query["endDT"]})
            for (code, statistic, method), days in self.series.items()
            if code == query["parameterCd"] and statistic == query["statCd"] and query["sites"] == "01646500"
        ]
        if not any(days for _, days in blocks) and self.says_404:
            page = b"<html><head><title>Error 404 - Not Found</title></head><body>No sites/data found</body></html>"
            return Said(page, 404, {"Content-Type": "text/html;charset=UTF-8"})
        series = [self._series(query, blocks)] if any(days for _, days in blocks) else []
        whole = {"queryInfo": {"queryURL": "http://waterservices.usgs.gov/nwis/dv/"}, "timeSeries": series}
        return Said.json({
            "name": "ns1:timeSeriesResponseType", "declaredType": "org.cuahsi.waterml.TimeSeriesResponseType",
            "scope": "javax.xml.bind.JAXBElement$GlobalScope", "value": whole, "nil": False, "globalScope": True,
        })  # fmt: skip

    def _series(self, query: dict[str, str], blocks: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        code = query["parameterCd"]
        source = {
            "siteName": "POTOMAC RIVER NEAR WASH, DC LITTLE FALLS PUMP STA",
            "siteCode": [{"value": query["sites"], "network": "NWIS", "agencyCode": "USGS"}],
            "geoLocation": {
                "geogLocation": {"srs": "EPSG:4326", "latitude": 38.94977778, "longitude": -77.12763889},
                "localSiteXY": [],
            },
        }
        variable = {
            "variableCode": [{"value": code, "network": "NWIS", "vocabulary": "NWIS:UnitValues"}],
            "variableName": "Streamflow, ft&#179;/s",
            "unit": {"unitCode": "ft3/s"},
            "noDataValue": -999999.0,
        }
        values = [
            {
                "value": [
                    {"value": value, "qualifiers": flags, "dateTime": f"{day}T00:00:00.000"}
                    for day, (value, flags) in sorted(days.items())
                ],
                "qualifier": [],
                "method": [{"methodDescription": f"[sensor {method}]", "methodID": method}],
            }
            for method, days in blocks
        ]
        return {"sourceInfo": source, "variable": variable, "values": values, "name": f"USGS:{query['sites']}:{code}"}


# ── Open-Meteo ───────────────────────────────────────────────────────────────────────────────────────

_DAILY = {
    "precipitation_sum": "mm", "temperature_2m_mean": "°C", "temperature_2m_min": "°C", "temperature_2m_max": "°C",
    "et0_fao_evapotranspiration": "mm", "shortwave_radiation_sum": "MJ/m²",
}  # fmt: skip
_HOURLY = {
    "precipitation": "mm", "temperature_2m": "°C", "et0_fao_evapotranspiration": "mm", "shortwave_radiation": "W/m²",
    "relative_humidity_2m": "%", "wind_speed_10m": "m/s", "soil_moisture_0_to_7cm": "m³/m³",
}  # fmt: skip


class OpenMeteo(Service):
    """https://archive-api.open-meteo.com/v1: every value is the day of the year plus the hour as a fraction."""

    def __init__(self) -> None:
        super().__init__()
        #: from this day on the archive has nothing yet
        self.until = date.today() - timedelta(days=5)
        self.units = _DAILY | _HOURLY

    def answer(self, path: str, query: dict[str, str]) -> Said:
        known = {
            "latitude",
            "longitude",
            "start_date",
            "end_date",
            "daily",
            "hourly",
            "timezone",
            "wind_speed_unit",
            "apikey",
        }
        if path != "/archive" or query.keys() - known:
            return Said.json({"error": True, "reason": "Not Found"}, 404)
        lat, lon = float(query["latitude"]), float(query["longitude"])
        first, last = (date.fromisoformat(query[key]) for key in ("start_date", "end_date"))
        if abs(lat) > 90:
            return _refused(f"Latitude must be in range of -90 to 90°. Given: {lat}.")
        today = datetime.now(UTC).date()
        if first < date(1940, 1, 1) or last > today:
            return _refused(f"Parameter 'end_date' is out of allowed range from 1940-01-01 to {today}")
        resolution = "daily" if "daily" in query else "hourly"
        name = query[resolution]
        if name not in (_DAILY if resolution == "daily" else _HOURLY):
            return _refused(f"Data corrupted at path ''. Cannot initialize from invalid String value {name}.")
        steps = list(self._steps(first, last, hourly=resolution == "hourly"))
        form = "%Y-%m-%dT%H:%M" if resolution == "hourly" else "%Y-%m-%d"
        values = [None if t.date() >= self.until else t.timetuple().tm_yday + t.hour / 100 for t in steps]
        return Said.json({
            "latitude": round(lat, 1), "longitude": round(lon, 1), "generationtime_ms": 0.2, "utc_offset_seconds": 0,
            "timezone": query["timezone"], "timezone_abbreviation": "GMT", "elevation": 38.0,
            f"{resolution}_units": {"time": "iso8601", name: self.units[name]},
            resolution: {"time": [t.strftime(form) for t in steps], name: values},
        })  # fmt: skip

    def _steps(self, first: date, last: date, *, hourly: bool) -> Iterator[datetime]:
        moment = datetime(first.year, first.month, first.day)
        while moment.date() <= last:
            yield moment
            moment += timedelta(hours=1) if hourly else timedelta(days=1)


def _refused(reason: str) -> Said:
    return Said.json({"error": True, "reason": reason}, 400)


def fetched(source: Source, request: Request) -> Arrived:
    """Return what a source delivers for a request, over the transport of the cache."""
    arrived = Arrived()
    for asset in source.plan(request):
        source.fetch(asset, arrived)
    return arrived
