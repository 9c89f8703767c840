"""Data sets as netCDF files, and netCDF files of others as data sets: nothing is lost on the way, or it is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("h5netcdf")
pytest.importorskip("pyproj")
pytest.importorskip("shapely")

import shapely

from hmp_catalog.datasets import Dataset, dataset_to_netcdf4, dtype, netcdf4_to_dataset, open_dataset
from hmp_catalog.errors import OutOfRange
from hmp_core.errors import CorruptError, InvalidInput, NotFound, PathNotFound, PathTaken

HOURS = np.datetime64("2020-02-28T00", "h") + np.arange(48)
SQUARE = shapely.box(0, 0, 1000, 1000)
HOLED = shapely.Polygon(SQUARE.exterior.coords, [shapely.box(100, 100, 200, 200).exterior.coords])
CATCHMENTS = [shapely.box(5000, 0, 6000, 1000), HOLED, shapely.MultiPolygon([shapely.box(-9, -9, -8, -8), SQUARE])]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set with a variable of each kind, written in part."""
    path = tmp_path_factory.mktemp("grid") / "grid.zarr"
    with open_dataset(path, "n", compression="lz4_shuffle", compression_level=3) as made:
        made.create.coord.time(HOURS.astype("M8[m]"))
        made.create.coord.y(np.arange(6.0) * 500)
        made.create.coord.x(np.arange(8.0) * 500)
        made.create.coord.generic("name", np.array(["a", "é"], dtype=object))
        made.create.coord.generic("unused", [1, 5], axis="z")
        made.create.data_var.air_temp(("time", "y", "x"), chunk_shape=(7, 4, 3))[5:40] = temperatures()[5:40]
        made.create.data_var.generic("wet", ("y", "x"), "bool")[1] = True
        made.create.data_var.generic("label", ("name",), "string")[0] = "é à"
        made.create.data_var.generic("count", ("y", "x"), dtype("int16", min_value=0, max_value=100))[0] = 0
        made.create.data_var.generic("plain", ("y", "x"), "float64")[0] = 0.1
        made.create.data_var.generic("id", ("y",), dtype("int32", fillvalue=-9))[:3] = [0, 5, 7]
        made.create.data_var.generic("begun", ("name",), "datetime64[D]")[0] = np.datetime64("1850-01-01")
        made.create.crs.from_user_input(2154)
        made.attrs.update({"title": "Grid", "list": [1], "nested": {"a": [None, True]}, "two": [1, 2], "empty": ""})
        made["wet"].attrs.update(
            {"long_name": "wet", "comment": "é", "flag": True, "many": ["a", "b"], "big": 2**70, "a b": []}
        )
    return path


def temperatures() -> np.ndarray:
    found = np.random.default_rng(7).normal(8, 9, (48, 6, 8)).astype("f4")
    found[11, 2] = np.nan
    return found


@pytest.fixture
def file(grid: Path, tmp_path: Path) -> Path:
    """Return a netCDF file of that data set."""
    dataset_to_netcdf4(grid, tmp_path / "grid.nc")
    return tmp_path / "grid.nc"


def assert_same(one: Path, other: Path) -> None:
    """Fail where two stores do not say the same, down to the codes."""
    with open_dataset(one) as a, open_dataset(other) as b:
        assert dict(a.handle.group().attrs) == dict(b.handle.group().attrs)
        assert a.handle.arrays().keys() == b.handle.arrays().keys()
        for name, array in a.handle.arrays().items():
            again = b.handle.arrays()[name]
            assert array.attrs.asdict() == again.attrs.asdict(), name
            assert array.metadata.dimension_names == again.metadata.dimension_names
            # a chunk of netCDF is no longer than its axis, one of a time that grows may be
            chunks = [tuple(map(min, each.chunks, each.shape)) for each in (array, again)]
            assert (array.dtype, array.shape, chunks[0]) == (again.dtype, again.shape, chunks[1]), name
            codes = [np.asarray(each[...]) for each in (array, again)]
            assert np.array_equal(*codes, equal_nan=codes[0].dtype.kind == "f"), name


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────


def test_xarray_reads_the_file(grid: Path, file: Path) -> None:
    with xr.open_dataset(file, decode_coords="all") as found, open_dataset(grid) as made:
        assert found.attrs["Conventions"] == "CF-1.11"
        assert np.array_equal(found["time"].values, HOURS)
        assert found["unused"].values.tolist() == [1, 5]
        assert "spatial_ref" in found["air_temperature"].coords
        assert found["air_temperature"].encoding["grid_mapping"] == "spatial_ref"
        assert found["air_temperature"].encoding["_FillValue"] == 0
        np.testing.assert_allclose(found["air_temperature"], made["air_temperature"].data, rtol=1e-6)
        assert found["wet"].dtype == bool
        assert np.array_equal(found["wet"], made["wet"].data)
        assert found["label"].values.tolist() == ["é à", ""]
        assert np.array_equal(found["count"].values[:2, 0], [0, np.nan], equal_nan=True)
        assert np.array_equal(found["id"], [0, 5, 7, np.nan, np.nan, np.nan], equal_nan=True)
        assert found["begun"].values.astype("M8[D]").tolist()[0].isoformat() == "1850-01-01"
        assert np.isnat(found["begun"].values[1])
        assert np.array_equal(found["plain"].values, made["plain"].data, equal_nan=True)
        assert np.isnan(found["plain"].encoding["_FillValue"])


