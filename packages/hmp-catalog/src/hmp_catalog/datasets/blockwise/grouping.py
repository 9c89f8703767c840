"""Values in groups of their labels: each label, so many of them, or a period of time such as a day or a month.

Groups follow the calendar: a day begins at midnight and a week on Monday, a month on its first; so much is as pandas
resamples. ``origin`` says from when periods of more than one unit are counted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.blockwise import iterating, rechunking
from hmp_catalog.datasets.blockwise.planning import source
from hmp_catalog.datasets.blockwise.rechunking import MAX_MEM, checked_mem
from hmp_catalog.datasets.cells import blocks
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.blockwise.iterating import Blocks
    from hmp_catalog.datasets.blockwise.planning import Block
    from hmp_catalog.datasets.coordinates import CoordinateView
    from hmp_catalog.datasets.dataset import DatasetView
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]

_PERIOD = re.compile(r"(\d{0,9})(Y|M|W|D|h|m|s|ms|us|ns)")
_CALENDAR = {"Y": (12, "M"), "M": (1, "M"), "W": (7, "D")}

#: Nanoseconds of the units that are always as long.
_FIXED = {
    "D": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1,
}  # fmt: skip

#: Where the count of periods begins, besides an instant.
ORIGINS = ("start_day", "start", "epoch")


def groupby(
    view: DataVariableView, coord_names: Any, max_mem: int = MAX_MEM, *, origin: Any = "start_day"
) -> Iterator[Block]:
    """Yield the groups of a variable; `DataVariableView.groupby` says how."""
    sides = _sides(view, coord_names, origin)
    return iterating.pieces(source(view), sides, checked_mem(max_mem))


def group_dataset(
    dataset: DatasetView,
    coord_names: Any,
    data_vars: Iterable[str] | None = None,
    max_mem: int = MAX_MEM,
    *,
    origin: Any = "start_day",
) -> Blocks:
    """Yield the groups of several variables together; `DatasetView.groupby` says how."""
    views = iterating.named(dataset, data_vars)
    rechunking.together(views)
    return iterating.pieces_together(views, _sides(views[0], coord_names, origin), max_mem)


# ── which groups ─────────────────────────────────────────────────────────────────────────────────────


def _sides(view: DataVariableView, spec: Any, origin: Any) -> tuple[tuple[slice, ...], ...]:
    source(view)
    asked = _asked(spec)
    coords = dict(zip(view.coord_names, view.coords, strict=True))
    for name in asked:
        if name not in coords:
            message = f"{view.name}: no coordinate {name!r} along it; there are {', '.join(coords) or 'none'}"
            raise NotFound(message, reference=str(name), candidates=list(coords))
    return tuple(
        _pieces(coords[name], size, asked.get(name, size), origin)
        for name, size in zip(view.coord_names, view.shape, strict=True)
    )


def _asked(spec: Any) -> dict[str, Any]:
    """Return what is asked for by coordinate: a name alone asks for each of its labels."""
    if isinstance(spec, Mapping):
        return dict(spec)
    names = (spec,) if isinstance(spec, str) else spec
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        message = f"groupby: {spec!r}; expected a coordinate, several, or a mapping of them to lengths or periods"
        raise InvalidInput(message)
    return dict.fromkeys(names, 1)


def _pieces(coord: CoordinateView, size: int, asked: Any, origin: Any) -> tuple[slice, ...]:
    if isinstance(asked, str):
        return period_pieces(np.asarray(coord.data), asked, origin, of=coord.name)
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or (asked < 1 and size):
        message = f"groupby: {coord.name}: {asked!r}; expected a number of labels or a period such as '7D'"
        raise InvalidInput(message)
    return tuple(blocks.pieces(slice(0, size), max(1, int(asked))))


def period_pieces(labels: Values, period: str, origin: Any = "start_day", *, of: str = "time") -> tuple[slice, ...]:
    """Return the pieces of instants that lie in the same period; a period without any has none.

    Parameters
    ----------
    labels : array of datetime64
        Ascending or descending.
    period : str
        A count and a unit: ``Y``, ``M``, ``W``, ``D``, ``h``, ``m``, ``s``, ``ms``, ``us`` or ``ns``.
    origin : str or datetime64
        From when they are counted: ``start_day``, midnight before the first label; ``start``, the first label;
        ``epoch``, 1970; or an instant. Years, months and weeks are counted from the one in which it lies.
    of : str
        The coordinate, for the message of an error.

    Raises
    ------
    InvalidInput
        No period, no times, times that are in no order, or an origin that is none.

    Examples
    --------
    >>> times = np.arange("2020-01-01T06", "2020-01-03T00", dtype="datetime64[h]")
    >>> period_pieces(times, "D")
    (slice(0, 18, None), slice(18, 42, None))
    """
    count, unit = _parsed(period, of)
    if labels.dtype.kind != "M":
        message = f"groupby: {of} has labels of type {labels.dtype}; periods such as {period!r} are of times"
        raise InvalidInput(message)
    if not len(labels):
        return ()
    numbers = _numbers(labels, count, unit, _base(labels, unit, origin), of)
    steps = np.diff(numbers)
    if (steps < 0).any() and (steps > 0).any():
        message = f"groupby: the times of {of} are in no order; select them so that they ascend"
        raise InvalidInput(message)
    edges = [0, *(int(edge) + 1 for edge in np.flatnonzero(steps)), len(labels)]
    return tuple(slice(a, b) for a, b in itertools.pairwise(edges))


def _parsed(period: str, of: str) -> tuple[int, str]:
    found = _PERIOD.fullmatch(period)
    count = int(found[1] or 1) if found else 0
    if found is None or count < 1:
        message = (
            f"groupby: {of}: {period!r} is no period; expected a count and one of Y, M, W, D, h, m, s, ms, us, ns: '7D'"
        )
        raise InvalidInput(message)
    return count, found[2]


def _base(labels: Values, unit: str, origin: Any) -> np.datetime64:
    first = np.datetime64(labels.min())
    if isinstance(origin, str) and origin in ORIGINS:
        if origin == "epoch":
            return np.datetime64(0, "s")
        return first.astype("M8[D]") if origin == "start_day" and unit not in _CALENDAR else first
    try:
        found = np.datetime64(origin)
    except (TypeError, ValueError) as error:
        message = f"groupby: origin={origin!r}; expected one of {', '.join(ORIGINS)}, or an instant"
        raise InvalidInput(message) from error
    if np.isnat(found):
        message = f"groupby: origin={origin!r} is no instant"
        raise InvalidInput(message)
    return found


def _numbers(labels: Values, count: int, unit: str, base: np.datetime64, of: str) -> Values:
    """Return the number of the period of each label."""
    many, basic = _CALENDAR.get(unit, (1, unit))
    if unit == "W":  # day 4 of 1970 was a Monday; ISO 8601 weeks begin on Mondays
        base = base.astype("M8[D]")
        base = base - np.timedelta64((int(base.astype(np.int64)) - 4) % 7, "D")
    elif unit == "Y":
        base = base.astype("M8[Y]")
    if unit in _CALENDAR:
        found = labels.astype(f"M8[{basic}]").astype(np.int64) - int(base.astype(f"M8[{basic}]").astype(np.int64))
        return np.asarray(found // (count * many))
    fine = min((basic, *(_unit_of(each) for each in (labels, base))), key=lambda each: _FIXED[each])
    low, high, start = (_ticks(each, fine, of) for each in (labels.min(), labels.max(), base))
    length = count * (_FIXED[basic] // _FIXED[fine])
    if max(high, start) - min(low, start) >= 2**63 or length >= 2**63:
        raise _too_far(of, fine)
    ticks = labels.astype(f"M8[{fine}]").astype(np.int64) - start
    return np.asarray(ticks // length)


def _unit_of(times: Any) -> str:
    unit = np.datetime_data(times.dtype)[0]
    return unit if unit in _FIXED else "D"


def _ticks(instant: np.datetime64, fine: str, of: str) -> int:
    unit = _unit_of(instant)
    found = int(instant.astype(f"M8[{unit}]").astype(np.int64)) * (_FIXED[unit] // _FIXED[fine])
    if abs(found) >= 2**63:
        raise _too_far(of, fine)
    return found


def _too_far(of: str, unit: str) -> InvalidInput:
    message = f"groupby: {of}: periods in {unit} cannot be counted so far from 1970; use a coarser unit"
    return InvalidInput(message)
