"""Labels are found where pandas finds them, in slices that are closed at both ends."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.datasets.axes.labels import locate, noise
from hmp_core.errors import InvalidInput, NotFound

HOURS = np.arange("2001-02-27", "2001-03-03", 6, dtype="datetime64[h]")
UNITS = ("D", "h", "m", "s", "ms", "us", "ns")


@given(st.sets(st.integers(-50, 50), min_size=1), st.integers(-60, 60), st.integers(0, 60), st.sampled_from("ifM"))
def test_slices_of_labels_are_those_of_pandas(numbers, start, length, kind) -> None:
    made = {"i": "int64", "f": "float64", "M": "datetime64[D]"}[kind]
    values = np.array(sorted(numbers)).astype(made)
    first, last = (np.array(end).astype(made)[()] for end in (start, start + length))
    found = locate(values, slice(first, last))
    frame = pd.Series(range(len(values)), index=pd.Index(values))
    assert list(range(len(values)))[found] == frame.loc[first:last].tolist()
    assert locate(values, slice(None, None)) == slice(0, len(values), None)
    assert list(range(len(values)))[locate(values, slice(first, None, 2))] == frame.loc[first:].tolist()[::2]


@given(st.sets(st.integers(-50, 50), min_size=1), st.integers(-60, 60), st.sampled_from("ifM"))
def test_a_label_is_there_or_a_key_error(numbers, label, kind) -> None:
    made = {"i": "int32", "f": "float32", "M": "datetime64[s]"}[kind]
    values = np.array(sorted(numbers)).astype(made)
    key = np.array(label).astype(made)[()]
    if label in numbers:
        assert locate(values, key) == sorted(numbers).index(label)
        assert locate(values, [key, key]).tolist() == [sorted(numbers).index(label)] * 2
    else:
        with pytest.raises(KeyError):
            locate(values, key)


@given(st.integers(1, 400), st.floats(-1e4, 1e4), st.floats(1e-3, 10), st.sampled_from(["float32", "float64"]))
def test_floats_are_found_in_spite_of_noise(count, start, step, name) -> None:
    exact = start + step * np.arange(count)
    values = exact.astype(name)
    if (np.diff(values.astype(float)) < 20 * np.spacing(np.abs(values).max())).any():
        return
    at = count // 2
    for noisy in (exact[at], float(values[at]), np.nextafter(exact[at], 1e9), np.nextafter(exact[at], -1e9)):
        assert locate(values, noisy) == at
        assert locate(values, slice(noisy, None)).start == at
        assert locate(values, slice(None, noisy)).stop == at + 1
    if count > 1:
        with pytest.raises(NotFound):
            locate(values, (exact[0] + exact[1]) / 2)


def test_floats_of_a_precision_are_found_to_half_of_it() -> None:
    values = np.round(np.arange(10) / 3, 6)
    assert locate(values, 7 / 3, precision=6) == 7
    with pytest.raises(NotFound):
        locate(values, 7 / 3)
    fine = np.array([0.0, 1e-9])
    assert noise(fine, precision=3) < 1e-9
    assert locate(fine, 1e-9, precision=3) == 1


def test_integers_take_floats_that_are_between() -> None:
    values = np.array([10, 20, 30], dtype="uint8")
    assert locate(values, slice(10.5, 29.5)) == slice(1, 2, None)
    assert locate(values, slice(-1e300, 1e300)) == slice(0, 3, None)
    assert locate(values, slice(21, 29)) == slice(2, 2, None)
    assert locate(values, 20.0) == 1
    with pytest.raises(NotFound):
        locate(values, 20.5)
    large = np.array([2**53, 2**53 + 1])
    assert locate(large, 2**53 + 1) == 1


@pytest.mark.parametrize("unit", UNITS[1:])
@pytest.mark.parametrize(
    ("start", "stop"),
    [("2001-02-28", "2001-03-01"), ("2001-02", "2001-02"), ("2001", None), ("2001-02-28T03:00", "2001-02-28T12:00"),
     (None, "2001-03-01T00:00")],
)  # fmt: skip
def test_text_names_all_of_a_year_month_or_day_as_in_pandas(unit, start, stop) -> None:
    values = HOURS.astype(f"datetime64[{unit}]")
    frame = pd.Series(range(len(values)), index=pd.DatetimeIndex(values))
    assert list(range(len(values)))[locate(values, slice(start, stop))] == frame.loc[start:stop].tolist()


def test_an_instant_finer_than_the_coordinate_is_not_there() -> None:
    assert locate(HOURS, "2001-02-28T06:00") == locate(HOURS, datetime(2001, 2, 28, 6)) == 5
    with pytest.raises(NotFound, match="beside it: 2001-02-28T06, 2001-02-28T12"):
        locate(HOURS, "2001-02-28T06:30")
    with pytest.raises(NotFound):
        locate(HOURS, np.datetime64("2001-02-28T06:00:00.000000001"))
    assert locate(HOURS, slice(np.datetime64("2001-02-28T06:00:01"), None)).start == 6


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.integers(-800, 800), st.integers(-40, 40))
def test_instants_of_other_units_are_never_wrapped(unit, other, years, shift) -> None:
    values = (np.array("1970").astype("datetime64[D]") + np.arange(0, 20_000, 500)).astype(f"datetime64[{unit}]")
    other = "us" if abs(years) > 200 and other == "ns" else other
    day = np.array(years, dtype="datetime64[Y]").astype("datetime64[D]") + np.timedelta64(shift, "D")
    label = day.astype(f"datetime64[{other}]")
    expected = int((values.astype("datetime64[D]") < day).sum())
    assert locate(values, slice(label, None)).start == expected


def test_text_is_found_in_the_order_it_came() -> None:
    values = np.array(["Tours", "Blois", "Nevers"], dtype=object)
    assert locate(values, "Blois") == 1
    assert locate(values, slice("Blois", "Nevers")) == slice(1, 3, None)
    assert locate(values, ["Nevers", "Tours"]).tolist() == [2, 0]
    with pytest.raises(NotFound, match="no label 'Gien'; among the first: Tours") as absent:
        locate(values, slice("Gien", None), of="station")
    assert absent.value.candidates == ["Tours", "Blois", "Nevers"]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        (np.arange(3), "1"),
        (np.arange(3), True),
        (np.arange(3.0), float("nan")),
        (HOURS, 3),
        (HOURS, np.datetime64("NaT", "h")),
        (HOURS, None),
        (np.array([1.5, 2.5]), None),
        (np.array([1.5, 2.5]), 10**400),
        (HOURS, "yesterday"),
        (np.array(["a"], dtype=object), 1),
        (np.arange(3), slice(2, 0)),
        (HOURS, slice("2001-03-01", "2001-02-28")),
        (np.array(["a", "b", "c"], dtype=object), slice("c", "a")),
        (np.arange(3), slice(0, 2, -1)),
        (np.arange(3), slice(0, 2, 0.5)),
    ],
    ids=str,
)
def test_what_is_no_label_is_refused(values, key) -> None:
    with pytest.raises(InvalidInput):
        locate(values, key)


def test_labels_that_descend_or_are_in_no_order_are_found() -> None:
    falling = np.array([3.0, 2.0, 1.0])
    assert locate(falling, 2.0) == 1
    assert locate(falling, [3.0, 1.0]).tolist() == [0, 2]
    assert locate(falling, slice(1.5, 3)) == slice(0, 2)
    assert locate(falling, slice(None, 2, 2)) == slice(1, 3, 2)
    with pytest.raises(NotFound, match=r"2\.5"):
        locate(falling, 2.5)
    with pytest.raises(InvalidInput, match="smaller end first"):
        locate(falling, slice(3, 2))
    mixed = np.array(["2003", "2001", "2002"], dtype="datetime64[D]")
    assert locate(mixed, "2001-01-01") == 1
    assert locate(mixed, slice("2002", None)).tolist() == [0, 2]
    with pytest.raises(InvalidInput, match="in no order"):
        locate(mixed, slice(None, None, 2))