def test_netcdf4_python_reads_the_file(grid: Path, file: Path) -> None:
    netcdf4 = pytest.importorskip("netCDF4")
    with netcdf4.Dataset(file) as found, open_dataset(grid) as made:
        assert found.Conventions == "CF-1.11"
        read = found["air_temperature"][:]
        values = made["air_temperature"].data
        assert np.array_equal(np.ma.getmaskarray(read), np.isnan(values))
        np.testing.assert_allclose(read.compressed(), values[~np.isnan(values)], rtol=1e-6)
        times = netcdf4.num2date(found["time"][:], found["time"].units, found["time"].calendar)
        assert times[1].isoformat() == "2020-02-28T01:00:00"
        assert found["air_temperature"].grid_mapping == "spatial_ref"
        assert found["spatial_ref"].grid_mapping_name == "lambert_conformal_conic"
        assert found["label"][:].tolist() == ["é à", ""]
        assert found["wet"].flag_values.dtype == found["wet"].dtype == np.int8
        assert found["count"].valid_range.dtype == found["count"].dtype
        assert np.ma.getmaskarray(found["count"][:]).tolist() == [[False] * 8] + [[True] * 8] * 5


@pytest.mark.skipif(shutil.which("ncdump") is None, reason="ncdump is not installed")
def test_ncdump_reads_the_file(file: Path) -> None:
    found = subprocess.run(["ncdump", str(file)], capture_output=True, text=True, check=True).stdout
    assert 'Conventions = "CF-1.11"' in found


def test_the_file_becomes_the_data_set_again(grid: Path, file: Path, tmp_path: Path) -> None:
    netcdf4_to_dataset(file, tmp_path / "again.zarr")
    assert_same(grid, tmp_path / "again.zarr")
    with open_dataset(tmp_path / "again.zarr") as again:
        assert (again.compression, again.compression_level) == ("lz4_shuffle", 3)
        assert (again["time"].step, again["unused"].axis) == (60, "z")
        assert again.attrs["nested"] == {"a": [None, True]}
        assert again["wet"].attrs["big"] == 2**70


def test_parts_are_written_and_steps_are_those_of_the_part(grid: Path, tmp_path: Path) -> None:
    with open_dataset(grid) as made:
        part = made.select({"time": slice(40, 4, -3), "x": [6, 1], "y": 2})
        part.to_netcdf4(tmp_path / "part.nc", compression=None, include_data_vars=["air_temperature"])
        values = made["air_temperature"].data[40:4:-3, 2:3][:, :, [6, 1]]
    with xr.open_dataset(tmp_path / "part.nc") as found:
        np.testing.assert_allclose(found["air_temperature"], values, rtol=1e-6)
        assert found["x"].values.tolist() == [3000, 500]
        assert set(found.data_vars) == {"air_temperature"}
    by_label = {"sel_loc": {"time": slice("2020-02-28T06", "2020-02-28T09"), "x": 500.0}}
    dataset_to_netcdf4(grid, tmp_path / "loc.nc", exclude_data_vars=["wet"], **by_label)
    netcdf4_to_dataset(tmp_path / "loc.nc", tmp_path / "loc.zarr")
    with open_dataset(tmp_path / "loc.zarr") as found, open_dataset(grid) as made:
        assert found["air_temperature"].shape == (4, 6, 1)
        assert np.array_equal(
            found["air_temperature"].codes(), made.select_loc(by_label["sel_loc"])["air_temperature"].codes()
        )
        assert found["time"].step == 60
        assert "wet" not in found
    dataset_to_netcdf4(grid, tmp_path / "third.nc", sel={"time": slice(None, None, 3)})
    with xr.open_dataset(tmp_path / "third.nc") as found:
        assert found["time"].attrs["hmp_step"] == 180
    netcdf4_to_dataset(tmp_path / "third.nc", tmp_path / "third.zarr")
    with open_dataset(tmp_path / "third.zarr") as found:
        assert found["time"].step == 180


