"""Where the chunks in a shard end, and the digest of each: so that one of them can be fetched and verified alone.

Any cut is right: what is asked for is covered by pieces. A file whose inner order is not known is one piece.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from dataclasses import dataclass
from math import prod

from hmp_catalog.datasets.history.documents import Document, is_array

#: A piece is no smaller than this, nor than this part of its file, so that tables stay small.
_LEAST, _PART = 4096, 2048

_ROW = struct.Struct("<Q32s")

#: Bytes of the row of a chunk in the index of a shard, and of the checksum behind it (Zarr v3, sharding codec).
_INDEX_ROW, _INDEX_SUM = 16, 4
_EMPTY = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of a file from ``start`` to ``stop``, and their SHA-256."""

    start: int
    stop: int
    sha256: str


def cut(data: bytes, document: Document | None) -> list[Piece]:
    """Return the pieces of a file of the array that ``document`` describes."""
    ends = [0, *_apart(_ends(data, document), len(data)), len(data)]
    return [
        Piece(start, stop, hashlib.sha256(data[start:stop]).hexdigest())
        for start, stop in itertools.pairwise(ends)
        if start < stop or not data
    ]


def table(pieces: list[Piece]) -> bytes:
    """Return pieces as they are kept."""
    return b"".join(_ROW.pack(each.stop, bytes.fromhex(each.sha256)) for each in pieces)


def read(said: bytes, size: int) -> list[Piece]:
    """Return the pieces of a file of that size by its table, whose digest was verified.

    Raises
    ------
    ValueError
        If they do not make up the file.
    """
    if len(said) % _ROW.size:
        message = f"{len(said)} bytes are no rows of {_ROW.size}"
        raise ValueError(message)
    start, found = 0, []
    for stop, digest in _ROW.iter_unpack(said):
        if stop <= start:
            message = f"a piece from {start} to {stop}"
            raise ValueError(message)
        found.append(Piece(start, stop, digest.hex()))
        start = stop
    if start != size:
        message = f"the pieces end at {start}, the file at {size}"
        raise ValueError(message)
    return found


def _apart(ends: list[int], size: int) -> list[int]:
    """Return those of the ends between which the pieces are not too small."""
    least, found, last = max(_LEAST, size // _PART), [], 0
    for end in ends:
        if end - last >= least and size - end > 0:
            found.append(end)
            last = end
    return found


def _ends(data: bytes, document: Document | None) -> list[int]:
    """Return where chunks begin and end in a shard; nothing where its form is not the usual one."""
    rows = _rows(document)
    index = len(data) - rows * _INDEX_ROW - _INDEX_SUM
    if not rows or index < 0:
        return []
    numbers = struct.unpack_from(f"<{2 * rows}Q", data, index)
    found = {index}
    for offset, size in zip(numbers[::2], numbers[1::2], strict=True):
        if offset != _EMPTY and offset + size <= index:
            found |= {offset, offset + size}
    return sorted(found - {0})


def _rows(document: Document | None) -> int:
    """Return how many chunks a shard has; 0 if these are no shards, or not of the usual form."""
    if document is None or not is_array(document):
        return 0
    try:
        (codec,) = document["codecs"]
        about, shard = codec["configuration"], document["chunk_grid"]["configuration"]["chunk_shape"]
        usual = [each["name"] for each in about["index_codecs"]] == ["bytes", "crc32c"]
        little = about["index_codecs"][0]["configuration"]["endian"] == "little"
        if codec["name"] != "sharding_indexed" or about.get("index_location", "end") != "end" or not (usual and little):
            return 0
        return prod(whole // inner for whole, inner in zip(shard, about["chunk_shape"], strict=True))
    except (KeyError, ValueError, TypeError, IndexError):
        return 0
