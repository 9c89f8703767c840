"""Packs observations in children that are killed; `test_bundles.py` starts it, as `killed_process.py` is started."""

from __future__ import annotations

import os
from pathlib import Path

from killed_process import CALLS, Steps, say, serve

import hmp_catalog


def child(project: Path, fatal: int) -> None:
    steps = Steps(fatal)
    cat = hmp_catalog.open(project)
    cat.observations.additions()
    for name in CALLS:
        setattr(os, name, steps.around(getattr(os, name)))
    cat.observations.pack()
    say("steps", steps.made)


if __name__ == "__main__":
    serve(child)