def test_what_is_not_written_is_told_and_no_file_is_replaced(grid: Path, tmp_path: Path) -> None:
    target = tmp_path / "d.nc"
    for why, kind, options in (
        ("no data variable 'q'; there are air_temperature", NotFound, {"include_data_vars": ["q"]}),
        ("no data variable 'q'", NotFound, {"exclude_data_vars": "q"}),
        ("say one of them", InvalidInput, {"include_data_vars": ["wet"], "exclude_data_vars": ["id"]}),
        ("compression='zip'", InvalidInput, {"compression": "zip"}),
        ("sel and sel_loc", InvalidInput, {"sel": {}, "sel_loc": {}}),
        ("no variable 'q'", NotFound, {"sel": {"q": 1}}),
    ):
        with pytest.raises(kind, match=why):
            dataset_to_netcdf4(grid, target, **options)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(PathNotFound):
        dataset_to_netcdf4(grid, tmp_path / "no" / "d.nc")
    with pytest.raises(PathNotFound):
        dataset_to_netcdf4(tmp_path / "no.zarr", target)
    target.write_bytes(b"mine")
    with pytest.raises(PathTaken):
        dataset_to_netcdf4(grid, target)
    assert target.read_bytes() == b"mine"
    with pytest.raises(InvalidInput, match="lies in the data set itself"):
        dataset_to_netcdf4(grid, grid / "d.nc")


def test_a_store_of_others_is_read_and_written_with_its_words_for_missing(tmp_path: Path) -> None:
    values = np.array([1.5, np.nan, -3.0])
    given = xr.Dataset(dict.fromkeys("fgip", ("y", values)), {"y": [1.0, 2.0, 4.0]})
    given["a"] = (("y", "n"), np.ones((3, 2)), {"units": "m"})
    given["h"] = ((), 3)
    encoding = {
        "f": {"dtype": "f4", "_FillValue": -9999.0},
        "g": {"_FillValue": 1e20},
        "i": {"dtype": "i2", "_FillValue": -9, "scale_factor": 0.5},
    }
    given.to_zarr(tmp_path / "o.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    with open_dataset(tmp_path / "o.zarr") as found:
        for name in "fgip":
            assert np.array_equal(found[name].data, values, equal_nan=True)
            assert np.array_equal(found.to_xarray()[name].values, values, equal_nan=True)
        found.to_netcdf4(tmp_path / "o.nc")
        found.select({"y": [0, 1]}).copy(tmp_path / "part.zarr", exclude_data_vars=["h"]).close()
    with xr.open_dataset(tmp_path / "o.nc") as read, xr.open_zarr(tmp_path / "part.zarr", chunks=None) as part:
        assert read["f"].encoding["_FillValue"] == -9999
        xr.testing.assert_equal(read.drop_attrs(), given.drop_attrs())
        for name in "fgip":
            assert np.array_equal(part[name].values, values[:2], equal_nan=True)
    with open_dataset(tmp_path / "o.zarr", "w") as made:
        made["f"][:2] = [np.nan, 2.0]
        with pytest.raises(OutOfRange, match="f: -9999"):
            made["f"][2] = -9999
    with xr.open_zarr(tmp_path / "o.zarr", chunks=None) as read:
        assert np.array_equal(read["f"].values, [np.nan, 2, -3], equal_nan=True)


def test_names_that_netcdf_keeps_for_itself_are_told(tmp_path: Path) -> None:
    with open_dataset(tmp_path / "d.zarr", "n") as made:
        made.create.coord.generic("t", [1, 2])
        made["t"].attrs["CLASS"] = "A"
        with pytest.raises(InvalidInput, match="attribute 'CLASS': netCDF-4 keeps this name"):
            made.to_netcdf4(tmp_path / "d.nc")
    assert [each.name for each in tmp_path.iterdir()] == ["d.zarr"]


def test_an_empty_data_set_and_empty_coordinates_are_written(tmp_path: Path) -> None:
    with open_dataset(tmp_path / "d.zarr", "n") as made:
        made.create.coord.generic("t", dtype="int32")
        made.create.data_var.generic("a", ("t",), "float32", (4,))
        made.to_netcdf4(tmp_path / "d.nc")
    with xr.open_dataset(tmp_path / "d.nc") as found:
        assert found["a"].shape == (0,)
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "again.zarr")
    assert_same(tmp_path / "d.zarr", tmp_path / "again.zarr")


# ── stations ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return series at 200 points, and of 3 catchments, one with a hole."""
    path = tmp_path_factory.mktemp("stations") / "stations.zarr"
    places = np.random.default_rng(3).uniform(0, 1e5, (200, 2))
    with open_dataset(path, "n", dataset_type="ts_ortho") as made:
        made.create.coord.time(HOURS.astype("M8[m]"))
        made.create.coord.point(shapely.points(places).tolist(), dtype=dtype("point", precision=2))
        made.create.coord.polygon(CATCHMENTS, axis=None)
        made.create.data_var.generic("flow", ("point", "time"), dtype("float32", 3, 0, 900))[:] = np.arange(200)[
            :, None
        ]
        made.create.data_var.generic("station_id", ("point",), "string")[:] = [f"S{n}" for n in range(200)]
        made.create.data_var.generic("area", ("polygon",), "float64")[:] = [each.area for each in CATCHMENTS]
        made.create.crs.from_user_input(2154, xy_coord="point")
    return path


