"""The coordinate reference system of a store as CF wants it: a grid mapping variable, beside the WKT itself.

Sources: CF conventions 1.11, section 5.6 and appendix F (names and attributes of grid mappings); the names of methods
and parameters are those of WKT 1 (OGC 01-009) and WKT 2 (ISO 19162). A projection that is not listed is told by its
WKT alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hmp_catalog.fields.mesh import Structure

NAME = "crs"

_WKT = re.compile(r"\s*(PROJ|GEOG|GEOD|GEOC|COMPD|COMPOUND|BOUND|VERT|ENG|LOCAL)[A-Z_]*\s*[\[(]", re.IGNORECASE)
_GEOGRAPHIC = re.compile(r"\s*(GEOGCS|GEOGCRS|GEOGRAPHICCRS|GEODCRS)\s*[\[(]", re.IGNORECASE)
_METHOD = re.compile(r'(?:PROJECTION|METHOD)\s*[\[(]\s*"([^"]+)"', re.IGNORECASE)
_PARAMETER = re.compile(r'PARAMETER\s*[\[(]\s*"([^"]+)"\s*,\s*([-+0-9.eE]+)', re.IGNORECASE)
_ELLIPSOID = re.compile(
    r'(?:SPHEROID|ELLIPSOID)\s*[\[(]\s*"[^"]*"\s*,\s*([0-9.eE+]+)\s*,\s*([0-9.eE+]+)', re.IGNORECASE
)
_EPSG = re.compile(r"\s*EPSG:(\d{4,6})\s*", re.IGNORECASE)

#: Method, in letters alone -> grid mapping of CF, and whether its meridian is called "central".
_METHODS = {
    "transversemercator": ("transverse_mercator", True),
    "lambertconformalconic": ("lambert_conformal_conic", True),
    "lambertconicconformal": ("lambert_conformal_conic", True),
    "lambertazimuthalequalarea": ("lambert_azimuthal_equal_area", False),
    "albersconicequalarea": ("albers_conical_equal_area", True),
    "albersequalarea": ("albers_conical_equal_area", True),
}
#: Words of a parameter's name -> attribute of CF; the first that fits is taken.
_PARAMETERS = (
    ("standardparallel", "standard_parallel"),
    ("scale", "scale_factor_at_central_meridian"),
    ("easting", "false_easting"),
    ("northing", "false_northing"),
    ("meridian", "longitude"),
    ("longitude", "longitude"),
    ("latitude", "latitude_of_projection_origin"),
)


def grid_mapping(crs: str) -> Structure:
    """Return the variable that tells the reference system ``crs``: WKT, or an EPSG code as ``EPSG:2154``."""
    import numpy as np

    from hmp_catalog.fields.mesh import Structure

    return Structure(NAME, (), np.array(0, dtype="<i4"), _attributes(crs))


def is_geographic(crs: str | None) -> bool:
    """Return whether coordinates are longitudes and latitudes, as far as one can tell."""
    return crs is not None and (bool(_GEOGRAPHIC.match(crs)) or crs.strip().upper() == "EPSG:4326")


def _attributes(crs: str) -> dict[str, Any]:
    said: dict[str, Any] = {"long_name": "coordinate reference system"}
    if is_geographic(crs):
        said["grid_mapping_name"] = "latitude_longitude"
    if found := _EPSG.fullmatch(crs):
        return said | {"epsg_code": f"EPSG:{found[1]}"}
    if not _WKT.match(crs):
        return said | {"comment": crs}
    if ellipsoid := _ELLIPSOID.search(crs):
        said |= {"semi_major_axis": float(ellipsoid[1]), "inverse_flattening": float(ellipsoid[2])}
    return said | _projection(crs) | {"crs_wkt": crs, "spatial_ref": crs}


def _projection(crs: str) -> dict[str, Any]:
    method = _METHOD.search(crs)
    # "Lambert_Conformal_Conic_2SP" and "Lambert Conic Conformal (2SP)" are the same
    letters = re.sub(r"\d?sp\b|[^a-z]", "", method[1].lower().replace("_", " ")) if method else ""
    if letters not in _METHODS:
        return {}
    name, central = _METHODS[letters]
    said: dict[str, Any] = {"grid_mapping_name": name}
    parallels: list[float] = []
    for parameter, value in _PARAMETER.findall(crs):
        word = re.sub(r"[^a-z]", "", parameter.lower())
        key = next((attribute for part, attribute in _PARAMETERS if part in word), None)
        if key == "standard_parallel":
            parallels.append(float(value))
        elif key is not None:
            said[_longitude(central) if key == "longitude" else key] = float(value)
    return said | ({"standard_parallel": parallels} if parallels else {})


def _longitude(central: bool) -> str:  # noqa: FBT001
    return "longitude_of_central_meridian" if central else "longitude_of_projection_origin"
