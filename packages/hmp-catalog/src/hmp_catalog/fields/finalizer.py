"""The end of writing a store: coordinates, one root with all metadata, every file on disk, each accounted for.

Until then the root has no consolidated metadata, which tells a store that was never finished from a whole one.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import mapping, schema
from hmp_catalog.fields.mesh import Structure
from hmp_catalog.fields.place import size_of
from hmp_catalog.fields.times import CALENDAR, duration, encode, iso
from hmp_catalog.fields.values import Coordinate
from hmp_catalog.fields.writer import StoreWriter, create_array
from hmp_catalog.records import FileRecord
from hmp_core.durable import fsync_folder, fsync_place, translated, write_atomic
from hmp_core.errors import CorruptError, InvalidInput
from hmp_core.identity import sha256_file

if TYPE_CHECKING:
    from hmp_catalog.fields.times import Instants
    from hmp_catalog.packs import Packed

    Documents = dict[str, dict[str, Any]]

ROOT = "zarr.json"

#: NaN as xarray keeps a ``_FillValue`` in Zarr v3, whatever the type: its bytes as a double, in base64.
_NAN = base64.b64encode(struct.pack("<d", math.nan)).decode()


def begin(path: Path, attributes: Mapping[str, Any]) -> None:
    """Make the folder of a new store and a root that says what it is, and not yet what is in it.

    Raises
    ------
    InvalidInput
        If something is at ``path``.
    """
    try:
        with translated(path):
            path.mkdir()
    except FileExistsError as error:
        message = f"{path}: is there already; a run has one field store, which is written once"
        raise InvalidInput(message) from error
    write_atomic(path / ROOT, _json(_group(attributes)))


def seal(writer: StoreWriter, attributes: Mapping[str, Any], crs: str | None = None) -> list[FileRecord]:
    """Write what is left, flush everything to disk, and return every file of the store.

    Parameters
    ----------
    writer : StoreWriter
        What wrote the fields. It is not used again.
    attributes : mapping
        The root attributes; those derived from the coordinates are added.
    crs : str, optional
        The reference system of what lies in space.

    Returns
    -------
    list of FileRecord
        Sorted by path, which is relative to the folder the store lies in.

    Raises
    ------
    CorruptError
        If a file that was written is not there; names it.
    StorageError
        If the disk is full or fails.
    """
    path = writer.path
    writer.flush()
    axes = _time_axes(writer)
    renamed = {name: dim for name, (dim, _) in _lengths_by_axis(writer).items()}
    for dim, times in axes.items():
        _write_times(path, dim, times)
    for name, coordinate in sorted(writer.dimensions.coordinates.items()):
        _write_coordinate(path, name, coordinate)
    for each in _structure(writer, crs):
        _write_structure(path, each)
    documents = _documents(path, writer, renamed, crs)
    if crs is not None and _mentions_crs(documents):
        _write_structure(path, mapping.grid_mapping(crs))
        documents[mapping.NAME] = _document(path, mapping.NAME)
    derived = _coverage(axes) | _extent(writer.dimensions.coordinates)
    said = {"Conventions": schema.MESH_CONVENTIONS} if writer.meshes else {}
    _write_metadata(path, documents, derived | dict(attributes) | said)
    lost = missing_files(path, documents)
    if lost:
        message = f"{path / lost[0]}: written, and not there; {len(lost)} in all. Is something else using the folder?"
        raise CorruptError(message, path=str(path / lost[0]))
    return _settled(path)


def missing_files(path: Path | Packed, documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the chunks and shards that the metadata promises and the disk does not hold.

    A chunk that is lost would read as the fill value, without a word.
    """
    promised = [file for name, document in documents.items() for file in schema.chunk_files(name, document)]
    return [file for file in promised if not size_of(path, file)]


# ── time axes ────────────────────────────────────────────────────────────────────────────────────────


def _lengths_by_axis(writer: StoreWriter) -> dict[str, tuple[str, int]]:
    """Return field -> (time axis, steps): a field with fewer steps than its axis gets an axis of its own.

    It stopped early, or was written less often. Nothing is invented to fill it up, and nothing is dropped.
    """
    taken = {*writer.dimensions.sizes, *writer.dimensions.coordinates, *writer.dimensions.times}
    found = {}
    for name, (dim, steps) in writer.lengths.items():
        own = f"time_{name}"
        while own in taken | writer.dimensions.fields:
            own += "_"
        short = steps < len(writer.dimensions.times[dim].steps)
        found[name] = (own if short else dim, steps)
    return found


