"""What stands in a tree for a file that was not fetched: a small file that says which bytes belong there.

For whoever does not know it, it is a chunk that cannot be decoded, and never one that is missing (every codec of zarr
3.1 raises). Files as small as a stub are fetched at once, so that none of them is of the size of a chunk.
"""

from __future__ import annotations

import json
from pathlib import Path

from hmp_catalog.datasets.remote.manifests import Entry
from hmp_core.errors import CorruptError

#: Up to this size files are in the manifest; every stub is smaller.
SMALL = 512

_BEGIN = b"hmp: not fetched yet; read this data set with hmp_catalog.datasets\n"


def text(entry: Entry) -> bytes:
    """Return the stub of a file; the same file has the same stub."""
    return _BEGIN + json.dumps(entry.said(), separators=(",", ":")).encode() + b"\n"


def read(path: Path | str) -> Entry | None:
    """Return what a file stands for; None if it stands for itself.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, NotADirectoryError
        As for any file.
    CorruptError
        If it is a damaged stub.
    """
    with open(path, "rb") as file:
        begin = file.read(SMALL)
    return heard(begin, path)


def heard(begin: bytes, path: Path | str) -> Entry | None:
    """Return what a file stands for, by its first `SMALL` bytes; None if it stands for itself.

    Raises
    ------
    CorruptError
        If it is a damaged stub.
    """
    if not begin.startswith(_BEGIN):
        return None
    try:
        return Entry.heard(json.loads(begin.removeprefix(_BEGIN)))
    except (ValueError, TypeError) as error:
        message = (
            f"{path}, which stands for a file that was not fetched, is damaged; discard the changes, or attach anew"
        )
        raise CorruptError(message, path=str(path)) from error
