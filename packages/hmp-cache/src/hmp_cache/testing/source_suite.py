"""The judge of sources: what `Source` promises, asked of a real one over HTTP.

Subclass it, supply the source (with the ``url`` of a server of your own that answers as the service does) and a request
that it answers with rows::

    class TestMySource(SourceSuite):
        @pytest.fixture
        def source(self) -> Source:
            return MySource(url="http://127.0.0.1:8000")

        @pytest.fixture
        def answered(self) -> Request:
            return Request("discharge", station="2135", period=(datetime(2020, 1, 1), datetime(2020, 1, 31)))
"""

# ruff: noqa: D102 - a claim is the name of its test

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from hmp_cache import http
from hmp_cache.errors import DownloadFailed
from hmp_cache.labels import Label, checked_bbox, checked_parameters, checked_period
from hmp_cache.retries import Retry
from hmp_cache.sources import Asset, Offer, Request, Source
from hmp_cache.sources.arriving import Arriving
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache.http import Answer

#: Rows may lie so far outside of what was asked for: a day is a day in somebody's own time.
_AROUND = timedelta(days=1)


def arriving(retry: Retry | None = None, failed: Callable[[http.Failure], None] | None = None) -> Arriving:
    """Return a destination in memory that asks over HTTP as the cache does.

    Parameters
    ----------
    retry
        How often and how patiently to try; by default once.
    failed
        Told of each attempt that failed.
    """

    policy, tell = retry or Retry(attempts=1), failed or (lambda _: None)

    def ask(uri: str, body: BytesIO, *, also: Collection[int] = ()) -> Answer:
        def take(block: bytes) -> None:
            body.write(block)

        def restart() -> None:
            body.seek(0)
            body.truncate()

        return http.download(uri, take, restart, retry=policy, also=also, failed=tell)

    return Arriving(ask)


