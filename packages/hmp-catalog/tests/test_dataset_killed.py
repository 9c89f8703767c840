"""SIGKILL between any two lines of a commit: the data set is as before or as after, for hmp and for plain Zarr."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import zarr

from hmp_catalog.datasets import Versions
from hmp_catalog.datasets.history.documents import consolidate

sys.path.append(str(Path(__file__).parent))
from killed_dataset import make, state

#: Kills, two of them one after the other in the same data set.
SEEDS, MANY, EACH = range(2), range(2, 200), 2

#: Where a commit, or a taking over, becomes one.
SWITCHES = {"new": ("put:",), "plain": ("take_over:", "_replace_by_links:")}

#: The rooms of a commit, and of a taking over; where none of them is traced any more, nobody is killed.
ROOMS = {"versions", "layout", "work", "trees", "documents", "merging", "holding", "adopting", "durable", "_local"}

Places = dict[str, dict[str, list[int]]]


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_dataset.py", 0)


@pytest.fixture(scope="module")
def counted(victims: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """Return what was said of all lines where a data set is made, and where taken over."""
    found = {}
    for kind in ("new", "plain"):
        folder = tmp_path_factory.mktemp(kind)
        prepare(folder, kind)
        said = victims.work(folder, -1)
        assert said[-1] == ["end", "0"], said
        found[kind] = said
    return found


@pytest.fixture(scope="module")
def places(counted: dict[str, list[list[str]]]) -> Places:
    """Where one can die: each line, with steps at which it runs."""
    return {
        kind: {words[1]: list(map(int, words[2:])) for words in said if words[0] == "place"}
        for kind, said in counted.items()
    }


def prepare(folder: Path, kind: str) -> None:
    if kind == "plain":
        make(folder / "forcing.zarr")
        consolidate(folder / "forcing.zarr")


def plainly(path: Path) -> int | None:
    """Return the state that whoever knows nothing of versions sees; None for no data set."""
    if not (path / "zarr.json").exists():
        return None
    with xr.open_zarr(path, consolidated=True) as found:  # reads all that is said to be there
        found.load()
    return state(path)


def check(path: Path, before: int, said: list[list[str]]) -> int:
    """Hold the data set against what was acknowledged since it was in the state ``before``; return its state."""
    assert said[-1] in (["end", str(int(signal.SIGKILL))], ["end", "0"]), said
    did = [int(words[1]) for words in said if words[0] == "did"]
    first = 2 if before < 0 else 3 * (before // 3 + 1)  # a process begins a round of its own
    found, versions = -1, Versions(path)
    if versions.exists:
        with versions.snapshot() as snapshot:
            found = state(snapshot.folder)
            # in the midst of being taken over it is no data set for others, rather than a part of one
            assert plainly(path) in ({found} if os.path.lexists(path / "zarr.json") else {None})
    assert found in ([did[-1], did[-1] + 1] if did else [before, first])
    return found


def kill(seed: int, folder: Path, victims: Any, places: Places) -> None:
    kind, chance = ("new", "plain")[seed % 2], random.Random(seed)
    prepare(folder, kind)
    found = 2 if kind == "plain" else -1
    for _ in range(EACH):
        said = victims.work(folder, chance.choice(chance.choice(list(places[kind].values()))))
        found = check(folder / "forcing.zarr", found, said)
    check_goes_on(folder, victims)


def check_goes_on(folder: Path, victims: Any) -> None:
    """What was left behind keeps nobody from going on, and does not stay."""
    said = victims.work(folder, 0)
    assert said[-1] == ["end", "0"], said
    path = folder / "forcing.zarr"
    done = [int(words[1]) for words in said if words[0] == "did"]
    assert state(path) == plainly(path) == done[-1]
    (number,) = Versions(path).numbers()
    name = f"{number:08d}"
    assert set(os.listdir(path / ".versions")) == {name, f"{name}.lock", "commit.lock", "commit.lock.json", "current"}
    assert all(each.is_symlink() for each in path.iterdir() if each.name != ".versions")


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_line(seed, tmp_path, victims, places):
    kill(seed, tmp_path, victims, places)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_at_many_lines(seed, tmp_path, victims, places):
    kill(seed, tmp_path, victims, places)


def kill_once(step: int, kind: str, folder: Path, victims: Any) -> None:
    folder.mkdir()
    prepare(folder, kind)
    said = victims.work(folder, step)
    assert said[-1] == ["end", str(int(signal.SIGKILL))], said
    path = folder / "forcing.zarr"
    found = check(path, 2 if kind == "plain" else -1, said)
    if found < 0:
        return
    with Versions(path).session() as session, session.writing():
        zarr.open_group(session.store, mode="r+").attrs["mended"] = True
    assert plainly(path) == found
    assert all(each.is_symlink() for each in path.iterdir() if each.name != ".versions")


@pytest.mark.parametrize("kind", ["new", "plain"])
def test_killed_at_each_line_of_the_switch(kind, tmp_path, victims, places):
    """The last time that each is run, in the third commit of a round; each time where a store is taken over."""
    lines = [place for place in places[kind] if place.startswith(SWITCHES[kind])]
    assert len(lines) > 5
    for place in lines:
        steps = places[kind][place]
        for step in {steps[-1]} if kind == "new" else {*steps}:
            kill_once(step, kind, tmp_path / f"{place}:{step}", victims)


@pytest.mark.parametrize("rooms", [{"layout"}, pytest.param(ROOMS, marks=pytest.mark.soak)], ids=["one", "all"])
def test_killed_in_each_room(rooms, tmp_path, victims, counted):
    steps = {words[1]: int(words[2]) for words in counted["plain"] if words[0] == "room"}
    assert steps.keys() >= ROOMS
    for room in sorted(rooms):
        kill_once(steps[room], "plain", tmp_path / room, victims)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["new", "plain"])
def test_killed_at_every_line(kind, tmp_path, victims, places):
    for place, steps in places[kind].items():
        kill_once(steps[-1], kind, tmp_path / place, victims)
        check_goes_on(tmp_path / place, victims)


@pytest.mark.parametrize("kind", ["new", "plain"])
def test_nobody_killed(kind, tmp_path, victims):
    prepare(tmp_path, kind)
    check_goes_on(tmp_path, victims)
    assert state(tmp_path / "forcing.zarr") == 8
