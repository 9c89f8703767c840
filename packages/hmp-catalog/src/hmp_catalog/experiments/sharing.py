"""A lock that any number may share or one has alone: those who save files, and whoever removes them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from hmp_core.durable import make_folder, translated
from hmp_core.errors import BusyError
from hmp_core.locks import forking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds between two tries.
_POLL: Final = 0.005


class SharingLock:
    """The kernel's lock on the file ``path``, which is made when it is first needed and never removed.

    The kernel gives it back when its holder dies. A Ctrl-C at any moment leaves nothing taken: what gives back may be
    done twice and is, in a ``try`` and its ``finally``, for one of the two may be cut short.

    Parameters
    ----------
    path : Path
        The lock file.
    what : str
        What it guards, for the message of an error.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._inside = threading.local()

    @contextlib.contextmanager
    def shared(self, timeout: float) -> Iterator[None]:
        """Keep out, for the block, whoever wants it alone; a thread that has it may take it again.

        Raises
        ------
        BusyError
            If somebody has it alone for longer than ``timeout`` seconds.
        NotWritable
            If the lock file cannot be made.
        """
        depth = getattr(self._inside, "depth", 0)
        with contextlib.nullcontext() if depth else self._held(fcntl.LOCK_SH, timeout):
            try:
                self._inside.depth = depth + 1
                yield
            finally:
                self._inside.depth = depth

    @contextlib.contextmanager
    def alone(self, timeout: float) -> Iterator[None]:
        """Keep everybody else out for the block.

        Raises
        ------
        BusyError
            If others have it for longer than ``timeout`` seconds; 0 tries once.
        NotWritable
            If the lock file cannot be made.
        """
        with self._held(fcntl.LOCK_EX, timeout):
            yield

    @contextlib.contextmanager
    def _held(self, how: int, timeout: float) -> Iterator[None]:
        lock = _Lock()
        try:
            with translated(self._path):
                lock.open(self._path)
                self._wait(lock, how, timeout)
            yield
        finally:
            try:
                lock.give_back()
            finally:
                lock.give_back()

    def _wait(self, lock: _Lock, how: int, timeout: float) -> None:
        began = time.monotonic()
        while not lock.take(how):
            waited = time.monotonic() - began
            if waited >= timeout:
                message = f"{self._what}: held by others; waited {waited:.1f} s; try again, or wait longer"
                raise BusyError(message, path=str(self._path), holder="others", waited=waited)
            time.sleep(min(_POLL, timeout - waited))


class _Lock:
    """One open lock file: each holder has its own, also within a process."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        _all.add(self)

    def open(self, path: Path) -> None:
        """Open the file, made if it is not there; to read suffices, it may be another user's."""
        with forking:  # a child must find every descriptor that it is to close
            try:
                self._descriptor = os.open(path, _FLAGS)
            except FileNotFoundError:
                make_folder(path.parent)
                self._descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o666)

    def take(self, how: int) -> bool:
        """Return whether the lock is ours now."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give_back(self) -> None:
        """Unlock and close; a child that was forked without our knowing has the file open still."""
        with forking:
            if self._descriptor is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self.let_go()

    def let_go(self) -> None:
        """Close only: the parent of a fork, which has the same open file, keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

_all: weakref.WeakSet[_Lock] = weakref.WeakSet()


def _forget() -> None:
    for lock in list(_all):
        lock.let_go()


# the kernel's lock belongs to the open file, which both have: a child that kept it would hold the lock of its parent
# when that is dead
os.register_at_fork(after_in_child=_forget)
