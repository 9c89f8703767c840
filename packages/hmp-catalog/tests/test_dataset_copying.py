"""A copy has what its source has, and shares files with it where it can; what is past is let go only when told."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import zarr

from hmp_catalog.datasets import dtype, open_dataset
from hmp_catalog.datasets.combined.copying import copy, prune
from hmp_catalog.datasets.history.trees import inventory
from hmp_catalog.datasets.remote.edataset import open_edataset
from hmp_core.errors import InvalidInput, PathTaken

RAIN = dtype("float32", precision=1, min_value=0, max_value=100)
START = np.datetime64("2001-01-01T00", "h")


@pytest.fixture
def source(tmp_path):
    """Rain of 20 hours at 3 latitudes, of which chunks were never written, and clay of 4 layers."""
    path = tmp_path / "source.zarr"
    with open_dataset(path, "n", compression="lz4_shuffle", compression_level=2) as made:
        made.create.coord.time(START + np.arange(20), dtype="datetime64[h]")
        made.create.coord.lat(np.array([45.0, 45.5, 46.0]))
        made.create.coord.generic("layer", np.array(["a", "b", "c", "d"], dtype=object), "string")
        rain = made.create.data_var.generic("rain", ("time", "latitude"), RAIN, chunk_shape=(4, 2))
        rain[4:10] = np.arange(18).reshape(6, 3)
        rain.attrs["units"] = "mm"
        made.create.data_var.generic("clay", ("layer",), "int16")[:] = [3, 0, 5, 7]
        made.attrs["title"] = "a source"
    return path


def same(one, other) -> bool:
    return list(one) == list(other) and all(
        one[name].data.tolist() == other[name].data.tolist()
        if one[name].dtype.kind != "float"
        else np.array_equal(one[name].data, other[name].data, equal_nan=True)
        for name in one
    )


def test_a_copy_is_the_same_and_of_the_same_files(tmp_path, source) -> None:
    with open_dataset(source) as of, of.copy(tmp_path / "copy.zarr") as made:
        assert same(of, made)
        assert made.writable
        assert made.attrs.data == of.attrs.data
        assert made["rain"].attrs.data == of["rain"].attrs.data
        assert (made.compression, made.compression_level, made["time"].step) == ("lz4_shuffle", 2, 1)
    theirs, ours = (inventory(path / ".versions" / "current") for path in (source, tmp_path / "copy.zarr"))
    assert theirs.keys() == ours.keys()
    assert {name for name in theirs if theirs[name] != ours[name]} == {"zarr.json"}
    assert not any(name.startswith("rain/c.0.") for name in ours)


def test_source_and_copy_are_apart_afterwards(tmp_path, source) -> None:
    with open_dataset(source) as of, copy(of, tmp_path / "copy.zarr") as made:
        before = of["rain"].data
        made["rain"][:] = 7
        made["time"].append([START + 20])
        made.commit()
        assert np.array_equal(of["rain"].data, before, equal_nan=True)
    with open_dataset(source, "w") as of:
        of["rain"][5] = 1
    with open_dataset(tmp_path / "copy.zarr") as made:
        assert (made["rain"].data[:20] == 7).all()
        assert np.isnan(made["rain"].data[20]).all()


def test_variables_are_chosen_and_with_them_their_coordinates(tmp_path, source) -> None:
    with open_dataset(source) as of:
        with copy(of, tmp_path / "rain.zarr", include_data_vars=["rain"]) as made:
            assert made.var_names == ("latitude", "time", "rain")
            assert sorted(made.handle.arrays()) == ["latitude", "rain", "time"]
        with of.copy(tmp_path / "clay.zarr", exclude_data_vars=["rain"]) as made:
            assert made.var_names == ("layer", "clay")
            assert made["clay"].data.tolist() == [3, 0, 5, 7]
        with pytest.raises(InvalidInput, match="'snow' is no data variable"):
            copy(of, tmp_path / "no.zarr", ["snow"])
        with pytest.raises(PathTaken):
            copy(of, tmp_path / "clay.zarr")
    assert not (tmp_path / "no.zarr").exists()


def test_a_part_is_copied_code_by_code(tmp_path, source) -> None:
    with open_dataset(source) as of:
        part = of.select({"time": slice(2, 9), "layer": [0, 3]})
        with copy(part, tmp_path / "part.zarr", max_mem=1) as made:
            assert made["rain"].shape == (7, 3)
            assert (made["rain"].codes() == of["rain"].codes((slice(2, 9), slice(0, 3)))).all()
            assert made["clay"].data.tolist() == [3, 7]
            assert made["layer"].data.tolist() == ["a", "d"]
            assert made["time"].data.tolist() == of["time"].data[2:9].tolist()
            assert made.attrs.data == of.attrs.data
            assert (made["rain"].chunk_shape, made["time"].step, made["time"].axis) == ((4, 2), 1, "t")
            assert (made.compression, made["rain"].attrs["units"]) == ("lz4_shuffle", "mm")
            assert not made.handle.cells("rain").stored((6, 0))


def test_a_copy_has_what_its_session_did_so_far_and_what_was_prepended(tmp_path, source) -> None:
    with open_dataset(source, "w") as of:
        of["time"].prepend(START - np.arange(5, 0, -1))
        of["rain"][0] = 50
        with copy(of, tmp_path / "copy.zarr") as made:
            assert same(of, made)
            assert made["rain"].data[0].tolist() == [50, 50, 50]
        of.rollback()
    with open_dataset(tmp_path / "copy.zarr") as made:
        assert made["rain"].shape == (25, 3)


def test_what_others_wrote_is_copied_and_not_linked(tmp_path) -> None:
    group = zarr.create_group(tmp_path / "plain.zarr")
    group.create_array("x", data=np.arange(4), dimension_names=["x"])
    group.create_array("height", data=np.arange(4.0), dimension_names=["x"], chunks=(2,))
    with open_dataset(tmp_path / "plain.zarr") as of, copy(of, tmp_path / "copy.zarr") as made:
        assert made["height"].data.tolist() == [0, 1, 2, 3]
    inodes = {os.stat(each).st_ino for each in (tmp_path / "plain.zarr").rglob("*") if each.is_file()}
    assert not inodes & set(inventory(tmp_path / "copy.zarr" / ".versions" / "current").values())


def test_stations_and_reference_systems_are_copied(tmp_path) -> None:
    shapely, _ = pytest.importorskip("shapely"), pytest.importorskip("pyproj")
    points = np.array([shapely.Point(x, 45) for x in range(3)], dtype=object)
    with open_dataset(tmp_path / "a", "n", "ts_ortho") as of:
        of.create.coord.point(points)
        of.create.crs.from_user_input(4326, xy_coord="point")
        of.create.data_var.generic("level", ("point",), "float64")[:] = [1, 2, 3]
        of.commit()
        for name, part in (("b", of), ("c", of.select({"point": slice(1, 3)}))):
            with copy(part, tmp_path / name) as made:
                assert made.crs == of.crs
                assert made.dataset_type == "ts_ortho"
                assert made["point"].data.tolist() == part["point"].data.tolist()
                assert made["level"].data.tolist() == part["level"].data.tolist()
                assert made["point"].axis == "xy"


def test_what_is_behind_a_url_is_fetched_for_a_copy(tmp_path) -> None:
    pytest.importorskip("fsspec")
    values = np.round(np.random.default_rng(1).uniform(0, 100, (4, 50, 50)), 1)
    url = (tmp_path / "remote").as_uri()
    with open_edataset(url, tmp_path / "first.zarr", "n") as of:
        for name, size in (("t", 4), ("y", 50), ("x", 50)):
            of.create.coord.generic(name, np.arange(size))
        of.create.data_var.generic("v", ("t", "y", "x"), RAIN, chunk_shape=(1, 50, 50))[:] = values
        of.commit()
        of.push()
    with open_edataset(url, tmp_path / "second.zarr", "w") as of:
        of.copy(tmp_path / "copy.zarr").close()
        of.select({"t": slice(1, 3)}).copy(tmp_path / "part.zarr").close()
    group = zarr.open_group(tmp_path / "copy.zarr", mode="r")
    with open_dataset(tmp_path / "first.zarr") as of:
        assert (group["v"][:] == of["v"].codes()).all()
    with open_dataset(tmp_path / "copy.zarr") as made, open_dataset(tmp_path / "part.zarr") as part:
        assert np.abs(made["v"].data - values).max() < 0.06
        assert np.array_equal(part["v"].data, made["v"].data[1:3])


# ── the past ─────────────────────────────────────────────────────────────────────────────────────────


def commits(path, count: int, *, turn: int = 0, **options) -> None:
    for number in range(turn, turn + count):
        with open_dataset(path, "w", **options) as of:
            of.attrs["turn"] = number


def kept(path) -> list[int]:
    return sorted(int(name) for name in os.listdir(path / ".versions") if name.isdecimal())


def test_pruning_lets_go_what_is_past_and_not_read(source) -> None:
    commits(source, 3, keep_versions=9)
    assert kept(source) == [1, 2, 3, 4]
    with open_dataset(source, version=2) as reader, open_dataset(source, "w", keep_versions=1) as of:
        before = of["rain"].data
        assert of.prune() == 1
        assert kept(source) == [2, 3, 4]
        assert np.array_equal(of["rain"].data, before, equal_nan=True)
        assert reader["clay"].data.tolist() == [3, 0, 5, 7]
    with open_dataset(source, "w") as of:
        assert prune(of) == 2
        assert prune(of) == 0
    assert kept(source) == [4]


def test_pruning_by_a_moment_takes_only_what_was_committed_before(source) -> None:
    commits(source, 1, keep_versions=9)
    time.sleep(0.05)
    moment = datetime.now(UTC)
    time.sleep(0.05)
    commits(source, 2, turn=1, keep_versions=9)
    with open_dataset(source, "w", keep_versions=9) as of:
        assert prune(of, "1990-01-01T00:00:00Z") == 0
        assert prune(of, moment.isoformat()) == 2
        assert kept(source) == [3, 4]
        assert prune(of, datetime(2999, 1, 1, tzinfo=UTC)) == 1
        assert kept(source) == [4]
        assert of["clay"].data.tolist() == [3, 0, 5, 7]
        for wrong in ("2001-01-01", datetime(2001, 1, 1), "yesterday", 3):
            with pytest.raises(InvalidInput, match="timestamp="):
                prune(of, wrong)
    with open_dataset(source) as reader, pytest.raises(InvalidInput, match="open for reading only"):
        prune(reader)
