"""Many files of observations become one of each variable: the same values, bytes and rows, wherever a process dies."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_core.cli.main import main
from hmp_core.errors import CorruptError, NotWritable

DAYS = [f"2001-01-{day:02}" for day in range(1, 13)]
#: Kills in an ordinary run, and of all the places in the soak.
SEEDS, MANY = range(6), range(6, 60)


def fill(cat: hmp_catalog.SimulationCatalog) -> None:
    """Add a value a day, as a logger is read."""
    for n, day in enumerate(DAYS):
        cat.observations.add("H1", "discharge", {day: float(n)}, unit="m3 s-1", quality="raw")
    cat.observations.add("H2", "discharge", {DAYS[0]: 7.0}, unit="m3 s-1")
    for n, day in enumerate(DAYS[:3]):
        cat.observations.add("P1", "head", {day: 100.0 + n}, unit="m")


def files(project: Path) -> list[str]:
    return sorted(file.name for file in (project / "observations").rglob("*") if file.is_file())


def told(cat: hmp_catalog.SimulationCatalog) -> list[Any]:
    return [cat.observations.table().to_pylist(), cat.observations.additions()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory, empty_project) -> Path:
    """Return a project with observations, which no test changes."""
    workspace = tmp_path_factory.mktemp("filled") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    with hmp_catalog.open(workspace / "projects" / empty_project.name) as cat:
        fill(cat)
    return workspace


@pytest.fixture
def project(filled, tmp_path, empty_project) -> Path:
    shutil.copytree(filled, tmp_path / "workspace")
    return tmp_path / "workspace" / "projects" / empty_project.name


def test_many_files_become_one_of_each_variable(project, contents) -> None:
    with hmp_catalog.open(project) as cat:
        before, rows = told(cat), contents(project)
        assert len(files(project)) == 16
        assert cat.observations.pack() == 16
        assert [name[:7] for name in files(project)] == ["bundle-", "bundle-"]
        assert told(cat) == before
        assert cat.observed("discharge", "H1", ("2001-01-03", "2001-01-05")).tolist() == [2.0, 3.0, 4.0]
        assert contents(project) == rows
        assert not cat.rebuild()
        assert contents(project) == rows
        assert told(cat) == before
        assert cat.observations.pack() == 0


def test_what_is_added_later_joins_the_bundle(project) -> None:
    with hmp_catalog.open(project) as cat:
        cat.observations.pack()
        former = files(project)
        again = cat.observations.add("H1", "discharge", {DAYS[0]: 0.0}, unit="m3 s-1", quality="raw")
        assert files(project) == former, "the same values are kept once"
        cat.observations.withdraw(again)
        cat.observations.add("H1", "discharge", {"2001-02-01": 99.0}, unit="m3 s-1")
        assert cat.observations.pack() == 0, "one file is not worth it"
        cat.observations.add("H1", "discharge", {"2001-02-02": 98.0}, unit="m3 s-1")
        before = told(cat)
        assert cat.observations.pack() == 2
        assert len(files(project)) == 2
        assert told(cat) == before


def test_an_addition_is_withdrawn_from_a_bundle(project) -> None:
    with hmp_catalog.open(project) as cat:
        cat.observations.pack()
        cat.observations.withdraw(cat.observations.additions("discharge", "H1")[-1]["addition_id"])
        assert len(cat.observed("discharge", "H1")) == 11


def test_vacuum_packs_and_says_so(project, capsys) -> None:
    assert main(["catalog", "vacuum", "--json", "-p", str(project)]) == 0
    assert '"observations_packed": 16' in capsys.readouterr().out
    assert len(files(project)) == 2


def test_doctor_looks_into_bundles(project, capsys) -> None:
    with hmp_catalog.open(project) as cat:
        cat.observations.pack()
    assert main(["db", "verify", "--deep", str(project)]) == 0, capsys.readouterr()
    bundle = next((project / "observations" / "head").iterdir())
    data = bundle.read_bytes()
    middle = data.index(b"PAR1") + 20
    bundle.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    assert main(["db", "verify", "--deep", str(project)]) != 0
    assert "observations-changed" in capsys.readouterr().out
    with hmp_catalog.open(project) as cat:
        assert len(cat.observed("discharge", "H1")) == 12
        for n, day in enumerate(DAYS[:3]):  # what is damaged is mended by adding it again
            cat.observations.add("P1", "head", {day: 100.0 + n}, unit="m")
        assert cat.observed("head").tolist() == [100.0, 101.0, 102.0]
        cat.observations.add("P1", "head", {"2001-03-01": 103.0}, unit="m")
        cat.observations.pack()
        assert cat.observed("head").tolist() == [100.0, 101.0, 102.0, 103.0]
    assert main(["db", "verify", "--deep", str(project)]) == 0


def test_what_is_not_as_it_was_added_stays_loose(project) -> None:
    file = next((project / "observations" / "head").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    other = project / "observations" / "head" / "notes.txt"
    other.write_text("mine")
    with hmp_catalog.open(project) as cat:
        cat.observations.pack()
        assert file.exists()
        assert other.read_text() == "mine"
        with pytest.raises(CorruptError):
            cat.observations.table("head")


def test_a_catalog_that_is_only_read_packs_nothing(project) -> None:
    with hmp_catalog.open(project, read_only=True) as cat, pytest.raises(NotWritable):
        cat.observations.pack()
    assert len(files(project)) == 16


# ── a process that dies ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def victims(make_victims: Callable[..., Any], filled, empty_project, tmp_path_factory) -> Any:
    there = tmp_path_factory.mktemp("counting") / "workspace"
    shutil.copytree(filled, there)
    found = make_victims("killed_observations.py", -1)
    found.places = int(found.work(there / "projects" / empty_project.name, -1)[-2][1])
    assert found.places > 60
    return found


def kill(seed: int, project: Path, victims: Any, contents) -> None:
    with hmp_catalog.open(project) as cat:
        before, rows = told(cat), contents(project)
    chance = random.Random(seed)
    assert victims.work(project, chance.randrange(victims.places))[-1] == ["end", str(int(signal.SIGKILL))]
    with hmp_catalog.open(project) as cat:
        assert told(cat) == before
        cat.observations.pack()
        assert [name[:7] for name in files(project) if not name.startswith(".")] == ["bundle-", "bundle-"]
        assert told(cat) == before
        assert contents(project) == rows
        assert not cat.rebuild()
        assert contents(project) == rows


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_while_packing(seed, project, victims, contents) -> None:
    kill(seed, project, victims, contents)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_while_packing_at_many_steps(seed, project, victims, contents) -> None:
    kill(seed, project, victims, contents)
