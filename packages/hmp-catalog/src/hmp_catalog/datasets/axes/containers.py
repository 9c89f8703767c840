"""Where the flat arrays of a geometry coordinate stand, in stores, files and data sets of xarray: what each is called.

Of a coordinate ``catchment``: ``catchment_geometry`` bears the attributes of the CF geometry container, its nodes are
``catchment_x`` and ``catchment_y``, the counts ``catchment_node_count`` and so on. The coordinate itself is a dimension
without labels of its own. ``variable_name`` is how cf_xarray knows it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import geometry
from hmp_catalog.datasets.axes.crs import NAME as GRID_MAPPING
from hmp_catalog.datasets.dtypes import DataType, declared, dtype
from hmp_catalog.datasets.values.packing import DECLARED
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[Any]

_SUFFIX = "_geometry"
_COUNTS = ("node_count", "part_node_count", "interior_ring")
#: What the container says itself; the rest of its attributes is of the coordinate.
RESERVED = ("geometry_type", "node_coordinates", *_COUNTS, "coordinates", "grid_mapping", "variable_name", DECLARED)


@dataclass(frozen=True)
class Variable:
    """One array beside its dimensions and attributes."""

    dims: tuple[str, ...]
    values: Values
    attributes: Mapping[str, Any]


def container(name: str) -> str:
    """Return what the container of a coordinate is called."""
    return f"{name}{_SUFFIX}"


def members(name: str, of: DataType) -> tuple[str, ...]:
    """Return the names of all arrays of a geometry coordinate, which nothing else may have."""
    counts = {"point": (), "linestring": _COUNTS[:2], "polygon": _COUNTS}[of.name]
    return (container(name), f"{name}_x", f"{name}_y", *(f"{name}_{count}" for count in counts))


def mentioned(name: str, of: DataType) -> dict[str, str]:
    """Return the attributes of data along a geometry coordinate: its container, and of points where they are."""
    said = {"geometry": container(name)}
    return said | ({"coordinates": f"{name}_x {name}_y"} if of.name == "point" else {})


def variables(
    name: str,
    labels: Values,
    of: DataType,
    attributes: Mapping[str, Any],
    axes: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Variable]:
    """Return the arrays of a geometry coordinate.

    Parameters
    ----------
    name : str
        The coordinate.
    labels : ndarray, shape (n,)
        Its geometries, as `geometry.checked`.
    of : DataType
        Their type.
    attributes : mapping
        Those that a user gave to the coordinate.
    axes : mapping, optional
        The attributes of x and y in the coordinate reference system of the data set (`crs.axes`), if it has one.
    """
    import numpy as np

    flat = geometry.flattened(labels, of).arrays()
    made: dict[str, Variable] = {}
    for key, values in flat.items():
        along = name if key == "node_count" or of.name == "point" else f"{name}_node" if key in "xy" else f"{name}_part"
        said = {"axis": key.upper()} | dict((axes or {}).get(key, {})) if key in "xy" else {}
        made[f"{name}_{key}"] = Variable((along,), values, said)
    own = {"geometry_type": geometry.CF_NAMES[of.name], "node_coordinates": f"{name}_x {name}_y"}
    own |= {key: f"{name}_{key}" for key in _COUNTS if key in flat}
    if of.name == "point":
        own["coordinates"] = own["node_coordinates"]
    if axes or "grid_mapping" in attributes:
        own["grid_mapping"] = str(attributes.get("grid_mapping", GRID_MAPPING))
    said = {key: value for key, value in attributes.items() if key not in RESERVED}
    own |= {"variable_name": name, DECLARED: declared(of)}
    return {container(name): Variable((), np.zeros((), dtype=np.int32), said | own)} | made


def coordinate(holder: str, said: Mapping[str, Any]) -> tuple[str, DataType]:
    """Return the name and the type of the coordinate that a container stands for, whoever wrote it.

    Raises
    ------
    InvalidInput
        A type of geometry that CF does not have.
    """
    name = str(said.get("variable_name") or (holder.removesuffix(_SUFFIX) if holder.endswith(_SUFFIX) else holder))
    kinds = {cf: own for own, cf in geometry.CF_NAMES.items()}
    kind = said.get("geometry_type")
    if kind not in kinds:
        message = f"{holder}: geometry_type {kind!r}; expected one of {', '.join(kinds)}"
        raise InvalidInput(message)
    return name, _declared(said, kinds[str(kind)])


def _declared(said: Mapping[str, Any], kind: str) -> DataType:
    try:
        found = dtype(**json.loads(said[DECLARED]))
    except (KeyError, TypeError, ValueError):
        return dtype(kind)
    return found if found.name == kind else dtype(kind)


def labels(holder: str, said: Mapping[str, Any], array: Callable[[str], Values]) -> Values:
    """Return the geometries of a container.

    Parameters
    ----------
    holder : str
        The container.
    said : mapping
        Its attributes.
    array : callable
        Returns the values of a variable by its name.

    Raises
    ------
    InvalidInput
        Attributes or counts that are no geometry container of CF.
    """
    kind = coordinate(holder, said)[1].name
    nodes = str(said.get("node_coordinates", "")).split()
    if len(nodes) != 2 or (kind != "point" and "node_count" not in said):
        message = (
            f"{holder}: node_coordinates={' '.join(nodes)!r}; expected two, and a node_count of lines and polygons"
        )
        raise InvalidInput(message)
    counts = {key: array(str(said[key])) for key in _COUNTS if key in said}
    return geometry.gathered(geometry.Flat(kind, array(nodes[0]), array(nodes[1]), **counts), of=holder)


def mine(said: Mapping[str, Any]) -> bool:
    """Return whether attributes are those of a geometry container."""
    return "geometry_type" in said and "node_coordinates" in said


def parts(said: Mapping[str, Any]) -> set[str]:
    """Return the names of the arrays that a container is made of, but for itself."""
    listed = str(said.get("node_coordinates", "")).split()
    return {*listed, *(str(said[key]) for key in _COUNTS if key in said)}


def write(group: Any, name: str, found: Mapping[str, Variable]) -> None:
    """Put the arrays of a geometry coordinate in a group of Zarr, in place of those that were there.

    What these said of themselves, as of the axes of a coordinate reference system, they say again.
    """
    there = dict(group.arrays())
    for key, variable in found.items():
        said = there[key].attrs.asdict() if key in there and key != container(name) else {}
        made = group.create_array(
            key,
            shape=variable.values.shape,
            dtype=variable.values.dtype,
            chunks=tuple(max(1, min(length, _CHUNK)) for length in variable.values.shape),
            dimension_names=variable.dims,
            attributes=said | dict(variable.attributes),
            overwrite=True,
        )
        made[...] = variable.values


#: Nodes of one file.
_CHUNK = 1 << 20


def read(group: Any, name: str) -> Values:
    """Return the labels of a geometry coordinate of a group of Zarr."""
    held = group[container(name)]
    return labels(container(name), held.attrs.asdict(), lambda key: _array(group, key))


def _array(group: Any, key: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(group[key][...])
