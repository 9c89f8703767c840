"""Instants as hmp keeps them: UTC without a zone, to the microsecond, strictly increasing.

What a user holds (NumPy, pandas, xarray, lists of datetimes, with or without a zone) becomes
``datetime64[us]`` here; what goes into a CF store becomes whole days, seconds, ... since 1970.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Instants = NDArray[np.datetime64]
    Integers = NDArray[np.int64]

CALENDAR = "proleptic_gregorian"

#: CF units -> their length in microseconds, coarsest first: the first that loses nothing is used.
UNITS = {
    "days since 1970-01-01 00:00:00": 86_400_000_000,
    "seconds since 1970-01-01 00:00:00": 1_000_000,
    "milliseconds since 1970-01-01 00:00:00": 1_000,
    "microseconds since 1970-01-01 00:00:00": 1,
}

#: A year, a month or a day: as a bound it stands for all of it.
_COARSE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


def instants(times: Any, *, of: str) -> Instants:
    """Return ``times`` in UTC without a zone.

    Parameters
    ----------
    times : array of datetime64, pandas index or Series of datetimes or periods, DataArray, or list
        Times without a zone are taken as UTC; a period is its start. Text is ISO 8601.
    of : str
        Whose times they are, for the message of an error.

    Returns
    -------
    ndarray of datetime64[us], shape (n,)
        Strictly increasing.

    Raises
    ------
    InvalidInput
        Not times, not one-dimensional, finer than a microsecond or 292,000 years from now, NaT, out of order or twice.

    Examples
    --------
    >>> instants(["2001-02-03", "2001-02-03T01:00+01:00"], of="head")
    Traceback (most recent call last):
        ...
    hmp_core.errors.InvalidInput: times of head: 2001-02-03T00:00:00.000000 stands at 0 and again at 1; ...
    """
    found = _as_microseconds(times, of)
    _refuse_disorder(found, of)
    return found


def instant(value: Any) -> np.datetime64:
    """Return one datetime, ``datetime64`` or ISO 8601 text in UTC without a zone."""
    import numpy as np

    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        if isinstance(moment, (date, np.datetime64)):
            exact: np.datetime64 = np.datetime64(moment).astype("datetime64[us]")
            return exact
    except (TypeError, ValueError) as error:  # pandas.NaT is a datetime that is a float
        message = f"{value!r} is not a time: {error}; write it as 2001-02-28T06:00"
        raise InvalidInput(message) from error
    message = f"{value!r} is not a time: expected a datetime, datetime64 or text as 2001-02-28T06:00"
    raise InvalidInput(message)


def in_unit(times: Instants, unit: str, *, of: str) -> Instants:
    """Return datetimes of any shape in another unit; NaT stays.

    Raises
    ------
    InvalidInput
        One that is finer than the unit, or out of its reach: NumPy gives another instant then, without a word.
    """
    import numpy as np

    try:
        kept: Instants = times.astype(f"datetime64[{unit}]")
        lost = (kept.astype(times.dtype) != times) & ~np.isnat(times)
    except OverflowError as error:  # NumPy from 2.5 says it; older ones give another instant
        at = next(each for each in np.ndindex(times.shape) if _overflows(times[each], unit))
        message = f"{of}: {times[at]} at {at} is finer than datetime64[{unit}], or out of its reach; round it first"
        raise InvalidInput(message) from error
    if lost.any():
        at = tuple(int(i) for i in np.unravel_index(lost.argmax(), lost.shape))
        message = f"{of}: {times[at]} at {at} is finer than datetime64[{unit}], or out of its reach; round it first"
        raise InvalidInput(message)
    return kept


def _overflows(time: Any, unit: str) -> bool:
    try:
        time.astype(f"datetime64[{unit}]").astype(time.dtype)
    except OverflowError:
        return True
    return False


def bounds(start: Any, stop: Any) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Return the first and last instant of a period, both included; None stays open.

    Text or a ``date`` that names a year, a month or a day stands for all of it.

    Examples
    --------
    >>> [str(bound) for bound in bounds("2001", "2001-02")]
    ['2001-01-01T00:00:00.000000', '2001-02-28T23:59:59.999999']
    """
    return (None if start is None else _bound(start)[0], None if stop is None else _bound(stop)[1])


