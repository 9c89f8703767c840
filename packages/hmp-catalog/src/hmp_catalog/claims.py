"""Who is running which simulation: of several that want the same at once, one does the work and the others wait.

A claim is a file named after what the simulation is (see `hmp_catalog.reuse`), locked by the process that runs it. The
kernel gives the lock back when that process ends, however it ends: whoever waits then runs the simulation itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hmp_core.durable import make_folder, translated
from hmp_core.errors import BusyError
from hmp_core.layout import internal_folder
from hmp_core.locks import forking, this_process, try_flock

_log = logging.getLogger(__name__)

FOLDER = "claims"
_ENDING = ".lock"
#: Seconds between two tries: few where the other is about to finish, more where it takes hours.
_SHORTEST, _LONGEST = 0.01, 0.5
#: Seconds after which people want to know what they wait for.
_PATIENCE = 1.0

#: The claims of this process by their files.
_held: dict[str, Claim] = {}


class Claim:
    """A simulation that this process is running; `take` gives it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.thread = threading.get_ident()
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it; once more does nothing."""
        with forking:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor < 0:
                return
            _held.pop(str(self.path), None)
            # first the name: who has the file open already finds that it is not at its place, and makes another
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            # a child that was forked without our knowing has the file open still, and keeps no lock
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def forget(self) -> None:
        """Close what the child of a fork inherited: the lock stays with its parent, and ends with it."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)


def take(database: Path, identity: str, sim_id: str, *, wait: float) -> Claim | None:
    """Return the claim on a simulation; None where the thread that asks has it already.

    Parameters
    ----------
    database
        That of the project.
    identity
        What the simulation is.
    sim_id
        The run that is about to begin: what others are told.
    wait
        Seconds to wait for whoever runs it; 0 asks once.

    Raises
    ------
    BusyError
        If somebody is still running it.
    NotWritable, StorageError
        If no file can be made there.
    """
    path = internal_folder(database) / FOLDER / f"{identity[:32]}{_ENDING}"
    make_folder(path.parent)
    began, pause, told = time.monotonic(), _SHORTEST, False
    while True:
        if (mine := _held.get(str(path))) is not None and mine.thread == threading.get_ident():
            return None  # whoever waited for itself would wait for ever
        with translated(path):
            claim = _tried(path, sim_id)
        if claim is not None:
            return claim
        waited = time.monotonic() - began
        if waited >= wait:
            raise _busy(path, waited)
        if waited > _PATIENCE and not told:
            told = True
            _log.warning("%s is running the same simulation; waiting for it, %g s at most", _holder(path), wait)
        time.sleep(min(pause, wait - waited))
        pause = min(pause * 1.5, _LONGEST)


def _tried(path: Path, sim_id: str) -> Claim | None:
    with forking:  # a child must find every descriptor that it is to close
        descriptor = _locked(path)
        if descriptor is None:
            return None
        claim = _held[str(path)] = Claim(path, descriptor)
    note = json.dumps(this_process().as_dict() | {"sim_id": sim_id, "since": time.time()})
    with contextlib.suppress(OSError):  # advisory: it is read by people who wait, and may be another user's file
        path.write_text(note, encoding="utf-8")
    return claim


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock of the file at ``path``; None while another has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:  # another user's; to read suffices for the lock
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if try_flock(descriptor) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            kept, descriptor = descriptor, -1
            return kept
    except FileNotFoundError:
        return None  # given back meanwhile
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return None


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_bytes())
        return f"process {int(said['pid'])} on {said['host']} (run {str(said['sim_id'])[:8]})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"


def _busy(path: Path, waited: float) -> BusyError:
    holder = _holder(path)
    message = (
        f"{holder} is running the same simulation; waited {waited:.1f} s. Wait longer (wait=), or run it beside the "
        "other (if_running='run')"
    )
    return BusyError(message, path=str(path), holder=holder, waited=waited)


def left(database: Path) -> Iterator[Path]:
    """Yield the claims whose processes died; nobody holds them."""
    for path in sorted((internal_folder(database) / FOLDER).glob(f"*{_ENDING}")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                free = try_flock(descriptor)
            finally:
                os.close(descriptor)
            if free:
                yield path


def clear(path: Path) -> None:
    """Remove a claim whose process died, unless somebody has it again."""
    with contextlib.suppress(OSError):
        descriptor = _locked(path)
        if descriptor is not None:
            Claim(path, descriptor).release()


def _forget() -> None:
    for claim in _held.values():
        claim.forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
