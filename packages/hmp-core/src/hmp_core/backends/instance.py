"""The engine of a process: one in-memory database, made when it is first needed, and the files attached to it."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any

from hmp_core.backends.leases import OpenFile, never_free


class Instance:
    """The in-memory database of this process and the files attached to it; ``connect`` makes it when it is needed."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.guard = threading.Lock()
        self.root: Any | None = None
        self.files: dict[str, OpenFile] = {}
        self.names = itertools.count(1)

    def cursor(self) -> Any:
        """Return a connection of its own to it."""
        with self.guard:
            if self.root is None:
                self.root = self._connect()
            return self.root.cursor()

    def file(self, path: str) -> OpenFile:
        """Return the entry of a file; its lock is held."""
        with self.guard:
            return self.files.setdefault(path, OpenFile(path))

    def drop(self, path: str) -> None:
        """Forget the entry of a file that nobody has open any more."""
        with self.guard:
            self.files.pop(path, None)

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
        self.guard, self.root, self.files = threading.Lock(), None, {}
