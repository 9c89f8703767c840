"""A function for each block: all of them, by any workers, in order if that is asked for, and few at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmp_catalog.datasets.dataset import Dataset, open_dataset
from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.variables import DataVariableView
from hmp_catalog.errors import WorkerLost
from hmp_core.errors import InvalidInput, NotFound

Place = tuple[slice, ...]


@pytest.fixture
def ds(tmp_path: Path) -> Iterator[Dataset]:
    """40 chunks, of which the one at (50, 4) was never written; the session that made them is still open."""
    with open_dataset(tmp_path / "grid.zarr", "n") as made:
        made.create.coord.generic("t", data=np.arange(100))
        made.create.coord.generic("y", data=np.arange(16))
        packed = dtype("float32", precision=2, min_value=0, max_value=2000)
        one = made.create.data_var.generic("one", ("t", "y"), dtype=packed, chunk_shape=(10, 4))
        values = np.arange(1600.0).reshape(100, 16)
        for place in one.iter_chunks(include_data=False):
            if (place[0].start, place[1].start) != (50, 4):
                one[place] = values[place]
        made.create.data_var.generic("other", ("t", "y"), dtype="float64", chunk_shape=(25, 16))[:] = values
        yield made


def first(place: Place, values: Any) -> float:
    return float(values[0, 0])


def summed() -> Callable[..., Any]:
    # a function of a test module is no module's in another process: what is made within one is sent as it is
    def add(place: Place, values: Any) -> tuple[int, float]:
        return os.getpid(), float(np.nansum(values))

    return add


def expected(view: DataVariableView) -> list[tuple[Place, float]]:
    return [(place, float(np.nansum(values))) for place, values in view.iter_chunks()]


def plain(found: list[tuple[Place, tuple[int, float]]]) -> list[tuple[Place, float]]:
    return [(place, result) for place, (_, result) in found]


def key(found: tuple[Place, Any]) -> tuple[int, ...]:
    return tuple(side.start for side in found[0])


@pytest.mark.parametrize("workers", ["processes", "threads"])
def test_every_block_is_done_also_one_that_is_missing(ds: Dataset, workers: str) -> None:
    in_order = list(ds["one"].map(summed(), n_workers=2, ordered=True, workers=workers))
    assert plain(in_order) == expected(ds["one"])
    assert len(in_order) == 40
    by = {process for _, (process, _) in in_order}
    assert (os.getpid() in by) == (workers == "threads")
    as_they_come = list(ds["one"].map(summed(), n_workers=1 if workers == "processes" else 2, workers=workers))
    assert plain(sorted(as_they_come, key=key)) == expected(ds["one"])


def test_a_missing_block_is_given_as_missing(ds: Dataset) -> None:
    found = {key(each): each[1] for each in ds["one"].map(first, workers="threads")}
    assert np.isnan(found[50, 4])
    assert found[50, 8] == 50 * 16 + 8


def test_blocks_of_other_lengths_and_of_views(ds: Dataset) -> None:
    view = ds["one"][5:77, 1:]
    found = list(view.map(summed(), {"t": 30}, workers="threads", ordered=True))
    assert plain(found) == [(place, float(np.nansum(view[place].data))) for place, _ in found]
    assert [place[0] for place, _ in found] == [slice(0, 30), slice(30, 60), slice(60, 72)]


@pytest.mark.parametrize("workers", ["processes", "threads"])
def test_a_data_set_is_mapped_by_names(ds: Dataset, workers: str) -> None:
    def differ(place: dict[str, slice], values: dict[str, Any]) -> tuple[int, float]:
        return place["t"].start, float(np.nanmax(abs(values["one"] - values["other"])))

    found = list(ds.map(differ, {"t": 40}, n_workers=1 if workers == "processes" else 2, ordered=True, workers=workers))
    assert [start for _, (start, _) in found] == [0, 40, 80]
    assert max(difference for _, (_, difference) in found) < 0.006
    assert [place["t"] for place, _ in found] == [slice(0, 40), slice(40, 80), slice(80, 100)]


def test_none_is_no_result(ds: Dataset) -> None:
    found = ds["one"].map(lambda place, values: place[1].start or None, workers="threads")
    assert len(list(found)) == 30


@pytest.mark.parametrize(("workers", "ordered"), [("processes", True), ("threads", True), ("threads", False)])
def test_what_a_worker_raises_says_in_which_block(ds: Dataset, workers: str, *, ordered: bool) -> None:
    def refuse(place: Place, values: Any) -> int:
        if place[0].start == 30 and place[1].start == 8:
            message = "no such weather"
            raise KeyError(message)
        return 1

    with pytest.raises(KeyError, match="no such weather") as raised:
        list(ds["one"].map(refuse, n_workers=1, workers=workers, ordered=ordered))
    block = (slice(30, 40), slice(8, 12))
    assert raised.value.block == block  # type: ignore[attr-defined]
    assert raised.value.__notes__ == [f"in block {block}"]


class Picky(Exception):
    """What pickle writes of it cannot be read: it calls the class with ``args``."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what)
        self.where = where


