"""Where in a coordinate a label is: slices are closed at both ends, and what is not there is a `NotFound`.

Numbers and instants are in ascending order and are found by halving; texts keep the order they came in. A float is
found in spite of the last bits of arithmetic, never in spite of more: `noise` says how far two floats may be apart.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.fields.times import bounds, instant
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: Spacings of a float (units in the last place) that arithmetic may be off; ``start + i * step`` is off by 2.
_ULPS = 4


def locate(values: Values, key: Any, *, of: str = "coordinate", precision: int | None = None) -> Any:
    """Return positions of labels: an int for a label, a slice for a slice, an array for a list.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The coordinate: ascending numbers or datetimes, or objects that are text. Those of a store of others may
        descend, and a part that was taken backwards does: a slice says the smaller end first all the same.
    key : label, slice or list of labels
        Text is taken as an instant among datetimes. Both ends of a slice belong to it; a year, a month or a day as an
        end stands for all of it, and so it does alone where labels are finer (days among hours): it is a slice then,
        as in pandas. The step of a slice counts positions.
    of : str
        The coordinate, for the message of an error.
    precision : int, optional
        Decimals that the coordinate is kept to.

    Raises
    ------
    NotFound
        A label that is not there.
    InvalidInput
        A label of another kind than the coordinate, or a slice that goes backwards.

    Examples
    --------
    >>> import numpy as np
    >>> locate(np.array([0.1, 0.2, 0.1 + 0.2]), slice(0.2, 0.3)), locate(np.array([10, 20, 30]), 20)
    (slice(1, 3, None), 1)
    """
    if not ascends(values):
        return _out_of_order(values, key, of, precision)
    if isinstance(key, slice):
        return span(values, key, of=of, precision=precision)
    if isinstance(key, (list, tuple, np.ndarray)) and np.ndim(key) == 1:
        return np.array([position(values, label, of=of, precision=precision) for label in key], dtype=np.intp)
    if isinstance(key, str) and values.dtype.kind == "M" and _is_period(values, key):
        found = span(values, slice(key, key), of=of)
        if found.start == found.stop:
            raise _absent(values, key, of, found.start)
        return found
    return position(values, key, of=of, precision=precision)


def ascends(values: Values) -> bool:
    """Whether no label is less than the one before it; text and geometries have no order."""
    return values.dtype.kind not in "iufM" or not bool((values[1:] < values[:-1]).any())


def _out_of_order(values: Values, key: Any, of: str, precision: int | None) -> Any:
    """Return positions among labels that do not ascend: binary search there found one label for another, or none."""
    order = np.argsort(values, kind="stable")
    found = locate(values[order], key, of=of, precision=precision)
    if not isinstance(found, slice):
        return order[found] if isinstance(found, np.ndarray) else int(order[found])
    if ascends(values[::-1]):
        return slice(len(values) - found.stop, len(values) - found.start, found.step)
    if found.step is None:
        return np.sort(order[found])
    message = f"{of}: its labels are in no order, so a step between them means nothing; leave it out"
    raise InvalidInput(message)


def position(values: Values, label: Any, *, of: str = "coordinate", precision: int | None = None) -> int:
    """Return where a label is.

    Raises
    ------
    NotFound
        If it is not there.
    InvalidInput
        A label of another kind than the coordinate.
    """
    if values.dtype.kind not in "iufM":
        return _of_text(values, label, of)
    if label is None:
        message = f"{of}: None is no label; leave the coordinate out, or take slice(None)"
        raise InvalidInput(message)
    first, after = _between(values, (label, label), of, precision, whole=False)
    if after > first:
        return first if after == first + 1 else _nearest(values, label, first, after)
    raise _absent(values, label, of, first)


def span(values: Values, key: slice, *, of: str = "coordinate", precision: int | None = None) -> slice:
    """Return the positions from one label to another, both included; ends need not be there, except among texts.

    Raises
    ------
    NotFound
        A text that is not there.
    InvalidInput
        Ends of another kind, the last before the first, or a step that is no positive integer.
    """
    if key.step is not None and (not _is_integer(key.step) or key.step < 1):
        message = f"{of}: slice step {key.step!r}: it counts positions and is 1 or more"
        raise InvalidInput(message)
    if values.dtype.kind in "iufM":
        first, after = _between(values, (key.start, key.stop), of, precision, whole=True)
    else:
        first = 0 if key.start is None else _of_text(values, key.start, of)
        after = len(values) if key.stop is None else _of_text(values, key.stop, of) + 1
    if after < first:
        # an empty slice between two labels has after == first
        message = f"{of}: {key.start!r} comes after {key.stop!r}; say the smaller end first"
        raise InvalidInput(message)
    return slice(first, after, key.step)


def noise(values: Values, precision: int | None = None) -> float:
    """Return how far a float may be from a label and still be it: a few last bits, half of the precision at most.

    It stays below a third of the smallest gap, so that no two labels are taken for one.
    """
    if values.dtype.kind != "f" or not len(values):
        return 0.0
    largest = values.dtype.type(np.abs(values[[0, -1]]).max())
    found = _ULPS * float(np.spacing(largest))
    if precision is not None:
        found = max(found, 0.5 * 10.0**-precision)
    gaps = np.diff(values.astype(np.float64))
    return min(found, float(gaps.min()) / 3) if len(gaps) else found


# ── numbers and instants ─────────────────────────────────────────────────────────────────────────────


def _between(values: Values, ends: tuple[Any, Any], of: str, precision: int | None, *, whole: bool) -> tuple[int, int]:
    """Return the positions from the first that is not before one end to the first that is after the other."""
    start: float | None
    stop: float | None
    if values.dtype.kind == "M":
        start, stop = _instants_of(values, ends, of, whole=whole)
        values = values.astype(np.int64)
    elif values.dtype.kind == "f":
        low, high = (None if end is None else _number(end, of) for end in ends)
        near = noise(values, precision)
        start, stop = None if low is None else float(low) - near, None if high is None else float(high) + near
        values = values.astype(np.float64)
    else:
        start, stop = (None if end is None else _number(end, of) for end in ends)
    first = 0 if start is None else _count(values, start, below=True)
    after = len(values) if stop is None else _count(values, stop, below=False)
    if not whole:
        return first, after
    if start is not None and stop is not None and start > stop:
        return first, first - 1
    return first, after


def _count(values: Values, end: Any, *, below: bool) -> int:
    """Return how many values are before ``end`` (or not after it)."""
    if values.dtype.kind in "iu":
        room = np.iinfo(values.dtype)
        whole = -int(-end // 1) if below else int(end // 1)
        if whole > room.max:
            return len(values)
        if whole < room.min:
            return 0
        end = values.dtype.type(whole)
    return int(np.searchsorted(values, end, side="left" if below else "right"))


def _number(label: Any, of: str) -> int | float:
    """Return a label as a number of Python."""
    plain = (
        label.item() if isinstance(label, np.generic) or (isinstance(label, np.ndarray) and not label.ndim) else label
    )
    if isinstance(plain, (int, float)) and not isinstance(plain, bool) and abs(plain) <= sys.float_info.max:
        return plain
    message = f"{of}: label {label!r}; expected a finite number"
    raise InvalidInput(message)


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _nearest(values: Values, label: Any, first: int, after: int) -> int:
    return first + int(np.abs(values[first:after].astype(np.float64) - float(label)).argmin())


def _instants_of(values: Values, ends: tuple[Any, Any], of: str, *, whole: bool) -> tuple[int | None, int | None]:
    """Return two instants in the ticks of a coordinate: what is finer than these goes inwards, and is nowhere."""
    first: Any
    last: Any
    if any(not (end is None or isinstance(end, np.datetime64) or _reads_as_time(end)) for end in ends):
        message = f"{of}: labels {ends}; expected datetimes, or text as 2001-02-28T06:00"
        raise InvalidInput(message)
    first, last = (end if isinstance(end, np.datetime64) else None for end in ends)
    if first is None and ends[0] is not None:
        # a period among labels as long as itself, or in a list of labels, is its first instant
        first = bounds(ends[0], None)[0] if whole or isinstance(ends[0], str) else instant(ends[0])
    if last is None and ends[1] is not None:
        last = bounds(None, ends[1])[1] if whole else first
    for end in (first, last):
        if end is not None and np.isnat(end):
            message = f"{of}: NaT is no label"
            raise InvalidInput(message)
    unit = np.datetime_data(values.dtype)[0]
    return _ticks(first, unit, up=True), _ticks(last, unit, up=False)


#: A year, a month or a day, by the length of its text.
_PERIODS = {4: "Y", 7: "M", 10: "D"}
_PERIOD = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


def _is_period(values: Values, label: str) -> bool:
    """Whether a text says a longer time than labels are apart at least: a month does among days, days do not."""
    if not _PERIOD.fullmatch(label):
        return False
    units = ("Y", "M", "D")
    said, kept = _PERIODS[len(label)], np.datetime_data(values.dtype)[0]
    if kept in units:
        return units.index(said) < units.index(kept)
    return said != "D" or bool((values.astype("datetime64[D]") != values).any())


def _reads_as_time(label: Any) -> bool:
    return isinstance(label, str) or hasattr(label, "isoformat")


def _ticks(moment: Any, unit: str, *, up: bool) -> int | None:
    """Return an instant in a unit, rounded; beyond what the unit reaches the end of what it reaches."""
    if moment is None:
        return None
    beyond = 2**63 - 1 if moment.astype(np.int64) > 0 else -(2**63) + 1
    try:
        floor = moment.astype(f"datetime64[{unit}]")
        back = floor.astype(moment.dtype)
    except OverflowError:  # NumPy from 2.5 says it
        return beyond
    ticks = int(floor.astype(np.int64))
    if back == moment:
        return ticks
    fine = np.datetime_data(moment.dtype)[0]
    if abs(back.astype(np.int64) - moment.astype(np.int64)) > _PER[fine]:
        # NumPy wrapped around: only units finer than seconds end within the years anybody counts
        return beyond
    return ticks + 1 if up else ticks


#: The length of a leap year in each unit: what rounding down to a coarser unit takes away is no more.
_PER = {
    "Y": 1, "M": 12, "W": 53, "D": 366, "h": 8784, "m": 527_040, "s": 31_622_400, "ms": 31_622_400_000,
    "us": 31_622_400_000_000, "ns": 31_622_400_000_000_000,
}  # fmt: skip


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────


def _of_text(values: Values, label: Any, of: str) -> int:
    kinds, words = ((bool, np.bool_), "True or False") if values.dtype.kind == "b" else ((str,), "text")
    if not isinstance(label, kinds):
        message = f"{of}: label {label!r}; expected {words}"
        raise InvalidInput(message)
    found = np.flatnonzero(values == label)
    if found.size:
        return int(found[0])
    raise _absent(values, label, of, None)


def _absent(values: Values, label: Any, of: str, before: int | None) -> NotFound:
    near = values[:5] if before is None else values[max(0, before - 1) : before + 1]
    shown = [str(value) for value in near]
    place = f"; among the first: {', '.join(shown)}" if before is None else f"; beside it: {', '.join(shown)}"
    message = f"{of}: no label {label!r}{place if shown else '; there are none'}"
    return NotFound(message, reference=str(label), candidates=shown)
