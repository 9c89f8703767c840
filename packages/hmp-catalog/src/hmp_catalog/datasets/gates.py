"""A gate that many pass at a time, or one alone: reads of an open data set beside what changes its shape."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from hmp_core.errors import InvalidInput


class Gate:
    """Threads pass `together`, or one of them `alone`; who is inside may enter again.

    Who wants to be alone comes before those who come later. Who passes together may not ask to be alone.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._inside = 0
        self._waiting = 0
        self._owner: int | None = None
        self._mine = threading.local()

    @property
    def waiting(self) -> int:
        """How many wait to be alone."""
        return self._waiting

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Pass while nobody is alone."""
        me, depth = threading.get_ident(), getattr(self._mine, "depth", 0)
        with self._turn:
            if not depth and self._owner != me:
                self._turn.wait_for(lambda: self._owner is None and not self._waiting)
            self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._turn:
                self._inside -= 1
                self._turn.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Pass when nobody else is inside, and keep the others out."""
        me = threading.get_ident()
        if self._owner == me:
            yield
            return
        if getattr(self._mine, "depth", 0):
            message = "this thread is reading, and what it asks for waits for readers to end; do it afterwards"
            raise InvalidInput(message)
        with self._turn:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: self._owner is None and not self._inside)
                self._owner = me
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._turn:
                self._owner = None
                self._turn.notify_all()