def test_stations_go_to_netcdf_and_back(stations: Path, tmp_path: Path) -> None:
    dataset_to_netcdf4(stations, tmp_path / "s.nc")
    netcdf4_to_dataset(tmp_path / "s.nc", tmp_path / "again.zarr")
    assert_same(stations, tmp_path / "again.zarr")
    with open_dataset(stations) as made, open_dataset(tmp_path / "again.zarr") as again:
        assert again.dataset_type == "ts_ortho"
        assert again.attrs["featureType"] == "timeSeries"
        assert shapely.equals(again["polygon"].data, CATCHMENTS).all()
        assert shapely.equals_exact(again["point"].data, made["point"].data).all()
        assert again["polygon"].dtype == made["polygon"].dtype
        assert again.crs.to_epsg() == 2154


def test_cf_xarray_reads_geometries_of_the_store_and_of_the_file(stations: Path, tmp_path: Path) -> None:
    cf = pytest.importorskip("cf_xarray.geometry")
    dataset_to_netcdf4(stations, tmp_path / "s.nc")
    for found in (xr.open_zarr(stations, chunks=None), xr.open_dataset(tmp_path / "s.nc")):
        with found:
            assert found["point_x"].attrs["standard_name"] == "projection_x_coordinate"
            assert found["flow"].attrs["geometry"] == "point_geometry"
            read = cf.decode_geometries(found)
            assert shapely.equals(read["polygon"].values, CATCHMENTS).all()
            assert read["point"].shape == (200,)
            assert read["flow"].dims == ("point", "time")


def test_stations_are_selected_by_place_and_by_name(stations: Path, tmp_path: Path) -> None:
    with open_dataset(stations) as made:
        fifth = made["point"].data[5]
        assert float(made["flow"].loc[fifth, "2020-02-28T06"].data) == 5.0
        assert made.select_loc({"point": [fifth.wkt, made["point"].data[2]]})["station_id"].data.tolist() == [
            "S5",
            "S2",
        ]
        named = made["station_id"].data == "S17"
        assert made.select({"point": named})["flow"].data.max() == 17.0
        with pytest.raises(NotFound, match="no label POINT"):
            made["flow"].loc[shapely.Point(0.5, 0.5)]
        part = made.select_loc({"polygon": CATCHMENTS[1]})
        part.to_netcdf4(tmp_path / "part.nc")
        seen = made.to_xarray()
        assert seen["polygon"].values[1].equals(HOLED)
        assert seen["flow"].sel(time="2020-02-28T06").dims == ("point",)
    netcdf4_to_dataset(tmp_path / "part.nc", tmp_path / "part.zarr")
    with open_dataset(tmp_path / "part.zarr") as found:
        assert [each.equals(HOLED) for each in found["polygon"].data] == [True]
        assert found["area"].data.tolist() == [HOLED.area]


def test_geometries_go_on_and_are_cut_with_their_data(stations: Path, tmp_path: Path) -> None:
    with open_dataset(stations) as made:
        made.copy(tmp_path / "s.zarr").close()
    new = [shapely.Point(-1, -1), shapely.Point(-2, -2)]
    with open_dataset(tmp_path / "s.zarr", "w") as made:
        with pytest.raises(InvalidInput, match="no label of points"):
            made["point"].append([SQUARE])
        with pytest.raises(InvalidInput, match="stands at 3 and again at 200"):
            made["point"].append([made["point"].data[3]])
        made["point"].append(new[:1])
        made["point"].prepend(new[1:])
        made["polygon"].truncate(HOLED)
    with open_dataset(tmp_path / "s.zarr") as found:
        assert [found["point"].data[0], found["point"].data[201]] == [new[1], new[0]]
        assert np.isnan(found["flow"].data[[0, 201]]).all()
        assert found["flow"].data[1:201, 0].tolist() == list(range(200))
        assert found["area"].data.tolist() == [each.area for each in CATCHMENTS[1:]]
    cf = pytest.importorskip("cf_xarray.geometry")
    with xr.open_zarr(tmp_path / "s.zarr", chunks=None) as plain:
        assert plain["point_x"].attrs["standard_name"] == "projection_x_coordinate"
        assert cf.decode_geometries(plain)["polygon"].shape == (2,)


def test_stations_of_others_are_taken(tmp_path: Path) -> None:
    cf = pytest.importorskip("cf_xarray.geometry")
    given = xr.Dataset(
        {"flow": (("catchment", "t"), np.ones((3, 2)))},
        {"catchment": ("catchment", np.array(CATCHMENTS, dtype=object)), "t": [1, 2]},
    )
    cf.encode_geometries(given).to_netcdf(tmp_path / "s.nc")
    netcdf4_to_dataset(tmp_path / "s.nc", tmp_path / "s.zarr")
    with open_dataset(tmp_path / "s.zarr") as found:
        assert found.dataset_type == "ts_ortho"
        assert found["flow"].coord_names == ("catchment", "t")
        assert shapely.equals(found["catchment"].data, CATCHMENTS).all()


# ── of others ────────────────────────────────────────────────────────────────────────────────────────


