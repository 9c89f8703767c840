"""Trying again where that may help: how often, how patiently, and what is said when it is given up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

from hmp_cache.addresses import public
from hmp_cache.errors import DownloadFailed
from hmp_cache.retries import Retry
from hmp_cache.transfer import HTTP, NETWORK, TRUNCATED, Failure, Refused, Transfer

T = TypeVar("T")

#: Failures that leave the bytes that came before as good as they were.
_BROKEN_OFF = frozenset({NETWORK, TRUNCATED, HTTP})


def until_whole(
    uri: str, transfer: Transfer, ask: Callable[[], T], policy: Retry, failed: Callable[[Failure], None]
) -> T:
    """Return what the first attempt gives that is not refused.

    Raises
    ------
    DownloadFailed
        If no attempt does; ``reason`` is that of the last.
    """
    for attempt in itertools.count(1):
        try:
            return ask()
        except Refused as refused:
            failure = _next(refused, attempt, policy)
            if failure.reason not in _BROKEN_OFF:
                transfer.forget()
        failed(failure)
        if failure.wait is None:
            raise _given_up(uri, failure)
        time.sleep(failure.wait)
    raise AssertionError  # counting never ends


def _next(refused: Refused, attempt: int, policy: Retry) -> Failure:
    """Return a failure with the wait that follows it, if another attempt does."""
    reason, message, status, asked = refused.reason, str(refused), refused.status, refused.asked
    if not refused.transient or attempt >= policy.attempts:
        return Failure(reason, message, attempt, status, transient=refused.transient, asked=asked)
    wait = policy.wait(attempt, asked)
    if wait > policy.patience:
        message = f"{message}; the server asks to wait {wait:.0f} s, which is more than {policy.patience:.0f} s"
        return Failure(reason, message, attempt, status, asked=asked)
    return Failure(reason, message, attempt, status, wait, asked=asked)


def _given_up(uri: str, failure: Failure) -> DownloadFailed:
    tries = "1 attempt" if failure.attempt == 1 else f"{failure.attempt} attempts"
    message = f"{public(uri)}: nothing usable after {tries}: {failure.message}"
    return DownloadFailed(
        message, uri=public(uri), reason=failure.reason, status=failure.status, attempts=failure.attempt
    )
