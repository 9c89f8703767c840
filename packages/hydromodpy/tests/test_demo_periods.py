"""The split of a record: three parts without gap or overlap."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.errors import InvalidInput
from hydromodpy.demo.periods import Period, split

DECADE = pd.date_range("1979-01-01", "1988-12-31")


def test_a_decade_is_one_year_of_warm_up_five_of_calibration_four_of_validation():
    parts = split(DECADE)
    assert parts.warm_up == Period("warm-up", date(1979, 1, 1), date(1979, 12, 31))
    assert parts.calibration == Period("calibration", date(1980, 1, 1), date(1984, 12, 31))
    assert parts.validation == Period("validation", date(1985, 1, 1), date(1988, 12, 31))


@given(st.dates(date(1900, 1, 1), date(2000, 1, 1)), st.integers(4 * 366, 9000), st.integers(1, 2))
def test_every_day_is_in_exactly_one_part(start, days, calibration_years):
    dates = pd.date_range(start, periods=days)
    parts = split(dates, calibration_years=calibration_years)
    masks = [part.mask(dates) for part in (parts.warm_up, parts.calibration, parts.validation)]
    assert (sum(mask.astype(int) for mask in masks) == 1).all()
    assert all(mask.any() for mask in masks)


def test_a_period_includes_its_first_and_last_day_whatever_the_hour():
    hours = pd.date_range("1979-12-31 12:00", "1980-01-03 12:00", freq="12h")
    assert Period("x", date(1980, 1, 1), date(1980, 1, 2)).mask(hours).tolist() == [
        False, True, True, True, True, False, False,
    ]  # fmt: skip


def test_a_record_too_short_to_validate_on_is_refused():
    with pytest.raises(InvalidInput, match="2192 days: expected more than 6 years"):
        split(pd.date_range("1979-01-01", "1984-12-31"))


def test_one_day_more_is_enough():
    assert split(pd.date_range("1979-01-01", "1985-01-01")).validation.start == date(1985, 1, 1)


def test_no_day_is_refused():
    with pytest.raises(InvalidInput, match="0 days"):
        split(DECADE[:0])


@pytest.mark.parametrize("name", ["warm_up_years", "calibration_years"])
def test_a_part_of_no_length_is_refused(name):
    with pytest.raises(InvalidInput, match=f"{name} is 0"):
        split(DECADE, **{name: 0})
