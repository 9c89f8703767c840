"""Holding the bytes of an input to its contract."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache.validation import Report, validate


def _report(folder: Path, text: str, variable: str = "discharge", unit: str | None = "m3 s-1") -> Report:
    file = folder / "x.part"
    file.write_text(text)
    return validate(file, suffix=".csv", variable=variable, unit=unit)


def _checks(report: Report) -> list[str]:
    return [finding.check for finding in report.findings]


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("discharge", "time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n"),
        ("discharge", "date,Q\n2001-01-01,\n2001-01-02,1.3\n"),
        # the tide comes up the river
        ("discharge", "date,Q\n2001-01-01,-1.2\n2001-01-02,1.3\n"),
        ("discharge", "date,gauge_a,gauge_b\n2001-01-01,1,2\n2001-01-02,1,2\n"),
        ("discharge", "station,date,q\na,2001-01-01,1\nb,2001-01-01,1\na,2001-01-02,1\n"),
        ("discharge", "station,date,q,lon\na,2001-01-01,1,-3.5\n"),
        ("unobtainium", "what,ever\n1,x\n1,x\n"),
        ("discharge", ",time,q\n0,2001-01-01,1\n1,2001-01-02,1\n"),
        ("discharge", "time,q,\n2001-01-01,1,\n2001-01-02,1,\n"),
        ("unobtainium", "time,x\n2001-01-02,1\n2001-01-01,-9999\n"),
    ],
)
def test_what_is_accepted(tmp_path: Path, variable: str, text: str) -> None:
    report = _report(tmp_path, text, variable)
    assert report.passed, report.findings


@pytest.mark.parametrize(
    ("text", "check", "said"),
    [
        ("time,discharge,\n2001-01-01,1,5\n", "columns", "the decimals of numbers with a decimal comma?"),
        ("time,discharge\n2001-01-01,-6e4\n", "range", "1 values of column discharge are below -50000 m3 s-1"),
        ("time,discharge\n2001-01-01,-9999\n", "range", "leave missing values empty"),
        ("time,discharge\n2001-01-01,1e6\n", "range", "above 500000 m3 s-1, the first is 1e+06 in row 1"),
        ("time,discharge\n2001-01-01,\n2001-01-02,\n", "range", "no value at all"),
        ("time,discharge\n2001-01-02,1\n2001-01-01,1\n", "time", "backwards 1 times, first at row 2"),
        ("time,discharge\n2001-01-01,1\n2001-01-01,1\n", "duplicates", "2001-01-01T00:00:00 in row 2"),
        ("time,discharge\n2001-01-01,1\n,2\n", "time", "1 rows have no time, the first is row 2"),
        ("time,discharge\nmonday,1\n", "time", "the first is 'monday'; use ISO 8601"),
        ("day_of_week,discharge\n2001-01-01,1\n", "columns", "no column of times"),
        ("time,discharge\n2001-01-01,low\n", "columns", "column discharge holds 'low' in row 1"),
        ("time,remark\n2001-01-01,low\n", "columns", "no column of values"),
        ("time,q,q\n2001-01-01,1,2\n", "columns", "the same name"),
        ("time,discharge\n", "readable", "no rows"),
        ("time,discharge\n2001-01-01\n", "readable", "cannot be read as csv"),
        ("", "readable", "empty"),
        ("<html><title>503</title>", "readable", "web page"),
        ("station,date,q\na,2001-01-01,1\nb,2001-01-01,1\na,2001-01-01,1\n", "duplicates", "row 3"),
        ("station,date,q\na,2001-01-02,1\nb,2001-01-01,1\na,2001-01-01,1\n", "time", "first at row 3"),
    ],
)
def test_what_is_not(tmp_path: Path, text: str, check: str, said: str) -> None:
    report = _report(tmp_path, text)
    found = [finding.message for finding in report.findings if finding.check == check]
    assert any(said in message for message in found), report.findings


def test_every_finding_is_told(tmp_path: Path) -> None:
    report = _report(tmp_path, "time,discharge\n2001-01-02,-1e6\n2001-01-01,1\n2001-01-01,2\n")
    assert _checks(report) == ["time", "duplicates", "range"]


def test_the_unit_decides_what_is_possible(tmp_path: Path) -> None:
    text = "time,temperature\n2001-01-01,280\n"
    assert _report(tmp_path, text, "temperature", "K").passed
    assert not _report(tmp_path, text, "temperature", "degC").passed
    assert _report(tmp_path, text, "temperature", None).passed


def test_a_filler_is_noticed_without_a_unit(tmp_path: Path) -> None:
    text = "time,level\n2001-01-01,-9999\n2001-01-02,120.5\n"
    assert "stand for a missing one" in _report(tmp_path, text, "water_level", None).findings[0].message


def test_what_the_data_cover_is_learned(tmp_path: Path) -> None:
    report = _report(tmp_path, "date,q\n31.12.2001,1\n01.01.2002,2\n")
    assert (report.date_start, report.date_end) == (datetime(2001, 12, 31), datetime(2002, 1, 1))
    assert (report.n_records, report.columns) == (2, ("date", "q"))


def test_parquet_is_held_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "x.part"
    pq.write_table(pa.table({"time": [datetime(2001, 1, 2), datetime(2001, 1, 1)], "q": [1.0, -9e9]}), file)
    assert _checks(validate(file, suffix=".parquet", variable="discharge", unit=None)) == ["time", "range"]


def test_forms_that_do_not_say_where_they_end_need_their_magic_number_only(tmp_path: Path) -> None:
    file = tmp_path / "x.part"
    file.write_bytes(b"\xfd7zXZ\x00 and so on")
    assert validate(file, suffix=".xz", variable="discharge", unit=None).passed
    assert _checks(validate(file, suffix=".tif", variable="discharge", unit=None)) == ["readable"]


places = st.sampled_from("ab")


@given(st.lists(st.tuples(st.integers(0, 5), places), min_size=1, max_size=8))
def test_order_and_duplicates_are_those_a_loop_finds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    text = "station,time,q\n" + "".join(f"{place},2001-01-{day + 1:02},1\n" for day, place in rows)
    found = set(_checks(_report(tmp_path_factory.getbasetemp(), text)))
    by_place = {place: [day for day, where in rows if where == place] for place in "ab"}
    expected = set()
    if any(b < a for series in by_place.values() for a, b in pairwise(series)):
        expected.add("time")
    if any(len(set(series)) < len(series) for series in by_place.values()):
        expected.add("duplicates")
    assert found == expected


@pytest.mark.parametrize(
    ("name", "variable", "unit"),
    [
        ("date,rain", "precipitation", "m d-1"),
        ("Date,Head", "groundwater_level", "m"),
        ("Date,Temp", "temperature", "°C"),
    ],
)
def test_names_of_columns_as_found_in_the_wild(tmp_path: Path, name: str, variable: str, unit: str) -> None:
    assert _report(tmp_path, f"{name}\n1980-01-01,0.0033\n1980-01-02,0.0025\n", variable, unit).passed
