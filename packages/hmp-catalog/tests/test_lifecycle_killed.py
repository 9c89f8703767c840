"""SIGKILL between any two lines of throwing away, restoring and purging: who opens next finds the whole or nothing."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import hmp_catalog
from hmp_catalog import doing, manifest, privacy
from hmp_core.layout import catalog_path

HERE = Path(__file__).resolve().parent
VERBS = ("trash", "restore", "purge")
#: Kills in an ordinary run, by verb, beside one at the last line; and in each part of the soak.
FEW = {"trash": 1, "restore": 1, "purge": 3}
PARTS, EACH = 20, 8


class Victims:
    """A process whose children do something to a run and are killed."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "killed_lifecycle.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def act(self, project: Path, verb: str, step: int = 0) -> list[str]:
        """Do it in a child that dies at ``step``; return the places it passed, and how it ended."""
        self.process.stdin.write(f"{project} {verb} {step}\n")
        self.process.stdin.flush()
        said = [self.process.stdout.readline().strip()]
        while not said[-1].startswith("end"):
            said.append(self.process.stdout.readline().strip())
        return [*" ".join(said[:-1]).split(), said[-1]]


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    found = Victims()
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.fixture(scope="module")
def before(tmp_path_factory, empty_project) -> dict[str, Path]:
    """Return for each verb a project in which it can be done to the run "victim"."""
    home = tmp_path_factory.mktemp("before")
    shutil.copytree(empty_project.parents[1], home / "trash")
    with hmp_catalog.open(home / "trash") as cat:
        for name in ("victim", "other"):
            with cat.record("gr4j", name=name, parameters={"x1": 1.0}, contact_email="ada@example.org") as rec:
                rec.metric("nse", 0.5)
                rec.table("budget", {"component": ["wells"], "volume": [1.0]})
        cat["victim"].note("the garden of Ada")
        cat.find()
    shutil.copytree(home / "trash", home / "purge")
    shutil.copytree(home / "trash", home / "restore")
    with hmp_catalog.open(home / "restore") as cat:
        cat.delete("victim")
    return {verb: home / verb / "projects" / empty_project.name for verb in VERBS}


@pytest.fixture(scope="module")
def places(before, victims, tmp_path_factory) -> dict[str, list[str]]:
    """Return the lines that each verb passes when nobody is killed."""
    found = {}
    for verb, project in before.items():
        copy = tmp_path_factory.mktemp("whole") / "w"
        shutil.copytree(project.parents[1], copy)
        *found[verb], ending = victims.act(copy / "projects" / project.name, verb)
        assert ending == "end 0"
    return found


def check(project: Path, verb: str, contents) -> str:
    """Hold what is there after the next opening against all or nothing; return which."""
    with hmp_catalog.open(project) as cat:
        assert not doing.is_half_done(cat.store.path)
        assert len(cat.find(name="other")) == 1
        assert not cat.notice, str(cat.notice)
        rows = {table: found for table, found in contents(project).items() if found}
        (sim,) = {row["sim_id"] for row in rows["audit_log"]} - {cat["other"].sim_id}
        there = [home for home in (manifest.HOME, manifest.TRASH) if list((project / home).glob(f"victim__{sim[:8]}"))]
        live, trashed = ([run.sim_id for run in cat.find(name="victim", trashed=t)] for t in (False, True))
        if verb == "purge" and rows.get("deletions"):
            assert (there, live, trashed) == ([], [], [])
            assert not list((project / manifest.TRASH).glob(".*"))
            certificate = privacy.verify(cat, project / ".hmp" / privacy.FOLDER / f"{sim}.json")
            assert certificate.problems == ()
            assert {t for t, found in rows.items() if any(row.get("sim_id") == sim for row in found)} == {
                "audit_log",
                "deletions",
            }
            assert b"garden" not in b"".join(pack.read_bytes() for pack in cat.store.files.packed())
            state = "purged"
        else:
            assert (there, live, trashed) in ((["simulations"], [sim], []), (["trash"], [], [sim]))
            run = hmp_catalog.Run(cat, sim)
            assert manifest.read(run.folder)[0]["run"]["sim_id"] == sim
            assert run.table("budget").num_rows == 1
            state = there[0]
        assert cat.audit.verify().problems == ()
        assert not cat.rebuild()
    after = {table: found for table, found in contents(project).items() if found}
    assert after == rows
    return state


def kill(verb: str, step: int, before, victims, tmp_path, contents) -> str:
    copy = tmp_path / f"{verb}-{step}"
    shutil.copytree(before[verb].parents[1], copy)
    project = copy / "projects" / before[verb].name
    said = victims.act(project, verb, step)
    assert said[-1] == f"end {int(signal.SIGKILL)}", said
    state = check(project, verb, contents)
    shutil.rmtree(copy)
    return state


def at_places(passed: list[str], count: int, seed: int) -> list[int]:
    """Return steps (from 1) to die at, each at its own place: the last, and where the event is about to be logged."""
    steps = {place: number for number, place in enumerate(passed, 1)}
    chosen = random.Random(seed).sample(sorted(steps.values()), min(count, len(steps)))
    logged = next(number for number, place in enumerate(passed, 1) if place.startswith("segment"))
    return sorted({logged, len(passed), *chosen})


@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_some_lines(verb, before, places, victims, tmp_path, contents):
    steps = at_places(places[verb], FEW[verb], seed=5)
    states = [kill(verb, step, before, victims, tmp_path, contents) for step in steps]
    done = {"trash": "trash", "restore": "simulations", "purge": "purged"}[verb]
    assert states[-1] == done
    # what was begun is finished: nothing is undone once it was done
    assert states == sorted(states, key=lambda state: state == done)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_many_lines(verb, part, before, places, victims, tmp_path, contents):
    for step in at_places(places[verb], EACH, seed=part):
        kill(verb, step, before, victims, tmp_path, contents)


def test_death_between_the_chain_and_the_commit(before, places, victims, tmp_path, contents):
    """The line is in audit.jsonl and its row is not in the database: the chain goes on without a fork."""
    project = tmp_path / "w" / "projects" / before["trash"].name
    shutil.copytree(before["trash"].parents[1], tmp_path / "w")
    code = """
    import os, signal, sys, hmp_catalog
    from hmp_catalog import chain
    cat = hmp_catalog.open(sys.argv[1])
    cat["victim"].tag("b")
    append = chain._append
    def dying(*arguments):
        append(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    chain._append = dying
    cat.find()
    """
    lines = len((project / "audit.jsonl").read_bytes().splitlines())
    done = subprocess.run([sys.executable, "-c", dedent(code), str(project)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len((project / "audit.jsonl").read_bytes().splitlines()) == lines + 1
    with hmp_catalog.open(project) as cat:
        cat["victim"].tag("c")
        assert cat.audit.verify().problems == ()
        assert cat.audit.verify().entries == lines + 2
        rows = contents(project)
        catalog_path(project).unlink()
    with hmp_catalog.open(project, create=True) as cat:
        assert contents(project) == rows
        assert cat.audit.verify().problems == ()