def _time_axes(writer: StoreWriter) -> dict[str, Instants]:
    axes = {}
    for name, (dim, steps) in sorted(_lengths_by_axis(writer).items()):
        shared = writer.dimensions.times[writer.lengths[name][0]]
        axes[dim] = shared.instants(steps)
    return axes


def _write_times(path: Path, dim: str, times: Instants) -> None:
    count, units = encode(times)
    # NumPy counts as if there were no leap seconds
    attributes = {
        "standard_name": "time",
        "long_name": "time",
        "axis": "T",
        "units": units,
        "units_metadata": "leap_seconds: none",
        "calendar": CALENDAR,
    }
    _write_numbers(path, dim, Coordinate((dim,), count, attributes))


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────


def _write_coordinate(path: Path, name: str, coordinate: Coordinate) -> None:
    if coordinate.values.dtype.kind == "U":
        _write_labels(path, name, coordinate)
    else:
        _write_numbers(path, name, coordinate)


def _write_numbers(path: Path, name: str, coordinate: Coordinate) -> None:
    values = coordinate.values
    cut = schema.layout(values.shape, values.dtype.itemsize, None)
    target = create_array(
        path, name, dims=coordinate.dims, shape=values.shape, dtype=values.dtype, cut=cut,
        attributes=coordinate.attributes,
    )  # fmt: skip
    with translated(path / name):
        target[...] = values


def _write_labels(path: Path, name: str, coordinate: Coordinate) -> None:
    """Write labels as the ``string`` type of Zarr, the one text type with a specification (UTF-8 of any length)."""
    import numpy as np
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import LocalStore

    with translated(path / name):
        target = zarr.create_array(
            LocalStore(path),
            name=name,
            shape=coordinate.values.shape,
            dtype="string",
            chunks=coordinate.values.shape,
            compressors=[ZstdCodec(level=5), Crc32cCodec()],
            fill_value="",
            chunk_key_encoding={"name": "default", "separator": schema.SEPARATOR},
            attributes=coordinate.attributes,
            dimension_names=coordinate.dims,
            zarr_format=3,
            config={"write_empty_chunks": True},
        )
        target[...] = np.array(coordinate.values.tolist(), dtype=object)


# ── meshes and projections ───────────────────────────────────────────────────────────────────────────


def _structure(writer: StoreWriter, crs: str | None) -> list[Structure]:
    found = [variable for mesh in writer.meshes.values() for variable in mesh.variables]
    if crs is None:
        return found
    centres = {name for mesh in writer.meshes.values() for name in mesh.centres}
    beside = {"grid_mapping": mapping.NAME}
    return [replace(v, attributes=v.attributes | beside) if v.name in centres else v for v in found]


def _mentions_crs(documents: Documents) -> bool:
    """Return whether something refers to a grid mapping that nobody has written as a field."""
    said = {document["attributes"].get("grid_mapping") for document in documents.values()}
    return mapping.NAME in said and mapping.NAME not in documents


def _write_structure(path: Path, each: Structure) -> None:
    cut = schema.layout(each.values.shape, each.values.dtype.itemsize, None)
    target = create_array(
        path, each.name, dims=each.dims, shape=each.values.shape, dtype=each.values.dtype, cut=cut,
        attributes=each.attributes if each.fill is None else each.attributes | {"_FillValue": each.fill},
        fill=each.fill,
    )  # fmt: skip
    with translated(path / each.name):
        target[...] = each.values


# ── metadata ─────────────────────────────────────────────────────────────────────────────────────────