def taken(tmp_path: Path, given: xr.Dataset, encoding: Any = None, **options: Any) -> Dataset:
    """Return what becomes of a data set of xarray that goes by way of a file."""
    given.to_netcdf(tmp_path / "d.nc", encoding=encoding, engine="h5netcdf")
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr", **options)
    return open_dataset(tmp_path / "d.zarr")


@pytest.mark.parametrize(("scale", "fill"), [(0.01, None), (-0.25, -32768), (1.7250274674967954, 7)])
def test_packing_of_others_is_kept_code_for_code(tmp_path: Path, scale: float, fill: int | None) -> None:
    codes = np.array([[-32767, -1, 0], [1, 32766, 32767]], dtype="int16")
    said = {"scale_factor": scale, "add_offset": 5.5, "units": "m", "valid_range": np.array([-100, 100], "i2")}
    said |= {} if fill is None else {"_FillValue": fill}
    with taken(tmp_path, xr.Dataset({"a": (("y", "x"), codes, said)})) as found:
        assert np.array_equal(found["a"].codes(), codes)
        with xr.open_dataset(tmp_path / "d.nc") as read:
            assert np.array_equal(found["a"].data, read["a"].values, equal_nan=True)
        assert found["a"].attrs.data == {"units": "m"}
        assert found.handle.arrays()["a"].attrs["valid_range"] == [-100, 100]


@pytest.mark.parametrize(("scale", "wide"), [(0.25, "float32"), (0.1, "float64")])
def test_scales_that_are_exact_as_float32_are_written_so_and_xarray_reads_float32(
    tmp_path: Path, scale: float, wide: str
) -> None:
    with open_dataset(tmp_path / "d.zarr", "n") as made:
        made.create.coord.x(np.arange(3.0))
        of = dtype("float32", dtype_encoded="int16", offset=0.0, fillvalue=-32768, scale_factor=scale)
        made.create.data_var.generic("v", ("x",), of)[:] = np.array([1.0, np.nan, 7.5], "f4")
        made.to_netcdf4(tmp_path / "v.nc")
        with xr.open_dataset(tmp_path / "v.nc", engine="h5netcdf") as read:
            assert read["v"].dtype == wide
            np.testing.assert_array_equal(read["v"].values.astype("f4"), made["v"].data)
    netcdf4_to_dataset(tmp_path / "v.nc", tmp_path / "again.zarr")
    with open_dataset(tmp_path / "again.zarr") as found:
        assert found["v"].dtype == of


def test_codes_that_leave_none_for_missing_become_floats(tmp_path: Path) -> None:
    codes = np.arange(256).astype("uint8").reshape(16, 16)
    with taken(tmp_path, xr.Dataset({"a": (("y", "x"), codes, {"scale_factor": 0.5, "valid_max": 100})})) as found:
        assert found["a"].dtype == dtype("float64")
        assert np.array_equal(found["a"].data, codes * 0.5)
        assert found["a"].attrs["valid_max"] == 50.0


def test_scaled_codes_of_64_bits_become_floats(tmp_path: Path) -> None:
    said = {"scale_factor": 0.5, "_FillValue": np.int64(-1)}
    with taken(tmp_path, xr.Dataset({"a": ("x", np.array([2**40, -1, 3]), said)})) as found:
        assert np.array_equal(found["a"].data, [2**39, np.nan, 1.5], equal_nan=True)


def test_several_words_for_missing_are_all_missing(tmp_path: Path) -> None:
    wide = xr.Dataset(
        {
            "f": ("x", np.array([1, 1e20, -9, np.nan], "f4"), {"_FillValue": np.float32(1e20), "missing_value": -9.0}),
            "i": ("x", np.array([0, 1, -9, -1], "i4"), {"_FillValue": np.int32(-9), "missing_value": np.int32(-1)}),
            "n": ("x", np.array([0, 1, 2, 3], "i2")),
        }
    )
    import h5netcdf

    with h5netcdf.File(tmp_path / "m.nc", "w") as file:
        file.dimensions["x"] = 4
        for name, each in wide.variables.items():
            made = file.create_variable(name, ("x",), data=each.values, fillvalue=each.attrs.get("_FillValue"))
            if "missing_value" in each.attrs:
                made.attrs["missing_value"] = np.asarray(each.attrs["missing_value"], dtype=each.dtype)
        file["n"].attrs["_FillValue"] = np.float64("nan")
    netcdf4_to_dataset(tmp_path / "m.nc", tmp_path / "m.zarr")
    with open_dataset(tmp_path / "m.zarr") as found:
        assert np.array_equal(found["f"].data, np.array([1, np.nan, np.nan, np.nan], dtype="f4"), equal_nan=True)
        assert found["f"].data.dtype == "float32"
        assert found["i"].masked.tolist() == [0, 1, None, None]
        assert found["n"].data.tolist() == [0, 1, 2, 3]


