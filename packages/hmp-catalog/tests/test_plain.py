"""Values as JSON keeps them: whole, in one form, and refused where they could not be read again."""

from __future__ import annotations

import enum
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import PurePosixPath
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog import plain as p
from hmp_core.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


class Colour(str, enum.Enum):  # noqa: UP042 - unlike a StrEnum it calls itself by its name
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@given(JSON)
def test_what_is_kept_survives_json(value):
    kept = p.plain(value)
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert p.plain(kept) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float64("nan"), "nan"),
        (np.float32("inf"), "inf"),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.str_("a"), "a"),
        (np.datetime64("2001-01-01T12"), "2001-01-01T12:00:00"),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (pd.Timestamp("2001-01-01", tz="Europe/Berlin"), "2000-12-31T23:00:00"),
        (datetime(2001, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2001-01-01T00:00:00"),
        (date(2001, 1, 1), "2001-01-01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1: "a"}, {"1": "a"}),
        (2**200, 2**200),
    ],
)
def test_values_of_science_have_a_plain_form(value, kept):
    found = p.plain(value)
    assert found == kept
    assert type(found) is type(kept)


def _endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"bytes",
        1 + 2j,
        np.longdouble(1),
        np.clongdouble(1),
        timedelta(1),
        pd.NA,
        pytest.param(10**5000, id="long"),
        "half a pair \ud800",
        "nul \0",
        {"a\0": 1},
        {1: "a", "1": "b"},
        _endless(),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        lambda: None,
    ],
)
def test_what_has_no_plain_form_is_refused_by_name(value):
    with pytest.raises(InvalidInput, match=r"config.x"):
        p.plain({"x": value}, "config")


def test_the_same_set_gives_the_same_fingerprint_in_every_process(python):
    code = "from hmp_catalog.plain import fingerprint; print(fingerprint({'tags': {'a', 'b', 'c', 'd', 'e'}}))"
    assert len({python(code) for _ in range(3)}) == 1


def test_the_order_of_keys_does_not_change_a_fingerprint():
    assert p.fingerprint({"a": 1, "b": 2}) == p.fingerprint({"b": 2, "a": 1}) != p.fingerprint({"a": 2, "b": 1})


# ── numbers, names, times ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [1, 0.5, True, np.float32(0.5), np.array(0.5), float("nan"), np.int8(3)])
def test_a_number_is_a_number(value):
    found = p.real(value, "metric nse")
    assert type(found) is float
    assert found == value or math.isnan(found)


@pytest.mark.parametrize(
    "value", ["0.8", b"1", None, "nan", 1j, [1.0], np.array([1.0]), pytest.param(10**5000, id="long"), pd.NA]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidInput, match=r"metric nse .* expected a number"):
        p.real(value, "metric nse")


@pytest.mark.parametrize("value", [None, "", "  ", 5, b"a", "\ud800", "a\0b"])
def test_a_word_is_text(value):
    with pytest.raises(InvalidInput, match=r"^name is"):
        p.word(value, "name")


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63), np.uint8(3), None])
def test_a_whole_number_fits_64_bits(value):
    assert p.whole(value, "seed") == value


@pytest.mark.parametrize("value", [True, 1.0, "1", 2**63, -(2**63) - 1, [1], pytest.param(10**5000, id="long")])
def test_another_number_is_no_whole_number(value):
    with pytest.raises(InvalidInput, match=r"^seed is"):
        p.whole(value, "seed")


@pytest.mark.parametrize(
    "value",
    [
        "2001-01-01",
        "2001-01-01T00:00",
        "2001-01-01T02:00+02:00",
        date(2001, 1, 1),
        datetime(2001, 1, 1),
        datetime(2001, 1, 1, tzinfo=UTC),
        pd.Timestamp("2001-01-01"),
        pd.Timestamp("2001-01-01T01", tz="Europe/Berlin"),
        np.datetime64("2001-01-01"),
        np.datetime64("2001-01-01T00:00:00", "ns"),
    ],
)
def test_times_of_every_kind_are_one_text_in_utc(value):
    assert p.time_text(value, "period") == "2001-01-01T00:00:00"


@pytest.mark.parametrize(
    "value", ["soon", 20010101, 2001.0, True, np.int64(20010101), pd.NaT, np.datetime64("NaT"), ()]
)
def test_what_is_no_time_is_refused(value):
    with pytest.raises(InvalidInput, match=r"^period is"):
        p.time_text(value, "period")


def test_a_time_that_utc_does_not_know_is_refused():
    with pytest.raises(InvalidInput, match="outside the years"):
        p.time_text("0001-01-01T00:00+05:00", "period")


@given(st.datetimes(timezones=st.none() | st.just(UTC)))
def test_a_time_comes_back(value):
    assert p.moment(p.time_text(value, "period")) == p.utc(value)


@given(st.integers(0, 4_000_000_000_000_000))
def test_the_clock_of_an_event_loses_no_microsecond(at):
    found = p.from_microseconds(at)
    assert (found.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1) == at


@pytest.mark.parametrize(
    "value", [5, "2001", ("2001-01-01",), ("2001-01-01",) * 3, {"a": 1}, ("2002-01-01", "2001-01-01")]
)
def test_a_period_is_two_times_in_order(value):
    with pytest.raises(InvalidInput, match=r"^period"):
        p.period_text(value, "period")


def test_a_period_may_be_open():
    assert p.period_text((None, "2001-01-01"), "period") == (None, "2001-01-01T00:00:00")


@pytest.mark.parametrize("value", ["1234", (1, 2, 3), (1, 2, 3, float("nan")), (1, 2, 3, "4"), 5, (1, 2, 3, 10**400)])
def test_an_extent_is_four_finite_numbers(value):
    with pytest.raises(InvalidInput, match=r"^bbox is .* expected 4 numbers"):
        p.numbers(value, 4, "bbox")


def test_an_extent_may_be_an_array():
    assert p.numbers(np.arange(4), 4, "bbox") == (0.0, 1.0, 2.0, 3.0)


@given(st.text())
def test_any_message_becomes_printable(text):
    assert p.plain(p.printable(text)) == p.printable(text)
