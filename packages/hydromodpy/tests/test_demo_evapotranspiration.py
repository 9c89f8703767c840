"""Oudin's formula and the radiation it stands on, against the worked examples of FAO-56."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.errors import InvalidInput
from hydromodpy.demo.evapotranspiration import extraterrestrial_radiation, oudin

YEAR = np.arange(1, 366)


def test_radiation_of_the_worked_example_of_fao_56():
    """Example 8: 3 September (day 246), 20 degrees south: 32.2 MJ m-2 d-1."""
    assert extraterrestrial_radiation([246], -20.0)[0] == pytest.approx(32.2, abs=0.05)


@pytest.mark.parametrize(
    ("day", "latitude", "printed", "digits"),
    [
        (135, -(22 + 54 / 60), 25.1, 0.05),  # example 10: Rio de Janeiro, 15 May
        (105, 13 + 44 / 60, 38.06, 0.01),  # example 17: Bangkok, 15 April
        (187, 50 + 48 / 60, 41.09, 0.01),  # example 18: Brussels, 6 July
    ],
)
def test_radiation_of_the_other_examples_of_fao_56(day, latitude, printed, digits):
    assert extraterrestrial_radiation([day], latitude)[0] == pytest.approx(printed, abs=digits)


def test_the_polar_night_is_dark():
    assert extraterrestrial_radiation([355], 75.0)[0] == 0.0


def test_the_polar_day_has_no_sunset():
    """At the pole the sun circles at its declination: Ra = 24 x 60 x Gsc x dr x sin(delta)."""
    declination = 0.409 * math.sin(2 * math.pi / 365 * 172 - 1.39)
    distance = 1 + 0.033 * math.cos(2 * math.pi / 365 * 172)
    expected = 24 * 60 * 0.0820 * distance * math.sin(declination)
    assert extraterrestrial_radiation([172], 90.0)[0] == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 366), st.floats(-90, 90))
def test_radiation_is_never_negative(day, latitude):
    assert 0 <= extraterrestrial_radiation([day], latitude)[0] < 50


def test_the_seasons_of_the_hemispheres_are_opposite():
    north, south = (extraterrestrial_radiation(YEAR, latitude) for latitude in (50.0, -50.0))
    assert abs(int(YEAR[north.argmax()]) - 172) <= 5
    assert int(YEAR[south.argmin()]) in range(165, 180)


def test_oudin_by_hand():
    """Ra = 32.2 (example 8), 15 degC: 32.2 / 2.45 x 20 / 100 = 2.63 mm/d."""
    assert oudin([15.0], [246], -20.0)[0] == pytest.approx(2.63, abs=0.005)


@pytest.mark.parametrize("temperature", [-5.0, -5.1, -30.0])
def test_nothing_evaporates_at_and_below_minus_five_degrees(temperature):
    assert oudin([temperature], [172], 50.0)[0] == 0.0


def test_demand_grows_with_temperature():
    demand = oudin(np.linspace(-4, 35, 40), np.full(40, 172), 50.0)
    assert (np.diff(demand) > 0).all()


def test_a_missing_temperature_gives_a_missing_demand():
    demand = oudin([10.0, math.nan], [172, 173], 50.0)
    assert np.isnan(demand).tolist() == [False, True]


@pytest.mark.parametrize("latitude", [-90.1, 91.0, math.nan])
def test_a_latitude_off_the_globe_is_refused(latitude):
    with pytest.raises(InvalidInput, match="latitude"):
        oudin([10.0], [1], latitude)


@pytest.mark.parametrize("day", [0, 367, math.nan])
def test_a_day_outside_the_year_is_refused(day):
    with pytest.raises(InvalidInput, match=r"\[1, 366\]"):
        extraterrestrial_radiation([day], 50.0)


def test_kelvin_is_refused():
    with pytest.raises(InvalidInput, match="degrees Celsius"):
        oudin([283.15], [1], 50.0)


def test_other_lengths_are_refused():
    with pytest.raises(InvalidInput, match=r"\(2,\), day_of_year \(1,\)"):
        oudin([1.0, 2.0], [1], 50.0)
