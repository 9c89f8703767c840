"""The ``zarr.json`` of a data set: what each says, and the copy of all of them that the root carries.

Consolidated metadata is what ``xarray.open_zarr`` reads first. It is written here, sorted by name: zarr 3 writes the
arrays in the order in which they were read from disk, which is another one each time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hmp_core.errors import CorruptError

Document = dict[str, Any]

NAME = "zarr.json"
_CONSOLIDATED = "consolidated_metadata"

#: Attributes without which the numbers of an array mean something else (CF 1.11, 2.5, 4.4, 8.1; xarray's ``dtype``).
MEANING = frozenset(
    {
        *("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype"),
        *("units", "calendar", "flag_values", "flag_masks", "flag_meanings"),
        *("coordinates", "grid_mapping", "geometry"),
    }
)


def read(folder: Path) -> Document | None:
    """Return what makes ``folder`` a group or an array, without the copies of others; None if it is neither.

    Raises
    ------
    CorruptError
        If the document cannot be read as JSON.
    """
    found = _read(folder / NAME)
    if found is not None:
        found.pop(_CONSOLIDATED, None)
    return found


def _read(path: Path) -> Document | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        message = f"{path} is no JSON ({error}); restore it from a backup"
        raise CorruptError(message, path=str(path)) from error
    if not isinstance(found, dict):
        message = f"{path} holds no JSON object; restore it from a backup"
        raise CorruptError(message, path=str(path))
    return found


def listed(folder: Path) -> list[str]:
    """Return the names of the groups and arrays below ``folder`` of which its document has copies."""
    found = _read(folder / NAME) or {}
    said = found.get(_CONSOLIDATED)
    named = said.get("metadata") if isinstance(said, dict) else None
    return sorted(named) if isinstance(named, dict) else []


def nodes(folder: Path) -> dict[str, Document]:
    """Return every group and array of a tree by its path in it; the root is the empty one."""
    found: dict[str, Document] = {}
    _walk(folder, "", found)
    return dict(sorted(found.items()))


def _walk(folder: Path, path: str, found: dict[str, Document]) -> None:
    document = read(folder)
    if document is None:
        return
    found[path] = document
    if is_array(document):
        return
    with os.scandir(folder) as entries:
        below = [entry.name for entry in entries if entry.is_dir()]
    for name in below:
        _walk(folder / name, f"{path}/{name}" if path else name, found)


def consolidate(folder: Path) -> None:
    """Give the root of a tree that is nobody else's a copy of all metadata below it, unless it has that already."""
    documents = nodes(folder)
    root = documents.pop("", None)
    if root is None:
        return
    inner = {path: each if is_array(each) else each | _consolidated({}) for path, each in documents.items()}
    _replace(folder, root | _consolidated(inner))


def scatter(folder: Path) -> None:
    """Take the copies away, which are wrong as soon as something is written."""
    root = read(folder)
    if root is not None:
        _replace(folder, root)


def _replace(folder: Path, document: Document) -> None:
    if _read(folder / NAME) != document:
        _put(folder / NAME, json.dumps(document, indent=2).encode())


def _put(path: Path, data: bytes) -> None:
    """Put a file in the place of another one, of which other trees may have a link; it is flushed with its tree."""
    beside = path.with_name(f".{NAME}.new")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def same(one: Path, other: Path) -> bool:
    """Whether two trees have the same root, copies included."""
    return _read(one / NAME) == _read(other / NAME)


def _consolidated(documents: dict[str, Document]) -> Document:
    return {_CONSOLIDATED: {"kind": "inline", "must_understand": False, "metadata": documents}}


def is_array(document: Document) -> bool:
    """Whether a document is that of an array."""
    return document.get("node_type") == "array"


def dims(document: Document) -> list[str | None]:
    """Return the names of the dimensions of an array; none where it has no names."""
    return list(document.get("dimension_names") or [])


def only_grew(before: Document, after: Document) -> bool:
    """Whether data written by ``before`` are right by ``after`` too: longer at the end, described in other words."""
    return _meaning(before) == _meaning(after) and all(
        old <= new for old, new in zip(before["shape"], after["shape"], strict=True)
    )


def _meaning(document: Document) -> Document:
    said = {key: value for key, value in document.get("attributes", {}).items() if key in MEANING}
    return {key: value for key, value in document.items() if key != "shape"} | {
        "attributes": said,
        "ndim": len(document["shape"]),
    }
