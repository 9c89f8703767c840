"""The lock file beside each database: one holder at a time, in this process and in every other.

``<database>.lock`` is only the lock; ``<database>.lock.json`` says who holds it and is advisory. The kernel
releases the lock when its holder dies, so a lock is never broken by force here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hmp_core.durable import right_to_write, translated
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

    Waiting is bounded in both places: for another thread of this process and for another process. A Ctrl-C at any
    moment leaves nothing taken: what gives something back may be done twice and is, in a ``try`` and its ``finally``,
    for one of the two may be cut short, on its first step too.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self.note_path = database.with_name(database.name + ".lock.json")
        self._thread: Any = threading.RLock()  # its owner is asked for: it knows it as soon as it is taken
        self._file = _LockFile(self.path)
        self._inside: set[object] = set()
        self._holds: set[object] = set()

    @property
    def held(self) -> bool:
        """Whether this process holds the lock now."""
        return bool(self._holds)

    @property
    def nested(self) -> bool:
        """Whether the holder took it more than once, one block inside another."""
        return len(self._holds) > 1

    @property
    def displaced(self) -> bool:
        """Whether another lock file took the place of the one that is held here (``hmp db unlock --force``)."""
        return self.held and not self._file.in_place

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
            block = object()
            try:
                if not self._holds:
                    self._take(timeout, began)
                self._holds.add(block)
                yield
            finally:
                try:
                    self._leave(block)
                finally:
                    self._leave(block)

    @contextlib.contextmanager
    def displacing(self, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
        """Hold the lock for the block by a new lock file in the place of the one that somebody else holds.

        Only for `hmp_core.upkeep.unlock`: whoever is displaced goes on with the files that it has open, so that those
        must be replaced in the block, and never changed in place.
        """
        with self.hold_among_threads(timeout):
            block = object()
            try:
                with translated(self.path):
                    self._file.replace()
                self._holds.add(block)
                self._sign()
                yield
            finally:
                try:
                    self._leave(block)
                finally:
                    self._leave(block)

    def _leave(self, block: object) -> None:
        self._holds.discard(block)
        if not self._holds:
            self._file.give_back()

    @contextlib.contextmanager
    def hold_among_threads(self, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
        """Keep the other threads of this process out, and nobody else: where there can be no lock file."""
        block = object()
        wait = min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        try:
            if not self._thread._is_owned() and not self._thread.acquire(timeout=wait):
                other = "another thread of this process"
                raise self._busy(other, timeout)
            self._inside.add(block)
            yield
        finally:
            try:
                self._leave_threads(block)
            finally:
                self._leave_threads(block)

    def _leave_threads(self, block: object) -> None:
        if self._thread._is_owned():
            self._inside.discard(block)
            if not self._inside:
                self._thread.release()

    def _take(self, timeout: float, began: float) -> None:
        if not self.path.parent.is_dir():
            message = f"{self.path.parent}: no such folder"
            raise PathNotFound(message, path=str(self.path.parent))
        warn_of_network(self.path.parent)
        try:
            while not self._file.take():
                left = began + timeout - time.monotonic()
                if left <= 0:
                    raise self._busy(self.holder(), time.monotonic() - began)
                time.sleep(min(_POLL, left))
        except BusyError:
            raise
        except OSError as error:
            message = f"{self.path} cannot be locked: {error.strerror or error}; {right_to_write(self.path)}"
            raise NotWritable(message, path=str(self.path)) from error
        self._sign()

    def _sign(self) -> None:
        note = json.dumps(this_process().as_dict() | {"since": time.time()})
        # advisory only: a note that cannot be written must not keep anybody from working
        with contextlib.suppress(OSError):
            try:
                _overwrite(self.note_path, note.encode())
            except PermissionError:  # another user's, in a folder that both may write
                beside = self.note_path.with_name(f".{self.note_path.name}.{os.getpid()}")
                beside.write_text(note)
                os.replace(beside, self.note_path)

    def note(self) -> tuple[Owner | None, float | None]:
        """Return who signed the note beside the lock last, and since when (seconds of Unix time); None if nobody."""
        try:
            said = json.loads(self.note_path.read_bytes())
            return Owner(**{each.name: said[each.name] for each in fields(Owner)}), float(said["since"])
        except (OSError, ValueError, LookupError, TypeError):
            return None, None

    def holder(self) -> str:
        """Return who holds the lock according to the note beside it."""
        owner, since = self.note()
        try:
            if owner is None or since is None:
                return "another process"
            named = f"process {int(owner.pid)} on {owner.host}"
            if owner.is_dead():
                return f"another process (who signed last, {named}, has ended): `hmp db unlock` says more"
            return f"{named} since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, TypeError, OverflowError, OSError):
            return "another process"

    def _busy(self, holder: str, waited: float) -> BusyError:
        database = self.path.name.removesuffix(".lock")
        message = (
            f"{self.path.parent / database} is held by {holder}; waited {waited:.1f} s; "
            "try again, or wait longer (timeout=)"
        )
        return BusyError(message, path=str(self.path), holder=holder, waited=waited)

    def forget(self) -> None:
        """Close what the child of a fork inherited; the lock stays with the parent."""
        self._file.close()
        self._holds.clear()


def _overwrite(path: Path, text: bytes) -> None:
    """Write over what a file holds, with blanks to its end: to cut it off first costs a flush (ext4, 1 ms of 1.1)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(descriptor, text.ljust(os.fstat(descriptor).st_size), 0)
    finally:
        os.close(descriptor)


