"""What the values of a coordinate may be, how they go on at either end, and what of them is kept.

Each value stands once; numbers and datetimes ascend, texts keep the order they came in. A caller's array is never
sorted: its labels would then belong to other data. Where the steps are regular, what goes on after a gap fills it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.labels import noise, span
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: How many labels a gap may be filled with: 119 years of hours, or two of minutes.
MOST_FILLED = 1 << 20

#: How much of a step a float may be beside its place: steps of a third that are written with five decimals.
_JITTER = 1e-4


@dataclass(frozen=True)
class Growth:
    """A coordinate that went on: all its ``values``, and where the old ones and those that were given are in it."""

    values: Values
    old: slice
    given: Values

    @property
    def added(self) -> int:
        """How many values came, those that fill a gap among them."""
        return len(self.values) - len(self.values[self.old])

    @property
    def filled(self) -> int:
        """How many values fill gaps: where they are there are no data."""
        return self.added - len(self.given)


@dataclass(frozen=True)
class Truncation:
    """What is kept of a coordinate: its ``values``, and where they were."""

    values: Values
    kept: slice

    def dead(self, chunk: int) -> slice:
        """Return the cells of the last chunk that nobody sees any more: empty them, or they are back when it grows."""
        length = len(self.values)
        return slice(length, -(-length // chunk) * chunk)


def checked(values: Any, *, of: str = "coordinate") -> Values:
    """Return the values of a coordinate, in an array of its own.

    Raises
    ------
    InvalidInput
        More than one dimension, NaN, NaT, infinite, twice the same, not ascending, or neither numbers, datetimes,
        truth nor text.
    """
    if np.ma.is_masked(values):
        message = f"{of}: masked values; a coordinate has no missing values, drop them and their data first"
        raise InvalidInput(message)
    found = np.array(values)
    if found.ndim != 1:
        message = f"{of}: shape {found.shape}; a coordinate has one dimension"
        raise InvalidInput(message)
    if found.dtype.kind in "OUT":
        return _texts(found, of)
    if found.dtype.kind not in "biufM":
        message = f"{of}: values of type {found.dtype}; expected numbers, datetimes, truth or text"
        raise InvalidInput(message)
    absent = ~np.isfinite(found)
    if absent.any():
        at = int(absent.argmax())
        message = f"{of}: {found[at]} at {at}; a coordinate has no missing values, drop them and their data first"
        raise InvalidInput(message)
    _check_order(found, of)
    return found


def _texts(found: Values, of: str) -> Values:
    seen: dict[str, int] = {}
    for at, value in enumerate(found):
        if not isinstance(value, str):
            message = f"{of}: {value!r} at {at} is not text"
            raise InvalidInput(message)
        if value in seen:
            message = f"{of}: {value!r} stands at {seen[value]} and again at {at}; each label may stand once"
            raise InvalidInput(message)
        seen[str(value)] = at
    return np.array(list(seen), dtype=object)


def _check_order(found: Values, of: str) -> None:
    wrong = ~(found[:-1] < found[1:])
    if not wrong.any():
        return
    at = int(wrong.argmax())
    if found[at] == found[at + 1]:
        message = f"{of}: {found[at]} stands at {at} and again at {at + 1}; each value may stand once"
    else:
        message = (
            f"{of}: {found[at + 1]} at {at + 1} comes after {found[at]}; expected ascending values. Turn them and "
            "their data together (values[::-1]): they are not sorted here, for the data would stay behind"
        )
    raise InvalidInput(message)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────


def step_of(values: Values, *, precision: int | None = None) -> int | float | None:
    """Return the step of a coordinate; None where it is irregular or has less than two values.

    Datetimes step in their unit. Floats may be beside their place by the noise of arithmetic, by half of the
    precision they are kept to, and by a ten-thousandth of a step.

    Examples
    --------
    >>> step_of(np.array([0.0, 0.1, 0.2, 0.1 + 0.2])), step_of(np.array([1, 2, 4]))
    (0.1, None)
    """
    if len(values) < 2 or values.dtype.kind not in "iufM":
        return None
    if values.dtype.kind != "f":
        gaps = _gaps(values)
        return int(gaps[0]) if (gaps == gaps[0]).all() else None
    wide = values.astype(np.float64)
    step = float(wide[-1] - wide[0]) / (len(wide) - 1)
    beside = np.abs(wide - (wide[0] + step * np.arange(len(wide)))).max()
    near = 2 * noise(values, precision)
    if beside > near + _JITTER * step:
        return None
    return _tidy(step, near / (len(wide) - 1))


def _tidy(step: float, unsure: float) -> float:
    """Return the shortest decimal that is within the uncertainty of a step: 0.1, not 0.10000000000000002."""
    for digits in range(1, 17):
        short = float(f"{step:.{digits}g}")
        if abs(short - step) <= min(unsure, 1e-9 * step):
            return short
    return step


def agreed_step(
    values: Values, step: Any, *, of: str = "coordinate", precision: int | None = None
) -> int | float | None:
    """Return the step of a coordinate, as its creator wants it.

    Parameters
    ----------
    step : bool, int, float, timedelta or timedelta64
        True: that of the values, if they are regular. False: none. Else the step that they must have. A number counts
        the unit of datetimes; where less than two values say which is meant, a timedelta has to.

    Raises
    ------
    InvalidInput
        Text has no steps; a step that is not positive, or not that of the values; a number that no values bear out.
    """
    if step is None or step is False:
        return None
    if values.dtype.kind not in "iufM":
        message = f"{of}: step={step!r}: labels that are no numbers or datetimes have no step"
        raise InvalidInput(message)
    if step is True:
        return step_of(values, precision=precision)
    wanted = _as_step(values, step, of)
    if values.dtype.kind == "M" and len(values) < 2 and not isinstance(step, (timedelta, np.timedelta64)):
        message = (
            f"{of}: step={step!r} would be {_said(values, wanted)}, and no two labels say whether that is meant; "
            "give a timedelta64 (np.timedelta64(1, 'h')), or leave it to the labels that come"
        )
        raise InvalidInput(message)
    indexes = _indexes(values, values[0], wanted, precision, len(values)) if len(values) else None
    if indexes is not None and (np.diff(indexes) != 1).any():
        found = _said(values, step_of(values, precision=precision))
        message = f"{of}: a step of {_said(values, wanted)} is said (step={step!r}), but the values have {found}"
        raise InvalidInput(message)
    return wanted


def _as_step(values: Values, step: Any, of: str) -> int | float:
    plain: Any = np.timedelta64(step) if isinstance(step, timedelta) else step
    if values.dtype.kind == "M" and isinstance(plain, np.timedelta64):
        plain = plain / np.array(1, dtype=f"timedelta64[{np.datetime_data(values.dtype)[0]}]")
    plain = plain.item() if isinstance(plain, np.generic) else plain
    positive = isinstance(plain, (int, float)) and not isinstance(plain, bool) and math.isfinite(plain) and plain > 0
    if positive and (values.dtype.kind == "f" or int(plain) == plain):
        return float(plain) if values.dtype.kind == "f" else int(plain)
    message = f"{of}: step={step!r}: expected a positive number, whole for integers and datetimes of {values.dtype}"
    raise InvalidInput(message)


def _said(values: Values, step: float | None) -> str:
    """Return a step as an error says it: of datetimes with its unit."""
    if step is None:
        return "no single step"
    if values.dtype.kind != "M":
        return str(step)
    return str(np.array(int(step), dtype=f"timedelta64[{np.datetime_data(values.dtype)[0]}]")[()])


def _gaps(values: Values) -> Values:
    """Return the differences of ascending integers or datetimes, which unsigned integers of their width hold."""
    plain = values.astype(np.int64) if values.dtype.kind == "M" else values
    wide = plain.astype(np.uint64)
    return wide[1:] - wide[:-1]


def _indexes(values: Values, origin: Any, step: float, precision: int | None, known: int) -> Values:
    """Return how many steps after the origin values are; -1 where they are between steps.

    ``known`` values told the step: far beyond them it is less sure.
    """
    if values.dtype.kind != "f":
        after = _gaps(np.concatenate([np.array([origin], dtype=values.dtype), values]))
        distance = np.cumsum(after, dtype=np.uint64)
        whole = (distance // np.uint64(step)).astype(np.int64)
        return np.where(distance % np.uint64(step) == 0, whole, -1)
    exact = (values.astype(np.float64) - float(origin)) / step
    index = np.rint(exact)
    near = 2 * noise(np.append(np.array([origin], dtype=values.dtype), values)[[0, -1]], precision) / step
    allowed = np.minimum(_JITTER + near * (1 + index / max(1, known - 1)), 0.25)
    return np.where(np.abs(exact - index) <= allowed, index, -1).astype(np.int64)


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────


def appended(
    values: Values, new: Any, step: Any = None, *, of: str = "coordinate", precision: int | None = None
) -> Growth:
    """Return a coordinate with values added after its last.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The coordinate, as `checked`.
    new : array_like, shape (m,)
        What comes, ascending; text in any order.
    step : True, int or float, optional
        The step that is to be kept: gaps of whole steps are filled. True takes it from the values, as long as they
        are regular.

    Raises
    ------
    InvalidInput
        Values that are not `checked`, are not beyond the last, or are off the grid of the steps.
    """
    batch = _batch(values, new, of)
    if values.dtype.kind == "O" or not len(values):
        return _joined(values, batch, of)
    if len(batch) and not batch[0] > values[-1]:
        message = f"{of}: {batch[0]} is not after {values[-1]}, the last; between its values nothing is inserted"
        raise InvalidInput(message)
    kept = _kept_step(values, np.concatenate([values, batch]), step, of, precision)
    if kept is None or not len(batch):
        return _joined(values, batch, of)
    index = _indexes(batch, values[-1], kept, precision, len(values))
    _refuse_off_grid(batch, np.append(0, index), kept, values[-1], of)
    _refuse_many(int(index[-1]) - len(batch), batch, kept, of)
    added = _filled(values[-1], batch, index, kept)
    given = len(values) + index - 1
    return Growth(np.concatenate([values, added]), slice(0, len(values)), given.astype(np.intp))


def prepended(
    values: Values, new: Any, step: Any = None, *, of: str = "coordinate", precision: int | None = None
) -> Growth:
    """Return a coordinate with values added before its first; the parameters are those of `appended`."""
    batch = _batch(values, new, of)
    if values.dtype.kind == "O" or not len(values):
        whole = checked(np.concatenate([batch, values]), of=of)
        return Growth(whole, slice(len(batch), len(whole)), np.arange(len(batch)))
    if len(batch) and not batch[-1] < values[0]:
        message = f"{of}: {batch[-1]} is not before {values[0]}, the first; between its values nothing is inserted"
        raise InvalidInput(message)
    plain = np.concatenate([batch, values])
    kept = _kept_step(values, plain, step, of, precision)
    if kept is None or not len(batch):
        return Growth(plain, slice(len(batch), len(plain)), np.arange(len(batch)))
    after = _indexes(np.append(batch[1:], values[:1]), batch[0], kept, precision, len(values))
    _refuse_off_grid(batch, np.append(0, after), kept, values[0], of)
    _refuse_many(int(after[-1]) - len(batch), batch, kept, of)
    added = np.append(batch[:1], _filled(batch[0], np.append(batch[1:], values[:1]), after, kept)[:-1])
    whole = np.concatenate([added, values])
    return Growth(whole, slice(len(added), len(whole)), np.append(0, after[:-1]).astype(np.intp))


def _batch(values: Values, new: Any, of: str) -> Values:
    """Return new values in the type of the coordinate, in which none of them may change."""
    found = checked(new, of=of)
    if not len(found):
        return values[:0]
    if (values.dtype.kind == "O") != (found.dtype.kind == "O") or (values.dtype.kind == "M") != (
        found.dtype.kind == "M"
    ):
        message = f"{of}: values of type {found.dtype} to go on from {values.dtype}"
        raise InvalidInput(message)
    if values.dtype.kind == "O" or values.dtype == found.dtype:
        return found
    with np.errstate(over="ignore", invalid="ignore"):
        kept = found.astype(values.dtype)
        same = np.isfinite(kept) if values.dtype.kind == "f" else kept.astype(found.dtype) == found
    if not same.all():
        message = f"{of}: {found[int((~same).argmax())]} cannot be kept as {values.dtype}"
        raise InvalidInput(message)
    return checked(kept, of=of)


def _joined(values: Values, batch: Values, of: str) -> Growth:
    whole = np.concatenate([values, batch]) if values.dtype.kind != "O" else checked(np.append(values, batch), of=of)
    return Growth(whole, slice(0, len(values)), np.arange(len(values), len(whole)))


def _kept_step(values: Values, whole: Values, step: Any, of: str, precision: int | None) -> int | float | None:
    """Return the step to keep; one value alone has none, what comes tells it."""
    if step is True:
        return step_of(values if len(values) > 1 else whole, precision=precision)
    return None if step is None or step is False else _as_step(values, step, of)


def _refuse_off_grid(batch: Values, index: Values, step: float, beside: Any, of: str) -> None:
    """Refuse values between steps, and two of them at one step; the place they are counted from is in ``index``."""
    wrong = np.diff(index) < 1
    if wrong.any():
        value = batch[int(wrong.argmax())]
        message = (
            f"{of}: {value} is not a whole number of steps of {_said(batch, step)} from {beside}; "
            "update_step(None) takes the step away, then any value may come"
        )
        raise InvalidInput(message)


def _refuse_many(count: int, batch: Values, step: float, of: str) -> None:
    """Refuse a gap that nobody means: a step in another unit, or a year with a digit too many."""
    if count > MOST_FILLED:
        message = (
            f"{of}: {count} labels would fill the gap in steps of {_said(batch, step)}, more than {MOST_FILLED}; "
            "look at the step and at the labels, or append what is between yourself"
        )
        raise InvalidInput(message)


def _filled(origin: Any, batch: Values, index: Values, step: float) -> Values:
    """Return all values after the origin up to the last of a batch; those given stay what they are to the last bit."""
    count = int(index[-1])
    if batch.dtype.kind == "f":
        places = np.append(0, index).astype(np.float64)
        known = np.append(np.float64(origin), batch.astype(np.float64))
        found = np.interp(np.arange(1, count + 1), places, known).astype(batch.dtype)
    else:
        bits = np.dtype(np.int64 if batch.dtype.kind == "M" else batch.dtype)
        start = np.array([origin], dtype=batch.dtype).astype(bits).astype(np.uint64)
        found = (start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(step)).astype(bits).astype(batch.dtype)
    return found


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────


def truncated(
    values: Values, start: Any = None, stop: Any = None, *, of: str = "coordinate", precision: int | None = None
) -> Truncation:
    """Return a coordinate from one label to another, both included.

    Raises
    ------
    InvalidInput
        If nothing would be left.
    NotFound
        A text that is not there.
    """
    kept = span(values, slice(start, stop), of=of, precision=precision)
    if kept.start == kept.stop:
        message = f"{of}: nothing is left from {start!r} to {stop!r}; delete the coordinate instead"
        raise InvalidInput(message)
    return Truncation(values[kept].copy(), kept)