class SourceSuite:
    """Asks a source for everything that the protocol promises."""

    @pytest.fixture
    def source(self) -> Source:
        """Return the source that is judged."""
        message = "give the suite a fixture `source`"
        raise pytest.UsageError(message)

    @pytest.fixture
    def answered(self) -> Request:
        """Return a request, with a period, that the service answers with rows."""
        message = "give the suite a fixture `answered`: a request that the service answers with rows"
        raise pytest.UsageError(message)

    @pytest.fixture
    def empty(self, answered: Request) -> Request:
        """Return a request that the service answers with nothing; by default the same long before there was any."""
        return replace(answered, period=(datetime(1700, 1, 1), datetime(1700, 12, 31)))

    @pytest.fixture
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refuse every connection."""

        def refuse(*_: object) -> NoReturn:
            message = "coverage() and plan() ask nobody"
            raise AssertionError(message)

        monkeypatch.setattr(socket.socket, "connect", refuse)

    # ── what it says of itself ───────────────────────────────────────────────────────────────────────

    def test_keeps_the_protocol(self, source: Source) -> None:
        assert isinstance(source, Source)
        Label(variable="discharge", source=source.name)  # it is the name of a folder

    def test_says_what_it_is(self, source: Source) -> None:
        assert (type(source).__doc__ or "").strip()

    @pytest.mark.usefixtures("offline")
    def test_offers_are_as_they_should_be(self, source: Source) -> None:
        for offer in source.coverage():
            assert isinstance(offer, Offer)
            Label(offer.variable, source.name, unit=offer.unit, frequency=offer.frequency, license=offer.license)
            assert checked_bbox(offer.bbox) == (tuple(map(float, offer.bbox)) if offer.bbox else None)
            assert checked_period(offer.period) == offer.period
            assert offer.country is None or (len(offer.country) == 2 and offer.country.isupper())

    def test_offers_can_be_told_apart(self, source: Source) -> None:
        keys = [(offer.variable, offer.frequency, offer.country) for offer in source.coverage()]
        assert len(set(keys)) == len(keys)

    # ── planning ─────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.usefixtures("offline")
    def test_plans_pieces_without_asking(self, source: Source, answered: Request) -> None:
        assets = source.plan(answered)
        assert assets
        for asset in assets:
            assert isinstance(asset, Asset)
            assert "/" not in asset.file_name
            assert asset.file_name.strip(". ") == asset.file_name
            checked_parameters("parameters", dict(asset.parameters))
            assert http.public(asset.uri) == asset.uri, "an address that is planned is kept: it holds no key"
        assert list(source.plan(answered)) == list(assets)

    def test_pieces_say_which_part_of_the_period_they_are(self, source: Source, answered: Request) -> None:
        start, end = answered.period or (None, None)
        assets = source.plan(answered)
        parts = [asset.period for asset in assets if asset.period is not None]
        assert len(parts) == len(assets) or len(assets) == 1
        for first, last in parts:
            assert start is None or first is None or first >= start
            assert end is None or last is None or last <= end

    @pytest.mark.usefixtures("offline")
    @pytest.mark.parametrize(
        "wrong", [{"variable": "no-such-thing"}, {"frequency": "7.5 moons"}, {"unit": "furlong"}, {"station": None}]
    )
    def test_what_it_does_not_offer_is_refused(self, source: Source, answered: Request, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as caught:
            source.plan(replace(answered, bbox=None, **wrong))
        assert str(caught.value)

    def test_everything_there_is_can_be_asked_for(self, source: Source, answered: Request) -> None:
        assert source.plan(replace(answered, period=None))

    # ── fetching ─────────────────────────────────────────────────────────────────────────────────────

    def test_rows_are_times_and_numbers(self, source: Source, answered: Request) -> None:
        import pyarrow as pa

        found = _rows(source, answered)
        assert found.num_rows
        assert set(found.column_names) <= {"time", "value", "quality"}
        kind = found.schema.field("time").type
        assert pa.types.is_timestamp(kind)
        assert kind.tz is None, "times are UTC without a zone"
        number = found.schema.field("value").type
        assert pa.types.is_floating(number) or pa.types.is_integer(number)
        assert found.column("time").null_count == 0

    def test_rows_lie_in_the_period(self, source: Source, answered: Request) -> None:
        start, end = answered.period or (None, None)
        times = _rows(source, answered).column("time").to_pylist()
        assert start is None or min(times) >= start - _AROUND
        assert end is None or max(times) < end + 2 * _AROUND

    def test_the_same_comes_again(self, source: Source, answered: Request) -> None:
        assert _rows(source, answered).equals(_rows(source, answered))

    def test_nothing_is_an_answer(self, source: Source, empty: Request) -> None:
        for asset in source.plan(empty):
            destination = arriving()
            source.fetch(asset, destination)
            assert destination.tables, "call destination.rows() also with no rows"
            assert [table.num_rows for table in destination.tables] == [0] * len(destination.tables)

    def test_stations_are_its_own(self, source: Source, answered: Request) -> None:
        destination = arriving()
        for asset in source.plan(answered):
            source.fetch(asset, destination)
        for station in destination.stations:
            assert (station.source, station.variable) == (source.name, answered.variable)
            assert station.lat is None or abs(station.lat) <= 90
            assert station.lon is None or abs(station.lon) <= 180

    def test_several_threads_may_fetch(self, source: Source, answered: Request) -> None:
        with ThreadPoolExecutor(4) as pool:
            first, *others = pool.map(lambda _: _rows(source, answered), range(4))
        assert all(first.equals(other) for other in others)

    @pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'"closed"', b"<html>", b"time,value\n"])
    def test_what_is_no_answer_is_a_failed_download(self, source: Source, answered: Request, body: bytes) -> None:
        """Whatever comes in place of the answer, nothing but an error of hmp leaves the source."""
        asset = source.plan(answered)[0]
        with pytest.raises((DownloadFailed, InvalidInput)):
            source.fetch(asset, Arriving(_Says(body)))


@dataclass(frozen=True, slots=True)
class _Says:
    """A server that always says the same."""

    said: bytes

    def __call__(self, uri: str, body: BytesIO, *, also: Collection[int] = ()) -> Answer:
        body.write(self.said)
        return http.Answer(status=200, uri=uri, size=len(self.said))


def _rows(source: Source, request: Request) -> pa.Table:
    import pyarrow as pa

    destination = arriving()
    for asset in source.plan(request):
        source.fetch(asset, destination)
    return pa.concat_tables(destination.tables, promote_options="default").sort_by("time")
