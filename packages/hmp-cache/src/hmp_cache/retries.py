"""How often and how patiently a download is tried, and how long a server asks to wait."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime

from hmp_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently to try.

    The wait doubles from one try to the next, up to ``longest``, of which a random half is taken off so that many
    clients do not come back at once; a server's ``Retry-After`` counts instead, unless it is longer than ``patience``.
    """

    attempts: int = 5
    #: seconds
    first: float = 0.5
    longest: float = 30.0
    patience: float = 120.0
    #: seconds without a byte after which a transfer is given up; the head of an answer may take four times as long
    stalled: float = 30.0
    #: bytes a second, over ``stalled`` seconds, below which it is given up too
    slowest: float = 100.0
    #: bytes; what says that it is more, or turns out to be, is refused
    largest: int = 1 << 40

    def __post_init__(self) -> None:
        waits = (self.first, self.longest, self.patience, self.slowest)
        if self.attempts < 1 or min(waits) < 0 or self.stalled <= 0 or self.largest < 1:
            message = f"{self} is no way to try: at least one attempt, no negative wait, room for a byte"
            raise InvalidInput(message)

    def wait(self, attempt: int, asked: float | None) -> float:
        """Return how long to wait after failed attempt number ``attempt`` (from 1)."""
        if asked is not None:
            return asked
        wait: float = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return wait * random.uniform(0.5, 1.0)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3): a number or a date.

    Examples
    --------
    >>> retry_after("7"), retry_after("soon")
    (7.0, None)
    """
    from email.utils import parsedate_to_datetime

    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():  # "²" is a digit to Python, and no number
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
