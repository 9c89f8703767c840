"""Records in children that kill themselves at a chosen step; used by `test_killed.py`, which starts it by its path.

Each line on standard input is ``PROJECT STEP``: a child is forked, which records, tags and folds, and sends itself
SIGKILL at that step (-1: never). A step is the moment before or after a call that changes the disk or the database.
What the child acknowledged is printed as it happens, then ``end <signal or 0> <steps made>``.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401, TID251 - imported before forking; no database is opened here
import pandas as pd  # noqa: F401
import pyarrow.parquet  # noqa: F401

import hmp_catalog
import hmp_catalog.tables
from hmp_catalog.environment import capture
from hmp_core.backends.duckdb import DuckDBBackend

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "link", "unlink", "close")
_write = os.write


class Steps:
    """Counts the steps of a process, and ends it at one of them."""

    def __init__(self, fatal: int) -> None:
        self.made = 0
        self.fatal = fatal

    def step(self) -> None:
        if self.made == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.made += 1

    def around(self, call: Any) -> Any:
        @functools.wraps(call)
        def counted(*arguments: Any, **options: Any) -> Any:
            self.step()
            result = call(*arguments, **options)
            self.step()
            return result

        return counted


def say(*words: Any) -> None:
    _write(1, (" ".join(map(str, words)) + "\n").encode())


def work(project: Path) -> None:
    """Record two runs, say something of them, fold."""
    cat = hmp_catalog.open(project)
    for n in range(2):
        with cat.record("gr4j", name=f"run {n}", parameters={"x1": n, "kind": "dry"}, tags=["a"]) as rec:
            rec.metric("nse", n / 2)
            rec.table("budget", {"component": ["wells"], "volume": [1.0]})
        say("run", rec.sim_id, n)
        hmp_catalog.Run(cat, rec.sim_id).tag("b", "-a")
        say("tag", rec.sim_id)
    cat.close()


def child(project: Path, fatal: int) -> None:
    steps = Steps(fatal)
    for name in CALLS:
        setattr(os, name, steps.around(getattr(os, name)))
    DuckDBBackend.execute = steps.around(DuckDBBackend.execute)  # type: ignore[method-assign]
    work(project)
    say("steps", steps.made)


def serve(child: Callable[[Path, int], None]) -> None:
    """Fork a child for each line on standard input, and say how it ended."""
    capture()  # once, as for any script that has started
    say("ready")
    for line in sys.stdin:
        project, _, fatal = line.strip().rpartition(" ")
        pid = os.fork()
        if not pid:
            code = 1
            try:
                child(Path(project), int(fatal))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        say("end", os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status))


if __name__ == "__main__":
    serve(child)
