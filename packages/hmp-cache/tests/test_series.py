"""A series from a source: what is missing is asked for, what is held stays, what is not there is remembered."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from upstream import Rivers, Upstream, day, days

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_cache.errors import DownloadFailed, NothingThere, PartlyFetched, RetryLater, ValidationFailed
from hmp_cache.retries import Retry
from hmp_cache.sources import Asset, Offer
from hmp_core.errors import InvalidInput

ONCE = Retry(attempts=1)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    publisher = Upstream()
    yield publisher
    publisher.close()


@pytest.fixture
def rivers(upstream: Upstream) -> Rivers:
    return Rivers(upstream.address)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """A clock that the test moves."""
    now = [datetime(2026, 6, 15, 12)]
    monkeypatch.setattr("hmp_cache.obtaining._now", lambda: now[0])
    return now


def _fetch(data: InputsNamespace, source: Any, period: Any, **more: Any) -> hmp_cache.Entry:
    return data.fetch(variable="discharge", source=source, station="K1", period=period, **{"retry": ONCE, **more})


def _days(entry: hmp_cache.Entry) -> list[str]:
    return [line.partition(",")[0] for line in entry.path.read_text().splitlines()[1:]]


# ── only what is missing ─────────────────────────────────────────────────────────────────────────────


def test_exactly_the_two_gaps_are_asked_for(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    """Scenario 28: 2010 to 2020 with 2012 to 2018 held."""
    upstream.rows["K1"] = days("2010-01-01", "2020-12-31")
    _fetch(data, rivers, "2012-01-01/2018-12-31")
    upstream.asked.clear()
    entry = _fetch(data, rivers, "2010-01-01/2020-12-31")
    assert upstream.asked == [
        ("K1", "2010-01-01T00:00:00", "2011-12-31T23:59:59.999999"),
        ("K1", "2019-01-01T00:00:00", "2020-12-31T23:59:59.999999"),
    ]
    assert len(_days(entry)) == 4018
    assert entry.period == (day("2010-01-01"), day("2020-12-31"))


def test_the_second_time_nobody_is_asked(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-12-31")
    first = _fetch(data, rivers, "2010-01-01/2010-12-31")
    upstream.asked.clear()
    assert _fetch(data, rivers, "2010-03-01/2010-12-31T00:00") == first
    assert upstream.asked == []


def test_a_series_is_one_input_with_a_version_for_each_gap(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    one = _fetch(data, rivers, "2010-01-01/2010-01-05")
    two = _fetch(data, rivers, "2010-01-06/2010-01-10")
    assert [v.sha256 for v in data.versions(one.id)] == [two.sha256, one.sha256]
    assert len(data.find()) == 1
    assert two.name == "K1"
    assert (two.unit, two.source_unit, two.frequency) == ("m3 s-1", "m3 s-1", "1D")
    assert two.license == "https://example.org/terms"


def test_another_frequency_is_another_input_of_another_name(data: InputsNamespace, upstream: Upstream) -> None:
    class Both(Rivers):
        def coverage(self) -> Any:
            return [Offer("discharge", "m3 s-1", "1D"), Offer("discharge", "m3 s-1", "1h")]

    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    source = Both(upstream.address)
    found = [_fetch(data, source, "2010-01-01/2010-01-10", frequency=step) for step in (None, "1D", "1h")]
    assert [entry.name for entry in found] == ["K1", "K1", "K1_1h"]
    assert found[0].id == found[1].id != found[2].id


def test_in_parts_or_at_once_the_bytes_are_the_same(
    tmp_path: Path, data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    rows = days("2010-01-01", "2010-01-20", 0.1)
    for n in (3, 9, 10):
        rows[day(f"2010-01-{n:02}")] = (None, None)
    upstream.rows["K1"] = rows
    _fetch(data, rivers, "2010-01-11/2010-01-20")
    with pytest.raises(NothingThere):
        _fetch(data, rivers, "2010-01-09/2010-01-10")
    parts = _fetch(data, rivers, "2010-01-01/2010-01-15")
    with hmp_cache.open(tmp_path / "other", create=True) as other:
        assert _fetch(other, rivers, "2010-01-01/2010-01-20").sha256 == parts.sha256


def test_what_is_written_is_plain_csv(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = {
        day("2010-01-01"): (0.1, None), day("2010-01-02"): (None, 'ice, "thick"'), day("2010-01-03"): (-0.0, None),
    }  # fmt: skip
    entry = _fetch(data, rivers, "2010-01-01/2010-01-03")
    assert entry.path.read_text().splitlines() == [
        "time,discharge,quality", "2010-01-01,0.1,", '2010-01-02,,"ice, ""thick"""', "2010-01-03,0.0,",
    ]  # fmt: skip
    assert entry.read_table().column("discharge").to_pylist() == [0.1, None, 0.0]


