"""A data set is filled from others: coordinates and variables made like theirs, then the data, block by block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.joining import positions
from hmp_catalog.datasets.combined.inputs import Input, names, type_of, united
from hmp_catalog.datasets.combined.overlaying import Layer, Overlap, Region, cut, laid, touched
from hmp_catalog.datasets.dataset import open_dataset
from hmp_catalog.datasets.history.layout import HIDDEN, Layout
from hmp_catalog.datasets.history.versions import Versions
from hmp_catalog.datasets.values import infinities
from hmp_core.errors import PathTaken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.dataset import Dataset, DatasetView

    Positions = NDArray[np.intp]


#: Attributes that tell how a store is written (CF 2.6.1, 9.4).
_OF_THE_STORE = {"Conventions", "featureType"}


@contextlib.contextmanager
def all_or_nothing(target: Dataset) -> Iterator[None]:
    """Commit a target at the end; after an error nothing of it is left, and it is closed."""
    try:
        with infinities.gathered():
            yield
        target.commit()
    except BaseException:
        path = target.file_path
        target.handle.close()
        with contextlib.suppress(OSError):  # only what is empty goes: the folder of a data set that was not yet there
            (path / HIDDEN).rmdir()
            path.rmdir()
        raise


def refuse_taken(path: Path) -> None:
    """Return if nothing is there but what was left by somebody who was killed before a first commit.

    Raises
    ------
    PathTaken
        If there is anything else, a session of somebody who lives among it.
    CorruptError
        If it is a data set that lost what holds it together.
    """
    layout = Layout(path)
    if layout.hidden.is_dir() and not path.is_symlink() and all(map(layout.is_ours, os.listdir(path))):
        versions = Versions(path)
        versions.clear()
        if not versions.exists and not any(path.glob(f"{HIDDEN}/work-*")):
            return
    if os.path.lexists(path):
        message = f"{path} is there already; choose another path"
        raise PathTaken(message, path=str(path))


def new(path: Path, like: Dataset | DatasetView, *, overwrite: bool = False, **about: Any) -> Dataset:
    """Begin a data set of the type and the compression of another, unless ``about`` says others.

    Raises
    ------
    PathTaken
        If there is something at the path, and ``overwrite`` is off.
    """
    if not overwrite:
        refuse_taken(path)
    said = {"compression": like.compression, "compression_level": like.compression_level}
    return open_dataset(path, "n", dataset_type=like.dataset_type, **(said | about))


def attributes(source: Dataset | DatasetView) -> dict[str, Any]:
    """Return the global attributes that go with the data, without those that tell how the store was written."""
    return {key: value for key, value in source.attrs.data.items() if key not in _OF_THE_STORE}


def create(target: Dataset, inputs: Sequence[Input]) -> None:
    """Make the coordinates and variables that the target does not have, with their labels and without data."""
    coords, variables = names(inputs)
    for name in coords.keys() - set(target.coord_names):
        like = coords[name].dataset[name]
        made = target.create.coord.generic(
            name,
            data=united(name, inputs).values,
            dtype=type_of(name, inputs),
            chunk_shape=like.chunk_shape,
            step=like.step is not None,
            axis=like.axis,
        )
        made.attrs.update(like.attrs.data)
    crs = next((each.dataset.crs for each in inputs if each.dataset.crs is not None), None)
    if crs is not None and target.crs is None:
        target.create.crs.from_user_input(crs)
    for name in variables.keys() - set(target.data_var_names):
        like = variables[name].dataset[name]
        added = target.create.data_var.generic(name, like.coord_names, like.dtype, chunk_shape=like.chunk_shape)
        added.attrs.update(like.attrs.data)


def fill(target: Dataset, inputs: Sequence[Input], before: Mapping[str, Any], overlap: Overlap, max_mem: int) -> None:
    """Write the data of the inputs.

    Parameters
    ----------
    target : Dataset
        With all the labels of the inputs.
    inputs : sequence of Input
        In the order in which they are laid on what is there.
    before : mapping
        The labels that the target had before these came, by coordinate.
    overlap : {"last", "first", "error"}
        Which gives a cell that several have.
    max_mem : int
        Bytes that may be in memory at a time.
    """
    coords, variables = names(inputs)
    places: dict[str, list[Positions]] = {}
    for name in coords:
        now = target[name].data
        found = united(name, inputs, now, before.get(name, now[:0]))
        places[name] = [positions(each) for each in found.places[1:]]
    for name in variables:
        there, *coming = _layers(target, name, inputs, places)
        _lay(target, name, there, coming, overlap, max_mem)


def _layers(target: Dataset, name: str, inputs: Sequence[Input], places: Mapping[str, list[Positions]]) -> list[Layer]:
    """Return what the target has of a variable, and what each input has."""
    dims = target[name].coord_names
    old = tuple(places[dim][0] for dim in dims)
    cells = target.handle.cells(name)
    shift = tuple(int(each[0]) if len(each) else 0 for each in old)

    def read(window: Region) -> Any:
        return cells.codes(tuple(slice(s.start + by, s.stop + by) for s, by in zip(window, shift, strict=True)))

    layers = [Layer(f"{name} of the target", read, cells.packing, old)]
    for each in inputs:
        if name in each.variables:
            view = each.dataset[name]
            there = tuple(places[dim][1 + _number(inputs, dim, each)] for dim in dims)
            layers.append(Layer(f"{name} of {each.name}", view.codes, view.packing, there))
    return layers


def _number(inputs: Sequence[Input], dim: str, of: Input) -> int:
    """Return which of the inputs that have a coordinate one is."""
    return [id(each) for each in inputs if dim in each.coords].index(id(of))


def _lay(target: Dataset, name: str, there: Layer, coming: Sequence[Layer], overlap: Overlap, max_mem: int) -> None:
    cells = target.handle.cells(name)
    region = touched(coming, cells.shape, cells.unit)
    for block in cut(region, cells.packing, (cells.unit, cells.chunks), max_mem):
        made = laid(block, cells.packing, [there, *coming], overlap, (cells.chunks, max_mem))
        if made is not None:
            with target.handle.writing():
                target.handle.cells(name).write_codes(block, made.codes)
