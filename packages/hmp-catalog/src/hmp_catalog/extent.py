"""What a finished field store tells of the mesh and the times of a run, read from its metadata alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hmp_catalog.fields import schema
from hmp_catalog.fields.mesh import structure_names
from hmp_catalog.plain import fingerprint
from hmp_catalog.records import FileRecord

_LAYERS = ("layer", "z", "lev", "level")
_HORIZONTAL = (
    {"y", "x"},
    {"lat", "lon"},
    {"latitude", "longitude"},
    {"row", "column"},
    {"row", "col"},
    {"cell"},
    {"face"},
    {"node"},
)


def of_store(path: Path, files: Iterable[FileRecord]) -> dict[str, Any]:
    """Return cells of a layer, layers, time steps and their unit, and the hash of the coordinates of the mesh.

    Parameters
    ----------
    path
        The folder of a finished store.
    files
        The records of its files.
    """
    root = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    documents: dict[str, Any] = root["consolidated_metadata"]["metadata"]
    places = schema.coordinate_names(documents) | structure_names(documents)
    sizes: dict[str, int] = {}
    cells = None
    for name in sorted(documents.keys() - places):
        here = dict(zip(documents[name]["dimension_names"], documents[name]["shape"], strict=True))
        cells = _cells(here, documents[name]["attributes"]) or cells
        sizes |= here
    layers = next((sizes[dim] for dim in _LAYERS if dim in sizes), None)
    times = [dim for dim in sizes if schema.is_time(dim)]
    return {
        "n_cells": cells,
        "n_layers": layers if layers is not None or cells is None else 1,
        "n_timesteps": max((sizes[dim] for dim in times), default=None),
        "mesh_hash": _mesh_hash(path.name, places, files) if cells is not None else None,
        "zarr_path": path.name,
        "time_unit": _unit(documents, times),
    }


def _cells(sizes: Mapping[str, int], attributes: Mapping[str, Any]) -> int | None:
    """Return how many cells a layer has on which a field lies, if it lies on a mesh."""
    dims = {dim for dim in sizes if not schema.is_time(dim) and dim not in _LAYERS}
    if dims in _HORIZONTAL or ("mesh" in attributes and len(dims) == 1):
        return math.prod(sizes[dim] for dim in dims)
    return None


def _mesh_hash(store: str, places: Iterable[str], files: Iterable[FileRecord]) -> str | None:
    """Return the hash of the values of all coordinates but times: runs on the same mesh have the same."""
    wanted = tuple(f"{store}/{name}/" for name in places if not schema.is_time(name))
    found = sorted((one.path, one.sha256) for one in files if one.path.startswith(wanted) and "/c" in one.path)
    return fingerprint(found) if found else None


def _unit(documents: Mapping[str, Any], times: Iterable[str]) -> str | None:
    """Return the CF unit in which the steps are counted: "days" since 1970 are of "day"."""
    units = [documents[dim]["attributes"].get("units", "") for dim in times if dim in documents]
    return units[0].partition(" ")[0].removesuffix("s") or None if units else None
