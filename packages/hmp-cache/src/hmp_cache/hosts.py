"""How many requests one host gets at once: across the threads of a process, and across the processes of a workspace.

A turn is a place in the process and the kernel's lock on one of a few files, so that a process that dies gives its
turns back. A host that asks for a pause gets it from all threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hmp_core.durable import make_folder, translated
from hmp_core.errors import BusyError, InvalidInput
from hmp_core.identity import sha256_bytes
from hmp_core.locks import try_flock

#: What the services we know ask for is between 2 and 10.
AT_ONCE = 4

#: Seconds between two looks for a free turn that another process holds.
_POLL = 0.01


class HostTurns:
    """The turns that hosts give.

    Parameters
    ----------
    folder
        Where the lock files lie that processes share; None: threads of this process only.
    at_once
        Requests under way at one host.
    patience
        Seconds to wait for a turn.
    """

    def __init__(self, folder: Path | None = None, *, at_once: int = AT_ONCE, patience: float = 600.0) -> None:
        if at_once < 1:
            message = f"at_once is {at_once}; expected at least one request at a host"
            raise InvalidInput(message)
        self._folder = folder
        self._at_once = at_once
        self._patience = patience
        self._guard = threading.Lock()
        self._places: dict[str, threading.BoundedSemaphore] = {}
        self._pauses: dict[str, float] = {}

    @contextlib.contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Hold one of a host's turns for the block.

        Raises
        ------
        BusyError
            If none was free for long.
        """
        until = time.monotonic() + self._patience
        with self._guard:
            places = self._places.setdefault(host, threading.BoundedSemaphore(self._at_once))
        if not places.acquire(timeout=self._patience):
            raise self._busy(host, "other threads of this process")
        try:
            self._rest(host, until)
            with self._slot(host, until):
                yield
        finally:
            places.release()

    def pause(self, host: str, seconds: float) -> None:
        """Give nobody in this process a turn at a host for some seconds, because it asked for that."""
        with self._guard:
            self._pauses[host] = max(self._pauses.get(host, 0.0), time.monotonic() + seconds)

    def _rest(self, host: str, until: float) -> None:
        wait = min(self._pauses.get(host, 0.0), until) - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    @contextlib.contextmanager
    def _slot(self, host: str, until: float) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        make_folder(self._folder)
        name = f"host-{sha256_bytes(host.encode())[:12]}"
        descriptor = self._free(self._folder / name)
        while descriptor is None:
            if time.monotonic() > until:
                raise self._busy(host, "other processes")
            time.sleep(_POLL)
            descriptor = self._free(self._folder / name)
        try:
            yield
        finally:
            # a child that was forked meanwhile has the file open still: closing alone would leave the lock with it
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _free(self, path: Path) -> int | None:
        """Return a descriptor that holds a turn, if one is free now."""
        with translated(path):
            for number in range(self._at_once):
                descriptor = os.open(f"{path}.{number}", os.O_RDWR | os.O_CREAT, 0o666)
                if try_flock(descriptor):
                    return descriptor
                os.close(descriptor)
        return None

    def _busy(self, host: str, holder: str) -> BusyError:
        message = f"{host}: all {self._at_once} turns are taken by {holder}; waited {self._patience:.0f} s; try again"
        return BusyError(message, path=host, holder=holder, waited=self._patience)
