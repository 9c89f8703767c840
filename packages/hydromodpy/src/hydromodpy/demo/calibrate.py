"""The parameters of GR4J that fit a record best, sought with spotpy's SCE-UA by the Kling-Gupta efficiency."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.metrics import METRICS, evaluate
from hmp_core.errors import InvalidInput, MissingPart
from hydromodpy.demo.gr4j import Parameters, simulate
from hydromodpy.demo.periods import Period, split

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    OnTrial = Callable[[dict[str, float], float, dict[str, float]], object]

#: Where parameters are sought: the 80 % confidence intervals of Perrin et al. (2003), table 1 (x1 100-1200,
#: x2 -5-3, x3 20-300, x4 1.1-2.9), about twice as wide, so that an optimum at a bound means something.
RANGES = {"x1": (50.0, 2500.0), "x2": (-10.0, 6.0), "x3": (10.0, 600.0), "x4": (0.5, 6.0)}
#: What the search maximises.
OBJECTIVE = "kge"
#: What is reported of each trial.
TRIAL_METRICS = ("kge", "nse", "log_nse", "rmse", "pbias")

#: Complexes of SCE-UA. With 3, 4 or 7 the search ends at the same optimum to 0.001 of KGE, after about 600,
#: 700 and 1,250 runs (three seeds each, Fulda record).
_COMPLEXES = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """One parameter set that was tried, and how it did in the calibration period."""

    #: Counts from 0 in the order tried.
    number: int
    parameters: Parameters
    #: The Kling-Gupta efficiency; NaN where it is not defined.
    value: float
    #: `TRIAL_METRICS` by name; errors in mm/d.
    metrics: dict[str, float]


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest value; the earliest of equals.

    Raises
    ------
    InvalidInput
        No trial, or none with a value.
    """
    ranked = [trial for trial in trials if not math.isnan(trial.value)]
    if not ranked:
        message = f"none of {len(trials)} trials has a value: nothing can be called the best"
        raise InvalidInput(message)
    return max(ranked, key=lambda trial: trial.value)


def calibrate(
    forcing: pd.DataFrame,
    observed: ArrayLike,
    *,
    period: Period | None = None,
    repetitions: int = 2000,
    seed: int = 1,
    on_trial: OnTrial | None = None,
) -> list[Trial]:
    """Search the parameters of GR4J with which it fits `observed` best.

    Parameters
    ----------
    forcing : pandas.DataFrame, shape (n, 2 or more)
        Index of days; columns ``precipitation`` and ``potential_evapotranspiration`` [mm d-1].
    observed : array_like, shape (n,)
        Discharge of the same days [mm d-1]; NaN where none was measured.
    period : Period, optional
        Days that are scored; ``split(forcing.index).calibration`` by default. What comes before warms the
        model up, what comes after is not even simulated.
    repetitions : int
        Model runs at most (a hard limit, unlike spotpy's own); fewer once the search has converged.
    seed : int
        The same seed gives the same trials. The global random generators are left as they were.
    on_trial : callable, optional
        Called after each run with the parameters, the value and the metrics. What it raises ends the
        search and reaches the caller.

    Returns
    -------
    list of Trial
        In the order tried.

    Raises
    ------
    MissingPart
        spotpy is not installed.
    InvalidInput
        A column is missing, lengths differ, no day to score, or `repetitions` below one.

    References
    ----------
    Duan, Q., Sorooshian, S. & Gupta, V. K. (1994), J. Hydrol. 158, 265-284 (SCE-UA).
    Gupta, H. V. et al. (2009), J. Hydrol. 377, 80-91 (the objective).
    Houska, T. et al. (2015), PLoS ONE 10, e0145180 (spotpy).

    Examples
    --------
    >>> from hydromodpy.demo import evapotranspiration, fulda
    >>> record = fulda.read()
    >>> forcing = record[["precipitation"]].assign(
    ...     potential_evapotranspiration=evapotranspiration.oudin(
    ...         record["air_temperature"], record.index.day_of_year, fulda.LATITUDE
    ...     )
    ... )
    >>> trials = calibrate(forcing, fulda.to_depth(record["discharge"]), repetitions=20, seed=1)
    >>> len(trials), best(trials).value > 0
    (20, True)
    """
    spotpy = _spotpy()
    if repetitions < 1:
        message = f"repetitions is {repetitions}: expected at least one model run"
        raise InvalidInput(message)
    score = _score(forcing, observed, period)
    with _own_random_state():  # also for the set-up: a parameter of spotpy draws when it is made
        search = _Search(spotpy, score, repetitions, on_trial)
        with _quiet(search), contextlib.suppress(_BudgetSpentError):
            sampler = spotpy.algorithms.sceua(
                search, dbname="", dbformat="ram", save_sim=False, parallel="seq", random_state=seed
            )
            # spotpy counts runs of the evolution twice and ends only with a loop: its limit is out of reach.
            sampler.sample(10 * repetitions + 1000, ngs=_COMPLEXES, kstop=30, peps=1e-4, pcento=1e-4)
    return search.trials


