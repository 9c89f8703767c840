"""SIGKILL in a session of a data set: each commit was, or was not; scenario 19."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from hmp_catalog.datasets import Versions, open_dataset

sys.path.append(str(Path(__file__).parent))
from killed_session import state

FEW, POINTS, MANY = 6, 20, 40


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_session.py", -1)


def found(path: Path) -> int:
    """Return the state of a data set as hmp and as xarray see it; -1 for none."""
    if not Versions(path).exists:
        return -1
    with open_dataset(path) as ds:
        n = state(ds)
    with xr.open_zarr(path) as plain:
        assert {(each.values == n).all() for each in plain.data_vars.values()} == {True}
        assert plain["k"].size == 4 + n
    return n


def kill_again_and_again(folder: Path, victims: Any, *, points: int, seed: int) -> int:
    """Kill as many processes, each of which goes on from what the one before left; return how many were killed."""
    path, chance = folder / "forcing.zarr", random.Random(seed)
    steps = 0
    before, killed = -1, 0
    for point in range(points):
        most = steps if point > 1 and point % 10 else -1  # the first ones get through, and are counted
        last = chance.choice([most, max(1, most // 6)])  # half of them while it commits
        said = victims.work(folder, most - 1 - chance.randrange(last) if most > 0 else -1)
        did = [int(words[1]) for words in said if words[0] == "did"]
        now = found(path)
        assert now in ([did[-1], did[-1] + 1] if did else [before, before + 1]), (before, did, now)
        steps = next((int(words[1]) for words in said if words[0] == "steps"), steps)
        killed += said[-1] == ["end", str(int(signal.SIGKILL))]
        before = now
    said = victims.work(folder, -1)
    assert said[-1] == ["end", "0"], said
    assert found(path) == int(said[-3][1]) == before + 1 + (before < 0)
    assert [each.name for each in (path / ".versions").glob("work-*")] == []
    return killed


def test_killed_at_a_few_points(tmp_path, victims):
    assert kill_again_and_again(tmp_path, victims, points=FEW + 3, seed=19) >= FEW - 1


@pytest.mark.soak
def test_killed_at_twenty_points(tmp_path, victims):
    assert kill_again_and_again(tmp_path, victims, points=POINTS + 4, seed=19) >= POINTS - 2


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_many_points(seed, tmp_path, victims):
    kill_again_and_again(tmp_path, victims, points=MANY, seed=seed)
