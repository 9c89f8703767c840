"""Data sets that are opened, written by several at once, committed, rolled back, closed, and sent elsewhere."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets import Dataset, Versions, open_dataset
from hmp_catalog.datasets.history import trees
from hmp_catalog.errors import DatasetConflict
from hmp_core.errors import InvalidInput, NotFound, PathNotFound, PathTaken, StorageError
from hmp_core.testing.surroundings import require_root, small_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a data set: 12 times, 10 places, the values 0 to 119, in chunks of 4 by 5."""
    place = tmp_path / "forcing.zarr"
    with open_dataset(place, "n") as ds:
        ds.create.coord.time(np.datetime64("2001-01-01", "h") + np.arange(12))
        ds.create.coord.generic("place", [f"p{n}" for n in range(10)])
        var = ds.create.data_var.generic("v", ("time", "place"), "float64", (4, 5))
        var[:] = np.arange(120.0).reshape(12, 10)
        ds.attrs["title"] = "of a test"
    return place


@pytest.fixture
def ds(path: Path) -> Iterator[Dataset]:
    with open_dataset(path, "w") as opened:
        yield opened


# ── opened ───────────────────────────────────────────────────────────────────────────────────────────


def test_flags(tmp_path):
    path = tmp_path / "a.zarr"
    for flag in "rw":
        with pytest.raises(PathNotFound):
            open_dataset(path, flag)
    assert os.listdir(tmp_path) == []
    with open_dataset(path, "c", "ts_ortho", "lz4", 5) as ds:
        assert (ds.writable, ds.var_names, list(ds)) == (True, (), [])
    for flag in ("c", "w", "r"):
        with open_dataset(path, flag) as ds:
            assert (ds.dataset_type, ds.compression, ds.compression_level) == ("ts_ortho", "lz4", 5)
            assert (ds.writable, ds.file_path) == (flag != "r", path)
    with open_dataset(path, "n") as ds:
        assert (ds.dataset_type, dict(ds.attrs)) == ("grid", {"Conventions": "CF-1.11"})
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(PathTaken):
        open_dataset(tmp_path / "taken", "n")


@pytest.mark.parametrize(
    "wrong",
    [
        ("x",),
        ("n", "mesh"),
        ("n", "grid", "gzip"),
        ("n", "grid", "zstd", 0),
        ("n", "grid", "zstd", True),
        ("n", "grid", "zstd", 10),
    ],
    ids=str,
)
def test_what_cannot_be_opened_so_is_refused(wrong, tmp_path):
    with pytest.raises(InvalidInput):
        open_dataset(tmp_path / "a.zarr", *wrong)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("compression", ["zstd_shuffle", "zstd", "lz4_shuffle", "lz4"])
@pytest.mark.parametrize("level", [None, 3])
def test_every_compression_is_read_again(compression, level, tmp_path):
    with open_dataset(tmp_path / "a.zarr", "n", "grid", compression, level) as ds:
        ds.create.coord.x(np.arange(1000.0))
        ds.create.data_var.air_temp(("x",))[:] = np.arange(1000) / 50
    with open_dataset(tmp_path / "a.zarr") as ds:
        np.testing.assert_allclose(ds["air_temperature"].data, np.arange(1000) / 50, atol=0.0051)


def test_a_store_of_a_later_form_is_refused(path):
    with open_dataset(path, "w") as ds, ds.handle.writing() as group:
        group.attrs["hmp"] = {"format": 2}
    with pytest.raises(InvalidInput, match="written in form 2, and this hmp knows 1; upgrade it"):
        open_dataset(path)


