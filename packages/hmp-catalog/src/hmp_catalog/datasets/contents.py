"""What is in a data set: which arrays are coordinates, which are data, and which only serve others.

A coordinate is an array of one dimension that has its own name (CF 5), or a container of geometries that hmp wrote.
What holds the nodes of geometries, and what describes a grid mapping, are no data of anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import containers
from hmp_catalog.datasets.axes.crs import NAME
from hmp_catalog.datasets.values.packing import DECLARED

if TYPE_CHECKING:
    import zarr

#: Attributes that only a grid mapping has; the last is all that the fields of a run say of an EPSG code.
_MAPPINGS = {"grid_mapping_name", "crs_wkt", "spatial_ref", "epsg_code"}


@dataclass(frozen=True)
class Contents:
    """The names of a data set, each in the order of the alphabet.

    ``geometries`` are the coordinates whose labels are geometries, each with its container; ``unlabelled`` are
    dimensions that somebody else gave no labels, with their lengths; ``mappings`` are the grid mappings.
    """

    coords: tuple[str, ...]
    data_vars: tuple[str, ...]
    geometries: Mapping[str, str]
    unlabelled: Mapping[str, int]
    mappings: tuple[str, ...] = ()


def contents(arrays: Mapping[str, zarr.Array[Any]]) -> Contents:
    """Tell coordinates from data among the arrays of a group."""
    said = {name: array.attrs.asdict() for name, array in arrays.items()}
    holders = [name for name in arrays if containers.mine(said[name]) and DECLARED in said[name]]
    geometries = {containers.coordinate(name, said[name])[0]: name for name in holders}
    hidden = {*holders, *(part for name in holders for part in containers.parts(said[name]))}
    mappings = [name for name, array in arrays.items() if not array.shape and _MAPPINGS & said[name].keys()]
    hidden |= set(mappings)
    labelled = {name for name, array in arrays.items() if name not in hidden and dims(name, array) == (name,)}
    data = sorted(arrays.keys() - hidden - labelled)
    sizes = {dim: size for name in data for dim, size in zip(dims(name, arrays[name]), arrays[name].shape, strict=True)}
    bare = {dim: size for dim, size in sizes.items() if dim not in labelled | geometries.keys()}
    return Contents(
        tuple(sorted({*labelled, *geometries, *bare})),
        tuple(data),
        geometries,
        bare,
        tuple(sorted(mappings, key=lambda name: (name != NAME, name))),
    )


def dims(name: str, array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return the names of the dimensions of an array, made up where whoever wrote it gave none."""
    given = getattr(array.metadata, "dimension_names", None) or (None,) * array.ndim
    return tuple(dim or f"{name}_{axis}" for axis, dim in enumerate(given))
