"""The frames of one field of one run: appended one by one to the file of a shard, which ends as plain Zarr.

A shard of Zarr v3 is its encoded chunks, one after the other in any order, and an index of them at its end. So a frame
is encoded once and appended with one write; nothing is written again, and the cost of a frame does not grow. State of a
shard: ``open`` while frames are appended to a hidden file without an index (whoever looks on is told by the session
where each frame lies), ``closed`` once it has its index and its name, and the array has grown by its frames.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.errors import FrameMismatch, LostFrames, WriterState
from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import CorruptError, InvalidInput, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frame = NDArray[Any]

#: Frames in a shard: 4,000 of them are 63 files.
PER_SHARD = 64

#: What frames are compressed with, as the metadata of the array name it: 0.05 ms for 128 kB, where zstd takes 0.3.
CODEC = "blosc"
_BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

_KINDS = "biuf"
#: What Blosc takes at once.
_GREATEST = 2**31 - 17
_SUM = 4
#: What the index says of a chunk that is not there (Zarr v3, "sharding-indexed").
_NOTHING = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a frame is: its number in the array, and its encoded bytes in the file of its shard."""

    position: int
    offset: int
    nbytes: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What all frames of an array have in common."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    per_shard: int = PER_SHARD

    @classmethod
    def of(cls, frame: Frame) -> Kind:
        """Return what a frame is.

        Raises
        ------
        InvalidInput
            If it is no matrix of numbers.
        """
        if frame.ndim != 2 or 0 in frame.shape:
            message = f"a frame is a matrix of rows and columns, not an array of shape {frame.shape}"
            raise InvalidInput(message)
        if frame.nbytes > _GREATEST:
            message = f"a frame of {frame.nbytes} bytes is too great, expected at most {_GREATEST}; split it into tiles"
            raise InvalidInput(message)
        return cls((int(frame.shape[0]), int(frame.shape[1])), _pixel(frame.dtype))

    @classmethod
    def read(cls, folder: Path) -> Kind:
        """Return what the frames of an array are, by its metadata.

        Raises
        ------
        LostFrames
            If there is none.
        CorruptError
            If it cannot be read.
        """
        file = folder / "zarr.json"
        try:
            said = json.loads(file.read_bytes())
            _, height, width = said["shape"]
            per_shard, *_ = said["chunk_grid"]["configuration"]["chunk_shape"]
            return cls((int(height), int(width)), _pixel(said["data_type"]), int(per_shard))
        except FileNotFoundError as error:
            message = f"the array {folder} is not there; restore it from a backup"
            raise LostFrames(message, path=str(folder), field=folder.name, frames=()) from error
        except (ValueError, LookupError, TypeError) as error:
            message = f"{file} cannot be read: {error}"
            raise CorruptError(message, path=str(file)) from error


def length(folder: Path) -> int:
    """Return how many frames an array has by its metadata, which `Kind.read` could read."""
    found: int = json.loads((folder / "zarr.json").read_bytes())["shape"][0]
    return found


