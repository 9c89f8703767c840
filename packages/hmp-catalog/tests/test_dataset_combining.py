"""Several data sets become one, cell by cell, and a failure leaves everything as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hmp_catalog.datasets import dtype, open_dataset
from hmp_catalog.datasets.combined import copying
from hmp_catalog.datasets.combined.combining import combine, merge_into
from hmp_catalog.datasets.history.trees import inventory
from hmp_catalog.errors import DatasetConflict, OutOfRange, OverlapRefused
from hmp_core.errors import InvalidInput, PathNotFound, PathTaken

RAIN = dtype("float32", precision=1, min_value=0, max_value=100)
START = np.datetime64("2001-01-01T00", "h")


def make(path: Path, hours, values=None, *, lat=(45.0, 45.5, 46.0), of=RAIN, chunks=(8, 2), **options) -> Path:
    """Write a small data set: ``rain`` along hours and latitudes."""
    hours = np.asarray(hours)
    with open_dataset(path, "n", **options) as made:
        made.create.coord.time(START + hours, dtype="datetime64[h]")
        made.create.coord.lat(np.asarray(lat))
        rain = made.create.data_var.generic("rain", ("time", "latitude"), of, chunk_shape=chunks)
        if values is not None:
            rain[:] = np.broadcast_to(values, rain.shape)
        rain.attrs["units"] = "mm"
        made.attrs["title"] = path.stem
    return path


def read(path: Path, name: str = "rain"):
    with open_dataset(path) as found:
        return found[name].data


def look(path: Path):
    """Return what a data set is: its version, its files, its labels."""
    with open_dataset(path) as found:
        labels = {name: found[name].data.tolist() for name in found.coord_names}
        return found.handle.number, inventory(path / ".versions" / "current"), labels


@pytest.fixture
def twenty(tmp_path):
    """[0..19] of ones and [10..29] of twos, each with a cell that is missing where both have labels."""
    ones, twos = np.ones((20, 3)), np.full((20, 3), 2.0)
    ones[12, 0] = ones[13, 1] = twos[2, 1] = twos[3, 1] = np.nan
    return make(tmp_path / "a.zarr", range(20), ones), make(tmp_path / "b.zarr", range(10, 30), twos)


# ── combine ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("overlap", ["last", "first"])
@pytest.mark.parametrize("turned", [False, True])
def test_an_overlap_is_told_cell_by_cell(tmp_path, twenty, overlap, turned) -> None:
    inputs = twenty[::-1] if turned else twenty
    combine(inputs, tmp_path / "out.zarr", overlap=overlap).close()
    expected = np.full((30, 3), np.nan)
    for path in inputs if overlap == "last" else inputs[::-1]:
        with open_dataset(path) as part:
            start = 0 if path == twenty[0] else 10
            cells = part["rain"].data
            there = ~np.isnan(cells)
            expected[start : start + 20][there] = cells[there]
    found = read(tmp_path / "out.zarr")
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.flatnonzero(np.isnan(found)).tolist() == [13 * 3 + 1]
    assert read(tmp_path / "out.zarr", "time").tolist() == (START + np.arange(30)).tolist()


def test_an_error_is_for_cells_that_both_have(tmp_path, twenty) -> None:
    with pytest.raises(OverlapRefused, match=r"rain of .*b\.zarr, \[0:10, 0:3\]: 27 cells"):
        combine(twenty, tmp_path / "out.zarr", overlap="error")
    assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(OverlapRefused) as refused:
        merge_into([twenty[1]], twenty[0], overlap="error")
    assert refused.value.region == "[0:10, 0:3]"


def test_cells_beside_one_another_in_one_chunk_are_no_overlap(tmp_path) -> None:
    parts = []
    for number in range(3):
        values = np.full((8, 3), np.nan)
        values[number::3] = number
        parts.append(make(tmp_path / f"{number}.zarr", range(8), values))
    combine(parts, tmp_path / "out.zarr", overlap="error").close()
    assert read(tmp_path / "out.zarr")[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_floats_one_last_bit_apart_are_one_label(tmp_path) -> None:
    lat, plain = np.arange(10) / 10, dtype("float64")
    for number, labels in enumerate((lat[:6], np.nextafter(lat[4:], 9))):
        with open_dataset(tmp_path / f"{number}.zarr", "n") as made:
            made.create.coord.generic("latitude", labels, plain)
            made.create.data_var.generic("height", ("latitude",), plain)[:] = number
    out = combine([tmp_path / "0.zarr", tmp_path / "1.zarr"], tmp_path / "out.zarr")
    assert out["latitude"].shape == (10,)
    assert out["height"].data.tolist() == [0] * 4 + [1] * 6
    out.close()


@pytest.mark.parametrize(("seed", "max_mem"), [(0, 1), (2, 2**28)])
def test_scattered_labels_find_their_cells_in_both_dimensions(tmp_path, seed, max_mem) -> None:
    rng = np.random.default_rng(seed)
    expected, parts = {}, []
    for number in range(3):
        hours = np.sort(rng.choice(40, 15, replace=False))
        lat = 40 + np.sort(rng.choice(12, 5, replace=False)) / 2
        values = np.round(rng.uniform(0, 100, (15, 5)), 1)
        values[rng.random(values.shape) < 0.3] = np.nan
        parts.append(make(tmp_path / f"{number}.zarr", hours, values, lat=lat, chunks=(4, 3)))
        for (i, j), value in np.ndenumerate(values):
            if not np.isnan(value):
                expected[hours[i], round(lat[j], 3)] = value
    with combine(parts, tmp_path / "out.zarr", max_mem=max_mem) as out:
        hours = (out["time"].data - START).astype(int)
        found = {
            (hours[i], round(out["latitude"].data[j], 3)): value
            for (i, j), value in np.ndenumerate(out["rain"].data)
            if not np.isnan(value)
        }
    assert found.keys() == expected.keys()
    assert all(abs(found[key] - expected[key]) < 1e-4 for key in found)


@pytest.mark.parametrize(
    ("of", "first", "second", "expected"),
    [
        ("int32", [1, 2, 3], [0, 0, 9], [1, 0, 0, 9]),
        (dtype("int32", min_value=0, max_value=9), np.ma.array([1, 0, 3], mask=[0, 0, 1]),
         np.ma.array([0, 5, 0], mask=[1, 0, 0]), [1, 0, 5, 0]),
        ("bool", [True, True, True], [False, True, False], [True, False, True, False]),
        ("string", ["a", "b", None], ["x", "y", ""], ["a", "x", "y", ""]),
        ("datetime64[s]", np.array(["2001", "2002", "NaT"], "M8[s]"), np.array(["NaT", "2003", "2004"], "M8[s]"),
         np.array(["2001", "2002", "2003", "2004"], "M8[s]").tolist()),
    ],
    ids=["plain integers", "packed integers", "truth", "text", "datetimes"],
)  # fmt: skip
def test_every_kind_of_values_is_combined(tmp_path, of, first, second, expected) -> None:
    for name, start, values in (("a", 0, first), ("b", 1, second)):
        with open_dataset(tmp_path / name, "n") as made:
            made.create.coord.generic("x", np.arange(start, start + 3))
            made.create.data_var.generic("v", ("x",), of)[:] = values
    with combine([tmp_path / "a", tmp_path / "b"], tmp_path / "out") as out:
        assert [value or "" if of == "string" else value for value in out["v"].data.tolist()] == expected
        if isinstance(first, np.ma.MaskedArray):
            assert not out["v"].packing.missing(out["v"].codes()).any()


def test_chunks_packing_attributes_and_steps_are_of_the_first(tmp_path, twenty) -> None:
    with open_dataset(twenty[1], "w") as second:
        second["rain"].attrs.update({"units": "m", "source": "gauge"})
        second.attrs["history"] = "cleaned"
    with combine(twenty, tmp_path / "out.zarr") as out:
        assert (out["rain"].chunk_shape, out["rain"].dtype, out["time"].step) == ((8, 2), RAIN, 1)
        assert out["rain"].attrs["units"] == "mm"
        assert (out.attrs["title"], out.attrs["history"]) == ("a", "cleaned")
        assert (out.compression, out["time"].axis) == ("zstd_shuffle", "t")
    late = make(tmp_path / "c.zarr", range(50, 55), 3)
    with combine([*twenty, late], tmp_path / "gap.zarr", compression="lz4", compression_level=3) as out:
        assert (out["time"].step, len(out["time"])) == (None, 35)
        assert (out.compression, out.compression_level) == ("lz4", 3)


def test_parts_open_data_sets_and_views_are_taken(tmp_path, twenty) -> None:
    until = START + 14
    with combine(twenty, tmp_path / "sel.zarr", sel={"time": slice(START + 5, until), "latitude": 45.5}) as out:
        assert out["rain"].shape == (10, 1)
        assert out["rain"].data[:, 0].tolist()[:7] == [1, 1, 1, 1, 1, 2, 2]
    with open_dataset(twenty[0]) as one, open_dataset(twenty[1]) as other:
        with combine([one.select({"time": slice(0, 3)}), other, twenty[0]], tmp_path / "mixed.zarr") as out:
            assert out["rain"].data[:, 0].tolist() == [1] * 12 + [2] + [1] * 7 + [2] * 10
        assert one.is_open


def test_variables_are_chosen_and_with_them_their_coordinates(tmp_path, twenty) -> None:
    with open_dataset(twenty[0], "w") as first:
        first.create.coord.generic("layer", np.arange(3))
        first.create.data_var.generic("clay", ("layer",), "float32")[:] = 0.5
    with combine(twenty, tmp_path / "all.zarr") as out:
        assert out.var_names == ("latitude", "layer", "time", "clay", "rain")
    with combine(twenty, tmp_path / "in.zarr", include_data_vars=["clay"]) as out:
        assert out.var_names == ("layer", "clay")
    with combine(twenty, tmp_path / "out.zarr", exclude_data_vars=["clay"]) as out:
        assert out.var_names == ("latitude", "time", "rain")
    with pytest.raises(InvalidInput, match="'snow' is no data variable"):
        combine(twenty, tmp_path / "no.zarr", include_data_vars=["snow"])
    with pytest.raises(InvalidInput, match="say one of them"):
        combine(twenty, tmp_path / "no.zarr", include_data_vars=["rain"], exclude_data_vars=["clay"])


def test_what_cannot_be_one_is_refused_and_nothing_is_made(tmp_path, twenty) -> None:
    first, out = twenty[0], tmp_path / "out.zarr"
    wide = make(tmp_path / "wide.zarr", range(3), 1, of=dtype("float32", precision=2, min_value=0, max_value=9))
    stations = tmp_path / "stations.zarr"
    open_dataset(stations, "n", "ts_ortho").close()
    turned = tmp_path / "turned.zarr"
    with open_dataset(turned, "n") as made:
        made.create.coord.time(START + np.arange(3), dtype="datetime64[h]")
        made.create.coord.lat(np.array([45.0]))
        made.create.data_var.generic("rain", ("latitude", "time"), RAIN)
    cases = [
        ([], "at least one"), (str(first), "at least one"), ([first, wide], "type of rain: float32, precision=1"),
        ([first, stations], "dataset type: grid in"), ([first, turned], "dimensions of rain: time, latitude in"),
    ]  # fmt: skip
    for inputs, match in cases:
        with pytest.raises(InvalidInput, match=match):
            combine(inputs, out)
    with pytest.raises(InvalidInput, match="overlap='all'; expected one of last, first, error"):
        combine(twenty, out, overlap="all")
    with pytest.raises(PathNotFound):
        combine([first, tmp_path / "none.zarr"], out)
    assert not out.exists()


def test_reference_systems_must_be_one(tmp_path, twenty) -> None:
    pytest.importorskip("pyproj")
    with open_dataset(twenty[1], "w") as second:
        second.create.coord.lon(np.array([2.0]))
        second.create.crs.from_user_input(4326, x_coord="longitude", y_coord="latitude")
    with open_dataset(twenty[0], "w") as first:
        first["latitude"].update_axis("y")
    with combine(twenty, tmp_path / "out.zarr") as out:
        assert out.crs.to_epsg() == 4326
    with open_dataset(twenty[0], "w") as first:
        first.create.coord.lon(np.array([2.0]))
        first.create.crs.from_user_input(4258, x_coord="longitude", y_coord="latitude")
    with pytest.raises(InvalidInput, match="coordinate reference system"):
        combine(twenty, tmp_path / "no.zarr")


def test_stations_are_united_by_their_geometries(tmp_path) -> None:
    shapely = pytest.importorskip("shapely")
    points = [shapely.Point(x, 45) for x in range(4)]
    for name, here, value in (("a", points[:2], 1), ("b", [points[3], points[1]], 2)):
        with open_dataset(tmp_path / name, "n", "ts_ortho") as made:
            made.create.coord.time(START + np.arange(2), dtype="datetime64[h]")
            made.create.coord.point(np.array(here, dtype=object))
            made.create.data_var.generic("level", ("point", "time"), "float64")[:] = value
    with combine([tmp_path / "a", tmp_path / "b"], tmp_path / "out") as out:
        assert [each.x for each in out["point"].data] == [0, 1, 3]
        assert out["level"].data[:, 0].tolist() == [1, 2, 2]


def test_stations_and_text_come_in_any_order(tmp_path) -> None:
    for name, labels, value in (("a", ["Tours", "Blois"], 1), ("b", ["Nevers", "Tours", "Gien"], 2)):
        with open_dataset(tmp_path / name, "n") as made:
            made.create.coord.generic("station", np.array(labels, dtype=object), "string")
            made.create.coord.time(START + np.arange(value, value + 3), dtype="datetime64[h]")
            made.create.data_var.generic("level", ("station", "time"), "float64", chunk_shape=(2, 2))[:] = value
    with merge_into([tmp_path / "b"], tmp_path / "a", overlap="first") as found:
        assert found["station"].data.tolist() == ["Tours", "Blois", "Nevers", "Gien"]
        nothing = -1
        assert np.nan_to_num(found["level"].data, nan=nothing).tolist() == [
            [1, 1, 1, 2], [1, 1, 1, nothing], [nothing, 2, 2, 2], [nothing, 2, 2, 2]
        ]  # fmt: skip


def test_an_input_without_labels_gives_nothing(tmp_path, twenty) -> None:
    with combine([*twenty, twenty[0]], tmp_path / "out.zarr", sel={"time": slice(START + 22, None)}) as out:
        assert out["rain"].shape == (8, 3)
        assert (out["rain"].data == 2).all()
    with open_dataset(tmp_path / "empty.zarr", "n") as made:
        made.create.coord.time(dtype="datetime64[h]")
        made.create.coord.lat()
        made.create.data_var.generic("rain", ("time", "latitude"), RAIN, chunk_shape=(8, 2))
    before = look(twenty[0])
    merge_into([tmp_path / "empty.zarr"], twenty[0]).close()
    assert look(twenty[0])[2] == before[2]
    merge_into([twenty[0]], tmp_path / "empty.zarr").close()
    assert np.array_equal(read(tmp_path / "empty.zarr"), read(twenty[0]), equal_nan=True)


def test_what_is_there_is_replaced_only_if_asked(tmp_path, twenty) -> None:
    out = make(tmp_path / "out.zarr", range(2), 9)
    before = look(out)
    with pytest.raises(PathTaken):
        combine(twenty, out)
    assert look(out) == before
    with open_dataset(out) as reader:
        combine([*twenty, out], out, overwrite=True).close()
        assert reader["rain"].shape == (2, 3)
    assert read(out)[:3, 0].tolist() == [9, 9, 1]
    number = look(out)[0]
    with pytest.raises(OverlapRefused):
        combine(twenty, out, overlap="error", overwrite=True)
    assert look(out)[0] == number


def test_memory_is_bounded_by_the_budget(tmp_path) -> None:
    for name, start in (("a.zarr", 0), ("b.zarr", 2000)):
        with open_dataset(tmp_path / name, "n") as made:
            made.create.coord.generic("t", np.arange(start, start + 4000))
            made.create.coord.generic("i", np.arange(400))
            v = made.create.data_var.generic("v", ("t", "i"), "float32", chunk_shape=(100, 100))
            for row in range(0, 4000, 1000):
                v[row : row + 1000] = np.full((1000, 400), start + row)
    inputs = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    tracemalloc.start()
    try:
        out = combine(inputs, tmp_path / "out.zarr", max_mem=4_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert out["v"].shape == (6000, 400)  # 9.6 MB
    assert [out["v"][row].data[0] for row in (1999, 2000, 5999)] == [1000, 2000, 5000]
    out.close()
    assert peak < 6_000_000


# ── merge ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (range(20, 25), [1] * 20 + [2] * 5),
        (range(-5, 0), [2] * 5 + [1] * 20),
        (range(-3, 23), [2] * 26),
        (range(4, 6), [1] * 4 + [2] * 2 + [1] * 14),
        (range(23, 25), [1] * 20 + [None] * 3 + [2] * 2),
        (range(-8, -3), [2] * 5 + [None] * 3 + [1] * 20),
    ],
    ids=["after", "before", "around", "within", "after a gap", "before a gap"],
)
def test_merged_data_go_on_at_either_end(tmp_path, hours, expected) -> None:
    target, new = make(tmp_path / "a.zarr", range(20), 1), make(tmp_path / "b.zarr", hours, 2)
    found = merge_into([new], target)
    assert found.writable
    shown = [None if np.isnan(value) else value for value in found["rain"].data[:, 2]]
    found.close()
    assert shown == expected
    again = read(target)
    assert [None if np.isnan(value) else value for value in again[:, 2]] == expected
    assert (np.diff(read(target, "time")).astype(int) == 1).all()


def test_several_are_merged_at_once_in_their_order(tmp_path) -> None:
    target = make(tmp_path / "t.zarr", range(10, 20), 1)
    parts = [
        make(tmp_path / f"{number}.zarr", hours, number)
        for number, hours in ((2, range(30, 35)), (3, range(18, 32)), (4, range(5, 12)))
    ]
    merge_into(parts, target).close()
    assert read(target)[:, 0].tolist() == [4] * 7 + [1] * 6 + [3] * 14 + [2] * 3
    merge_into(parts, target, overlap="first").close()
    assert read(target)[:, 0].tolist() == [4] * 7 + [1] * 6 + [3] * 14 + [2] * 3


def test_labels_in_the_middle_come_between(tmp_path) -> None:
    target = make(tmp_path / "a.zarr", [0, 1, 2, 6, 7], [[1, 1, np.nan]])
    new = make(tmp_path / "b.zarr", [2, 4, 9], 2, lat=(45.25, 46.0))
    with open_dataset(target) as reader:
        merge_into([new], target, overlap="first").close()
        assert reader["rain"].shape == (5, 3)
    assert (read(target, "time") - START).astype(int).tolist() == [0, 1, 2, 4, 6, 7, 9]
    nothing = -1
    found = np.nan_to_num(read(target), nan=nothing).tolist()
    assert found == [
        [1, nothing, 1, nothing], [1, nothing, 1, nothing], [1, 2, 1, 2], [nothing, 2, nothing, 2],
        [1, nothing, 1, nothing], [1, nothing, 1, nothing], [nothing, 2, nothing, 2],
    ]  # fmt: skip
    with open_dataset(target) as found:
        assert (found.attrs["title"], found["rain"].attrs["units"], found["rain"].chunk_shape) == ("b", "mm", (8, 2))


def test_labels_come_only_where_they_may(tmp_path) -> None:
    target, new = make(tmp_path / "a.zarr", range(20), 1), make(tmp_path / "b.zarr", range(18, 25), 2)
    before = look(target)
    for allowed in (False, [], ["latitude"]):
        with pytest.raises(InvalidInput, match="5 labels of time are not there, the first is 2001-01-01T20"):
            merge_into([new], target, allow_expansion=allowed)
        assert look(target) == before
    merge_into([make(tmp_path / "c.zarr", [18, 19], 2)], target, False).close()
    merge_into([new], target, ["time"]).close()
    assert read(target)[:, 0].tolist() == [1] * 18 + [2] * 7


def test_what_is_there_already_is_not_written_again(tmp_path) -> None:
    target = make(tmp_path / "a.zarr", range(20), 1)
    before = look(target)
    with open_dataset(target) as part:
        merge_into([part.select({"time": slice(3, 9)})], target).close()
    assert look(target) == before


@pytest.mark.parametrize(
    ("seed", "overlap"),
    [(0, "last"), (1, "first"), *(pytest.param(seed, "last", marks=pytest.mark.soak) for seed in range(2, 20))],
)
def test_random_merges_are_those_of_a_dictionary(tmp_path, seed, overlap) -> None:
    rng = np.random.default_rng(seed)
    expected: dict[tuple[int, int], float] = {}
    for number, (low, high) in enumerate([(10, 20), (18, 30), (0, 12), (-5, 35), (12, 22)]):
        path = tmp_path / f"{number}.zarr"
        labels = [np.sort(rng.choice(np.arange(low, high), min(8, high - low), replace=False)) for _ in range(2)]
        values = np.round(rng.uniform(0, 100, [len(each) for each in labels]), 1)
        values[rng.random(values.shape) < 0.3] = np.nan
        with open_dataset(path, "n") as made:
            for name, each in zip("ij", labels, strict=True):
                made.create.coord.generic(name, each)
            made.create.data_var.generic("v", ("i", "j"), RAIN, chunk_shape=(3, 2))[:] = values
        for (i, j), value in np.ndenumerate(values):
            key = (int(labels[0][i]), int(labels[1][j]))
            if not np.isnan(value) and (overlap == "last" or key not in expected):
                expected[key] = value
        if number:
            merge_into([path], tmp_path / "0.zarr", overlap=overlap, max_mem=int(rng.choice([1, 10**7]))).close()
    with open_dataset(tmp_path / "0.zarr") as found:
        i, j, cells = found["i"].data, found["j"].data, found["v"].data
    there = {
        (int(i[a]), int(j[b])): round(float(value), 1) for (a, b), value in np.ndenumerate(cells) if value == value
    }
    assert there == expected


def test_new_variables_and_coordinates_come_with_their_attributes(tmp_path, twenty) -> None:
    with open_dataset(twenty[1], "w") as second:
        second.create.coord.generic("layer", np.arange(2))
        snow = second.create.data_var.generic("snow", ("time", "layer"), RAIN, chunk_shape=(8, 2))
        snow[:] = 5
        snow.attrs["units"] = "cm"
        second["rain"].attrs["units"] = "m"
    with merge_into([twenty[1]], twenty[0]) as found:
        assert found["snow"].shape == (30, 2)
        assert np.isnan(found["snow"].data[:10]).all()
        assert (found["snow"].data[10:] == 5).all()
        assert (found["snow"].attrs["units"], found["rain"].attrs["units"], found.attrs["title"]) == ("cm", "mm", "b")


def test_another_packing_is_taken_as_values_or_refused(tmp_path) -> None:
    target = make(tmp_path / "a.zarr", range(20), 1)
    plain = make(tmp_path / "b.zarr", range(15, 25), [[2.04, np.nan, 99.96]], of=dtype("float32"))
    merge_into([plain], target).close()
    assert np.allclose(read(target)[-1], [2.0, np.nan, 100.0], equal_nan=True)
    before = look(target)
    far = make(tmp_path / "c.zarr", range(24, 40), np.where(np.arange(16) == 9, 1e6, 3)[:, None], of=dtype("float32"))
    with pytest.raises(OutOfRange, match=r"rain of .*c\.zarr") as refused:
        merge_into([far], target)
    assert refused.value.position == (9, 0)
    assert look(target) == before
    double = make(tmp_path / "d.zarr", range(24, 26), 1, of=dtype("float64"))
    with pytest.raises(InvalidInput, match="type of rain: float32 in"):
        merge_into([double], target)
    assert look(target) == before


@pytest.mark.parametrize("hours", [range(18, 40, 2), [3, 30], range(-8, 4, 2)], ids=["after", "middle", "before"])
def test_a_failure_leaves_the_target_as_it_was(tmp_path, hours) -> None:
    target = make(tmp_path / "a.zarr", range(0, 20, 2), 1)
    before, names = look(target), sorted(os.listdir(target / ".versions"))
    values = np.full((len(hours), 3), 7.0)
    values[-1, -1] = 1e5
    new = make(tmp_path / "b.zarr", hours, values, of=dtype("float32"))
    with open_dataset(new, "w") as more:
        more.create.data_var.generic("a_first_one", ("time",), "float32")[:] = 3
    with pytest.raises(OutOfRange):
        merge_into([new], target)
    assert look(target) == before
    assert sorted(os.listdir(target / ".versions")) == names


def test_a_store_that_xarray_wrote_goes_on_as_it_was_packed(tmp_path) -> None:
    xarray = pytest.importorskip("xarray")
    said = {"v": {"dtype": "int16", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -1}}
    for name, start in (("a", "2001-01-01"), ("b", "2001-01-08")):
        time = np.datetime64(start, "ns") + np.arange(10) * np.timedelta64(1, "D")
        values, attrs = np.arange(10) + float(name == "b"), {"Conventions": "CF-1.0", "source": name}
        plain = xarray.Dataset({"v": ("time", values)}, {"time": time}, attrs)
        plain.to_zarr(tmp_path / name, encoding=said, zarr_format=3, consolidated=False)
    merge_into([tmp_path / "b"], tmp_path / "a").close()
    with combine([tmp_path / "b", tmp_path / "a"], tmp_path / "c") as made:
        assert (made.attrs["Conventions"], made.attrs["source"]) == ("CF-1.11", "b")
        assert made["v"].data.tolist() == [0, 1, 2, 3, 4, 5, 6, *range(1, 11)]
        merge_into([tmp_path / "a"], tmp_path / "c").close()
    assert open_dataset(tmp_path / "c").attrs["Conventions"] == "CF-1.11"
    with xarray.open_zarr(tmp_path / "a", chunks=None) as found:
        assert found["v"].values.tolist() == [0, 1, 2, 3, 4, 5, 6, *range(1, 11)]
        assert found["v"].encoding["scale_factor"] == 0.5
        assert (np.diff(found["time"].values) == np.timedelta64(1, "D")).all()


MERGE = """
import sys
from hmp_catalog.datasets import merge_into
print("ready", flush=True)
sys.stdin.readline()
merge_into([sys.argv[1]], sys.argv[2], max_mem=1).close()
"""


def test_a_merge_that_is_killed_has_happened_or_not(tmp_path) -> None:
    new = make(tmp_path / "new.zarr", range(150, 300), 2)
    old = make(tmp_path / "old.zarr", range(200), 1)
    before, after = [1] * 200, [1] * 150 + [2] * 150
    victims = []
    for number, wait in enumerate((0.05, 0.3)):
        target = shutil.copytree(old, tmp_path / f"{number}.zarr", symlinks=True)
        said = [sys.executable, "-c", MERGE, str(new), str(target)]
        victims.append((target, wait, subprocess.Popen(said, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)))
    for target, wait, victim in victims:
        with victim:
            assert victim.stdout.readline() == "ready\n"
            victim.stdin.write("go\n")
            victim.stdin.flush()
            time.sleep(wait)
            victim.kill()
        found = read(target)[:, 0].tolist()
        assert found in (before, after)
        assert len(read(target, "time")) == len(found)
        merge_into([new], target).close()
        assert read(target)[:, 1].tolist() == after
        assert not [name for name in os.listdir(target / ".versions") if name.startswith(("work", "dead"))]


def test_off_the_grid_of_steps_nothing_is_appended(tmp_path) -> None:
    target = make(tmp_path / "a.zarr", range(0, 20, 2), 1)
    before = look(target)
    with pytest.raises(InvalidInput, match="not a whole number of steps"):
        merge_into([make(tmp_path / "b.zarr", [18, 21], 2)], target)
    assert look(target) == before


def test_who_committed_the_same_meanwhile_is_a_conflict(tmp_path, twenty) -> None:
    with open_dataset(twenty[0], "w") as other:
        other["rain"][15, 1] = 50
        merge_into([twenty[1]], twenty[0]).close()
        with pytest.raises(DatasetConflict):
            other.commit()
        other.rollback()
    assert read(twenty[0])[15, 1] == 2


def test_one_more_day_costs_a_day(tmp_path) -> None:
    rng = np.random.default_rng(1)
    weeks, day = tmp_path / "weeks.zarr", tmp_path / "day.zarr"
    field = np.round(rng.gamma(1, 5, (24, 40, 40)).clip(0, 100), 1)
    for path, start, days in ((weeks, 0, 60), (day, 60, 1)):
        with open_dataset(path, "n") as made:
            made.create.coord.time(START + np.arange(24 * start, 24 * (start + days)), dtype="datetime64[h]")
            for name in ("y", "x"):
                made.create.coord.generic(name, np.arange(40.0), "float64", axis=name)
            rain = made.create.data_var.generic("rain", ("time", "y", "x"), RAIN, chunk_shape=(24, 20, 20))
            for number in range(days):
                rain[24 * number : 24 * (number + 1)] = np.roll(field, number, axis=1)
    before = set(inventory(weeks / ".versions" / "current").values())
    merge_into([day], weeks).close()
    now = weeks / ".versions" / "current"
    new = [name for name, inode in inventory(now).items() if inode not in before]
    of_day = sum(file.stat().st_size for file in (day / ".versions" / "current").rglob("c*") if file.is_file())
    assert sum((now / name).stat().st_size for name in new) <= 2 * of_day
    assert [name for name in new if name.startswith("rain/c")] == ["rain/c.60.0.0"]
    assert np.allclose(read(weeks)[-24:], np.roll(field, 0, axis=1), atol=0.06)


@pytest.mark.parametrize("many", [list, iter, lambda each: dict.fromkeys(each).keys()])
def test_inputs_and_names_come_as_lists_or_one_by_one(tmp_path, twenty, many) -> None:
    with combine(many(twenty), tmp_path / "both.zarr", include_data_vars=many(["rain"])) as both:
        assert both.data_var_names == ("rain",)
        assert len(both["time"]) == 30
    with combine(twenty, tmp_path / "none.zarr", exclude_data_vars=many(["rain"])) as none:
        assert none.data_var_names == ()
    merge_into(many(twenty[1:]), twenty[0], allow_expansion=many(["time"])).close()
    assert len(read(twenty[0], "time")) == 30


def test_one_name_is_that_name(tmp_path, twenty) -> None:
    combine(twenty, tmp_path / "both.zarr", include_data_vars="rain").close()
    for named in ("tim", "times", ""):
        with pytest.raises(InvalidInput, match="labels of time are not there"):
            merge_into(twenty[1:], twenty[0], named)
    merge_into(twenty[1:], twenty[0], "time").close()
    assert len(read(twenty[0], "time")) == 30


@pytest.mark.parametrize("given", [None, 5, b"a.zarr", [None], []])
def test_what_is_no_list_of_data_sets_is_refused(tmp_path, twenty, given) -> None:
    with pytest.raises(InvalidInput, match="expected a list of paths"):
        combine(given, tmp_path / "out.zarr")
    with open_dataset(twenty[1]) as alone, pytest.raises(InvalidInput, match="expected a list of paths"):
        merge_into(alone, twenty[0])


@pytest.mark.parametrize("room", [0, -1, "1", 1.5])
def test_a_budget_that_is_none_is_refused(tmp_path, twenty, room) -> None:
    with pytest.raises(InvalidInput, match="max_mem"):
        combine(twenty, tmp_path / "out.zarr", max_mem=room)
    with pytest.raises(InvalidInput, match="max_mem"):
        merge_into(twenty[1:], twenty[0], max_mem=room)
    with open_dataset(twenty[0]) as ds, pytest.raises(InvalidInput, match="max_mem"):
        copying.copy(ds, tmp_path / "out.zarr", max_mem=room)
    assert not (tmp_path / "out.zarr").exists()