def _spotpy() -> Any:
    root = logging.getLogger()
    handlers = list(root.handlers)
    with warnings.catch_warnings():
        # Some of its sources hold escapes that Python >= 3.12 warns about when it first compiles them.
        warnings.simplefilter("ignore")
        try:
            import spotpy
        except ImportError as error:
            install = "hmp-hydromodpy[demo]"
            message = f"calibration needs spotpy, which cannot be imported ({error}): install {install}"
            raise MissingPart(message, install=install) from error
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)  # importing spotpy configures the logging of the whole process
    return spotpy


def _score(
    forcing: pd.DataFrame, observed: ArrayLike, period: Period | None
) -> Callable[[Parameters], dict[str, float]]:
    """Return the function that runs the model to the end of the period and scores it there."""
    needed = ("precipitation", "potential_evapotranspiration")
    missing = [name for name in needed if name not in forcing.columns]
    if missing:
        message = f"forcing has no column {', '.join(missing)}: expected {', '.join(needed)} in mm d-1"
        raise InvalidInput(message)
    measured = np.asarray(observed, dtype=np.float64)
    if measured.shape != (len(forcing),):
        message = f"observed has shape {measured.shape}, forcing {len(forcing)} days: expected the same days"
        raise InvalidInput(message)
    index: Any = getattr(observed, "index", None)
    if hasattr(index, "equals") and not index.equals(forcing.index):
        message = "observed and forcing have different dates: align them to their common days first"
        raise InvalidInput(message)
    scored = (period or split(forcing.index).calibration).mask(forcing.index)
    if not scored.any():
        message = f"no day of the forcing is within {period}: expected days to score"
        raise InvalidInput(message)
    until = int(np.flatnonzero(scored)[-1]) + 1
    rain, evaporation = (forcing[name].to_numpy()[:until] for name in needed)
    scored, measured = scored[:until], measured[:until]

    def score(parameters: Parameters) -> dict[str, float]:
        discharge = simulate(rain, evaporation, parameters).discharge
        return evaluate(discharge[scored], measured[scored], TRIAL_METRICS)

    return score


class _BudgetSpentError(Exception):
    """Ends spotpy's search after the last run that was asked for."""


class _Search:
    """What spotpy calls a set-up: parameters, a simulation, the data and an objective function."""

    def __init__(
        self,
        spotpy: Any,
        score: Callable[[Parameters], dict[str, float]],
        repetitions: int,
        on_trial: OnTrial | None,
    ) -> None:
        self._space = [spotpy.parameter.Uniform(name, *bounds) for name, bounds in RANGES.items()]
        self._generate = spotpy.parameter.generate
        self._score = score
        self._repetitions = repetitions
        self._on_trial = on_trial
        self.trials: list[Trial] = []
        self.aloud: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    def parameters(self) -> Any:
        """Return a draw from the ranges, in spotpy's own form."""
        return self._generate(self._space)

    def simulation(self, vector: Any) -> list[float]:
        """Run one trial and keep it. All work is here: spotpy repeats an objective that raises TypeError."""
        if len(self.trials) >= self._repetitions:
            raise _BudgetSpentError
        parameters = Parameters(*(float(value) for value in vector))
        metrics = self._score(parameters)
        trial = Trial(len(self.trials), parameters, metrics[OBJECTIVE], metrics)
        self.trials.append(trial)
        if self._on_trial is not None:
            with self.aloud():
                self._on_trial(parameters.as_dict(), trial.value, dict(metrics))
        return [trial.value]

    def evaluation(self) -> list[float]:
        """Return what a perfect simulation would give."""
        return [METRICS[OBJECTIVE].best]

    def objectivefunction(self, simulation: list[float], evaluation: list[float], **_params: Any) -> float:
        """Return the distance to the best value, which SCE-UA minimises."""
        return math.inf if math.isnan(simulation[0]) else evaluation[0] - simulation[0]


class _Aside:
    """Standard output on which one thread's words go to the log; other threads are heard as ever."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return int(self._stream.write(text))
        if text.strip():
            _log.debug("spotpy: %s", text.rstrip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _quiet(search: _Search) -> Iterator[None]:
    """Keep spotpy's prints from the caller's screen, though not those of the caller's own `on_trial`."""
    loud = sys.stdout
    search.aloud = lambda: contextlib.redirect_stdout(loud)
    with contextlib.redirect_stdout(_Aside(loud)):
        yield


@contextlib.contextmanager
def _own_random_state() -> Iterator[None]:
    """Put the global generators, which spotpy seeds, back as they were."""
    here, there = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(here)
        np.random.set_state(there)
