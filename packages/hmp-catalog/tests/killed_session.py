"""Sessions of data sets in children that kill themselves; started by `test_dataset_session_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which makes or changes the data set ``forcing.zarr``
in it by a commit, and sends itself SIGKILL at that step (-1: never). A step is the moment before or after a call
that changes the disk. It prints ``did N`` for each commit that returned (see `state`), ``steps N``, then ``end <signal
or 0>``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from killed_process import CALLS, Steps, say, serve

from hmp_catalog.datasets import Dataset, open_dataset

#: Every call of `os` by which something on disk becomes another.
DISK = (*CALLS, "symlink", "rmdir", "ftruncate")


def state(ds: Dataset) -> int:
    """Return how many commits a data set has seen; a mixture fails.

    Commit ``n`` gives every cell that number. It appends a label if ``n`` is odd, else it prepends one; every second
    pair of commits makes the variable ``odd``, the others remove it.
    """
    n = int(ds.attrs["n"])
    labels = np.arange(-(n // 2), 4 + (n + 1) // 2)
    assert ds["k"].data.tolist() == labels.tolist(), (n, ds["k"].data)
    assert ("odd" in ds) is bool(((n + 1) // 2) % 2), n
    for name in ds.data_var_names:
        assert ds[name].shape[0] == 4 + n, (n, name, ds[name].shape)
        assert (ds[name].data == n).all(), (n, name, ds[name].data)
    return n


def make(ds: Dataset) -> None:
    ds.create.coord.generic("k", np.arange(4), step=1)
    ds.create.coord.generic("place", ["a", "b", "c"])
    for name, dtype in (("v", "float32"), ("w", "int16")):
        ds.create.data_var.generic(name, ("k", "place"), dtype, (16, 3))
    fill(ds, 0)


def fill(ds: Dataset, n: int) -> None:
    for name in ds.data_var_names:
        ds[name][:] = n
    ds.attrs["n"] = n


def advance(ds: Dataset, n: int) -> None:
    if n % 2:
        ds["k"].append([3 + (n + 1) // 2])
        if ((n + 1) // 2) % 2:
            ds.create.data_var.generic("odd", ("k",), "int32", (8,))
        else:
            del ds["odd"]
    else:
        ds["k"].prepend([-(n // 2)])
    fill(ds, n)


def child(folder: Path, fatal: int) -> None:
    steps = Steps(fatal)
    for name in DISK:
        setattr(os, name, steps.around(getattr(os, name)))
    with open_dataset(folder / "forcing.zarr", "c") as ds:
        if not len(ds):
            make(ds)
            say("did", ds.commit() and 0)
        n = int(ds.attrs["n"])
        advance(ds, n + 1)
    say("did", n + 1)
    say("steps", steps.made)


if __name__ == "__main__":
    serve(child)