class _LockFile:
    """The kernel's lock on one file: taken without waiting, given back at once, and only at its place.

    Whoever opened a file that another has replaced or removed since holds a lock that guards nothing: after each
    ``flock`` the file is compared with the one that is at the path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def in_place(self) -> bool:
        """Whether the file that is open here is the one at its path."""
        try:
            return self._descriptor is not None and _same(self._descriptor, self._path)
        except OSError:
            return False

    def take(self) -> bool:
        """Return whether the lock is ours now."""
        taken = False
        with forking:  # a child must find every descriptor that it is to close
            try:
                self._descriptor = _open(self._path)
                taken = try_flock(self._descriptor) and _same(self._descriptor, self._path)
            except FileNotFoundError:
                return False  # removed meanwhile
            finally:
                if not taken:
                    try:
                        self.close()
                    finally:
                        self.close()
        return taken

    def replace(self) -> None:
        """Put a new file, locked by us, in the place of whatever is there."""
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with forking:
            self.give_back()
            beside.unlink(missing_ok=True)
            self._descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with contextlib.suppress(OSError):
                os.chmod(beside, os.stat(self._path).st_mode & 0o777)
            if not try_flock(self._descriptor):
                message = f"{beside} is held by somebody, though it is new"
                raise OSError(message)
            os.rename(beside, self._path)

    def give_back(self) -> None:
        """Unlock and close; a child that was forked without our knowing has the file open still."""
        with forking:
            if self._descriptor is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self.close()

    def close(self) -> None:
        """Close only: others that have the same open file keep the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock file, made if it is not there; to read suffices where it belongs to another user.

    It is opened first and then made: in a sticky folder others' files may not be opened with ``O_CREAT`` (Linux,
    fs.protected_regular).
    """
    for flags in (os.O_RDWR, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            break
        except OSError as error:
            if flags == os.O_RDONLY or error.errno not in _NOT_OURS:
                raise
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError as error:
        raise FileNotFoundError from error  # another was faster: the next try finds it


#: What keeps a user from opening another's file to write.
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


#: Held while descriptors that carry a lock come and go: no fork happens in between.
forking = threading.RLock()


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
    for lock in _locks.values():
        lock.forget()
    _locks.clear()
    _registry = threading.Lock()
    _owner.cache_clear()
    forking.release()


# a child starts with nothing: what its parent holds, the parent alone releases. The kernel's lock belongs to the open
# file, which both have: a child that kept it would hold the lock of its parent when that is dead
os.register_at_fork(before=forking.acquire, after_in_parent=forking.release, after_in_child=_forget)


def try_flock(descriptor: int) -> bool:
    """Take the kernel's lock on an open file without waiting; False if somebody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
