"""Coordinates and variables that hydrology has again and again: their CF names, units, types and ranges.

The standard names are of the CF standard name table; what it does not have (hydraulic head, recharge) bears none. The
ranges are wide enough for what is measured on Earth, and narrow enough to refuse kelvins among degrees Celsius.
What `fields.schema` knows of a name is taken from there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_catalog.fields import schema
from hmp_core.errors import NotFound


@dataclass(frozen=True)
class Template:
    """What a template creates: the name, the type of values, the attributes."""

    name: str
    dtype: DataType
    attributes: Mapping[str, Any]

    @property
    def axis(self) -> str | None:
        """The axis of a coordinate, in lower case: x, y, z, t, or xy for geometries."""
        found = "xy" if self.dtype.kind == "geometry" else self.attributes.get("axis")
        return None if found is None else str(found).lower()


def coordinate(short: str) -> Template:
    """Return the template of a coordinate by its short name.

    Raises
    ------
    NotFound
        No such template; those that are like it are listed.

    Examples
    --------
    >>> lat = coordinate("lat")
    >>> lat.name, lat.axis, lat.attributes["units"]
    ('latitude', 'y', 'degrees_north')
    """
    return _found(short, COORDINATES, "coordinate")


def variable(short: str) -> Template:
    """Return the template of a variable by its short name.

    Raises
    ------
    NotFound
        No such template; those that are like it are listed.

    Examples
    --------
    >>> variable("precip").attributes["standard_name"]
    'lwe_thickness_of_precipitation_amount'
    """
    return _found(short, VARIABLES, "variable")


def _found(short: str, table: Mapping[str, Template], what: str) -> Template:
    if short in table:
        return table[short]
    near = difflib.get_close_matches(short, table, n=5, cutoff=0.4)
    message = (
        f"no template {short!r} for a {what}; {'like it: ' + ', '.join(near) if near else 'write it by generic()'}"
    )
    raise NotFound(message, reference=short, candidates=near)


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────

_DEGREES = dtype("float64", precision=6, min_value=-180, max_value=360)
_METRES = dtype("float64")

#: CF reckons forecasts by two times of their own; neither is the time of the values.
_OWN_COORDINATES: Mapping[str, Mapping[str, str]] = {
    "time": {"standard_name": "time", "long_name": "time", "axis": "T"},
    "height": {"standard_name": "height", "long_name": "height above the surface", "units": "m", "axis": "Z",
               "positive": "up"},
    "altitude": {"standard_name": "altitude", "long_name": "height above the geoid", "units": "m", "axis": "Z",
                 "positive": "up"},
    "pressure": {"standard_name": "air_pressure", "long_name": "pressure", "units": "hPa", "axis": "Z",
                 "positive": "down"},
    "point": {"long_name": "point"},
    "line": {"long_name": "line"},
    "polygon": {"long_name": "polygon"},
    "forecast_reference_time": {"standard_name": "forecast_reference_time", "long_name": "time of the forecast",
                                "axis": "T"},
    "forecast_period": {"standard_name": "forecast_period", "long_name": "time since the forecast"},
    "station": {"long_name": "station", "cf_role": "timeseries_id"},
    "realization": {"standard_name": "realization", "long_name": "member of the ensemble", "units": "1", "axis": "E"},
}  # fmt: skip

_TIME = dtype("datetime64[m]", min_value="1700-01-01", max_value="6000-01-01")

#: Short name -> name, type. The time is kept to the minute, latitudes to a tenth of a metre.
_COORDINATES: tuple[tuple[str, str, DataType], ...] = (
    ("lat", "latitude", dtype("float64", precision=6, min_value=-90, max_value=90)),
    ("latitude", "latitude", dtype("float64", precision=6, min_value=-90, max_value=90)),
    ("lon", "longitude", _DEGREES),
    ("longitude", "longitude", _DEGREES),
    ("x", "x", _METRES),
    ("y", "y", _METRES),
    ("z", "z", _METRES),
    ("time", "time", _TIME),
    ("height", "height", dtype("float64", precision=3, min_value=-1000, max_value=100_000)),
    ("altitude", "altitude", dtype("float64", precision=3, min_value=-12_000, max_value=100_000)),
    ("depth", "depth", dtype("float64", precision=3, min_value=-1000, max_value=12_000)),
    ("pressure", "pressure", dtype("float64", precision=3, min_value=0, max_value=1_200)),
    ("layer", "layer", dtype("int32")),
    ("cell", "cell", dtype("int64")),
    ("realization", "realization", dtype("int32")),
    ("station", "station", dtype("string")),
    ("point", "point", dtype("point", precision=6)),
    ("line", "line", dtype("linestring", precision=6)),
    ("polygon", "polygon", dtype("polygon", precision=6)),
    ("forecast_reference_time", "forecast_reference_time", _TIME),
    ("forecast_period", "forecast_period", dtype("int32")),
)


def _coordinate(name: str, of: DataType) -> Template:
    return Template(name, of, MappingProxyType(dict(_OWN_COORDINATES.get(name) or schema.COORDINATES[name])))


COORDINATES: Mapping[str, Template] = MappingProxyType({row[0]: _coordinate(*row[1:]) for row in _COORDINATES})

# ── variables ────────────────────────────────────────────────────────────────────────────────────────

#: Short name, name, standard name, units, decimals, least and greatest value. Without decimals: plain float32.
_VARIABLES: tuple[tuple[Any, ...], ...] = (
    ("air_temp", "air_temperature", "air_temperature", "degC", 2, -100, 70),
    ("dew_temp", "dew_point_temperature", "dew_point_temperature", "degC", 2, -100, 70),
    ("wet_bulb_temp", "wet_bulb_temperature", "wet_bulb_temperature", "degC", 2, -100, 70),
    ("soil_temp", "soil_temperature", "soil_temperature", "degC", 2, -100, 100),
    ("surface_temp", "surface_temperature", "surface_temperature", "degC", 2, -100, 100),
    ("sea_surface_temp", "sea_surface_temperature", "sea_surface_temperature", "degC", 2, -5, 50),
    ("precip", "precipitation", None, "mm", 1, 0, 6000),
    ("precip_rate", "precipitation_rate", "lwe_precipitation_rate", "mm h-1", 2, 0, 600),
    ("precip_flux", "precipitation_flux", "precipitation_flux", "kg m-2 s-1"),
    ("rainfall", "rainfall_amount", "rainfall_amount", "kg m-2", 1, 0, 6000),
    ("rainfall_flux", "rainfall_flux", "rainfall_flux", "kg m-2 s-1"),
    ("snowfall", "snowfall_amount", "snowfall_amount", "kg m-2", 1, 0, 6000),
    ("snowfall_flux", "snowfall_flux", "snowfall_flux", "kg m-2 s-1"),
    ("snow_depth", "snow_depth", "surface_snow_thickness", "m", 3, 0, 60),
    ("snow", "snow", None, "mm", 1, 0, 60_000),
    ("snow_cover", "snow_cover", "surface_snow_area_fraction", "1", 3, 0, 1),
    ("snow_melt_flux", "snow_melt_flux", "surface_snow_melt_flux", "kg m-2 s-1"),
    ("relative_humidity", "relative_humidity", "relative_humidity", "%", 1, 0, 200),
    ("specific_humidity", "specific_humidity", "specific_humidity", "1"),
    ("vapor_pressure", "vapor_pressure", "water_vapor_partial_pressure_in_air", "Pa", 0, 0, 20_000),
    ("vapor_deficit", "vapor_deficit", "water_vapor_saturation_deficit_in_air", "Pa", 0, 0, 20_000),
    ("wind_speed", "wind_speed", "wind_speed", "m s-1", 2, 0, 150),
    ("wind_gust", "wind_gust", "wind_speed_of_gust", "m s-1", 2, 0, 200),
    ("wind_direction", "wind_direction", "wind_from_direction", "degree", 1, 0, 360),
    ("u_wind", "eastward_wind", "eastward_wind", "m s-1", 2, -150, 150),
    ("v_wind", "northward_wind", "northward_wind", "m s-1", 2, -150, 150),
    ("mslp", "mean_sea_level_pressure", "air_pressure_at_mean_sea_level", "hPa", 2, 800, 1150),
    ("surface_pressure", "surface_pressure", "surface_air_pressure", "hPa", 2, 250, 1150),
    ("shortwave_radiation", "shortwave_radiation", "surface_downwelling_shortwave_flux_in_air", "W m-2", 1, -20, 2000),
    ("longwave_radiation", "longwave_radiation", "surface_downwelling_longwave_flux_in_air", "W m-2", 1, 0, 1000),
    ("net_shortwave", "net_shortwave", "surface_net_downward_shortwave_flux", "W m-2", 1, -100, 2000),
    ("net_longwave", "net_longwave", "surface_net_downward_longwave_flux", "W m-2", 1, -1000, 1000),
    ("sensible_heat", "sensible_heat", "surface_upward_sensible_heat_flux", "W m-2", 1, -2000, 2000),
    ("latent_heat", "latent_heat", "surface_upward_latent_heat_flux", "W m-2", 1, -2000, 2000),
    ("albedo", "albedo", "surface_albedo", "1", 3, 0, 1),
    ("cloud_cover", "cloud_cover", "cloud_area_fraction", "1", 3, 0, 1),
    ("evaporation", "evaporation", "water_evaporation_amount", "kg m-2"),
    ("evapotranspiration", "evapotranspiration", None, "kg m-2 s-1"),
    ("pet", "potential_evapotranspiration", None, "kg m-2", 2, -50, 500),
    ("transpiration_flux", "transpiration_flux", "transpiration_flux", "kg m-2 s-1"),
    ("canopy_water", "canopy_water", "canopy_water_amount", "kg m-2", 3, 0, 60),
    ("leaf_area_index", "leaf_area_index", "leaf_area_index", "1", 2, 0, 30),
    ("soil_moisture", "soil_moisture", None, "1", 4, 0, 1),
    ("soil_water", "soil_water", "mass_content_of_water_in_soil", "kg m-2", 1, 0, 6000),
    ("porosity", "soil_porosity", "soil_porosity", "1", 4, 0, 1),
    ("hydraulic_conductivity", "hydraulic_conductivity", "soil_hydraulic_conductivity_at_saturation", "m s-1"),
    ("root_depth", "root_depth", "root_depth", "m", 2, 0, 100),
    ("runoff", "runoff", None, "kg m-2 s-1"),
    ("runoff_amount", "runoff_amount", "runoff_amount", "kg m-2"),
    ("surface_runoff", "surface_runoff", None, "kg m-2 s-1"),
    ("baseflow", "baseflow", None, "kg m-2 s-1"),
    ("discharge", "discharge", None, "m3 s-1"),
    ("river_level", "river_level", "water_surface_height_above_reference_datum", "m", 3, -500, 9000),
    ("head", "head", None, "m"),
    ("drawdown", "drawdown", None, "m"),
    ("recharge", "recharge", None, "mm d-1"),
    ("water_table", "water_table", None, "m"),
    ("water_table_depth", "water_table_depth", None, "m", 3, -100, 5000),
    ("elevation", "topography", None, "m", 2, -500, 9000),
    ("land_cover_fraction", "land_cover_fraction", "land_area_fraction", "1", 3, 0, 1),
    ("vegetation_cover", "vegetation_cover", "vegetation_area_fraction", "1", 3, 0, 1),
)


def _variable(name: str, standard: str | None, units: str, *packed: Any) -> Template:
    said = dict(zip(("precision", "min_value", "max_value"), packed, strict=False))
    attributes = schema.variable_attributes(name, units, {"standard_name": standard} if standard else None)
    return Template(name, dtype("float32", **said), MappingProxyType(attributes))


_MASK = Template(
    "land_sea_mask",
    dtype("bool"),
    MappingProxyType({"standard_name": "land_binary_mask", "long_name": "land (not sea)", "units": "1"}),
)

VARIABLES: Mapping[str, Template] = MappingProxyType(
    {row[0]: _variable(*row[1:]) for row in _VARIABLES} | {"land_sea_mask": _MASK}
)
