"""Commits in children that kill themselves at a chosen line; started by `test_dataset_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which makes or changes the data set ``forcing.zarr``
in it for two rounds, and sends itself SIGKILL before the line of that number is run (0: never, -1: never, and the lines
are counted); lines are those of the rooms between a session and the disk. It prints ``did N`` for each commit that
returned (see `state`), ``place FUNCTION:LINE STEP...`` for every line that was counted and ``room MODULE STEP`` for
every room of them, then ``end <signal or 0>``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr.storage
from killed_lines import traced
from killed_process import say, serve

import hmp_catalog.datasets
import hmp_core.durable
from hmp_catalog.datasets import Versions

LOCAL_STORE = sys.modules[zarr.storage.LocalStore.__module__].__file__
ROOMS = {str(each) for each in Path(hmp_catalog.datasets.__file__).parent.rglob("*.py")}
ROOMS |= {hmp_core.durable.__file__, str(LOCAL_STORE)}

Numbers = np.ndarray[Any, Any]


def state(folder: Path) -> int:
    """Return how many commits a data set has seen; -1 for none. A mixture fails.

    In a round ``k`` the first commit gives every cell of ``a`` and ``b`` that number, and makes ``a`` longer; ``odd``
    is there in odd rounds only. The second and the third give it to one half of ``halves`` each, which is one chunk.
    """
    group = zarr.open_group(folder, mode="r")
    k = int(str(group.attrs["round"]))
    a, b, halves = (np.asarray(group[name][...]) for name in ("a", "b", "halves"))
    assert (a.shape, b.shape) == ((4 + k, 6), (4, 2)), (k, a.shape, b.shape)
    assert (a == k).all(), (k, a)
    assert (b == k).all(), (k, b)
    assert ("odd" in group) is bool(k % 2), k
    if k % 2:
        assert (np.asarray(group["odd"][...]) == k).all(), k
    first, second = ({int(each) for each in half} for half in (halves[:4], halves[4:]))
    assert len(first) == len(second) == 1, halves
    done = [first == {k}, second == {k}]
    assert first | second <= {k, k - 1}, (k, halves)
    assert done != [False, True], (k, halves)
    return 3 * k + sum(done)


def make(folder: Path) -> None:
    """Write the state 2 as anybody would."""
    group = zarr.open_group(folder, mode="a", attributes={"round": 0})
    for name, shape, chunks in (("a", (4, 6), (2, 3)), ("b", (4, 2), (4, 2)), ("halves", (8,), (8,))):
        dims = [f"{name}{n}" for n in range(len(shape))]
        array = group.create_array(name, shape=shape, chunks=chunks, dtype="i4", fill_value=-9, dimension_names=dims)
        array[...] = 0


def first_step(folder: Path, k: int) -> None:
    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    group.attrs["round"] = k
    group["a"].resize((4 + k, 6))
    group["a"][...] = k
    group["b"][...] = k
    if k % 2:
        odd = group.create_array("odd", shape=(2, 2), chunks=(1, 2), dtype="i4", dimension_names=["o", "p"])
        odd[...] = k
    else:
        del group["odd"]


def work(path: Path) -> None:
    versions = Versions(path)
    if not versions.exists:
        with versions.session(create=True) as session, session.writing() as folder:
            make(folder)
        say("did", 2)
    with versions.snapshot() as held:
        before = int(str(zarr.open_group(held.folder, mode="r").attrs["round"]))
    for k in (before + 1, before + 2):
        with versions.session() as session:
            with session.writing() as folder:
                first_step(folder, k)
                zarr.open_array(folder / "halves", mode="r+")[...] = k - 1  # where another was killed in between
            session.commit()
            say("did", 3 * k)
            with versions.session() as other, other.writing() as folder:
                zarr.open_array(folder / "halves", mode="r+")[:4] = k
                with session.writing() as mine:
                    zarr.open_array(mine / "halves", mode="r+")[4:] = k
            say("did", 3 * k + 1)
            session.commit()
            say("did", 3 * k + 2)


def child(project: Path, fatal: int) -> None:
    traced(lambda: work(project / "forcing.zarr"), ROOMS, fatal)


if __name__ == "__main__":
    serve(child)