def test_what_others_wrote_is_read_and_written(tmp_path):
    """Dimensions without labels, a scalar, times of a calendar that is not read here: all of it is shown."""
    path = tmp_path / "a.zarr"
    made = xr.Dataset(
        {
            "v": (("x", "n"), np.arange(6.0).reshape(3, 2)),
            "one": 5,
            "odd": ("n", [1, 2], {"units": "days since 1-1-1"}),
        },
        {"x": [10, 20, 30], "aux": ("x", [1.0, 2.0, 3.0])},
        {"title": "of others"},
    )
    made["odd"].attrs["calendar"] = "noleap"
    made.to_zarr(path, zarr_format=3, consolidated=False)
    with open_dataset(path, "w") as ds:
        assert (ds.coord_names, ds.data_var_names) == (("n", "x"), ("aux", "odd", "one", "v"))
        assert (ds["v"].loc[20, 1].data, ds["one"].data, ds["n"].data.tolist()) == (3.0, 5, [0, 1])
        assert "of a type that is not read here" in repr(ds)
        with pytest.raises(InvalidInput, match="not read here"):
            ds["odd"].data  # noqa: B018
        with pytest.raises(InvalidInput, match="n: this dimension has no labels"):
            ds["n"].append([2])
        ds["v"].loc[30] = 7
    with xr.open_zarr(path) as plain:
        np.testing.assert_array_equal(plain["v"], [[0, 1], [2, 3], [7, 7]])
    with open_dataset(path, "w") as ds:
        del ds["odd"]
        ds["x"].append([40])
        assert (ds["v"].shape, list(ds["one"].items())) == ((4, 2), [((), 5)])
        with pytest.raises(InvalidInput, match="3 labels for a dimension that is there already, of size 2"):
            ds.create.coord.generic("n", [1, 2, 3])
        ds.create.coord.generic("n", ["a", "b"])
        assert ds["v"].loc[20, "b"].data == 3


# ── a mapping ────────────────────────────────────────────────────────────────────────────────────────


def test_a_mapping_of_variables(ds):
    assert (list(ds), len(ds), "v" in ds, "w" in ds) == (["place", "time", "v"], 3, True, False)
    assert [each.name for each in (*ds.coords, *ds.data_vars)] == [each.name for each in ds.variables] == list(ds)
    for wrong, error in (("w", KeyError), (3, InvalidInput)):
        with pytest.raises(error):
            ds[wrong]
    assert ds["v"].coord_names == tuple(each.name for each in ds["v"].coords) == ("time", "place")


def test_shown(ds):
    assert "v                     (time: 12, place: 10)  float64" in repr(ds)
    assert "2001-01-01T00:00 ... 2001-01-01T11:00" in repr(ds["v"])
    assert repr(ds["v"][:, 3]).count("place") == 0
    assert "values        2001-01-01T03:00" in repr(ds["time"][3])
    ds.attrs["note"] = "<b>"
    assert "&lt;b&gt;" in ds._repr_html_()
    assert "title" in repr(ds)
    ds.close()
    assert repr(ds).endswith("(closed)")


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────


def test_parts_by_positions_keep_their_dimensions(ds):
    part = ds.select({"time": slice(2, 10, 2), "place": [7, 1]})
    values = np.arange(120.0).reshape(12, 10)[2:10:2][:, [7, 1]]
    np.testing.assert_array_equal(part["v"].data, values)
    np.testing.assert_array_equal(part.select({"time": -1})["v"].data, values[-1:])
    assert part.select({"time": -1})["time"].data.tolist() == ds["time"].data[[8]].tolist()
    assert part.select_loc({"place": "p1"})["v"].data.tolist() == values[:, 1:].tolist()
    with pytest.raises(NotFound):
        part.select_loc({"place": "p2"})
    for wrong, error in (({"nowhere": 1}, KeyError), ({"time": 12}, IndexError), ({"time": "x"}, InvalidInput)):
        with pytest.raises(error):
            ds.select(wrong)


def test_parts_by_labels_have_both_ends(ds):
    """Scenario 10: of datetimes and text; floats and ints in `test_labels`."""
    v = ds["v"]
    assert v.loc["2001-01-01T02:00":"2001-01-01T04:00", "p3"].data.tolist() == [23, 33, 43]
    assert v.loc[..., "p3":"p5"].shape == (12, 3)
    assert v.loc[{"place": ["p9", "p0"]}].data[0].tolist() == [9, 0]
    assert v.loc[np.arange(12) > 9].shape == (2, 10)
    assert v[2:4].loc["2001-01-01T03:00"].data[0] == 30
    for absent in (("2001-01-01T02:30",), ("2001-01-01T02:00", "p10"), ("2002-01-01",)):
        with pytest.raises(KeyError):
            v.loc[absent]
    for wrong in (("p3",), (0, 0, 0), {"nowhere": 1}, (..., ...)):
        with pytest.raises(InvalidInput):
            v.loc[wrong]
    assert v.loc["2001-01-01":"2001-01-01"].shape == (12, 10)


