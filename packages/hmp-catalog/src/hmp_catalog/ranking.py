"""Which of many simulations is the best: by a metric's own direction, at one place, of the finished alone."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from hmp_catalog import queries
from hmp_catalog.errors import AmbiguousScore, UnrankedMetric
from hmp_catalog.facts import OUTLETS
from hmp_core.protocols import CatalogBackend

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
    goodness, possible = _direction(backend, metric, ascending=ascending)
    told: dict[str, list[tuple[str, str, float]]] = {}
    for sim, where, what, value in queries.scores(backend, metric):
        here = (station is None or _same_place(where, station)) and (among is None or sim in among)
        if here and variable in {None, what} and possible(value):
            told.setdefault(sim, []).append((where, what, value))
    found = [(sim, _the_one(metric, sim, values)) for sim, values in told.items()]
    return sorted(found, key=lambda one: -goodness(one[1]))


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


def _same_place(station: str, wanted: str) -> bool:
    return station == wanted or (station in OUTLETS and wanted in OUTLETS)


def _direction(
    backend: CatalogBackend, metric: str, *, ascending: bool | None
) -> tuple[Callable[[float], float], Callable[[float], bool]]:
    """Return how good a value is, and whether a metric can have it at all."""
    known = queries.directions(backend)
    name = metric if metric in known else _stem(metric)
    if ascending is None and name not in known:
        message = (
            f"nobody said whether more or less of {metric!r} is better: pass ascending=; those known are "
            f"{', '.join(sorted(known))} (also with _calibration, _validation)"
        )
        raise UnrankedMetric(message, metric=metric)
    higher, best, low, high = known.get(name, (None, None, None, None))

    def possible(value: float) -> bool:
        return (low is None or value >= low - _ROUNDED) and (high is None or value <= high + _ROUNDED)

    if ascending is not None:
        return (lambda value: -value if ascending else value), possible
    if higher is None:
        return (lambda value: -abs(value - (best or 0.0))), possible
    return (lambda value: value if higher else -value), possible


def _stem(metric: str) -> str:
    return next((metric.removesuffix(end) for end in _PERIODS if metric.endswith(end)), metric)
