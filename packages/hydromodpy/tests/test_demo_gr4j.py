"""GR4J: the equations of the paper, the authors' own figures, and that no water is lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_core.errors import InvalidInput
from hydromodpy.demo.gr4j import UNITS, Gr4jResult, Parameters, simulate, unit_hydrographs

MEDIAN = Parameters(x1=350.0, x2=0.5, x3=90.0, x4=1.7)


def weather(days: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rain = np.where(generator.random(days) < 0.4, generator.gamma(0.8, 8.0, days), 0.0)
    return rain, 2.0 + 2.0 * np.sin(np.arange(days) / 58.0)


def imbalance(rain: np.ndarray, result: Gr4jResult) -> np.ndarray:
    stores = result.production_store + result.routing_store + result.unit_hydrograph_store
    gained = np.diff(stores, prepend=result.initial_storage)
    return rain + result.exchange - result.actual_evapotranspiration - result.discharge - gained


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_wet_day_is_that_worked_out_from_the_paper():
    """P = 10, E = 2, S = 0.3 x 350 = 105 mm, R = 0.5 x 90 = 45 mm.

    Pn = 8; tanh(8/350) = 0.0228531631; Ps = 350 (1 - 0.09) tanh / (1 + 0.3 tanh) = 7.2291696375;
    S = 112.2291696375; Perc = S (1 - (1 + (4 S / (9 x 350))^4)^(-1/4)) = 0.0115705649;
    Pr = Perc + Pn - Ps = 0.7824009274; SH1(1) = (1/1.7)^2.5, SH2(1) = SH1(1) / 2;
    Q9 = 0.1868742930; Q1 = 0.0103819052; F = 0.5 (45/90)^3.5 = 0.0441941738;
    R = 45.2310684668; Qr = R (1 - (1 + (R/90)^4)^(-1/4)) = 0.6939105043; Qd = 0.0545760790.
    """
    result = simulate([10.0], [2.0], MEDIAN)
    assert result.percolation[0] == pytest.approx(0.011570564872665317, abs=1e-12)
    assert result.production_store[0] == pytest.approx(112.21759907259843, abs=1e-10)
    assert result.routing_store[0] == pytest.approx(44.53715796254955, abs=1e-10)
    assert result.exchange[0] == pytest.approx(2 * 0.04419417382415922, abs=1e-12)
    assert result.actual_evapotranspiration[0] == 2.0
    assert result.discharge[0] == pytest.approx(0.7484865832409064, abs=1e-12)


def test_the_first_dry_day_is_that_worked_out_from_the_paper():
    """P = 0, E = 3, S = 105: Es = S (2 - 0.3) tanh(3/350) / (1 + 0.7 tanh(3/350)) = 1.5208377288."""
    result = simulate([0.0], [3.0], MEDIAN)
    assert result.actual_evapotranspiration[0] == pytest.approx(1.5208377288039958, abs=1e-12)


#: The first days of the example in the authors' spreadsheet GR4J_en.xlsx (INRAE, webgr.inrae.fr): the Léguer
#: at Belle-Isle-en-Terre from 1 January 1991: rain, potential evapotranspiration and simulated discharge, mm.
SPREADSHEET = np.array(
    [
        (14.1, 0.46, 4.1007378585),
        (3.7, 0.46, 4.5715803348),
        (7.1, 0.47, 4.2101509074),
        (9.3, 0.47, 4.4134531662),
        (7.1, 0.48, 4.6946613828),
        (1.2, 0.48, 4.3459087231),
        (11.7, 0.49, 4.2165665165),
        (26.2, 0.49, 6.4772402568),
        (33.6, 0.50, 12.0495714855),
        (51.1, 0.50, 22.4639837144),
        (4.1, 0.54, 23.8325104188),
        (2.7, 0.55, 12.1810289814),
        (0.2, 0.56, 7.9640378546),
        (0.0, 0.56, 5.8467370477),
        (0.0, 0.56, 4.6981205928),
        (3.6, 0.56, 4.251674721),
    ]
)


def test_the_authors_spreadsheet_gives_the_same_discharge():
    parameters = Parameters(
        x1=math.exp(5.76865628090826),
        x2=math.sinh(1.61742503661094),
        x3=math.exp(4.24316129943456),
        x4=math.exp(-0.117506799276908) + 0.5,
    )
    rain, evaporation, expected = SPREADSHEET.T
    result = simulate(rain, evaporation, parameters, production_fill=0.6, routing_fill=0.7)
    assert result.discharge == pytest.approx(expected, abs=1e-9)


# ── water ────────────────────────────────────────────────────────────────────────────────────────────

parameter_sets = st.builds(
    Parameters,
    x1=st.floats(1.0, 3000.0),
    x2=st.floats(-20.0, 20.0),
    x3=st.floats(1.0, 1000.0),
    x4=st.floats(0.5, 20.0),
)
days = st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.0, 15.0)), min_size=1, max_size=60)
fills = st.floats(0.0, 1.0)


@given(days, parameter_sets, fills, fills)
def test_no_water_is_lost_or_made(record, parameters, production_fill, routing_fill):
    rain, evaporation = (np.array(column) for column in zip(*record, strict=True))
    result = simulate(rain, evaporation, parameters, production_fill=production_fill, routing_fill=routing_fill)
    assert np.abs(imbalance(rain, result)).max() < 1e-9


@given(days, parameter_sets)
def test_fluxes_and_stores_stay_physical(record, parameters):
    rain, evaporation = (np.array(column) for column in zip(*record, strict=True))
    result = simulate(rain, evaporation, parameters)
    for values in (result.discharge, result.percolation, result.unit_hydrograph_store):
        assert (values >= 0).all()
    assert ((result.production_store >= 0) & (result.production_store <= parameters.x1 * (1 + 1e-12))).all()
    assert ((result.routing_store >= 0) & (result.routing_store <= parameters.x3 * (1 + 1e-12))).all()
    assert (result.actual_evapotranspiration <= evaporation + rain + 1e-12).all()


def test_ten_years_balance_to_a_billionth_of_a_millimetre():
    rain, evaporation = weather(3650)
    result = simulate(rain, evaporation, MEDIAN)
    assert np.abs(imbalance(rain, result)).max() < 1e-9
    assert abs(imbalance(rain, result).sum()) < 1e-9


def test_a_store_cannot_lose_more_than_it_holds():
    result = simulate([0.0] * 50, [0.0] * 50, Parameters(x1=350.0, x2=-200.0, x3=90.0, x4=1.7))
    assert result.routing_store.min() >= 0
    assert np.abs(imbalance(np.zeros(50), result)).max() < 1e-9


def test_empty_stores_without_rain_give_no_discharge():
    result = simulate([0.0] * 30, [3.0] * 30, MEDIAN, production_fill=0.0, routing_fill=0.0)
    assert not result.discharge.any()
    assert not result.actual_evapotranspiration.any()


def test_a_deluge_beyond_the_range_of_floats_is_still_a_number():
    result = simulate([1e200], [0.0], MEDIAN)
    assert np.isfinite(result.discharge).all()


# ── what the parameters do ───────────────────────────────────────────────────────────────────────────


def total(parameters: Parameters = MEDIAN, wetter: float = 1.0, warmer: float = 1.0) -> float:
    rain, evaporation = weather(1500)
    return float(simulate(rain * wetter, evaporation * warmer, parameters).discharge.sum())


def test_more_rain_gives_more_discharge():
    assert total(wetter=0.8) < total() < total(wetter=1.2)


def test_more_evaporative_demand_gives_less_discharge():
    assert total(warmer=0.8) > total() > total(warmer=1.2)


def test_a_larger_exchange_coefficient_gives_more_discharge():
    totals = [total(Parameters(350.0, x2, 90.0, 1.7)) for x2 in (-4.0, -1.0, 0.0, 1.0, 4.0)]
    assert totals == sorted(totals)
    assert len(set(totals)) == 5


def test_without_exchange_coefficient_nothing_is_exchanged():
    result = simulate(*weather(500), Parameters(350.0, 0.0, 90.0, 1.7))
    assert np.abs(result.exchange).max() < 1e-12


def test_a_longer_time_base_delays_and_flattens_the_peak():
    rain = np.zeros(40)
    rain[5] = 60.0
    floods = [simulate(rain, np.zeros(40), Parameters(350.0, 0.0, 90.0, x4)).discharge for x4 in (1.0, 3.0, 6.0)]
    assert [int(flood.argmax()) for flood in floods] == sorted({int(flood.argmax()) for flood in floods})
    assert floods[0].max() > floods[1].max() > floods[2].max()


def test_the_initial_fill_is_forgotten():
    """Why a year of warm-up is enough."""
    rain, evaporation = weather(1500)
    full = simulate(rain, evaporation, MEDIAN, production_fill=1.0, routing_fill=1.0).discharge
    empty = simulate(rain, evaporation, MEDIAN, production_fill=0.0, routing_fill=0.0).discharge
    assert abs(full - empty)[:30].max() > 1.0
    assert abs(full - empty)[730:].max() < 0.01


# ── unit hydrographs ─────────────────────────────────────────────────────────────────────────────────


@given(st.floats(0.5, 50.0))
def test_the_unit_hydrographs_sum_to_one(x4):
    for ordinates in unit_hydrographs(x4):
        assert ordinates.sum() == pytest.approx(1.0, abs=1e-12)
        assert (ordinates >= 0).all()


@pytest.mark.parametrize(("x4", "lengths"), [(0.5, (1, 1)), (1.0, (1, 2)), (1.7, (2, 4)), (3.2, (4, 7))])
def test_the_unit_hydrographs_last_one_and_two_time_bases(x4, lengths):
    assert tuple(ordinates.size for ordinates in unit_hydrographs(x4)) == lengths


def test_the_second_unit_hydrograph_of_a_whole_number_is_symmetric():
    _, second = unit_hydrographs(3.0)
    assert second == pytest.approx(second[::-1])


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        {"x1": 0.0},
        {"x1": -1.0},
        {"x3": 0.0},
        {"x4": 0.4},
        {"x2": math.nan},
        {"x2": math.inf},
        {"x1": math.inf},
        {"x4": math.nan},
    ],
)
def test_parameters_outside_their_bounds_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(InvalidInput, match=f"parameter {name} is"):
        Parameters(**{**MEDIAN.as_dict(), **wrong})


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_a_gap_or_a_negative_value_is_refused_with_its_day(value):
    with pytest.raises(InvalidInput, match=r"precipitation has 1 values .* on day 2"):
        simulate([1.0, 2.0, value], [1.0, 1.0, 1.0], MEDIAN)


@pytest.mark.parametrize(("rain", "evaporation"), [([1.0], [1.0, 2.0]), ([], [])])
def test_other_lengths_or_no_day_are_refused(rain, evaporation):
    with pytest.raises(InvalidInput, match="expected the same days, at least one"):
        simulate(rain, evaporation, MEDIAN)


def test_several_catchments_at_once_are_refused():
    with pytest.raises(InvalidInput, match=r"shape \(1, 2\)"):
        simulate([[1.0, 2.0]], [1.0, 2.0], MEDIAN)


def test_text_is_refused():
    with pytest.raises(InvalidInput, match="not a series of numbers"):
        simulate(["wet"], [1.0], MEDIAN)


@pytest.mark.parametrize("fill", [-0.1, 1.1, math.nan])
def test_a_fill_outside_zero_to_one_is_refused(fill):
    with pytest.raises(InvalidInput, match="routing_fill"):
        simulate([1.0], [1.0], MEDIAN, routing_fill=fill)


def test_every_parameter_has_a_unit():
    assert list(UNITS) == list(MEDIAN.as_dict())


@settings(max_examples=20)
@given(parameter_sets)
def test_the_same_input_gives_the_same_output(parameters):
    record = weather(200)
    assert (simulate(*record, parameters).discharge == simulate(*record, parameters).discharge).all()
