"""How long a block may read from the network in all, however often a byte comes.

The limit of the HTTP library begins anew with each read: a server that sends a line of a head now and then, none of
them late, held an attempt for minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: What the library says when there is a new connection to read from.
_OPENED = ("connect_tcp.complete", "start_tls.complete")
#: Seconds that a read still gets when the time is up: it takes what is there and waits for nothing. None at all would
#: be an error of its own.
_LEAST = 0.001

_held = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let everything that the block reads in this thread take so long; then a read ends as one that waited in vain."""
    _held.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _held.until = None


def watched(event: str, told: Mapping[str, Any]) -> None:
    """Hold a new connection to what `within` says, also when it is used again: a trace of the HTTP library."""
    if not event.endswith(_OPENED):
        return
    stream = told["return_value"]
    read = stream.read

    def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
        until = getattr(_held, "until", None)
        if until is not None:
            left = max(until - time.monotonic(), _LEAST)
            timeout = left if timeout is None else min(timeout, left)
        found: bytes = read(max_bytes, timeout=timeout)
        return found

    stream.read = bounded
