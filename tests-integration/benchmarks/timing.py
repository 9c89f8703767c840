"""How a figure is taken and told: a line for people, and one for `compare.py` where ``HMP_FIGURES`` names a file.

Each figure says who did what: median and minimum, wall time and processor time. On a machine that does other things
the minimum and the processor time say more than the median.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """How long one of something took, in milliseconds, how often it was done, and what it should take at most."""

    who: str
    what: str
    median: float
    least: float
    cpu: float
    times: int
    goal: float | None = None

    def __str__(self) -> str:
        told = f"{self.who:19} {self.what:50} median {self.median:10.3f} ms  min {self.least:10.3f} ms  "
        told += f"cpu {self.cpu:10.3f} ms  of {self.times:5}"
        return told + self.judged()

    def judged(self) -> str:
        """Return whether the goal was met, if there is one."""
        if self.goal is None:
            return ""
        met = "met" if self.median <= self.goal else "met by the minimum" if self.least <= self.goal else "MISSED"
        return f"  goal {self.goal:g} ms: {met}"


def tell(
    who: str,
    what: str,
    act: Callable[[], Any],
    times: int,
    *,
    each: int = 1,
    within: float = 15.0,
    warm: bool = True,
    goal: float | None = None,
) -> Figure:
    """Do something so often, once before it counts, and tell how long one of ``each`` took.

    After ``within`` seconds it is done no more, and what takes as long by itself is done once, which counts. Processor
    time is also that of processes that were waited for.
    """
    spent, began = list[tuple[float, float]](), time.perf_counter()
    while len(spent) < times and (not spent or time.perf_counter() - began < within):
        start, cpu = time.perf_counter(), processor()
        act()
        took = time.perf_counter() - start
        if warm and took < within:
            warm, began = False, time.perf_counter()
            continue
        spent.append((took / each * 1e3, (processor() - cpu) / each * 1e3))
    walls = [wall for wall, _ in spent]
    busy = statistics.median(cpu for _, cpu in spent)
    return note(Figure(who, what, statistics.median(walls), min(walls), busy, len(spent) * each, goal))


def note(figure: Figure) -> Figure:
    """Say a figure, and keep it where somebody compares."""
    print(figure, flush=True)
    if file := os.environ.get("HMP_FIGURES"):
        with Path(file).open("a") as lines:
            lines.write(json.dumps(asdict(figure)) + "\n")
    return figure


def processor() -> float:
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def disk(where: Path) -> None:
    """Say what one flush costs here and now."""
    with (where / "flushed").open("ab", buffering=0) as file:

        def flush() -> None:
            file.write(b"x" * 1500)
            os.fsync(file.fileno())

        tell("the disk", "1.5 kB and a flush", flush, 100)


def anew(code: str, *words: str) -> None:
    """Run code in a new process, which may keep bytecode: to compile hmp each time costs 0.1 s that nobody has."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, env=environment)
