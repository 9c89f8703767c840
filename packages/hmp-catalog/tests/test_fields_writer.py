"""Fields going into a store: whole or step by step, with the same bytes, and nothing kept of what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_catalog.fields import SimulationZarr, schema
from hmp_core.errors import InvalidInput
from hmp_core.identity import sha256_tree

DAYS = np.arange("2001-01-01", "2001-12-31", dtype="datetime64[D]")


@pytest.fixture
def store(tmp_path: Path) -> SimulationZarr:
    return SimulationZarr.create(tmp_path / "fields.zarr", title="Base", run_id="1")


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files at 2 KiB and chunks at 512 bytes, so that a few steps go over every border."""
    monkeypatch.setattr(schema, "SHARD_BYTES", 2048)
    monkeypatch.setattr(schema, "CHUNK_BYTES", 512)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=8), width=st.sampled_from([1, 5, 40, 400]))
@pytest.mark.usefixtures("small_files")
def test_appended_in_any_parts_or_written_at_once_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, parts: list[int], width: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    values = noise(sum(parts), width)
    whole = SimulationZarr.create(folder / "whole.zarr", title="Base", run_id="1")
    whole.write_field("head", values, dims=("time", "cell"), time=DAYS[: len(values)])
    whole.finalize()
    grown = SimulationZarr.create(folder / "grown.zarr", title="Base", run_id="1")
    start = 0
    for steps in parts:
        stop = start + steps
        grown.append_field("head", values[start:stop], dims=("time", "cell"), time=DAYS[start:stop])
        start = stop
    grown.finalize()
    assert np.array_equal(grown.read_field("head"), values)
    assert sha256_tree(grown.path) == sha256_tree(whole.path)
    shutil.rmtree(folder)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "time", "x"), ("y", "x", "time")])
def test_time_may_be_any_dimension_of_a_whole_field(store: SimulationZarr, dims: tuple[str, ...]) -> None:
    values = np.moveaxis(noise(40, 6, 5), 0, dims.index("time"))
    store.write_field("head", values, dims=dims, time=DAYS[:40])
    store.finalize()
    assert np.array_equal(store.read_field("head"), values)


@pytest.mark.usefixtures("small_files")
def test_a_step_larger_than_a_file_is_cut_in_space(store: SimulationZarr) -> None:
    values = noise(3, 30, 50)
    store.write_field("head", values, dims=("time", "y", "x"), time=DAYS[:3])
    store.finalize()
    assert np.array_equal(store.read_field("head"), values)
    assert len(list(store.path.rglob("c.*"))) > 3


