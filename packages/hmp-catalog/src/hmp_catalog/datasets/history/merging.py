"""Two sessions on one base, put together: what one changed is taken from it, what both changed cell by cell.

A file was changed if it is another one than in the base (its inode), so that nothing is read of what nobody
touched. Nothing here decides by time, or by who came first: where both changed the same, `DatasetConflict` is raised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_catalog.datasets.axes import containers
from hmp_catalog.datasets.history import documents
from hmp_catalog.datasets.history.documents import Document
from hmp_catalog.datasets.history.trees import Files, changed, inventory, link, remove_empty
from hmp_catalog.errors import DatasetConflict

if TYPE_CHECKING:
    import numpy as np
    import zarr
    from numpy.typing import NDArray

    Cells = NDArray[Any]
    Region = tuple[slice, ...]


class Side:
    """One of the three trees: its files, its documents, and what it changed of the base."""

    def __init__(self, folder: Path | None, base: Side | None = None) -> None:
        self.folder = folder
        self.files: Files = inventory(folder)
        self.nodes: dict[str, Document] = documents.nodes(folder) if folder is not None else {}
        self.changed = changed(base.files, self.files) if base is not None else set()

    def bytes_of(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is not there."""
        return (self.folder / name).read_bytes() if self.folder is not None and name in self.files else None


