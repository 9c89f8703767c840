"""Fitted objects as files: serialised, named by their content, written whole or not at all, checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import re
import secrets
import stat
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hmp_catalog.errors import ArtifactDamaged, ArtifactLost
from hmp_catalog.experiments import libraries
from hmp_catalog.experiments.schema import ARTIFACTS, DATABASE
from hmp_catalog.experiments.sharing import SharingLock
from hmp_catalog.plain import one_of
from hmp_core.durable import fsync_place, make_folder, translated
from hmp_core.errors import CorruptError, InvalidInput, MissingPart, NotWritable
from hmp_core.layout import internal_folder
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import from_relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

#: How an object is serialised, and how its file ends.
EXTENSIONS: Final = {"joblib": "joblib", "pickle": "pkl", "cloudpickle": "cpkl"}

#: One version for every Python: the same object gives the same bytes.
_PROTOCOL: Final = 5
#: Below a block of the disk nothing is saved by making it smaller.
_SMALL: Final = 4096
#: Stretches of a stream that are looked at, and what they must shrink to for the rest to be compressed: trees of a
#: forest do (to 0.27), coefficients do not (0.95), and zlib is ten times as slow as pickle (measured).
_STRETCHES, _STRETCH, _WORTH = 4, 1024, 0.75
_ZLIB, _PICKLE = b"\x78", b"\x80"
#: What an object may raise that does not let itself be pickled.
_UNPICKLABLE = (pickle.PickleError, TypeError, ValueError, AttributeError, LookupError, RuntimeError, ImportError)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Content:
    """An object as bytes, their SHA-256, and the ending of its file."""

    data: bytes
    sha256: str
    extension: str


def serialised(obj: Any, format: str) -> Content:  # noqa: A002 - the word of the doors
    """Return an object as bytes: the same object gives the same bytes.

    ``joblib`` is what ``joblib.load`` reads: a stream of pickle, compressed with zlib where that is worth it. It is
    written by pickle itself, which is in C: joblib's own pickler is in Python and takes ten times as long.

    Raises
    ------
    InvalidInput
        For another format, or an object that cannot be pickled.
    MissingPart
        If the library of the format is not installed.
    """
    one_of(format, EXTENSIONS, "format")
    dumps = libraries.cloudpickle().dumps if format == "cloudpickle" else pickle.dumps
    try:
        data = dumps(obj, protocol=_PROTOCOL)
    except _UNPICKLABLE as error:
        kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
        remedy = "" if format == "cloudpickle" else "; format='cloudpickle' keeps functions and classes of a script too"
        message = f"an object of class {kind} cannot be kept as {format}: {error}{remedy}"
        raise InvalidInput(message) from error
    if format == "joblib" and _shrinks(data):
        data = zlib.compress(data, 1)
    return Content(data, hashlib.sha256(data).hexdigest(), EXTENSIONS[format])


def _shrinks(data: bytes) -> bool:
    if len(data) <= _SMALL:
        return False
    step = len(data) // _STRETCHES
    sample = b"".join(data[n * step : n * step + _STRETCH] for n in range(_STRETCHES))
    return len(zlib.compress(sample, 1)) < _WORTH * len(sample)


def load(data: bytes, format: str) -> Any:  # noqa: A002 - the word of the doors
    """Return the object that was serialised. This runs what the bytes say: only those of a known hash are given here.

    Raises
    ------
    InvalidInput
        For another format.
    MissingPart
        If a library of the object or of the format is not installed.
    CorruptError
        If the bytes are no object, or one of other versions of its libraries.
    """
    one_of(format, EXTENSIONS, "format")
    if format == "cloudpickle":
        libraries.cloudpickle()
    try:
        return _unpickled(data, format)
    except MissingPart:
        raise
    except ModuleNotFoundError as error:
        message = f"the object needs {error.name}, which is not installed here; install what it was trained with"
        raise MissingPart(message, install=error.name or "") from error
    except (*_UNPICKLABLE, EOFError, zlib.error) as error:
        message = f"the object cannot be unpickled ({error}); it may need the versions of libraries it was trained with"
        raise CorruptError(message) from error


def _unpickled(data: bytes, format: str) -> Any:  # noqa: A002 - the word of the doors
    if format == "joblib":
        if data[:1] == _ZLIB:
            data = zlib.decompress(data)
        # what joblib itself wrote names a class of its own wherever an array follows
        if data[:1] != _PICKLE or b"joblib.numpy_pickle" in data:
            return libraries.joblib().load(io.BytesIO(data))
    return pickle.loads(data)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────

#: So many are flushed one after the other, and more by so many threads.
_FEW, _AT_ONCE = 8, 4

#: What tells a file from the one that stood in its place: inode, size, time of its last change.
_Mark = tuple[int, int, int]


#: A file of an artefact: the head of its hash, the hash, how it is written.
_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.[a-z]+")


class ArtifactFiles:
    """The files of a store's artefacts: ``artifacts/<2 hex>/<sha256>.<ext>`` in its folder.

    A file is put there by a rename, and flushed by `sync`. Where files are removed nobody saves: see `saving`.

    Parameters
    ----------
    folder : Path
        The folder of the store.
    timeout : float, optional
        Seconds to wait while files are being removed.
    """

    def __init__(self, folder: Path, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._root = folder / ARTIFACTS
        self._lock = SharingLock(internal_folder(folder / DATABASE) / "artifacts.lock", f"the files in {self._root}")
        self._timeout = timeout
        #: files that were written or compared here, and those of them that are not flushed
        self._known: dict[str, _Mark] = {}
        self._unsynced: set[str] = set()
        self._syncing = threading.Lock()

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def put(self, content: Content) -> str:
        """Keep the bytes of an object, not yet flushed, and return where they are, relative to ``artifacts/``.

        A file that has them already is left as it is; one that is lost or damaged is whole again.

        Raises
        ------
        StorageError
            If the disk is full or fails; no file was made.
        NotWritable
            If the folder may not be written.
        BusyError
            If files are being removed for longer than ``timeout``.
        """
        relative = f"{content.sha256[:2]}/{content.sha256}.{content.extension}"
        target = self._root / relative
        with self.saving(), translated(target):
            if not self._stands(target, relative, content.data):
                self._known[relative] = self._write(target, content.data)
                self._unsynced.add(relative)
        return relative

    def _stands(self, target: Path, relative: str, data: bytes) -> bool:
        """Return whether the file has these bytes; they are read once, as long as it is the same file."""
        try:
            mark = _mark(os.stat(target, follow_symlinks=False))
            if self._known.get(relative) == mark:
                return True
            if mark[1] != len(data) or target.read_bytes() != data:
                return False
        except OSError:
            return False  # not there, or not to be read: it is written
        self._known[relative] = mark
        self._unsynced.add(relative)  # whoever wrote it may not have flushed it
        return True

    def _write(self, target: Path, data: bytes) -> _Mark:
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            descriptor = self._made(beside)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                mark = _mark(os.fstat(descriptor))
            finally:
                os.close(descriptor)
            os.rename(beside, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        return mark

    def _made(self, beside: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(beside, flags, 0o666)
        except FileNotFoundError:
            make_folder(self._root)
            with contextlib.suppress(FileExistsError):
                os.mkdir(beside.parent)
            return os.open(beside, flags, 0o666)

    def sync(self) -> None:
        """Flush what was put and not flushed since: a power cut does not take it any more.

        Raises
        ------
        StorageError
            If the disk fails; the files are tried again next time.
        """
        with self._syncing:  # who comes second waits: "nothing to flush" must mean that all is flushed
            waiting = self._unsynced.copy()
            self._unsynced.difference_update(waiting)  # what is put meanwhile is for the next time
            try:
                self.sync_these(waiting)
            except BaseException:
                self._unsynced.update(waiting)
                raise

    def sync_these(self, relatives: Iterable[str]) -> None:
        """Flush these files, whoever put them; one that is gone is named when it is read.

        Raises
        ------
        StorageError
            If the disk fails.
        PathEscape
            For a path that would leave the folder.
        """
        files = [self.path(relative) for relative in sorted(relatives)]
        there = _flushed(files)
        if there:
            _flushed([self._root, *sorted({file.parent for file in there} - {self._root})])

    # ── reading and removing ─────────────────────────────────────────────────────────────────────────

    def path(self, relative: str) -> Path:
        """Return where the file of an artefact lies.

        Raises
        ------
        PathEscape
            For a path that would leave the folder.
        """
        from_relative(relative, self._root)
        return self._root / relative

    def read(self, relative: str, sha256: str, artifact_id: str) -> bytes:
        """Return the bytes of an artefact, which are those that were saved.

        Raises
        ------
        ArtifactLost
            If the file is gone.
        ArtifactDamaged
            If it has other bytes.
        NotWritable
            If it may not be read.
        PathEscape
            For a path that would leave the folder.
        """
        file = self.path(relative)
        remedy = "restore it from a copy of the store, or save the same object again"
        try:
            data = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            message = f"the file of artefact {artifact_id} is gone: {file}; {remedy}"
            raise ArtifactLost(message, path=str(file), artifact_id=artifact_id) from error
        except OSError as error:
            message = f"the file of artefact {artifact_id} cannot be read: {file}: {error.strerror}"
            raise NotWritable(message, path=str(file)) from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            message = (
                f"the file of artefact {artifact_id} has other bytes than were saved: {file} has SHA-256 {found}, "
                f"expected {sha256}; {remedy}"
            )
            raise ArtifactDamaged(message, path=str(file), artifact_id=artifact_id)
        return data

    def paths(self) -> list[str]:
        """Return where files of artefacts lie, known to anybody or not, relative to ``artifacts/``; nothing else."""
        found = (file.relative_to(self._root).as_posix() for file in self._root.glob("??/*"))
        return sorted(path for path in found if _NAME.fullmatch(path))

    def remove(self, relative: str) -> bool:
        """Remove a file, and its folder when that is empty; False if it was not there. Only while `clearing`.

        The folder is not flushed: a file that a power cut brings back is one that nobody speaks of, and goes with the
        next collection.

        Raises
        ------
        NotWritable
            If the folder may not be written.
        PathEscape
            For a path that would leave the folder.
        """
        file = self.path(relative)
        self._known.pop(relative, None)
        self._unsynced.discard(relative)
        with translated(file):
            try:
                os.unlink(file)
            except FileNotFoundError:
                return False
            if file.parent != self._root:
                with contextlib.suppress(OSError):  # others are in it
                    os.rmdir(file.parent)
        return True

    # ── who saves and who removes ────────────────────────────────────────────────────────────────────

    def saving(self) -> AbstractContextManager[None]:
        """Keep `clearing` out for the block: from `put` until the artefact is on record. Any number save at once.

        Raises
        ------
        BusyError
            If files are being removed for longer than ``timeout``.
        """
        return self._lock.shared(self._timeout)

    @contextlib.contextmanager
    def clearing(self, timeout: float) -> Iterator[None]:
        """Keep everybody's `saving` out for the block; what a killed process left half written is removed first.

        Raises
        ------
        BusyError
            If somebody saves for longer than ``timeout`` seconds.
        """
        with self._lock.alone(timeout):
            for stray in self._root.glob("??/.*.tmp"):
                with contextlib.suppress(OSError):  # in a folder that is closed to us
                    stray.unlink()
            yield


def _flushed(places: Sequence[Path]) -> list[Path]:
    """Flush files or folders, and return those that are there.

    Many are flushed by a few threads at once: the file system writes its journal once for all that wait, which took
    0.14 s instead of 0.43 s for a hundred files on a busy ext4 (measured).
    """
    if len(places) > _FEW:
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                return [place for place, there in zip(places, pool.map(_flush, places), strict=True) if there]
        except RuntimeError:  # at the end of the interpreter no thread begins any more
            pass
    return [place for place in places if _flush(place)]


def _flush(place: Path) -> bool:
    with translated(place):
        try:
            fsync_place(place)
        except FileNotFoundError:
            return False
    return True


def _mark(found: os.stat_result) -> _Mark:
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError
    return found.st_ino, found.st_size, found.st_mtime_ns
