"""A segment: the file that one process appends its events to, and that nobody else writes.

State of a segment: ``made`` under a temporary name and locked, then renamed into ``pending/`` (now it counts);
``open`` while its owner holds the kernel's lock on it; ``left`` when the lock is free, because the owner closed
it or died. Only the holder of that lock may put a segment away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path

from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import StorageError
from hmp_core.identity import uuid7
from hmp_core.locks import try_flock

_log = logging.getLogger(__name__)

SUFFIX = ".log"
#: Ending of a segment that is being made.
NEW = ".new"


#: A folding process that clears away what others left unfinished may take a new segment for such a thing.
_TRIES = 3


class Segment:
    """An open segment of this process."""

    def __init__(self, folder: Path) -> None:
        self.seq = 0
        with translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for attempt in range(1, _TRIES + 1):
                self.writer = str(uuid7())
                self.path = folder / f"{self.writer}{SUFFIX}"
                try:
                    self._descriptor = _made(folder / f".{self.writer}{NEW}", self.path)
                except FileNotFoundError:
                    if attempt == _TRIES:
                        raise
                else:
                    return

    def append(self, data: bytes) -> None:
        """Put ``data`` at the end and on the disk; what returns is acknowledged.

        Raises
        ------
        StorageError
            If not all of it reached the disk, or the file is no longer where it should be. The segment must
            then be abandoned: its end is not known.
        """
        self.write(data)
        self.sync()

    def write(self, data: bytes) -> None:
        """Put ``data`` at the end: it outlives this process, and with `sync` a power cut too.

        Raises
        ------
        StorageError
            If not all of it could be written; the segment must then be abandoned.
        """
        with translated(self.path):
            written = os.write(self._descriptor, data)
            if written != len(data):
                message = f"{self.path}: only {written} of {len(data)} bytes could be written; free some space"
                raise StorageError(message, path=str(self.path))

    def sync(self) -> None:
        """Put what was written on the disk.

        Raises
        ------
        StorageError
            If it did not reach the disk, or the file is no longer where it should be; see `append`.
        """
        with translated(self.path):
            os.fsync(self._descriptor)
            if os.fstat(self._descriptor).st_nlink == 0:
                message = f"{self.path} was removed while it was being written"
                raise StorageError(message, path=str(self.path))

    def is_linked(self) -> bool:
        """Return whether the file is still at its place (the folder may have been moved or emptied)."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Give the segment up: whoever folds next may put it away. Once more does nothing."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if self.seq == 0:
                os.unlink(self.path)
        with contextlib.suppress(OSError):  # a child that was forked without our knowing has it open still
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.let_go()

    def let_go(self) -> None:
        """Close this process's descriptor; in the child of a fork the lock stays with the parent."""
        descriptor, self._descriptor = self._descriptor, -1  # the number may soon be another file's
        with contextlib.suppress(OSError):  # an inherited descriptor may be gone already
            os.close(descriptor)


def _made(beside: Path, path: Path) -> int:
    """Make a segment that is locked before anybody can see it, and return its descriptor.

    Raises
    ------
    FileNotFoundError
        If somebody cleared it away meanwhile.
    """
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
    try:
        if not try_flock(descriptor):
            raise FileNotFoundError(errno.ENOENT, "cleared away while it was being made", str(beside))
        os.rename(beside, path)
        fsync_folder(path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def claim(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a segment whose owner left it; None while it has one.

    None too where it cannot be told: a segment is put away by those alone who know that nobody writes it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if try_flock(descriptor):
            return descriptor
    except OSError as error:
        _log.debug("%s: its lock cannot be asked for: %s", path, error)
    os.close(descriptor)
    return None


def unclaim(descriptor: int) -> None:
    """Give back what `claim` took; a child that was forked meanwhile has the file open still, and keeps no lock."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
