"""Data sets of somebody else become data sets of hmp: of xarray, and of netCDF files that it opened.

Coordinates that descend are turned round, and all data along them. Data are read and written block by block. All of it
is taken or nothing: what cannot be is refused by its name, before any data are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes import containers, crs, geometry, keeping, labels
from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.coordinates import AXES, AXIS, STEP
from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.exchange.given import OF_PACKING, Given
from hmp_catalog.datasets.exchange.given import attributes as plain
from hmp_catalog.datasets.values.packing import DECLARED
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import xarray as xr
    from pyproj import CRS

    from hmp_catalog.datasets.dataset import Dataset

    Plan = Callable[[str, "xr.Variable"], Given]

#: Attributes that hmp writes itself where it knows better, and passes on where others have them.
_RAW = ("valid_range", "least_significant_digit", "dtype", "calendar")

#: Units by which CF knows longitudes and latitudes (CF 4.1, 4.2).
_DEGREES = {"degrees_east": "x", "degree_east": "x", "degrees_north": "y", "degree_north": "y"}

#: Attributes that hmp gives the axes of a reference system, where a file has none of its own.
_OF_AXES = ("units", "standard_name", "long_name")

_KINDS = {
    "Point": "point", "LineString": "linestring", "MultiLineString": "linestring", "Polygon": "polygon",
    "MultiPolygon": "polygon",
}  # fmt: skip


class Intake:
    """What of a data set of xarray becomes what.

    Parameters
    ----------
    source : xarray.Dataset
        The data set; its arrays are read when they are written.
    plan : callable
        Returns how a variable is kept: `given.of_file` or `given.of_values`.
    include, exclude : sequence of str, optional
        The variables that are taken, or those that are not.

    Raises
    ------
    NotFound
        A variable that is not there.
    InvalidInput
        What cannot be kept.
    """

    def __init__(
        self,
        source: xr.Dataset,
        plan: Plan,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
    ) -> None:
        self._source = _with_units_of_bounds(source)
        self._plan = plan
        self._said = {str(name): _said(variable) for name, variable in source.variables.items()}
        self._check_names(include, exclude)
        wanted = [name for name in self._said if name not in (exclude or ())]
        self._mappings = self._grid_mappings(wanted)
        self._holders = {name: self._said[name] for name in wanted if containers.mine(self._said[name])}
        parts = {part for said in self._holders.values() for part in containers.parts(said)}
        hidden = {*self._mappings, *self._holders, *parts, *map(str, source.dims)}
        named = [name for name in wanted if name not in hidden]
        self.names = named if include is None else [name for name in named if name in include]
        self.coords = {name: self._coordinate(name) for name in self._along()}
        self._turn()

    def _check_names(self, include: Sequence[str] | None, exclude: Sequence[str] | None) -> None:
        if include is not None and exclude is not None:
            message = "include_data_vars and exclude_data_vars: say one of them"
            raise InvalidInput(message)
        for name in (*(include or ()), *(exclude or ())):
            if name not in self._said:
                message = f"no variable {name!r}; there are {', '.join(self._said)}"
                raise NotFound(message, reference=str(name), candidates=list(self._said))

    # ── what is what ─────────────────────────────────────────────────────────────────────────────────

    def _grid_mappings(self, wanted: Sequence[str]) -> list[str]:
        mentioned = {
            word.rstrip(":") for name in wanted for word in str(self._said[name].get("grid_mapping", "")).split()
        }
        own = {"grid_mapping_name", "crs_wkt"}
        found = [
            name
            for name in wanted
            if self._source.variables[name].size <= 1 and (name in mentioned or own & self._said[name].keys())
        ]
        return [name for name in found if not self._said[name].keys().isdisjoint({*own, "spatial_ref"})]

    def _along(self) -> list[str]:
        """Return the names of the coordinates: those of the dimensions, those without data too."""
        dims = {str(dim) for name in self.names for dim in self._source.variables[name].dims}
        labelled = {str(dim) for dim in self._source.dims if dim in self._source.variables}
        self._geometries = {self._place(holder, said): holder for holder, said in self._holders.items()}
        both = labelled & self._geometries.keys()
        if both:
            name = sorted(both)[0]
            message = (
                f"{name}: has labels of its own, and the geometries of {self._geometries[name]!r}; a coordinate has "
                f"one kind of labels: rename the variable {name!r}, or leave the geometries out (exclude_data_vars)"
            )
            raise InvalidInput(message)
        return [str(dim) for dim in self._source.dims if dim in dims | labelled] + [
            name for name in self._geometries if name not in self._source.dims
        ]

    def _place(self, holder: str, said: Mapping[str, Any]) -> str:
        """Return the dimension along which the geometries of a container are."""
        name = containers.coordinate(holder, said)[0]
        if name in self._source.dims:
            return name
        counted = str(said.get("node_count") or str(said["node_coordinates"]).split()[0])
        return str(self._source.variables[counted].dims[0])

    def _coordinate(self, name: str) -> Given:
        import xarray as xr

        if name in self._geometries:
            holder = self._geometries[name]
            said = self._holders[holder]
            values = containers.labels(holder, said, lambda key: np.asarray(self._source.variables[key].values))
            of = containers.coordinate(holder, said)[1]
            kept = {key: value for key, value in said.items() if key not in {*containers.RESERVED, *OF_PACKING}}
            # what hmp wrote says whether they are the places
            kept |= {} if AXIS in kept or DECLARED in said else {AXIS: "xy"}
            return Given(name, xr.Variable((name,), values), of, kept)
        if name not in self._source.variables:
            return Given(name, xr.Variable((name,), np.arange(self._source.sizes[name])), dtype("int64"), {})
        variable = self._source.variables[name]
        first: Any = variable.values.flat[0] if variable.dtype == object and variable.size else None
        if getattr(first, "geom_type", None) in _KINDS:
            asked = self._plan(name, variable).dtype
            of = asked if asked.kind == "geometry" else dtype(_KINDS[first.geom_type])
            return Given(name, variable.to_base_variable(), of, {AXIS: "xy"} | plain(variable.attrs))
        found = self._plan(name, variable.to_base_variable())
        # labels are few: they are read once, and what they mean is known
        return Given(name, xr.Variable((name,), found.whole()), found.dtype, found.attributes)

    def _turn(self) -> None:
        """Turn round what descends."""
        falling = {}
        for name, found in self.coords.items():
            values = found.variable.values
            if values.dtype.kind in "iufM" and len(values) > 1 and bool((values[1:] < values[:-1]).all()):
                falling[name] = slice(None, None, -1)
        self._pick(falling)

    def _pick(self, positions: Mapping[str, Any]) -> None:
        self._source = self._source.isel({name: each for name, each in positions.items() if name in self._source.dims})
        for name, each in positions.items():
            found = self.coords[name]
            self.coords[name] = Given(name, found.variable[each], found.dtype, found.attributes)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────

    def select(self, sel: Mapping[str, Any] | None, sel_loc: Mapping[str, Any] | None) -> None:
        """Take a part only, by positions or by labels, as `Dataset.select` and `Dataset.select_loc`.

        Raises
        ------
        NotFound
            A coordinate or a label that is not there.
        InvalidInput
            Both of them.
        """
        if sel is not None and sel_loc is not None:
            message = "sel and sel_loc: say one of them"
            raise InvalidInput(message)
        chosen = dict(sel or sel_loc or {})
        for name in chosen:
            if name not in self.coords:
                message = f"no coordinate {name!r}; there are {', '.join(self.coords)}"
                raise NotFound(message, reference=str(name), candidates=list(self.coords))
        found = {name: key if sel_loc is None else self._located(name, key) for name, key in chosen.items()}
        self._pick({name: [key] if isinstance(key, (int, np.integer)) else key for name, key in found.items()})

    def _located(self, name: str, key: Any) -> Any:
        found = self.coords[name]
        if found.dtype.kind == "geometry":
            return geometry.locate(found.variable.values, key, found.dtype, name=name)
        return labels.locate(found.variable.values, key, of=name, precision=found.dtype.precision)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def dataset_type(self) -> str:
        """The type of data set that this is."""
        return "ts_ortho" if any(found.dtype.kind == "geometry" for found in self.coords.values()) else "grid"

    def write(self, target: Dataset, max_mem: int) -> None:
        """Write everything into a new data set."""
        found = {name: self._plan(name, self._source.variables[name].to_base_variable()) for name in self.names}
        self._attributes(target)
        taken: set[str] = set()
        system = self._system()
        for name, each in self.coords.items():
            self._make(target, name, each, taken, degrees=system is None or crs.in_degrees(system))
        self._refer(target, system)
        for name, each in found.items():
            _variable(target, each)
            self._mention(target, name)
        for name, each in found.items():
            _fill(target, name, each, max_mem)

    def _attributes(self, target: Dataset) -> None:
        said = plain(self._source.attrs)
        words = [
            word for word in str(said.get("Conventions", "")).replace(",", " ").split() if not word.startswith("CF-")
        ]
        given = {key: value for key, value in said.items() if key not in {"Conventions", "hmp"}}
        if words:
            given["Conventions"] = " ".join([str(target.attrs["Conventions"]), *words])
        target.attrs.update(given)

    def _make(self, target: Dataset, name: str, found: Given, taken: set[str], *, degrees: bool) -> None:
        said = dict(found.attributes)
        axis = _axis(said, degrees=degrees)
        axis = None if axis in taken else axis
        taken |= {axis} if axis else set()
        steps = found.dtype.kind in {"float", "integer", "datetime"} and said.pop(STEP, None) is not None
        made = target.create.coord.generic(name, data=found.variable.values, dtype=found.dtype, step=steps, axis=axis)
        made.attrs.update({key: value for key, value in said.items() if key not in {AXIS, *_RAW} and key != "axis"})
        if axis is None and "axis" in said:
            made.attrs["axis"] = said["axis"]
        _say(target, keeping.keeper(target.handle, name).holder, {key: said[key] for key in _RAW if key in said})

    def _system(self) -> CRS | None:
        """Return the reference system of the grid mappings, of which there is one."""
        systems = {name: crs.of_attributes(self._said[name], of=name) for name in self._mappings}
        first = next(iter(systems.values()), None)
        for name, system in systems.items():
            if not crs.same(system, first):
                message = (
                    f"{name}: another grid mapping than {next(iter(systems))!r}; a data set has one. Leave one out"
                )
                raise InvalidInput(message)
        return first

    def _refer(self, target: Dataset, system: CRS | None) -> None:
        if system is None:
            return
        target.create.crs.from_user_input(system)
        # what the axes of a system are called is a guess beside what a file says of them
        for name, each in self.coords.items():
            if each.dtype.kind != "geometry":
                _restore(target, keeping.keeper(target.handle, name).holder, each.attributes)

    def _mention(self, target: Dataset, name: str) -> None:
        """Let a variable mention what it did: its auxiliary coordinates, its grid mapping."""
        mapping = {crs.NAME} if "grid_mapping" in self._said[name] and self._mappings else set[str]()
        own = str(target.handle.arrays()[name].attrs.get("coordinates", "")).split()
        dims = set(self._source.variables[name].dims)
        beside = {str(each) for each in self._source.coords if each not in self._source.dims}
        words = [*own, *str(self._said[name].get("coordinates", "")).split(), *sorted(mapping)]
        words += [each for each in sorted(beside - {name}) if dims.issuperset(self._source.variables[each].dims)]
        known = [word for word in dict.fromkeys(words) if word in {*self.names, *own, *mapping}]
        said: dict[str, Any] = {"coordinates": " ".join(known)} if known and name not in beside else {}
        said |= {"grid_mapping": crs.NAME} if mapping else {}
        _say(target, name, said)


def _with_units_of_bounds(source: xr.Dataset) -> xr.Dataset:
    """Return a data set whose bounds of times say what they count: in CF they leave that to the times (7.1)."""
    made = source.copy()
    for variable in source.variables.values():
        bounds = variable.attrs.get("bounds", variable.attrs.get("climatology"))
        if bounds in made.variables and " since " in str(variable.attrs.get("units", "")):
            said = {key: variable.attrs[key] for key in ("units", "calendar") if key in variable.attrs}
            made[bounds].attrs = said | made[bounds].attrs
    return made


def _said(variable: xr.Variable) -> dict[str, Any]:
    """Return the attributes of a variable, those too that xarray took out of them when it decoded."""
    away = {key: variable.encoding[key] for key in ("grid_mapping", "coordinates") if key in variable.encoding}
    return away | plain(variable.attrs)


def _axis(said: Mapping[str, Any], *, degrees: bool) -> str | None:
    """Return which axis a coordinate is: as it says, or as CF tells it by units.

    True longitudes and latitudes are no axes of a plane, nor of a pole that was moved: ``degrees`` is false there.
    """
    named = str(said.get(AXIS) or said.get("axis") or "").lower()
    if named in AXES:
        return named
    return _DEGREES.get(str(said.get("units", ""))) if degrees else None


def _variable(target: Dataset, found: Given) -> None:
    made = target.create.data_var.generic(found.name, found.dims, found.dtype, found.chunks)
    made.attrs.update({key: value for key, value in found.attributes.items() if key not in {*_RAW, *_MENTIONS}})
    _say(target, found.name, {key: value for key, value in found.attributes.items() if key in _RAW})


#: Attributes that name other variables, which may bear other names here.
_MENTIONS = ("coordinates", "grid_mapping", "geometry")


def _say(target: Dataset, holder: str, said: Mapping[str, Any]) -> None:
    if said:
        with target.handle.writing() as group:
            array = group[holder]
            array.attrs.put(array.attrs.asdict() | dict(said))
            target.handle.forget()


def _restore(target: Dataset, holder: str, said: Mapping[str, Any]) -> None:
    """Give an axis back the words of its file; where that counts in another unit, the system has none to add."""
    with target.handle.writing() as group:
        array = group[holder]
        now = array.attrs.asdict()
        other = "units" in said and said["units"] != now.get("units")
        kept = {key: value for key, value in now.items() if not (other and key in _OF_AXES)}
        array.attrs.put(kept | {key: said[key] for key in _OF_AXES if key in said})
        target.handle.forget()


def _fill(target: Dataset, name: str, found: Given, max_mem: int) -> None:
    cells = target.handle.cells(name)
    window = tuple(slice(0, size) for size in cells.shape)
    width = max(cells.packing.decoded.itemsize, 8)
    # a block is there as it was read, as float64, and as codes
    for part in blocks.slabs(window, cells.unit, 3 * width, max_mem) if window else [()]:
        target[name].set(part, found.block(part), decoded=not found.coded)


def taken(intake: Intake, path: Path, *, about: Mapping[str, Any], max_mem: int) -> Dataset:
    """Return a new data set with everything; nothing of it is left after an error.

    Raises
    ------
    PathTaken
        If there is something at the path.
    """
    from hmp_catalog.datasets.combined.filling import all_or_nothing, refuse_taken
    from hmp_catalog.datasets.dataset import open_dataset

    refuse_taken(path)
    target = open_dataset(path, "n", **({"dataset_type": intake.dataset_type} | dict(about)))
    with all_or_nothing(target):
        intake.write(target, max_mem)
    return target
