"""What is on its way in: files that are written under the kernel's lock, and what is to be done with them.

``data/.incoming`` is never read as data. A file in it belongs to a living process, to an intent (see
`hmp_cache.intake`), or to nobody; then the next writer removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from hmp_core.durable import make_folder, translated
from hmp_core.errors import InvalidInput
from hmp_core.events.segment import claim, unclaim
from hmp_core.identity import refuse_database
from hmp_core.locks import try_flock

_CHUNK = 1 << 20
#: Seconds after which nobody is taken to come back for half a download.
_LONG = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that are on this disk, flushed and hashed, and not yet an input."""

    path: Path
    sha256: str
    size: int


class Incoming:
    """The folder of what is on its way in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ready(self, entry: UUID | str) -> Path:
        """Return where bytes wait that an intent puts in place."""
        return self.folder / f"{entry}.ready"

    def intent(self, entry: UUID | str) -> Path:
        """Return where it is written down what is to be done with an input."""
        return self.folder / f"{entry}.json"

    def half(self, entry: UUID | str) -> Path:
        """Return where the bytes of a download are on their way, or stay when it breaks off."""
        return self.folder / f"{entry}.half"

    def note(self, entry: UUID | str) -> Path:
        """Return where it is written down of which version they are."""
        return self.folder / f"{entry}.note"

    def intents(self) -> list[Path]:
        """Return what was written down to be done and is not yet done."""
        return sorted(self.folder.glob("[!.]*.json"))

    @contextlib.contextmanager
    def receiving(self) -> Iterator[BinaryIO]:
        """Give a file to write to; it is gone at the end of the block, unless it was moved.

        The kernel's lock on it tells it from one whose writer died, which the next writer removes.
        """
        with translated(self.folder):
            make_folder(self.folder)
            self.sweep()
            file = self._part()
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # of a full disk: who wrote was told
                file.close()

    def _part(self) -> BinaryIO:
        while True:
            path = self.folder / f"{secrets.token_hex(16)}.part"
            file = path.open("x+b")
            if try_flock(file.fileno()) and os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # somebody took it for a leftover between its making and its lock

    def sweep(self) -> None:
        """Remove what processes that died have left, unless somebody can go on with it."""
        names = set(os.listdir(self.folder))
        for name in names:
            path = self.folder / name
            if path.suffix == ".note" and path.with_suffix(".half").name not in names:
                if not path.with_suffix(".half").exists():
                    path.unlink(missing_ok=True)
            elif path.suffix in {".part", ".ready", ".half"} and not self._is_wanted(path, names):
                self._remove(path)

    def _is_wanted(self, path: Path, names: Collection[str]) -> bool:
        """Return whether an intent speaks of it, or a note by which a download can go on for some days."""
        if path.suffix != ".half":
            return path.with_suffix(".json").name in names
        with contextlib.suppress(FileNotFoundError):
            return path.with_suffix(".note").name in names and time.time() - path.stat().st_mtime < _LONG
        return False

    def _remove(self, path: Path) -> None:
        descriptor = claim(path)
        if descriptor is not None:
            # locked, so its writer is dead; what it has written down meanwhile counts
            if not self._is_wanted(path, os.listdir(self.folder)):
                path.unlink(missing_ok=True)
                if path.suffix == ".half":
                    path.with_suffix(".note").unlink(missing_ok=True)
            unclaim(descriptor)

    def copy_in(self, source: Path, file: BinaryIO) -> Staged:
        """Copy a user's file into ``file``, hashing on the way; it is read once.

        Raises
        ------
        InvalidInput
            If it is no regular file, is a database, or changes meanwhile.
        """
        refuse_database(source)
        digest = hashlib.sha256()
        with _opened(source) as original:
            before = os.fstat(original.fileno())
            left = before.st_size
            while left >= 0 and (block := original.read(_CHUNK)):
                digest.update(block)
                self.write(file, block)
                left -= len(block)  # below zero the file is growing, and might for ever
            after = os.fstat(original.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            message = f"{source} was written to while it was copied; add it again when it is complete"
            raise InvalidInput(message)
        return self.flushed(file, digest.hexdigest())

    def write(self, file: BinaryIO, block: bytes) -> None:
        """Write a block to a file on its way in.

        Raises
        ------
        StorageError
            If the disk is full or fails.
        """
        with translated(Path(file.name)):
            file.write(block)

    def flushed(self, file: BinaryIO, sha256: str) -> Staged:
        """Return what was written to ``file``, once it is on the disk."""
        with translated(Path(file.name)):
            file.flush()
            os.fsync(file.fileno())
        return Staged(Path(file.name), sha256, file.tell())


def _opened(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except PermissionError as error:
        message = f"{source} may not be read: {error.strerror}"
        raise InvalidInput(message) from error
