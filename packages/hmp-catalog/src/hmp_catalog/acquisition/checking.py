"""Whether a session is whole: what is lost or damaged, by run, field and frame, and what lies there that nobody needs.

A run that somebody writes is left alone: what it has acknowledged is looked at, what it is about to is not.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition.clearing import orphans, unclosed
from hmp_catalog.acquisition.frames import frames_of
from hmp_catalog.acquisition.looking import Array, Finding, Looked, length_of, look, store_id_of
from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.shards import Shard, read
from hmp_catalog.acquisition.stack import Kind, Placed, hidden_file, shard_file
from hmp_catalog.errors import LostFrames
from hmp_core.errors import CorruptError
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols import AuthBackend


def verify(
    db_path: str | Path | UPath,
    *,
    deep: bool = False,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> list[Finding]:
    """Return what is wrong with a session; nothing is changed, and nobody is kept from writing.

    Parameters
    ----------
    db_path
        The session file.
    deep
        Read every frame, and compare it with its checksum and the hash of its range.
    auth, timeout
        See `Catalog`.

    Raises
    ------
    DatabaseNotFound, CorruptError, SchemaTooNewError, AccessDenied, BusyError
        If the session file itself cannot be read.
    NotWritable
        If the folders of its frames are closed to this user.

    Examples
    --------
    >>> import tempfile
    >>> from hmp_catalog.acquisition import RunWriter, SampleMetadata
    >>> june = tempfile.mkdtemp() + "/june.db"
    >>> with RunWriter(june, SampleMetadata("outlet")) as writer:
    ...     uid = writer.open_run("count")
    >>> verify(june, deep=True)
    []
    """
    looked = look(Reading(to_local(db_path), auth=auth, timeout=timeout), deep=deep)
    return [*_of_file(looked), *_of_store(looked, deep=deep), *unclosed(looked), *orphans(looked)]


# ── what is lost ─────────────────────────────────────────────────────────────────────────────────────


def _of_file(looked: Looked) -> Iterator[Finding]:
    path = looked.reading.path
    if looked.whole != "ok":
        yield Finding("damaged-database", path, f"the engine finds the session damaged: {looked.whole}")
    for run, stream, count, last in looked.holes:
        what = f"stream {stream} has {count} events, and the last is number {last}"
        yield Finding("lost-events", path, what, run)


def _of_store(looked: Looked, *, deep: bool) -> Iterator[Finding]:
    store = looked.reading.zarr
    if not store.is_dir():
        if looked.arrays:
            runs = len({run for run, _ in looked.arrays})
            yield Finding("lost-store", store, f"the frames of {runs} runs are not there; restore it from a backup")
    elif (theirs := store_id_of(store)) not in {None, looked.store_id}:
        what = f"it belongs to the session {theirs}, not to {looked.store_id}; was one of them renamed?"
        yield Finding("foreign-store", store, what)
    for each in looked.arrays.values():
        yield from _of_array(looked, each, deep=deep)


def _of_array(looked: Looked, array: Array, *, deep: bool) -> Iterator[Finding]:
    said: dict[str, Any] = {"run": array.run, "field": array.field}
    last = max([array.count, *(each.position + 1 for each in array.opened)])
    try:
        if array.refs:
            yield from _of_old_array(looked, array, said, deep=deep)
            return
        kind = Kind.read(array.folder)
        if array.kind is not None and (kind.shape, kind.dtype.str) != array.kind:
            message = f"its frames are of {kind.shape} {kind.dtype}, not {array.kind[0]} {array.kind[1]}"
            raise CorruptError(message, path=str(array.folder))
    except (LostFrames, CorruptError) as error:
        yield Finding("lost-array", array.folder, str(error), **said, frames=tuple(range(last)))
        return
    check = _Check(array, kind)
    check.closed(deep=deep)
    check.open(deep=deep)
    for code, found in (("lost-frames", check.lost), ("damaged-frames", check.damaged)):
        for where, (what, frames) in sorted(found.items()):
            yield Finding(code, where, what, **said, frames=tuple(frames))


def _of_old_array(looked: Looked, array: Array, said: dict[str, Any], *, deep: bool) -> Iterator[Finding]:
    """Look at an array of the first versions, where a frame of zeros has no bytes and cannot be missed."""
    count = length_of(array.folder)
    if count is None:
        what = "the array is not there; restore it from a backup"
        yield Finding("lost-array", array.folder, what, **said, frames=tuple(range(array.refs)))
    elif count < array.refs:
        yield Finding(
            "lost-frames", array.folder, f"it ends at {count}", **said, frames=tuple(range(count, array.refs))
        )
    elif deep:
        kept = frames_of(looked.reading, array.run, array.field, ((0, 0), "<f8"))
        for number in range(len(kept.positions)):
            try:
                read(kept, np.array([number]))
            except LostFrames as error:
                yield Finding("damaged-frames", array.folder, str(error), **said, frames=error.frames)


class _Check:
    """Looks at the shards of one array."""

    def __init__(self, array: Array, kind: Kind) -> None:
        self._array, self._kind = array, kind
        self._room = np.empty(kind.shape, kind.dtype)
        #: file -> what about it, and which frames
        self.lost: dict[Path, tuple[str, list[int]]] = {}
        self.damaged: dict[Path, tuple[str, list[int]]] = {}

    def closed(self, *, deep: bool) -> None:
        """Look at the closed shards: whether each frame is there, and, if deep, is what was written."""
        per, count = self._kind.per_shard, self._array.count
        hashes = {start: hashlib.sha256() for start, _, _ in self._array.ranges}
        starts = sorted(hashes)
        for first in range(0, count, per):
            numbers = [n for n in range(first, min(first + per, count)) if self._is_said(n)]
            with self._shard(first // per, numbers, closed=True) as shard:
                if shard is None:
                    continue
                lacking = {first + n for n in shard.lacks(len(numbers))}
                for n in sorted(lacking):
                    self._add(self.lost, shard.path, "the shard has no such frames", n)
                for n in (n for n in numbers if deep and n not in lacking):
                    if self._right(shard, n, partial(shard.frame, n - first, self._room)):
                        hashes[starts[int(np.searchsorted(starts, n, "right")) - 1]].update(self._room.data)
        if deep:
            self._compare(hashes)

    def open(self, *, deep: bool) -> None:
        """Look at the frames of a shard that is not closed."""
        for number in sorted({each.position // self._kind.per_shard for each in self._array.opened}):
            placed = [each for each in self._array.opened if each.position // self._kind.per_shard == number]
            with self._shard(number, [each.position for each in placed], closed=False) as shard:
                if shard is not None:
                    for each in placed:
                        self._placed(shard, each, deep=deep)

    def _placed(self, shard: Shard, each: Placed, *, deep: bool) -> None:
        if not shard.holds(each.offset, each.nbytes):
            self._add(self.lost, shard.path, "the shard ends before them", each.position)
        elif deep:
            take = partial(shard.chunk, each.offset, each.nbytes, self._room, crc32=each.crc32)
            self._right(shard, each.position, take)

    def _compare(self, hashes: dict[int, Any]) -> None:
        wrong = {n for found in (self.lost, self.damaged) for _, frames in found.values() for n in frames}
        for start, stop, sha256 in self._array.ranges:
            if hashes[start].hexdigest() != sha256 and not wrong.intersection(range(start, stop)):
                for n in range(start, stop):
                    self._add(
                        self.damaged, self._array.folder, "the range has another hash than it was written with", n
                    )

    def _is_said(self, number: int) -> bool:
        return any(start <= number < stop for start, stop, _ in self._array.ranges)

    @contextlib.contextmanager
    def _shard(self, number: int, frames: Sequence[int], *, closed: bool) -> Iterator[Shard | None]:
        """Open a shard; without it, or its index, all the frames are lost."""
        end = shard_file(self._array.folder, number)
        files = [end] if closed else [hidden_file(self._array.folder, number), end]
        try:
            shard = Shard(files, self._kind)
        except CorruptError as error:
            for n in frames:
                self._add(self.lost, end, str(error), n)
            yield None
            return
        try:
            yield shard
        except CorruptError as error:
            for n in frames:
                self._add(self.damaged, shard.path, str(error), n)
        finally:
            shard.close()

    def _right(self, shard: Shard, number: int, take: Callable[[], None]) -> bool:
        try:
            take()
        except CorruptError as error:
            self._add(self.damaged, shard.path, str(error), number)
            return False
        return True

    @staticmethod
    def _add(found: dict[Path, tuple[str, list[int]]], where: Path, what: str, number: int) -> None:
        found.setdefault(where, (what, []))[1].append(number)
