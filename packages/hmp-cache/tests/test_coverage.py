"""What is held, empty, missing and offered: gaps, the ledger, the stations, and how the command line shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from upstream import Rivers, Upstream, day, days

from hmp_cache import InputsNamespace
from hmp_cache.cli import group
from hmp_cache.errors import NothingThere
from hmp_cache.retries import Retry
from hmp_core.errors import UnknownFilter

ONCE = Retry(attempts=1)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    publisher = Upstream()
    publisher.rows["K1"] = days("2012-01-01", "2018-12-31")
    yield publisher
    publisher.close()


@pytest.fixture
def rivers(data: InputsNamespace, upstream: Upstream) -> Rivers:
    """The source, found by its name as an installed one is."""
    source = Rivers(upstream.address)
    data._rooms.offering.sources._made["rivers"] = source
    return source


def _fetch(data: InputsNamespace, source: Any, period: str, station: str = "K1") -> Any:
    return data.fetch(variable="discharge", source=source, station=station, period=period, retry=ONCE)


def _ledger(data: InputsNamespace, **filters: Any) -> list[tuple[Any, ...]]:
    rows = data.coverage(**filters).to_pylist()
    return [(row["state"], _short(row["start"]), _short(row["end"])) for row in rows if row["state"] != "offered"]


def _short(moment: datetime | None) -> str | None:
    return moment and moment.isoformat()[:10]


# ── gaps ─────────────────────────────────────────────────────────────────────────────────────────────


def test_gaps_are_what_a_fetch_would_ask_for(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    said = {"variable": "discharge", "source": "rivers", "station": "K1"}
    assert data.gaps(**said, period="2010-01-01/2020-12-31") == [(day("2010-01-01"), day("2020-12-31T23:59:59.999999"))]
    _fetch(data, rivers, "2012-01-01/2015-12-31")
    found = data.gaps(**said, period="2010-01-01/2020-12-31")
    upstream.asked.clear()
    _fetch(data, rivers, "2010-01-01/2020-12-31")
    assert [(day(start), day(end)) for _, start, end in upstream.asked] == found
    assert found[0] == (day("2010-01-01"), day("2011-12-31T23:59:59.999999"))
    assert data.gaps(**said, period="2010-01-01/2020-12-31") == []


def test_what_is_not_there_any_more_is_missing(data: InputsNamespace, rivers: Rivers) -> None:
    _fetch(data, rivers, "2012-01-01/2012-12-31").path.unlink()
    found = data.gaps(variable="discharge", source="rivers", station="K1", period="2012-01-01/2012-12-31")
    assert found == [(day("2012-01-01"), day("2012-12-31T23:59:59.999999"))]


def test_gaps_ask_nobody_and_write_nothing(data: InputsNamespace, upstream: Upstream, rivers: Rivers) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.workspace.rglob("*") if "events" in path.parts}
    data.gaps(variable="discharge", source=rivers, station="K1")
    assert upstream.asked == []
    assert {path: path.stat().st_mtime_ns for path in data.workspace.rglob("*") if "events" in path.parts} == before


# ── the ledger ───────────────────────────────────────────────────────────────────────────────────────


def test_the_ledger_has_what_is_held_empty_missing_and_offered(data: InputsNamespace, rivers: Rivers) -> None:
    _fetch(data, rivers, "2011-01-01/2014-12-31")
    assert _ledger(data) == [("held", "2012-01-01", "2014-12-31"), ("empty", "2011-01-01", "2011-12-31")]
    assert _ledger(data, period="2010-01-01/2016-12-31") == [
        ("held", "2012-01-01", "2014-12-31"),
        ("empty", "2011-01-01", "2011-12-31"),
        ("missing", "2010-01-01", "2010-12-31"),
        ("missing", "2015-01-01", "2016-12-31"),
    ]
    assert _ledger(data, period="2012-03-01/2012-03-31", station="K1") == [("held", "2012-03-01", "2012-03-31")]
    rows = data.coverage(variable="discharge").to_pylist()
    assert {row["state"] for row in rows} == {"held", "empty", "offered"}
    assert all(row["expires_at"] for row in rows if row["state"] == "empty")
    assert "hubeau" in {row["source"] for row in rows if row["state"] == "offered"}


def test_windows_with_a_hole_are_two(data: InputsNamespace, rivers: Rivers) -> None:
    _fetch(data, rivers, "2012-01-01/2012-12-31")
    _fetch(data, rivers, "2014-01-01/2014-12-31")
    assert _ledger(data) == [("held", "2012-01-01", "2012-12-31"), ("held", "2014-01-01", "2014-12-31")]


def test_a_series_that_nobody_has_is_in_the_ledger(data: InputsNamespace, rivers: Rivers) -> None:
    with pytest.raises(NothingThere):
        _fetch(data, rivers, "2012-01-01/2012-12-31", station="K2")
    (row,) = (row for row in data.coverage(source="rivers").to_pylist() if row["state"] != "offered")
    assert (row["station_id"], row["state"], row["entry_id"]) == ("K2", "empty", None)
    assert _ledger(data, station="K1") == []


def test_a_file_that_was_added_is_held_for_what_it_covers(data: InputsNamespace, write: Any) -> None:
    data.add(write("q.csv"), variable="discharge", station="K1", frequency="1D")
    assert _ledger(data, period="2001-01-01/2001-01-04") == [
        ("held", "2001-01-01", "2001-01-02"),
        ("missing", "2001-01-03", "2001-01-04"),
    ]


def test_a_box_asks_for_what_lies_there(data: InputsNamespace, rivers: Rivers, write: Any) -> None:
    """A station by its coordinates; a grid that has only a part of the box does not have it."""
    _fetch(data, rivers, "2012-01-01/2012-12-31")
    said = {"variable": "precipitation", "period": "2012-01-01/2012-12-31", "frequency": "1D"}
    data.add(write("small.json", "{}"), bbox=(9, 51, 10, 52), **said)
    data.add(write("large.json", '{"a": 1}'), bbox=(0, 40, 20, 60), **said | {"period": "2012-07-01/2012-12-31"})
    here = {"period": "2012-01-01/2012-12-31", "bbox": (9, 51, 11, 52)}
    found = data.coverage(**here).to_pylist()
    assert {row["variable"] for row in found} == {
        "discharge",
        "precipitation",
        *(r["variable"] for r in found if r["state"] == "offered"),
    }
    assert [row["start"] for row in found if row["state"] == "missing"] == [day("2012-01-01")]
    assert [row["end"] for row in found if row["state"] == "missing"] == [day("2012-06-30T23:59:59.999999")]
    assert _ledger(data, **here | {"bbox": (-10, 0, -9, 1)}) == []


def test_an_unknown_key_is_refused(data: InputsNamespace) -> None:
    with pytest.raises(UnknownFilter):
        data.coverage(colour="blue")
    with pytest.raises(UnknownFilter):
        data.stations(colour="blue")


# ── stations ─────────────────────────────────────────────────────────────────────────────────────────


def test_stations_are_known_by_place(data: InputsNamespace, rivers: Rivers, write: Any) -> None:
    _fetch(data, rivers, "2012-01-01/2012-12-31")
    data.add(write("q.csv"), variable="discharge", station="mine")
    assert data.stations()["station_id"].to_pylist() == ["mine", "K1"]
    (row,) = data.stations(bbox=(9, 51, 10, 52), source="rivers").to_pylist()
    assert (row["name"], row["lat"], row["lon"], str(row["last_valid"])) == ("Fulda", 51.3, 9.5, "2012-12-31")
    assert data.stations(lat_gt=60).num_rows == 0


# ── the command line ─────────────────────────────────────────────────────────────────────────────────


def _run(workspace: Path, *words: str) -> Result:
    return CliRunner().invoke(group, [*words, "--workspace", str(workspace)])


@pytest.fixture
def filled(data: InputsNamespace, rivers: Rivers) -> Path:
    _fetch(data, rivers, "2011-01-01/2014-12-31")
    return data.workspace


def test_coverage_is_a_table_lines_of_json_or_a_picture(filled: Path) -> None:
    asked = ("coverage", "source=rivers", "period=2010-01-01/2016-12-31")
    table = _run(filled, *asked)
    assert table.exit_code == 0, table.output
    assert table.output.splitlines()[1].split()[:7] == ["discharge", "rivers", "K1", "K1", "1D", "m3", "s-1"]
    lines = [json.loads(line) for line in _run(filled, *asked, "--json").output.splitlines()]
    assert [line["state"] for line in lines] == ["held", "empty", "missing", "missing"]
    picture = _run(filled, *asked, "--picture").output
    assert "█" in picture
    assert "2010" in picture.splitlines()[2]
    assert _run(filled, "coverage", "source=nobody", "--picture").output == "nothing found\n"


def test_gaps_are_listed(filled: Path) -> None:
    said = ("gaps", "--variable", "discharge", "--source", "hubeau", "--station", "K003002010")
    found = _run(filled, *said, "--period", "2010-01-01/2010-12-31", "--json")
    assert found.exit_code == 0
    assert json.loads(found.output) == {"start": "2010-01-01 00:00:00", "end": "2010-12-31 23:59:59.999999"}
    none = _run(filled, "gaps", "--variable", "discharge", "--source", "nobody")
    assert "no source is called 'nobody'" in str(none.exception)


def test_stations_are_listed(filled: Path) -> None:
    found = _run(filled, "stations", "bbox=9,51,10,52", "--json")
    assert json.loads(found.output)["name"] == "Fulda"


def test_fetch_without_a_uri_asks_a_source(filled: Path) -> None:
    found = _run(filled, "fetch", "--variable", "rain", "--source", "hubeau", "--station", "K003002010")
    assert found.exit_code != 0
    assert "hubeau does not offer 'rain'" in str(found.exception)