class Unread:
    """What pickle writes of it cannot be read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_cannot_be_read_back_is_no_lost_worker(ds: Dataset) -> None:
    def refuse(place: Place, values: Any) -> Any:
        if place[0].start == 0:
            return Unread()
        message = "no such weather"
        raise Picky(message, message)

    with pytest.raises(InvalidInput, match=r"returned for block .* cannot be read back"):
        list(ds["one"][:10, :4].map(refuse, n_workers=1))
    with pytest.raises(InvalidInput, match=r"raised Picky\('no such weather'\), which cannot be sent") as raised:
        list(ds["one"][10:20, :4].map(lambda place, values: refuse((slice(1, 2),), values), n_workers=1))
    assert raised.value.__notes__ == [f"in block {(slice(0, 10), slice(0, 4))}"]


def test_a_process_that_ends_is_an_error_not_a_wait(ds: Dataset) -> None:
    def end(place: Place, values: Any) -> None:
        os._exit(3)

    with pytest.raises(WorkerLost, match="ended without a word") as lost:
        list(ds["one"].map(end, n_workers=1))
    assert len(lost.value.block) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("ordered", [True, False])
def test_few_blocks_are_under_way(ds: Dataset, monkeypatch: pytest.MonkeyPatch, *, ordered: bool) -> None:
    """Blocks are read as results are taken: two for each worker, and the results that nobody took count too."""
    read: list[int] = []
    given = type(ds["one"].packing).decode
    monkeypatch.setattr(type(ds["one"].packing), "decode", lambda self, codes: read.append(1) or given(self, codes))
    taken = 0
    for _ in ds["one"].map(first, n_workers=3, workers="threads", ordered=ordered):
        time.sleep(0.002)
        taken += 1
        assert len(read) <= taken + 2 * 3
    assert taken == len(read) == 40


def test_a_slow_first_block_holds_back_the_others_where_order_is_kept(ds: Dataset) -> None:
    done: list[int] = []
    go_on = threading.Event()

    def slow(place: Place, values: Any) -> int:
        if key((place, 0)) == (0, 0):
            go_on.wait(20)
        done.append(1)
        return 1

    found = ds["one"].map(slow, n_workers=2, workers="threads", ordered=True)
    threading.Timer(0.3, go_on.set).start()
    next(found)
    assert len(done) <= 4
    assert len(list(found)) == 39


def test_a_slow_later_block_holds_back_nothing(ds: Dataset) -> None:
    go_on = threading.Event()

    def slow(place: Place, values: Any) -> bool:
        return go_on.wait(5) if key((place, 0)) == (0, 12) else True

    found = ds["one"].map(slow, n_workers=2, workers="threads", ordered=True)
    next(found)
    go_on.set()
    assert all(waited for _, waited in found)


def test_who_stops_early_ends_the_workers(ds: Dataset) -> None:
    begun: list[int] = []

    def slow(place: Place, values: Any) -> int:
        begun.append(1)
        time.sleep(0 if key((place, 0)) == (0, 0) else 0.5)
        return 1

    before = threading.active_count()
    found = ds["one"].map(slow, n_workers=2, workers="threads")
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert len(begun) <= 3
    assert threading.active_count() <= before


def test_an_executor_of_ones_own_stays_open(ds: Dataset) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert len(list(ds["one"].map(first, workers=pool))) == 39 + 1
        assert pool.submit(int).result() == 0


def test_results_may_be_written_while_it_runs(ds: Dataset) -> None:
    new = ds.create.data_var.like("doubled", ds["one"])
    for place, values in ds["one"].map(lambda place, values: values * 2, n_workers=2, workers="threads"):
        new[place] = np.minimum(values, 2000)
    np.testing.assert_array_equal(new.data, np.minimum(ds["one"].data * 2, 2000))


def test_what_cannot_be_done_is_said_at_once(ds: Dataset) -> None:
    lock = threading.Lock()
    with pytest.raises(InvalidInput, match="cannot be sent to another process"):
        ds["one"].map(lambda place, values: lock)
    with pytest.raises(InvalidInput, match="no function"):
        ds["one"].map("mean")  # type: ignore[arg-type]
    for count in (0, -1, 1.5):
        with pytest.raises(InvalidInput, match="n_workers"):
            ds["one"].map(first, n_workers=count)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="workers='fibres'"):
        ds["one"].map(first, workers="fibres")
    with pytest.raises(NotFound):
        ds.map(first, {"level": 3})


SCRIPT = """
from hmp_catalog.datasets import open_dataset
with open_dataset({path!r}) as ds:
    print(sum(result for _, result in ds["one"].map(lambda place, values: 1, n_workers=1)))
"""


def test_a_script_is_told_what_it_lacks(ds: Dataset, tmp_path: Path) -> None:
    ds.commit()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(ds.file_path)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "__name__ == '__main__'" in done.stderr.splitlines()[-1]


def test_workers_of_dask_do_it(ds: Dataset) -> None:
    distributed = pytest.importorskip("distributed")

    def refuse(place: Place, values: Any) -> int:
        if place[0].start == 30:
            message = "no such weather"
            raise KeyError(message)
        return 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the cluster itself
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            found = list(ds["one"].map(summed(), ordered=True, workers=client))
            assert plain(found) == expected(ds["one"])
            with pytest.raises(KeyError) as raised:
                list(ds["one"].map(refuse, workers=client))
            assert raised.value.block[0] == slice(30, 40)  # type: ignore[attr-defined]
