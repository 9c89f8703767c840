"""Adds observations, runs a workflow, records a run in children that kill themselves, for `test_ledger_killed.py`.

Each line on standard input is ``PROJECT LINE``: a child is forked, which sends itself SIGKILL before the line of that
number is run (0: never); lines are those of the rooms between a verb and the disk. What the child acknowledged is
printed as it happens, then ``lines <passed>`` and ``end <signal or 0>``.
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
from killed_process import say, serve

import hmp_catalog
import hmp_core

_CATALOG = ("observations", "stations", "workflow", "geography", "recorder", "manifest", "meanings/observations")
ROOMS = {str(Path(hmp_catalog.__file__).parent / f"{room}.py") for room in _CATALOG} | {
    str(Path(hmp_core.__file__).parent / f"{room}.py") for room in ("durable", "events/apply", "events/segment")
}


def work(cat: hmp_catalog.SimulationCatalog) -> None:
    """Do something of everything, and say what was acknowledged."""
    number = len(cat.observations.additions())
    cat.stations.add("H1", "discharge", name="Aare")
    say("station")
    say("added", cat.observations.add("H1", "discharge", {"2001-01-01": float(number), f"{2001 + number}-06-01": 1.0}))
    with cat.workflow("model") as wf:
        for n in range(2):
            file = cat.path / f"{n}.txt"

            def make(n: int = n, file: Path = file) -> Path:
                say("does", n)
                file.write_text(f"result {n}")
                return file

            assert wf.step(f"step {n}", make).read_text() == f"result {n}"
            say("done", n)
    with cat.record("gr4j") as rec:
        rec.geographic_metadata("area", 2945.0, "km2")
        rec.geographic_feature("outlet", {"type": "Point", "coordinates": [1.0, 2.0]})
    say("run", rec.sim_id)


def child(project: Path, fatal: int) -> None:
    passed = 0

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal passed
        if frame.f_code.co_filename not in ROOMS:
            return None
        if event == "line":
            passed += 1
            if passed == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return step

    with hmp_catalog.open(project) as cat:
        sys.settrace(step)
        work(cat)
    sys.settrace(None)
    say("lines", passed)


if __name__ == "__main__":
    serve(child)
