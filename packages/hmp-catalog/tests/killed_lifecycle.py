"""Throws away, restores and purges in children that kill themselves; started by `test_lifecycle_killed.py` by its path.

Each line on standard input is ``PROJECT VERB STEP``: a child is forked, which does that to the run "victim" and sends
itself SIGKILL before the line of that number is run (0: never); lines are those of the rooms between a question and
the disk. It prints the places it passed, then ``end <signal or 0>``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb  # noqa: F401, TID251 - imported before forking; no database is opened here
import pandas as pd  # noqa: F401
import pyarrow.parquet  # noqa: F401

import hmp_catalog
import hmp_catalog.privacy
import hmp_core
from hmp_catalog.environment import capture

ROOMS = {
    str(Path(hmp_catalog.__file__).parent / f"{room}.py")
    for room in ("doing", "lifecycle", "purging", "privacy", "chain")
} | {
    str(Path(hmp_core.__file__).parent / f"{room}.py")
    for room in ("durable", "events/apply", "events/scrubbing", "events/segment")
}


def act(cat: hmp_catalog.SimulationCatalog, verb: str) -> None:
    if verb == "trash":
        cat.delete("victim")
    elif verb == "restore":
        cat.restore("victim")
    else:
        cat.purge("victim", reason="asked for")


def child(project: Path, verb: str, fatal: int) -> list[str]:
    """Do it, and die before line ``fatal``; return the lines that were passed."""
    passed: list[str] = []

    def step(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in ROOMS:
            return None
        if event == "line":
            passed.append(f"{Path(frame.f_code.co_filename).stem}:{frame.f_lineno}")
            if len(passed) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    cat = hmp_catalog.open(project)
    sys.settrace(step)
    act(cat, verb)
    cat.close()
    sys.settrace(None)
    return passed


def main() -> None:
    capture()
    print("ready", flush=True)
    for line in sys.stdin:
        project, verb, fatal = line.split()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                print(" ".join(child(Path(project), verb, int(fatal))), flush=True)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print("end", os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status), flush=True)


if __name__ == "__main__":
    main()
