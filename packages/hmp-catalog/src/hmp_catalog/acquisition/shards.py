"""Frames straight from the files of their shards, closed or being filled; those of old files through Zarr."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition.frames import Frames, lost
from hmp_catalog.acquisition.stack import Kind, described, hidden_file, shard_file
from hmp_catalog.errors import LostFrames
from hmp_core.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: Bytes of a CRC-32C, which is last, and of the offset and the length of a frame in the index of a shard.
_SUM, _ENTRY = 4, 16

#: Where the header of Blosc 1 says how many bytes come out (its README_CHUNK_FORMAT).
_NBYTES = slice(4, 8)

#: What the index says of a frame that is not there (Zarr v3, "sharding-indexed").
_NOTHING = 2**64 - 1


def read(frames: Frames, which: NDArray[np.int64]) -> Values:
    """Return some of the frames, by their numbers: an array (count, height, width).

    Raises
    ------
    LostFrames
        If one of them is not there, or not what was written; the run, the field and the frame are named.
    """
    out = np.empty((len(which), *frames.shape), frames.dtype)
    if not len(which):
        return out
    if not frames.in_ranges:
        _through_zarr(frames, which, out)
        return out
    kind = _kind(frames, which)
    source: tuple[int, bool] | None = None
    shard: Shard | None = None
    try:
        for row, number in enumerate(which.tolist()):
            position = int(frames.positions[number])
            placed = frames.opened.get(position)
            with _naming(frames, position):
                if source != (position // kind.per_shard, placed is None):
                    source = (position // kind.per_shard, placed is None)
                    shard = _next(shard, _files(frames.folder, *source), kind)
                assert shard is not None
                if placed is None:
                    shard.frame(position % kind.per_shard, out[row])
                else:
                    shard.chunk(placed.offset, placed.nbytes, out[row], crc32=placed.crc32)
    finally:
        if shard is not None:
            shard.close()
    return out


class Shard:
    """The file of a shard, open: the first of ``files`` that is there."""

    def __init__(self, files: Sequence[Path], kind: Kind) -> None:
        self._kind = kind
        self._room = np.empty(0, np.uint8)
        self._index: list[list[int]] | None = None
        self.path, self._number = _opened(files)
        self._size = os.fstat(self._number).st_size

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)

    def frame(self, number: int, target: Values) -> None:
        """Put a frame, by its number in the index, in place.

        Raises
        ------
        CorruptError
            If it is not there, or not what was written.
        """
        offset, length = self._entries()[number]
        if offset == _NOTHING:
            why = "it has no such frame"
            raise self._damaged(why)
        self.chunk(offset, length, target)

    def lacks(self, count: int) -> list[int]:
        """Return which of its first frames it has not, by its index; their bytes are not looked at.

        Raises
        ------
        CorruptError
            If its index is not what was written.
        """
        end = self._size - self._kind.per_shard * _ENTRY - _SUM
        return [n for n, (offset, length) in enumerate(self._entries()[:count]) if offset + length > end]

    def holds(self, offset: int, length: int) -> bool:
        """Return whether it is long enough for a frame to lie there."""
        return offset + length <= self._size

    def _entries(self) -> list[list[int]]:
        if self._index is None:
            length = self._kind.per_shard * _ENTRY + _SUM
            found = self._checked(self._size - length, length, "the index of its frames")
            self._index = found.view("<u8").reshape(-1, 2).tolist()
        return self._index

    def chunk(self, offset: int, length: int, target: Values, *, crc32: int | None = None) -> None:
        """Put the frame that lies somewhere in place.

        Raises
        ------
        CorruptError
            If it is not what was written.
        """
        from numcodecs import blosc

        packed = self._checked(offset, length, "the frame", crc32)
        if int.from_bytes(packed[_NBYTES].tobytes(), "little") != target.nbytes:
            why = f"the frame is not one of {self._kind.shape} {self._kind.dtype}"
            raise self._damaged(why)
        try:
            blosc.decompress(packed, target)
        except (RuntimeError, ValueError) as error:
            raise self._damaged(str(error)) from error

    def _checked(self, offset: int, length: int, what: str, crc32: int | None = None) -> Values:
        """Return bytes of the file without the sum of them at their end, which was as it should be."""
        import google_crc32c

        if offset < 0 or length <= _SUM or offset + length > self._size:
            raise self._damaged(what + " would be outside of it")
        if len(self._room) < length:
            self._room = np.empty(length, np.uint8)
        room = self._room[:length]
        if os.preadv(self._number, [room.data], offset) != length:
            raise self._damaged(what + " was cut short while it was read")
        total = google_crc32c.value(room[:-_SUM]).to_bytes(_SUM, "little")
        if total != room[-_SUM:].tobytes() or (crc32 is not None and zlib.crc32(room.data) != crc32):
            raise self._damaged(what + " has another checksum than it was written with")
        return room[:-_SUM]

    def _damaged(self, why: str) -> CorruptError:
        return CorruptError(f"{self.path}: {why}", path=str(self.path))


def _next(shard: Shard | None, files: Sequence[Path], kind: Kind) -> Shard:
    new = Shard(files, kind)
    if shard is not None:
        shard.close()
    return new


def _files(folder: Path, number: int, closed: bool) -> list[Path]:  # noqa: FBT001 - the two halves of a key
    """Return where a shard is; one that was open may have been closed since, and its frames lie where they lay."""
    return [shard_file(folder, number)] if closed else [hidden_file(folder, number), shard_file(folder, number)]


def _opened(files: Sequence[Path]) -> tuple[Path, int]:
    for file in files:
        try:
            return file, os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"{file} cannot be read: {error.strerror}"
            raise CorruptError(message, path=str(file)) from error
    message = f"{files[-1]} is not there"
    raise CorruptError(message, path=str(files[-1]))


def _kind(frames: Frames, which: NDArray[np.int64]) -> Kind:
    """Return what the array says of its frames, which is what the session says of them."""
    where = frames.folder / "zarr.json"
    with _naming(frames, *frames.positions[which].tolist()):
        kind = Kind.read(frames.folder)
        said = json.loads(where.read_bytes())
        if (kind.shape, kind.dtype) != (frames.shape, frames.dtype):
            message = f"{where}: the array has frames of {kind.shape} {kind.dtype}, not {frames.shape} {frames.dtype}"
            raise CorruptError(message, path=str(where))
        if _codecs(said) != _codecs(described(0, kind, frames.field)):
            message = f"{where}: the array is encoded in a way that this hmp does not know"
            raise CorruptError(message, path=str(where))
    return kind


def _codecs(said: Any) -> Any:
    sharding = said["codecs"][0]["configuration"]
    return [[each["name"] for each in sharding[key]] for key in ("codecs", "index_codecs")], sharding["index_location"]


def _through_zarr(frames: Frames, which: NDArray[np.int64], out: Values) -> None:
    """Read frames of a file of before version 3, where a frame of zeros has no bytes and cannot be missed."""
    import zarr
    from zarr.storage import LocalStore

    positions = frames.positions[which]
    with _naming(frames, *positions.tolist()):
        array: Any = zarr.open_array(LocalStore(frames.folder, read_only=True), mode="r")
        kind = f"{array.shape[1]} x {array.shape[2]} {array.dtype.name}"
        first = f"{frames.shape[0]} x {frames.shape[1]} {frames.dtype.name}"
        for number in which.tolist():
            if frames.others.get(number, first) != kind or frames.positions[number] >= array.shape[0]:
                message = f"{frames.folder} has {array.shape[0]} frames of {kind}; the file says otherwise of this one"
                raise LostFrames(message, frames=(int(frames.positions[number]),))
        steps = set(np.diff(positions).tolist())
        if len(steps) <= 1 and min(steps, default=1) > 0:
            out[...] = array[int(positions[0]) : int(positions[-1]) + 1 : min(steps, default=1)]
        else:
            for row, position in enumerate(positions.tolist()):
                out[row] = array[position]


@contextmanager
def _naming(frames: Frames, *positions: int) -> Iterator[None]:
    """Say of which run, field and frame it is that something is wrong."""
    try:
        yield
    # damage shows to Zarr as any of these, depending on the byte
    except (CorruptError, OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        found = getattr(error, "frames", None) or positions
        raise lost(frames.run, frames.field, frames.folder, found, error) from error
