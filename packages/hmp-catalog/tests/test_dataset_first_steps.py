"""What a newcomer does first with a data set is done as it is meant, or refused in words that help."""

from __future__ import annotations

import gc
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from hmp_catalog.datasets import open_dataset
from hmp_catalog.datasets.axes import ticks
from hmp_catalog.datasets.axes.labels import locate
from hmp_catalog.datasets.cells import chunking
from hmp_core.errors import InvalidInput, NotFound, PathNotFound

JANUARY = np.arange("2001-01-01", "2001-02-01", dtype="datetime64[h]")


# ── chunks of what grows ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("space", [(), (1,), (10, 10), (100, 100), (1000, 1000), (3, 7, 11)])
@pytest.mark.parametrize("length", [1, 2, 24, 31])
def test_the_chunk_of_an_axis_that_grows_is_not_as_short_as_it_is_now(length, space):
    chunk = chunking.variable_chunk_shape((length, *space), growing=0)
    assert chunking.ELEMENTS / 2 <= np.prod(chunk) <= chunking.ELEMENTS * 1.5
    assert chunk[0] >= 6
    assert all(edge <= size for edge, size in zip(chunk[1:], space, strict=True))


def test_the_chunk_of_a_long_axis_divides_it_whether_it_grows_or_not():
    for shape in ((8760, 100, 100), (8736, 20, 30), (500, 500)):
        assert chunking.variable_chunk_shape(shape, growing=0) == chunking.variable_chunk_shape(shape)


def test_a_month_that_is_appended_hour_by_hour_is_few_files(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        ds.create.coord.time(JANUARY[:1])
        ds.create.coord.y(np.arange(50.0))
        ds.create.coord.x(np.arange(50.0))
        rain = ds.create.data_var.generic("rain", ("time", "y", "x"), "float32")
        turned = ds.create.data_var.generic("turned", ("y", "x", "time"), "float32")
        still = ds.create.data_var.generic("still", ("y", "x"), "float32")
        ds["time"].append(JANUARY[1:])
        rain[:] = 1
        assert rain.chunk_shape[0] > 100
        assert turned.chunk_shape[2] > 100
        assert still.chunk_shape == (50, 50)
    assert len([each for each in (tmp_path / "a.zarr" / "rain" / "c").rglob("*") if each.is_file()]) < 10


# ── steps of times ───────────────────────────────────────────────────────────────────────────────────


def test_a_number_is_no_step_of_times_that_nothing_bears_out(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        for labels in (JANUARY[:1], None):
            with pytest.raises(InvalidInput, match=r"would be 1 minutes.*timedelta64"):
                ds.create.coord.time(labels, step=1)
        time = ds.create.coord.time(JANUARY[:1], step=np.timedelta64(1, "h"))
        assert time.step == 60
        time.append(JANUARY[5:6])
        assert len(time) == 6
        other = ds.create.coord.like("other", time)
        assert other.step == 60
        assert ds.create.coord.generic("third", JANUARY[:1], step=timedelta(hours=2)).step == 2


def test_a_step_is_told_with_its_unit():
    days = np.arange("2001-01-01", "2001-01-04", dtype="datetime64[D]").astype("datetime64[m]")
    with pytest.raises(InvalidInput, match="steps of 1440 minutes"):
        ticks.appended(days, [np.datetime64("2001-01-05T01:00", "m")], 1440)
    with pytest.raises(InvalidInput, match=r"1 minutes is said.*the values have 1440 minutes"):
        ticks.agreed_step(days, 1)


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([0.0, 1.0]), np.array([0, 1], dtype="datetime64[s]")])
def test_a_gap_of_millions_of_labels_is_refused(labels):
    far = np.array([10**8]).astype(labels.dtype)
    with pytest.raises(InvalidInput, match="99999998 labels would fill the gap"):
        ticks.appended(labels, far, 1)
    with pytest.raises(InvalidInput, match="99999999 labels would fill the gap"):
        ticks.prepended(far, labels[:1], 1)
    assert ticks.appended(labels, far, None).added == 1


# ── what is lost, and what is there ──────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("always::ResourceWarning")
def test_changes_that_are_forgotten_are_told(tmp_path: Path, recwarn):
    path = tmp_path / "a.zarr"
    with open_dataset(path, "n") as ds:
        ds.create.coord.time(JANUARY)
    lost = open_dataset(path, "w")
    lost.attrs["title"] = "of nobody"
    del lost
    gc.collect()
    assert "a.zarr: changes were never committed" in str(recwarn.pop(ResourceWarning).message)
    with pytest.raises(NotFound), open_dataset(path, "w") as ds:
        ds.get("what is not there")
    kept = open_dataset(path, "w")
    kept.attrs["title"] = "kept"
    kept.close()
    reader = open_dataset(path)
    assert reader.attrs["title"] == "kept"
    del ds, kept, reader
    gc.collect()
    assert not recwarn.list


