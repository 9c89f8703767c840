"""What a source promises: what it offers, which pieces answer a request, and how one piece is fetched.

A source is a plug-in (entry point group ``hmp.sources``): a class whose instances are `Source`. It knows one publisher
and nothing of databases, files, retries or locks: those are the cache's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hmp_cache.labels import BBox, Period

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source has of one variable, as it says itself."""

    variable: str
    #: UDUNITS, as "m3 s-1": the unit in which `Source.fetch` delivers
    unit: str | None = None
    #: as "1D"
    frequency: str | None = None
    description: str = ""
    #: ISO 3166-1 alpha-2, as "FR"; None for the whole world
    country: str | None = None
    #: west, south, east, north in degrees (WGS 84)
    bbox: BBox | None = None
    #: first and last moment; the last is None where the record goes on
    period: Period | None = None
    #: under which terms it may be used
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a source: an input as a user describes it, checked."""

    variable: str
    station: str | None = None
    bbox: BBox | None = None
    crs: str | None = None
    #: first and last moment, UTC without a zone; both included. None: everything there is
    period: Period | None = None
    frequency: str | None = None
    unit: str | None = None
    #: what only this source understands
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asset:
    """One piece of the answer: fetched at once, and again if it fails."""

    uri: str
    #: what a file of it would be called, as "K0030020.csv"
    file_name: str
    #: which part of the request it answers; None: all of it
    period: Period | None = None
    #: whatever the source needs to fetch it
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Station:
    """A place where something is measured."""

    source: str
    station_id: str
    variable: str
    name: str | None = None
    #: degrees (WGS 84)
    lat: float | None = None
    lon: float | None = None
    #: metres
    z: float | None = None


class Destination(Protocol):
    """Where a source puts what it fetches. Asking a server through it is retried, limited per host and on record."""

    def json(self, uri: str, parameters: Mapping[str, Any] | None = None, *, also: Collection[int] = ()) -> Any:
        """Return the JSON that lies under a URI; None where the service says that there is nothing.

        Parameters
        ----------
        uri
            ``http://`` or ``https://``.
        parameters
            What is asked for; a list becomes a parameter several times, None none.
        also
            Statuses that are an answer of this service, beside 200: 206 where it stands for a page of many, any other
            (204, 404) where it says that there is nothing.

        Raises
        ------
        DownloadFailed
            If no attempt brought complete JSON.
        """

    def text(self, uri: str, parameters: Mapping[str, Any] | None = None, *, also: Collection[int] = ()) -> str:
        """Return the text that lies under a URI, empty where there is nothing; see `json`."""

    def rows(self, table: pa.Table) -> None:
        """Add rows of a series: ``time`` (timestamps, UTC without a zone), ``value`` (numbers), perhaps ``quality``.

        In any order; a moment that comes twice counts as it came last. What is missing is null, in a unit as the source
        offers it. No rows are an answer too: nothing is there.
        """

    def download(self, uri: str) -> None:
        """Take the bytes that lie under a URI, as they are, as the file that the asset is."""

    def station(self, station: Station) -> None:
        """Note what is known of a station."""


@runtime_checkable
class Source(Protocol):
    """One publisher of data. The first sentence of the class's docstring says which, in `hmp data sources`.

    Note for implementers: instances are made without arguments, or with the settings of ``[sources.<name>]`` in
    ``workspace.toml`` as keyword arguments (by custom ``url``, where the service is, and ``api_key``). They may be used
    by several threads at once. Raise `hmp_core.errors.InvalidInput` for a request that cannot be answered, and let the
    errors of the destination through. That nothing is there is remembered for 30 days, and for one day of a window that
    reaches into the last month; attributes ``absent_for`` and ``absent_lately_for`` (timedelta) say otherwise.
    """

    @property
    def name(self) -> str:
        """What it is called: its entry point's name, and the folder of its files."""

    def coverage(self) -> Sequence[Offer]:
        """Return what there is, without asking anybody."""

    def plan(self, request: Request) -> Sequence[Asset]:
        """Return the pieces that answer a request, without asking anybody; none where there can be nothing.

        Raises
        ------
        InvalidInput
            If it cannot be answered; the message says what is lacking.
        """

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """Fetch one piece: call ``destination.rows`` or ``destination.download``.

        Raises
        ------
        InvalidInput
            If the service does not know the station.
        DownloadFailed
            If it cannot be had.
        """
