"""Instants: whatever a user holds becomes UTC to the microsecond, or is refused by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.fields.times import UNITS, bounds, decode, encode, instant, instants, iso
from hmp_core.errors import InvalidInput

EXPECTED = np.array(["2001-01-01T00:00", "2001-01-02T06:00"], dtype="datetime64[us]")
PARIS = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    "times",
    [
        EXPECTED,
        EXPECTED.astype("datetime64[m]"),
        EXPECTED.astype("datetime64[ns]"),
        pd.DatetimeIndex(EXPECTED),
        pd.DatetimeIndex(EXPECTED, tz="UTC"),
        pd.DatetimeIndex(EXPECTED, tz="UTC").tz_convert("Europe/Paris"),
        pd.Series(EXPECTED),
        pd.PeriodIndex(["2001-01-01 00:00", "2001-01-02 06:00"], freq="h"),
        xr.DataArray(EXPECTED.astype("datetime64[ns]"), dims="time"),
        [datetime(2001, 1, 1), datetime(2001, 1, 2, 6)],
        [datetime(2001, 1, 1, 1, tzinfo=PARIS), datetime(2001, 1, 2, 6, tzinfo=UTC)],
        [date(2001, 1, 1), "2001-01-02T06:00"],
        ["2001-01-01T01:00+01:00", "2001-01-02T06:00Z"],
        [pd.Timestamp("2001-01-01"), np.datetime64("2001-01-02T06:00")],
        np.array([datetime(2001, 1, 1), datetime(2001, 1, 2, 6)], dtype=object),
    ],
    ids=lambda times: f"{type(times).__name__}-{getattr(times, 'dtype', type(times[0]).__name__)}",
)
def test_every_way_to_hold_times_gives_the_same_instants(times: object) -> None:
    found = instants(times, of="head")
    assert found.dtype == "datetime64[us]"
    assert np.array_equal(found, EXPECTED)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (["2001-01-02", "2001-01-01"], "2001-01-01.* at 1 comes after"),
        (["2001-01-01", "2001-01-02", "2001-01-02"], "stands at 1 and again at 2"),
        (np.array(["2001-01-01", "NaT"], "datetime64[s]"), "no time at position 1"),
        (pd.DatetimeIndex(["2001-01-01", None]), "no time at position 1"),
        ([pd.NaT], "no time at position 0|not a time"),
        (np.array(["2001-01-01T00:00:00.000000001"], "datetime64[ns]"), "finer"),
        (np.array(["0001-01-01", "400000-01-01"], "datetime64[D]"), "400000-01-01 at .* out of its reach"),
        ([1, 2], "not a time"),
        (np.arange(3.0), "one dimension of datetimes"),
        (EXPECTED.reshape(1, 2), "one dimension"),
        (["soon"], "not a time"),
        (pd.Index([1, 2]), "one dimension of datetimes"),
    ],
)
def test_what_is_no_time_axis_is_refused_and_named(times: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        instants(times, of="head")


def test_the_message_says_whose_times_they_are() -> None:
    with pytest.raises(InvalidInput, match="times of drawdown"):
        instants(["2001-01-02", "2001-01-01"], of="drawdown")


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (["2001-01-01", "1969-12-31"], "days"),
        (["2001-01-01", "2001-01-01T00:00:01"], "seconds"),
        (["2001-01-01T00:00:00.250"], "milliseconds"),
        (["2001-01-01T00:00:00.000250"], "microseconds"),
    ],
)
def test_the_coarsest_units_that_lose_nothing_are_used(times: list[str], unit: str) -> None:
    assert encode(np.array(times, "datetime64[us]"))[1].partition(" ")[0] == unit


@given(st.lists(st.datetimes(), min_size=1, unique=True).map(sorted))
def test_encoding_and_decoding_give_the_same_instants(times: list[datetime]) -> None:
    found = instants(times, of="x")
    assert np.array_equal(decode(*encode(found)), found)


def test_units_of_another_epoch_are_not_guessed() -> None:
    with pytest.raises(InvalidInput, match="days since 1900"):
        decode(np.arange(3), "days since 1900-01-01")
    assert all("1970-01-01 00:00:00" in units for units in UNITS)


@pytest.mark.parametrize(
    ("start", "stop", "first", "last"),
    [
        ("2001", "2001", "2001-01-01T00:00", "2001-12-31T23:59:59.999999"),
        ("2000-02", "2000-02", "2000-02-01T00:00", "2000-02-29T23:59:59.999999"),
        (date(2001, 3, 1), date(2001, 3, 1), "2001-03-01T00:00", "2001-03-01T23:59:59.999999"),
        ("2001-03-01T06:00", "2001-03-01T07:00", "2001-03-01T06:00", "2001-03-01T07:00"),
        (datetime(2001, 3, 1), datetime(2001, 3, 1), "2001-03-01", "2001-03-01"),
    ],
)
def test_a_year_a_month_or_a_day_stands_for_all_of_it(start: object, stop: object, first: str, last: str) -> None:
    assert bounds(start, stop) == (np.datetime64(first, "us"), np.datetime64(last, "us"))


def test_an_open_bound_stays_open() -> None:
    assert bounds(None, None) == (None, None)


@pytest.mark.parametrize("text", ["2001-13", "2001-02-30", "winter"])
def test_a_bound_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        bounds(text, None)


def test_an_instant_without_a_zone_is_utc() -> None:
    assert instant("2001-01-01T00:00") == instant("2001-01-01T01:00+01:00")


def test_an_instant_is_written_as_acdd_wants_it() -> None:
    assert iso(np.datetime64("2001-02-28T06:00", "us")) == "2001-02-28T06:00:00Z"
    assert iso(np.datetime64("2001-02-28T06:00:00.5", "us")) == "2001-02-28T06:00:00.500000Z"
