"""When an input may be asked for again that could not be had: later each time, so that nobody is hammered.

The record of failures is the memory, so that a process that starts anew, and one beside it, know of them too. It is
looked at once in a while; what this process has met itself counts at once.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hmp_cache import queries
from hmp_cache.errors import RetryLater
from hmp_core.errors import BusyError
from hmp_core.events import EventStore

#: After the first failure, and at most.
_FIRST = timedelta(minutes=1)
_LONGEST = timedelta(hours=6)
#: After what will hardly be otherwise soon: not there, not allowed, not data.
_HOPELESS = timedelta(hours=24)
#: How far back a row of failures counts.
_MEMORY = timedelta(days=7)
#: Seconds for which what the database said is taken to be so: asking it folds, which takes tens of milliseconds.
_FRESH = 10.0


@dataclass(frozen=True, slots=True)
class Setback:
    """A failure to obtain an input."""

    #: network, http, truncated, content, validation, disk
    reason: str
    message: str
    status: int | None = None
    #: of one that ended a fetch: how many fetches in a row have failed with it
    attempts: int | None = None
    #: of one that ended a fetch: from when on to try again, UTC without a zone
    next_retry: datetime | None = None


def next_retry(attempts: int, now: datetime, *, hopeless: bool, asked: float | None = None) -> datetime:
    """Return when to ask again after so many failures in a row.

    Parameters
    ----------
    attempts
        From 1.
    now
        UTC without a zone.
    hopeless
        Whether another answer is hardly to be expected.
    asked
        Seconds that the server asks to wait.

    Examples
    --------
    >>> noon = datetime(2001, 1, 1, 12)
    >>> [str(next_retry(n, noon, hopeless=False))[11:] for n in (1, 2, 3, 30)]
    ['12:01:00', '12:02:00', '12:04:00', '18:00:00']
    """
    wait = _HOPELESS if hopeless else min(_LONGEST, _FIRST * 2 ** min(attempts - 1, 16))
    return now + max(wait, timedelta(seconds=min(asked or 0.0, _MEMORY.total_seconds())))


class Backoff:
    """What may not be asked for yet.

    Parameters
    ----------
    store
        The log and the database of a workspace.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._recorded: dict[str, Setback] = {}
        self._read_at: float | None = None
        #: since the database was last asked; None: obtained
        self._own: dict[str, Setback | None] = {}

    def require(self, entry: UUID, uri: str, *, now: datetime | None = None) -> None:
        """Return if an input may be asked for now.

        Raises
        ------
        RetryLater
            If it failed and its time has not come.
        """
        last = self.last(entry)
        if last is None or last.next_retry is None or last.next_retry <= (now or _now()):
            return
        times = "once" if last.attempts == 1 else f"{last.attempts} times in a row"
        message = (
            f"{uri}: it failed {times}, last with {last.reason}: {last.message}. It is not asked for again before "
            f"{last.next_retry:%Y-%m-%d %H:%M:%S} UTC, unless with retry_now=True (--retry-now)"
        )
        raise RetryLater(
            message,
            uri=uri,
            reason=last.reason,
            status=last.status,
            attempts=last.attempts,
            next_retry=last.next_retry,
        )

    def last(self, entry: UUID) -> Setback | None:
        """Return the last failure of an input since it was had."""
        with self._guard:
            self._look()
            key = str(entry)
            return self._own[key] if key in self._own else self._recorded.get(key)

    def failed(self, entry: UUID, setback: Setback) -> None:
        """Note a failure; the caller has it on record."""
        with self._guard:
            self._own[str(entry)] = setback

    def obtained(self, entry: UUID) -> None:
        """Note that an input was had."""
        with self._guard:
            self._own[str(entry)] = None

    def _look(self) -> None:
        """Ask the database, if that is some time ago."""
        if self._read_at is not None and time.monotonic() - self._read_at < _FRESH:
            return
        try:
            with self._store.reading() as backend:
                rows = queries.failing(backend, _now() - _MEMORY)
        except BusyError:
            rows = None  # somebody is at it for long: what was known counts on
        if rows is not None:
            self._recorded = {
                str(entry): Setback(reason, message, status, attempts, moment)
                for entry, attempts, moment, reason, message, status in rows
            }
            if not self._store.notice:  # what this process met is among what was read
                self._own.clear()
        self._read_at = time.monotonic()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
