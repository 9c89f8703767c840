"""Where a process dies: at the n-th line that it runs of the rooms that write, killed as the kernel kills.

A step is a line of hmp_core that is about to be run, so that a process can be ended between any two of them: after
the pack was written and before the transaction was committed, after that and before the segment was removed. Nothing
in the code itself knows of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import hmp_core
from hmp_core.testing.children import start

_HOME = f"{Path(hmp_core.__file__).parent.as_posix()}/"

#: Rooms whose lines are steps: those between an acknowledgement and the disk.
ROOMS = (
    "events" + os.sep,
    "backends" + os.sep,
    "migrations" + os.sep,
    "testing" + os.sep + "gauges",
    "upkeep" + os.sep,
    "backups",
    "copying",
    "durable",
    "locks",
    "wal",
    "replacing",
)

_COUNT = -1


def steps(code: str, **names: Any) -> list[str]:
    """Run ``code`` in a child to its end and return the steps it took, each as ``events/log.py:104 write``."""
    with start(code, die_at=_COUNT, **names) as child:
        said = child.rest()
        assert child.join() == 0, said
    (counted,) = (each.steps for each in said if isinstance(each, Counted))
    return list(counted)


class Counted:
    """The steps of a run that was let live."""

    def __init__(self, taken: list[str]) -> None:
        self.steps = taken


def spread(taken: list[str], count: int, *, seed: int) -> list[int]:
    """Return ``count`` steps (counted from 1) at which to die, spread over all places that were passed.

    Every place is as likely as any other, however often it is passed: a loop does not hide the line after it.
    """
    import random

    chance = random.Random(seed)
    places: dict[str, list[int]] = {}
    for number, place in enumerate(taken, 1):
        places.setdefault(place, []).append(number)
    order = list(places.values())
    if count >= len(order):
        rest = sorted(range(1, len(taken) + 1), key=lambda _: chance.random())
        return sorted({*(chance.choice(numbers) for numbers in order), *rest[: count - len(order)]})
    slices = [order[len(order) * n // count : len(order) * (n + 1) // count] for n in range(count)]
    return [chance.choice(chance.choice(each)) for each in slices]


@contextlib.contextmanager
def dying(at: int, say: Callable[[Any], None]) -> Iterator[None]:
    """Die at step ``at`` of the block; 0 lets it live, -1 counts its steps and says them."""
    if at == 0:
        yield
        return
    taken: list[str] = []

    def step(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_HOME) or not name[len(_HOME) :].startswith(ROOMS):
            return None
        if event == "line":
            taken.append(f"{name[len(_HOME) :]}:{frame.f_lineno} {frame.f_code.co_name}")
            if len(taken) == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    sys.settrace(step)
    try:
        yield
    finally:
        sys.settrace(None)
    if at == _COUNT:
        say(Counted(taken))
