"""The cells of stored arrays, against NumPy: read and written by any key, missing where nothing was, all or none."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.datasets import dtype, open_dataset
from hmp_catalog.datasets.cells.arrays import Cells, create, open_cells
from hmp_catalog.datasets.cells.blocks import shards, slabs
from hmp_catalog.datasets.cells.selecting import resolve
from hmp_catalog.datasets.history.stores import TreeStore
from hmp_catalog.datasets.values.infinities import InfinityWarning
from hmp_catalog.errors import OutOfRange
from hmp_core.errors import CorruptError, InvalidInput

PACKED = dtype("float32", precision=2, min_value=-50, max_value=60)

#: A type -> how many values of it are made of whole numbers.
KINDS: dict[str, Any] = {
    "packed": (PACKED, lambda n: (n % 10000 / 100 - 45).astype("float32")),
    "float": (dtype("float64"), lambda n: n / 7),
    "rounded": (dtype("float32", precision=1), lambda n: (n / 8).astype("float32").round(1)),
    "integer": (dtype("int16"), lambda n: (n % 30000 - 9000).astype("int16")),
    "counted": (dtype("int32", min_value=-5, max_value=70000), lambda n: (n % 70000 - 5).astype("int32")),
    "truth": (dtype("bool"), lambda n: n % 3 == 0),
    "datetime": (dtype("datetime64[h]"), lambda n: n.astype("datetime64[h]")),
    "packed datetime": (
        dtype("datetime64[h]", min_value="1970-01-01", max_value="2000-01-01"),
        lambda n: (n % 200000).astype("datetime64[h]"),
    ),
    "text": (dtype("string"), lambda n: np.array([f"é{each}" for each in n.flat], dtype=object).reshape(n.shape)),
}


def cells(folder: Path, kind: Any, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Cells:
    group = zarr.create_group(TreeStore(folder), overwrite=True)
    said = {"compression": "zstd_shuffle", "level": None, "attributes": {}}
    return create(group, "v", dims=list("tzyx")[: len(shape)], shape=shape, dtype=kind, chunks=chunks, **said)


def again(folder: Path) -> Cells:
    return open_cells(zarr.open_group(TreeStore(folder, read_only=True), mode="r")["v"], "v")


def whole(of: Cells) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in of.shape)


def blank(of: Cells, shape: tuple[int, ...]) -> Any:
    return of.packing.decode(of.packing.blank(shape))


# ── labels ─────────────────────────────────────────────────────────────────────────────────────────


def test_labels_select_what_they_select_with_xarray(tmp_path) -> None:
    rng = np.random.default_rng(0)
    kinds: dict[str, Any] = {
        "i": np.arange(-4, 20, 2),
        "f": np.arange(10) * 0.1 + 0.3,
        "t": np.datetime64("2001-01-01T06", "s") + 3600 * np.arange(9),
        "s": np.array(["b", "a", "d", "c"], dtype=object),
    }
    with open_dataset(tmp_path / "v.zarr", "n") as ds:
        for name, labels in kinds.items():
            ds.create.coord.generic(name, labels)
        var = ds.create.data_var.generic("v", tuple(kinds), "int32", (3, 4, 5, 2))
        values = np.arange(12 * 10 * 9 * 4, dtype="int32").reshape(12, 10, 9, 4)
        var[:] = values
        plain = xr.DataArray(values, coords=kinds, dims=list(kinds))
        for _ in range(100):
            keys = []
            for labels in kinds.values():
                first, last = (labels[place] for place in sorted(rng.integers(0, len(labels), 2)))
                some = [first, slice(first, last), slice(None, last), slice(first, None), slice(None)]
                keys.append(some[int(rng.integers(len(some)))])
            np.testing.assert_array_equal(var.loc[tuple(keys)].data, plain.loc[tuple(keys)].values)


# ── what is written, and what not ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_written_is_missing_and_takes_no_file(kind, tmp_path) -> None:
    of, values = KINDS[kind]
    array = cells(tmp_path, of, (50, 30), (20, 8))
    array.write((slice(3, 9), slice(25, 30)), values(np.arange(1, 31).reshape(6, 5)))
    expected = blank(array, (50, 30))
    expected[3:9, 25:30] = values(np.arange(1, 31).reshape(6, 5))
    np.testing.assert_array_equal(again(tmp_path).read(whole(array)), expected)
    assert [array.stored((0, n)) for n in range(4)] == [False, False, False, True]
    assert len([each for each in os.listdir(tmp_path / "v") if each.startswith("c.")]) == 1


def test_codes_that_are_not_written_stay_as_they_are(tmp_path) -> None:
    array = cells(tmp_path, PACKED, (50, 30), (20, 8))
    codes = np.random.default_rng(0).integers(0, 11001, (50, 30), dtype="uint16")
    array.write_codes(whole(array), codes)
    array.write((slice(19, 21), slice(7, 9)), 1.5)
    codes[19:21, 7:9] = array.packing.encode(np.array([1.5]))
    np.testing.assert_array_equal(again(tmp_path).codes(whole(array)), codes)


@pytest.mark.parametrize("bad", [60.006, -1e6])
def test_one_value_beyond_the_range_and_nothing_is_written(bad, tmp_path) -> None:
    """Scenario 2: NaN and infinities are missing; what the range does not have is refused, in files after the first."""
    array = cells(tmp_path, PACKED, (900, 100, 100), (90, 50, 50))
    values = np.tile(np.linspace(-50, 60, 10000, dtype="float32").reshape(100, 100), (900, 1, 1))
    values[::7, ::11] = np.nan
    values[[1, 700], 1, 1] = np.inf, -np.inf
    values[850, 3, 4] = bad
    with pytest.raises(OutOfRange, match=r"\(850, 3, 4\) is beyond -50 to 60") as caught:
        array.write(whole(array), values)
    assert caught.value.position == (850, 3, 4)
    assert np.isnan(again(tmp_path).read(whole(array))).all()
    values[850, 3, 4] = np.nan
    with pytest.warns(InfinityWarning, match="2 of them") as warned:
        array.write(whole(array), values)
    found = again(tmp_path).read(whole(array))
    assert len(warned) == 1
    np.testing.assert_array_equal(np.isnan(found), ~np.isfinite(values))
    assert np.nanmax(np.abs(np.where(np.isinf(values), np.nan, found - values))) <= 0.00501


def test_warning_of_infinities_that_is_an_error_leaves_everything_as_it_was(tmp_path) -> None:
    array = cells(tmp_path, PACKED, (900, 100, 100), (90, 50, 50))
    values = np.zeros(array.shape, dtype="float32")
    values[850, 3, 4] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InfinityWarning):
            array.write(whole(array), values)
    assert np.isnan(again(tmp_path).read(whole(array))).all()
    plain = cells(tmp_path / "plain", dtype("float32"), (2,), (2,))
    plain.write((slice(0, 2),), [np.inf, -np.inf])
    assert np.isinf(plain.read(whole(plain))).all()


def test_text_of_a_list_keeps_what_numpy_cuts_off_and_ragged_lists_are_refused(tmp_path) -> None:
    array, given = cells(tmp_path, dtype("string"), (2, 2), (2, 2)), [["a\0", "\0"], ["é\0\0b\0", "x" * 100_000]]
    array.write(whole(array), given)
    assert again(tmp_path).read(whole(array)).tolist() == given
    numbers = cells(tmp_path / "numbers", PACKED, (2, 2), (2, 2))
    with pytest.raises(InvalidInput, match="v: rows of different lengths"):
        numbers.write(whole(numbers), [[1], [2, 3]])


@pytest.mark.parametrize("shape", [(3,), (2, 5), (5, 3), (1, 3, 4, 1), (12,)])
def test_values_of_another_shape_are_refused(shape, tmp_path) -> None:
    array = cells(tmp_path, PACKED, (3, 4), (2, 2))
    with pytest.raises(InvalidInput, match="of shape"):
        array.write(whole(array), np.zeros(shape))
    assert np.isnan(array.read(whole(array))).all()


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (1, 1, 3, 4), (1,)])
def test_values_are_stretched_as_by_numpy(shape, tmp_path) -> None:
    array, expected = cells(tmp_path, PACKED, (3, 4), (2, 2)), np.zeros((3, 4))
    given = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(float)
    array.write(whole(array), given)
    expected[...] = given
    np.testing.assert_array_equal(array.read(whole(array)), expected)


def test_masked_values_are_missing(tmp_path) -> None:
    array = cells(tmp_path, dtype("int16", min_value=-3, max_value=9), (3, 4), (2, 2))
    values = np.ma.masked_equal(np.arange(12).reshape(3, 4) % 5, 3)
    array.write(whole(array), values)
    found = array.packing.masked(array.codes(whole(array)))
    np.testing.assert_array_equal(found.mask, values.mask)
    assert found[0, 0] == 0
    assert not found.mask[0, 0]


@pytest.mark.parametrize("key", [(slice(None), slice(None)), (1,), ([2, 0],)], ids=str)
@pytest.mark.parametrize(
    "given", [np.ma.masked, np.ma.array([1, 2, 3, 4], mask=[1, 0, 0, 1]), np.ma.array([[5]], mask=True)], ids=str
)
def test_masks_are_stretched_with_their_values(key, given, tmp_path) -> None:
    """What lies under a mask is anything: `numpy.broadcast_to` forgets the mask, and it would be written."""
    array = cells(tmp_path, dtype("int16", min_value=-3, max_value=9), (3, 4), (2, 2))
    array.write(whole(array), np.full((3, 4), 7))
    expected = np.ma.array(np.full((3, 4), 7), mask=False)
    expected[key] = given
    array.put(resolve(key, (3, 4)), given)
    found = array.packing.masked(array.codes(whole(array)))
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.filled(99), expected.filled(99))


# ── its extent ───────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(KINDS)), st.data())
def test_an_array_that_grows_shrinks_and_moves_is_one_of_numpy(tmp_path_factory, kind, data) -> None:
    of, values = KINDS[kind]
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, 4)) for _ in shape)
    folder = tmp_path_factory.mktemp("d")
    array = cells(folder, of, shape, chunks)
    expected = values(1 + np.arange(np.prod(shape)).reshape(shape))
    array.write(whole(array), expected)
    expected = array.read(whole(array))
    for step in data.draw(st.lists(st.sampled_from(["resize", "shift", "clear"]), min_size=1, max_size=4)):
        axis = data.draw(st.integers(0, len(shape) - 1))
        if step == "shift":
            by = data.draw(st.integers(0, 9))
            array.shift(axis, by)
            missing = blank(array, tuple(by if dim == axis else size for dim, size in enumerate(expected.shape)))
            expected = np.concatenate([missing, expected], axis=axis)
        elif step == "clear":
            side = slice(*sorted(data.draw(st.integers(0, expected.shape[axis])) for _ in range(2)))
            window = tuple(side if dim == axis else each for dim, each in enumerate(whole(array)))
            array.clear(window)
            expected[window] = blank(array, expected[window].shape)
        else:
            length = data.draw(st.integers(0, 12))
            size = tuple(length if dim == axis else each for dim, each in enumerate(expected.shape))
            array.resize(size)
            before, expected = expected, blank(array, size)
            both = tuple(slice(0, min(a, b)) for a, b in zip(before.shape, size, strict=True))
            expected[both] = before[both]
        for each in (array, again(folder)):
            assert each.shape == expected.shape
            np.testing.assert_array_equal(each.read(whole(each)), expected)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 23])
def test_cells_that_are_there_again_are_missing(axis, size, tmp_path) -> None:
    """Scenario 9: an array that was cut and grows again has nothing of what was there."""
    array = cells(tmp_path, PACKED, (24, 24), (8, 4))
    array.write(whole(array), 1.0)
    array.resize([size if dim == axis else 24 for dim in range(2)])
    array.resize((24, 24))
    kept = [slice(0, size if dim == axis else 24) for dim in range(2)]
    expected = np.full((24, 24), np.nan)
    expected[tuple(kept)] = 1.0
    np.testing.assert_array_equal(again(tmp_path).read(whole(array)), expected)


def test_a_shift_by_whole_files_writes_no_data(tmp_path) -> None:
    """Scenario 8: chunks of 20, moved by 40 and by 50."""
    array = cells(tmp_path, PACKED, (100, 30), (20, 8))
    codes = np.random.default_rng(0).integers(1, 11001, (100, 30), dtype="uint16")
    array.write_codes(whole(array), codes)

    def inodes() -> set[int]:
        return {each.stat().st_ino for each in os.scandir(tmp_path / "v") if each.name != "zarr.json"}

    before = inodes()
    array.shift(0, 40)
    assert inodes() == before
    array.shift(0, 50)
    found = again(tmp_path).codes((slice(90, 190), slice(0, 30)))
    np.testing.assert_array_equal(found, codes)
    assert not again(tmp_path).codes((slice(0, 90), slice(0, 30))).any()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["packed", "text"])
def test_a_damaged_file_is_named_when_it_is_read_and_when_it_is_written_to(kind, tmp_path) -> None:
    of, values = KINDS[kind]
    array = cells(tmp_path, of, (40, 8), (20, 8))
    array.write(whole(array), values(np.arange(320).reshape(40, 8)))
    damaged = tmp_path / "v" / "c.1.0"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"other all")
    for change in (array.read, array.codes, lambda _: array.write((slice(30, 32), slice(0, 3)), values(np.arange(3)))):
        with pytest.raises(CorruptError, match=r"c\.1\.0") as caught:
            change(whole(array))
        assert caught.value.path == str(damaged)
    assert len(array.read((slice(0, 20), slice(0, 8)))) == 20


# ── cutting ──────────────────────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_slabs_are_within_the_limit_and_are_all_of_the_window(data) -> None:
    shape = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    unit = [data.draw(st.integers(1, 6)) for _ in shape]
    window = tuple(slice(*sorted(data.draw(st.integers(0, size)) for _ in range(2))) for size in shape)
    limit = data.draw(st.integers(1, 3000))
    seen = np.zeros(shape, dtype=int)
    for part in slabs(window, unit, 2, limit):
        seen[part] += 1
        assert seen[part].size * 2 <= max(limit, 2 * np.prod(unit))
    expected = np.zeros(shape, dtype=int)
    expected[window] = 1
    np.testing.assert_array_equal(seen, expected)


def test_a_shard_is_one_chunk_long_and_as_wide_as_there_is_room() -> None:
    assert shards((8760, 100, 100), (730, 20, 20), 2) == (730, 100, 100)
    assert shards((8760, 1000, 1000), (730, 20, 20), 2) == (730, 40, 1000)
    assert shards((8760,), (730,), 2) is None
    assert shards((8760, 5), (730, 5), 2) is None


# ── the large one ────────────────────────────────────────────────────────────────────────────────────

READ = """
import sys
import warnings
import numpy as np
from hmp_catalog.datasets import open_dataset
values = np.load(sys.argv[2], mmap_mode="r")
with open_dataset(sys.argv[1]) as ds:
    found = ds["air_temperature"].data
    assert found.dtype == np.float32
    print(max(np.abs(found[t : t + 100] - values[t : t + 100]).max() for t in range(0, len(found), 100)))