def _documents(path: Path, writer: StoreWriter, renamed: Mapping[str, str], crs: str | None) -> Documents:
    """Return the metadata of every array, with what only the end of writing knows."""
    names = sorted(file.parent.name for file in path.glob(f"*/{ROOT}"))
    documents = {name: _document(path, name) for name in names}
    for name, dim in renamed.items():
        dims = documents[name]["dimension_names"]
        documents[name]["dimension_names"] = [dim if schema.is_time(old) else old for old in dims]
    auxiliary = {n: set(c.dims) for n, c in writer.dimensions.coordinates.items() if c.dims != (n,)}
    auxiliary |= {name: {mesh.dim} for mesh in writer.meshes.values() for name in mesh.centres}
    for name in documents.keys() & (writer.dimensions.coordinates.keys() | _time_axes(writer).keys()):
        documents[name]["attributes"].setdefault("coverage_content_type", "coordinate")
    for name in writer.dimensions.fields:
        dims = set(documents[name]["dimension_names"])
        said = documents[name]["attributes"]
        said.setdefault("coverage_content_type", "modelResult")
        beside = sorted(each for each, needed in auxiliary.items() if needed <= dims)
        if beside:
            said["coordinates"] = " ".join(beside)
        on = [mesh for dim, mesh in writer.meshes.items() if dim in dims]
        said |= on[0].beside() if on else {}
        if crs is not None and (on or _lies_in_space(dims, beside)):
            said.setdefault("grid_mapping", mapping.NAME)
        if documents[name]["data_type"].startswith("float"):
            documents[name]["attributes"]["_FillValue"] = _NAN
    return documents


def _document(path: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / name / ROOT).read_text(encoding="utf-8"))
    found.setdefault("dimension_names", [])  # zarr leaves it out for a scalar
    return found


def _lies_in_space(dims: set[str], beside: list[str]) -> bool:
    """Return whether a field has horizontal coordinates, as its dimensions or beside them."""
    names = dims | set(beside)
    return any(set(pair) <= names for pair in (("x", "y"), ("lon", "lat"), ("longitude", "latitude")))


def _write_metadata(path: Path, documents: Documents, attributes: Mapping[str, Any]) -> None:
    """Write the metadata of each array, and all of it into the root, so that one read opens the store.

    The root is composed here rather than by ``zarr.consolidate_metadata``: that call warns on every store of
    format 3, and leaves the layout of the JSON to the caller's configuration.
    """
    for name, document in documents.items():
        write_atomic(path / name / ROOT, _json(document))
    root = _group(attributes)
    root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": documents}
    write_atomic(path / ROOT, _json(root))


def _group(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def _json(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def _coverage(axes: Mapping[str, Instants]) -> dict[str, str]:
    if not axes:
        return {}
    first, last = min(times[0] for times in axes.values()), max(times[-1] for times in axes.values())
    found = {
        "time_coverage_start": iso(first),
        "time_coverage_end": iso(last),
        "time_coverage_duration": duration(last - first),
    }
    steps = {step for times in axes.values() for step in (times[1:] - times[:-1]).tolist()}
    return found | ({"time_coverage_resolution": duration(steps.pop())} if len(steps) == 1 else {})


def _extent(coordinates: Mapping[str, Coordinate]) -> dict[str, float]:
    found: dict[str, float] = {}
    for coordinate in coordinates.values():
        side = {"latitude": "lat", "longitude": "lon"}.get(coordinate.attributes.get("standard_name", ""))
        if side:
            found[f"geospatial_{side}_min"] = float(coordinate.values.min())
            found[f"geospatial_{side}_max"] = float(coordinate.values.max())
    return found


# ── onto the disk ────────────────────────────────────────────────────────────────────────────────────


def _settled(path: Path) -> list[FileRecord]:
    """Flush every file, then every folder from the innermost to the one the store lies in; hash them meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    folders = [path.parent, path, *(each for each in path.rglob("*") if each.is_dir())]
    files = sorted(each for each in path.rglob("*") if each.is_file())
    with translated(path), ThreadPoolExecutor(1, thread_name_prefix="hmp-flush") as beside:
        flushing = beside.submit(_flush, files)
        found = [_record(file, path.parent) for file in files]
        flushing.result()
        for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
            fsync_folder(folder)
    return found


def _flush(files: Sequence[Path]) -> None:
    for file in files:
        fsync_place(file)


def _record(file: Path, run: Path) -> FileRecord:
    return FileRecord(file.relative_to(run).as_posix(), file.stat().st_size, sha256_file(file), "fields")
