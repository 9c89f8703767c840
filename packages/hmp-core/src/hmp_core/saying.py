"""Warnings that are said once for each cause: what goes wrong at every fold must not fill a log as well as a disk."""

from __future__ import annotations

import logging
import re
import time

#: Seconds after which the same is worth a line again.
_AGAIN = 600.0
#: So many causes are remembered; who meets more has other trouble.
_MOST = 1000

#: What an attached database is called in what the engine says: another name each time.
_ALIAS = re.compile(r"\bhmp\d+\b")

_said: dict[tuple[str, ...], float] = {}


def once(log: logging.Logger, message: str, *what: object) -> None:
    """Warn, unless the very same was said within the last ten minutes: then it is a matter of debugging.

    Parameters
    ----------
    log
        Where to.
    message, *what
        As `logging.Logger.warning` takes them.
    """
    cause, now = (log.name, message, *(_ALIAS.sub("", str(each)) for each in what)), time.monotonic()
    if now - _said.get(cause, -_AGAIN) < _AGAIN:
        log.debug(message, *what)
        return
    if len(_said) >= _MOST:
        _said.clear()
    _said[cause] = now
    log.warning(message, *what)
