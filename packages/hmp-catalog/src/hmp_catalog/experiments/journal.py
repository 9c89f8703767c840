"""What one store wrote that is not in the tables yet: in memory, and in a journal that outlives its process.

State of an entry: ``written`` once it is in the journal's file (a killed process loses nothing of it), ``durable`` once
the file was flushed (nor does a power cut), ``settled`` once it is in the tables, which say how far each journal is in
them. A journal is a segment (`hmp_core.events.segment`): locked by its owner, ``left`` when that closed it or died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hmp_catalog.experiments.schema import COMPONENT
from hmp_core.durable import fsync_folder, fsync_place, make_folder, translated, write_atomic
from hmp_core.errors import HmpError, InvalidInput, PathNotFound
from hmp_core.events.clock import clock
from hmp_core.events.record import Event, decode, encode, is_torn
from hmp_core.events.segment import NEW, SUFFIX, Segment, claim, unclaim
from hmp_core.identity import uuid7
from hmp_core.layout import internal_folder
from hmp_core.locks import forking
from hmp_core.saying import once

_log = logging.getLogger(__name__)

#: Kind of the last entry of a store that was closed: without it, whoever wrote the journal died.
CLOSED = "writer.closed"

#: Seconds after which a journal that is still being made will never be.
_UNFINISHED = 60.0


class Entry(NamedTuple):
    """Something that was written: where it ends in its journal, what it is, and what it says."""

    end: int
    kind: str
    facts: Any


@dataclass(frozen=True, slots=True)
class Pages:
    """What is to be settled of one journal."""

    path: Path
    entries: list[Entry]
    #: how far the journal is in the tables once these are
    end: int
    #: held where the owner has left the journal
    descriptor: int | None = None
    #: whether its owner closed it, and did not die
    closed: bool = False

    @property
    def name(self) -> str:
        """The name of the journal."""
        return self.path.name


class Journal:
    """What one store writes. Threads may share it; a forked child begins one of its own."""

    def __init__(self, database: Path, author: str) -> None:
        self.folder = internal_folder(database) / "pending"
        self.author = author
        #: bytes that wait in memory
        self.size = 0
        self._guard = threading.RLock()
        self._entries: list[Entry] = []
        self._segment: Segment | None = None
        self._end = 0
        #: journals of this store that were left half-way, as after a full disk: their owner is not dead
        self._former: set[str] = set()
        #: those of them that were not flushed since
        self._unflushed: set[Path] = set()
        _all.add(self)

    @property
    def name(self) -> str:
        """The name of the file; empty where nothing was written yet."""
        return "" if self._segment is None else self._segment.path.name

    def write(self, kind: str, facts: dict[str, Any], kept: Any = None) -> None:
        """Put an entry into the journal's file: it outlives this process.

        Parameters
        ----------
        kind, facts
            What it is, and what it says, as JSON knows it.
        kept
            What to keep of it in memory, where that is not the facts themselves.

        Raises
        ------
        StorageError, NotWritable, PathNotFound
            If it cannot be written; then it never happened.
        """
        with self._guard:
            segment = self._usable()
            line = self._line(segment, kind, facts)
            try:
                segment.write(line)
            except BaseException:
                self._abandon()  # where it ends is not known any more
                raise
            segment.seq += 1
            self._end += len(line)
            self._entries.append(Entry(self._end, kind, facts if kept is None else kept))
            self.size += len(line)

    def _line(self, segment: Segment, kind: str, facts: dict[str, Any]) -> bytes:
        tick = clock.tick()
        event = Event(uuid7(), COMPONENT, 1, kind, tick, tick, self.author, facts, segment.writer, segment.seq + 1)
        try:
            return encode(event)
        except (ValueError, TypeError, RecursionError) as error:
            message = f"the facts of {kind} cannot be kept as JSON: {error}"
            raise InvalidInput(message) from error

    def _usable(self) -> Segment:
        if self._segment is not None and not self._segment.is_linked():
            self._abandon()
        if self._segment is None:
            self.require_home()
            make_folder(self.folder)
            with forking:  # the child of a fork must find what it is to close
                self._segment = Segment(self.folder)
            self._end = 0
        return self._segment

    def require_home(self) -> None:
        """Return if the folder of the store is still there: none is made again where it was moved away.

        Raises
        ------
        PathNotFound
            If it is not.
        """
        home = self.folder.parents[2]
        if not home.is_dir():
            message = f"{home}: no such folder; it was moved or removed, so nothing can be recorded there"
            raise PathNotFound(message, path=str(home))

    def _abandon(self) -> None:
        """Give the file up; what is in it is settled from there."""
        if self._segment is not None:
            self._former.add(self._segment.path.name)
            self._unflushed.add(self._segment.path)
            self._segment.close()
        self._segment, self._end, self.size, self._entries = None, 0, 0, []

    def sync(self) -> None:
        """Put what was written on the disk: it outlives a power cut.

        Raises
        ------
        StorageError
            If it did not reach the disk.
        """
        with self._guard:
            for path in list(self._unflushed):
                with translated(path), contextlib.suppress(FileNotFoundError):  # all of it is in the tables
                    fsync_place(path)
                self._unflushed.discard(path)
            if self._segment is None:
                return
            try:
                self._segment.sync()
            except BaseException:
                self._abandon()
                raise

    def waiting(self) -> Pages | None:
        """Return what is not settled, None where there is nothing."""
        with self._guard:
            if self._segment is None or not self._entries:
                return None
            return Pages(self._segment.path, list(self._entries), self._end)

    def settled(self, end: int, name: str) -> None:
        """Forget what is in the tables now."""
        with self._guard:
            if name == self.name:
                self._entries = [entry for entry in self._entries if entry.end > end]
                self.size = self._end - end if self._entries else 0

    def is_mine(self, name: str) -> bool:
        """Return whether this store wrote a journal, this one or a former one."""
        return name == self.name or name in self._former

    def close(self) -> None:
        """Say that nothing more comes, and leave the journal to be settled by whoever comes next."""
        with self._guard:
            if self._segment is None:
                return
            try:
                self._segment.append(self._line(self._segment, CLOSED, {}))
                self._segment.seq += 1
            finally:
                self._abandon()

    def _forget(self) -> None:
        """Begin anew in the child of a fork: what is here is the parent's."""
        if self._segment is not None:
            self._segment.let_go()
        self._guard = threading.RLock()
        self._segment, self._end, self.size, self._entries = None, 0, 0, []
        self._former, self._unflushed = set(), set()


