"""Geometries as labels of a coordinate, and the flat arrays that CF keeps them in.

Places of stations, lines of rivers and outlines of catchments are kept as CF geometry containers (CF 7.5): their nodes
one after another, and counts that say which belong together. A line may have several parts and so may a polygon, with
holes; a point is one place. Parts of a geometry keep their order; rings are turned as CF wants them, and begin where
they began. What has one part is read as having one: CF does not tell a multi-polygon of one part from a polygon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.ticks import Growth, Truncation
from hmp_catalog.datasets.dtypes import GEOMETRIES, DataType
from hmp_catalog.datasets.libraries import library
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: What CF calls each type.
CF_NAMES = {"point": "point", "linestring": "line", "polygon": "polygon"}

#: What a type takes, as shapely numbers it: a point; a line or several; a polygon or several.
_TAKEN = {"point": (0,), "linestring": (1, 5), "polygon": (3, 6)}


@dataclass(frozen=True)
class Flat:
    """Geometries in flat arrays.

    ``x`` and ``y`` are the nodes; ``node_count`` is how many each geometry has, ``part_node_count`` how many each line
    or ring, and ``interior_ring`` is 1 for a hole. Points have nodes only, lines no holes.
    """

    kind: str
    x: Values
    y: Values
    node_count: Values | None = None
    part_node_count: Values | None = None
    interior_ring: Values | None = None

    def arrays(self) -> Mapping[str, Values]:
        """Return the arrays there are, by what CF calls them."""
        found = {"x": self.x, "y": self.y, "node_count": self.node_count, "part_node_count": self.part_node_count}
        return {
            key: value for key, value in (found | {"interior_ring": self.interior_ring}).items() if value is not None
        }


# ── geometries and their arrays ──────────────────────────────────────────────────────────────────────


def flattened(values: Values, of: DataType) -> Flat:
    """Return geometries, as `checked`, in flat arrays."""
    shapely = _shapely()
    if of.name == "point":
        nodes = shapely.get_coordinates(values)
        return Flat(of.name, nodes[:, 0].copy(), nodes[:, 1].copy())
    # one multiple among them makes shapely say all as multiples, with one more level of offsets
    many = np.array([_multiple(shapely, value) for value in values], dtype=object)
    _, nodes, offsets = shapely.to_ragged_array(many) if len(many) else (None, np.empty((0, 2)), _EMPTY[of.name])
    starts = offsets[0].astype(np.int64)
    whole = starts[offsets[1]] if of.name == "linestring" else starts[offsets[1][offsets[2]]]
    holes = None
    if of.name == "polygon":
        holes = np.ones(len(starts) - 1, dtype=np.int8)
        holes[offsets[1][:-1]] = 0
    x, y = nodes[:, 0].copy(), nodes[:, 1].copy()
    return Flat(of.name, x, y, np.diff(whole).astype(np.int32), np.diff(starts).astype(np.int32), holes)


_EMPTY = {name: tuple(np.zeros(1, dtype=np.int64) for _ in range(3)) for name in ("linestring", "polygon")}


def _multiple(shapely: Any, value: Any) -> Any:
    if value.geom_type == "LineString":
        return shapely.MultiLineString([value])
    return shapely.MultiPolygon([value]) if value.geom_type == "Polygon" else value


def gathered(flat: Flat, *, of: str = "coordinate") -> Values:
    """Return the geometries of flat arrays, whoever wrote them.

    Raises
    ------
    InvalidInput
        Counts that do not agree with each other.
    """
    shapely = _shapely()
    nodes = np.stack([flat.x, flat.y], axis=-1).astype(np.float64)
    if flat.node_count is None:
        return _objects(shapely.points(nodes) if len(nodes) else [])
    ends = _ends(flat.node_count)
    starts = ends if flat.part_node_count is None else _ends(flat.part_node_count)
    if ends[-1] != len(nodes) or starts[-1] != len(nodes) or not np.isin(ends, starts).all():
        message = f"{of}: {len(nodes)} nodes, but counts for {ends[-1]} (of parts: {starts[-1]}); they do not agree"
        raise InvalidInput(message)
    if flat.kind == "point":
        message = f"{of}: points of several places each are not taken here; give each place a label of its own"
        if (flat.node_count != 1).any():
            raise InvalidInput(message)
        return _objects(shapely.points(nodes))
    return _of_parts(shapely, flat, nodes, starts, ends)


def _of_parts(shapely: Any, flat: Flat, nodes: Values, starts: Values, ends: Values) -> Values:
    if not len(ends) - 1:
        return _objects([])
    if flat.kind == "linestring":
        each = [shapely.linestrings(nodes[start:stop]) for start, stop in pairwise(starts)]
        begins = starts[:-1]
        gather = shapely.multilinestrings
    else:
        holes = np.zeros(len(starts) - 1, dtype=bool)
        if flat.interior_ring is not None:
            holes = np.asarray(flat.interior_ring) != 0
        outer = np.flatnonzero(~holes)
        rings = [nodes[start:stop] for start, stop in pairwise(starts)]
        bounds = zip(outer, np.append(outer[1:], len(rings)), strict=True)
        each = [shapely.Polygon(rings[first], rings[first + 1 : after]) for first, after in bounds]
        begins = starts[:-1][outer]
        gather = shapely.multipolygons
    first = np.searchsorted(begins, ends)
    return _objects(_together(each[start:stop], gather) for start, stop in pairwise(first))


def _ends(counts: Values) -> Values:
    return np.append(0, np.cumsum(counts, dtype=np.int64))


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────


def checked(values: Any, of: DataType, *, name: str = "coordinate") -> Values:
    """Return the labels of a geometry coordinate, at its precision, in an array of its own.

    Parameters
    ----------
    values : sequence of shapely geometries or str
        Text is WKT.
    of : DataType
        ``point``, ``linestring`` or ``polygon``, with its precision.
    name : str
        The coordinate, for the message of an error.

    Raises
    ------
    InvalidInput
        A geometry of another type, an empty one, heights, coordinates that are not finite, a polygon that is not
        valid at that precision, or twice the same.
    """
    shapely = _shapely()
    kept = _rounded(shapely, _given(shapely, values, of, name), of)
    invalid = ~shapely.is_valid(kept) | shapely.is_empty(kept)
    if invalid.any():
        at = int(invalid.argmax())
        why = shapely.is_valid_reason(kept[at])
        message = f"{name}: {_short(kept[at])} at {at} is not valid, kept at {of.precision} decimals: {why}"
        raise InvalidInput(message)
    seen: dict[str, int] = {}
    for at, key in enumerate(_keys(shapely, kept)):
        before = seen.setdefault(key, at)
        if before != at:
            message = f"{name}: {_short(kept[at])} stands at {before} and again at {at}; each label may stand once"
            raise InvalidInput(message)
    return kept


def _given(shapely: Any, values: Any, of: DataType, name: str) -> Values:
    """Return geometries of a type; text is WKT."""
    if isinstance(values, np.ndarray) and values.ndim != 1:
        message = f"{name}: shape {values.shape}; a coordinate has one dimension"
        raise InvalidInput(message)
    single = isinstance(values, str) or hasattr(values, "geom_type")
    found = _objects(_read(shapely, value, name) for value in ([values] if single else values))
    expected = f"expected a {GEOMETRIES[of.name]} of shapely, or its WKT"
    _refuse(~shapely.is_geometry(found), found, f"is no geometry; {expected}", name)
    other = ~np.isin(shapely.get_type_id(found), _TAKEN[of.name])
    _refuse(other, found, f"is no label of {of.name}s; {expected}", name)
    _refuse(shapely.is_empty(found), found, "is empty", name)
    _refuse(shapely.has_z(found), found, "has heights; expected x and y of every node, keep heights as data", name)
    nodes, whose = shapely.get_coordinates(found, return_index=True)
    endless = np.isin(np.arange(len(found)), whose[~np.isfinite(nodes).all(axis=1)])
    _refuse(endless, found, "has nodes that are not finite", name)
    return found


def _read(shapely: Any, value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return shapely.from_wkt(value)
    except shapely.errors.ShapelyError as error:
        message = f"{name}: {_short(value)} is not WKT: {error}"
        raise InvalidInput(message) from error


def _refuse(wrong: Values, found: Values, why: str, name: str) -> None:
    if wrong.any():
        at = int(wrong.argmax())
        message = f"{name}: {_short(found[at])} at {at} {why}"
        raise InvalidInput(message)


def _rounded(shapely: Any, values: Values, of: DataType) -> Values:
    """Return geometries at a precision; of one part, if they have one; with their rings as CF turns them."""
    decimals = of.precision
    # adding 0 makes 0 of -0: the same place is the same bytes in a store
    kept = shapely.transform(values, lambda nodes: (nodes if decimals is None else np.round(nodes, decimals)) + 0.0)
    if of.name == "point":
        return _objects(kept)
    if of.name == "polygon":
        turn = library("shapely.geometry.polygon", "geometries need").orient
        kept = [
            _together([turn(part, 1.0) for part in shapely.get_parts(value)], shapely.multipolygons) for value in kept
        ]
        return _objects(kept)
    return _objects(_together(list(shapely.get_parts(value)), shapely.multilinestrings) for value in kept)


def _together(parts: list[Any], gather: Any) -> Any:
    return parts[0] if len(parts) == 1 else gather(parts)


def _keys(shapely: Any, values: Values) -> list[str]:
    """Return of each geometry what it has in common with those that are the same, wherever their rings begin."""
    return list(shapely.to_wkt(shapely.normalize(values), rounding_precision=-1))


def position(values: Values, label: Any, of: DataType, *, name: str = "coordinate") -> int:
    """Return where a geometry is among labels.

    Raises
    ------
    NotFound
        If it is not there.
    InvalidInput
        What is no geometry of that type.
    """
    shapely = _shapely()
    wanted = _keys(shapely, _rounded(shapely, _given(shapely, _objects([label]), of, name), of))[0]
    keys = _keys(shapely, values)
    if wanted in keys:
        return keys.index(wanted)
    near = [_short(value) for value in values[:5]]
    message = f"{name}: no label {_short(label)}; {'among the first: ' + ', '.join(near) if near else 'there are none'}"
    raise NotFound(message, reference=str(label), candidates=near)


def locate(values: Values, key: Any, of: DataType, *, name: str = "coordinate") -> Any:
    """Return positions of geometries: an int for one, a slice for a slice, an array for a list; both ends belong."""
    if isinstance(key, slice):
        start = 0 if key.start is None else position(values, key.start, of, name=name)
        stop = len(values) if key.stop is None else position(values, key.stop, of, name=name) + 1
        if stop < start:
            message = f"{name}: {_short(key.start)} comes after {_short(key.stop)}; say the first of them first"
            raise InvalidInput(message)
        return slice(start, stop, key.step)
    if isinstance(key, (list, tuple, np.ndarray)):
        return np.array([position(values, label, of, name=name) for label in key], dtype=np.intp)
    return position(values, key, of, name=name)


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────


def appended(values: Values, new: Any, of: DataType, *, name: str = "coordinate") -> Growth:
    """Return a coordinate with geometries after its last; those that are there already are refused."""
    batch = checked(new, of, name=name)
    whole = checked(_objects([*values, *batch]), of, name=name)
    return Growth(whole, slice(0, len(values)), np.arange(len(values), len(whole)))


def prepended(values: Values, new: Any, of: DataType, *, name: str = "coordinate") -> Growth:
    """Return a coordinate with geometries before its first; those that are there already are refused."""
    batch = checked(new, of, name=name)
    whole = checked(_objects([*batch, *values]), of, name=name)
    return Growth(whole, slice(len(batch), len(whole)), np.arange(len(batch)))


def truncated(
    values: Values, of: DataType, start: Any = None, stop: Any = None, *, name: str = "coordinate"
) -> Truncation:
    """Return a coordinate from one geometry to another, both included."""
    kept = locate(values, slice(start, stop), of, name=name)
    return Truncation(values[kept].copy(), kept)


def _objects(values: Any) -> Values:
    """Return an array of one dimension, whatever its items are iterable into."""
    items = list(values)
    found = np.empty(len(items), dtype=object)
    for at, item in enumerate(items):
        found[at] = item
    return found


def _short(value: Any) -> str:
    text = getattr(value, "wkt", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shapely() -> Any:
    return library("shapely", "geometries need")
