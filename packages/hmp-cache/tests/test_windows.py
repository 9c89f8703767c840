"""Windows of time against sets of days, and what a period means."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache import windows
from hmp_cache.windows import EVER, Step, Window
from hmp_core.errors import InvalidInput

FIRST = datetime(2019, 12, 1)
NOW = datetime(2026, 6, 15, 12, 30)
DAILY = Step.of("1D")

#: of which 2020-02-29 is one
numbers = st.integers(0, 120)
spans = st.lists(st.tuples(numbers, numbers).map(sorted).map(tuple), max_size=6)


def _window(span: tuple[int, int]) -> Window:
    return FIRST + timedelta(days=span[0]), FIRST + timedelta(days=span[1])


def _days(found: list[Window]) -> set[int]:
    return {n for start, end in found for n in range((start - FIRST).days, (end - FIRST).days)}


def _model(listed: list[tuple[int, int]]) -> set[int]:
    return {n for first, last in listed for n in range(first, last)}


def _is_in_order(found: list[Window]) -> bool:
    return all(start < end for start, end in found) and all(one[1] < other[0] for one, other in pairwise(found))


# ── arithmetic ───────────────────────────────────────────────────────────────────────────────────────


@given(spans)
def test_a_union_is_that_of_the_days(listed: list[tuple[int, int]]) -> None:
    found = windows.union(map(_window, listed))
    assert _days(found) == _model(listed)
    assert _is_in_order(found)


@given(spans, spans)
def test_a_difference_is_that_of_the_days(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    found = windows.difference(map(_window, one), map(_window, other))
    assert _days(found) == _model(one) - _model(other)
    assert _is_in_order(found)


@given(spans, spans)
def test_what_is_common_is_in_both(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert _days(windows.common(map(_window, one), map(_window, other))) == _model(one) & _model(other)


@given(spans, st.tuples(numbers, numbers).map(sorted))
def test_the_gaps_of_days_are_the_days_that_are_not_known(known: list[tuple[int, int]], asked: list[int]) -> None:
    window = _window((asked[0], asked[1]))
    assert _days(windows.gaps(window, map(_window, known), [], DAILY)) == set(range(*asked)) - _model(known)


# ── what a period means ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("2018-01-01/2018-12-31", "2018-01-01", "2019-01-01T00:00:00"),
        ("2018-01-01/2020-02-29", "2018-01-01", "2020-03-01T00:00:00"),
        (iter(["2018-01-01", "2018-12-31"]), "2018-01-01", "2019-01-01T00:00:00"),
        (("2018-01-01", date(2018, 12, 31)), "2018-01-01", "2019-01-01T00:00:00"),
        (("2018-01-01", datetime(2018, 12, 31)), "2018-01-01", "2018-12-31T00:00:00.000001"),
        ("2018-01-01T06:00/2018-12-31T18:00", "2018-01-01T06:00", "2018-12-31T18:00:00.000001"),
        ("2018-01-01T00:00+01:00/2018-12-31T23:30+01:00", "2017-12-31T23:00", "2018-12-31T22:30:00.000001"),
        ("2018-01-01/", "2018-01-01", "2026-06-15T12:30:00.000001"),
        ("/2018-12-31", None, "2019-01-01T00:00:00"),
        (None, None, "2026-06-15T12:30:00.000001"),
        ("9000-01-01/9999-12-31", "9000-01-01", "9999-12-31T00:00:00.000001"),
    ],
)
def test_both_ends_are_included_and_a_day_is_all_of_it(period: Any, start: str | None, end: str) -> None:
    expected = (datetime.fromisoformat(start) if start else EVER, datetime.fromisoformat(end))
    assert windows.asked(period, NOW) == expected


@pytest.mark.parametrize("period", ["2018-01-02/2018-01-01", "2018", 2018, ("2018-01-01",), "2018-01-01/soon"])
def test_what_is_no_period_is_refused(period: Any) -> None:
    with pytest.raises(InvalidInput):
        windows.asked(period, NOW)


@given(spans)
def test_what_is_kept_on_record_comes_back(listed: list[tuple[int, int]]) -> None:
    for span in listed:
        assert windows.opened(windows.closed(_window(span)), NOW) == _window(span)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("frequency", "length"),
    [("1D", 86400), ("D", 86400), ("1h", 3600), ("6h", 21600), ("15min", 900), ("1MS", 28 * 86400), ("W", 7 * 86400),
     ("real-time", 0), ("", 0), (None, 0), ("0D", 0)],
)  # fmt: skip
def test_a_frequency_is_a_step(frequency: str | None, length: int) -> None:
    assert Step.of(frequency).length == timedelta(seconds=length)


def test_a_gap_before_the_next_value_can_come_is_none() -> None:
    """Of values every six hours one is at 18:30: the next is at 0:30."""
    held = [(datetime(2020, 1, 1), datetime(2020, 1, 1, 19))]
    step = Step.of("6h")
    assert windows.gaps((datetime(2020, 1, 1), datetime(2020, 1, 2)), held, [], step) == []
    later = (datetime(2020, 1, 1), datetime(2020, 1, 2, 0, 30))
    assert windows.gaps(later, held, [], step) == [(datetime(2020, 1, 1, 19), datetime(2020, 1, 2, 1))]
    assert windows.gaps(later, [], held, step) == [(datetime(2020, 1, 1, 19), datetime(2020, 1, 2, 1))]


@pytest.mark.parametrize("frequency", ["6h", "1MS", "1D", "real-time"])
def test_a_short_window_of_which_nothing_is_known_is_missing(frequency: str) -> None:
    window = (datetime(2020, 1, 1, 18), datetime(2020, 1, 1, 18, 30))
    assert windows.gaps(window, [], [], Step.of(frequency)) == [Step.of(frequency).whole(window)]


def test_the_day_that_a_window_begins_or_ends_in_counts_whole() -> None:
    window = (datetime(2020, 2, 28, 12), datetime(2020, 2, 29, 0, 0, 0, 1))
    assert DAILY.whole(window) == (datetime(2020, 2, 28), datetime(2020, 3, 1))
    assert DAILY.whole((EVER, datetime(2020, 3, 1))) == (EVER, datetime(2020, 3, 1))
    assert Step().whole(window) == window


def test_gaps_of_a_series_without_a_step_are_one_if_they_are_less_than_a_day_apart() -> None:
    known = [(datetime(2020, 1, 1, 6), datetime(2020, 1, 1, 7)), (datetime(2020, 1, 2), datetime(2020, 1, 5))]
    week = (datetime(2020, 1, 1), datetime(2020, 1, 6))
    assert windows.gaps(week, known, [], Step()) == [
        (datetime(2020, 1, 1), datetime(2020, 1, 2)),
        (datetime(2020, 1, 5), datetime(2020, 1, 6)),
    ]
