"""Verbs of data sets in children that kill themselves; started by `test_dataset_verbs_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which does what the folder is called after (a name of
`VERBS`, and a number) to ``forcing.zarr`` in it, and sends itself SIGKILL at that step (-1: never). A step is the time
before or after a call that changes the disk. It prints ``steps N``, then ``end <signal or 0>``.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5netcdf  # noqa: F401 - imported before forking
import numpy as np
import xarray as xr
from killed_process import Steps, say, serve
from killed_session import DISK

from hmp_catalog.datasets import merge_into, netcdf4_to_dataset, open_dataset
from hmp_catalog.datasets.history.documents import consolidate

DATA, OTHER, NETCDF = "forcing.zarr", "other.zarr", "other.nc"


def make(path: Path, first: int, length: int) -> None:
    with open_dataset(path, "c") as ds:
        ds.create.coord.generic("k", np.arange(first, first + length), step=1)
        ds.create.coord.generic("place", np.arange(6))
        for n, name in enumerate("vw"):
            ds.create.data_var.generic(name, ("k", "place"), "float64", (2, 3))
            ds[name][:] = 10.0 * ds["k"].data[:, None] + np.arange(6) + 1000 * n


def begin(folder: Path, verb: str) -> None:
    """Make what a verb begins with."""
    folder.mkdir()
    if verb == "adopt":
        values = {name: (("k", "place"), np.full((12, 6), n)) for n, name in enumerate("vw")}
        plain = xr.Dataset(values, {"k": np.arange(12), "place": np.arange(6)})
        plain.to_zarr(folder / DATA, zarr_format=3, consolidated=False)
        consolidate(folder / DATA)
    elif verb == "take":
        xr.Dataset({"v": (("k",), np.arange(5.0))}, {"k": np.arange(5)}).to_netcdf(folder / NETCDF, engine="h5netcdf")
    else:
        make(folder / DATA, 0, 12)
        make(folder / OTHER, 8, 8)


def prepend(folder: Path, by: int = 4) -> None:
    """Files get other names, as 4 is a multiple of their length."""
    with open_dataset(folder / DATA, "w") as ds:
        ds["k"].prepend(np.arange(-by, 0))
        ds["v"][:by] = 7


def prepend_odd(folder: Path) -> None:
    prepend(folder, 3)


def truncate(folder: Path) -> None:
    with open_dataset(folder / DATA, "w") as ds:
        ds["k"].truncate(3, 9)


def rechunk(folder: Path) -> None:
    with open_dataset(folder / DATA, "w") as ds:
        ds.create.data_var.generic("other", ("k", "place"), "float64", (6, 2))
        ds["v"].rechunker().into(ds["other"])


def merge(folder: Path) -> None:
    merge_into([folder / OTHER], folder / DATA).close()


def take(folder: Path) -> None:
    netcdf4_to_dataset(folder / NETCDF, folder / DATA)


def adopt(folder: Path) -> None:
    with open_dataset(folder / DATA, "w") as ds:
        ds["v"][:] = 3
        ds["w"][:] = 4


def new(folder: Path) -> None:
    """What is done in a folder of any other name."""
    make(folder / DATA, 0, 12)


VERBS = {each.__name__: each for each in (prepend, prepend_odd, truncate, rechunk, merge, take, adopt)}


def child(folder: Path, fatal: int) -> None:
    steps = Steps(fatal)
    for name in DISK:
        setattr(os, name, steps.around(getattr(os, name)))
    VERBS.get(folder.name.partition("-")[0], new)(folder)
    say("steps", steps.made)


if __name__ == "__main__":
    serve(child)
