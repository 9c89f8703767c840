"""Templates name what they make as CF does, in units that mean the same, and can be packed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets.values.plans import plan
from hmp_catalog.datasets.values.templates import COORDINATES, VARIABLES, coordinate, variable
from hmp_catalog.errors import OutOfRange
from hmp_catalog.fields import schema
from hmp_core.errors import NotFound

ALL = {**{f"coord-{k}": v for k, v in COORDINATES.items()}, **{f"var-{k}": v for k, v in VARIABLES.items()}}

#: The names of the seed (its page lists these coordinates).
SEED = {
    "lat", "lon", "time", "height", "altitude", "depth", "pressure", "x", "y", "point", "line", "polygon",
    "forecast_reference_time", "forecast_period",
}  # fmt: skip


@pytest.mark.parametrize("template", ALL.values(), ids=ALL)
def test_each_template_is_named_packed_and_told_to_others(template) -> None:
    schema.check_name(template.name, "variable")
    assert schema.plain_attributes(template.attributes, schema.RESERVED_ATTRIBUTES, template.name)
    assert template.attributes["long_name"]
    if template.dtype.kind == "geometry":
        assert template.axis == "xy"
        return
    packing = plan(template.dtype)
    assert not set(packing.attributes()) & (set(template.attributes) - {"units"})
    if template.dtype.kind == "float" and template.dtype.is_packed:
        ends = np.array([template.dtype.min_value, template.dtype.max_value], dtype=packing.decoded)
        np.testing.assert_allclose(packing.decode(packing.encode(ends)), ends, atol=10.0**-template.dtype.precision)
        assert np.dtype(packing.stored).itemsize <= 4


def test_the_coordinates_of_the_seed_are_there_with_their_axes() -> None:
    assert COORDINATES.keys() >= SEED
    assert {short: COORDINATES[short].axis for short in ("lat", "lon", "time", "depth", "x", "forecast_period")} == {
        "lat": "y", "lon": "x", "time": "t", "depth": "z", "x": "x", "forecast_period": None,
    }  # fmt: skip
    assert (coordinate("lon").name, coordinate("depth").attributes["positive"]) == ("longitude", "down")
    assert "units" not in coordinate("forecast_period").attributes


@pytest.mark.parametrize(
    ("short", "name", "standard", "units"),
    [
        ("air_temp", "air_temperature", "air_temperature", "degC"),
        ("precip", "precipitation", "lwe_thickness_of_precipitation_amount", "mm"),
        ("pet", "potential_evapotranspiration", "water_potential_evaporation_amount", "kg m-2"),
        ("discharge", "discharge", "water_volume_transport_in_river_channel", "m3 s-1"),
        ("soil_moisture", "soil_moisture", "volume_fraction_of_condensed_water_in_soil", "1"),
        ("elevation", "topography", "surface_altitude", "m"),
        ("snow", "snow", "lwe_thickness_of_surface_snow_amount", "mm"),
        ("head", "head", None, "m"),
        ("recharge", "recharge", None, "mm d-1"),
        ("land_sea_mask", "land_sea_mask", "land_binary_mask", "1"),
    ],
)
def test_variables_bear_the_standard_name_of_their_units(short, name, standard, units) -> None:
    found = variable(short)
    assert (found.name, found.attributes.get("standard_name"), found.attributes["units"]) == (name, standard, units)


def test_every_standard_name_is_written_as_cf_writes_them() -> None:
    for template in ALL.values():
        standard = template.attributes.get("standard_name", "a")
        assert standard == standard.lower().strip()
        assert " " not in standard


def test_plain_xarray_reads_the_times_of_the_template() -> None:
    packing = plan(coordinate("time").dtype)
    times = np.array(["1990-01-01", "2050-06-01T10:01"], dtype="datetime64[m]")
    stored = xr.Dataset({"time": ("time", packing.encode(times), packing.attributes(coordinate=True))})
    assert (packing.stored, packing.fill) == ("int32", -(2**31))
    np.testing.assert_array_equal(xr.decode_cf(stored)["time"].values, times)


def test_kelvins_are_no_degrees_celsius() -> None:
    with pytest.raises(OutOfRange, match=r"air_temperature: 290.0 at \(0,\)"):
        plan(variable("air_temp").dtype).encode([290.0], of="air_temperature")


def test_an_unknown_template_names_those_like_it() -> None:
    with pytest.raises(NotFound, match="like it: air_temp") as unknown:
        variable("air_tmp")
    assert "air_temp" in unknown.value.candidates
    with pytest.raises(NotFound, match="for a coordinate"):
        coordinate("lattitude")
