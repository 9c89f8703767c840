"""Pushes in children that kill themselves at a chosen line; started by `test_dataset_remote_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which pulls the data set of the store in ``FOLDER``
into its own folder, writes the next number into all of it and pushes, twice, and sends itself SIGKILL before the line
of that number is run (0: never, -1: never, and the lines are counted); lines are those of the rooms between a push and
the disk. It prints ``did N`` for each push that returned, ``place FUNCTION:LINE STEP...`` for every line, ``room MODULE
STEP`` for every room, then ``end <signal or 0>``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import aiohttp  # noqa: F401 - imported before forking
import fsspec.implementations.local
import numpy as np
from killed_lines import traced
from killed_process import say, serve

import hmp_catalog.datasets
import hmp_core.durable
from hmp_catalog.datasets import open_dataset
from hmp_catalog.datasets.remote.edataset import open_edataset

HERE = Path(hmp_catalog.datasets.__file__).parent / "remote"
_NAMES = ("edataset", "pushing", "pulling", "manifests", "standing", "remotes", "differing", "fetching", "stubs")
ROOMS = {str((HERE / f"{name}.py").resolve(strict=True)) for name in _NAMES}
ROOMS |= {str(hmp_core.durable.__file__), str(fsspec.implementations.local.__file__)}

SHAPE = (4, 20, 20)


def state(path: Path) -> int:
    """Return the number that all of a data set has; a mixture fails."""
    with open_dataset(path) as ds:
        number = int(ds.attrs["round"])
        for name in ("rain", "snow"):
            found = ds[name].data
            assert found.shape == SHAPE, (name, found.shape)
            expected = number + noise()
            assert np.array_equal(found, expected), (name, number, found.ravel()[:3], expected.ravel()[:3])
        return number


def noise() -> Any:
    """Return what does not get smaller, so that chunks are not within the manifest."""
    return np.random.default_rng(0).normal(size=SHAPE)


def write(ds: Any, number: int) -> None:
    for name in ("rain", "snow"):
        if name not in ds:
            ds.create.data_var.generic(name, ("time", "latitude", "longitude"), "float64", chunk_shape=(2, 20, 10))
        ds[name][...] = number + noise()
    ds.attrs["round"] = number


def make(folder: Path) -> None:
    """Push the number 0."""
    with open_edataset(folder / "store", folder / "maker.zarr", "c") as ds:
        ds.create.coord.time(np.arange(SHAPE[0]).astype("datetime64[h]"), dtype="datetime64[h]")
        ds.create.coord.lat(np.arange(float(SHAPE[1])))
        ds.create.coord.lon(np.arange(float(SHAPE[2])))
        write(ds, 0)
        ds.push()


def work(folder: Path) -> None:
    if not (folder / "store").exists():
        make(folder)
    with contextlib.closing(open_edataset(folder / "store", folder / "mine.zarr", "w")) as ds:
        ds.pull()
        for number in range(int(ds.attrs["round"]) + 1, int(ds.attrs["round"]) + 3):
            write(ds, number)
            ds.push()
            say("did", number)


def child(folder: Path, fatal: int) -> None:
    traced(lambda: work(folder), ROOMS, fatal)


if __name__ == "__main__":
    serve(child)
