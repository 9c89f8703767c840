"""SIGKILL at every step of recording, sealing, tagging, folding: what was acknowledged is there, and nothing half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_catalog import manifest
from hmp_catalog.tables import read_table

#: Kills, three of them one after the other in the same project.
SEEDS, MANY, EACH = range(10), range(10, 150), 3


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_process.py", -1)


def check(cat: hmp_catalog.SimulationCatalog, said: list[list[str]]) -> None:
    """Hold the catalog against what was acknowledged."""
    runs = {words[1] for words in said if words[0] == "run"}
    tagged = {words[1] for words in said if words[0] == "tag"}
    found = {row["sim_id"]: row for row in cat.table.to_pylist()}
    assert not cat.notice, str(cat.notice)
    assert runs <= found.keys()
    for sim, row in found.items():
        folder = cat.path / "simulations" / row["storage_basename"]
        assert row["status"] in {"completed", "interrupted"}
        assert row["status"] == "completed" or sim not in runs
        assert (row["status"] == "completed") is (folder / manifest.NAME).exists()
        if row["status"] == "completed":
            n = float(row["name"].split()[1])
            assert manifest.read(folder)[0]["run"]["sim_id"] == sim
            assert (row["param.x1"], row["param.kind"], row["metric.nse"]) == (n, "dry", n / 2)
            assert read_table(folder / "tables" / "budget.parquet").num_rows == 1
    kept = cat.sql("SELECT CAST(sim_id AS VARCHAR) AS sim_id, tag FROM tags").to_pylist()
    tags = {(row["sim_id"], row["tag"]) for row in kept}
    assert {(sim, "b") for sim in tagged} <= tags
    assert not {(sim, "a") for sim in tagged} & tags


def check_rebuilt(cat: hmp_catalog.SimulationCatalog, contents) -> None:
    # what was left behind keeps nobody from going on
    cat.record("gr4j", name="after 0").seal("failed")
    assert len(cat.find(name="after 0", status="failed")) == 1
    before = contents(cat.path)
    assert not cat.rebuild()
    assert contents(cat.path) == before


def kill(seed: int, project: Path, victims: Any, contents) -> None:
    chance, said = random.Random(seed), list[list[str]]()
    for _ in range(EACH):
        said += victims.work(project, chance.randrange(victims.places))
        while said[-1] == ["end", "0"]:  # there are a few steps less where there is something already
            said += victims.work(project, chance.randrange(victims.places))
        assert said[-1] == ["end", str(int(signal.SIGKILL))], said
        with hmp_catalog.open(project) as cat:
            check(cat, said)
    with hmp_catalog.open(project) as cat:
        check_rebuilt(cat, contents)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_step(seed, project, victims, contents):
    kill(seed, project, victims, contents)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_at_many_steps(seed, project, victims, contents):
    kill(seed, project, victims, contents)


def test_nobody_killed(project, victims, contents):
    """The steps are counted rightly: one more and nothing happens."""
    said = victims.work(project, victims.places)
    assert said[-1] == ["end", "0"]
    assert [words[0] for words in said] == ["run", "tag", "run", "tag", "steps", "end"]
    with hmp_catalog.open(project) as cat:
        check(cat, said)
        check_rebuilt(cat, contents)


# ── between the manifest and its event ───────────────────────────────────────────────────────────────

SEALED_BUT_NOT_LOGGED = """
import os, signal, sys, hmp_catalog
from hmp_core.events import EventStore
cat = hmp_catalog.open(sys.argv[1])
rec = cat.record("gr4j", name="base", tags=["a"])
rec.metric("nse", 0.5)
if sys.argv[2] == "folded":
    assert cat["base"].status == "running"
EventStore.commit = lambda self, events: os.kill(os.getpid(), signal.SIGKILL)
rec.seal()
"""


@pytest.mark.parametrize("before", ["folded", "not folded"])
def test_a_seal_that_could_not_be_logged_is_found_at_once(project, contents, before):
    """Whether the open run was folded before, or in the same fold."""
    code = subprocess.run([sys.executable, "-c", SEALED_BUT_NOT_LOGGED, str(project), before], check=False).returncode
    assert code == -signal.SIGKILL
    with hmp_catalog.open(project) as cat:
        assert (cat["base"].status, cat["base"].metrics, cat["base"].tags) == ("completed", {"nse": 0.5}, ["a"])
        assert not cat.notice
        expected = contents(project)
        cat.rebuild()
    assert contents(project) == expected


def test_the_seal_of_a_living_process_is_left_to_it(project, cat, spawn):
    """It is about to log it; a crash of the machine could still take the file away."""
    code = """
    import sys, hmp_catalog
    from hmp_core.events import EventStore
    cat = hmp_catalog.open(sys.argv[1])
    rec = cat.record("gr4j", name="base")
    commit = EventStore.commit
    def waiting(self, events):
        print("written", flush=True)
        sys.stdin.readline()
        commit(self, events)
    EventStore.commit = waiting
    rec.seal()
    print("sealed", flush=True)
    """
    with spawn(code, project) as (other,):
        assert other.stdout.readline() == "written\n"
        assert cat["base"].status == "running"
        other.stdin.write("go\n")
        other.stdin.flush()
        assert other.stdout.readline() == "sealed\n"
        assert cat["base"].status == "completed"
    assert not cat.notice