def test_something_else_is_called_what_it_is(tmp_path: Path):
    (tmp_path / "rain.nc").write_bytes(b"CDF")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    xr.Dataset({"a": ("t", [1.0])}).to_zarr(tmp_path / "old.zarr", zarr_format=2, consolidated=False)
    for name, words in (("rain.nc", "a file"), ("old.zarr", "Zarr v2.*from_xarray"), ("full", "something else.*notes")):
        for flag in "rw":
            with pytest.raises(PathNotFound, match=words):
                open_dataset(tmp_path / name, flag)
    with pytest.raises(PathNotFound, match="'c' or 'n'"):
        open_dataset(tmp_path / "nothing.zarr")


def test_text_is_no_number_of_a_coordinate(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        x = ds.create.coord.x([1000.0, 2000.0])
        n = ds.create.coord.generic("n", [1, 2])
        for coord in (x, n):
            with pytest.raises(InvalidInput, match="text"):
                coord.append(["6000"])
        with pytest.raises(InvalidInput, match="text"):
            ds.create.coord.generic("k", ["1", "2"], "float64")
        assert (len(x), len(n)) == (2, 2)


def test_coordinates_are_listed_as_the_data_lie(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        for name in ("x", "y", "time", "level", "band"):
            ds.create.coord.generic(name, [1, 2])
        ds.create.data_var.generic("mask", ("x", "y"), "int8")
        ds.create.data_var.generic("rain", ("time", "y", "x"), "float32")
        listed = repr(ds).split("Coordinates:")[1].split("Data variables:")[0].splitlines()
        assert [line.split()[0] for line in listed if line] == ["time", "y", "x", "band", "level"]


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("unit", ["h", "m", "ns"])
@pytest.mark.parametrize("every", [1, 24, 31])
@pytest.mark.parametrize("label", ["2001", "2001-02", "2001-02-03", "2000-12", "2001-02-03T06:00"])
def test_a_period_alone_is_what_pandas_takes(unit, every, label):
    values = np.arange("2001-01-01", "2001-04-01", every, dtype="datetime64[h]").astype(f"datetime64[{unit}]")
    frame = pd.Series(range(len(values)), index=pd.DatetimeIndex(values))
    try:
        expected = frame.loc[label]
    except KeyError:
        with pytest.raises(NotFound):
            locate(values, label)
        return
    found = np.arange(len(values))[locate(values, label)]
    assert np.array_equal(found, expected)


def test_a_month_among_months_is_one_label():
    months = np.arange("2001-01", "2003-01", dtype="datetime64[M]")
    assert locate(months, "2001-06") == 5
    assert locate(months, "2002") == slice(12, 24)
    assert locate(months, ["2001-06", "2002-01"]).tolist() == [5, 12]


def test_a_month_of_a_variable_is_selected_by_its_name(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        ds.create.coord.generic("site", ["a", "b"])
        ds.create.coord.time(np.arange("2001-01-01", "2001-03-01", dtype="datetime64[h]"))
        flow = ds.create.data_var.generic("flow", ("site", "time"), "float64")
        flow[:] = np.arange(flow.size).reshape(flow.shape)
        assert flow.loc[..., "2001-02"].shape == (2, 672)
        assert flow.loc["b", "2001-01-02"].values.tolist() == flow.values[1, 24:48].tolist()
        assert ds.select_loc({"time": "2001-02", "site": "b"})["flow"].shape == (1, 672)
        flow.loc["a", "2001-02"] = 0
        assert (flow.values[0] == 0).sum() == 673


# ── views are no arrays ──────────────────────────────────────────────────────────────────────────────


def test_a_view_is_never_compared_without_its_values(tmp_path: Path):
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        ds.create.coord.generic("k", [0, 1])
        flag = ds.create.data_var.generic("flag", ("k",), "int8")
        flag[:] = [0, 1]
        for compare in (lambda: flag[0] == 0, lambda: flag != np.array([0, 1]), lambda: flag == "a"):
            with pytest.raises(TypeError, match=r"flag: .*\.values"):
                compare()
        assert flag == flag
        assert flag is not None
        assert flag != flag[:]
        assert [bool(each) for each in flag] == [False, True]
        assert (float(flag[1]), len({flag, flag[0]})) == (1.0, 2)
        with pytest.raises(TypeError):
            flag[0] += 1
