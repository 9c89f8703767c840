"""From a service's JSON to rows: times in UTC without a zone, numbers, what is missing as null.

What is not as its documentation says becomes a failed download: that a service has changed is noticed, not guessed at.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from hmp_cache.errors import DownloadFailed
from hmp_cache.http import public
from hmp_core.errors import HmpError

if TYPE_CHECKING:
    import pyarrow as pa


class Row(NamedTuple):
    """What was measured at a moment."""

    time: datetime
    value: float | None
    quality: str | None = None


@contextlib.contextmanager
def as_documented(uri: str) -> Iterator[None]:
    """Take an answer apart; where it is not as it should be, say so.

    Raises
    ------
    DownloadFailed
        With reason "content".
    """
    try:
        yield
    except HmpError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise unlike(uri, f"{type(error).__name__}: {error}") from error


def unlike(uri: str, what: str, *, reason: str = "content") -> DownloadFailed:
    """Return the error for an answer that is not as its service documents it."""
    message = f"{public(uri)}: the answer is not as the service documents it: {what}"
    return DownloadFailed(message, uri=public(uri), reason=reason, status=200, attempts=1)


def moment(text: str) -> datetime:
    """Return a moment in UTC without a zone; without a zone in the text it is UTC already.

    Examples
    --------
    >>> moment("2018-12-11T01:00:00+01:00")
    datetime.datetime(2018, 12, 11, 0, 0)
    """
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def number(value: Any, *, missing: float | None = None) -> float | None:
    """Return a number, also out of text; None for none at all, for ``missing``, and for what is not finite.

    Examples
    --------
    >>> number("3910"), number(None), number(-999999, missing=-999999.0)
    (3910.0, None, None)
    """
    if value is None or value == "":
        return None
    found = float(value)
    return None if found == missing or not math.isfinite(found) else found


def table(rows: Iterable[Row]) -> pa.Table:
    """Return rows as `Destination.rows` takes them; with quality only where one of them has it."""
    import pyarrow as pa

    listed = list(rows)
    columns: dict[str, pa.Array] = {
        "time": pa.array([row.time for row in listed], pa.timestamp("us")),
        "value": pa.array([row.value for row in listed], pa.float64()),
    }
    if any(row.quality for row in listed):
        columns["quality"] = pa.array([row.quality for row in listed], pa.string())
    return pa.table(columns)
