"""What stays of a download that broke off, so that the next attempt, also of another process, goes on with it.

``data/.incoming/<entry id>.half`` holds the bytes, written under the kernel's lock; ``<entry id>.note`` says of which
version of which URI they are. The note is there before the bytes. Both are good for this boot of this machine only:
after a power cut a file may have its length and not its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from hmp_cache import endings
from hmp_cache.incoming import Incoming, Staged
from hmp_cache.transfer import Begun, Version
from hmp_core.durable import make_folder, translated
from hmp_core.errors import StorageError
from hmp_core.locks import this_process, try_flock

_CHUNK = 1 << 20
#: Bytes below which going on saves nothing: asking again takes as long as this does to arrive.
_WORTH = 1 << 20
#: Bytes of a disk that a download leaves free: the log and the database need room to say that it failed.
_SPARE = 4 << 20


class Half:
    """The file of a download on its way in; it keeps the contract `hmp_cache.transfer.Kept`."""

    def __init__(self, incoming: Incoming, file: BinaryIO, note: Path, uri: str) -> None:
        self._incoming = incoming
        self._file = file
        self._note = note
        self._uri = uri
        self._noted = note.exists()

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return Path(self._file.name)

    # ── the bytes ────────────────────────────────────────────────────────────────────────────────────

    def write(self, block: bytes) -> None:
        """Take the next bytes."""
        self._incoming.write(self._file, block)

    def restart(self) -> None:
        """Forget all bytes so far."""
        with translated(self.path):
            self._forget_note()
            self._file.seek(0)
            self._file.truncate()

    def flushed(self, sha256: str) -> Staged:
        """Return the bytes, once they are on the disk."""
        return self._incoming.flushed(self._file, sha256)

    # ── what another attempt needs ───────────────────────────────────────────────────────────────────

    def begun(self) -> Begun | None:
        """See `hmp_cache.transfer.Kept`."""
        version = self._noted_version()
        size = os.fstat(self._file.fileno()).st_size
        if version is None or size == 0:
            return None
        if version.total is not None and size >= version.total:
            size = version.total - 1  # all came and its reader died: the last byte, asked for, tells if it is current
        digest, left = hashlib.sha256(), size
        self._file.seek(0)
        while left and (block := self._file.read(min(_CHUNK, left))):
            digest.update(block)
            left -= len(block)
        self._file.truncate(size)
        self._file.seek(size)
        return Begun(version, size, digest)

    def _noted_version(self) -> Version | None:
        try:
            said = json.loads(self._note.read_bytes())
            version = Version(**said["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # there is none, or its writer died over it: the download begins anew
        return version if (said["uri"], said["boot"]) == (self._uri, this_process().boot) else None

    def expect(self, version: Version | None, total: int | None) -> None:
        """See `hmp_cache.transfer.Kept`.

        Raises
        ------
        StorageError
            If the disk has no room for so many bytes.
        """
        with translated(self.path):
            if total is not None:
                self._require_room(total - self._file.tell())
            if version is None or total is None or total < _WORTH:
                self._forget_note()
            elif not self._noted:
                said = {"uri": self._uri, "version": version.as_dict(), "boot": this_process().boot}
                self._note.write_text(json.dumps(said))
                self._noted = True

    def _require_room(self, wanted: int) -> None:
        found = os.statvfs(self._incoming.folder)
        room = found.f_bavail * found.f_frsize - _SPARE
        if wanted > max(room, _SPARE):
            message = (
                f"{self.path}: {wanted} bytes are to come, and the disk has room for {max(room, 0)}; free some space"
            )
            raise StorageError(message, path=str(self.path))

    def _forget_note(self) -> None:
        if self._noted:
            self._note.unlink(missing_ok=True)
            self._noted = False

    def lacks(self, suffix: str, *, told: bool) -> str | None:
        """See `hmp_cache.transfer.Kept`."""
        with translated(self.path):
            self._file.flush()
            lacking = endings.lacking(self._file, suffix, told=told)
            self._file.seek(0, os.SEEK_END)
        return lacking

    # ── its end ──────────────────────────────────────────────────────────────────────────────────────

    def leave(self) -> None:
        """Leave the bytes to the next who comes, if it can go on with them."""
        with translated(self.path):
            self._file.flush()
        if not self._noted or not os.fstat(self._file.fileno()).st_size:
            self.clear()

    def clear(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the file back; what the disk did not take of it, and was told when it was written, is not wanted."""
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def half(incoming: Incoming, entry: UUID, uri: str) -> Iterator[Half]:
    """Give the file of a download; whoever asks holds the lock of its input.

    If the download breaks off, the bytes stay for the next; else they are gone at the end of the block, unless they
    were moved.
    """
    with translated(incoming.folder):
        make_folder(incoming.folder)
        incoming.sweep()
        file = _opened(incoming.half(entry))
    taken = Half(incoming, file, incoming.note(entry), uri)
    try:
        yield taken
    except (ConnectionError, TimeoutError, KeyboardInterrupt):  # failed, waited too long for the host, was stopped
        taken.leave()
        raise
    except BaseException:
        taken.clear()
        raise
    else:
        taken.clear()
    finally:
        taken.close()


def _opened(path: Path) -> BinaryIO:
    """Return the file, locked: its name is that of an input, whose lock is held, so that only a sweeper has it now."""
    while True:
        file = open(path, "r+b", opener=lambda name, _: os.open(name, os.O_RDWR | os.O_CREAT, 0o666))  # noqa: SIM115
        if try_flock(file.fileno()) and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()