def test_what_descends_is_turned_round_with_its_data_and_its_bounds(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    lat = np.array([60.0, 50.0, 40.0, 30.0], dtype="f4")
    given = xr.Dataset(
        {"a": (("t", "lat", "lon"), values), "lat_bnds": (("lat", "nv"), np.stack([lat + 5, lat - 5], -1))},
        {"lat": ("lat", lat, {"units": "degrees_north", "bounds": "lat_bnds"}), "lon": [1.0, 2.0, 3.0], "t": [1, 2]},
    )
    with taken(tmp_path, given, max_mem=64) as found:
        assert found["lat"].data.tolist() == [30, 40, 50, 60]
        assert found["lat"].data.dtype == "float32"
        assert found["lat"].axis == "y"
        assert np.array_equal(found["a"].data, values[:, ::-1])
        assert found["lat_bnds"].data.tolist() == [[35, 25], [45, 35], [55, 45], [65, 55]]
        assert found["nv"].data.tolist() == [0, 1]
    shutil.rmtree(tmp_path / "d.zarr")
    options = {"sel_loc": {"lat": slice(35, 55), "lon": 2.0}, "exclude_data_vars": ["lat_bnds"]}
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr", **options)
    with open_dataset(tmp_path / "d.zarr") as found:
        assert found["a"].data.tolist() == values[:, [2, 1]][:, :, 1:2].tolist()
        assert "lat_bnds" not in found
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "e.zarr", sel={"lat": [0, 3], "t": -1}, include_data_vars=["a"])
    with open_dataset(tmp_path / "e.zarr") as found:
        assert found["a"].data.tolist() == values[1:, [3, 0]].tolist()


@pytest.mark.parametrize(
    ("units", "kind", "unit"),
    [
        ("hours since 1900-01-01", "int32", "h"),
        pytest.param("days since 2000-01-01", "int16", "D", marks=pytest.mark.soak),
        pytest.param("seconds since 1970-01-01 00:00:00", "int64", "s", marks=pytest.mark.soak),
        ("days since 1990-06-01", "float64", "us"),
        pytest.param("hours since 0001-01-01", "float64", "us", marks=pytest.mark.soak),
        ("hours since 0001-01-01", "int64", "us"),
        ("minutes since 2000-01-01 06:30", "uint32", "m"),
    ],
)
def test_times_of_others_are_those_of_xarray(tmp_path: Path, units: str, kind: str, unit: str) -> None:
    if units.endswith("0001-01-01"):
        pytest.importorskip("cftime")
    steps = np.array([0, 12, 36], dtype=kind) + (17_900_000 if units.endswith("0001-01-01") else 0)
    given = xr.Dataset(
        {"when": ("time", steps, {"units": units}), "b": (("time", "nv"), np.stack([steps] * 2, -1))},
        {"time": ("time", steps, {"units": units, "bounds": "b"})},
    )  # fmt: skip
    with taken(tmp_path, given) as found, xr.open_dataset(tmp_path / "d.nc") as read:
        assert found["time"].dtype.unit == unit
        assert np.array_equal(found["time"].data, read["time"].values)
        assert np.array_equal(found["when"].data, read["when"].values)
        assert np.array_equal(found["b"].data, read["b"].values)
        assert "bounds" in found["time"].attrs


def test_text_single_values_groups_and_grid_mappings_of_others_are_taken(tmp_path: Path) -> None:
    given = xr.Dataset(
        {
            "a": (("y", "x"), np.ones((2, 2), dtype="f4"), {"grid_mapping": "crs", "coordinates": "lat"}),
            "lat": (("y", "x"), np.full((2, 2), 45.0)),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude", "earth_radius": 6371000.0}),
            "text": ("y", np.array([b"ab", b"c"])),
            "height": ((), 2.0, {"units": "m"}),
        },
        {"y": [1.0, 2.0], "x": [3.0, 4.0]},
        {"Conventions": "CF-1.8 ACDD-1.3", "history": "made"},
    )  # fmt: skip
    with taken(tmp_path, given) as found:
        assert found["text"].data.tolist() == ["ab", "c"]
        assert float(found["height"].data) == 2.0
        assert found.crs.is_geographic
        assert found.attrs.data == {"Conventions": "CF-1.11 ACDD-1.3", "history": "made"}
        assert set(found.data_var_names) == {"a", "lat", "text", "height"}
    with xr.open_zarr(tmp_path / "d.zarr", chunks=None) as plain:
        assert set(plain["a"].coords) == {"y", "x", "lat", "spatial_ref"}
    given.to_netcdf(tmp_path / "g.nc", group="inner", engine="h5netcdf")
    with pytest.raises(InvalidInput, match=r"g\.nc has the groups inner; import each by group="):
        netcdf4_to_dataset(tmp_path / "g.nc", tmp_path / "g.zarr")
    netcdf4_to_dataset(tmp_path / "g.nc", tmp_path / "g.zarr", group="inner")
    with open_dataset(tmp_path / "g.zarr") as found:
        assert found["a"].shape == (2, 2)


