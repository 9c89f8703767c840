"""Windows of time: what was asked for, what is held, and what is missing between the two.

A window has a first moment and a moment before which it ends; all are UTC without a zone. What a user says is another
thing: in a period both ends are included, and an end that names a day means all of that day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hmp_cache.labels import Period, checked_period

#: First moment, and the moment before which it ends.
Window = tuple[datetime, datetime]

#: The first moment of a window that has always been.
EVER = datetime.min
_LAST = datetime(9999, 12, 31)
_MOMENT = timedelta(microseconds=1)
_DAY = timedelta(days=1)

_CELLS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "t": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": _DAY,
}
#: Months and years are not all as long: the shortest counts.
_CALENDAR = {"w": timedelta(days=7), "m": timedelta(days=28), "ms": timedelta(days=28), "y": timedelta(days=365)}
_FREQUENCY = re.compile(r"(\d*)\s*([A-Za-z]+)$")


@dataclass(frozen=True, slots=True)
class Step:
    """How far apart the values of a series are.

    Parameters
    ----------
    cell
        What windows are rounded to: a day where there is a value every few days or every month.
    length
        From one value to the next; nothing where they come as they come.
    """

    cell: timedelta = _MOMENT
    length: timedelta = timedelta(0)

    @classmethod
    def of(cls, frequency: str | None) -> Step:
        """Return the step of a frequency, as "1D" or "15min"; of any other word, that there is none.

        Examples
        --------
        >>> Step.of("6h").length, Step.of("real-time") == Step.of(None) == Step()
        (datetime.timedelta(seconds=21600), True)
        """
        found = _FREQUENCY.fullmatch((frequency or "").strip())
        if found is None or not int(found[1] or 1):
            return cls()
        count, unit = int(found[1] or 1), found[2].lower()
        if unit in _CELLS:
            return cls(_CELLS[unit], count * _CELLS[unit])
        return cls(_DAY, count * _CALENDAR[unit]) if unit in _CALENDAR else cls()

    @property
    def is_regular(self) -> bool:
        """Whether values come at a known distance."""
        return self.length > timedelta(0)

    def whole(self, window: Window) -> Window:
        """Return a window with the cells at its ends: all of the day that it begins in, where there is one a day."""
        start, end = window
        if start != EVER:
            start -= (start - EVER) % self.cell
        beyond = (end - EVER) % self.cell
        return start, end + (self.cell - beyond) if beyond else end


def asked(period: Any, now: datetime) -> Window:
    """Return the window that a period means: both ends included, no end meaning until now.

    Parameters
    ----------
    period
        As `hmp_cache.labels.Label` takes it: a pair or "2001-01-01/2005-12-31".
    now
        UTC without a zone.

    Raises
    ------
    InvalidInput
        If it is not two moments, or ends before it begins.

    Examples
    --------
    >>> now = datetime(2020, 1, 1)
    >>> str(asked("2001-01-01/2005-12-31", now)[1]), str(asked("2001-01-01/2005-12-31T12:00", now)[1])
    ('2006-01-01 00:00:00', '2005-12-31 12:00:00.000001')
    """
    said = tuple(period) if isinstance(period, Iterable) and not isinstance(period, str) else period
    start, end = checked_period(said) or (None, None)
    if end is None:
        return start or EVER, max(now, start or EVER) + _MOMENT
    last = said.split("/")[1] if isinstance(said, str) else said[1]
    return start or EVER, min(end, _LAST) + (_DAY if _is_day(last) and end < _LAST else _MOMENT)


def closed(window: Window) -> Period:
    """Return a window as a period, both ends included; None for a beginning that has always been."""
    start, end = window
    return (None if start == EVER else start), end - _MOMENT


def opened(period: Iterable[datetime | None], now: datetime) -> Window:
    """Return the window of a period whose ends are included, as one is kept on record."""
    start, end = period
    return start or EVER, (end if end is not None else now) + _MOMENT


def union(windows: Iterable[Window]) -> list[Window]:
    """Return the same moments in as few windows as can be, in order.

    Examples
    --------
    >>> day = [datetime(2001, 1, n) for n in range(1, 6)]
    >>> union([(day[2], day[3]), (day[0], day[1]), (day[1], day[2])]) == [(day[0], day[3])]
    True
    """
    found: list[Window] = []
    for start, end in sorted(window for window in windows if window[0] < window[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def difference(windows: Iterable[Window], without: Iterable[Window]) -> list[Window]:
    """Return the moments of ``windows`` that are in none of ``without``."""
    left = union(windows)
    for start, end in union(without):
        sides = [((first, min(last, start)), (max(first, end), last)) for first, last in left]
        left = [side for pair in sides for side in pair if side[0] < side[1]]
    return left


def common(windows: Iterable[Window], others: Iterable[Window]) -> list[Window]:
    """Return the moments that are in both."""
    first = union(windows)
    return difference(first, difference(first, others))


def gaps(window: Window, held: Iterable[Window], empty: Iterable[Window], step: Step) -> list[Window]:
    """Return what is missing of a window: what is neither held nor known to be empty.

    Windows that are held begin and end with a value. A gap beside one of them that ends before the next value can come
    is none. Where values come as they come, gaps less than a day apart are one: a question costs more than a few rows
    that are there already.
    """
    there = union(held)
    missing = difference([step.whole(window)], [*there, *empty])
    if not step.is_regular:
        return close(missing, _DAY)
    edges = {edge for both in there for edge in both}
    return [gap for gap in missing if gap[1] - gap[0] > step.length - step.cell or not edges & set(gap)]


def close(windows: Iterable[Window], within: timedelta) -> list[Window]:
    """Return windows of which those less than ``within`` apart are one."""
    found: list[Window] = []
    for start, end in union(windows):
        if found and start - found[-1][1] < within:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _is_day(moment: Any) -> bool:
    """Return whether a moment was given as a day, without an hour."""
    if isinstance(moment, str):
        return len(moment.strip()) <= len("2001-12-31")
    return isinstance(moment, date) and not isinstance(moment, datetime)
