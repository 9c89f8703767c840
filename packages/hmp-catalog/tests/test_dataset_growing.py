"""Coordinates that grow at either end or are cut, and the data along them: nothing moves, nothing is back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets import Dataset, DataVariable, dtype, open_dataset
from hmp_core.errors import InvalidInput, NotFound

#: A type of values -> those that are written, and what is read where nothing was.
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "packed": (dtype("float32", precision=2, min_value=-50, max_value=60), 1.25, np.nan),
    "float": ("float64", 0.1, np.nan),
    "integer": ("int32", 7, 0),
    "datetime": ("datetime64[s]", np.datetime64("2001-01-01", "s"), np.datetime64("NaT", "s")),
    "bool": ("bool", True, False),
    "string": ("string", "a", ""),
}


@pytest.fixture
def ds(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(tmp_path / "forcing.zarr", "n") as opened:
        yield opened


def days(first: str, count: int) -> Any:
    return np.datetime64(first, "D") + np.arange(count)


def field(ds: Dataset, count: int = 60, chunks: tuple[int, int] = (20, 2)) -> tuple[DataVariable, Any]:
    """Make time x place; each cell has a number of its own."""
    ds.create.coord.time(days("2001-01-01", count), dtype="datetime64[D]")
    ds.create.coord.generic("place", ["a", "b", "c"])
    var = ds.create.data_var.generic("v", ("time", "place"), "float32", chunks)
    values = np.arange(3.0 * count, dtype="float32").reshape(count, 3)
    var[:] = values
    return var, values


def files(ds: Dataset, name: str) -> dict[str, int]:
    """Return the inodes of the chunks of a variable."""
    folder = ds.handle.group().store.root / name / "c.0.0"
    return {each: os.stat(folder.parent / each).st_ino for each in os.listdir(folder.parent) if each != "zarr.json"}


# ── at the end ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_along_a_coordinate_that_grows_is_missing_there(kind, ds, tmp_path):
    """Scenario 7, and 3: the axis is filled after a gap of 5 h, and data there are missing, in session and after."""
    of, value, missing = KINDS[kind]
    hours = np.arange("2001-01-01T00", "2001-01-01T06", dtype="datetime64[h]")
    time = ds.create.coord.time(hours)
    var = ds.create.data_var.generic("v", ("time",), of, (4,))
    var[:] = value
    time.append([np.datetime64("2001-01-01T10", "h")])
    time.prepend([np.datetime64("2000-12-31T22", "h")])
    var.loc["2001-01-01T10:00"] = value
    expected = [missing] * 2 + [value] * 6 + [missing] * 4 + [value]
    for _ in range(2):
        np.testing.assert_array_equal(ds["v"].data, np.array(expected, dtype=ds["v"].dtype.decoded))
        np.testing.assert_array_equal(ds["time"].data, np.datetime64("2000-12-31T22", "m") + 60 * np.arange(13))
        assert ds["v"].masked.mask.tolist() == [each is missing for each in expected] or kind in {"integer", "bool"}
        ds.close()
        ds = open_dataset(tmp_path / "forcing.zarr")


def test_a_packed_integer_tells_a_zero_from_what_is_missing(ds):
    """Scenario 4."""
    ds.create.coord.generic("k", [1, 2, 3])
    var = ds.create.data_var.generic("v", ("k",), dtype("int16", min_value=-5, max_value=5))
    var[1:] = [0, -5]
    assert (var.data.tolist(), var.masked.mask.tolist()) == ([0, 0, -5], [True, False, False])


OFF = {
    "integer": ([0, 10, 20], 34, [44], None),
    "float": ([0.0, 0.5, 1.0], 1.75, [2.5], None),
    "millionths": ([0.0, 1e-6, 2e-6], 3.5e-6, [6e-6], None),
    "thirds": ([0.0, 1 / 3, 2 / 3], 1.2, [5 / 3], None),
    "datetime": (days("2001-01-01", 3), np.datetime64("2001-01-04T12", "h"), days("2001-01-08", 1), "datetime64[h]"),
}


@pytest.mark.parametrize("kind", OFF)
def test_labels_between_steps_are_refused(kind, ds):
    """Scenario 7: for ints, floats (also steps of a millionth and of a third) and datetimes."""
    labels, off, on, of = OFF[kind]
    k = ds.create.coord.generic("k", labels, of, step=True)
    assert k.step is not None
    with pytest.raises(InvalidInput, match="not a whole number of steps"):
        k.append([off])
    assert len(k) == 3
    if kind != "integer":
        k.append(on)
        assert len(k) > 4
        assert len(set(k.data)) == len(k)


@pytest.mark.parametrize("axis", [0, 1])
def test_data_grow_along_any_of_their_dimensions(axis, ds):
    var, values = field(ds)
    (ds["time"] if axis == 0 else ds["place"]).append(days("2001-03-02", 2) if axis == 0 else ["d", "e"])
    expected = np.full((62, 3) if axis == 0 else (60, 5), np.nan, "float32")
    expected[:60, :3] = values
    np.testing.assert_array_equal(var.data, expected)
    assert var.shape == ds["v"].shape == expected.shape


def test_nothing_to_append_changes_nothing(ds):
    field(ds)
    ds.commit()
    ds["time"].append([])
    assert ds.commit() == 1


# ── before the first ─────────────────────────────────────────────────────────────────────────────────


def test_prepending_whole_chunks_writes_no_data(ds, tmp_path):
    """Scenario 8: data chunks keep their files, and every way of reading finds what was written."""
    var, values = field(ds)
    before = files(ds, "v")
    ds["time"].prepend(days("2000-12-12", 20))
    assert files(ds, "v") == {f"c.{int(name.split('.')[1]) + 1}.{name.split('.')[2]}": i for name, i in before.items()}
    expected = np.concatenate([np.full((20, 3), np.nan, "float32"), values])
    np.testing.assert_array_equal(var.data, expected)
    np.testing.assert_array_equal(var.loc["2001-01-01":].data, values)
    ds.commit()
    with xr.open_zarr(tmp_path / "forcing.zarr") as plain:
        np.testing.assert_array_equal(plain["v"].sel(time=slice("2001-01-01", None)), values)
        assert plain["time"].values[0] == np.datetime64("2000-12-12")


@pytest.mark.parametrize("count", [1, 19, 50])
def test_prepending_any_number_of_labels(count, ds):
    """Scenario 8: 50 steps to chunks of 20 among them."""
    var, values = field(ds)
    ds["time"].prepend(days("2001-01-01", 60)[0] - np.arange(count, 0, -1))
    np.testing.assert_array_equal(var.data, np.concatenate([np.full((count, 3), np.nan, "float32"), values]))
    assert (ds["time"].origin, var.get_coord_origins()) == (0, (0, 0))


def test_prepending_to_the_last_dimension_and_to_texts(ds):
    var, values = field(ds)
    ds["place"].prepend(["z"])
    assert ds["place"].data.tolist() == ["z", "a", "b", "c"]
    np.testing.assert_array_equal(var.data[:, 1:], values)
    var[:] = 1  # cfdb raises here
    assert (var.data == 1).all()


def test_a_view_of_before_labels_moved_says_so(ds):
    """It would give cells of other labels."""
    var, values = field(ds)
    part, cut, coord = var[3:5], ds.select({"time": slice(3, 5)}), ds["time"][3:5]
    ds["time"].append(days("2001-03-02", 1))
    np.testing.assert_array_equal(part.data, values[3:5])
    ds["time"].prepend(days("2000-12-31", 1))
    for read in (lambda: part.data, lambda: cut["v"], lambda: coord.data, lambda: part.shape, lambda: part[0]):
        with pytest.raises(InvalidInput, match="made before labels moved; select again"):
            read()
    assert "labels moved since" in repr(part)
    np.testing.assert_array_equal(var[4:6].data, values[3:5])


# ── cut ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_what_grows_again_after_a_cut_is_missing(kind, ds):
    """Scenario 9: the values of before are not back (in cfdb they are)."""
    of, value, missing = KINDS[kind]
    k = ds.create.coord.generic("k", np.arange(21))
    var = ds.create.data_var.generic("v", ("k",), of, (10,))
    var[:] = value
    k.truncate(stop=17)
    k.append([18, 19, 20, 21])
    expected = np.array([value] * 18 + [missing] * 4, dtype=var.dtype.decoded)
    np.testing.assert_array_equal(var.data, expected)
    k.truncate(start=10)
    np.testing.assert_array_equal(var.data, expected[10:])
    k.prepend(np.arange(10))
    np.testing.assert_array_equal(var.data, np.concatenate([expected[-1:].repeat(10), expected[10:]]))


@pytest.mark.parametrize(("start", "stop"), [(None, "2001-01-31"), ("2001-01-15", None), ("2001-01-21", "2001-02-02")])
def test_a_coordinate_is_kept_from_one_label_to_another(start, stop, ds, tmp_path):
    var, values = field(ds)
    ds["time"].truncate(start, stop)
    kept = (ds["time"].data >= np.datetime64(start or "1999")) & (ds["time"].data <= np.datetime64(stop or "2100"))
    assert kept.all()
    first = 0 if start is None else (np.datetime64(start) - np.datetime64("2001-01-01")).astype(int)
    np.testing.assert_array_equal(var.data, values[first : first + len(ds["time"])])
    ds.close()
    np.testing.assert_array_equal(open_dataset(tmp_path / "forcing.zarr")["v"].data, values[first : first + len(kept)])


def test_a_cut_that_leaves_nothing_is_refused(ds):
    field(ds)
    with pytest.raises(InvalidInput, match="nothing is left"):
        ds["time"].truncate("2010", "2011")
    with pytest.raises(NotFound):
        ds["place"].truncate("x")
    ds["place"].truncate("b", "b")
    assert ds["v"].shape == (60, 1)


# ── what is said of it ───────────────────────────────────────────────────────────────────────────────


def test_step_axis_and_units_are_said_anew(ds):
    k = ds.create.coord.generic("k", [0.0, 0.1, 0.2, 0.1 + 0.2])
    assert (k.step, k.axis, k.units, k.auto_increment) == (None, None, None, False)
    k.update_step(True)
    k.update_axis("x")
    k.update_units("m")
    assert (k.step, k.axis, k.units, dict(k.attrs)) == (0.1, "x", "m", {"axis": "X", "units": "m"})
    k.append([0.6])
    assert len(k) == 7
    k.update_step(None)
    k.update_axis(None)
    k.update_units(None)
    assert (k.step, k.axis, k.units, dict(k.attrs)) == (None, None, None, {})
    for wrong in (0.3, -1, "often"):
        with pytest.raises(InvalidInput):
            k.update_step(wrong)
    k.update_axis("xyz")
    other = ds.create.coord.generic("o", [1])
    with pytest.raises(InvalidInput, match="axis 'xyz' is 'k' already"):
        other.update_axis("xyz")


def test_a_step_that_is_to_be_that_of_the_labels_is_known_when_there_are_some(ds):
    time = ds.create.coord.time()
    assert time.step is None
    time.append([np.datetime64("2001-01-01", "h")])
    assert time.step is None
    time.append(np.datetime64("2001-01-01", "h") + np.array([1, 2]))
    assert time.step == 60
    time.append([np.datetime64("2001-01-01T05", "h")])
    assert len(time) == 6
    k = ds.create.coord.generic("k", dtype="int64", step=True)
    k.append([1, 2, 4])
    k.append([9])
    assert (k.step, k.data.tolist()) == (None, [1, 2, 4, 9])


def test_an_axis_that_another_one_is_cannot_be_said_by_an_attribute(ds):
    ds.create.coord.x([1.0])
    k = ds.create.coord.generic("k", [1])
    for wrong in ("X", "north"):
        with pytest.raises(InvalidInput):
            k.attrs["axis"] = wrong
    k.attrs["axis"] = "Y"
    assert k.axis == "y"
    del k.attrs["axis"]
    assert k.axis is None


def test_the_units_of_times_say_what_is_stored(ds):
    time = ds.create.coord.time(days("2001-01-01", 3))
    assert "since" in str(time.units)
    with pytest.raises(InvalidInput, match="hmp writes it itself"):
        time.update_units("days since 1970-01-01")
    assert "units" not in time.attrs


def test_geometries_grow_and_are_cut(tmp_path):
    """Scenario 21, in part: a polygon with a hole, and labels found by their shape."""
    ring = "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 1 2, 2 2, 1 1))"
    with open_dataset(tmp_path / "s.zarr", "n", dataset_type="ts_ortho") as ds:
        place = ds.create.coord.polygon([ring])
        var = ds.create.data_var.generic("v", ("polygon",), "float32", (2,))
        var[:] = 1
        place.append(["POLYGON ((5 5, 6 5, 6 6, 5 5))"])
        place.prepend(["POLYGON ((8 8, 9 8, 9 9, 8 8))"])
        with pytest.raises(InvalidInput, match="stands at"):
            place.append([ring])
        assert (len(place), var.data.tolist()[1], var.loc[ring].data) == (3, 1.0, 1.0)
    with open_dataset(tmp_path / "s.zarr", "w") as ds:
        assert len(ds["polygon"].data[1].interiors) == 1
        ds["polygon"].truncate(start=ring)
        assert (ds["v"].shape, ds["v"].data[0]) == ((2,), 1.0)
