"""What a user says an input is, and the key that makes two of them the same input.

The key is variable, source, place, stated period, frequency and unit. The place is the station, or the extent of a
grid (with its coordinate system); where neither is given, the name stands in for it, and where none is given either,
what the file is called where it comes from. What is found out from the bytes (the period a file covers) is never part
of the key: a record that grows is a new version of the same input.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from hmp_core.errors import InvalidInput
from hmp_core.events.record import to_json
from hmp_core.identity import derived_id

#: xmin, ymin, xmax, ymax
BBox = tuple[float, float, float, float]
#: first and last moment, UTC without a zone
Period = tuple[datetime | None, datetime | None]

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: what already lies in ``data/`` under a name of its own
_TAKEN = {"events", "cache.duckdb", "cache.duckdb.wal", "cache.duckdb.lock", "cache.duckdb.lock.json"}


@dataclass(frozen=True, slots=True)
class Label:
    """What is said about an input, checked and in one form.

    Parameters
    ----------
    variable, source
        What it is and where it comes from: letters, digits, ``_ . -``; each becomes a folder.
    station
        The station it was measured at.
    bbox, crs
        The extent of a grid (xmin, ymin, xmax, ymax) and its coordinate system, as "EPSG:2154".
    period
        First and last moment that are asked for; ISO 8601 text, date or datetime. Without a zone it is UTC.
    frequency, unit
        As "1D" and "m3 s-1" (UDUNITS).
    name
        What people call it; by default the file's name without its suffix.

    Raises
    ------
    InvalidInput
        For a value that cannot be accepted; the message says what was expected.

    Examples
    --------
    >>> Label(variable="discharge", source="custom", period=("2001-01-01", "2001-12-31")).period[0].year
    2001
    """

    variable: str
    source: str
    station: str | None = None
    bbox: Any = None
    crs: str | None = None
    period: Any = None
    frequency: str | None = None
    unit: str | None = None
    name: str | None = None
    license: str | None = None
    source_unit: str | None = None
    tool: str | None = None
    parameters: Mapping[str, Any] | None = None
    parents: Sequence[Mapping[str, Any]] = field(default=())

    def __post_init__(self) -> None:
        _folder("variable", self.variable)
        _folder("source", self.source)
        for what in ("station", "crs", "frequency", "unit", "name", "license", "source_unit", "tool"):
            _set(self, what, _text(what, getattr(self, what)))
        _set(self, "bbox", checked_bbox(self.bbox))
        _set(self, "period", checked_period(self.period))
        checked_parameters("parameters", self.parameters)

    def entry_id(self, stand_in: str) -> UUID:
        """Return the id that this label always makes.

        Parameters
        ----------
        stand_in
            What stands in for the place of a label that has neither place nor name: a file's name, path or URI.
        """
        placed = self.station is not None or self.bbox is not None
        start, end = self.period or (None, None)
        return derived_id(
            "hmp-cache entry 1",
            self.variable,
            self.source,
            self.station or "",
            ",".join(map(repr, self.bbox)) if self.bbox else "",
            (self.crs or "") if self.bbox else "",
            start.isoformat() if start else "",
            end.isoformat() if end else "",
            self.frequency or "",
            self.unit or "",
            "" if placed else self.name or stand_in,
        )

    def called(self, file_name: str) -> str:
        """Return what the entry is called."""
        return self.name or stem(file_name)


def stem(file_name: str) -> str:
    """Return a file's name without its last suffix.

    Examples
    --------
    >>> stem("fulda.daily.csv"), stem(".csv")
    ('fulda.daily', '.csv')
    """
    return file_name.rpartition(".")[0] or file_name


def artifact_id(entry: UUID | str, sha256: str) -> UUID:
    """Return the id of one version: of these bytes, in this entry."""
    return derived_id("hmp-cache artifact 1", str(entry), sha256)


def _set(label: Label, what: str, value: Any) -> None:
    object.__setattr__(label, what, value)


def _folder(what: str, value: Any) -> None:
    if isinstance(value, str) and _FOLDER.fullmatch(value) and value.lower() not in _TAKEN:
        return
    taken = " (that name is taken in data/)" if isinstance(value, str) and value.lower() in _TAKEN else ""
    message = (
        f"{what} is {value!r}{taken}; expected a name such as 'discharge' or 'open-meteo': "
        "up to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit"
    )
    raise InvalidInput(message)


def _text(what: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        message = f"{what} is {value!r}, expected text, got {type(value).__name__}"
        raise InvalidInput(message)
    text = unicodedata.normalize("NFC", value.strip())
    # categories C*: control characters, and the surrogates of names that are no Unicode
    if not text or any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
        message = f"{what} is {value!r}, expected text without control characters, or None"
        raise InvalidInput(message)
    return text


def checked_bbox(value: Any) -> BBox | None:
    """Return an extent as four floats.

    Raises
    ------
    InvalidInput
        If it is not four finite numbers with xmin <= xmax and ymin <= ymax.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):  # each letter of "1234" would be a number
            raise TypeError
        xmin, ymin, xmax, ymax = (float(v) + 0.0 for v in value)  # + 0.0 makes -0.0 the same as 0.0
    except (TypeError, ValueError, OverflowError):
        message = f"bbox is {value!r}, expected four numbers (xmin, ymin, xmax, ymax)"
        raise InvalidInput(message) from None
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))) or xmin > xmax or ymin > ymax:
        message = f"bbox is {value!r}, expected (xmin, ymin, xmax, ymax) with xmin <= xmax and ymin <= ymax"
        raise InvalidInput(message)
    return xmin, ymin, xmax, ymax


