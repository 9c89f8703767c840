"""SIGKILL while a data set is prepended to, cut, rechunked, merged into, imported or taken over: before, or after."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

pytest.importorskip("h5netcdf")

sys.path.append(str(Path(__file__).parent))
from killed_verbs import DATA, VERBS, begin

from hmp_catalog.datasets import Versions, open_dataset

FEW, MANY = 1, 30


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_verbs.py", -1)


def plain(path: Path) -> xr.Dataset | None:
    """Return what whoever knows nothing of versions sees; None for no data set."""
    if not (path / "zarr.json").exists():
        return None
    with xr.open_zarr(path, consolidated=True) as found:
        return found.load()


def found(path: Path) -> xr.Dataset | None:
    """Return what hmp sees; None for no data set."""
    if not Versions(path).exists:
        return None
    with open_dataset(path) as ds:
        values = {name: (ds[name].coord_names, ds[name].data) for name in ds.data_var_names}
        return xr.Dataset(values, {name: ds[name].data for name in ds.coord_names})


def same(one: xr.Dataset | None, other: xr.Dataset | None) -> bool:
    return one is other if one is None or other is None else one.equals(other)


def kill_again_and_again(folder: Path, victims: Any, verb: str, *, points: int) -> None:
    begun, done = folder / "begun", folder / f"{verb}-done"
    begin(begun, verb)
    before = found(begun / DATA)
    shutil.copytree(begun, done, symlinks=True)
    said = victims.work(done, -1)
    assert said[-1] == ["end", "0"], said
    steps, after = int(said[-2][1]), found(done / DATA)
    assert after is not None
    assert not same(before, after)
    chance = random.Random(points)
    for point in range(points):
        here = folder / f"{verb}-{point}"
        shutil.copytree(begun, here, symlinks=True)
        said = victims.work(here, steps - 1 - chance.randrange(steps if point % 2 else max(1, steps // 6)))
        assert said[-1] == ["end", str(int(signal.SIGKILL))], said
        now, seen = found(here / DATA), plain(here / DATA)
        assert same(now, before) or same(now, after), (verb, point)
        # in the midst of being taken over it is no data set for others
        assert same(seen, now) or (verb == "adopt" and seen is None)
        if same(now, before):
            assert victims.work(here, -1)[-1] == ["end", "0"]
            assert same(found(here / DATA), after)
            assert same(plain(here / DATA), after)
        shutil.rmtree(here)


@pytest.mark.parametrize("verb", ["prepend", "adopt"])
def test_killed_at_a_few_points(verb, tmp_path, victims):
    kill_again_and_again(tmp_path, victims, verb, points=FEW)


@pytest.mark.soak
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_many_points(verb, tmp_path, victims):
    kill_again_and_again(tmp_path, victims, verb, points=MANY)
