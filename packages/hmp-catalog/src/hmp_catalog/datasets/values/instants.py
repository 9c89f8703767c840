"""Instants of every unit that NumPy has, exactly: into one unit, as whole counts of it, and in the words of CF.

NumPy converts between units without a word where it loses or overflows (``datetime64('1500')`` in nanoseconds is
2084); here that is told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.dtypes import TIME_UNITS
from hmp_catalog.fields import times
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Instants = NDArray[np.datetime64]
    Integers = NDArray[np.int64]

#: Units in which CF counts -> the unit of NumPy, in the singular and the plural.
_OF_WORDS = {word: unit for unit, many in TIME_UNITS.items() if unit not in "YMW" for word in (many, many[:-1])}

_SINCE = re.compile(
    r"(\w+) since (\d{4}-\d\d?-\d\d?)(?:[ T](\d\d?:\d\d?(?::\d\d?(?:\.\d+)?)?))?(?: ?(?:Z|UTC|\+?00:?00))?"
)


def in_unit(values: Any, unit: str, *, of: str) -> Instants:
    """Return instants in a unit; NaT stays. None, text and datetimes are taken too.

    Raises
    ------
    InvalidInput
        What is no instant, is finer than the unit, or out of its reach.
    """
    import numpy as np

    found = np.asarray(values)
    if found.dtype.kind != "M":
        if found.dtype.kind not in "OUT" and found.size:
            message = f"{of}: values of type {found.dtype}; expected datetimes"
            raise InvalidInput(message)
        each = [np.datetime64("NaT", "us") if value is None else _first(value) for value in found.flat]
        found = np.array(each, dtype="datetime64[us]").reshape(found.shape)
    return times.in_unit(found, unit, of=of)


def _first(value: Any) -> np.datetime64 | None:
    """Return an instant; of a year, a month or a day the first."""
    return times.bounds(str(value) if isinstance(value, str) else value, None)[0]


def counting(unit: str) -> str:
    """Return the unit in which instants are counted: days for weeks, months and years, which CF does not have."""
    return "D" if unit in "YMW" else unit


def counted(values: Instants) -> Integers:
    """Return instants as whole units since 1970."""
    import numpy as np

    unit = np.datetime_data(values.dtype)[0]
    return values.astype(f"datetime64[{counting(unit)}]").astype(np.int64)


def counted_one(value: Any, unit: str) -> int:
    """Return one instant, also as text, as whole units since 1970."""
    import numpy as np

    return int(counted(in_unit(np.asarray(value), counting(unit), of=f"bound {value}"))[()])


#: Nanoseconds in each unit in which instants are counted.
_LENGTHS = {
    "D": 86_400 * 10**9, "h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1,
}  # fmt: skip


def may_begin(start: int, last: int, unit: str) -> bool:
    """Return whether a count may begin at ``start`` and go to ``last``, both in units since 1970.

    xarray (2026.9, without cftime) takes the date, and what is counted from it, as nanoseconds of 64 bits: a count over
    more than 292 years from one date is not decoded, not even where its values are of today.
    """
    length = _LENGTHS[counting(unit)]
    return start * length > -(2**63) and max(last, last - start) * length < 2**63


def of_count(count: Integers, unit: str) -> Instants:
    """Return the instants that `counted` gave as a count."""
    found: Instants = count.view(f"datetime64[{counting(unit)}]").astype(f"datetime64[{unit}]")
    return found


# ── the words of CF ──────────────────────────────────────────────────────────────────────────────────


def cf_units(start: int, unit: str) -> str:
    """Return the CF units of a count that begins at ``start`` units since 1970.

    Raises
    ------
    InvalidInput
        A start that is not in the years 1678 to 2261: from others xarray does not count without cftime (2026.9).

    Examples
    --------
    >>> cf_units(-36816481, "m")
    'minutes since 1899-12-31 23:59:00'
    """
    import numpy as np

    date = np.int64(start).view(f"datetime64[{counting(unit)}]")
    year = date.astype("datetime64[Y]").astype(int) + 1970
    if not 1678 <= year <= 2261:
        message = (
            f"times counted since {date}: expected a date of 1678 to 2261; raise min_value, or leave the range out"
        )
        raise InvalidInput(message)
    seconds = date.astype("datetime64[s]")
    shown = str(date if seconds != date else seconds)
    return f"{TIME_UNITS[unit]} since {shown.replace('T', ' ')}"


def of_cf(units: str, calendar: str, *, of: str) -> tuple[str, int]:
    """Return the unit of NumPy, and where in it a count begins, of CF units.

    Raises
    ------
    InvalidInput
        Other units or calendars: xarray (with cftime) may read them.
    """
    import numpy as np

    match = _SINCE.fullmatch(units)
    if match is None or match[1] not in _OF_WORDS or calendar not in {"standard", "gregorian", "proleptic_gregorian"}:
        message = f"{of}: times in {units!r} ({calendar}) are not read here; open it by xarray, and write times anew"
        raise InvalidInput(message)
    unit = _OF_WORDS[match[1]]
    day = "-".join(part.zfill(2) for part in match[2].split("-"))
    clock = ":".join(part.zfill(2) for part in (match[3] or "00:00").split(":"))
    start = in_unit(np.asarray(np.datetime64(f"{day}T{clock}")), unit, of=f"{of}: {units!r}")
    return unit, int(start.astype(np.int64))
