"""Packed floats have no code for what is infinite: it becomes missing, and each write that did so says it once.

It is counted where values are encoded, which is once for a piece of a file; what the user called gathers the counts,
so that there is one warning with their sum, and before anything is written.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar

#: How many were met in each variable by what gathers them now; None where nobody does.
_met: ContextVar[Counter[str] | None] = ContextVar("infinities", default=None)

#: Packages whose lines a warning is not for.
_OURS = {"hmp_catalog", "hmp_core", "contextlib"}


class InfinityWarning(UserWarning):
    """Infinite values were written to packed floats, which have no code for them: they read as missing (NaN)."""


def note(of: str, count: int) -> None:
    """Count infinite values of a variable that became missing; warn where nobody gathers them.

    Warns
    -----
    InfinityWarning
        It names the variable and the count.
    """
    met = _met.get()
    if met is not None:
        met[of] += count
        return
    message = (
        f"{of}: infinite values became missing, {count} of them: packed floats have no code for them; write NaN, or "
        "declare the variable without a precision"
    )
    warnings.warn(message, InfinityWarning, stacklevel=_depth())


@contextlib.contextmanager
def gathered() -> Iterator[None]:
    """Say at the end what was met; nothing if it ends by an exception."""
    mine: Counter[str] = Counter()
    token = _met.set(mine)
    try:
        yield
    finally:
        _met.reset(token)
    for of, count in mine.items():
        note(of, count)


@contextlib.contextmanager
def said() -> Iterator[None]:
    """Say nothing: what is met was met, and said, when the values were looked at."""
    token = _met.set(Counter())
    try:
        yield
    finally:
        _met.reset(token)


def _depth() -> int:
    """Return how many calls are between `note` and the first line that is not ours."""
    depth = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        frame = frame.f_back
        depth += 1
    return depth