def test_a_large_array_is_read_slab_by_slab(store: SimulationZarr, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnDisk:
        """An array of 40 steps that is never asked for more than a file's worth of them."""

        shape, dtype = (40, 8), np.dtype("f8")
        asked: ClassVar[list[int]] = []

        def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
            self.asked.append(index[0].stop - index[0].start)
            return noise(40, 8)[index]

    monkeypatch.setattr(schema, "SHARD_BYTES", 512)
    store.write_field("head", OnDisk(), dims=("time", "cell"), time=DAYS[:40])  # type: ignore[arg-type]
    store.finalize()
    assert max(OnDisk.asked) == 8
    assert np.array_equal(store.read_field("head"), noise(40, 8))


def test_a_step_may_come_alone_with_one_time(store: SimulationZarr) -> None:
    for day, level in zip(DAYS[:3], ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]), strict=True):
        store.append_field("head", level, dims=("time", "cell"), time=day)
    store.finalize()
    assert store.read_field("head").tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def test_the_array_of_a_step_may_be_used_again_at_once(store: SimulationZarr) -> None:
    level = np.zeros(2)
    for number, day in enumerate(DAYS[:3]):
        level[:] = number
        store.append_field("head", level, dims=("time", "cell"), time=day)
    store.finalize()
    assert store.read_field("head")[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_later_steps_need_not_say_the_dimensions_again(store: SimulationZarr) -> None:
    store.append_field("head", [[1.0]], dims=("time", "cell"), time=[DAYS[0]])
    store.append_field("head", [[2.0]], time=[DAYS[1]])
    store.finalize()
    assert store.read_field("head").tolist() == [[1.0], [2.0]]


def test_four_thousand_steps_are_not_four_thousand_files(store: SimulationZarr) -> None:
    hours = np.arange(4000).astype("datetime64[h]")
    for hour in hours:
        store.append_field("flow", [1.0, 2.0], dims=("time", "station"), time=hour)
    assert len(store.finalize()) == 5  # the root, and metadata and values of the times and of the field


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"array": np.zeros((1, 3))}, "all steps of a field are alike"),
        ({"array": np.zeros((1, 2), "c8")}, "values of type"),
        ({"units": "cm"}, "began with other units"),
        ({"attributes": {"comment": "other"}}, "began with other comment"),
        ({"time": [DAYS[0]]}, "but 'time' ends with 2001-01-01"),
        ({"time": None}, "say when"),
        ({"time": DAYS[1:3]}, "1 steps and 2 times"),
        ({"dims": ("time", "node")}, "all steps of a field are alike"),
        ({"coords": {"cell": [7, 8]}}, "differs from the one this store has"),
    ],
)
def test_a_step_unlike_those_before_is_refused_and_nothing_of_it_is_kept(
    store: SimulationZarr, said: dict[str, Any], says: str
) -> None:
    first = {"units": "m", "attributes": {"comment": "base"}, "coords": {"cell": [1, 2]}}
    store.append_field("head", np.zeros((1, 2)), dims=("time", "cell"), time=[DAYS[0]], **first)
    good: dict[str, Any] = {"array": np.ones((1, 2)), "time": [DAYS[1]]}
    with pytest.raises(InvalidInput, match=says):
        store.append_field("head", **(good | said))
    store.append_field("head", **good)
    store.finalize()
    assert store.read_field("head").tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert store.dataset()["cell"].values.tolist() == [1, 2]


def test_only_a_field_that_begins_with_time_grows(store: SimulationZarr) -> None:
    with pytest.raises(InvalidInput, match="first dimension is time"):
        store.append_field("head", np.zeros((2, 1)), dims=("cell", "time"), time=[DAYS[0]])