@pytest.mark.parametrize("named", [{}, {"axis": "X"}], ids=["by units", "by axis"])
@pytest.mark.parametrize("mapping", ["rotated_latitude_longitude", "lambert_conformal_conic", "latitude_longitude"])
def test_longitudes_beside_a_grid_of_others_are_not_its_axis_and_keep_their_words(
    tmp_path: Path, mapping: str, named: dict[str, str]
) -> None:
    """A grid mapping that other variables mention made degrees_east a projected x in metres."""
    import pyproj

    systems: dict[str, Any] = {
        "rotated_latitude_longitude": {
            "grid_mapping_name": mapping, "grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0,
        },
        "lambert_conformal_conic": pyproj.CRS(2154).to_cf(),
        "latitude_longitude": pyproj.CRS(4326).to_cf(),
    }  # fmt: skip
    said = {"units": "degrees_east", "long_name": "where we look", **named}
    given = xr.Dataset(
        {
            "a": (("rlat", "rlon"), np.ones((2, 2)), {"grid_mapping": "m"}),
            "profile": ("lon", np.ones(3)),
            "m": ((), 0, systems[mapping]),
        },
        {"rlat": [1.0, 2.0], "rlon": [3.0, 4.0], "lon": ("lon", [5.0, 6.0, 7.0], said)},
    )
    with taken(tmp_path, given) as found:
        geographic = mapping == "latitude_longitude"
        place = geographic or bool(named)
        assert found["lon"].axis == ("x" if place else None)
        # in degrees the system adds what the file left out
        added = {"axis": "X", "standard_name": "longitude"} if geographic else {}
        assert found["lon"].attrs.data == said | added
        assert ("grid_mapping" in found.handle.arrays()["profile"].attrs) == place


def test_netcdf3_is_read(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    said = {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": 0.5}
    given = xr.Dataset(
        {"a": ("x", np.array([0, 127, -128, -1], dtype="i1"), said), "name": ("x", np.array([b"ab", b"c", b"", b"d"]))},
        {"x": np.arange(4, dtype="i4")},
    )
    given.to_netcdf(tmp_path / "d.nc", format="NETCDF3_CLASSIC", engine="scipy")
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr")
    with open_dataset(tmp_path / "d.zarr") as found, xr.open_dataset(tmp_path / "d.nc", engine="scipy") as read:
        assert np.array_equal(found["a"].data, read["a"].values, equal_nan=True)
        assert found["a"].codes().tolist() == [0, 127, 128, 255]
        assert found["name"].data.tolist() == ["ab", "c", "", "d"]


def test_enumerations_say_what_they_mean_lists_are_refused_and_scaled_floats_are_not_rounded(tmp_path: Path) -> None:
    h5netcdf = pytest.importorskip("h5netcdf")
    with h5netcdf.File(tmp_path / "d.nc", "w") as file:
        file.dimensions = {"x": 2}
        of = file.create_enumtype(np.dtype("int8"), "state", {"dry": 0, "wet": 1, "none": 9})
        file.create_variable("e", ("x",), of, fillvalue=9)[:] = np.array([0, 1], dtype="int8")
        scaled = file.create_variable("f", ("x",), "float32")
        scaled[:] = np.array([1, 3], dtype="float32")
        scaled.attrs["scale_factor"] = np.float64(0.1)
        lists = file.create_vltype(np.dtype("int32"), "lists")
        file.create_variable("l", ("x",), lists)[:] = np.array([np.array([1, 2]), np.array([3])], dtype=object)
    with pytest.raises(InvalidInput, match=r"l: values of type .*exclude_data_vars"):
        netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr")
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr", exclude_data_vars=["l"])
    with open_dataset(tmp_path / "d.zarr") as made:
        assert made["e"].data.tolist() == [0, 1]
        assert (made["e"].attrs["flag_values"], made["e"].attrs["flag_meanings"]) == ([0, 1, 9], "dry wet none")
        assert made["f"].data.tolist() == [0.1, 3 * 0.1]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (xr.Dataset({"a": ("t", [1, 2], {"units": "days since 2000-01-01", "calendar": "360_day"})}), "a: times"),
        (xr.Dataset({}, {"t": ("t", [1], {"units": "days since 2000-01-01", "calendar": "noleap"})}), "t: times"),
        (xr.Dataset({}, {"t": [1.0, 3.0, 2.0]}), "t: 2.0 at 2 comes after 3.0"),
        (xr.Dataset({}, {"t": [1.0, 1.0]}), "t: 1.0 stands at 0 and again at 1"),
        (xr.Dataset({"a-b": ("t", [1.0])}), "name 'a-b'"),
        (xr.Dataset({"a": ("t", [1.0], {"grid_mapping": "m"}), "m": ((), 0, {"grid_mapping_name": "flat"})}), "m: "),
    ],
    ids=["calendar", "axis", "order", "twice", "name", "mapping"],
)  # fmt: skip
def test_what_cannot_be_taken_is_named_and_nothing_is_made(tmp_path: Path, given: xr.Dataset, why: str) -> None:
    given.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    with pytest.raises((InvalidInput, CorruptError), match=why):
        netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr").exists()


