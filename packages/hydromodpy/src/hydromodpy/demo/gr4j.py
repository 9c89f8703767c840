"""GR4J, the daily rainfall-runoff model with four parameters, written from the equations of its paper.

Perrin, C., Michel, C. & Andréassian, V. (2003): Improvement of a parsimonious model for streamflow
simulation. J. Hydrol. 279, 275-289, doi:10.1016/S0022-1694(03)00225-7. Equation numbers below are theirs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

#: Unit of each parameter (UDUNITS).
UNITS = {"x1": "mm", "x2": "mm d-1", "x3": "mm", "x4": "d"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The four parameters of GR4J.

    Attributes
    ----------
    x1 : float
        Capacity of the production store [mm], > 0.
    x2 : float
        Groundwater exchange coefficient [mm/d]: negative where water is lost, positive where it comes in.
    x3 : float
        One-day-ahead capacity of the routing store [mm], > 0.
    x4 : float
        Time base of unit hydrograph UH1 [d], >= 0.5.

    Raises
    ------
    InvalidInput
        A value outside these bounds or not finite.

    Examples
    --------
    >>> Parameters(x1=350.0, x2=0.0, x3=90.0, x4=1.7).as_dict()
    {'x1': 350.0, 'x2': 0.0, 'x3': 90.0, 'x4': 1.7}
    """

    x1: float
    x2: float
    x3: float
    x4: float

    def __post_init__(self) -> None:
        bounds = {"x1": "> 0", "x2": "finite", "x3": "> 0", "x4": ">= 0.5"}
        right = {"x1": self.x1 > 0, "x2": True, "x3": self.x3 > 0, "x4": self.x4 >= 0.5}
        for name, value in self.as_dict().items():
            if not (math.isfinite(value) and right[name]):
                message = f"GR4J parameter {name} is {value} {UNITS[name]}: expected a number {bounds[name]}"
                raise InvalidInput(message)

    def as_dict(self) -> dict[str, float]:
        """Return the parameters by name, in the order of the paper."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Gr4jResult:
    """What a simulation gives: one value a day of each flux and of each store at the end of the day.

    Attributes
    ----------
    discharge : ndarray, shape (n,)
        Total streamflow Q [mm/d].
    actual_evapotranspiration : ndarray, shape (n,)
        Water that evaporates, intercepted or from the production store [mm/d].
    percolation : ndarray, shape (n,)
        From the production store to the routing [mm/d].
    exchange : ndarray, shape (n,)
        Groundwater that really came in (> 0) or was lost (< 0) in both branches [mm/d]; less than
        2 F where a store or a branch had not enough to lose.
    production_store, routing_store : ndarray, shape (n,)
        Levels S and R [mm].
    unit_hydrograph_store : ndarray, shape (n,)
        Water under way in the two unit hydrographs [mm].
    initial_storage : float
        Water in all stores before the first day [mm].

    Notes
    -----
    On each day ``precipitation + exchange - actual_evapotranspiration - discharge`` is what the sum of
    the three stores has gained.
    """

    discharge: FloatArray
    actual_evapotranspiration: FloatArray
    percolation: FloatArray
    exchange: FloatArray
    production_store: FloatArray
    routing_store: FloatArray
    unit_hydrograph_store: FloatArray
    initial_storage: float


def simulate(
    precipitation: ArrayLike,
    potential_evapotranspiration: ArrayLike,
    parameters: Parameters,
    *,
    production_fill: float = 0.3,
    routing_fill: float = 0.5,
) -> Gr4jResult:
    """Run GR4J over a daily record.

    Parameters
    ----------
    precipitation, potential_evapotranspiration : array_like, shape (n,)
        Catchment means [mm/d], without gaps, not negative.
    parameters : Parameters
        The four parameters.
    production_fill, routing_fill : float
        Levels at the start as parts of `x1` and `x3`, in [0, 1]; the unit hydrographs start empty.
        The first year depends on them: leave it out of any score.

    Returns
    -------
    Gr4jResult
        Discharge, fluxes and stores, each of shape (n,).

    Raises
    ------
    InvalidInput
        Lengths differ, no day, a gap, a negative or infinite value, or a fill outside [0, 1].

    References
    ----------
    Perrin, C., Michel, C. & Andréassian, V. (2003), J. Hydrol. 279, 275-289,
    doi:10.1016/S0022-1694(03)00225-7.

    Examples
    --------
    >>> result = simulate([10.0, 0.0], [2.0, 3.0], Parameters(x1=350.0, x2=0.0, x3=90.0, x4=1.7))
    >>> result.discharge.round(3)
    array([0.701, 0.722])
    """
    rain = _daily("precipitation", precipitation)
    evaporation = _daily("potential_evapotranspiration", potential_evapotranspiration)
    if rain.size != evaporation.size or rain.size == 0:
        message = (
            f"precipitation has {rain.size} days, potential_evapotranspiration {evaporation.size}: "
            "expected the same days, at least one"
        )
        raise InvalidInput(message)
    for name, fill in (("production_fill", production_fill), ("routing_fill", routing_fill)):
        if not 0 <= fill <= 1:
            message = f"{name} is {fill}: expected a part of the capacity, in [0, 1]"
            raise InvalidInput(message)

    start_s, start_r = production_fill * parameters.x1, routing_fill * parameters.x3
    level, actual, percolation, effective = _produce(rain, evaporation, parameters.x1, start_s)
    slow, quick, under_way = _delay(effective, parameters.x4)
    discharge, routed, exchange = _route(slow, quick, parameters, start_r)
    return Gr4jResult(
        discharge=np.array(discharge),
        actual_evapotranspiration=np.array(actual),
        percolation=np.array(percolation),
        exchange=np.array(exchange),
        production_store=np.array(level),
        routing_store=np.array(routed),
        unit_hydrograph_store=under_way,
        initial_storage=start_s + start_r,
    )


def _daily(name: str, values: ArrayLike) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"{name} is not a series of numbers: {error}"
        raise InvalidInput(message) from error
    if array.ndim != 1:
        message = f"{name} has shape {array.shape}: expected one value a day of one catchment"
        raise InvalidInput(message)
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        first = int(wrong.argmax())
        message = (
            f"{name} has {int(wrong.sum())} values that are missing, infinite or negative, the first on day "
            f"{first} (counted from 0): {array[first]}; fill the gaps, GR4J needs every day in mm"
        )
        raise InvalidInput(message)
    return array


def _produce(
    rain: FloatArray, evaporation: FloatArray, x1: float, level: float
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return per day the production store, actual evapotranspiration, percolation and effective rain."""
    # Plain floats: a numpy scalar costs ten times as much, and calibration runs this loop 3,000 times.
    tanh, root = math.tanh, math.sqrt
    levels, actuals, percolations, effectives = [], [], [], []
    for p, e in zip(rain.tolist(), evaporation.tolist(), strict=True):
        ratio = level / x1
        if p >= e:  # eq. 1
            net = p - e
            wet = tanh(net / x1)
            stored = x1 * (1.0 - ratio * ratio) * wet / (1.0 + ratio * wet)  # eq. 3
            actual, bypass = e, net - stored
            level += stored
        else:  # eq. 2
            dry = tanh((e - p) / x1)
            taken = level * (2.0 - ratio) * dry / (1.0 + (1.0 - ratio) * dry)  # eq. 4
            actual, bypass = p + taken, 0.0
            level -= taken  # eq. 5
        square = (4.0 / 9.0 * level / x1) ** 2
        percolation = level * (1.0 - 1.0 / root(root(1.0 + square * square)))  # eq. 6
        level -= percolation  # eq. 7
        levels.append(level)
        actuals.append(actual)
        percolations.append(percolation)
        effectives.append(percolation + bypass)  # eq. 8
    return levels, actuals, percolations, effectives