def test_provenance_says_which_windows_and_which_answers(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    entry = _fetch(data, rivers, "2010-01-01/2010-01-10")
    (row,) = data.story(entry.id)["provenance"]
    assert '"windows":[["2010-01-01T00:00:00","2010-01-10T23:59:59.999999"]]' in row["request"].replace(" ", "")
    assert row["uri"] == f"{upstream.address}/rows"


# ── what the source does not have ────────────────────────────────────────────────────────────────────


def test_nothing_is_remembered_and_expires(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers, clock: list[datetime]
) -> None:
    for _ in range(2):
        with pytest.raises(NothingThere) as caught:
            _fetch(data, rivers, "2010-01-01/2010-12-31")
    assert len(upstream.asked) == 1
    assert caught.value.until == clock[0] + timedelta(days=30)
    assert data.find() == []
    clock[0] += timedelta(days=31)
    upstream.rows["K1"] = days("2010-01-01", "2010-12-31")
    assert len(_days(_fetch(data, rivers, "2010-01-01/2010-12-31"))) == 365


def test_the_empty_ends_of_a_record_are_remembered(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers, clock: list[datetime]
) -> None:
    upstream.rows["K1"] = days("2012-01-01", "2018-12-31")
    entry = _fetch(data, rivers, "2010-01-01/2020-12-31")
    assert _fetch(data, rivers, "2009-12-31/2021-01-01") == entry
    assert upstream.asked[1:] == [
        ("K1", "2009-12-31T00:00:00", "2009-12-31T23:59:59.999999"),
        ("K1", "2021-01-01T00:00:00", "2021-01-01T23:59:59.999999"),
    ]
    clock[0] += timedelta(days=31)
    upstream.asked.clear()
    _fetch(data, rivers, "2010-01-01/2020-12-31")
    assert [asked[1][:10] for asked in upstream.asked] == ["2010-01-01", "2019-01-01"]


def test_what_is_late_is_asked_for_the_next_day(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers, clock: list[datetime]
) -> None:
    upstream.rows["K1"] = days("2026-06-01", "2026-06-13")
    _fetch(data, rivers, "2026-06-01/2026-06-15")
    upstream.rows["K1"] = days("2026-06-01", "2026-06-15")
    assert len(_days(_fetch(data, rivers, "2026-06-01/2026-06-15"))) == 13
    clock[0] += timedelta(days=1, minutes=1)
    assert len(_days(_fetch(data, rivers, "2026-06-01/2026-06-15"))) == 15
    assert upstream.asked[1:] == [("K1", "2026-06-14T00:00:00", "2026-06-15T23:59:59.999999")]


def test_a_series_that_has_nothing_of_the_period_is_no_answer(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.rows["K1"] = days("2012-01-01", "2012-12-31")
    _fetch(data, rivers, "2012-01-01/2012-12-31")
    for _ in range(2):
        with pytest.raises(NothingThere, match="rivers has no discharge of K1 from 1950-01-01 to 1950-12-31"):
            _fetch(data, rivers, "1950-01-01/1950-12-31")
    assert len(upstream.asked) == 2


def test_a_source_says_how_long_nothing_is_remembered(data: InputsNamespace, upstream: Upstream) -> None:
    class Hasty(Rivers):
        absent_for = timedelta(0)

    for _ in range(2):
        with pytest.raises(NothingThere):
            _fetch(data, Hasty(upstream.address), "2010-01-01/2010-12-31")
    assert len(upstream.asked) == 2


@pytest.mark.parametrize("name", ["absent_for", "absent_lately_for"])
@pytest.mark.parametrize("said", [30, None, timedelta(days=-1), timedelta.max], ids=["number", "none", "past", "ever"])
def test_what_is_no_time_to_remember_is_held_to_the_source(
    data: InputsNamespace, upstream: Upstream, name: str, said: Any
) -> None:
    odd = type("Odd", (Rivers,), {name: said})
    with pytest.raises(InvalidInput, match=f"{name} of source 'rivers' is"):
        _fetch(data, odd(upstream.address), "2010-01-01/2010-12-31")
    assert upstream.asked == []


def test_what_is_planned_as_nothing_is_not_remembered(data: InputsNamespace, upstream: Upstream) -> None:
    class Young(Rivers):
        def plan(self, request: Any) -> Any:
            return []

    with pytest.raises(NothingThere) as caught:
        _fetch(data, Young(upstream.address), "1810-01-01/1810-12-31")
    assert caught.value.until is None
    assert data.sql("SELECT count(*) AS n FROM coverage")["n"].to_pylist() == [0]


def test_of_two_gaps_the_one_that_is_not_planned_is_not_remembered(data: InputsNamespace, upstream: Upstream) -> None:
    class Young(Rivers):
        def plan(self, request: Any) -> Any:
            return [] if request.period[1] < day("2012-01-01") else super().plan(request)

    upstream.rows["K1"] = days("2010-01-01", "2013-12-31")
    _fetch(data, Young(upstream.address), "2012-01-01/2012-12-31")
    entry = _fetch(data, Young(upstream.address), "2010-01-01/2013-12-31")
    assert _days(entry)[0] == "2012-01-01"
    assert data.sql("FROM coverage WHERE state = 'empty'").num_rows == 0
    assert len(_days(_fetch(data, Rivers(upstream.address), "2010-01-01/2013-12-31"))) == 1461


# ── asked again ──────────────────────────────────────────────────────────────────────────────────────


def test_refresh_takes_the_newer_answer(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    _fetch(data, rivers, "2010-01-01/2010-01-10")
    upstream.rows["K1"] |= days("2010-01-03", "2010-01-04", 7.0)
    for withdrawn in ("2010-01-06", "2010-01-08"):
        del upstream.rows["K1"][day(withdrawn)]
    entry = _fetch(data, rivers, "2010-01-02/2010-01-08", refresh=True)
    assert entry.read_table().column("discharge").to_pylist() == [1.0, 1.0, 7.0, 7.0, 1.0, 1.0, 1.0, 1.0]
    assert len(data.versions(entry.id)) == 2


def test_refresh_of_what_has_not_changed_is_confirmed(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    first = _fetch(data, rivers, "2010-01-01/2010-01-10")
    assert _fetch(data, rivers, "2010-01-01/2010-01-10", refresh=True) == first
    assert len(upstream.asked) == 2
    assert len(data.story(first.id)["provenance"]) == 2


def test_an_answer_without_rows_takes_nothing_away(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    """A service that has forgotten everything for a day must not empty the cache."""
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    first = _fetch(data, rivers, "2010-01-01/2010-01-10")
    upstream.rows.clear()
    assert _fetch(data, rivers, "2010-01-01/2010-01-10", refresh=True) == first
    assert _fetch(data, rivers, "2010-01-01/2010-01-10") == first
    assert data.sql("FROM coverage WHERE state = 'empty'").num_rows == 0


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_what_was_harmed_is_asked_for_again(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers, harm: str
) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    first = _fetch(data, rivers, "2010-01-01/2010-01-10")
    if harm == "gone":
        first.path.unlink()
    else:
        first.path.write_text("time,discharge\n2010-01-01,9\n")
    assert _fetch(data, rivers, "2010-01-01/2010-01-10").sha256 == first.sha256
    assert [e.state for e in data.check()] == ["current"]


def test_what_was_removed_comes_back(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    first = _fetch(data, rivers, "2010-01-01/2010-01-10")
    data.remove(first, apply=True)
    assert data.find() == []
    assert _fetch(data, rivers, "2010-01-01/2010-01-10").sha256 == first.sha256
    assert [entry.id for entry in data.find()] == [first.id]


def test_what_was_purged_is_asked_for_again(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    first = _fetch(data, rivers, "2010-01-01/2010-01-10")
    data.prune(older_than="0d", apply=True)
    said = {"variable": "discharge", "source": rivers, "station": "K1"}
    assert [str(gap[0])[:10] for gap in data.gaps(**said, period="2010-01-01/2010-01-10")] == ["2010-01-01"]
    assert _fetch(data, rivers, "2010-01-01/2010-01-10").sha256 == first.sha256
    assert [entry.state for entry in data.check()] == ["current"]


def test_custom_data_are_no_answer(data: InputsNamespace, upstream: Upstream, rivers: Rivers, write: Any) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-02")
    said = {"variable": "discharge", "station": "K1", "frequency": "1D", "unit": "m3 s-1"}
    data.add(write("q.csv", "time,discharge\n2010-01-01,5\n2010-01-02,5\n"), **said)
    assert _fetch(data, rivers, "2010-01-01/2010-01-02").read_table().column("discharge").to_pylist() == [1.0, 1.0]


def test_other_parameters_are_another_answer(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    _fetch(data, rivers, "2010-01-01/2010-01-10")
    entry = _fetch(data, rivers, "2010-01-05/2010-01-06", parameters={"raw": True})
    assert len(_days(entry)) == 2
    assert len(upstream.asked) == 2


def test_a_version_can_be_had_again(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    """What `restore` needs: the windows of a version give its bytes."""
    upstream.rows["K1"] = days("2010-01-01", "2010-01-20", 0.1)
    entry = _fetch(data, rivers, "2010-01-01/2010-01-05")
    entry = _fetch(data, rivers, "2010-01-11/2010-01-20")
    stored = [e for e in data.store.files.everything().events if e.kind == "input.stored"][-1]
    made = data._rooms.obtaining
    made._offering.sources._made["rivers"] = rivers
    from hmp_cache.fetching import How

    assert made.again(stored, How()) == entry.path.read_bytes()


# ── when it fails ────────────────────────────────────────────────────────────────────────────────────


def test_what_came_before_a_failure_is_kept_and_the_rest_is_named(data: InputsNamespace, upstream: Upstream) -> None:
    rivers = Rivers(upstream.address, years=True)
    upstream.rows["K1"] = days("2010-01-01", "2012-12-31")
    upstream.statuses = [200, 404]
    with pytest.raises(PartlyFetched) as caught:
        _fetch(data, rivers, "2010-01-01/2012-12-31")
    assert caught.value.missing == [(day("2011-01-01"), day("2012-12-31T23:59:59.999999"))]
    assert caught.value.entry == data.find()[0]
    assert len(_days(caught.value.entry)) == 365
    upstream.asked.clear()
    entry = _fetch(data, rivers, "2010-01-01/2012-12-31", retry_now=True)
    assert [asked[1][:10] for asked in upstream.asked] == ["2011-01-01", "2012-01-01"]
    assert len(_days(entry)) == 1096


def test_a_failure_is_on_record_with_its_input_and_waits(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.statuses = [404]
    with pytest.raises(DownloadFailed):
        _fetch(data, rivers, "2010-01-01/2010-12-31")
    (row,) = data.failures().to_pylist()
    assert (row["error_type"], row["status"], row["source"]) == ("http", 404, "rivers")
    with pytest.raises(RetryLater):
        _fetch(data, rivers, "2010-01-01/2010-12-31")
    assert len(upstream.asked) == 1
    upstream.rows["K1"] = days("2010-01-01", "2010-12-31")
    entry = _fetch(data, rivers, "2010-01-01/2010-12-31", retry_now=True)
    assert row["entry_id"] == str(entry.id)


def _raise(error: Exception) -> Any:
    raise error


class Mistaken:
    """A source whose verbs are told what to do."""

    name = "mistaken"

    def __init__(self, plan: Any = None, fetch: Any = None) -> None:
        self.plan = plan or (lambda request: [Asset("http://example.org/q?api_key=s3cret", "q.csv", request.period)])
        self.fetch = fetch or (lambda asset, destination: None)

    def coverage(self) -> Any:
        return [Offer("discharge", "m3 s-1", "1D")]


def test_a_source_that_fails_by_itself_is_named_on_record_and_waited_for(data: InputsNamespace) -> None:
    """Its service has changed, and it raises whatever comes of that: the others that are fetched with it go on."""
    error = KeyError("data of http://me:pa55word@example.org/q?api_key=s3cret")
    mistaken = Mistaken(fetch=lambda asset, destination: _raise(error))
    said = {"variable": "discharge", "period": ("2010-01-01", "2010-01-02"), "source": mistaken, "retry": ONCE}
    one, two = data.fetch_many([{"station": "K1"}, {"station": "K2"}], **said)
    for failed in (one, two):
        assert isinstance(failed.error, DownloadFailed)
        assert "source 'mistaken' failed in fetch(): KeyError" in str(failed.error)
    told = str(data.failures().to_pylist())
    assert "KeyError" in told
    assert "s3cret" not in told
    assert "pa55word" not in told
    with pytest.raises(RetryLater):
        data.fetch(**said, station="K1")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Mistaken(plan=lambda request: _raise(LookupError("x"))), DownloadFailed),
        (Mistaken(plan=lambda request: ["K1"]), InvalidInput),
        (Mistaken(plan=lambda request: [Asset("http://x/q", "q.csv", ("a", "b"))]), InvalidInput),
        (Mistaken(fetch=lambda asset, destination: destination.rows("12,13")), InvalidInput),
        (Mistaken(fetch=lambda asset, destination: destination.station("K1")), InvalidInput),
    ],
    ids=["plan fails", "no assets", "no period", "no table", "no station"],
)
def test_what_a_source_must_not_give_is_told(data: InputsNamespace, source: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        _fetch(data, source, "2010-01-01/2010-01-02")


def test_an_answer_of_nothing_ends_a_row_of_failures(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.statuses = [404]
    with pytest.raises(DownloadFailed):
        _fetch(data, rivers, "2010-01-01/2010-12-31")
    with pytest.raises(NothingThere):
        _fetch(data, rivers, "2010-01-01/2010-12-31", retry_now=True)
    upstream.rows["K1"] = days("2011-01-01", "2011-12-31")
    assert len(_days(_fetch(data, rivers, "2011-01-01/2011-12-31"))) == 365


def test_an_answer_that_is_not_what_it_should_be_is_on_record(data: InputsNamespace, upstream: Upstream) -> None:
    class Strange(Rivers):
        def fetch(self, asset: Any, destination: Any) -> None:
            destination.text(asset.uri, asset.parameters)
            message = "the answer is not as the service documents it"
            raise DownloadFailed(message, uri=asset.uri, reason="content", status=200, attempts=1)

    with pytest.raises(DownloadFailed):
        _fetch(data, Strange(upstream.address), "2010-01-01/2010-12-31")
    (row,) = data.failures().to_pylist()
    assert row["error_type"] == "content"
    assert row["next_retry"] is not None


def test_values_that_cannot_be_are_kept_aside(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10", -9999.0)
    with pytest.raises(ValidationFailed):
        _fetch(data, rivers, "2010-01-01/2010-01-10")
    assert data.find() == []
    assert data.sql("SELECT count(*) AS n FROM coverage")["n"].to_pylist() == [0]


def test_what_a_source_does_not_offer_is_refused(data: InputsNamespace, rivers: Rivers) -> None:
    with pytest.raises(InvalidInput, match="does not offer 'rain'"):
        data.fetch(variable="rain", source=rivers, station="K1")
    with pytest.raises(InvalidInput, match="expected the name of a source"):
        data.fetch(variable="rain", source=7, station="K1")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="needs an address"):
        data.fetch(variable="rain")


def test_a_series_is_held_to_a_hash_if_one_is_named(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-01-10")
    entry = _fetch(data, rivers, "2010-01-01/2010-01-10")
    assert _fetch(data, rivers, "2010-01-01/2010-01-10", sha256=f"sha256:{entry.sha256.upper()}") == entry
    with pytest.raises(InvalidInput, match="a series that grows has no hash"):
        _fetch(data, rivers, "2010-01-01/2010-01-10", sha256="0" * 64)


# ── times ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_as_an_end_means_all_of_it(data: InputsNamespace, upstream: Upstream) -> None:
    hours = {day("2010-01-01") + timedelta(hours=n): (1.0, None) for n in range(72)}
    upstream.rows["K1"] = hours
    entry = _fetch(data, Rivers(upstream.address, frequency="1h"), "2010-01-01/2010-01-02")
    assert entry.path.read_text().splitlines()[-1] == "2010-01-02T23:00Z,1.0"
    assert entry.period == (day("2010-01-01"), day("2010-01-02T23:00"))


def test_values_that_come_as_they_come(data: InputsNamespace, upstream: Upstream, clock: list[datetime]) -> None:
    """Of a series without a step the end is asked for again when it may have come; the holes between heal."""
    source = Rivers(upstream.address, frequency="real-time")
    upstream.rows["K1"] = {day("2026-06-15T10:00"): (1.0, None), day("2026-06-15T11:47:12.5"): (2.0, None)}
    _fetch(data, source, "2026-06-15/")
    upstream.rows["K1"] |= {day("2026-06-15T11:55"): (3.0, None), day("2026-06-15T12:30"): (4.0, None)}
    clock[0] += timedelta(hours=1)
    _fetch(data, source, "2026-06-15/")
    clock[0] += timedelta(days=2)
    entry = _fetch(data, source, "2026-06-15/")
    assert entry.path.read_text().splitlines()[1:] == [
        "2026-06-15T10:00:00.000Z,1.0", "2026-06-15T11:47:12.500Z,2.0",
        "2026-06-15T11:55:00.000Z,3.0", "2026-06-15T12:30:00.000Z,4.0",
    ]  # fmt: skip
    assert len(upstream.asked) == 3


def test_without_a_period_it_is_all_there_is(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("1951-01-01", "1952-12-31")
    assert len(_days(_fetch(data, rivers, None))) == 731
    assert _fetch(data, rivers, None).period == (day("1951-01-01"), day("1952-12-31"))
    assert len(upstream.asked) == 1


# ── several at once ──────────────────────────────────────────────────────────────────────────────────


def test_two_who_ask_at_once_ask_the_server_once(workspace: Path, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-12-31")
    hmp_cache.open(workspace, create=True).close()
    found: list[hmp_cache.Entry] = []

    def ask() -> None:
        with hmp_cache.open(workspace) as data:
            found.append(_fetch(data, rivers, "2010-01-01/2010-12-31"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(str, found))) == 1
    assert len(found) == 4
    assert len(upstream.asked) == 1


def test_parts_that_are_asked_for_at_once_come_together(
    data: InputsNamespace, upstream: Upstream, rivers: Rivers
) -> None:
    upstream.rows["K1"] = days("2001-01-01", "2008-12-31")
    periods = [{"period": f"{year}-01-01/{year + 1}-12-31"} for year in range(2001, 2008)]
    found = data.fetch_many(periods, variable="discharge", source=rivers, station="K1", at_once=4)
    assert [each.error for each in found] == [None] * 7
    entry = data.latest()
    assert len(_days(entry)) == 2922
    assert data.versions(entry)[0].sha256 == entry.sha256
    years = sorted(moment for station, start, end in upstream.asked for moment in (start[:4], end[:4]))
    assert (years[0], years[-1]) == ("2001", "2008")


def test_two_processes_that_ask_at_once_ask_the_server_once(workspace: Path, upstream: Upstream) -> None:
    upstream.rows["K1"] = days("2010-01-01", "2010-12-31")
    upstream.delay = 1.0
    hmp_cache.open(workspace, create=True).close()
    script = (
        f"import sys; sys.path.append({str(Path(__file__).with_name('services'))!r})\n"
        "import hmp_cache; from upstream import Rivers\n"
        f"with hmp_cache.open({str(workspace)!r}) as data:\n"
        f"    source = Rivers({upstream.address!r})\n"
        "    said = dict(variable='discharge', station='K1', period='2010-01-01/2010-12-31')\n"
        "    print(data.fetch(source=source, **said).sha256)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said[0] == said[1] != ""
    assert len(upstream.asked) == 1


# ── what else is learnt ──────────────────────────────────────────────────────────────────────────────


def test_stations_and_answers_are_on_record(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    upstream.rows["K1"] = days("2012-01-01", "2012-12-31")
    entry = _fetch(data, rivers, "2011-01-01/2012-12-31")
    (station,) = data.sql("SELECT name, lat, z, first_valid FROM stations").to_pylist()
    assert station == {"name": "Fulda", "lat": 51.3, "z": 141.0, "first_valid": day("2012-01-01").date()}
    rows = data.sql(
        "SELECT state, period_start, n_records FROM coverage WHERE n_records IS NOT NULL AND entry_id = $1 "
        "ORDER BY state, period_start", [str(entry.id)],
    ).to_pylist()  # fmt: skip
    assert [(row["state"], row["n_records"]) for row in rows] == [("empty", 0), ("held", 366), ("held", 366)]