def encode(times: Instants) -> tuple[Integers, str]:
    """Return ``times`` as integers and the coarsest CF units in which nothing is lost."""
    count = times.astype("int64")
    units = next(units for units, length in UNITS.items() if not (count % length).any())
    return count // UNITS[units], units


def decode(count: Integers, units: str) -> Instants:
    """Return the instants that `encode` gave as ``count`` and ``units``.

    Raises
    ------
    InvalidInput
        For units that are not of `UNITS`.
    """
    if units not in UNITS:
        message = f"times in {units!r}: expected one of {', '.join(UNITS)}"
        raise InvalidInput(message)
    return (count * UNITS[units]).astype("datetime64[us]")


def iso(moment: np.datetime64) -> str:
    """Return an instant as ACDD wants it: ``2001-02-28T06:00:00Z``."""
    text = str(moment.astype("datetime64[us]"))
    return f"{text.removesuffix('.000000')}Z"


def duration(span: Any) -> str:
    """Return a span of time as ISO 8601 has it.

    Examples
    --------
    >>> from datetime import timedelta
    >>> duration(timedelta(days=364)), duration(timedelta(hours=1.5))
    ('P364D', 'PT5400S')
    """
    passed: timedelta = span.item() if hasattr(span, "item") else span
    seconds = f"{passed.seconds + passed.microseconds / 1e6:.6f}".rstrip("0").rstrip(".")
    return f"P{passed.days}D" if seconds == "0" else f"P{f'{passed.days}D' if passed.days else ''}T{seconds}S"


def _bound(value: Any) -> tuple[np.datetime64, np.datetime64]:
    import numpy as np

    text = str(value)
    if not isinstance(value, datetime) and isinstance(value, (str, date)) and _COARSE.fullmatch(text):
        try:
            whole = np.datetime64(text)
        except ValueError as error:
            message = f"{value!r} is not a date: {error}"
            raise InvalidInput(message) from error
        one: dict[int, np.timedelta64] = {
            4: np.timedelta64(1, "Y"),
            7: np.timedelta64(1, "M"),
            10: np.timedelta64(1, "D"),
        }
        after = whole + one[len(text)]
        return whole.astype("datetime64[us]"), after.astype("datetime64[us]") - np.timedelta64(1, "us")
    exact = instant(value)
    return exact, exact


def _as_microseconds(times: Any, of: str) -> Instants:
    import numpy as np

    if isinstance(times, (list, tuple)):
        return np.array([instant(value) for value in times], dtype="datetime64[us]")
    found = times if isinstance(times, np.ndarray) else _from_pandas(times, of)
    if found.dtype == object and found.ndim == 1:
        return np.array([instant(value) for value in found], dtype="datetime64[us]")
    if found.dtype.kind != "M" or found.ndim != 1:
        message = (
            f"times of {of}: expected one dimension of datetimes, got {found.dtype} of shape {found.shape}; "
            "convert them with numpy.array(..., dtype='datetime64[s]')"
        )
        raise InvalidInput(message)
    return in_unit(found, "us", of=f"times of {of}")


def _from_pandas(times: Any, of: str) -> NDArray[Any]:
    import pandas as pd

    try:
        index = pd.Index(times.values if hasattr(times, "dims") else times)
    except (TypeError, ValueError) as error:
        message = f"times of {of}: expected one dimension of datetimes, got {type(times).__name__}: {error}"
        raise InvalidInput(message) from error
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if getattr(index, "tz", None) is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    values: NDArray[Any] = index.to_numpy()
    return values


def _refuse_disorder(times: Instants, of: str) -> None:
    import numpy as np

    if np.isnat(times).any():
        message = f"times of {of}: no time at position {int(np.isnat(times).argmax())}; drop such values first"
        raise InvalidInput(message)
    steps = np.diff(times) <= np.timedelta64(0, "us")
    if not steps.any():
        return
    at = int(steps.argmax())
    if times[at] == times[at + 1]:
        message = f"times of {of}: {times[at]} stands at {at} and again at {at + 1}; each time may stand once"
    else:
        message = f"times of {of}: {times[at + 1]} at {at + 1} comes after {times[at]}; sort by time first"
    raise InvalidInput(message)
