"""Lines of chosen rooms are counted in a child that ends itself before one of them; `killed_dataset.py` uses it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

from killed_process import say


def traced(work: Callable[[], None], rooms: Collection[str], fatal: int) -> None:
    """Do ``work`` and count its lines in the files ``rooms``; SIGKILL before line ``fatal`` (0: nothing is counted).

    It prints ``place FUNCTION:LINE STEP...`` for every line, ``room MODULE STEP`` for every room, then ``steps N``.
    """
    passed: dict[str, list[int]] = {}
    entered: dict[str, list[int]] = {}
    steps = 0

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename not in rooms:
            return None
        if event == "line":
            steps += 1
            entered.setdefault(Path(frame.f_code.co_filename).stem, []).append(steps)
            passed.setdefault(f"{frame.f_code.co_name}:{frame.f_lineno}", []).append(steps)
            if steps == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    if fatal:
        threading.settrace(step)
        sys.settrace(step)
    work()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    for place, numbers in passed.items():
        say("place", place, *numbers[:: max(1, len(numbers) // 8)], numbers[-1])
    for room, numbers in entered.items():
        say("room", room, numbers[len(numbers) // 2])
    say("steps", steps)
