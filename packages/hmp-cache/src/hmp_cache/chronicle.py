"""The rows of a series and the one way they are written: the same rows are the same bytes everywhere and always.

CSV in UTF-8: a header, then a line a row in the order of time. Times are UTC, in ISO 8601 with as few digits as all of
them need: a day, or a moment that ends in ``Z``. Numbers have as few digits as give them back exactly.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from hmp_cache.windows import Window
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

#: Moment -> value, and what is said of its quality.
Rows = dict[datetime, tuple[float | None, str | None]]

_DIGITS = ("minutes", "seconds", "milliseconds", "microseconds")


def rows_of(tables: Iterable[pa.Table], windows: Iterable[Window]) -> Rows:
    """Return what a source delivered within some windows; a moment that comes twice counts as it came last.

    A row that has neither a value nor a word on its quality says no more than one that is not there, and is left out:
    what is asked for in parts is then the same as what is asked for at once.

    Raises
    ------
    InvalidInput
        If it is not a table of times and numbers: the source is mistaken.
    """
    found: Rows = {}
    for table in tables:
        for moment, value, quality in zip(*_columns(table), strict=True):
            found[moment] = (None if value is None or math.isnan(value) else value + 0.0, quality or None)
    wanted = list(windows)
    return {
        moment: row
        for moment, row in found.items()
        if row != (None, None) and any(start <= moment < end for start, end in wanted)
    }


def _columns(table: pa.Table) -> tuple[list[datetime], list[float | None], list[str | None]]:
    import pyarrow as pa

    try:
        # a zoned time counts from the epoch in UTC already
        moments = table.column("time").cast(pa.timestamp("us", getattr(table.schema.field("time").type, "tz", None)))
        times = moments.cast(pa.int64()).cast(pa.timestamp("us")).to_pylist()
        values = table.column("value").cast(pa.float64()).to_pylist()
    except (KeyError, pa.ArrowException) as error:
        message = f"a source delivered {table.schema.names}: expected time (timestamps) and value (numbers): {error}"
        raise InvalidInput(message) from error
    if None in times or any(value is not None and math.isinf(value) for value in values):
        message = "a source delivered a row without a time, or an infinite value"
        raise InvalidInput(message)
    judged = "quality" in table.column_names
    return times, values, table.column("quality").cast(pa.string()).to_pylist() if judged else [None] * len(times)


def encoded(rows: Rows, variable: str) -> bytes:
    """Return rows as they are kept.

    Examples
    --------
    >>> encoded({datetime(2001, 1, 2): (0.1, None), datetime(2001, 1, 1): (None, "ice")}, "discharge").decode()
    'time,discharge,quality\\n2001-01-01,,ice\\n2001-01-02,0.1,\\n'
    """
    told = _teller(rows)
    judged = any(quality for _, quality in rows.values())
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["time", variable, "quality"] if judged else ["time", variable])
    for moment in sorted(rows):
        value, quality = rows[moment]
        number = "" if value is None else repr(value)
        lines.writerow([told(moment), number, quality or ""] if judged else [told(moment), number])
    return text.getvalue().encode()


def _teller(rows: Rows) -> Callable[[datetime], str]:
    """Return how each moment is written: with as few digits as all of them need."""
    if all(moment.time() == time.min for moment in rows):
        return lambda moment: moment.date().isoformat()
    digits = _DIGITS[max(map(_needed, rows))]
    return lambda moment: f"{moment.isoformat(timespec=digits)}Z"


def _needed(moment: datetime) -> int:
    """Return which of `_DIGITS` a moment needs."""
    if moment.microsecond:
        return 3 if moment.microsecond % 1000 else 2
    return 1 if moment.second else 0


def decoded(data: bytes) -> Rows:
    """Return the rows that `encoded` wrote."""
    lines = csv.reader(io.StringIO(data.decode(), newline=""))
    next(lines)
    found: Rows = {}
    for line in lines:
        moment = datetime.fromisoformat(line[0])
        plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        found[plain] = (float(line[1]) if line[1] else None, (line[2] or None) if len(line) > 2 else None)
    return found


def has_values(rows: Rows) -> bool:
    """Return whether there is a number among the rows."""
    return any(value is not None for value, _ in rows.values())
