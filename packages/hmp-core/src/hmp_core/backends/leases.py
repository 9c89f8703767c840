"""What a process has open: one entry per file, and which backend of which thread is using it."""

from __future__ import annotations

import os
import threading
from typing import Any


class OpenFile:
    """One database file and the lease this process may hold on it; only the lock's holder touches it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.depth = 0
        self.writing = False
        self.in_transaction = False
        self.alias = ""
        self.connection: Any = None
        self._pid = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this is the child of a fork that happened within the lease: it is the parent's to end."""
        return self._pid != os.getpid()


class _Stack(threading.local):
    def __init__(self) -> None:
        self.entries: list[tuple[object, OpenFile]] = []


class Leases:
    """The leases of the present thread, innermost last."""

    def __init__(self) -> None:
        self._stack = _Stack()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._stack.entries = []

    def enter(self, holder: object, file: OpenFile) -> None:
        """Make ``file`` the one that the verbs of ``holder`` find."""
        self._stack.entries.append((holder, file))

    def leave(self, holder: object, file: OpenFile) -> None:
        """Undo `enter`; a child that was forked meanwhile has nothing to undo."""
        if self._stack.entries and self._stack.entries[-1] == (holder, file):
            self._stack.entries.pop()

    def of(self, holder: object) -> OpenFile | None:
        """Return the file of the innermost lease that ``holder`` has in this thread."""
        return next((file for who, file in reversed(self._stack.entries) if who is holder), None)

    def on(self, path: str) -> OpenFile | None:
        """Return the file at ``path`` if any holder has a lease on it in this thread."""
        return next((file for _, file in self._stack.entries if file.path == path), None)


def never_free(thing: object) -> None:
    """Keep an object for as long as the process lives, its interpreter's end included."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
