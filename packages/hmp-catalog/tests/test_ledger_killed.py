"""SIGKILL at every line of adding observations, running a workflow, keeping geography: nothing acknowledged is lost."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_catalog.geography import collection
from hmp_core.identity import sha256_file

SEEDS, MANY, EACH = range(3), range(3, 80), 3


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_ledger.py", 0)


def check(cat: hmp_catalog.SimulationCatalog, said: list[list[str]]) -> None:
    """Hold the catalog against what was acknowledged."""
    additions = cat.observations.additions()
    assert not cat.notice, str(cat.notice)
    assert {words[1] for words in said if words[0] == "added"} <= {row["addition_id"] for row in additions}
    assert bool(len(cat.stations)) >= (["station"] in said)
    for row in additions:
        assert sha256_file(cat.path / row["path"]) == row["sha256"]
    if additions:
        assert len(cat.observed("discharge")) >= 2
    runs = {run.sim_id: run for run in cat}
    assert {words[1] for words in said if words[0] == "run"} <= runs.keys()
    for run in runs.values():
        assert run.status in {"completed", "interrupted"}
        if run.status == "completed":
            assert run.geographic() == {"area": 2945.0}
            assert len(collection(run.feature("outlet"))["features"]) == 1
    flows = cat.workflows()
    assert {flow["status"] for flow in flows} <= {"completed", "interrupted"}


def check_steps(said: list[list[str]]) -> None:
    """No step that was acknowledged is done again."""
    done: set[str] = set()
    for words in said:
        if words[0] == "does":
            assert words[1] not in done, said
        if words[0] == "done":
            done.add(words[1])


def kill(seed: int, project: Path, victims: Any, contents: Any) -> None:
    chance, said = random.Random(seed), list[list[str]]()
    for _ in range(EACH):
        said += victims.work(project, chance.randrange(1, victims.places))
        assert said[-1] in (["end", "0"], ["end", str(int(signal.SIGKILL))]), said
        with hmp_catalog.open(project) as cat:
            check(cat, said)
    check_steps(said)
    with hmp_catalog.open(project) as cat:
        before = contents(project)
        assert not cat.rebuild()
        assert contents(project) == before


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_line(seed: int, project: Path, victims: Any, contents: Any) -> None:
    kill(seed, project, victims, contents)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_at_many_lines(seed: int, project: Path, victims: Any, contents: Any) -> None:
    kill(seed, project, victims, contents)
