"""A destination in memory: what a source delivers of one asset, with the addresses it was had from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from hmp_cache.errors import DownloadFailed
from hmp_cache.sources.protocol import Station
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache.http import Answer


class Asking(Protocol):
    """How a URI is asked for: bytes go to ``body``, and what the server said comes back."""

    def __call__(self, uri: str, body: BytesIO, *, also: Collection[int] = ()) -> Answer:
        """Return what the server said, ``body`` being complete; ``also``: see `hmp_cache.http.download`."""


@dataclass(slots=True)
class Arriving:
    """What came of one asset; see `hmp_cache.sources.Destination`."""

    ask: Asking
    tables: list[pa.Table] = field(default_factory=list)
    stations: list[Station] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    #: the URI whose bytes are the asset
    file_uri: str | None = None

    def json(self, uri: str, parameters: Mapping[str, Any] | None = None, *, also: Collection[int] = ()) -> Any:
        """See `Destination.json`."""
        body = self._body(uri, parameters, also)
        if not body:
            return None
        try:
            found = json.loads(body)
        except ValueError as error:
            raise self._unlike(body, str(error)) from error
        if found is None:
            raise self._unlike(body, "that is no answer")
        return found

    def text(self, uri: str, parameters: Mapping[str, Any] | None = None, *, also: Collection[int] = ()) -> str:
        """See `Destination.text`."""
        return self._body(uri, parameters, also).decode(errors="replace")

    def rows(self, table: pa.Table) -> None:
        """See `Destination.rows`."""
        import pyarrow as pa

        if not isinstance(table, pa.Table):
            message = f"rows() was given {type(table).__name__}, expected a pyarrow.Table of time and value"
            raise InvalidInput(message)
        self.tables.append(table)

    def download(self, uri: str) -> None:
        """See `Destination.download`."""
        self.file_uri = uri

    def station(self, station: Station) -> None:
        """See `Destination.station`."""
        if not isinstance(station, Station):
            message = f"station() was given {station!r}, expected hmp_cache.sources.Station"
            raise InvalidInput(message)
        self.stations.append(station)

    def _unlike(self, body: bytes, why: str) -> DownloadFailed:
        where = self.answers[-1].uri
        message = f"{where}: expected JSON, got {body[:40]!r}: {why}"
        return DownloadFailed(message, uri=where, reason="content", status=self.answers[-1].status, attempts=1)

    def _body(self, uri: str, parameters: Mapping[str, Any] | None, also: Collection[int]) -> bytes:
        asked = {key: value for key, value in (parameters or {}).items() if value is not None}
        whole = f"{uri}{'&' if '?' in uri else '?'}{urlencode(asked, doseq=True)}" if asked else uri
        body = BytesIO()
        self.answers.append(self.ask(whole, body, also=also))
        return body.getvalue()
