"""Data sets become one: a new one (`combine`), or what is new goes into one that is there (`merge_into`).

Labels are united, and each cell is told by itself: it is there if it is not missing. All is one session of the target,
so that nothing is there before everything is, and block by block, so that memory does not grow with the data.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from hmp_catalog.datasets.blockwise.rechunking import checked_mem
from hmp_catalog.datasets.combined.filling import all_or_nothing, attributes, create, fill, new
from hmp_catalog.datasets.combined.inputs import Input, agree, names, names_of, opened, united
from hmp_catalog.datasets.combined.overlaying import MAX_MEM, Overlap
from hmp_catalog.datasets.dataset import open_dataset
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_catalog.datasets.dataset import Dataset


def combine(
    datasets: Sequence[Any],
    output_path: str | os.PathLike[str],
    sel: Mapping[str, Any] | None = None,
    overlap: Overlap = "last",
    *,
    compression: str | None = None,
    compression_level: int | None = None,
    include_data_vars: Sequence[str] | None = None,
    exclude_data_vars: Sequence[str] | None = None,
    overwrite: bool = False,
    max_mem: int = MAX_MEM,
) -> Dataset:
    """Make a data set of several, which are left as they are, and return it, committed and open for writing.

    Parameters
    ----------
    datasets : sequence of str, Path, Dataset or DatasetView
        What is combined. Types, dimensions, reference systems and packing must be the same in all. Chunks,
        attributes, and whether a coordinate has a step, are those of the first that has the variable.
    output_path : str or Path
        The folder of the new data set.
    sel : mapping, optional
        Labels that are taken of each input, as of `Dataset.select_loc`.
    overlap : {"last", "first", "error"}
        Which input gives a cell that several have. A cell is there if it is not missing; of types that have nothing
        that means missing (truth, plain integers) all cells between the labels of an input are there.
    compression, compression_level
        Those of the first input, if not given.
    include_data_vars, exclude_data_vars : sequence of str, optional
        The data variables that are taken, or not.
    overwrite
        Whether a data set that is there already is replaced, by a commit: its readers keep what they read.
    max_mem : int
        Bytes that may be in memory at a time, as long as one chunk fits.

    Raises
    ------
    InvalidInput
        Inputs that do not fit together; floats that are neither one label nor clearly two.
    OverlapRefused
        If inputs have the same cells, and ``overlap`` is "error".
    PathTaken
        If the output is there already.
    """
    _check(overlap, max_mem)
    path = Path(output_path)
    with opened(datasets, sel, include_data_vars, exclude_data_vars) as inputs:
        agree(inputs, packing=True)
        like = inputs[0].dataset
        level = compression_level if compression is not None or compression_level else like.compression_level
        about = {"compression": compression or like.compression, "compression_level": level}
        target = new(path, like, overwrite=overwrite, **about)
        with all_or_nothing(target):
            said = _first_wins(inputs)
            create(target, inputs)
            fill(target, inputs, {}, overlap, max_mem)
            target.attrs.update(said)
    return target


def merge_into(
    datasets: Sequence[Any],
    target_path: str | os.PathLike[str],
    allow_expansion: bool | Collection[str] = True,  # noqa: FBT001, FBT002 - the name and place it has in cfdb
    overlap: Overlap = "last",
    *,
    max_mem: int = MAX_MEM,
) -> Dataset:
    """Put data sets into one that is there, and return that, committed and open for writing.

    What goes on from its first or last labels is written beside what is there: what that costs depends on what is new.
    Labels in the middle need all of it written anew; that is done, and takes its time. Whatever fails, the target
    stays what it was, labels included.

    Parameters
    ----------
    datasets : sequence of str, Path, Dataset or DatasetView
        What is put in. Dimensions, axes and types of values must be those of the target; the packing may be another.
        Global attributes of theirs replace those of the target; of its variables the target keeps its own.
    target_path : str or Path
        The folder of the target.
    allow_expansion : bool or collection of str
        Whether labels that the target does not have may come, or along which coordinates.
    overlap : {"last", "first", "error"}
        Which gives a cell that several have, the target being the first; see `combine`.
    max_mem : int
        Bytes that may be in memory at a time, as long as one chunk fits.

    Raises
    ------
    InvalidInput
        Data sets that do not fit into the target, or labels that may not come.
    OutOfRange
        A value that the packing of the target does not reach.
    OverlapRefused
        If the same cells are there already, and ``overlap`` is "error".
    DatasetConflict
        If somebody else changed the same meanwhile.
    """
    _check(overlap, max_mem)
    allowed = allow_expansion if isinstance(allow_expansion, bool) else names_of(allow_expansion)
    with opened(datasets) as inputs:
        target = open_dataset(Path(target_path), "w")
        with all_or_nothing(target):
            own = Input(os.fspath(target_path), target, tuple(target.data_var_names))
            agree([own, *inputs], packing=False)
            middle = _refuse_growth(own, inputs, allowed)
            if not middle:
                _merge(target, own, inputs, overlap, max_mem)
        if middle:
            target.close()
            target = _rewrite(target_path, inputs, overlap, max_mem)
    return target


def _check(overlap: str, max_mem: int) -> None:
    checked_mem(max_mem)
    if overlap not in get_args(Overlap):
        message = f"overlap={overlap!r}; expected one of {', '.join(get_args(Overlap))}"
        raise InvalidInput(message)


def _first_wins(inputs: Sequence[Input]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in reversed(inputs):
        found |= attributes(each.dataset)
    return found


# ── one that is there ────────────────────────────────────────────────────────────────────────────────


def _refuse_growth(own: Input, inputs: Sequence[Input], allowed: bool | Collection[str]) -> bool:  # noqa: FBT001
    """Refuse labels that may not come; return whether any come in the middle."""
    middle = False
    for name in own.coords:
        if not any(name in each.coords for each in inputs):
            continue
        comes = united(name, inputs, own.dataset[name].data).arriving()
        middle = middle or bool(len(comes.middle))
        may = allowed if isinstance(allowed, bool) else name in allowed
        if comes.count and not may:
            first = next(str(each[0]) for each in (comes.before, comes.after, comes.middle) if len(each))
            message = (
                f"{own.name}: {comes.count} labels of {name} are not there, the first is {first}; say "
                f"allow_expansion=True or [{name!r}], or select what is there"
            )
            raise InvalidInput(message)
    return middle


def _merge(target: Dataset, own: Input, inputs: Sequence[Input], overlap: Overlap, max_mem: int) -> None:
    said = {key: value for each in inputs for key, value in attributes(each.dataset).items()}
    coords, _ = names(inputs)
    before = {name: target[name].data for name in own.coords}
    for name in before.keys() & coords.keys():
        comes = united(name, inputs, before[name]).arriving()
        if len(comes.before):
            target[name].prepend(comes.before)
        if len(comes.after):
            target[name].append(comes.after)
    create(target, inputs)
    fill(target, inputs, before, overlap, max_mem)
    if target.attrs.data != target.attrs.data | said:
        target.attrs.update(said)


def _rewrite(path: str | os.PathLike[str], inputs: Sequence[Input], overlap: Overlap, max_mem: int) -> Dataset:
    """Write all of a target anew, with the labels that come in the middle of its own."""
    with open_dataset(Path(path)) as old:
        target = new(Path(path), old, overwrite=True)
        old.refresh()  # what others committed before our session began is in it, and what comes later is a conflict
        with all_or_nothing(target):
            own = Input(os.fspath(path), old, tuple(old.data_var_names))
            said = attributes(old)
            for each in inputs:
                said |= attributes(each.dataset)
            create(target, [own, *inputs])
            fill(target, [own, *inputs], {}, overlap, max_mem)
            target.attrs.update(said)
    return target