_all: weakref.WeakSet[Journal] = weakref.WeakSet()


def _forget_all() -> None:
    for journal in list(_all):
        journal._forget()


os.register_at_fork(after_in_child=_forget_all)


# ── the journals of everybody ────────────────────────────────────────────────────────────────────────


class Journals:
    """The journals beside a database, its own writer's and those of others."""

    def __init__(self, database: Path) -> None:
        folder = internal_folder(database)
        self.folder = folder / "pending"
        self._rejected = folder / "rejected"

    def paths(self) -> list[Path]:
        """Return the files, oldest first."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(self.folder / name for name in names if name.endswith(SUFFIX) and not name.startswith("."))

    def read(self, path: Path, position: int) -> Pages:
        """Return what a journal says beyond ``position``, claimed where its owner has left it."""
        descriptor = claim(path)
        try:
            data = _bytes(path)
            lines = list(decode(data, position))
            # the last line may still be under way, or was cut short by a death: it was never acknowledged
            if lines and (is_torn(lines[-1]) or (lines[-1].event is None and descriptor is None)):
                lines.pop()
            entries = []
            for line in lines:
                if line.event is None:
                    self._reject(path, line.start, line.raw)
                else:
                    entries.append(Entry(line.end, line.event.kind, line.event.payload))
            end = lines[-1].end if lines else position
            closed = bool(entries and entries[-1].kind == CLOSED) or (not entries and _ends_closed(data))
        except BaseException:
            if descriptor is not None:
                unclaim(descriptor)
            raise
        return Pages(path, entries, end, descriptor, closed)

    def begun(self, path: Path, kind: str, key: str) -> list[str]:
        """Return the ids of what a journal began, from its first line on."""
        lines = decode(_bytes(path))
        events = (line.event for line in lines if line.event is not None)
        return [event.payload[key] for event in events if event.kind == kind]

    def is_left(self, path: Path) -> bool:
        """Return whether the owner of a journal closed it or died."""
        descriptor = claim(path)
        if descriptor is not None:
            unclaim(descriptor)
        return descriptor is not None

    def release(self, pages: Iterable[Pages]) -> None:
        """Give back what was claimed."""
        for each in pages:
            if each.descriptor is not None:
                unclaim(each.descriptor)

    def unsettled(self, positions: dict[str, int]) -> int:
        """Return how many entries lie beyond ``positions``; nothing is claimed, nothing changed."""
        return sum(
            line.event is not None and line.event.kind != CLOSED
            for path in self.paths()
            for line in decode(_bytes(path), positions.get(path.name, 0))
        )

    def remove(self, settled: Iterable[Pages]) -> None:
        """Remove the journals whose owners have left them; all of them is in the tables."""
        for pages in settled:
            if pages.descriptor is None:
                continue
            try:
                pages.path.unlink(missing_ok=True)
            except OSError as error:
                once(_log, "%s is settled but cannot be removed: %s", pages.path, error)
            unclaim(pages.descriptor)

    def sweep(self) -> None:
        """Remove what was being made by those who died before it came to be."""
        for path in self.folder.glob(f".*{NEW}"):
            try:
                age = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue
            if age > _UNFINISHED and (descriptor := claim(path)) is not None:
                path.unlink(missing_ok=True)
                unclaim(descriptor)

    def _reject(self, path: Path, start: int, raw: bytes) -> None:
        """Keep what cannot be read, for whoever can: its journal will be put away."""
        kept = self._rejected / f"{path.stem}-{start}.raw"
        try:
            make_folder(self._rejected)
            if write_atomic(kept, raw, overwrite=False):
                _log.error("%s: %d bytes at %d cannot be read and were set aside in %s", path, len(raw), start, kept)
                fsync_folder(self._rejected)
        except HmpError as error:
            once(_log, "%s: %d bytes at %d cannot be read, and not be set aside: %s", path, len(raw), start, error)
            raise


def _bytes(path: Path) -> bytes:
    """Return a journal's bytes once they are on the disk: the tables must not know what a power cut would take."""
    try:
        with translated(path), path.open("rb") as file:
            data = file.read()
            if data:
                os.fsync(file.fileno())
            return data
    except FileNotFoundError:
        return b""


def _ends_closed(data: bytes) -> bool:
    start = data.rfind(b"\n", 0, len(data) - 1) + 1
    return any(line.event is not None and line.event.kind == CLOSED for line in decode(data, start))
