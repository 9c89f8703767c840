"""A clock that never goes back: later events of what this process has seen get greater numbers.

A hybrid logical clock in one number (Kulkarni et al. 2014, "Logical Physical Clocks"): microseconds since 1970,
or one more than the greatest seen so far.
"""

from __future__ import annotations

import os
import threading
import time

#: No machine's clock says more in 146,000 years; to go on from the greatest number that an event may have would end in
#: one that nobody can read.
FARTHEST = 1 << 62


class Clock:
    """Gives strictly increasing microseconds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        """Return the next number."""
        with self._guard:
            self._last = max(time.time_ns() // 1000, self._last + 1)
            return self._last

    def now(self) -> int:
        """Return what this clock says: what has happened until now has no greater number."""
        with self._guard:
            return max(time.time_ns() // 1000, self._last)

    def observe(self, seen: int) -> None:
        """Make every later number greater than ``seen``, unless that is no time (see `FARTHEST`)."""
        if seen > FARTHEST:
            return
        with self._guard:
            self._last = max(self._last, seen)

    def _renew(self) -> None:
        self._guard = threading.Lock()


#: The clock of this process; all its logs share it.
clock = Clock()
os.register_at_fork(after_in_child=clock._renew)