def checked_period(value: Any) -> Period | None:
    """Return a period as two moments in UTC without a zone; either may be None.

    Raises
    ------
    InvalidInput
        If it is not two moments, or ends before it begins.
    """
    if value is None:
        return None
    parts = value.split("/") if isinstance(value, str) else value
    try:
        first, last = parts
    except (TypeError, ValueError):
        message = f"period is {value!r}, expected (first, last) or 'first/last', as '2001-01-01/2005-12-31'"
        raise InvalidInput(message) from None
    start, end = checked_moment("period", first), checked_moment("period", last)
    if start is None and end is None:
        return None
    if start is not None and end is not None and start > end:
        message = f"period ends before it begins: {start} to {end}"
        raise InvalidInput(message)
    return start, end


def checked_moment(what: str, value: Any) -> datetime | None:
    """Return a moment in UTC without a zone, from ISO 8601 text, a date or a datetime."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
        elif isinstance(value, datetime):
            found = value
        elif isinstance(value, date):
            found = datetime(value.year, value.month, value.day)
        else:
            raise TypeError
        utc = found if found.tzinfo is None else found.astimezone(UTC)
        return datetime(*utc.timetuple()[:6], utc.microsecond)  # plain, also where a Timestamp was given
    except (TypeError, ValueError, OverflowError):  # also of a pandas NaT, and of a zone that leads out of year 1
        message = f"{what}: {value!r} is not a moment; expected ISO 8601 as '2001-01-31', a date or a datetime"
        raise InvalidInput(message) from None


def checked_parameters(what: str, value: Any) -> None:
    """Return if ``value`` is None or a mapping of plain values.

    Raises
    ------
    InvalidInput
        If it cannot be kept as JSON.
    """
    if value is None:
        return
    try:
        if not isinstance(value, Mapping):
            raise TypeError
        to_json(dict(value))
    except RecursionError:
        message = f"{what} has parts within parts that are too deep for JSON, or that hold themselves"
        raise InvalidInput(message) from None
    except (TypeError, ValueError) as error:
        message = f"{what} is {value!r}, expected a mapping of plain values that JSON knows ({error})"
        raise InvalidInput(message) from None