def unit_hydrographs(x4: float) -> tuple[FloatArray, FloatArray]:
    """Return the daily ordinates of UH1 and UH2 (eqs. 9-17).

    Parameters
    ----------
    x4 : float
        Time base of UH1 [d]; that of UH2 is twice as long.

    Returns
    -------
    tuple of ndarray, shapes (ceil(x4),) and (ceil(2 * x4),)
        Parts of an input that leave on the same day, the next day and so on; each sums to 1.

    Examples
    --------
    >>> [ordinates.round(3).tolist() for ordinates in unit_hydrographs(1.7)]
    [[0.265, 0.735], [0.133, 0.56, 0.294, 0.013]]
    """
    first, second = np.arange(math.ceil(x4) + 1), np.arange(math.ceil(2 * x4) + 1)
    s1 = np.minimum(first / x4, 1.0) ** 2.5
    rising = 0.5 * np.minimum(second / x4, 1.0) ** 2.5
    falling = 1.0 - 0.5 * np.clip(2.0 - second / x4, 0.0, 1.0) ** 2.5
    s2 = np.where(second <= x4, rising, falling)
    return np.diff(s1), np.diff(s2)


def _delay(effective: list[float], x4: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the outflows of UH1 (90 %) and UH2 (10 %) and the water still under way in both."""
    water = np.array(effective)
    branches = tuple(zip((0.9, 0.1), unit_hydrographs(x4), strict=True))
    slow, quick = (part * np.convolve(water, ordinates)[: water.size] for part, ordinates in branches)
    waiting = [part * np.convolve(water, 1.0 - np.cumsum(ordinates))[: water.size] for part, ordinates in branches]
    return slow, quick, waiting[0] + waiting[1]


def _route(
    slow: FloatArray, quick: FloatArray, parameters: Parameters, level: float
) -> tuple[list[float], list[float], list[float]]:
    """Return per day the discharge, the routing store and the water really exchanged."""
    x2, x3, root = parameters.x2, parameters.x3, math.sqrt
    discharges, levels, exchanges = [], [], []
    for q9, q1 in zip(slow.tolist(), quick.tolist(), strict=True):
        ratio = level / x3
        potential = x2 * ratio * ratio * ratio * root(ratio)  # eq. 18, exponent 7/2
        filled = max(0.0, level + q9 + potential)  # eq. 19
        square = (filled / x3) * (filled / x3)  # a product may be infinite, a power would raise
        routed = filled * (1.0 - 1.0 / root(root(1.0 + square * square)))  # eq. 20
        direct = max(0.0, q1 + potential)  # eq. 22
        exchanges.append(filled - level - q9 + direct - q1)
        level = filled - routed  # eq. 21
        levels.append(level)
        discharges.append(routed + direct)  # eq. 23
    return discharges, levels, exchanges
