"""Fields coming out of a store: with hmp and without, whole and in pieces, and never a lost chunk as NaN."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.fields import SimulationZarr, schema
from hmp_core.errors import CorruptError, InvalidInput, NotFound, PathNotFound, SchemaTooNewError
from hmp_core.identity import sha256_tree

DAYS = np.arange("2001-01-01", "2001-04-01", dtype="datetime64[D]")
HEAD = np.random.default_rng(5).normal(50, 2, size=(90, 2, 12, 10)).astype("f4")
FLOW = np.random.default_rng(6).normal(4, 1, size=(90, 2))
GRID = {"x": np.arange(10) * 50.0, "y": np.arange(12)[::-1] * 50.0, "layer": [1, 2]}


def make(path: Path) -> SimulationZarr:
    store = SimulationZarr.create(path, title="Base run", run_id="6f2f")
    store.write_field("head", HEAD, time=DAYS, coords=GRID)
    store.write_field("discharge", FLOW, ("time", "station"), coords={"station": ["outlet", "mill"]})
    store.write_field("top", HEAD[0, 0], ("y", "x"), units="m")
    store.finalize()
    return store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimulationZarr:
    return make(tmp_path_factory.mktemp("run") / "fields.zarr")


@pytest.fixture
def store(made: SimulationZarr, tmp_path: Path) -> SimulationZarr:
    """A copy that a test may damage."""
    shutil.copytree(made.path, tmp_path / "fields.zarr")
    return SimulationZarr.open(tmp_path / "fields.zarr")


# ── without hmp ──────────────────────────────────────────────────────────────────────────────────────


def test_xarray_reads_the_store_without_hmp_and_without_a_warning(made: SimulationZarr) -> None:
    script = (
        "import sys, xarray\n"
        f"found = xarray.open_zarr({str(made.path)!r}, chunks=None).load()\n"
        "assert not [name for name in sys.modules if name.startswith('hmp')]\n"
        "print(found['time'].values[31].astype('datetime64[D]'), float(found['x'][3]), found['head'].attrs['units'],"
        " found['discharge'].attrs['standard_name'], found.sizes['layer'])\n"
    )
    said = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["2001-02-01", "150.0", "m", "water_volume_transport_in_river_channel", "2"]
    assert said.stderr == ""


def test_values_coordinates_and_times_are_right_in_xarray(made: SimulationZarr) -> None:
    found = xr.open_zarr(made.path, chunks=None)
    assert np.array_equal(found["head"].values, HEAD)
    assert np.array_equal(found["head"].sel(time="2001-02-01", layer=2, x=150.0), HEAD[31, 1, :, 3])
    assert np.array_equal(found["time"].values.astype("datetime64[D]"), DAYS)
    assert found["time"].attrs["axis"] == "T"
    assert found["time"].encoding["calendar"] == "proleptic_gregorian"
    assert np.isnan(found["head"].encoding["_FillValue"])


def test_a_dataset_is_lazy_and_needs_no_dask(made: SimulationZarr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)  # what is None there cannot be found nor imported
    variable = made.dataset()["head"].variable
    assert not variable._in_memory
    assert variable.chunks is None


def test_a_dataset_is_in_chunks_where_there_is_dask(made: SimulationZarr) -> None:
    pytest.importorskip("dask", reason="dask is not installed: the extra [datasets]")
    variable = made.dataset()["head"].variable
    assert variable.chunks is not None
    assert np.array_equal(variable.values, HEAD)


def test_a_dataset_writes_back_to_zarr(made: SimulationZarr, tmp_path: Path) -> None:
    made.dataset().to_zarr(tmp_path / "again.zarr", zarr_format=3, consolidated=False)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "again.zarr", consolidated=False).load(), made.dataset().load())


def test_a_copied_store_reads_the_same(made: SimulationZarr, store: SimulationZarr) -> None:
    xr.testing.assert_identical(store.dataset().load(), made.dataset().load())


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, HEAD),
        ({"time": -1}, HEAD[-1]),
        ({"time": slice(10, 20, 2), "layer": 0}, HEAD[10:20:2, 0]),
        ({"time": "2001-02-01"}, HEAD[31]),
        ({"time": datetime(2001, 2, 1)}, HEAD[31]),
        ({"time": np.datetime64("2001-02-01")}, HEAD[31]),
        ({"time": slice("2001-02", "2001-02")}, HEAD[31:59]),
        ({"time": slice("2001-03-30", None)}, HEAD[88:]),
        ({"time": slice(None, "2001-01-01T12:00")}, HEAD[:1]),
        ({"time": slice("1990", "1991")}, HEAD[:0]),
        ({"y": np.int64(3), "x": slice(2, None)}, HEAD[:, :, 3, 2:]),
        ({"time": 0, "layer": 1, "y": 2, "x": 3}, HEAD[0, 1, 2, 3]),
    ],
    ids=str,
)
def test_a_piece_is_what_numpy_would_give(made: SimulationZarr, where: dict[str, Any], expected: np.ndarray) -> None:
    found = made.read_field("head", **where)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.dtype("f4")
    assert np.array_equal(found, expected)


def test_a_label_picks_its_station(made: SimulationZarr) -> None:
    assert np.array_equal(made.read_field("discharge", station="mill"), FLOW[:, 1])


@pytest.mark.parametrize(
    ("name", "where", "error", "says"),
    [
        ("heads", {}, NotFound, "no field 'heads'; there is head"),
        ("x", {}, NotFound, "no field 'x'"),
        ("head", {"z": 0}, InvalidInput, "no dimension 'z'; it has time, layer, y, x"),
        ("top", {"time": 0}, InvalidInput, "no dimension 'time'"),
        ("head", {"layer": 2}, InvalidInput, "position 2 of 2"),
        ("head", {"time": "2001-02-01T06:00"}, NotFound, "2001-02-01"),
        ("head", {"time": "soon"}, InvalidInput, "not a time"),
        ("head", {"time": slice("2001", "2002", 2)}, InvalidInput, "without a step"),
        ("head", {"time": slice(0, "2002")}, InvalidInput, "of positions, or of times"),
        ("head", {"x": "150"}, InvalidInput, "takes positions"),
        ("head", {"x": 1.5}, InvalidInput, "takes positions"),
        ("discharge", {"station": "mil"}, NotFound, "there is mill"),
        ("discharge", {"station": slice("a", "b")}, InvalidInput, "one by one"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    made: SimulationZarr, name: str, where: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        made.read_field(name, **where)


def test_fields_are_told_from_coordinates(made: SimulationZarr) -> None:
    assert made.fields() == ["discharge", "head", "top"]


def test_times_are_instants(made: SimulationZarr) -> None:
    assert np.array_equal(made.time(), DAYS.astype("datetime64[us]"))


def test_an_unknown_time_axis_is_said_with_those_there_are(made: SimulationZarr) -> None:
    with pytest.raises(NotFound, match="no time axis 'time_month'; there is time"):
        made.time("time_month")


def test_times_beyond_the_reach_of_nanoseconds_are_read(tmp_path: Path) -> None:
    store = SimulationZarr.create(tmp_path / "f.zarr", title="x", run_id="1")
    years = np.array(["0850", "1850", "2850"], dtype="datetime64[Y]")
    store.write_field("recharge", np.arange(3.0), ("time",), time=years)
    store.finalize()
    assert store.read_field("recharge", time="2850-01-01") == 2.0
    assert store.time().astype("datetime64[Y]").tolist() == years.tolist()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("file", ["head/c.0.0.0.0", "time/c.0", "station/c.0", "top/c.0.0"])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_lost_chunk_is_an_error_and_never_nan(store: SimulationZarr, file: str, how: str) -> None:
    lost = store.path / file
    lost.unlink() if how == "removed" else lost.write_bytes(b"")
    with pytest.raises(CorruptError, match=f"{file}: missing") as caught:
        SimulationZarr.open(store.path)
    assert caught.value.path == str(lost)


def test_a_chunk_lost_after_opening_is_an_error_too(store: SimulationZarr) -> None:
    (store.path / "head" / "c.0.0.0.0").unlink()
    with pytest.raises(CorruptError, match="missing"):
        store.read_field("head")
    with pytest.raises(CorruptError, match="missing"):
        store.verify()


@pytest.mark.parametrize("file", ["head/c.0.0.0.0", "time/c.0", "station/c.0", "top/c.0.0", "discharge/c.0.0"])
def test_a_changed_byte_anywhere_in_a_chunk_is_found(store: SimulationZarr, file: str) -> None:
    whole = (store.path / file).read_bytes()
    for position in {0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 5, len(whole) - 1}:
        (store.path / file).write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(CorruptError, match=f"{Path(file).parts[0]}: cannot be read"):
            store.verify()


@pytest.mark.parametrize("file", ["head/c.0.0.0.0", "time/c.0", "station/c.0", "top/c.0.0"])
def test_a_truncated_chunk_is_found(store: SimulationZarr, file: str) -> None:
    for keep in (1, 3, 20):
        whole = (store.path / file).read_bytes()
        (store.path / file).write_bytes(whole[:keep])
        with pytest.raises(CorruptError, match="cannot be read"):
            store.verify()
        (store.path / file).write_bytes(whole)
    store.verify()


def test_reading_damage_says_which_field_and_leaves_the_file(store: SimulationZarr) -> None:
    file = store.path / "top" / "c.0.0"
    damaged(file, lambda data: data[:-1] + b"?")
    before = sha256_tree(store.path)
    with pytest.raises(CorruptError, match="top: cannot be read"):
        store.read_field("top")
    assert sha256_tree(store.path) == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"attributes": {"hmp_schema_version": "1"}}']
)
def test_a_root_that_is_not_one_is_named(store: SimulationZarr, content: bytes) -> None:
    (store.path / "zarr.json").write_bytes(content)
    with pytest.raises(CorruptError, match=r"fields\.zarr/zarr\.json"):
        SimulationZarr.open(store.path)
    assert (store.path / "zarr.json").read_bytes() == content


def test_a_missing_root_is_named(store: SimulationZarr) -> None:
    (store.path / "zarr.json").unlink()
    with pytest.raises(CorruptError, match=r"fields\.zarr/zarr\.json"):
        SimulationZarr.open(store.path)


def test_metadata_changed_in_one_place_is_found(store: SimulationZarr) -> None:
    damaged(store.path / "head" / "zarr.json", lambda data: data.replace(b'"units":"m"', b'"units":"cm"'))
    with pytest.raises(CorruptError, match="differs from the metadata"):
        store.verify()


def test_missing_metadata_of_an_array_is_found(store: SimulationZarr) -> None:
    (store.path / "head" / "zarr.json").unlink()
    with pytest.raises(CorruptError, match=r"head/zarr\.json"):
        store.verify()


def test_no_store_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="no field store"):
        SimulationZarr.open(tmp_path / "fields.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_a_newer_hmp_is_not_read(store: SimulationZarr) -> None:
    newer = str(schema.SCHEMA_VERSION + 1)
    root = json.loads((store.path / "zarr.json").read_bytes())
    root["attributes"]["hmp_schema_version"] = newer
    (store.path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(SchemaTooNewError, match="upgrade") as caught:
        SimulationZarr.open(store.path)
    assert (caught.value.found, caught.value.known) == (int(newer), schema.SCHEMA_VERSION)


def test_a_zarr_store_of_somebody_else_is_told_apart(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(CorruptError, match="hmp did not write this"):
        SimulationZarr.open(tmp_path / "other.zarr")


def test_an_intact_store_verifies(made: SimulationZarr) -> None:
    made.verify()


# ── start-up ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_room_is_entered_without_its_engines() -> None:
    script = "import sys, hmp_catalog.fields; print(sorted({'zarr','xarray','numpy','pandas'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"


def test_a_folder_that_is_called_dask_is_not_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dask").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    store = SimulationZarr.create(tmp_path / "fields.zarr", title="Base", run_id="1")
    store.write_field("top", [[1.0, 2.0]], dims=("y", "x"))
    store.finalize()
    assert store.dataset()["top"].values.tolist() == [[1.0, 2.0]]


# ── a real variable ──────────────────────────────────────────────────────────────────────────────────


def era_interim() -> Path:
    home = os.environ.get("HMP_TEST_DATA")
    return (Path(home) if home else Path(__file__).parents[4] / "shared" / "data") / "era_interim" / "eraint_uvz.nc"


@pytest.mark.skipif(not era_interim().is_file(), reason="no era_interim/eraint_uvz.nc under HMP_TEST_DATA")
def test_a_wind_field_of_era_interim_comes_back_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    with xr.open_dataset(era_interim(), engine="scipy", mask_and_scale=False) as source:
        packed = source["u"].load()
    wind = packed.astype("f8") * packed.attrs["scale_factor"] + packed.attrs["add_offset"]
    wind.attrs = {key: packed.attrs[key] for key in ("units", "long_name", "standard_name")}
    store = SimulationZarr.create(tmp_path / "fields.zarr", title="ERA-Interim", run_id="1")
    store.write_field("u", wind)
    store.finalize()
    found = xr.open_zarr(store.path, chunks=None)["u"]
    xr.testing.assert_equal(found.compute(), wind)
    assert found.attrs["standard_name"] == "eastward_wind"
    assert found["latitude"].attrs["units"] == "degrees_north"
    assert np.array_equal(store.read_field("u", month=1, level=0), wind.values[1, 0])
    assert store.attributes["geospatial_lat_max"] == 90.0