@pytest.mark.parametrize(
    ("labels", "start", "stop", "count"),
    [([1, 2, 3], 2, 3, 2), ([0.1, 0.2, 0.1 + 0.2], 0.2, 0.3, 2), (["b", "a"], "b", "a", 2), ([0.5, 1.5], 0.0, 1.4, 1)],
)
def test_labels(labels, start, stop, count, ds):
    """Scenario 10."""
    ds.create.coord.generic("k", labels)
    var = ds.create.data_var.generic("w", ("k",), "float32")
    assert (var.loc[start:stop].shape, ds.select_loc({"k": slice(start, stop)})["w"].shape) == ((count,), (count,))
    with pytest.raises(KeyError):
        var.loc["c" if isinstance(labels[0], str) else 7]


def test_values_of_a_wrong_shape_are_refused_and_scalars_stretched(ds):
    """Scenario 12: also those of the right size."""
    v = ds["v"]
    for wrong in (np.zeros((10, 12)), np.zeros(120), np.zeros((12, 10, 1))):
        with pytest.raises(InvalidInput):
            v[:] = wrong
    assert v[3, 4].data == 34
    v[3] = 1
    v[4, 2:4] = [8, 9]
    v[5:7, 0] = ds["v"][0:2, 9]
    v.set((7, 0), 5)
    assert (v[3].data == 1).all()
    assert [v[4, 2].data, v[4, 3].data, v[5, 0].data, v[6, 0].data, v[7, 0].data] == [8, 9, 9, 19, 5]


def test_a_view_is_an_array_when_asked(ds):
    v = ds["v"]
    part = v[2:5]
    assert (part.shape, part.ndims, part.size, len(part), part.chunk_shape) == ((3, 10), 2, 30, 3, (4, 5))
    assert (np.array(part[0, 1]), float(np.sum(part)), np.asarray(v, dtype=int)[11, 9]) == (21, 1035.0, 119)
    assert [each.data[0] for each in part] == [20, 30, 40]
    assert list(part[:1, :2].items()) == [((0, 0), 20.0), ((0, 1), 21.0)]
    assert list(ds["place"][:1].items()) == [((0,), "p0")]
    assert (part.window, v[3].window) == ((slice(2, 5), slice(0, 10)), (slice(3, 4), slice(0, 10)))
    assert v[2:6].codes((slice(1, 2), slice(0, 2))).tolist() == [[30, 31]]
    with pytest.raises(InvalidInput, match="no block"):
        v[::2].window  # noqa: B018
    assert (v.load() is v, part.units, v[3].coord_names) == (True, None, ("place",))
    assert v[np.asarray(v) > 117].coord_names == ()
    with pytest.raises(TypeError):
        len(v[0, 0])
    assert (float(v[3, 4]), int(v[3, 4])) == (34.0, 34)
    with pytest.raises(TypeError):
        assert 34.0 in v
    part[0] = -1  # a part writes through
    assert (v[2].data == -1).all()


def test_labels_chunk_by_chunk(ds):
    k = ds.create.coord.generic("k", np.arange(7), chunk_shape=(3,))
    found = list(k[1:].iter_chunks())
    assert [(place, values.tolist()) for (place,), values in found] == [
        (slice(0, 3), [1, 2, 3]),
        (slice(3, 6), [4, 5, 6]),
    ]
    assert list(k.iter_chunks(include_data=False))[-1] == (slice(6, 7),)
    assert next(iter(ds["time"].iter_chunks(decoded=False)))[1].dtype.kind in "iu"
    assert k.get_chunk().tolist() == [0, 1, 2]


def test_chunks_one_by_one(ds):
    v = ds["v"]
    assert v.get_chunk().tolist() == v[:4, :5].data.tolist()
    assert v.get_chunk((slice(5, 9), slice(6, 10))).tolist() == v[5:8, 6:10].data.tolist()
    ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
    assert v.get_chunk(slice(12, 13), missing_none=True) is None
    assert np.isnan(v.get_chunk(slice(12, 13))).all()


# ── attributes ───────────────────────────────────────────────────────────────────────────────────────


