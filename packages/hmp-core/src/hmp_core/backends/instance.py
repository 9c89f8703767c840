"""The engine of a process: one in-memory database, made when it is first needed, and the files attached to it."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from hmp_core.backends.leases import OpenFile, never_free

#: Seconds that a fork waits for the leases of other threads.
_PATIENCE = 5.0


class Instance:
    """The in-memory database of this process and the files attached to it; ``connect`` makes it when it is needed."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.guard = threading.Condition()
        self.root: Any | None = None
        self.files: dict[str, OpenFile] = {}
        self.names = itertools.count(1)
        #: what the parent had attached when it forked this process
        self.inherited: set[str] = set()
        self._forkers: set[int] = set()
        os.register_at_fork(before=self.before_fork, after_in_parent=self.after_fork, after_in_child=self.forget)

    def start(self) -> None:
        """Make it now, which takes 0.2 s the first time: not while others wait for the lock that one holds."""
        if self.root is None:
            self.cursor().close()

    def cursor(self) -> Any:
        """Return a connection of its own to it."""
        with self.guard:
            if self.root is None:
                self.root = self._connect()
            return self.root.cursor()

    def file(self, path: str) -> OpenFile:
        """Return the entry of a file; its lock is held. A thread that has none yet lets a fork go first."""
        me = threading.get_ident()
        with self.guard:
            self.guard.wait_for(lambda: not self._forkers - {me} or self._of(me), _PATIENCE)
            return self.files.setdefault(path, OpenFile(path))

    def drop(self, file: OpenFile) -> None:
        """Forget the entry of a file that nobody has open any more, and close its connection."""
        with self.guard:
            self.files.pop(file.path, None)
            self.guard.notify_all()
        file.close()

    def _of(self, thread: int) -> bool:
        return any(file.thread == thread for file in self.files.values())

    def before_fork(self) -> None:
        """Wait until no other thread has a file attached, at most some seconds.

        The engine's module remembers what is attached, and the child inherits that memory: what is attached at this
        moment the child can never attach to write (1.5.6, by whatever spelling of its path).
        """
        me = threading.get_ident()
        with self.guard:
            self._forkers.add(me)
            self.guard.wait_for(lambda: all(file.thread == me for file in self.files.values()), _PATIENCE)

    def after_fork(self) -> None:
        """Let the other threads of the parent go on."""
        with self.guard:
            self._forkers.discard(threading.get_ident())
            self.guard.notify_all()

    def discard(self) -> None:
        """Start afresh at the next lease: after a fatal error the engine refuses everything else."""
        with self.guard:
            root, self.root = self.root, None
        if root is not None:
            root.close()  # the files of the old one are let go when its last lease ends

    def forget(self) -> None:
        """Begin with nothing in the child of a fork: what it inherited is never touched, not even to free it.

        Freeing a connection would run the parent's clean-up here, a checkpoint into its database included. That of
        the module itself, whose threads stayed with the parent, hangs or aborts the child at its end (1.5.6).
        """
        engine = sys.modules.get("duckdb")
        default = getattr(engine, "default_connection", lambda: None)()
        for inherited in (default, self.root, *(file.connection for file in self.files.values())):
            if inherited is not None:
                never_free(inherited)
        self.inherited |= set(self.files)
        self.guard, self.root, self.files = threading.Condition(), None, {}
        self._forkers = set()
