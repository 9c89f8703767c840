"""Append: an event is on the disk, in this process's own segment, before anybody is told it happened.

No lock is waited for and no database is touched: a finished simulation is never lost to either.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hmp_core.auth.gate import authorize
from hmp_core.durable import fsync_folder
from hmp_core.errors import InvalidInput, PathNotFound, StorageError
from hmp_core.events.clock import clock
from hmp_core.events.record import Event, encode
from hmp_core.events.segment import Segment
from hmp_core.identity import uuid7
from hmp_core.layout import internal_folder
from hmp_core.locks import forking
from hmp_core.protocols.auth import AuthBackend


class EventLog:
    """The log of one database, as this process appends to it.

    Parameters
    ----------
    database : Path
        The database that the log belongs to; it need not exist.
    component : str
        The scope, as "catalog".
    auth, resource
        Who is asked for the right to write, and to what, at every append.
    """

    def __init__(self, database: Path, component: str, *, auth: AuthBackend, resource: str) -> None:
        self.component = component
        self.pending = internal_folder(database) / "pending"
        self._auth = auth
        self._resource = resource
        self._database = database
        self._writer = _writer(self.pending)
        self._open = True

    def prepare(self, kind: str, payload: dict[str, Any], *, v: int = 1) -> Event:
        """Return an event that has happened but is not yet on the disk.

        Its id and clock can be kept in the files it is about, so that these alone give the same rows again.

        Raises
        ------
        AccessDenied
            If the user may not write.
        """
        authorize(self._auth, "write", self._resource, database=self._database, what=f"record {kind}")
        tick = clock.tick()
        return Event(
            id=uuid7(tick // 1000),
            component=self.component,
            v=v,
            kind=kind,
            clock=tick,
            at=time.time_ns() // 1000,
            author=self._auth.current_user(),
            payload=payload,
        )

    def append(self, kind: str, payload: dict[str, Any], *, v: int = 1) -> Event:
        """Record that something happened; what returns is durable.

        Raises
        ------
        AccessDenied
            If the user may not write.
        StorageError, NotWritable
            If it could not be put on the disk; it is then not acknowledged.
        """
        event = self.prepare(kind, payload, v=v)
        self.commit([event])
        return event

    def commit(self, events: Sequence[Event]) -> None:
        """Put prepared events on the disk, together, with one flush."""
        if not self._open:
            message = f"the log of {self.pending.parent} is closed"
            raise InvalidInput(message)
        if events:
            kinds = " ".join(sorted({event.kind for event in events}))
            authorize(self._auth, "write", self._resource, database=self._database, what=f"record {kinds}")
            self._writer.write(events)

    def ready(self) -> None:
        """Return if there is a segment to append to: asked before a file is made that an event is to tell of.

        Raises
        ------
        StorageError, NotWritable, PathNotFound
            If none can be made here.
        """
        self._writer.ready()

    def turn(self) -> None:
        """Give the segment up: the next event begins a new one, and a fold puts this one into its pack."""
        self._writer.turn()

    def close(self) -> None:
        """Give the segment up if nobody else in this process appends to it."""
        if self._open:
            self._open = False
            self._writer.release()


class _Writer:
    """This process's segment of one log, shared by all its doors and threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users = 0
        self.guard = threading.Lock()
        self.segment: Segment | None = None

    def write(self, events: Sequence[Event]) -> None:
        with self.guard:
            for attempt in (1, 2):
                segment = self._segment()
                lines = self._lines(segment, events)
                try:
                    segment.append(lines)
                # the end of this segment is not known any more: never append to it again
                except StorageError:
                    self._abandon()
                    if attempt == 2:
                        raise
                except BaseException:
                    self._abandon()
                    raise
                else:
                    return

    def ready(self) -> None:
        with self.guard:
            self._segment()

    def turn(self) -> None:
        with self.guard:
            self._abandon()

    def _lines(self, segment: Segment, events: Sequence[Event]) -> bytes:
        try:
            lines = [encode(e.placed(segment.writer, segment.seq + n)) for n, e in enumerate(events, 1)]
        except (ValueError, TypeError, RecursionError) as error:
            message = f"the facts of a {events[0].kind} event cannot be kept as JSON: {error}"
            raise InvalidInput(message) from error
        segment.seq += len(lines)
        return b"".join(lines)

    def _segment(self) -> Segment:
        if self.segment is not None and not self.segment.is_linked():
            self._abandon()
        if self.segment is None:
            home = self.folder.parents[2]
            if not home.is_dir():
                message = f"{home}: no such folder; it was moved or removed, so nothing can be recorded there"
                raise PathNotFound(message, path=str(home))
            fresh = not self.folder.exists()
            with forking:  # the child of a fork must find what it is to close
                self.segment = Segment(self.folder)
            if fresh:
                for parent in (self.folder.parents[0], self.folder.parents[1], home):
                    fsync_folder(parent)
        return self.segment

    def _abandon(self) -> None:
        if self.segment is not None:
            self.segment.close()
            self.segment = None

    def release(self) -> None:
        with _registry:
            self.users -= 1
            last = self.users == 0
        if last:
            with self.guard:
                self._abandon()


_writers: dict[str, _Writer] = {}
_registry = threading.Lock()


def _writer(folder: Path) -> _Writer:
    real = os.path.realpath(folder)
    with _registry:
        writer = _writers.setdefault(real, _Writer(Path(real)))
        writer.users += 1
        return writer


def _forget() -> None:
    global _registry
    for writer in _writers.values():
        if writer.segment is not None:
            writer.segment.let_go()
            writer.segment = None
        writer.guard = threading.Lock()
    _registry = threading.Lock()


# a child writes segments of its own
os.register_at_fork(after_in_child=_forget)