def test_attributes(ds, path):
    attrs = ds["v"].attrs
    attrs["a"] = np.float32(0.5)
    attrs.set("b", [1, "x", {"y": np.array([1, 2])}])
    attrs.update(c=None, d=True)
    assert attrs.data == dict(attrs) == {"a": 0.5, "b": [1, "x", {"y": [1, 2]}], "c": None, "d": True}
    attrs.data["b"].append("not kept")
    assert (attrs.pop("a"), attrs.pop("a", 3), attrs.get("a"), "a" in attrs, list(attrs)) == (
        0.5,
        3,
        None,
        False,
        ["b", "c", "d"],
    )
    for wrong in (float("nan"), {1}, 1j, {1: 2}, b"x"):
        with pytest.raises(InvalidInput):
            attrs.update({"fine": 1, "wrong": wrong})
    for reserved in ("_FillValue", "scale_factor", "hmp_dtype", "grid_mapping", "", 3):
        with pytest.raises(InvalidInput):
            attrs[reserved] = 1
    for read in (lambda: attrs["a"], lambda: attrs.pop("a"), lambda: attrs.__delitem__("a")):
        with pytest.raises(NotFound):
            read()
    attrs.clear()
    assert (len(attrs), ds["v"][0, 1].data, ds["v"].dtype.name) == (0, 1, "float64")
    ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
    assert len(ds["v"].attrs) == 0
    ds.close()
    with open_dataset(path) as read_only:
        assert read_only.attrs["title"] == "of a test"
        with pytest.raises(InvalidInput, match="for reading only"):
            read_only.attrs["title"] = "x"


# ── all or nothing ───────────────────────────────────────────────────────────────────────────────────


