"""Calibration: it finds known parameters, fits the Fulda, repeats itself, and leaves the process as it was."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
import threading
from datetime import date
from importlib.util import find_spec

import numpy as np
import pytest

from hmp_catalog.metrics import evaluate
from hmp_core.errors import InvalidInput
from hydromodpy.demo import evapotranspiration, fulda
from hydromodpy.demo.calibrate import RANGES, TRIAL_METRICS, Trial, best, calibrate
from hydromodpy.demo.gr4j import Parameters, simulate
from hydromodpy.demo.periods import Period, split

pytestmark = pytest.mark.skipif(find_spec("spotpy") is None, reason="calibration needs spotpy")

#: Half a year scored after half a year of warm-up: a trial takes less than a millisecond.
SHORT = Period("calibration", date(1979, 7, 1), date(1979, 12, 31))


@pytest.fixture(scope="module")
def record():
    return fulda.read()


@pytest.fixture(scope="module")
def forcing(record):
    demand = evapotranspiration.oudin(record["air_temperature"], record.index.day_of_year, fulda.LATITUDE)
    return record[["precipitation"]].assign(potential_evapotranspiration=demand)


@pytest.fixture(scope="module")
def observed(record):
    return fulda.to_depth(record["discharge"])


@pytest.fixture(scope="module")
def fitted(forcing, observed):
    return calibrate(forcing, observed, repetitions=1200, seed=1)


# ── what it finds ────────────────────────────────────────────────────────────────────────────────────


def test_the_fulda_is_fitted_in_the_calibration_years(fitted):
    metrics = best(fitted).metrics
    assert metrics["kge"] > 0.87
    assert metrics["nse"] > 0.75


def test_the_fit_holds_in_the_years_it_has_not_seen(fitted, forcing, observed):
    discharge = simulate(*forcing.to_numpy().T, best(fitted).parameters).discharge
    judged = split(forcing.index).validation.mask(forcing.index)
    scores = evaluate(discharge[judged], observed[judged].to_numpy(), ["nse", "kge"])
    assert scores["kge"] > 0.85
    assert scores["nse"] > 0.72


def test_known_parameters_are_found_again(forcing):
    true = Parameters(x1=400.0, x2=-1.0, x3=60.0, x4=2.2)
    flows = simulate(*forcing.to_numpy().T, true).discharge
    period = Period("calibration", date(1980, 1, 1), date(1981, 12, 31))
    found = best(calibrate(forcing, flows, period=period, repetitions=1500, seed=3)).parameters
    assert found.as_dict() == pytest.approx(true.as_dict(), rel=0.05)


def test_trials_stay_within_the_ranges(fitted):
    for name, (low, high) in RANGES.items():
        values = [trial.parameters.as_dict()[name] for trial in fitted]
        assert low <= min(values)
        assert max(values) <= high


def test_the_best_is_not_at_a_bound(fitted):
    for name, (low, high) in RANGES.items():
        value = best(fitted).parameters.as_dict()[name]
        assert low + 0.02 * (high - low) < value < high - 0.02 * (high - low)


def test_a_trial_is_what_the_model_gives_for_its_parameters(fitted, forcing, observed):
    trial = fitted[7]
    scored = split(forcing.index).calibration.mask(forcing.index)
    discharge = simulate(*forcing.to_numpy().T, trial.parameters).discharge
    again = evaluate(discharge[scored], observed[scored].to_numpy(), TRIAL_METRICS)
    assert trial.metrics == pytest.approx(again, rel=1e-12)
    assert trial.value == trial.metrics["kge"]


def test_days_without_a_measurement_are_left_out(forcing, observed):
    gappy = observed.to_numpy().copy()
    gappy[185:200] = math.nan
    (trial,) = calibrate(forcing, gappy, period=SHORT, repetitions=1)
    assert not math.isnan(trial.value)


# ── how it behaves ───────────────────────────────────────────────────────────────────────────────────


def test_the_budget_is_kept_to_the_run(forcing, observed):
    for repetitions in (1, 35, 36, 37, 150):
        trials = calibrate(forcing, observed, period=SHORT, repetitions=repetitions)
        assert [trial.number for trial in trials] == list(range(repetitions))


def test_the_same_seed_gives_the_same_trials(forcing, observed):
    here, there = (calibrate(forcing, observed, period=SHORT, repetitions=120, seed=5) for _ in range(2))
    assert here == there


def test_another_seed_gives_other_trials(forcing, observed):
    here, there = (calibrate(forcing, observed, period=SHORT, repetitions=5, seed=seed) for seed in (1, 2))
    assert here[0].parameters != there[0].parameters


def test_each_trial_is_told_as_it_happens(forcing, observed):
    told = []
    trials = calibrate(forcing, observed, period=SHORT, repetitions=50, on_trial=lambda *trial: told.append(trial))
    assert told == [(trial.parameters.as_dict(), trial.value, trial.metrics) for trial in trials]


def test_what_the_listener_raises_reaches_the_caller(forcing, observed):
    def listener(*_):
        seen.append(1)
        if len(seen) == 3:
            raise TypeError("the disk is full")

    seen: list[int] = []
    with pytest.raises(TypeError, match="the disk is full"):
        calibrate(forcing, observed, period=SHORT, repetitions=50, on_trial=listener)
    assert len(seen) == 3


def test_spotpy_is_not_heard(forcing, observed, capfd):
    calibrate(forcing, observed, period=SHORT, repetitions=60)
    assert capfd.readouterr() == ("", "")


def test_what_spotpy_says_is_in_the_log(forcing, observed, caplog):
    with caplog.at_level(logging.DEBUG, logger="hydromodpy.demo.calibrate"):
        calibrate(forcing, observed, period=SHORT, repetitions=40)
    assert any("Complex Evolution" in record.getMessage() for record in caplog.records)


def test_the_listener_is_heard(forcing, observed, capsys):
    calibrate(forcing, observed, period=SHORT, repetitions=3, on_trial=lambda *_: print("trial"))
    assert capsys.readouterr().out == "trial\n" * 3


def test_other_threads_are_heard_while_spotpy_is_not(forcing, observed, capsys):
    """A progress bar refreshes from a thread of its own."""
    over = threading.Event()
    printed = []

    def bar():
        while not over.wait(0.002):
            sys.stdout.write("tick\n")
            printed.append(1)

    thread = threading.Thread(target=bar)
    thread.start()
    try:
        calibrate(forcing, observed, period=SHORT, repetitions=100)
    finally:
        over.set()
        thread.join(30)
    assert len(printed) > 5
    assert capsys.readouterr().out == "tick\n" * len(printed)


def test_standard_output_is_given_back(forcing, observed):
    before = sys.stdout
    calibrate(forcing, observed, period=SHORT, repetitions=2)
    assert sys.stdout is before


def test_no_file_is_written(forcing, observed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calibrate(forcing, observed, period=SHORT, repetitions=60)
    assert list(tmp_path.iterdir()) == []


def test_the_global_random_generators_are_left_as_they_were(forcing, observed):
    random.seed(11)
    np.random.seed(11)
    expected = random.random(), np.random.random()
    random.seed(11)
    np.random.seed(11)
    calibrate(forcing, observed, period=SHORT, repetitions=60)
    assert (random.random(), np.random.random()) == expected


def test_importing_spotpy_does_not_configure_the_logging_of_the_process():
    code = (
        "import logging, sys; from hydromodpy.demo import calibrate\n"
        "calibrate._spotpy(); sys.exit(len(logging.getLogger().handlers))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_a_missing_column_is_named(forcing, observed):
    with pytest.raises(InvalidInput, match="no column potential_evapotranspiration"):
        calibrate(forcing[["precipitation"]], observed)


def test_other_lengths_are_refused(forcing, observed):
    with pytest.raises(InvalidInput, match=r"\(3652,\), forcing 3653 days"):
        calibrate(forcing, observed.to_numpy()[1:])


def test_other_dates_are_refused(forcing, observed):
    with pytest.raises(InvalidInput, match="different dates"):
        calibrate(forcing, observed.shift(1, freq="D"))


def test_a_period_outside_the_record_is_refused(forcing, observed):
    with pytest.raises(InvalidInput, match="no day of the forcing"):
        calibrate(forcing, observed, period=Period("calibration", date(2001, 1, 1), date(2002, 1, 1)))


def test_a_budget_of_nothing_is_refused(forcing, observed):
    with pytest.raises(InvalidInput, match="repetitions is 0"):
        calibrate(forcing, observed, repetitions=0)


def test_a_missing_spotpy_is_named():
    code = (
        "import sys; sys.modules['spotpy'] = None\n"
        "from hydromodpy.demo import calibrate; from hmp_core.errors import MissingPart\n"
        "try: calibrate.calibrate(None, None)\n"
        "except MissingPart as error: print(error.install)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "hmp-hydromodpy[demo]\n"


# ── the best of them ─────────────────────────────────────────────────────────────────────────────────


def trial(number: int, value: float) -> Trial:
    return Trial(number, Parameters(350.0, 0.0, 90.0, 1.7), value, {"kge": value})


def test_the_best_has_the_highest_value_and_is_the_earliest_of_equals():
    values = [0.1, math.nan, 0.5, 0.5, -3.0]
    assert best([trial(number, value) for number, value in enumerate(values)]).number == 2


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_nothing_is_the_best_of_nothing(values):
    with pytest.raises(InvalidInput, match="nothing can be called the best"):
        best([trial(0, value) for value in values])