class FrameStack:
    """Appends frames of one shape and type to one array.

    Parameters
    ----------
    folder : Path
        The folder of the array, which is made.
    kind : Kind
        What its frames are.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.kind = folder, kind
        self.count = 0
        self._first = 0
        self._placed: list[Placed] = []
        self._closing = False
        self._descriptor = -1
        self._codec = _compressor()
        if any(folder.glob("c.*")):
            message = f"{folder} is there already: its frames are another run's"
            raise InvalidInput(message)
        make_folder(folder)
        self._describe(0)

    # ── appending ────────────────────────────────────────────────────────────────────────────────────

    def append(self, data: Frame) -> Placed:
        """Put a frame, as `checked` gave it, behind the others; it outlives this process.

        Raises
        ------
        StorageError
            If the disk is full or fails; the frame is not part of the array.
        WriterState
            If the shard has its index already.
        """
        if self.is_closed:
            message = f"{self.folder.name}: the run is being ended, and its frames are closed already: close the run"
            raise WriterState(message)
        packed = self._codec.encode(data)
        packed = bytes(packed) + _summed(packed)
        if self._descriptor < 0:
            self._open()
        offset = self._placed[-1].offset + self._placed[-1].nbytes if self._placed else 0
        with translated(self._hidden):
            written = os.pwrite(self._descriptor, packed, offset)
            if written != len(packed):
                message = f"{self._hidden}: only {written} of {len(packed)} bytes could be written; free some space"
                raise StorageError(message, path=str(self._hidden))
        placed = Placed(self.count, offset, len(packed), zlib.crc32(packed))
        self._placed.append(placed)
        self.count += 1
        return placed

    def checked(self, frame: Frame) -> Frame:
        """Return a frame as it is kept, in rows and little-endian.

        Raises
        ------
        FrameMismatch, InvalidInput
            If it is none of this array.
        """
        given = np.asarray(frame)
        if given.shape != self.kind.shape or given.dtype.newbyteorder("=") != self.kind.dtype.newbyteorder("="):
            message = (
                f"{self.folder.name}: a frame of {given.shape} {given.dtype}, expected {self.kind.shape} "
                f"{self.kind.dtype}; "
                "frames of another shape or type go under another field"
            )
            raise FrameMismatch(message, field=self.folder.name, expected=self.kind.shape, found=given.shape)
        return np.ascontiguousarray(given, self.kind.dtype)

    @property
    def is_full(self) -> bool:
        """Whether the shard has all its frames."""
        return len(self._placed) == self.kind.per_shard

    def sync(self) -> None:
        """Put the frames that were appended on the disk."""
        if self._descriptor >= 0:
            with translated(self._hidden):
                os.fsync(self._descriptor)

    @property
    def is_empty(self) -> bool:
        """Whether the shard has no frame."""
        return not self._placed

    @property
    def is_closed(self) -> bool:
        """Whether the shard has its index and its name: what closes it may be cut short anywhere."""
        return self._closing and self._shard.exists()

    def keep(self, placed: Sequence[Placed]) -> Iterator[Frame]:
        """Forget the frames of the shard but for the first few, which are yielded; the next one takes their place."""
        self._placed = list(placed)
        self.count = self._first + len(self._placed)
        for each in self._placed:
            yield read_frame(self.folder, each, self.kind)

    def close_shard(self) -> None:
        """Give the shard its index and its name, and let the array grow by it; done again where it failed.

        A process that dies on the way leaves a shard that `recover` closes.
        """
        if not self.is_closed:
            if self._descriptor < 0:
                self._open()
            self._closing = True
            _finish(self._hidden, self._descriptor, self._placed, self._shard, self.kind.per_shard)
        self.let_go()
        self._describe(self.count)

    def begin_shard(self) -> None:
        """Go on with another shard."""
        self._first, self._placed, self._closing = self.count, [], False

    def let_go(self) -> None:
        """Close the file as it is."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _shard(self) -> Path:
        return shard_file(self.folder, self._first // self.kind.per_shard)

    @property
    def _hidden(self) -> Path:
        return hidden_file(self.folder, self._first // self.kind.per_shard)

    def _open(self) -> None:
        with translated(self._hidden):
            self._descriptor = os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fsync_folder(self.folder)

    def _describe(self, count: int) -> None:
        said = described(count, self.kind, self.folder.name)
        write_atomic(self.folder / "zarr.json", json.dumps(said, indent=2).encode())


def shard_file(folder: Path, number: int) -> Path:
    """Return the file of a closed shard."""
    return folder / f"c.{number}.0.0"


def hidden_file(folder: Path, number: int) -> Path:
    """Return the file of a shard that is open."""
    return folder / f".open-{number}"


def described(count: int, kind: Kind, name: str) -> dict[str, Any]:
    """Return the metadata of an array of frames (Zarr core specification v3); each field has dimensions of its own."""
    bytes_codec: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {"name": CODEC, "configuration": {**_BLOSC, "typesize": kind.dtype.itemsize}}
    sum_codec: dict[str, Any] = {"name": "crc32c"}
    sharding = {
        "chunk_shape": [1, *kind.shape],
        "codecs": [bytes_codec, blosc, sum_codec],
        "index_codecs": [bytes_codec, sum_codec],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [count, *kind.shape],
        "data_type": kind.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [kind.per_shard, *kind.shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": False if kind.dtype.kind == "b" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": [f"{name}_frame", f"{name}_y", f"{name}_x"],
        "attributes": {},
    }


def recover(folder: Path, kind: Kind, placed: Sequence[Placed]) -> Iterator[Frame]:
    """Close a shard that a dead process left open with the frames that it acknowledged, and yield these.

    Parameters
    ----------
    placed
        The acknowledged frames of the shard, in order. What lies behind the last of them was never acknowledged.

    Raises
    ------
    LostFrames
        If one of them is not in the file, or is damaged; nothing is changed.
    """
    number = placed[0].position // kind.per_shard
    closed, hidden = shard_file(folder, number), hidden_file(folder, number)
    for each in placed:
        yield read_frame(folder, each, kind)
    if not closed.exists():  # else it died after the rename
        with translated(hidden):
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _finish(hidden, descriptor, placed, closed, kind.per_shard)
        finally:
            os.close(descriptor)
    said = described(placed[-1].position + 1, kind, folder.name)
    write_atomic(folder / "zarr.json", json.dumps(said, indent=2).encode())


def read_frame(folder: Path, placed: Placed, kind: Kind) -> Frame:
    """Return a frame of a shard that is open, or was so a moment ago.

    Raises
    ------
    LostFrames, CorruptError
        If it is not there, or not the one that was written.
    """
    number = placed.position // kind.per_shard
    closed = shard_file(folder, number)
    source = closed if closed.exists() else hidden_file(folder, number)
    return decoded(read_placed(source, placed), kind, where=str(source))


def read_placed(file: Path, placed: Placed) -> bytes:
    """Return the encoded bytes of a frame.

    Raises
    ------
    LostFrames
        If they are not there, or not those that were written.
    """
    try:
        with file.open("rb") as stream:
            data = os.pread(stream.fileno(), placed.nbytes, placed.offset)
    except OSError as error:
        data, why = b"", f"{file} cannot be read: {error.strerror}"
    else:
        why = f"{file} has other bytes at {placed.offset}"
    if len(data) != placed.nbytes or zlib.crc32(data) != placed.crc32:
        message = f"frame {placed.position} is lost: {why}"
        raise LostFrames(message, path=str(file), field=file.parent.name, frames=(placed.position,))
    return data


def decoded(packed: bytes, kind: Kind, *, where: str) -> Frame:
    """Return the frame that bytes stand for.

    Raises
    ------
    CorruptError
        If they stand for none of that shape and type.
    """
    if _summed(packed[:-_SUM]) != packed[-_SUM:]:
        message = f"{where}: a frame has another checksum than it was written with"
        raise CorruptError(message, path=where)
    try:
        data = _compressor().decode(packed[:-_SUM])
        found: Frame = np.frombuffer(data, kind.dtype).reshape(kind.shape)
    except (RuntimeError, ValueError) as error:
        message = f"{where}: a frame is not one of {kind.shape} {kind.dtype}: {error}"
        raise CorruptError(message, path=where) from error
    return found


def _finish(hidden: Path, descriptor: int, placed: Sequence[Placed], closed: Path, per_shard: int) -> None:
    """Put the index behind the last frame, and the file in its place."""
    index = np.full((per_shard, 2), _NOTHING, "<u8")
    for each in placed:
        index[each.position % per_shard] = each.offset, each.nbytes
    tail = index.tobytes()
    end = placed[-1].offset + placed[-1].nbytes
    with translated(hidden):
        os.ftruncate(descriptor, end)
        data = tail + _summed(tail)
        if os.pwrite(descriptor, data, end) != len(data):
            message = f"{hidden}: the index of its frames could not be written; free some space"
            raise StorageError(message, path=str(hidden))
        os.fsync(descriptor)
        os.rename(hidden, closed)
        fsync_folder(closed.parent)


def _pixel(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found.kind not in _KINDS or found.itemsize > 8:
        message = f"frames of {found} are not kept: expected whole or floating-point numbers, or bool"
        raise InvalidInput(message)
    return found.newbyteorder("<") if found.itemsize > 1 else found


def _compressor() -> Any:
    from numcodecs.blosc import BITSHUFFLE, Blosc

    return Blosc(cname=_BLOSC["cname"], clevel=_BLOSC["clevel"], shuffle=BITSHUFFLE)


def _summed(data: Any) -> bytes:
    import google_crc32c

    total: int = google_crc32c.value(bytes(data))
    return total.to_bytes(_SUM, "little")