"""


def large(steps: int) -> Any:
    """Return temperature that is smooth in space and time, with noise of 0.02 K, as packed hourly fields are."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:100, 0:100] / 100
    modes = np.stack([np.cos(a * x + b * y + c) for a, b, c in rng.uniform(0, 6, (24, 3))]).reshape(24, -1)
    walk = np.zeros((steps, 24))
    for step in range(1, steps):
        walk[step] = 0.98 * walk[step - 1] + rng.normal(scale=0.16, size=24)
    found = np.empty((steps, 10000), dtype="float32")
    for start in range(0, steps, 730):
        part = slice(start, min(steps, start + 730))
        hours = np.arange(part.start, part.stop)
        cycle = 285 + 10 * np.cos(hours / 1394.2) + 4 * np.cos(hours / 3.82)
        found[part] = walk[part] @ modes + cycle[:, None] + rng.normal(scale=0.02, size=(len(hours), 10000))
    return found.reshape(steps, 100, 100)


@pytest.mark.parametrize("steps", [730, pytest.param(8760, marks=pytest.mark.soak)])
def test_a_year_comes_back_in_another_process(steps, tmp_path) -> None:
    """Scenario 1: half of the precision at most is lost, and the store takes 105 MB at most a year."""
    values = large(steps)
    np.save(tmp_path / "values.npy", values)
    with open_dataset(tmp_path / "v.zarr", "n") as ds:
        ds.create.coord.time(np.datetime64("2001-01-01T00", "h") + np.arange(steps))
        ds.create.coord.lat(np.arange(100) / 10)
        ds.create.coord.lon(np.arange(100) / 10)
        kind = dtype("float32", precision=2, min_value=200, max_value=340)
        ds.create.data_var.generic("air_temperature", ("time", "latitude", "longitude"), kind, (730, 20, 20))[:] = (
            values
        )
    command = [sys.executable, "-c", READ, str(tmp_path / "v.zarr"), str(tmp_path / "values.npy")]
    worst = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert worst <= 0.005 + float(np.spacing(np.float32(320))) * 1.5
    inodes = {each.stat().st_ino: each.stat().st_size for each in (tmp_path / "v.zarr").rglob("*") if each.is_file()}
    assert sum(inodes.values()) <= 105e6 * steps / 8760