def test_masked_integers_found_late_leave_no_trace(store: SimulationZarr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SHARD_BYTES", 64)
    codes = np.ma.masked_array(np.arange(40).reshape(20, 2), mask=False)
    codes[-1, 0] = np.ma.masked
    with pytest.raises(InvalidInput, match="no NaN"):
        store.write_field("code", codes, dims=("time", "zone"), time=DAYS[:20])
    assert not (store.path / "code").exists()
    store.write_field("code", np.zeros((5, 3)), dims=("time", "zone"), time=DAYS[5:10])
    store.finalize()
    assert store.fields() == ["code"]


# ── fields beside each other ─────────────────────────────────────────────────────────────────────────


def test_fields_share_a_time_axis(store: SimulationZarr) -> None:
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    store.write_field("drawdown", np.ones((3, 2)), dims=("time", "cell"), time=DAYS[:3].astype("datetime64[ns]"))
    store.write_field("storage", np.ones((3, 2)), dims=("time", "cell"))
    store.finalize()
    assert store.dataset().sizes == {"time": 3, "cell": 2}


@pytest.mark.parametrize("times", [DAYS[1:4], DAYS[:2], DAYS[:4]])
def test_other_times_on_the_same_axis_are_refused_with_the_remedy(store: SimulationZarr, times: np.ndarray) -> None:
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    with pytest.raises(InvalidInput, match=r"time_drawdown|give one time for each"):
        store.write_field("drawdown", np.zeros((len(times), 2)), dims=("time", "cell"), time=times)


def test_a_field_at_other_times_names_an_axis_of_its_own(store: SimulationZarr) -> None:
    months = np.arange("2001-01", "2001-04", dtype="datetime64[M]")
    store.write_field("discharge", np.zeros(5), dims=("time",), time=DAYS[:5])
    store.write_field("head", np.zeros((3, 2)), dims=("time_month", "cell"), time=months)
    store.finalize()
    assert store.dataset()["time_month"].values.astype("datetime64[M]").tolist() == months.tolist()


def test_a_field_that_stopped_early_gets_an_axis_of_its_own(store: SimulationZarr) -> None:
    """Nothing is invented to fill it up, nothing is dropped, and the run can still be sealed."""
    for day in DAYS[:5]:
        store.append_field("head", [1.0], dims=("time", "cell"), time=day)
    for day in DAYS[:2]:
        store.append_field("code", np.array([7], "i2"), dims=("time", "cell"), time=day)
    store.finalize()
    found = store.dataset()
    assert found["code"].dims == ("time_code", "cell")
    assert found["time_code"].values.astype("datetime64[D]").tolist() == DAYS[:2].tolist()
    assert found["head"].dims == ("time", "cell")
    assert found["code"].dtype == np.dtype("i2")


def test_a_whole_field_does_not_close_an_axis_on_which_another_grows(store: SimulationZarr) -> None:
    store.append_field("head", [1.0], dims=("time", "cell"), time=DAYS[0])
    store.write_field("rain", np.zeros(1), dims=("time",), time=DAYS[:1])
    store.append_field("head", [2.0], time=DAYS[1])
    store.finalize()
    assert store.read_field("head").shape == (2, 1)
    assert store.dataset()["rain"].dims == ("time_rain",)


def test_a_field_does_not_grow_beyond_an_axis_that_another_completed(store: SimulationZarr) -> None:
    store.write_field("rain", np.zeros(2), dims=("time",), time=DAYS[:2])
    with pytest.raises(InvalidInput, match="ends with 2001-01-02"):
        store.append_field("head", np.zeros((3, 1)), dims=("time", "cell"), time=DAYS[:3])


@pytest.mark.parametrize(
    ("name", "array", "said", "says"),
    [
        ("head", np.zeros(2), {"dims": ("cell",)}, "in this store already"),
        ("Head", np.zeros(2), {"dims": ("cell",)}, "in this store already"),
        ("cell", np.zeros(2), {"dims": ("cell",)}, "in this store already"),
        ("time", np.zeros(2), {"dims": ("cell",)}, "in this store already"),
        ("drawdown", np.zeros(3), {"dims": ("cell",)}, "3 along 'cell': 2 in this store"),
        ("drawdown", np.zeros(2), {"dims": ("head",)}, "is a field of this store"),
        ("drawdown", np.zeros((2, 2)), {"dims": ("cell",)}, "2 dimensions of sizes"),
        ("drawdown", np.zeros((2, 2)), {"dims": ("cell", "cell")}, "each may stand once"),
        ("drawdown", np.zeros(2), {"dims": ("cell",), "time": DAYS[:2]}, "no time dimension"),
        ("drawdown", np.zeros((2, 2)), {"dims": ("time", "time_b")}, "only one may be a time axis"),
        ("drawdown", np.zeros((2, 0)), {"dims": ("cell", "layer")}, "0 along 'layer'"),
        ("drawdown", np.zeros((9, 2)), {"dims": ("time_b", "cell")}, "give one time for each"),
        ("drawdown", np.zeros((0, 2)), {"dims": ("time", "cell"), "time": DAYS[:0]}, "0 steps"),
        ("../escape", np.zeros(2), {"dims": ("cell",)}, "cannot name a field"),
        ("drawdown", np.zeros(2), {"dims": ("c/d",)}, "cannot name a dimension"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_store_is_refused_and_leaves_it_as_it_was(
    store: SimulationZarr, name: str, array: np.ndarray, said: dict[str, Any], says: str
) -> None:
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    before = sha256_tree(store.path)
    with pytest.raises(InvalidInput, match=says):
        store.write_field(name, array, **said)
    assert sha256_tree(store.path) == before
    store.finalize()
    assert (store.fields(), dict(store.dataset().sizes)) == (["head"], {"time": 3, "cell": 2})


def test_fields_share_their_coordinates(store: SimulationZarr) -> None:
    store.write_field("head", np.zeros(2), dims=("cell",), coords={"cell": [1, 2]})
    store.write_field("top", np.zeros(2), dims=("cell",), coords={"cell": [1, 2]})
    with pytest.raises(InvalidInput, match="differs"):
        store.write_field("bottom", np.zeros(2), dims=("cell",), coords={"cell": [1, 3]})