def test_an_exception_rolls_back(path):
    def fail() -> None:
        with open_dataset(path, "w") as ds:
            ds["v"][:] = -1
            ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
            del ds.attrs["title"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with open_dataset(path) as ds:
        assert (ds["v"].shape, ds["v"][0, 1].data, "title" in ds.attrs) == ((12, 10), 1, True)


def test_a_file_that_was_replaced_many_times_was_not_changed_in_place(ds, path):
    """The number of a file that is gone is given to another one."""
    for n in range(30):
        ds.attrs["n"] = n
        ds["v"].attrs["n"] = n
    tree = ds.handle.group().store.root
    assert {"zarr.json", "v/zarr.json"}.isdisjoint(trees.looks(tree))
    assert "time/zarr.json" in trees.looks(tree)
    assert (ds.commit(), open_dataset(path).attrs["n"]) == (2, 29)


def test_a_new_one_in_its_place_is_there_when_it_is_committed(path):
    """Until then, and if it fails, the old one is: cfdb truncates it at once."""

    def replace(error: Exception | None) -> None:
        with open_dataset(path, "n") as ds:
            ds.create.coord.x([1.0])
            assert open_dataset(path).data_var_names == ("v",)
            if error is not None:
                raise error

    with pytest.raises(ZeroDivisionError):
        replace(ZeroDivisionError())
    with open_dataset(path) as reader:
        replace(None)
        assert (reader["v"][0, 1].data, open_dataset(path).var_names) == (1, ("x",))


def test_rolling_back_and_going_on(ds):
    v = ds["v"]
    v[0] = -1
    ds["time"].prepend(ds["time"].data[:1] - np.timedelta64(1, "h"))
    ds.create.coord.x([1.0])
    ds.rollback()
    assert (v.shape, v[0, 1].data, "x" in ds) == ((12, 10), 1, False)
    v[0, 1] = 5
    assert (ds.sync(), ds.commit(), v[0, 1].data) == (2, 2, 5)


def test_a_reader_sees_one_version_until_it_refreshes(ds, path):
    with open_dataset(path) as reader:
        part = reader["v"][3:5]
        ds["v"][:] = -1
        ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
        ds.commit()
        assert (reader["v"].shape, part.data[0, 0], reader.refresh()) == ((12, 10), 30, 2)
        assert (reader["v"].shape, part.data[0, 0], reader.refresh()) == ((13, 10), -1, 2)
        ds["time"].truncate(start="2001-01-01T01:00")
        ds.commit()
        reader.refresh()
        with pytest.raises(InvalidInput, match="labels moved"):
            part.data  # noqa: B018
        with pytest.raises(InvalidInput, match="for reading only"):
            reader["v"][0] = 1
        for verb in (reader.commit, reader.rollback, reader.create.coord.x, lambda: reader.__delitem__("v")):
            with pytest.raises(InvalidInput, match="for reading only; open it with flag 'w'"):
                verb()
    with pytest.raises(InvalidInput, match="commit or roll back instead"):
        ds.refresh()


def test_versions_that_are_kept(path):
    for n in (1, 2):
        with open_dataset(path, "w", keep_versions=5) as ds:
            ds["v"][:] = -n
    assert [open_dataset(path, version=n)["v"][0, 1].data for n in Versions(path).numbers()] == [1, -1, -2]
    with pytest.raises(NotFound):
        open_dataset(path, version=9)
    with pytest.raises(InvalidInput):
        open_dataset(path, "w", version=1)


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_what_was_taken_away_while_it_was_open_is_not_empty(how, path):
    """For Zarr a cell without its file is missing: all of it would be, and nobody would know."""
    with open_dataset(path) as reader, open_dataset(path, "w") as fresh, open_dataset(path, "w") as begun:
        begun["v"][0, 0] = 7
        os.rename(path, path.with_name("aside.zarr")) if how == "moved" else shutil.rmtree(path)
        for verb in (
            lambda: reader["v"].data,
            lambda: begun["v"].data,
            lambda: begun["v"].set((0, 0), 8),
            begun.commit,
            lambda: fresh["v"].set((0, 0), 8),
            lambda: begun["time"].append([np.datetime64("2001-02-01T00")]),
        ):
            with pytest.raises(PathNotFound, match="moved or removed"):
                verb()
        begun.handle.close()
    assert not path.exists()


def test_closed_means_closed(ds, path):
    v, attrs, part, creator = ds["v"], ds.attrs, ds.select({"time": 0}), ds.create.coord
    v[0] = 9
    ds.close()
    ds.close()
    assert (ds.is_open, v.is_open) == (False, False)
    uses = [
        lambda: v.data,
        lambda: v.shape,
        lambda: attrs.data,
        lambda: part["v"],
        lambda: ds.var_names,
        ds.commit,
        ds.rollback,
    ]
    for use in (*uses, lambda: v.set(0, 1), creator.x):
        with pytest.raises(InvalidInput, match="is closed; open it again"):
            use()
    assert (open_dataset(path)["v"][0].data == 9).all()


@pytest.mark.filterwarnings("ignore:.*never committed:ResourceWarning")
def test_whoever_forgets_to_close_forgets_what_was_written(path):
    """And keeps no lock: neither a view nor what creates holds a cycle of references."""
    ds = open_dataset(path, "w")
    ds["v"][:] = -1
    views = [ds["v"].loc, ds.create.coord, ds.attrs, ds["time"]]
    handle = weakref.ref(ds.handle)
    gc.disable()
    try:
        del ds, views
        assert handle() is None
    finally:
        gc.enable()
    assert not [*(path / ".versions").glob("work-*")]
    assert open_dataset(path)["v"][0, 1].data == 1


def test_the_end_of_the_interpreter_forgets_what_was_written(path, python):
    code = """
        import sys
        from hmp_catalog.datasets import open_dataset
        ds = open_dataset(sys.argv[1], "w")
        ds["v"][:] = -1
    """
    python(code, path)
    assert not [*(path / ".versions").glob("work-*")]
    assert open_dataset(path)["v"][0, 1].data == 1


def test_what_failed_half_way_cannot_be_committed(path, monkeypatch):
    """A full disk in the midst of a growing axis, for instance."""
    from hmp_catalog.datasets.cells.arrays import Cells

    with open_dataset(path, "w") as ds:
        ds["v"][0] = -1

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        ds["time"].prepend(ds["time"].data[:1] - np.timedelta64(1, "h"))
        part = ds["v"][1:3]
        monkeypatch.setattr(Cells, "write", full)
        with pytest.raises(StorageError):
            ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
        monkeypatch.undo()
        with pytest.raises(InvalidInput, match=r"a change failed half-way .* roll back"):
            ds.commit()
        ds.rollback()
        assert (ds["v"].shape, ds["v"][0, 1].data) == ((12, 10), 1)
        with pytest.raises(InvalidInput, match="labels moved"):
            part.data  # noqa: B018


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("how", ["values", "rechunked"])
def test_what_was_written_in_half_cannot_be_committed(how, error, path, monkeypatch):
    """After one of six files, outside of a ``with`` statement: neither by `commit` nor by `close`."""
    ds, written, real = open_dataset(path, "w"), [], os.replace
    if how == "rechunked":
        ds.create.data_var.generic("other", ("time", "place"), "float64", (6, 2))
        ds.commit()
    view = ds["v"][1:3]
    with pytest.raises(InvalidInput):
        ds["v"][:] = np.zeros((5, 5))  # nothing is written
    ds.attrs["title"] = "another"
    ds.commit()

    def fails(source: Any, target: Any) -> None:
        written.append(target)
        if len(written) > 1:
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        ds["v"].rechunker().into(ds["other"]) if how == "rechunked" else ds["v"].set(..., -1)
    monkeypatch.undo()
    assert len(written) == 2
    for verb in (ds.commit, ds.close, ds.commit):
        with pytest.raises(InvalidInput, match=r"a change failed half-way .* roll back"):
            verb()
    assert open_dataset(path)["v"][0, 1].data == 1
    ds.rollback()
    assert (ds["v"].data == np.arange(120).reshape(12, 10)).all()
    assert view.data[0, 0] == 10  # labels are where they were
    ds["v"][:] = 2
    ds.close()
    with open_dataset(path) as found:
        assert (found["v"].data == 2).all()


def test_on_a_full_disk_nothing_is_lost():
    require_root("mount a small disk")

    def fill(path: Path) -> None:
        with open_dataset(path, "w") as ds:
            for n in range(9):
                ds.create.data_var.generic(f"v{n}", ("y", "x"), "float64")[:] = chance

    with small_disk("8m") as disk:
        path = disk / "a.zarr"
        with open_dataset(path, "n", compression="lz4") as ds:
            ds.create.coord.x(np.arange(1000.0))
            ds.create.coord.y(np.arange(1000.0))
            ds.create.data_var.generic("v", ("y", "x"), "float64")[:10] = 1
        chance = np.random.default_rng(1).random((1000, 1000)) * 2
        with pytest.raises(StorageError):
            fill(path)
        with open_dataset(path, "w") as ds:
            assert (ds.data_var_names, ds["v"][0, 0].data) == (("v",), 1)
            ds["v"][0, 0] = 2


# ── several at once ──────────────────────────────────────────────────────────────────────────────────


def together(work: Callable[[int], None], count: int) -> None:
    """Run in as many threads; what one of them raises is raised."""
    errors: list[Exception] = []

    def one(n: int) -> None:
        try:
            work(n)
        except Exception as error:  # noqa: BLE001 - it is raised in the thread of the test
            errors.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    if errors:
        raise errors[0]


def test_threads_of_one_session_lose_nothing(ds, path):
    """Scenario 20: 8 threads write cells of shared chunks, while others read, make variables and say attributes."""
    v = ds["v"]
    v[:] = 0

    def work(n: int) -> None:
        for cell in range(n, 120, 8):
            v[divmod(cell, 10)] = cell + 1
            if not cell % 5:
                ds["v"].attrs[f"a{cell}"] = cell
        assert np.isin(v.data, np.arange(121)).all()
        ds.create.data_var.generic(f"w{n}", ("time",), "int32")[:] = n

    together(work, 8)
    ds.close()
    with open_dataset(path) as found:
        assert found["v"].data.ravel().tolist() == list(range(1, 121))
        assert dict(found["v"].attrs) == {f"a{n}": n for n in range(0, 120, 5)}
        assert [(found[f"w{n}"].data == n).all() for n in range(8)] == [True] * 8


def test_commits_between_reads_and_writes_of_other_threads(ds, path):
    """The files of a session move when it commits: whoever reads meanwhile finds them all the same."""
    v = ds["v"]
    v[:] = 1

    def work(n: int) -> None:
        for _ in range(10):
            if n == 0:
                ds.commit()
            elif n == 1:
                ds["time"].append(ds["time"].data[-1:] + np.timedelta64(1, "h"))
                v[-1] = 1
            elif n == 2:
                v[0, :5] = 1
            else:
                assert (v[:12].data == 1).all()

    together(work, 5)
    assert v.shape == (22, 10)
    assert (v.data == 1).all()


def test_a_commit_waits_for_those_who_read_and_the_others_for_it(ds):
    ds["v"][0] = -1
    done: list[str] = []
    committing = threading.Thread(target=lambda: done.append(f"commit {ds.commit()}"))
    reading = threading.Thread(target=lambda: done.append(f"read {ds['v'][0, 0].data}"))
    with ds.handle.reading():
        committing.start()
        while not ds.handle.gate.waiting:
            time.sleep(0.001)
        reading.start()
        with ds.handle.reading(), pytest.raises(InvalidInput, match="this thread is reading"):
            ds.commit()
        reading.join(0.05)
        assert done == []
    for each in (committing, reading):
        each.join(60)
    assert sorted(done) == ["commit 2", "read -1.0"]


def test_one_who_is_alone_keeps_all_others_out(ds):
    done: list[int] = []
    with ds.handle.reshaping():
        others = [threading.Thread(target=lambda: done.append(ds["v"][0, 1].data)) for _ in range(3)]
        others += [threading.Thread(target=ds.rollback)]
        for each in others:
            each.start()
        others[0].join(0.05)
        assert done == []
        assert ds["v"][0, 1].data == 1  # not itself
    for each in others:
        each.join(60)
    assert done == [1, 1, 1]


WRITER = """
    import sys
    import numpy as np
    from hmp_catalog.datasets import open_dataset

    path, n = sys.argv[1], int(sys.argv[2])
    for turn in range(3):
        with open_dataset(path, "w") as ds:
            print("opened", flush=True)
            sys.stdin.readline()
            for cell in range(4 * turn + n, 120, 12):
                ds["v"][divmod(cell, 10)] = -cell - 1
        print("done", flush=True)
"""


def test_processes_that_write_in_shared_chunks_lose_nothing(path, spawn):
    """Scenario 20: 4 processes, 3 commits each; readers are not blocked and see one version."""
    values = np.arange(120.0)
    with spawn(WRITER, path, count=4) as writers, open_dataset(path) as reader:
        for turn in range(3):
            assert [each.stdout.readline() for each in writers] == ["opened\n"] * 4
            for each in writers:
                each.stdin.write("go\n")
                each.stdin.flush()
            np.testing.assert_array_equal(reader["v"].data.ravel(), values)
            assert [each.stdout.readline() for each in writers] == ["done\n"] * 4
            np.testing.assert_array_equal(reader["v"].data.ravel(), values)
            reader.refresh()
            mine = (np.arange(120) % 12) // 4 == turn
            values[mine] = -np.arange(120)[mine] - 1
            np.testing.assert_array_equal(reader["v"].data.ravel(), values)
    assert (values < 0).all()


def test_sessions_that_change_the_same_are_in_conflict(path):
    with open_dataset(path, "w") as one:
        two = open_dataset(path, "w")
        one["v"][3, 4] = -1
        two["v"][3, 4] = -2
        two["v"][0, 0] = -2
        one.commit()
        with pytest.raises(DatasetConflict, match=r"v, \[3:4, 4:5\]") as refused:
            two.close()
        assert (refused.value.variable, two.is_open, two["v"][3, 4].data) == ("v", True, -2)
        two.rollback()
        assert (two["v"][3, 4].data, two["v"][0, 0].data) == (-1, 0)
        two["v"][3, 4] = -2
        two.close()
    assert open_dataset(path)["v"][3, 4].data == -2


def test_views_of_before_a_commit_that_moved_labels_say_so(path):
    """Another session prepended meanwhile, and both were put together."""
    with open_dataset(path, "w") as one:
        part, var = one["v"][3:5], one["v"]
        one.attrs["note"] = "mine"
        with open_dataset(path, "w") as two:
            two["time"].prepend(two["time"].data[:1] - np.timedelta64(1, "h"))
        one.commit()
        with pytest.raises(InvalidInput, match="labels moved"):
            part.data  # noqa: B018
        assert (var.shape, var[4, 0].data, one.attrs["note"]) == ((13, 10), 30, "mine")
        part = var[4:6]
        with open_dataset(path, "w") as two:
            two["time"].append(two["time"].data[-1:] + np.timedelta64(1, "h"))
        one.attrs["note"] = "again"
        one.commit()
        assert (part.data[0, 0], var.shape) == (30, (14, 10))


def test_sessions_that_make_and_change_different_things_are_put_together(path):
    with open_dataset(path, "w") as one, open_dataset(path, "w") as two, open_dataset(path, "w") as three:
        one.create.data_var.air_temp(("time", "place"))[:] = 20
        two.create.data_var.precip(("time",))[:] = 1
        two["v"].attrs["note"] = "two"
        three["v"][0, 0] = -3
        three.create.coord.x([1.0, 2.0])
    with open_dataset(path, "w") as one, open_dataset(path, "w") as two:
        one["time"].append(one["time"].data[-1:] + np.timedelta64(1, "h"))
        one["v"][-1] = 7
        two["v"][-1] = 8
    with open_dataset(path) as ds:
        assert ds.data_var_names == ("air_temperature", "precipitation", "v")
        assert (ds["air_temperature"].shape, ds["v"].attrs["note"], ds["v"][0, 0].data) == ((13, 10), "two", -3)
        assert ds["v"][-2:, 0].data.tolist() == [8, 7]


@pytest.mark.parametrize("kind", ["point", "polygon"])
def test_data_along_geometries_that_moved_are_in_conflict(kind, tmp_path):
    """A cell that was written beside others of its value would be the cell of another place."""
    shapes = [f"POINT ({n} 0)" if kind == "point" else f"POLYGON (({n} 0, {n} 1, {n + 1} 1, {n} 0))" for n in range(5)]
    path = tmp_path / "s.zarr"
    with open_dataset(path, "n", "ts_ortho") as ds:
        getattr(ds.create.coord, kind)(shapes[1:4])
        ds.create.data_var.generic("v", (kind,), "float32", (10,))[:] = 1
    with open_dataset(path, "w") as one:
        two = open_dataset(path, "w")
        one[kind].prepend(shapes[:1])
        one["v"][0] = 1
        two["v"].loc[shapes[1]] = 5
        one.commit()
        with pytest.raises(DatasetConflict, match=f"labels of {kind}"):
            two.close()
        two.rollback()
        two["v"].loc[shapes[1]] = 5
        two.close()
    assert open_dataset(path)["v"].data.tolist() == [1, 5, 1, 1]


def test_two_sessions_that_append_other_labels_are_in_conflict(path):
    with open_dataset(path, "w") as one:
        two = open_dataset(path, "w")
        for n, ds in ((1, one), (2, two)):
            ds["time"].append(ds["time"].data[-1:] + np.timedelta64(n, "h"))
            ds["v"][-1] = n
        one.commit()
        with pytest.raises(DatasetConflict):
            two.commit()
        two.rollback()
    assert open_dataset(path)["v"].shape == (13, 10)


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────────


def _sum(view: Any) -> tuple[float, int, bool]:
    return float(np.sum(view)), os.getpid(), view.writable


@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.soak)])
def test_views_are_sent_to_other_processes(how, path):
    """They open the same version there, to be read."""
    with open_dataset(path) as ds:
        views = [ds["v"][n, ::2] for n in range(12)] + [ds.select({"time": [0, 3]})["v"]]
        with multiprocessing.get_context(how).Pool(2) as pool:
            found = pool.map(_sum, views)
    values = np.arange(120).reshape(12, 10)
    assert [each[0] for each in found] == [*values[:, ::2].sum(axis=1), values[[0, 3]].sum()]
    assert os.getpid() not in {each[1] for each in found}
    assert not any(each[2] for each in found)


