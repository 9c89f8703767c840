"""SIGKILL between any two lines of a push: whoever reads the store finds the version before or the one after."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

sys.path.append(str(Path(__file__).parent))
from killed_remote import make, state

from hmp_catalog.datasets import Versions
from hmp_catalog.datasets.remote.edataset import open_edataset

SEEDS, MANY = range(1), range(1, 150)

#: The lines around the creation of the manifest, and what follows it.
COMMIT = ("publish:", "create:", "note:", "stand:", "done:", "keep:")

#: The rooms of a push; where one of them is not traced any more, nobody is killed in it.
ROOMS = {"edataset", "pushing", "pulling", "manifests", "standing", "remotes", "differing", "fetching", "durable"}

Places = dict[str, list[int]]


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_remote.py", 0)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def counted(victims: Any, begun: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Return what was said of all lines."""
    folder = tmp_path_factory.mktemp("counted") / "here"
    shutil.copytree(begun, folder, symlinks=True)
    said = victims.work(folder, -1)
    assert said[-1] == ["end", "0"], said
    return list(said)


@pytest.fixture(scope="module")
def places(counted: list[list[str]]) -> Places:
    """Where one can die: each line, with steps at which it runs."""
    return {words[1]: list(map(int, words[2:])) for words in counted if words[0] == "place"}


def attached(folder: Path, name: str) -> int:
    """Return what another machine finds."""
    open_edataset(folder / "store", folder / name).close()
    return state(folder / name)


def kill(begun: Path, folder: Path, victims: Any, steps: list[int]) -> int:
    """Kill as many processes, each of which goes on from what the one before left; return how many were killed."""
    shutil.copytree(begun, folder, symlinks=True)
    found = killed = 0
    for count, step in enumerate(steps):
        said = victims.work(folder, step)
        assert said[-1] in (["end", str(int(signal.SIGKILL))], ["end", "0"]), said
        killed += said[-1] == ["end", str(int(signal.SIGKILL))]
        did = [int(words[1]) for words in said if words[0] == "did"]
        before, found = did[-1] if did else found, attached(folder, f"reader{count}.zarr")
        here = state(folder / "mine.zarr") if Versions(folder / "mine.zarr").exists else before
        assert found in (before, here)  # what was acknowledged, or what was being pushed
        assert here >= found
    said = victims.work(folder, 0)
    assert said[-1] == ["end", "0"], said
    last = int(next(words[1] for words in reversed(said) if words[0] == "did"))
    assert attached(folder, "last.zarr") == state(folder / "mine.zarr") == last
    left = {each.name for each in (folder / "mine.zarr/.versions/remote").iterdir()}
    assert len([name for name in left if name.startswith(("base-", "new-"))]) == 1
    assert "pushing" not in left
    return killed


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_line(seed, tmp_path, begun, victims, places):
    chance = random.Random(seed)
    steps = [chance.choice(chance.choice(list(places.values()))) for _ in range(2)]
    assert kill(begun, tmp_path / "here", victims, steps) > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", MANY)
def test_killed_at_many_lines(seed, tmp_path, begun, victims, places):
    chance = random.Random(seed)
    kill(begun, tmp_path / "here", victims, [chance.choice(chance.choice(list(places.values()))) for _ in range(3)])


def test_each_room_is_counted(counted):
    assert {words[1] for words in counted if words[0] == "room"} >= ROOMS


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_in_each_room(tmp_path, begun, victims, counted):
    steps = {words[1]: int(words[2]) for words in counted if words[0] == "room"}
    for room in sorted(ROOMS):
        assert kill(begun, tmp_path / room, victims, [steps[room]]) == 1


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_each_line_of_the_commit(tmp_path, begun, victims, places):
    lines = [place for place in places if place.startswith(COMMIT)]
    assert len(lines) > 20
    for place in lines:
        for step in {places[place][0], places[place][-1]}:
            assert kill(begun, tmp_path / f"{place}:{step}", victims, [step]) == 1


def test_nobody_killed(tmp_path, begun, victims):
    kill(begun, tmp_path / "here", victims, [0])
