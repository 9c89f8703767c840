"""Which of many simulations is the best: by a metric's own direction, at one place, of the finished alone."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from hmp_catalog import queries
from hmp_catalog.errors import AmbiguousScore, UnrankedMetric
from hmp_catalog.facts import OUTLETS
from hmp_core.protocols import CatalogBackend

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

#: "nse_validation" is ranked as "nse"
_PERIODS = ("_calibration", "_validation", "_cal", "_val")
_LISTED = 8
#: A perfect score is 1.0000000000000002 now and then.
_ROUNDED = 1e-9


def ranking(
    backend: CatalogBackend,
    metric: str,
    *,
    station: str | None = None,
    variable: str | None = None,
    ascending: bool | None = None,
    among: Container[str] | None = None,
) -> list[tuple[str, float]]:
    """Return (sim_id, value) of finished simulations, best first; of equals the newer.

    Values that are no number, or outside what the metric can be, never count. Where a simulation has the metric more
    than once, discharge at the outlet counts, else the only value at the outlet, else the only one anywhere.

    Parameters
    ----------
    metric
        Its name.
    station, variable
        Only values measured there, and of that variable.
    ascending
        Order by the value itself; by default by the metric's own direction.
    among
        Only these simulations.

    Raises
    ------
    UnrankedMetric
        If the metric has no direction and none was asked for.
    AmbiguousScore
        If a simulation has it at several stations (of several variables) and nobody said which counts.
    """
    import numpy as np

    goodness, low, high = _direction(backend, metric, ascending=ascending)
    told = queries.scores(backend, metric)
    told = told.filter(_counted(told, station, variable, low, high))
    sims: Sequence[str] = told["sim_id"].to_pylist()
    values = told["value"].to_numpy()
    if len(set(sims)) < len(sims):
        sims, values = _settled(metric, told, among)
    order = np.argsort(-goodness(values), kind="stable")
    ranked = zip((sims[n] for n in order.tolist()), values[order].tolist(), strict=True)
    return [one for one in ranked if among is None or one[0] in among]


def _counted(
    told: pa.Table, station: str | None, variable: str | None, low: float | None, high: float | None
) -> pa.Array:
    """Return which values were measured where and of what was asked for, and lie where the metric can."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = [station] if station not in OUTLETS else sorted(OUTLETS)
    tests = [
        None if station is None else pc.is_in(told["station_id"], pa.array(places, pa.string())),
        None if variable is None else pc.equal(told["variable"], variable),
        None if low is None else pc.greater_equal(told["value"], low - _ROUNDED),
        None if high is None else pc.less_equal(told["value"], high + _ROUNDED),
    ]
    every = pc.is_valid(told["value"])
    for test in tests:
        every = every if test is None else pc.and_(every, test)
    return every


def _settled(metric: str, told: pa.Table, among: Container[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the simulations and the one value of each that counts."""
    import numpy as np

    values: dict[str, list[tuple[str, str, float]]] = {}
    for sim, *value in zip(*(column.to_pylist() for column in told.columns), strict=True):
        if among is None or sim in among:
            values.setdefault(sim, []).append(tuple(value))
    return list(values), np.array([_the_one(metric, sim, those) for sim, those in values.items()], dtype=float)


def _the_one(metric: str, sim: str, values: Sequence[tuple[str, str, float]]) -> float:
    if len(values) == 1:
        return values[0][2]
    nearest = min(_distance(where, what) for where, what, _ in values)
    near = sorted(one for one in values if _distance(one[0], one[1]) == nearest)
    if len({value for _, _, value in near}) == 1:
        return near[0][2]
    places = [f"{where}{f' ({what})' if what else ''}" for where, what, _ in near]
    message = (
        f"{metric} of simulation {sim[:8]} is known at {', '.join(places[:_LISTED])}: say which counts, as "
        f"@best:{metric}@{near[0][0]}, or with station= and variable="
    )
    raise AmbiguousScore(message, reference=metric, candidates=places)


def _distance(station: str, variable: str) -> int:
    """Return how far a score is from that of discharge at the outlet, as ``v_simulation_summary`` has it."""
    if station not in OUTLETS:
        return 2
    return 0 if variable == "discharge" else 1


def _direction(
    backend: CatalogBackend, metric: str, *, ascending: bool | None
) -> tuple[Callable[[np.ndarray], np.ndarray], float | None, float | None]:
    """Return how good values are, and between what the metric can lie."""
    known = queries.directions(backend)
    name = metric if metric in known else _stem(metric)
    if ascending is None and name not in known:
        message = (
            f"nobody said whether more or less of {metric!r} is better: say which with ascending=; those known are "
            f"{', '.join(sorted(known))} (also with _calibration, _validation)"
        )
        raise UnrankedMetric(message, metric=metric)
    higher, best, low, high = known.get(name, (None, None, None, None))

    if ascending is not None:
        return (lambda values: -values if ascending else values), low, high
    if higher is None:
        return (lambda values: -abs(values - (best or 0.0))), low, high
    return (lambda values: values if higher else -values), low, high


def _stem(metric: str) -> str:
    return next((metric.removesuffix(end) for end in _PERIODS if metric.endswith(end)), metric)
