"""Writers of a session that kill themselves, or are killed; started by `test_acquisition_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which writes two runs into ``june.db`` in it, and
sends itself SIGKILL before the line of that number is run (0: never, -1: never, and the lines are counted; see
`killed_lines`); lines are those of the rooms of a session. At -N a process of its own kills it after N microseconds.
It prints ``run UID``, ``event UID STREAM N``, ``frame UID FIELD N`` and ``ended UID`` for what returned.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from killed_lines import traced
from killed_process import say, serve
from numcodecs import blosc  # noqa: F401 - imported before forking

import hmp_catalog.acquisition
import hmp_core.durable
from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.stack import Kind

ROOMS = {str(each) for each in Path(hmp_catalog.acquisition.__file__).parent.rglob("*.py")}
ROOMS |= {hmp_core.durable.__file__}

#: Events of a run.
EVENTS = 11
#: Shards of four frames: several are filled and closed.
FEW = 4


def frame(number: int) -> np.ndarray[Any, Any]:
    return (np.arange(24).reshape(4, 6) + 100 * number).astype("u2")


def write_run(writer: RunWriter, first: int) -> None:
    """Write a run of two streams; each frame says of which event it is."""
    run = writer.open_run("scan")
    say("run", run)
    for name in ("dark", "light"):
        writer.open_stream(name, {"level": {}})
    for n in range(first, first + EVENTS):
        name = "dark" if n % 4 == 0 else "light"
        event = writer.write_event({"level": n}, stream=name)
        say("event", run, name, n)
        for field in ("camera",) if n % 3 else ("camera", "other"):
            writer.write_image(event, field, frame(n))
            say("frame", run, field, n)
    writer.close_run()
    say("ended", run)


def work(folder: Path) -> None:
    writer = RunWriter(folder / "june.db", SampleMetadata("PS"), sync_seconds=0.005)
    writer.open()
    for n in range(2):
        write_run(writer, 1 + n * EVENTS)
    writer.close()


def child(folder: Path, fatal: int) -> None:
    Kind.__init__.__defaults__ = (FEW,)  # type: ignore[misc]
    if fatal < -1:
        victim = os.getpid()
        if not os.fork():
            time.sleep(-fatal / 1e6)
            os.kill(victim, signal.SIGKILL)
            os._exit(0)
        fatal = 0
    traced(lambda: work(folder), ROOMS, fatal)


if __name__ == "__main__":
    serve(child)
