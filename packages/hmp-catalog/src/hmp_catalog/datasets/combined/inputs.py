"""Several data sets that become one: opened, held against one another, their labels united."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes.joining import Joined, joined
from hmp_catalog.datasets.dataset import DatasetView, open_dataset
from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_catalog.datasets.dataset import Dataset


@dataclass(frozen=True)
class Input:
    """One of the data sets. Its ``name`` is for errors; ``variables`` are the data variables that are taken of it."""

    name: str
    dataset: Dataset | DatasetView
    variables: tuple[str, ...]

    @property
    def coords(self) -> tuple[str, ...]:
        """The coordinates that are taken: all, or those of the variables if only some of these are."""
        if set(self.variables) == set(self.dataset.data_var_names):
            return tuple(self.dataset.coord_names)
        used = {dim for name in self.variables for dim in self.dataset[name].coord_names}
        return tuple(name for name in self.dataset.coord_names if name in used)


@contextlib.contextmanager
def opened(
    datasets: Sequence[Any],
    sel: Mapping[str, Any] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> Iterator[list[Input]]:
    """Open what is a path, and close that again; what is open stays open.

    Parameters
    ----------
    datasets : sequence of str, Path, Dataset or DatasetView
        What is taken.
    sel : mapping, optional
        Labels that are taken of each, as of `Dataset.select_loc`.
    include, exclude : sequence of str, optional
        The data variables that are taken, or not.

    Raises
    ------
    InvalidInput
        If there is none, or a variable is named that none of them has.
    """
    listed = _listed(datasets)
    with contextlib.ExitStack() as stack:
        found = []
        for number, given in enumerate(listed):
            path = isinstance(given, (str, os.PathLike))
            whole = stack.enter_context(open_dataset(given)) if path else given
            part = whole.select_loc(dict(sel)) if sel else whole
            name = os.fspath(given) if path else f"{getattr(given, 'file_path', 'data set')} (input {number})"
            found.append((name, part))
        wanted = _wanted([part.data_var_names for _, part in found], include, exclude)
        yield [Input(name, part, tuple(v for v in part.data_var_names if v in wanted)) for name, part in found]


def _listed(datasets: Any) -> list[Any]:
    """Return what is combined as a list; a data set alone is none, though it can be iterated over, as its names."""
    alone = isinstance(datasets, (str, bytes, os.PathLike, DatasetView))
    found = list(datasets) if isinstance(datasets, Iterable) and not alone else []
    if not found or not all(isinstance(each, (str, os.PathLike, DatasetView)) for each in found):
        message = f"datasets={datasets!r}: expected a list of paths or open data sets, at least one"
        raise InvalidInput(message)
    return found


def _wanted(there: Sequence[Sequence[str]], include: Sequence[str] | None, exclude: Sequence[str] | None) -> set[str]:
    known = {name for names in there for name in names}
    if include is not None and exclude is not None:
        message = "include_data_vars and exclude_data_vars: say one of them"
        raise InvalidInput(message)
    taken, left = names_of(include), names_of(exclude)
    for name in (*taken, *left):
        if name not in known:
            message = f"{name!r} is no data variable of the inputs; there are {', '.join(sorted(known)) or 'none'}"
            raise InvalidInput(message)
    return known - set(left) if include is None else set(taken)


def names_of(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return names that are given, of which one may come alone and many from a generator."""
    return (given,) if isinstance(given, str) else tuple(given or ())


# ── held against one another ─────────────────────────────────────────────────────────────────────────


def agree(inputs: Sequence[Input], *, packing: bool) -> None:
    """Refuse data sets that cannot be one.

    Parameters
    ----------
    packing
        Whether data variables must be packed alike too.

    Raises
    ------
    InvalidInput
        Different dataset types, coordinate reference systems, dimensions, axes or types of values.
    """
    first = inputs[0]
    known: dict[str, tuple[str, Any]] = {}
    for each in inputs:
        _refuse("dataset type", "", (first.name, first.dataset.dataset_type), (each.name, each.dataset.dataset_type))
        crs = each.dataset.crs
        if crs is not None:
            _refuse("coordinate reference system", "", known.setdefault("", (each.name, crs)), (each.name, crs))
        for name in (*each.coords, *each.variables):
            for what, said in _said_of(each, name, packing=packing).items():
                _refuse(what, name, known.setdefault(f"{name} {what}", (each.name, said)), (each.name, said))


def _said_of(each: Input, name: str, *, packing: bool) -> dict[str, Any]:
    """Return what must be the same wherever there is a variable of that name."""
    view = each.dataset[name]
    if name in each.coords:
        return {"kind": "coordinate", "axis": view.axis, "type": view.dtype.name}
    values = view.dtype if packing else view.dtype.name
    return {"kind": "data variable", "dimensions": tuple(view.coord_names), "type": values}


def _refuse(what: str, name: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    if one[1] == other[1]:
        return
    of = f" of {name}" if name else ""
    message = f"{what}{of}: {_shown(one[1])} in {one[0]}, {_shown(other[1])} in {other[0]}; expected the same in all"
    raise InvalidInput(message)


def _shown(said: Any) -> str:
    if isinstance(said, DataType):
        given = {key: getattr(said, key) for key in ("precision", "min_value", "max_value", "dtype_encoded", "offset")}
        return ", ".join([said.name, *(f"{key}={value}" for key, value in given.items() if value is not None)])
    return ", ".join(said) if isinstance(said, tuple) else str(said)


# ── their labels ─────────────────────────────────────────────────────────────────────────────────────


def names(inputs: Sequence[Input]) -> tuple[dict[str, Input], dict[str, Input]]:
    """Return the coordinates and the data variables, each with the first input that has it."""
    coords: dict[str, Input] = {}
    variables: dict[str, Input] = {}
    for each in inputs:
        for name in each.coords:
            coords.setdefault(name, each)
        for name in each.variables:
            variables.setdefault(name, each)
    return coords, variables


def united(name: str, inputs: Sequence[Input], *before: Any) -> Joined:
    """Return the labels of a coordinate in all inputs that have it, after those that are there ``before``."""
    views = [each.dataset[name] for each in inputs if name in each.coords]
    precision = views[0].dtype.precision if views[0].dtype.kind == "float" else None
    return joined([*before, *(view.data for view in views)], of=name, precision=precision)


def type_of(name: str, inputs: Sequence[Input]) -> DataType:
    """Return the type of the labels of a coordinate; where inputs pack them differently they are not packed."""
    said: list[DataType] = [each.dataset[name].dtype for each in inputs if name in each.coords]
    if all(each == said[0] for each in said):
        return said[0]
    return dtype(said[0].name) if said[0].kind != "geometry" else said[0]