class Merge:
    """What ``ours`` changed of ``base``, put into a tree of links to ``theirs``.

    Parameters
    ----------
    root : Path
        The data set, as errors name it.
    base, ours, theirs : Path
        The three trees; ``base`` is None where there was nothing.
    """

    def __init__(self, root: Path, base: Path | None, ours: Path, theirs: Path) -> None:
        self.root = root
        self.base = Side(base)
        self.ours = Side(ours, self.base)
        self.theirs = Side(theirs, self.base)
        self.arrays = {
            path
            for side in (self.base, self.ours, self.theirs)
            for path, document in side.nodes.items()
            if documents.is_array(document)
        }
        self._data = {id(side): self._data_of(side) for side in (self.ours, self.theirs)}

    def _data_of(self, side: Side) -> dict[str, set[str]]:
        """Return array -> the names of its changed files, but for the document."""
        found: dict[str, set[str]] = {path: set() for path in self.arrays}
        for name in side.changed:
            path = _array_of(name, self.arrays)
            if path is not None and name != _document_of(path):
                found[path].add(name)
        return found

    def into(self, target: Path) -> None:
        """Put everything together in ``target``, a tree of links to ``theirs``.

        Raises
        ------
        DatasetConflict
            If both changed the same, or what one changed makes no sense with what the other did. ``target`` is
            then good for nothing.
        """
        paths = {*self.base.nodes, *self.ours.nodes, *self.theirs.nodes}
        winners = {path: self._document(path) for path in sorted(paths)}
        for path in sorted(self.arrays):
            self._refuse_unlike(path)
            self._refuse_shifted(path)
        for name in sorted(self.ours.changed):
            self._take(name, target, winners)
        remove_empty(target)
        documents.consolidate(target)
        self._refuse_unequal_dims(documents.nodes(target))
        for path in sorted(self.arrays):
            self._put_chunks(path, target)

    # ── documents ────────────────────────────────────────────────────────────────────────────────────

    def _document(self, path: str) -> Side:
        """Return the side whose document of a group or array is the one that holds."""
        base, ours, theirs = (side.nodes.get(path) for side in (self.base, self.ours, self.theirs))
        if theirs == base:
            return self.ours
        if ours in (base, theirs):
            return self.theirs
        raise self._conflict(path, "its metadata", "both changed what it says of itself")

    def _refuse_unlike(self, path: str) -> None:
        """Refuse data of one side that were written by metadata which the other changed."""
        base = self.base.nodes.get(path)
        for one, other in ((self.ours, self.theirs), (self.theirs, self.ours)):
            now = one.nodes.get(path)
            if now == base or other.nodes.get(path) == now or not self._data[id(other)][path]:
                continue
            if base is None or now is None or not documents.only_grew(base, now):
                raise self._conflict(path, "all of it", "one changed its metadata, or removed it, the other its data")

    def _refuse_shifted(self, path: str) -> None:
        """Refuse data of one side along labels that the other changed: they would stand at others."""
        for one, other in ((self.ours, self.theirs), (self.theirs, self.ours)):
            now = other.nodes.get(path)
            if now is None or not (self._data[id(other)][path] or now != self.base.nodes.get(path)):
                continue
            for dim in documents.dims(now):
                if any(labels != path and self._relabelled(labels, one) for labels in self._labels(path, dim)):
                    raise self._conflict(path, f"all along {dim}", f"one changed the labels of {dim}, the other this")

    def _labels(self, path: str, dim: str | None) -> list[str]:
        """Return the arrays with the labels of a dimension: that of its name, or those of its geometries."""
        name = _beside(path, dim)
        if name is None:
            return []
        said = self.base.nodes.get(containers.container(name), {}).get("attributes", {})
        parts = sorted(filter(None, (_beside(path, part) for part in containers.parts(said))))
        return [name, *parts]

    def _relabelled(self, labels: str, side: Side) -> bool:
        """Whether a side changed the labels that the base had; more of them at the end are no change."""
        before, now = self.base.nodes.get(labels), side.nodes.get(labels)
        if before is None or not documents.is_array(before):
            return False
        if now is None:
            return True
        if now == before and not self._data[id(side)][labels]:
            return False
        if not documents.only_grew(before, now):
            return True
        old = tuple(slice(0, size) for size in before["shape"])
        like = _open(self.base.folder, labels)
        return bool(_unequal(_cells(self.base, labels, old, like), _cells(side, labels, old, like)).any())

    def _refuse_unequal_dims(self, merged: dict[str, Document]) -> None:
        """Refuse a dimension that one side made longer or shorter, where the other added an array along it."""
        for key, sizes in _sizes(merged).items():
            before = [_sizes(side.nodes).get(key, {}) for side in (self.ours, self.theirs)]
            if len(sizes) > 1 and all(len(each) <= 1 for each in before):
                names = ", ".join(sorted(name for each in sizes.values() for name in each))
                raise self._conflict(names, f"all along {key[1]}", f"of sizes {sorted(sizes)} when put together")

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, name: str, target: Path, winners: dict[str, Side]) -> None:
        """Put a file that this session changed in its place, if it is the one that holds."""
        if _is_document(name, winners):
            if winners[_parent(name)] is self.theirs:
                return
        elif name in self.theirs.changed:
            if _array_of(name, self.arrays) is None and self.ours.bytes_of(name) != self.theirs.bytes_of(name):
                raise self._conflict(name, "all of it", "both changed this file, which is of no array")
            return
        place = target / name
        place.unlink(missing_ok=True)
        if self.ours.folder is not None and name in self.ours.files:
            os.makedirs(place.parent, exist_ok=True)
            link(self.ours.folder / name, place)

    def _put_chunks(self, path: str, target: Path) -> None:
        """Put what both changed together cell by cell, where the bytes are not the same."""
        both = self._data[id(self.ours)][path] & self._data[id(self.theirs)][path]
        unlike = sorted(name for name in both if self.ours.bytes_of(name) != self.theirs.bytes_of(name))
        if not unlike:
            return
        array = _open(target, path, mode="r+")
        for name in unlike:
            region = _region(name.removeprefix(f"{path}/"), documents.read(target / path) or {})
            if region is None:
                raise self._conflict(path, "all of it", "both changed it, and its chunks cannot be told apart")
            array[region] = self._merged(path, region, array)

    def _merged(self, path: str, region: Region, like: zarr.Array[Any]) -> Cells:
        base, ours, theirs = (_cells(side, path, region, like) for side in (self.base, self.ours, self.theirs))
        mine = _unequal(base, ours)
        clash = mine & _unequal(base, theirs) & _unequal(ours, theirs)
        if clash.any():
            why = f"both gave other values to {int(clash.sum())} cells there"
            raise self._conflict(path, _said(region, clash), why)
        theirs[mine] = ours[mine]
        return theirs

    def _conflict(self, variable: str, region: str, why: str) -> DatasetConflict:
        message = (
            f"{self.root}: {variable or 'the data set'}, {region}, was changed by this session and by another one that "
            f"committed first: {why}; roll back, and do it again on what is there now"
        )
        return DatasetConflict(message, path=str(self.root), variable=variable, region=region)


