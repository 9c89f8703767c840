"""The kernel's locks on versions and trees: shared by who reads, alone for who writes or clears away.

A lock is gone with its process, however that ends, so that nothing is ever broken by force, and no clock is asked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import weakref
from pathlib import Path

from hmp_core.locks import forking

_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}


class Hold:
    """A lock on one file, until `release`. The child of a fork starts with none."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        self._close.atexit = False
        _holds.add(self)

    def release(self) -> None:
        """Let go; may be called twice."""
        with forking:
            if self._close.alive:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # a child forked without our knowing has it open still
            self._close()

    def forget(self) -> None:
        """Close what a child inherited; the lock stays with the parent."""
        self._close()


def hold(path: Path, *, alone: bool) -> Hold | None:
    """Take the lock at ``path``, whose file is made if it is not there; None if somebody is in the way.

    Somebody is also who removed the file meanwhile: whoever is refused looks again at what was to be locked.

    Raises
    ------
    OSError
        If there is no such file and it cannot be made.
    """
    with forking:
        try:
            descriptor = _open(path)
        except FileExistsError:
            return None  # made by another just now
        taken = False
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            taken = os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
        except (BlockingIOError, FileNotFoundError):
            return None
        finally:
            if not taken:
                os.close(descriptor)
        return Hold(path, descriptor) if taken else None


def _open(path: Path) -> int:
    """Open a lock file; to read suffices where it belongs to another user, or the medium is read only."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_NOFOLLOW)
        except FileNotFoundError:
            break
        except OSError as error:
            if flags == os.O_RDONLY or error.errno not in _NOT_OURS:
                raise
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


_holds: weakref.WeakSet[Hold] = weakref.WeakSet()


def _forget() -> None:
    for each in list(_holds):
        each.forget()


os.register_at_fork(after_in_child=_forget)
