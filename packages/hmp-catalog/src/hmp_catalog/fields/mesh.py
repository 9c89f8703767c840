"""The mesh that fields lie on: nodes, the cells between them, and what UGRID says of both.

A layered mesh is one of polygons with a ``layer`` dimension beside the cells; a fully unstructured one has either a
polygon for each of its cells, or their corners in three dimensions. Source: UGRID conventions 1.0 (2-D flexible mesh,
3-D layered mesh, 3-D unstructured mesh). Cells are numbered from 0, absent corners are -1. Of volumes the faces are not
written: how corners form them hangs on the shape of each cell, of which nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import schema
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hmp_catalog.fields.values import Values

#: What stands where a cell has fewer corners than others.
NO_NODE = -1

_AXES = ("x", "y", "z")
#: How UGRID calls a cell, and how many corners it has at least, by the number of its dimensions.
_KINDS = {2: ("face", 3), 3: ("volume", 4)}


@dataclass(frozen=True)
class Structure:
    """A variable that describes a mesh or a projection, and is no field: its values are as they are."""

    name: str
    dims: tuple[str, ...]
    values: Values
    attributes: dict[str, Any]
    fill: int | None = None


@dataclass(frozen=True)
class Mesh:
    """A mesh as it is kept: its cells lie along the dimension ``dim``."""

    name: str
    dim: str
    #: "face" or "volume"
    location: str
    sizes: dict[str, int]
    variables: tuple[Structure, ...]

    @property
    def centres(self) -> list[str]:
        """The variables that hold the centres of the cells."""
        return [each.name for each in self.variables if each.dims == (self.dim,)]

    def beside(self) -> dict[str, str]:
        """Return what each field on the mesh says of it."""
        return {"mesh": self.name, "location": self.location}


def given_mesh(
    nodes: Any, cells: Any, *, name: str = "mesh", dim: str = "cell", centres: Any = None, start_index: int = 0,
    crs_is_geographic: bool = False,
) -> Mesh:  # fmt: skip
    """Return the mesh that a caller describes.

    Parameters
    ----------
    nodes : array_like, shape (2 or 3, n)
        The coordinates of the corners: x and y, and z where cells are volumes.
    cells : array_like of int, shape (m, k), or sequence of sequences
        The corners of each cell; rows may end with -1, or be masked, where a cell has fewer.
    name, dim : str
        What the mesh and the dimension of its cells are called.
    centres : array_like, shape (2 or 3, m), optional
        The centres of the cells; else their centroids.
    start_index : int
        The number that the caller's first node has; it is kept as 0.
    crs_is_geographic : bool
        Coordinates are longitudes and latitudes.

    Raises
    ------
    InvalidInput
        A name that is none, corners that are no nodes, a cell with too few, or centres of another number.
    """
    schema.check_name(name, "mesh")
    schema.check_name(dim, "dimension")
    points = _points(nodes, f"nodes of {name}")
    corners = _corners(cells, points.shape[1], start_index, name)
    location, least = _KINDS[len(points)]
    if (short := (corners != NO_NODE).sum(axis=1)).min() < least:
        message = f"{name}: cell {int(short.argmin())} has {int(short.min())} corners, expected {least} or more"
        raise InvalidInput(message)
    middle = _centroids(points, corners) if centres is None else _points(centres, f"centres of {name}")
    if middle.shape != (len(points), len(corners)):
        message = f"centres of {name}: {middle.shape[1]} in {len(middle)} dimensions, expected {len(corners)} cells"
        raise InvalidInput(message)
    node, most = f"{name}_node", f"{name}_max_corners"
    table = Structure(
        f"{name}_{location}_nodes", (dim, most), corners.astype("<i4"),
        {"cf_role": f"{location}_node_connectivity", "long_name": "corners of each cell", "start_index": 0}, NO_NODE,
    )  # fmt: skip
    variables = [
        *_coordinates(f"{name}_node", (node,), points, "mesh nodes", geographic=crs_is_geographic),
        *_coordinates(f"{name}_{location}", (dim,), middle, "cell centres", geographic=crs_is_geographic),
        table,
    ]
    topology = _topology(name, location, dim, len(points), variables)
    sizes = {dim: len(corners), node: points.shape[1], most: corners.shape[1]}
    return Mesh(name, dim, location, sizes, (*variables, topology))


def _topology(name: str, location: str, dim: str, axes: int, variables: Sequence[Structure]) -> Structure:
    import numpy as np

    said = {
        "cf_role": "mesh_topology",
        "long_name": f"topology of {name}",
        "topology_dimension": axes,
        "node_coordinates": " ".join(v.name for v in variables if v.dims == (f"{name}_node",)),
        f"{location}_dimension": dim,
        f"{location}_node_connectivity": variables[-1].name,
        f"{location}_coordinates": " ".join(v.name for v in variables if v.dims == (dim,)),
    }
    return Structure(name, (), np.array(0, dtype="<i4"), said)


def _coordinates(prefix: str, dims: tuple[str, ...], points: Values, of: str, *, geographic: bool) -> list[Structure]:
    names = ("lon", "lat", "z") if geographic else _AXES
    found = []
    for axis, like, values in zip(_AXES, names, points, strict=False):
        known = {key: value for key, value in schema.COORDINATES[like].items() if key != "axis"}
        said = known | {"long_name": f"{known['long_name']} of {of}"}
        found.append(Structure(f"{prefix}_{axis}", dims, values, said))
    return found


# ── what a caller hands over ─────────────────────────────────────────────────────────────────────────


def _points(given: Any, of: str) -> NDArray[np.float64]:
    import numpy as np

    try:
        found = np.ascontiguousarray(given, dtype="<f8")
    except (TypeError, ValueError) as error:
        message = f"{of}: {error}; expected coordinates (x, y) or (x, y, z), as many of each"
        raise InvalidInput(message) from error
    if found.ndim != 2 or len(found) not in _KINDS or not found.shape[1] or not np.isfinite(found).all():
        message = f"{of}: shape {found.shape}; expected finite (x, y) or (x, y, z), as many of each"
        raise InvalidInput(message)
    return found


def _corners(given: Any, nodes: int, start: int, of: str) -> NDArray[np.int64]:
    """Return a row per cell, filled up with `NO_NODE`; node 0 is the first."""
    import numpy as np

    rows = _rows(given, of)
    found = np.full((len(rows), max((len(row) for row in rows), default=0)), NO_NODE, dtype="i8")
    for number, row in enumerate(rows):
        found[number, : len(row)] = row - start
    strange = (found != NO_NODE) & ((found < 0) | (found >= nodes))
    if not found.size or strange.any():
        at = int(strange.any(axis=1).argmax()) if found.size else 0
        message = f"{of}: cell {at} has a corner that is no node: there are {nodes}, numbered from {start}"
        raise InvalidInput(message)
    return found


def _rows(given: Any, of: str) -> list[NDArray[np.int64]]:
    import numpy as np

    rows = []
    for row in given:
        part = np.ma.filled(np.ma.asanyarray(row), NO_NODE)
        if part.ndim != 1 or part.dtype.kind not in "iuf" or (part.dtype.kind == "f" and (part % 1 > 0).any()):
            message = f"{of}: the corners of a cell are whole numbers; got {row!r:.80}"
            raise InvalidInput(message)
        whole = np.where(np.isnan(part), NO_NODE, part).astype("i8") if part.dtype.kind == "f" else part.astype("i8")
        rows.append(whole[whole != NO_NODE])
    return rows


def _centroids(points: NDArray[np.float64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centroid of each polygon (by its signed area), or the mean of the corners of each volume."""
    import numpy as np

    there = corners != NO_NODE
    mean: NDArray[np.float64] = np.where(there, points[:, corners], 0.0).sum(axis=2) / there.sum(axis=1)
    if len(points) == 3:
        return mean
    # corners are filled up with the first one, which adds edges of no length; about the mean, for precision
    filled = np.where(there, corners, corners[:, :1])
    x, y = points[:, filled] - mean[:, :, np.newaxis]
    cross = x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y
    area = cross.sum(axis=1) / 2
    flat = np.isclose(area, 0.0, atol=1e-12 * max(1.0, float(np.abs(cross).max())))
    scale = 6 * np.where(flat, 1.0, area)
    moved = np.array([((each + np.roll(each, -1, axis=1)) * cross).sum(axis=1) for each in (x, y)]) / scale
    found: NDArray[np.float64] = mean + np.where(flat, 0.0, moved)
    return found


# ── what the metadata says ───────────────────────────────────────────────────────────────────────────


def structure_names(documents: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the arrays that describe a mesh or a projection, and hold no field."""
    found: set[str] = set()
    for name, document in documents.items():
        said = document["attributes"]
        if said.get("cf_role") == "mesh_topology":
            named = (value for key, value in said.items() if key.endswith(("_coordinates", "_connectivity")))
            found |= {name, *(word for text in named for word in str(text).split())}
        if "grid_mapping" in said:
            found.add(str(said["grid_mapping"]))
    return found & documents.keys()
