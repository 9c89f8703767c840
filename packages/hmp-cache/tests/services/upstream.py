"""A publisher of series on loopback, and the source that knows it.

The server has rows by station and answers ``/rows?station=...&start=...&end=...`` with those of the period, both ends
included, as JSON; it remembers every question. What it has may change, and it can be told to fail.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from hmp_cache.sources import Asset, Destination, Offer, Request, Station

Row = tuple[float | None, str | None]


def day(text: str) -> datetime:
    """Return a moment."""
    return datetime.fromisoformat(text)


def days(first: str, last: str, value: float = 1.0) -> dict[datetime, Row]:
    """Return a row a day."""
    start, end = day(first), day(last)
    return {start + timedelta(days=n): (value, None) for n in range((end - start).days + 1)}


class Upstream:
    """The publisher. ``rows`` is what it has, ``asked`` the periods it was asked for, as (station, start, end)."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[datetime, Row]] = {}
        self.asked: list[tuple[str, str, str]] = []
        #: statuses for the next answers; 200 lets one through
        self.statuses: list[int] = []
        self.files: dict[str, bytes] = {}
        #: seconds until it answers
        self.delay = 0.0
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> tuple[int, bytes]:
        parts = urlsplit(path)
        status = self.statuses.pop(0) if self.statuses else 200
        if parts.path in self.files:
            self.asked.append((parts.path, "", ""))
            return status, self.files[parts.path]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        station, start, end = query["station"], query.get("start", ""), query.get("end", "")
        self.asked.append((station, start, end))
        found = [
            [moment.isoformat(), value, quality]
            for moment, (value, quality) in sorted(self.rows.get(station, {}).items())
            if (not start or day(start) <= moment) and (not end or moment <= day(end))
        ]
        return status, json.dumps({"rows": found}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = upstream._answer(self.path)
                time.sleep(upstream.delay)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class Rivers:
    """Rivers on loopback."""

    name = "rivers"

    def __init__(self, url: str, *, frequency: str | None = "1D", years: bool = False) -> None:
        self._url = url
        self._frequency = frequency
        #: a piece a year
        self._years = years

    def coverage(self) -> Sequence[Offer]:
        return [Offer("discharge", "m3 s-1", self._frequency, license="https://example.org/terms")]

    def plan(self, request: Request) -> Sequence[Asset]:
        start, end = request.period or (None, None)
        return [self._asset(request, *part) for part in (_years(start, end) if self._years else [(start, end)])]

    def _asset(self, request: Request, start: datetime | None, end: datetime | None) -> Asset:
        asked = {"station": request.station, "start": _text(start), "end": _text(end)}
        return Asset(f"{self._url}/rows", "rows.json", (start, end), asked)

    def fetch(self, asset: Asset, destination: Destination) -> None:
        rows: list[list[Any]] = destination.json(asset.uri, asset.parameters)["rows"]
        destination.station(Station(self.name, asset.parameters["station"], "discharge", "Fulda", 51.3, 9.5, 141.0))
        times = pa.array([day(row[0]) for row in rows], pa.timestamp("us"))
        columns: dict[str, Any] = {"time": times, "value": pa.array([row[1] for row in rows], pa.float64())}
        if any(row[2] for row in rows):
            columns["quality"] = pa.array([row[2] for row in rows], pa.string())
        destination.rows(pa.table(columns))


def _years(start: datetime | None, end: datetime | None) -> Iterator[tuple[datetime, datetime]]:
    assert start is not None
    assert end is not None
    while start <= end:
        following = datetime(start.year + 1, 1, 1)
        yield start, min(end, following - timedelta(seconds=1))
        start = following


def _text(moment: datetime | None) -> str | None:
    return moment and moment.isoformat()


class Grids:
    """Grids on loopback: a file for each request."""

    name = "grids"

    def __init__(self, url: str) -> None:
        self._url = url

    def coverage(self) -> Sequence[Offer]:
        return [Offer("precipitation", "mm d-1", "1D")]

    def plan(self, request: Request) -> Sequence[Asset]:
        assert request.bbox is not None
        box = "_".join(f"{edge:g}" for edge in request.bbox)
        start, end = request.period or (None, None)
        return [Asset(f"{self._url}/{box}_{start:%Y%m%d}_{end:%Y%m%d}.json", "grid.json")]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        destination.download(asset.uri)
