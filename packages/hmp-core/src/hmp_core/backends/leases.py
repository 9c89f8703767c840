"""What a process has open: one entry per file, and which backend of which thread is using it."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.meanings import remedy
from hmp_core.errors import BusyError, CorruptError, InvalidInput, NotWritable

if TYPE_CHECKING:
    from hmp_core.locks import DatabaseLock


class OpenFile:
    """One database file and the lease this process may hold on it; only the lock's holder touches it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.depth = 0
        #: the blocks that keep it attached
        self.blocks: set[object] = set()
        #: the lock that is held meanwhile, if one is
        self.lock: DatabaseLock | None = None
        self.writing = False
        self.in_transaction = False
        self.alias = ""
        self.connection: Any = None
        self.thread = threading.get_ident()
        self._pid = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this is the child of a fork that happened within the lease: it is the parent's to end."""
        return self._pid != os.getpid()

    @property
    def displaced(self) -> bool:
        """Whether the lock was taken away meanwhile (``hmp db unlock --force``): the file is nobody's any more."""
        return self.lock is not None and self.lock.displaced

    def require_lock(self) -> None:
        """Return if the lock is still ours: asked before anything is committed.

        Raises
        ------
        BusyError
            If it was taken away: another database may be at the path.
        """
        if self.displaced:
            message = (
                f"{self.path}: its lock was taken away by `hmp db unlock --force` while this process did not answer; "
                "what it had not committed is undone: do it again"
            )
            raise BusyError(message, path=self.path, holder="hmp db unlock --force", waited=0.0)

    def close(self) -> None:
        """Let the connection go; the file is detached, or never was attached."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def is_there(database: Path) -> bool:
    """Return whether there is a file that an engine may open.

    Raises
    ------
    CorruptError
        If it is a folder, or a pipe or a device, which an engine would wait for without end.
    """
    try:
        mode = os.stat(database).st_mode
    except OSError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        message = f"{database} is {kind}, not a database file; move it away, then {remedy(str(database))}"
        raise CorruptError(message, path=str(database))
    return True


def require_one_name(database: Path) -> None:
    """Return if a database goes by one name, before it is written; its lock is held.

    Two names are two lock files and two WALs, and the engine's own lock does not know threads of one process apart.

    Raises
    ------
    NotWritable
        If it has several. It can be read, and its log appended to, all the same.
    """
    try:
        names = os.stat(database).st_nlink
        if names > 1:
            from hmp_core.replacing import unlink_own_copies  # stands on the backend

            unlink_own_copies(database)
            names = os.stat(database).st_nlink
    except FileNotFoundError:
        return
    if names > 1:
        message = (
            f"{database} has {names} names (hard links), and each would have a lock of its own: it is not written; "
            f"find them with `find ... -samefile {database}` and remove all but one; or {remedy(str(database))}, "
            "which gives it a file of its own"
        )
        raise NotWritable(message, path=str(database), names=names)


def born_within(path: str) -> InvalidInput:
    """Return why a child cannot have what its parent had open when it was forked."""
    message = (
        f"{path}: this process was forked in a block in which its parent had it open, and the engine cannot open it "
        "here any more: fork before the block, or start processes with the method spawn"
    )
    return InvalidInput(message)


class _Stack(threading.local):
    def __init__(self) -> None:
        self.entries: list[tuple[object, OpenFile, object]] = []


class Leases:
    """The leases of the present thread, innermost last."""

    def __init__(self) -> None:
        self._stack = _Stack()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._stack.entries = []

    def enter(self, holder: object, file: OpenFile, block: object = None) -> None:
        """Make ``file`` the one that the verbs of ``holder`` find."""
        self._stack.entries.append((holder, file, block))

    def leave(self, holder: object, file: OpenFile, block: object = None) -> None:
        """Undo `enter`; a child that was forked meanwhile has nothing to undo."""
        with contextlib.suppress(ValueError):
            self._stack.entries.remove((holder, file, block))

    def of(self, holder: object) -> OpenFile | None:
        """Return the file of the innermost lease that ``holder`` has in this thread."""
        return next((file for who, file, _ in reversed(self._stack.entries) if who is holder), None)

    def on(self, path: str) -> OpenFile | None:
        """Return the file at ``path`` if any holder has a lease on it in this thread."""
        return next((file for _, file, _ in self._stack.entries if file.path == path), None)


def never_free(thing: object) -> None:
    """Keep an object for as long as the process lives, its interpreter's end included."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