# ── cells ────────────────────────────────────────────────────────────────────────────────────────────


def _open(folder: Path | None, path: str, *, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    import zarr

    from hmp_catalog.datasets.history import stores

    store = stores.of(folder or Path(), read_only=mode == "r")
    return zarr.open_array(store, path=path, mode=mode, zarr_format=3)


def _cells(side: Side, path: str, region: Region, like: zarr.Array[Any]) -> Cells:
    """Return the cells of a region as they are stored; missing ones where the array ends before, or is not there."""
    import numpy as np

    cells: Cells = np.full([each.stop - each.start for each in region], like.fill_value, like.dtype)
    if path in side.nodes:
        array = _open(side.folder, path)
        ends = [max(each.start, min(each.stop, size)) for each, size in zip(region, array.shape, strict=True)]
        there = tuple(slice(each.start, end) for each, end in zip(region, ends, strict=True))
        into = tuple(slice(0, end - each.start) for each, end in zip(region, ends, strict=True))
        if cells[into].size:
            cells[into] = array[there]
    return cells


def _unequal(one: Cells, other: Cells) -> NDArray[np.bool_]:
    """Compare cells bit by bit: a NaN is equal to itself, and 0.0 is not -0.0."""
    import numpy as np

    if one.dtype.kind in "OT":
        return np.asarray(one != other, dtype=bool)
    bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(*each.shape, -1) for each in (one, other)]
    return np.asarray((bits[0] != bits[1]).any(axis=-1))


def _region(key: str, document: Document) -> Region | None:
    """Return which cells a chunk holds, by its key (Zarr v3, chunk key encodings); None if we cannot tell."""
    if document.get("chunk_grid", {}).get("name") != "regular":
        return None
    encoding, chunks = document["chunk_key_encoding"], document["chunk_grid"]["configuration"]["chunk_shape"]
    default = encoding["name"] == "default"
    words = re.split(r"[./]", key)
    numbers = words[1:] if default else words[: len(chunks)]
    if len(numbers) != len(chunks) or not all(each.isdecimal() for each in numbers):
        return None
    cut = zip(map(int, numbers), chunks, document["shape"], strict=True)
    return tuple(slice(number * chunk, min((number + 1) * chunk, size)) for number, chunk, size in cut)


def _said(region: Region, where: NDArray[np.bool_]) -> str:
    """Return the smallest box around cells, as one would index it."""
    if not region:
        return "all of it"
    found = zip(region, where.nonzero(), strict=True)
    sides = [f"{each.start + cells.min()}:{each.start + cells.max() + 1}" for each, cells in found]
    return f"[{', '.join(sides)}]"


# ── names ────────────────────────────────────────────────────────────────────────────────────────────


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _document_of(path: str) -> str:
    return f"{path}/{documents.NAME}" if path else documents.NAME


def _is_document(name: str, known: Mapping[str, Any]) -> bool:
    return _parent(name) in known and name == _document_of(_parent(name))


def _array_of(name: str, arrays: set[str]) -> str | None:
    """Return the array that a file belongs to; None if to none."""
    while name:
        name = _parent(name)
        if name in arrays:
            return name
    return None


def _beside(path: str, dim: str | None) -> str | None:
    """Return where the labels of a dimension of an array are: in the array of that name in the same group (CF)."""
    if dim is None:
        return None
    return f"{_parent(path)}/{dim}" if _parent(path) else dim


def _sizes(nodes: Mapping[str, Document]) -> dict[tuple[str, str], dict[int, list[str]]]:
    """Return group and dimension -> size -> the arrays that have it."""
    found: dict[tuple[str, str], dict[int, list[str]]] = {}
    for path, document in nodes.items():
        if documents.is_array(document):
            for dim, size in zip(documents.dims(document), document["shape"], strict=False):
                if dim is not None:
                    found.setdefault((_parent(path), dim), {}).setdefault(size, []).append(path)
    return found