def test_files_that_are_none_are_told_and_no_data_set_is_replaced(file: Path, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match=r"no\.nc: no such file"):
        netcdf4_to_dataset(tmp_path / "no.nc", tmp_path / "d.zarr")
    (tmp_path / "text.nc").write_text("no netCDF at all")
    with pytest.raises(CorruptError, match="cannot be read as netCDF"):
        netcdf4_to_dataset(tmp_path / "text.nc", tmp_path / "d.zarr")
    (tmp_path / "cut.nc").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CorruptError, match="cannot be read as netCDF"):
        netcdf4_to_dataset(tmp_path / "cut.nc", tmp_path / "d.zarr")
    for why, options in (
        ("no coordinate 'q'; there are", {"sel": {"q": 1}}),
        ("no variable 'q'; there are", {"include_data_vars": ["q"]}),
        ("time: no label", {"sel_loc": {"time": "1999-01-01"}}),
    ):
        with pytest.raises(NotFound, match=why):
            netcdf4_to_dataset(file, tmp_path / "d.zarr", **options)
    assert not (tmp_path / "d.zarr").exists()
    (tmp_path / "d.zarr").mkdir()
    with pytest.raises(PathTaken):
        netcdf4_to_dataset(file, tmp_path / "d.zarr")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a data set of 32 MB of floats, in blocks of 2 MB."""
    path = tmp_path_factory.mktemp("large") / "large.zarr"
    with open_dataset(path, "n") as made:
        made.create.coord.generic("t", np.arange(64))
        made.create.coord.y(np.arange(256.0))
        made.create.coord.x(np.arange(256.0))
        found = made.create.data_var.generic("a", ("t", "y", "x"), "float64", (4, 256, 256))
        for start in range(0, 64, 4):
            found[start : start + 4] = start
    yield path
    shutil.rmtree(path)


def test_what_goes_through_memory_is_bounded(large: Path, tmp_path: Path) -> None:
    with open_dataset(large) as made:
        made.select({"t": [0]}).to_netcdf4(tmp_path / "warm.nc")
        whole = made["a"].size * 8
    tracemalloc.start()
    dataset_to_netcdf4(large, tmp_path / "d.nc", compression=None)
    out = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    netcdf4_to_dataset(tmp_path / "d.nc", tmp_path / "d.zarr", max_mem=1 << 21)
    back = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(out, back) < whole / 2
    with open_dataset(tmp_path / "d.zarr") as found:
        assert found["a"].data[:, 5, 5].tolist() == [each // 4 * 4 for each in range(64)]


# ── a real file ──────────────────────────────────────────────────────────────────────────────────────


def era_interim() -> Path:
    home = os.environ.get("HMP_TEST_DATA")
    return (Path(home) if home else Path(__file__).parents[4] / "shared" / "data") / "era_interim" / "eraint_uvz.nc"


@pytest.mark.skipif(not era_interim().is_file(), reason="no era_interim/eraint_uvz.nc under HMP_TEST_DATA")
def test_winds_of_era_interim_are_imported_and_exported_and_compare_equal(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    netcdf4_to_dataset(era_interim(), tmp_path / "era.zarr")
    dataset_to_netcdf4(tmp_path / "era.zarr", tmp_path / "era.nc")
    raw = {"mask_and_scale": False, "decode_cf": False}
    with (
        xr.open_dataset(era_interim(), engine="scipy", **raw) as codes,
        xr.open_dataset(tmp_path / "era.nc", **raw) as written,
        open_dataset(tmp_path / "era.zarr") as made,
        xr.open_zarr(tmp_path / "era.zarr", chunks=None) as plain,
        xr.open_dataset(tmp_path / "era.nc") as again,
    ):
        turned = codes.sortby("latitude")
        for name in ("u", "v", "z"):
            scale, offset = codes[name].attrs["scale_factor"], codes[name].attrs["add_offset"]
            values = turned[name].values.astype("f8") * scale + offset
            assert written[name].dtype == made[name].codes().dtype == "int16"
            assert np.array_equal(written[name].values, turned[name].values)
            for found in (made[name].data, made.to_xarray()[name].values, plain[name].values, again[name].values):
                assert np.array_equal(found, values)
            assert made[name].units == codes[name].attrs["units"]
            assert made[name].attrs["standard_name"] == codes[name].attrs["standard_name"]
        for name in ("latitude", "longitude", "level", "month"):
            assert written[name].dtype == codes[name].dtype
            assert np.array_equal(made[name].data, turned[name].values)
        assert (made["latitude"].axis, made["longitude"].axis) == ("y", "x")
        assert made.attrs["Info"] == codes.attrs["Info"]
        assert (
            made["u"].loc[1, 850, 46.5, 6.0].data
            == turned["u"].sel(month=1, level=850, latitude=46.5, longitude=6.0).values
            * codes["u"].attrs["scale_factor"]
            + codes["u"].attrs["add_offset"]
        )
    netcdf4_to_dataset(tmp_path / "era.nc", tmp_path / "again.zarr")
    assert_same(tmp_path / "era.zarr", tmp_path / "again.zarr")
