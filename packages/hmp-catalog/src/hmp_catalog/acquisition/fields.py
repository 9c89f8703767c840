"""The frames of the fields of one run: appended, counted in ranges, and tied to their events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition.session import SQL, Session, array_of
from hmp_catalog.acquisition.stack import CODEC, FrameStack, Kind, Placed
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_core.protocols import CatalogBackend

#: What the name of a field may be: it is a node of a Zarr group, and a folder.
_NAME = re.compile(r"(?!__|zarr\.json$)[^\W.][\w .+-]{0,99}")


@dataclass(slots=True)
class Range:
    """Frames that follow one another as their events do."""

    stream: str
    start: int
    seq_start: int
    count: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def takes(self, stream: str, seq: int) -> bool:
        """Return whether an event is the next of this range."""
        return stream == self.stream and seq == self.seq_start + self.count

    def add(self, data: Any) -> None:
        """Count a frame."""
        self.digest.update(data)
        self.count += 1


class Ranges:
    """The ranges of a shard that is being filled."""

    def __init__(self) -> None:
        self.found: list[Range] = []

    def add(self, position: int, stream: str, seq: int, data: Any) -> None:
        """Count a frame of an event."""
        if not self.found or not self.found[-1].takes(stream, seq):
            self.found.append(Range(stream, position, seq))
        self.found[-1].add(data)

    def write(self, backend: CatalogBackend, run_uid: str, name: str, kind: Kind) -> None:
        """Put the ranges in place of the single frames, in the caller's transaction."""
        for each in self.found:
            where: list[Any] = [run_uid, each.stream, name, array_of(run_uid, name), each.start]
            what = [each.start + each.count, each.seq_start, *kind.shape, kind.dtype.str, CODEC]
            backend.execute(SQL["add_range"], [*where, *what, each.digest.hexdigest()])
        backend.execute(SQL["close_frames"], [run_uid, name])


class Field:
    """The frames of one field of the run that is open."""

    def __init__(self, session: Session, run_uid: str, name: str, first: np.ndarray[Any, Any]) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            message = f"{name!r} is no name of a field: expected letters, digits, blanks and -+_. after a first letter"
            raise InvalidInput(message)
        self._session, self._run, self.name = session, run_uid, name
        kind = Kind.of(first)
        session.group(run_uid)
        self._stack = FrameStack(session.zarr / array_of(run_uid, name), kind)
        self._ranges = Ranges()
        #: stream -> the number of its last event with a frame
        self._last: dict[str, int] = {}
        #: the same, for the shards that are closed
        self._last_closed: dict[str, int] = {}

    def checked(self, image: np.ndarray[Any, Any], stream: str, seq: int) -> np.ndarray[Any, Any]:
        """Return the frame of an event as it is kept.

        Raises
        ------
        FrameMismatch
            If it is not of the shape and type of the others.
        InvalidInput
            If the event, or a later one, has a frame of this field already.
        """
        data = self._stack.checked(image)
        if seq <= self._last.get(stream, 0):
            message = f"event {seq} has a frame of {self.name} already, or a later one has: frames come in their order"
            raise InvalidInput(message)
        return data

    def append(self, data: np.ndarray[Any, Any], event_uid: str, stream: str, seq: int) -> None:
        """Append a frame that `checked` gave, in the transaction that is under way; see `go_back` where that fails."""
        placed = self._stack.append(data)
        row = [self._run, self.name, placed.position, event_uid, placed.offset, placed.nbytes, placed.crc32]
        self._session.backend.execute(SQL["add_open_frame"], row)
        self._last[stream] = seq
        self._ranges.add(placed.position, stream, seq, data)

    def go_back(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Be as the tables say, after something failed: the single frames that they tell of are those of the shard.

        Raises
        ------
        LostFrames, CorruptError
            If they are not in the file.
        """
        if self._stack.is_closed and not rows:
            self._begin_shard()  # its ranges are in the tables
            return
        self._ranges, self._last = Ranges(), dict(self._last_closed)
        for row, frame in zip(rows, self._stack.keep(placed_of(rows)), strict=True):
            position, *_, stream, seq = row
            self._ranges.add(position, stream, seq, frame.data)
            self._last[stream] = seq

    @property
    def is_full(self) -> bool:
        """Whether the shard has all its frames."""
        return self._stack.is_full

    def sync(self) -> None:
        """Put the frames on the disk."""
        self._stack.sync()

    def close_shard(self) -> None:
        """Close the shard, and put its ranges down; what speaks of its frames is committed before.

        Where it fails it may be done again.
        """
        if self._stack.is_empty:
            return
        self._stack.close_shard()
        with self._session.backend.transaction():
            self._ranges.write(self._session.backend, self._run, self.name, self._stack.kind)
        self._begin_shard()

    def _begin_shard(self) -> None:
        self._last_closed = dict(self._last)
        self._stack.begin_shard()
        self._ranges = Ranges()

    def let_go(self) -> None:
        """Close the file as it is: what is in it is closed by who opens the session next."""
        self._stack.let_go()


def pixels(image: Any) -> np.ndarray[Any, Any]:
    """Return a frame as an array.

    Raises
    ------
    InvalidInput
        If it is none, or has pixels that are masked: what lies below the mask would come back as if it were measured.
    """
    if np.ma.is_masked(image):
        message = "pixels of the frame are masked, which frames do not keep: fill them, and keep the mask under a field"
        raise InvalidInput(message)
    try:
        return np.asarray(image)
    except (ValueError, TypeError) as error:
        message = f"a {type(image).__name__} is no frame: {error}"
        raise InvalidInput(message) from error


def placed_of(rows: Iterable[tuple[Any, ...]]) -> list[Placed]:
    """Return where frames lie, of rows (position, offset, nbytes, crc32, ...)."""
    return [Placed(*row[:4]) for row in rows]
