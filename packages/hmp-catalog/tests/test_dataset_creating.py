"""Making coordinates and variables of a data set: templates and generic ones, what is refused leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets import Dataset, combine, dtype, kinds, netcdf4_to_dataset, open_dataset
from hmp_catalog.datasets.values import templates
from hmp_catalog.errors import OutOfRange, OverlapRefused
from hmp_core.errors import InvalidInput, NotFound

HOURS = np.arange("2001-01-01T00", "2001-01-03T00", dtype="datetime64[h]")


@pytest.fixture
def ds(tmp_path: Path) -> Iterator[Dataset]:
    """Return a new data set, open to be written; what the test leaves is committed."""
    with open_dataset(tmp_path / "forcing.zarr", "n") as opened:
        yield opened


def of_stations(path: Path) -> Dataset:
    return open_dataset(path / "stations.zarr", "n", dataset_type="ts_ortho")


@pytest.mark.parametrize("kind", ["grid", "ts_ortho"])
def test_each_template_makes_a_coordinate(kind, tmp_path):
    with open_dataset(tmp_path / "a.zarr", "n", dataset_type=kind) as ds:
        for short, template in templates.COORDINATES.items():
            if (kinds.KINDS[kind].geometries and template.axis in {"x", "y"}) or (
                kind == "grid" and template.dtype.kind == "geometry"
            ):
                continue
            made = getattr(ds.create.coord, short)()
            axis = None if short == "realization" else template.axis  # CF has no axis E
            assert (made.name, made.shape, made.axis) == (template.name, (0,), axis)
            assert made.attrs.data.items() >= {k: v for k, v in template.attributes.items() if k != "axis"}.items()
            assert short in dir(ds.create.coord)
            del ds[made.name]


def test_each_template_makes_a_variable_by_its_short_and_its_full_name(ds):
    ds.create.coord.time(HOURS)
    for short, template in templates.VARIABLES.items():
        made = getattr(ds.create.data_var, short)(("time",))
        assert (made.name, made.shape, made.dtype) == (template.name, (48,), template.dtype)
        assert made.attrs.data == dict(template.attributes)
        assert made.units == template.attributes["units"]
        del ds[made.name]
        assert callable(getattr(ds.create.data_var, template.name))
        assert {short, template.name} <= {*dir(ds.create.data_var)}
    assert ds.create.data_var.air_temperature(("time",)).name == "air_temperature"


def test_a_template_that_is_not_there_is_an_attribute_that_is_not_there(ds):
    assert not hasattr(ds.create.coord, "latitud")
    with pytest.raises(AttributeError, match=r"no template 'air'; generic\(\)"):
        ds.create.data_var.air(("time",))


def test_a_template_takes_another_type_name_step_and_chunk(ds):
    lat = ds.create.coord.lat([1.0, 2.0], dtype="float32", chunk_shape=(5,), step=False, name="lat")
    assert (lat.name, lat.dtype.name, lat.chunk_shape, lat.step, lat.axis) == ("lat", "float32", (5,), None, "y")
    made = ds.create.data_var.precip(("lat",), chunk_shape=(1,), name="rain")
    assert (made.name, made.chunk_shape) == ("rain", (1,))


@pytest.mark.parametrize(
    ("labels", "type_"),
    [
        ([1, 2, 4], "int16"),
        ([0.5, 1.5], "float32"),
        (["b", "a"], "string"),
        ([False, True], "bool"),
        (HOURS, "datetime64[h]"),
        (["2001-01-01", "2001-02"], "datetime64[s]"),
        ([1, 5], dtype("int32", min_value=0, max_value=9)),
        ([1.25, 1.5], dtype("float64", precision=2, min_value=0, max_value=9)),
    ],
    ids=lambda each: str(getattr(each, "name", each))[:20],
)
def test_labels_of_every_kind_are_read_again(labels, type_, tmp_path):
    path = tmp_path / "a.zarr"
    with open_dataset(path, "n") as ds:
        made = ds.create.coord.generic("k", labels, type_)
        var = ds.create.data_var.generic("v", ("k",), "int8")
        var[:] = np.arange(len(made))
        expected = made.data
    with open_dataset(path) as ds:
        found = ds["k"].data
        assert found.dtype == expected.dtype == dtype(type_).decoded
        np.testing.assert_array_equal(found, expected)
        last = found[-1]
        assert ds["v"].loc[last].data == len(found) - 1
        assert ds.select_loc({"k": slice(found[0], last)})["v"].shape == (len(found),)
        with pytest.raises((InvalidInput, NotFound)):
            ds["v"].loc["no such"]
    with xr.open_zarr(path) as plain:
        assert [str(each) for each in plain["k"].values.astype(expected.dtype)] == [str(each) for each in expected]


def test_the_type_is_that_of_the_labels_where_none_is_said(ds):
    assert ds.create.coord.generic("a", np.arange(3, dtype="int16")).dtype.name == "int16"
    assert ds.create.coord.generic("b", ["x"]).dtype.name == "string"
    with pytest.raises(InvalidInput, match="say its dtype, or give its labels"):
        ds.create.coord.generic("c")


BAD = {
    "NaN": [1.0, np.nan],
    "infinite": [1.0, np.inf],
    "twice": [1.0, 1.0],
    "descending": [2.0, 1.0],
    "two dimensions": [[1.0, 2.0]],
    "masked": np.ma.masked_array([1.0, 2.0], [False, True]),
    "twice at the precision": [1.001, 1.002],
}


@pytest.mark.parametrize("bad", BAD)
def test_a_coordinate_that_is_none_is_refused_and_leaves_nothing(bad, ds):
    """Scenario 6: NaN, duplicates, two dimensions; also where they come by an append."""
    of = dtype("float64", precision=2, min_value=-10, max_value=100)
    with pytest.raises(InvalidInput):
        ds.create.coord.generic("a", BAD[bad], of)
    assert ds.var_names == ()
    a = ds.create.coord.generic("a", [-2.0, -1.0], of)
    var = ds.create.data_var.generic("v", ("a",), "float32", (4,))
    var[:] = [1, 2]
    for verb in (a.append, a.prepend):
        with pytest.raises(InvalidInput):
            verb(np.ma.asarray(BAD[bad]) + (10 if verb == a.append else -10) if bad != "two dimensions" else [[9.0]])
    ds.commit()
    assert (a.data.tolist(), var.data.tolist()) == ([-2.0, -1.0], [1, 2])


def test_latitudes_that_descend_are_refused_and_the_array_of_the_caller_stays(ds):
    """Scenario 5: labels are never turned without their data."""
    lat = np.array([50.0, 49.0, 48.0])
    lat.flags.writeable = False
    with pytest.raises(InvalidInput, match=r"Turn them and their data together"):
        ds.create.coord.lat(lat)
    assert lat.tolist() == [50.0, 49.0, 48.0]
    given = lat[::-1].copy()
    ds.create.coord.lat(given)
    given[0] = 0
    assert ds["latitude"].data.tolist() == [48.0, 49.0, 50.0]


def test_labels_that_the_type_does_not_reach_are_refused(ds):
    """They would be read as something else: -95 degrees north as NaN, in cfdb."""
    with pytest.raises(OutOfRange, match=r"latitude: -95.0 at \(0,\) is beyond -90 to 90"):
        ds.create.coord.lat([-95.0, 0.0])
    assert len(ds) == 0


def test_a_coordinate_with_an_axis_may_come_after_data(ds):
    ds.create.coord.time(HOURS)
    ds.create.data_var.precip(("time",))
    assert ds.create.coord.lat([1.0]).axis == "y"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda new: new.coord.generic("1a", [1]),
        lambda new: new.coord.generic("a-b", [1]),
        lambda new: new.coord.generic("a" * 257, [1]),
        lambda new: new.coord.generic("spatial_ref", [1]),
        lambda new: new.coord.generic("time", [1]),
        lambda new: new.data_var.generic("time", ("time",), "int8"),
        lambda new: new.coord.generic("t2", [1], axis="t"),
        lambda new: new.coord.generic("t2", [1], axis="north"),
        lambda new: new.coord.generic("k", [1], chunk_shape=(0,)),
        lambda new: new.coord.generic("k", [1], chunk_shape=(1, 1)),
        lambda new: new.coord.generic("k", ["a"], step=True),
        lambda new: new.coord.generic("k", [1, 2, 4], step=1),
        lambda new: new.coord.generic("k", [1j]),
        lambda new: new.coord.point(["POINT (1 2)"]),
        lambda new: new.data_var.generic("v", ("time",), "float32", (2, 2)),
        lambda new: new.data_var.generic("v", ("time", "time"), "float32"),
        lambda new: new.data_var.generic("v", ("time",), "point"),
        lambda new: new.data_var.generic("v", ("time",), dtype("float64", 15, min_value=0, max_value=1e9)),
        lambda new: new.data_var.generic("v", ("time",), "complex64"),
    ],
)
def test_what_cannot_be_made_is_refused_and_the_session_goes_on(wrong, ds):
    ds.create.coord.time(HOURS)
    with pytest.raises(InvalidInput):
        wrong(ds.create)
    assert ds.var_names == ("time",)
    assert ds.commit() == 1


def test_a_variable_along_what_is_not_there_is_not_found(ds):
    with pytest.raises(NotFound, match="no variable 'time'; there are none"):
        ds.create.data_var.precip(("time",))


def test_chunks_cannot_be_chosen_for_a_coordinate_without_labels(ds):
    ds.create.coord.time()
    with pytest.raises(InvalidInput, match="time has no labels yet"):
        ds.create.data_var.precip(("time",))
    assert ds.create.data_var.precip(("time",), chunk_shape=(24,)).shape == (0,)


def test_like_another_of_the_same_or_another_data_set(ds, tmp_path):
    time = ds.create.coord.time(HOURS)
    rain = ds.create.data_var.precip(("time",), chunk_shape=(12,))
    rain.attrs["gauge"] = "tipping bucket"
    other = ds.create.coord.like("other", time, copy_data=True)
    assert (other.axis, other.step, other.dtype) == (None, 60, time.dtype)
    np.testing.assert_array_equal(other.data, time.data)
    with open_dataset(tmp_path / "b.zarr", "n") as second:
        assert second.create.coord.like("time", time).shape == (0,)
        second["time"].append(HOURS)
        assert second["time"].axis == "t"
        made = second.create.data_var.like("rain", rain)
        assert (made.dtype, made.chunk_shape, made.attrs.data) == (rain.dtype, (12,), rain.attrs.data)


def test_like_another_in_other_chunks(ds):
    """What a variable is rechunked into: everything but the chunks is taken."""
    ds.create.coord.generic("t", np.arange(12))
    rain = ds.create.data_var.generic("cut", ("t",), dtype("float32", 2, 0, 300), chunk_shape=(4,))
    rain.attrs["comment"] = "by hand"
    made = ds.create.data_var.like("turned", rain, chunk_shape=(12,))
    assert (made.chunk_shape, made.dtype, made.attrs["comment"]) == ((12,), rain.dtype, "by hand")
    with pytest.raises(InvalidInput, match="chunk_shape"):
        ds.create.data_var.like("other", rain, chunk_shape=(12, 1))


def test_removing_variables_and_coordinates(ds):
    ds.create.coord.time(HOURS)
    ds.create.data_var.precip(("time",))
    with pytest.raises(InvalidInput, match="time cannot be removed: precipitation is along it"):
        del ds["time"]
    del ds["precipitation"]
    del ds["time"]
    with pytest.raises(NotFound):
        del ds["time"]
    assert (len(ds), ds.commit()) == (0, 1)


def test_removing_geometries_removes_their_nodes(tmp_path):
    with of_stations(tmp_path) as ds:
        ds.create.coord.point(["POINT (1 2)", "POINT (3 4)"])
        assert ds.var_names == ("point",)
        with pytest.raises(InvalidInput, match="point_x"):
            ds.create.coord.generic("point_x", [1])
        del ds["point"]
        assert ds.create.coord.generic("point_x", [1]).shape == (1,)


@pytest.mark.parametrize("kind", ["ts_ortho", "ts_forecast"])
def test_stations_have_no_axes_of_a_grid(kind, tmp_path):
    with open_dataset(tmp_path / "a.zarr", "n", dataset_type=kind) as ds:
        with pytest.raises(InvalidInput, match="in a 'ts_"):
            ds.create.coord.lat([1.0])
        assert ds.attrs.get("featureType") == ("timeSeries" if kind == "ts_ortho" else None)


def test_the_reference_system_is_said_by_the_grid_mapping(tmp_path):
    path = tmp_path / "a.zarr"
    with open_dataset(path, "n") as ds:
        ds.create.coord.generic("e", [1.0, 2.0])
        ds.create.coord.y([5.0, 6.0, 7.0])
        ds.create.coord.time(HOURS)
        before = ds.create.data_var.precip(("time", "y", "e"))
        found = ds.create.crs.from_user_input("EPSG:2154", x_coord="e")
        after = ds.create.data_var.air_temp(("time", "y", "e"))
        beside = ds.create.data_var.wind_speed(("time",))
        assert (found.to_epsg(), ds.crs, ds["e"].axis) == (2154, found, "x")
        assert ds.var_names == ("e", "time", "y", "air_temperature", "precipitation", "wind_speed")
        assert not {"grid_mapping", "coordinates"} & {*before.attrs, *after.attrs, *beside.attrs}
    with xr.open_zarr(path) as plain:
        assert "spatial_ref" in plain.coords
        mapped = {name for name, each in plain.data_vars.items() if each.attrs.get("grid_mapping") == "spatial_ref"}
        assert mapped == {"precipitation", "air_temperature"}
        assert plain["e"].attrs["standard_name"] == "projection_x_coordinate"


def test_the_reference_system_of_stations_is_on_their_container(tmp_path):
    with of_stations(tmp_path) as ds:
        ds.create.coord.point(["POINT (1 2)"])
        ds.create.crs.from_user_input(4326, xy_coord="point")
        ds["point"].append(["POINT (3 4)"])
        assert (ds.crs.to_epsg(), ds["point"].axis) == (4326, "xy")
        assert [each.wkt for each in ds["point"].data] == ["POINT (1 2)", "POINT (3 4)"]
    plain = xr.open_zarr(tmp_path / "stations.zarr", decode_cf=False)
    assert plain["point_geometry"].attrs["grid_mapping"] == "spatial_ref"
    assert plain["point_x"].attrs["standard_name"] == "longitude"


@pytest.mark.parametrize(
    ("given", "error"),
    [((4326, "nowhere"), NotFound), ((4326, None, None, "x"), InvalidInput), (("no such", "x"), InvalidInput)],
)
def test_a_wrong_reference_system_changes_nothing(given, error, ds):
    ds.create.coord.generic("x", [1.0])
    with pytest.raises(error):
        ds.create.crs.from_user_input(*given)
    assert (ds.crs, ds["x"].axis) == (None, None)
    assert ds.commit() == 1


def test_a_single_value_is_made_read_and_goes_along_in_parts_unions_and_files(tmp_path):
    for name, height in (("a.zarr", 2.5), ("b.zarr", 3.5)):
        with open_dataset(tmp_path / name, "n") as ds:
            ds.create.coord.generic("x", [1.0, 2.0, 3.0] if height == 2.5 else [4.0])
            ds.create.data_var.generic("v", ("x",), "int16")[:] = 7
            ds.create.data_var.generic("height", (), dtype("float32", precision=1, min_value=0, max_value=9))[()] = (
                height
            )
            ds.create.data_var.generic("name", (), "string")[...] = name
            assert np.isnan(ds.create.data_var.like("other", ds["height"]).data)
    with open_dataset(tmp_path / "a.zarr") as ds:
        ds.select({"x": slice(0, 2)}).copy(tmp_path / "part.zarr").close()
        ds.to_netcdf4(tmp_path / "a.nc")
    netcdf4_to_dataset(tmp_path / "a.nc", tmp_path / "c.zarr")
    both = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    combine(both, tmp_path / "first.zarr", overlap="first").close()
    combine(both, tmp_path / "last.zarr", overlap="last").close()
    for name, height in (("part", 2.5), ("c", 2.5), ("first", 2.5), ("last", 3.5)):
        with open_dataset(tmp_path / f"{name}.zarr") as ds, xr.open_zarr(tmp_path / f"{name}.zarr") as plain:
            assert (float(ds["height"].data), ds["height"].shape) == (height, ())
            assert (float(plain["height"]), plain["name"].item()) == (height, ds["name"].data.item())
            assert np.isnan(ds["other"].data)
    with pytest.raises(OverlapRefused, match="height"):
        combine(both, tmp_path / "refused.zarr", overlap="error")
