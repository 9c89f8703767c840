"""The goodness-of-fit measures: hand-computed values, properties, and the same formulas in spotpy."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog import metrics
from hmp_catalog.metrics import METRICS, evaluate
from hmp_core.errors import InvalidInput

NAN = math.nan
#: Deviations of the observed: -2.5 -0.5 0.5 2.5 (sum of squares 13, mean 3.5); errors: 1 0 -1 2.
OBSERVED = [1.0, 3.0, 4.0, 6.0]
SIMULATED = [2.0, 3.0, 3.0, 8.0]

HAND = {
    "nse": 1 - 6 / 13,
    "mse": 6 / 4,
    "rmse": math.sqrt(1.5),
    "mae": 4 / 4,
    "bias": 2 / 4,
    "pbias": 100 * 2 / 14,
    # deviations of the simulated (mean 4): -2 -1 -1 4, squares 22, products 5 + 0.5 - 0.5 + 10 = 15
    "r2": 15**2 / (22 * 13),
    "kge": 1 - math.sqrt((15 / math.sqrt(286) - 1) ** 2 + (math.sqrt(22 / 13) - 1) ** 2 + (4 / 3.5 - 1) ** 2),
}


@pytest.mark.parametrize("name", HAND)
def test_a_measure_has_the_value_worked_out_by_hand(name):
    assert METRICS[name].function(SIMULATED, OBSERVED) == pytest.approx(HAND[name], rel=1e-14)


def test_kge_2012_uses_coefficients_of_variation():
    r, gamma, beta = 15 / math.sqrt(286), (math.sqrt(22) / 4) / (math.sqrt(13) / 3.5), 4 / 3.5
    expected = 1 - math.sqrt((r - 1) ** 2 + (gamma - 1) ** 2 + (beta - 1) ** 2)
    assert metrics.kge(SIMULATED, OBSERVED, method="2012") == pytest.approx(expected, rel=1e-14)


def test_kge_of_the_observed_mean_is_one_minus_root_two():
    """Knoben et al. (2019): r = 0 and alpha = 0 by convention; approached here, as r is not defined there."""
    almost_mean = np.full(4, 3.5) + 1e-9 * np.array([1.0, -1.0, -1.0, 1.0])
    assert metrics.kge(almost_mean, OBSERVED) == pytest.approx(1 - math.sqrt(2), abs=1e-6)


def test_an_unknown_kge_method_is_refused():
    with pytest.raises(InvalidInput, match="expected '2009' or '2012'"):
        metrics.kge(SIMULATED, OBSERVED, method="2011")


def test_log_nse_is_the_nse_of_logarithms_of_values_raised_by_a_hundredth_of_the_observed_mean():
    epsilon = 3.5 / 100
    s, o = [math.log(v + epsilon) for v in SIMULATED], [math.log(v + epsilon) for v in OBSERVED]
    mean = sum(o) / 4
    expected = 1 - sum((a - b) ** 2 for a, b in zip(s, o, strict=True)) / sum((b - mean) ** 2 for b in o)
    assert metrics.log_nse(SIMULATED, OBSERVED) == pytest.approx(expected, rel=1e-12)


def test_log_nse_keeps_days_without_flow():
    assert metrics.log_nse([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) == 1.0


def test_log_nse_of_negative_values_is_nan():
    assert math.isnan(metrics.log_nse([-1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))


# ── what all of them share ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", METRICS)
def test_pairs_with_nan_on_either_side_are_left_out(name):
    function = METRICS[name].function
    assert function([2, NAN, 3, 3, 7, 8], [1, 5, 3, 4, NAN, 6]) == function(SIMULATED, OBSERVED)


@pytest.mark.parametrize("name", METRICS)
def test_other_lengths_are_refused(name):
    with pytest.raises(InvalidInput, match=r"\(3,\), observed \(4,\)"):
        METRICS[name].function([1, 2, 3], OBSERVED)


@pytest.mark.parametrize("name", METRICS)
def test_no_overlap_is_refused(name):
    with pytest.raises(InvalidInput, match="same period"):
        METRICS[name].function([1.0, NAN], [NAN, 1.0])


def test_empty_series_are_refused():
    with pytest.raises(InvalidInput, match="none of the 0 positions"):
        metrics.nse([], [])


def test_two_dimensions_are_refused():
    with pytest.raises(InvalidInput, match="one-dimensional"):
        metrics.nse([SIMULATED], [OBSERVED])


def test_infinite_values_are_refused_and_not_left_out():
    with pytest.raises(InvalidInput, match="simulated has 1 infinite of 4"):
        metrics.rmse([2.0, math.inf, 3.0, 8.0], OBSERVED)


def test_text_is_refused():
    with pytest.raises(InvalidInput, match="observed is not a series of numbers"):
        metrics.nse(SIMULATED, ["a", "b", "c", "d"])


def test_masked_values_count_as_missing():
    masked = np.ma.masked_array([2.0, 99.0, 3.0, 3.0, 8.0], mask=[0, 1, 0, 0, 0])
    assert metrics.nse(masked, [1.0, 5.0, 3.0, 4.0, 6.0]) == pytest.approx(HAND["nse"])


def test_missing_values_of_nullable_pandas_types_are_left_out():
    nullable = pd.Series([2, None, 3, 3, 8], dtype="Int64")
    assert metrics.mae(nullable, [1.0, 5.0, 3.0, 4.0, 6.0]) == HAND["mae"]


def test_pandas_series_with_other_dates_are_refused():
    days = pd.date_range("1980-01-01", periods=5)
    with pytest.raises(InvalidInput, match="different indexes"):
        metrics.nse(pd.Series(SIMULATED, index=days[1:]), pd.Series(OBSERVED, index=days[:-1]))


def test_xarray_series_with_other_dates_are_refused():
    days = pd.date_range("1980-01-01", periods=5)
    simulated = xr.DataArray(SIMULATED, coords={"time": days[1:]}, dims="time")
    observed = xr.DataArray(OBSERVED, coords={"time": days[:-1]}, dims="time")
    with pytest.raises(InvalidInput, match="different indexes"):
        metrics.nse(simulated, observed)


def test_pandas_and_xarray_with_the_same_dates_are_paired():
    days = pd.date_range("1980-01-01", periods=4)
    simulated = xr.DataArray(SIMULATED, coords={"time": days}, dims="time")
    assert metrics.nse(simulated, pd.Series(OBSERVED, index=days)) == pytest.approx(HAND["nse"])


@pytest.mark.parametrize("name", ["nse", "log_nse", "kge", "r2"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 2.0])
def test_without_observed_variance_the_answer_is_nan(name, constant):
    assert math.isnan(METRICS[name].function([1.0, 2.0, 4.0], [constant] * 3))


@pytest.mark.parametrize("name", ["kge", "r2"])
@pytest.mark.parametrize("constant", [0.1, 2.0])
def test_without_simulated_variance_the_correlation_measures_are_nan(name, constant):
    assert math.isnan(METRICS[name].function([constant] * 3, [1.0, 2.0, 4.0]))


def test_a_constant_simulation_still_has_an_nse():
    assert metrics.nse([3.5] * 4, OBSERVED) == 0.0


def test_one_pair_has_an_error_but_no_efficiency():
    answer = evaluate([2.0], [1.0])
    assert (answer["rmse"], answer["bias"], answer["pbias"]) == (1.0, 1.0, 100.0)
    assert math.isnan(answer["nse"])
    assert math.isnan(answer["kge"])


@pytest.mark.parametrize("name", ["kge", "pbias"])
def test_an_observed_mean_of_zero_gives_nan(name):
    assert math.isnan(METRICS[name].function([1.0, 2.0], [-1.0, 1.0]))


# ── properties ───────────────────────────────────────────────────────────────────────────────────────

values = st.floats(0.01, 1000.0).map(lambda v: round(v, 2))
rows = st.lists(st.tuples(values, values), min_size=3, max_size=40)


def varied(column: list[float]) -> bool:
    return len(set(column)) > 1


@given(st.lists(values, min_size=2, max_size=40).filter(varied))
def test_a_perfect_simulation_has_the_best_value_of_every_measure(x):
    for name, value in evaluate(x, x).items():
        assert value == pytest.approx(METRICS[name].best, abs=1e-12)


@given(st.lists(values, min_size=2, max_size=40).filter(varied))
def test_nse_of_a_perfect_simulation_is_exactly_one(x):
    assert metrics.nse(x, x) == 1.0


@given(rows, st.permutations(range(3)))
def test_the_order_of_the_pairs_does_not_matter(pairs, first_three):
    shuffled = [pairs[i] for i in first_three] + pairs[3:]
    here, there = evaluate(*zip(*pairs, strict=True)), evaluate(*zip(*shuffled, strict=True))
    assert there == pytest.approx(here, nan_ok=True, rel=1e-9, abs=1e-9)


@given(rows, st.sampled_from([1e-3, 86.4, 1e3]))
def test_efficiencies_do_not_depend_on_the_unit(pairs, factor):
    """m3/s or mm/d: nse, log_nse, kge, r2 and pbias say the same."""
    s, o = (np.array(column) for column in zip(*pairs, strict=True))
    names = ["nse", "log_nse", "kge", "r2", "pbias"]
    here, there = evaluate(s, o, names), evaluate(s * factor, o * factor, names)
    assert there == pytest.approx(here, nan_ok=True, rel=1e-6, abs=1e-6)


@given(rows, st.floats(-100, 100))
def test_nse_and_errors_do_not_depend_on_the_datum(pairs, datum):
    s, o = (np.array(column) for column in zip(*pairs, strict=True))
    names = ["nse", "rmse", "mae", "bias"]
    here, there = evaluate(s, o, names), evaluate(s + datum, o + datum, names)
    if varied(list(o)):
        assert there == pytest.approx(here, rel=1e-6, abs=1e-6)


@given(rows)
def test_values_stay_within_the_physical_range(pairs):
    for name, value in evaluate(*zip(*pairs, strict=True)).items():
        metric = METRICS[name]
        low = -math.inf if metric.physical_min is None else metric.physical_min
        high = math.inf if metric.physical_max is None else metric.physical_max
        assert math.isnan(value) or low <= value <= high


@given(rows)
def test_no_efficiency_beats_the_squared_correlation(pairs):
    """nse <= r2 (Murphy 1988)."""
    s, o = zip(*pairs, strict=True)
    if varied(list(s)) and varied(list(o)):
        assert metrics.nse(s, o) <= metrics.r2(s, o) + 1e-9


# ── the records ──────────────────────────────────────────────────────────────────────────────────────


def test_every_measure_is_described():
    assert set(METRICS) == {"nse", "log_nse", "kge", "r2", "rmse", "mse", "mae", "bias", "pbias"}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.function is getattr(metrics, name)
        assert metric.description
        assert metric.reference


def test_the_registry_is_read_only():
    with pytest.raises(TypeError):
        METRICS["nse"] = METRICS["kge"]


def test_the_best_value_is_at_the_end_that_the_direction_names():
    for metric in METRICS.values():
        end = {True: metric.physical_max, False: metric.physical_min, None: 0.0}[metric.higher_is_better]
        assert metric.best == end


@pytest.mark.parametrize(
    ("name", "unit"),
    [("nse", "1"), ("rmse", "m3 s-1"), ("mse", "(m3 s-1)^2"), ("bias", "m3 s-1"), ("pbias", "%")],
)
def test_the_unit_follows_the_rule(name, unit):
    assert METRICS[name].unit("m3 s-1") == unit


def test_evaluate_answers_in_the_order_asked():
    assert list(evaluate(SIMULATED, OBSERVED, ["pbias", "nse"])) == ["pbias", "nse"]


def test_evaluate_takes_one_name_as_one_name():
    assert list(evaluate(SIMULATED, OBSERVED, "nse")) == ["nse"]


def test_evaluate_answers_plain_floats():
    assert all(type(value) is float for value in evaluate(SIMULATED, OBSERVED).values())


def test_an_unknown_name_is_refused_with_the_close_one():
    with pytest.raises(InvalidInput, match="did you mean 'log_nse'"):
        evaluate(SIMULATED, OBSERVED, ["lognse"])


def test_reading_the_registry_does_not_import_numpy():
    code = "import sys, hmp_catalog.metrics as m; m.METRICS['nse'].best; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ── the same formulas elsewhere ──────────────────────────────────────────────────────────────────────

SAME_IN_SPOTPY = {
    "nse": ("nashsutcliffe", 1),
    "kge": ("kge", 1),
    "r2": ("rsquared", 1),
    "rmse": ("rmse", 1),
    "mse": ("mse", 1),
    "mae": ("mae", 1),
    "pbias": ("pbias", 1),
    "bias": ("bias", -1),  # spotpy's is observed minus simulated
}


@pytest.mark.parametrize("name", SAME_IN_SPOTPY)
def test_spotpy_computes_the_same(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its sources hold escapes that compile with a warning
        reference = pytest.importorskip("spotpy.objectivefunctions", reason="spotpy is not installed")
    generator = np.random.default_rng(7)
    observed = generator.gamma(2.0, 1.5, 200)
    simulated = observed * generator.normal(1.1, 0.2, 200)
    function, sign = SAME_IN_SPOTPY[name]
    expected = sign * getattr(reference, function)(observed, simulated)
    assert METRICS[name].function(simulated, observed) == pytest.approx(expected, rel=1e-12)