def test_what_is_pickled_is_what_was_committed(ds):
    v = pickle.loads(pickle.dumps(ds["v"][2:4]))
    part = pickle.loads(pickle.dumps(ds.select_loc({"place": ["p3", "p1"]})))
    again = pickle.loads(pickle.dumps(ds))
    coord = pickle.loads(pickle.dumps(ds["time"][1:3]))
    ds["v"][:] = 0
    ds.commit()
    assert (v.data[0].tolist(), part["v"].data[0].tolist(), again["v"][0, 1].data) == (list(range(20, 30)), [3, 1], 1)
    assert (v.handle is part.handle, v.handle is again.handle, again.writable, len(coord.data)) == (
        True,
        False,
        False,
        2,
    )
    ds["v"][0] = 1
    with pytest.raises(InvalidInput, match="not committed; commit them first"):
        pickle.dumps(ds["v"])


def test_the_child_of_a_fork_waits_for_no_thread_of_its_parent(ds):
    """A thread of the parent was reading; there is no such thread in the child."""
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with ds.handle.reading():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait(60)
    child = os.fork()
    if not child:
        ds.handle.close()
        os._exit(7)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_child_of_a_fork_reads_and_does_not_write(ds):
    ds["v"][0] = -1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = b"wrote"
        try:
            ds["v"][1] = 5
        except InvalidInput:
            said = b"refused" if ds["v"][0, 0].data == -1 else b"blind"
        finally:
            os.write(writing, said)
            ds.handle.close()
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"refused"
    assert (ds["v"][0, 0].data, ds.commit()) == (-1, 2)


@pytest.mark.parametrize("flag", ["n", "c"])
def test_a_new_data_set_is_new_again_after_a_rollback(tmp_path, flag) -> None:
    with open_dataset(tmp_path / "new.zarr", flag, "ts_ortho", compression="lz4") as ds:
        ds.create.coord.generic("x", np.arange(3))
        ds.rollback()
        assert (len(ds), ds.dataset_type, ds.compression) == (0, "ts_ortho", "lz4")
        ds.create.coord.generic("x", np.arange(4))
    with open_dataset(tmp_path / "new.zarr") as ds:
        assert len(ds["x"]) == 4
