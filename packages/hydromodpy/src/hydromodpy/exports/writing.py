"""How a crate comes onto the disk: as a folder or a ZIP, whole or not at all, every byte held to its hash on the way.

The same crate is the same ZIP: members lie in order, uncompressed (tables and fields are compressed already), and bear
the one date that says nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import CorruptError, PathNotFound, PathTaken

_CHUNK = 1 << 20
#: The earliest date that a ZIP can say.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a crate: its path in it, how it is opened, and what it must be; a folder's path ends in "/"."""

    path: str
    open: Callable[[], BinaryIO]
    size: int
    sha256: str

    @classmethod
    def made(cls, path: str, data: bytes) -> Member:
        """Return a member that is on no disk yet."""
        return cls(path, lambda: io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())

    def blocks(self) -> Iterator[bytes]:
        """Yield its bytes; at the end they are what they must be.

        Raises
        ------
        CorruptError
            If they are not.
        """
        digest, left = hashlib.sha256(), self.size
        with self.open() as file:
            while left >= 0 and (block := file.read(_CHUNK)):
                digest.update(block)
                left -= len(block)
                yield block
        if left or digest.hexdigest() != self.sha256:
            message = (
                f"{self.path} is not as it was when it was recorded; restore it from a backup before it is exported"
            )
            raise CorruptError(message, path=self.path)


def checksums(members: Sequence[Member]) -> bytes:
    """Return the lines that ``sha256sum --check`` reads; it marks a line whose name holds a backslash or a new line."""
    lines = []
    for one in members:
        name = one.path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if name == one.path else chr(92)}{one.sha256}  {name}\n")
    return "".join(lines).encode()


def write(target: Path, members: Sequence[Member], *, overwrite: bool) -> None:
    """Write members as a ZIP if the target ends in ``.zip``, else as a folder.

    The many files of a folder are not flushed one by one: an export can be made again.

    Raises
    ------
    PathTaken
        If something is there; with ``overwrite`` a file is replaced, a folder never.
    PathNotFound
        If the folder above is not there.
    CorruptError
        If a member is not what it must be; nothing is left behind.
    """
    require_free(target, overwrite=overwrite)
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(target):
        try:
            if target.suffix.lower() == ".zip":
                _zip(beside, members)
            else:
                _folder(beside, members)
            if not overwrite or target.is_dir():
                require_free(target, overwrite=overwrite)
            os.rename(beside, target)
            fsync_folder(target.parent)
        finally:
            if beside.is_dir():
                shutil.rmtree(beside)
            beside.unlink(missing_ok=True)


def require_free(target: Path, *, overwrite: bool) -> None:
    """Refuse what would lie in the place of something else, of a database even to overwrite; see `write`."""
    if not target.parent.is_dir():
        message = f"{target.parent}: no such folder"
        raise PathNotFound(message, path=str(target.parent))
    # a catalog cannot be made again, and a file in its place would be taken for a damaged one
    kept = target.is_dir() or target.name.endswith((".duckdb", ".duckdb.wal"))
    if os.path.lexists(target) and (kept or not (overwrite and target.is_file())):
        remedy = "take another name" if kept else "take another name, or say overwrite=True"
        message = f"{target} is there already; {remedy}"
        raise PathTaken(message, path=str(target))


def _folder(beside: Path, members: Sequence[Member]) -> None:
    beside.mkdir()
    for one in members:
        file = beside / one.path
        (file if one.path.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
        if one.path.endswith("/"):
            continue
        with file.open("xb") as into:
            for block in one.blocks():
                into.write(block)


def _zip(beside: Path, members: Sequence[Member]) -> None:
    with beside.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for one in members:
                info = zipfile.ZipInfo(one.path, _DATE)
                info.external_attr, info.create_system, info.file_size = 0o644 << 16, 3, one.size
                if info.is_dir():
                    info.external_attr = (0o40755 << 16) | 0x10  # the folder of MS-DOS, which some readers look for
                with archive.open(info, "w") as into:
                    for block in one.blocks():
                        into.write(block)
        file.flush()
        os.fsync(file.fileno())
