"""The lock file beside each database: one holder at a time, in this process and in every other.

``<database>.lock`` is only the lock; ``<database>.lock.json`` says who holds it and is advisory. The kernel
releases the lock when its holder dies, so a lock is never broken by force here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from hmp_core.errors import BusyError, NotWritable, PathNotFound
from hmp_core.filesystem import warn_of_network

#: Seconds a door waits for a lock unless told otherwise.
DEFAULT_TIMEOUT = 30.0

#: Seconds between two tries. The default of 0.05 let one of four processes take 2 turns in 8 s (measured).
_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from every other that ever had the same number."""

    pid: int
    host: str
    boot: str
    namespace: str
    started: str

    def is_dead(self) -> bool | None:
        """Return whether the process has ended; None where this machine cannot know."""
        here = this_process()
        if self.host != here.host:
            return None
        if self.boot != here.boot:
            return True
        if self.namespace != here.namespace:
            return None
        started = _started(self.pid)
        if started == "" and self.started:
            return None  # somebody of that number lives, and we may not see since when (hidepid)
        return started != self.started

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a plain dictionary, as kept in events and manifests."""
        return asdict(self)


def this_process() -> Owner:
    """Return who this process is."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> Owner:
    return Owner(
        pid=pid,
        host=socket.gethostname(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        namespace=_link("/proc/self/ns/pid"),
        started=_started(pid) or "",
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when the process began, in clock ticks since boot; None if there is none, empty if we cannot know."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _probe(pid)
    except OSError:
        return ""
    # the command name, in parentheses, may itself hold blanks; a zombie (Z) has ended
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _probe(pid: int) -> str | None:
    """Ask the kernel, where /proc is missing or hides the processes of others."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


class DatabaseLock:
    """The lock of one database file; the same thread may take it again while it holds it.

    Waiting is bounded in both places: for another thread of this process and for another process.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._note = database.with_name(database.name + ".lock.json")
        self._thread = threading.RLock()
        import filelock  # 30 ms to import: `hmp --help` takes no lock

        self._file = filelock.FileLock(
            self.path, is_singleton=True, thread_local=False, poll_interval=_POLL, fallback_to_soft=False
        )
        self._depth = 0

    @property
    def held(self) -> bool:
        """Whether this process holds the lock now."""
        return self._depth > 0

    @property
    def nested(self) -> bool:
        """Whether the holder took it more than once, one block inside another."""
        return self._depth > 1

    @contextlib.contextmanager
    def hold(self, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
        """Hold the lock for the block.

        Raises
        ------
        BusyError
            If it was not free within ``timeout`` seconds; names the holder. 0 tries once.
        NotWritable
            If the lock file cannot be made.
        PathNotFound
            If the folder of the database is gone.
        """
        began = time.monotonic()
        with self.hold_among_threads(timeout):
            if self._depth == 0:
                self._take(timeout, began)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._file.release()

    @contextlib.contextmanager
    def hold_among_threads(self, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
        """Keep the other threads of this process out, and nobody else: where there can be no lock file."""
        if not self._thread.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            other = "another thread of this process"
            raise self._busy(other, timeout)
        try:
            yield
        finally:
            self._thread.release()

    def _take(self, timeout: float, began: float) -> None:
        if not self.path.parent.is_dir():  # filelock would make the folder
            message = f"{self.path.parent}: no such folder"
            raise PathNotFound(message, path=str(self.path.parent))
        warn_of_network(self.path.parent)
        import filelock

        left = max(0.0, timeout - (time.monotonic() - began))
        try:
            self._file.acquire(timeout=left)
            self._sign()
        except filelock.Timeout:
            raise self._busy(self.holder(), time.monotonic() - began) from None
        except OSError as error:
            message = f"{self.path} cannot be locked: {error.strerror or error}"
            raise NotWritable(message, path=str(self.path)) from error
        except BaseException:
            # an interrupt: what was taken and not counted would never be given back
            self._file.release(force=True)
            raise

    def _sign(self) -> None:
        # advisory only: a note that cannot be written must not keep anybody from working
        with contextlib.suppress(OSError):
            self._note.write_text(json.dumps(this_process().as_dict() | {"since": time.time()}))

    def holder(self) -> str:
        """Return who holds the lock according to the note beside it."""
        try:
            note = json.loads(self._note.read_text())
            since = datetime.fromtimestamp(note["since"], UTC)
            return f"process {note['pid']} on {note['host']} since {since:%Y-%m-%d %H:%M:%S} UTC"
        except (OSError, ValueError, LookupError, TypeError, OverflowError):
            return "another process"

    def _busy(self, holder: str, waited: float) -> BusyError:
        database = self.path.name.removesuffix(".lock")
        message = (
            f"{self.path.parent / database} is held by {holder}; waited {waited:.1f} s; "
            "try again, or wait longer (timeout=)"
        )
        return BusyError(message, path=str(self.path), holder=holder, waited=waited)


_locks: dict[str, DatabaseLock] = {}
_registry = threading.Lock()


def database_lock(database: Path) -> DatabaseLock:
    """Return this process's one lock of a database, links followed."""
    real = os.path.realpath(database)
    with _registry:
        if real not in _locks:
            _locks[real] = DatabaseLock(Path(real))
        return _locks[real]


def _forget() -> None:
    global _registry
    _locks.clear()
    _registry = threading.Lock()
    _owner.cache_clear()


# a child starts with nothing: what its parent holds, the parent alone releases
os.register_at_fork(after_in_child=_forget)


def try_flock(descriptor: int) -> bool:
    """Take the kernel's lock on an open file without waiting; False if somebody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
