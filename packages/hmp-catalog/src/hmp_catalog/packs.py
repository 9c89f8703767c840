"""The files of a finished run in one file: a ZIP whose members lie in it as they are, read in place.

Nothing is compressed again (tables and fields are), so that a member is a stretch of the file: a column of a table or
a chunk of a field is read without the rest. Any program that opens a ZIP reads it. The same files give the same
bytes. Sources: APPNOTE.TXT 6.3.10, sections 4.3.7 and 4.5.3 (local headers, ZIP64).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from hmp_core.errors import CorruptError, PathNotFound

NAME = "files.zip"

_CHUNK = 1 << 20
#: The fixed part of a local header, and where the lengths of its two others stand.
_HEADER = 30
#: The earliest date that a ZIP can say: when the files were written is told by the manifest.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    """A file, or a folder, in a pack; it opens as a path does."""

    pack: Path
    name: str

    def __str__(self) -> str:
        return f"{self.pack}!{self.name}"

    def __truediv__(self, name: str) -> Packed:
        return Packed(self.pack, f"{self.name}/{name}")

    def exists(self) -> bool:
        """Return whether there is such a file."""
        return self.name in index(self.pack).members

    def is_dir(self) -> bool:
        """Return whether there are files below it."""
        return self.name in index(self.pack).folders

    def size(self) -> int:
        """Return its size in bytes; 0 if there is no such file."""
        return index(self.pack).members.get(self.name, (0, 0))[1]

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it for reading; any part of it may be asked for.

        Raises
        ------
        FileNotFoundError
            If the pack has no such file.
        """
        if mode != "rb":
            message = f"{self}: what is packed is only read"
            raise ValueError(message)
        return io.BufferedReader(_Window(self.pack, *self._place()))

    def read_bytes(self) -> bytes:
        """Return all of it."""
        with self.open() as file:
            return file.read()

    def below(self) -> list[str]:
        """Return the names of the files below it, relative to it."""
        prefix = f"{self.name}/"
        return [name[len(prefix) :] for name in index(self.pack).members if name.startswith(prefix)]

    def _place(self) -> tuple[int, int]:
        try:
            return index(self.pack).members[self.name]
        except KeyError:
            message = f"{self}: no such file in the pack"
            raise FileNotFoundError(message) from None


class _Window(io.RawIOBase):
    """A stretch of a file, as a file of its own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        data = os.pread(self._descriptor, wanted, self._start + self._at) if wanted else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass(frozen=True)
class Index:
    """What is in a pack: name -> (where it begins, how long it is)."""

    members: Mapping[str, tuple[int, int]]

    @cached_property
    def folders(self) -> frozenset[str]:
        """The folders that the names imply."""
        parts = (name.split("/") for name in self.members)
        return frozenset("/".join(each[:n]) for each in parts for n in range(1, len(each)))


def index(pack: Path) -> Index:
    """Return what is in a pack, read once as long as it is the same file.

    Raises
    ------
    PathNotFound
        If it is not there.
    CorruptError
        If it is no pack, or damaged.
    """
    try:
        said = pack.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{pack}: no such file"
        raise PathNotFound(message, path=str(pack)) from error
    return _index(pack, said.st_ino, said.st_size, said.st_mtime_ns)


@lru_cache(maxsize=64)
def _index(pack: Path, *signature: int) -> Index:  # noqa: ARG001 - a file in its place is another one
    try:
        with zipfile.ZipFile(pack) as archive, pack.open("rb") as file:
            return Index({info.filename: _place(info, file) for info in archive.infolist()})
    except PermissionError:
        raise
    except (OSError, ValueError, LookupError, NotImplementedError, zipfile.BadZipFile) as error:
        message = f"{pack} is not a pack of a run's files ({error}); restore it from a copy of the run"
        raise CorruptError(message, path=str(pack)) from error


def _place(info: zipfile.ZipInfo, file: BinaryIO) -> tuple[int, int]:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        message = f"{info.filename} is compressed or encrypted"
        raise ValueError(message)
    file.seek(info.header_offset)
    head = file.read(_HEADER)
    if len(head) < _HEADER or head[:4] != b"PK\x03\x04":
        message = f"{info.filename} has no header"
        raise ValueError(message)
    lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    return info.header_offset + _HEADER + lengths, info.file_size


# ── in a run ─────────────────────────────────────────────────────────────────────────────────────────


def find(folder: Path, relative: str) -> Path | Packed | None:
    """Return where a file (or folder) of a run lies: in its pack if there is one, else beside the manifest.

    A pack that is there is whole: while loose files are being packed or unpacked, it is what counts.
    """
    pack = folder / NAME
    if pack.exists():
        packed = Packed(pack, relative)
        if packed.exists() or packed.is_dir():
            return packed
    loose = folder / relative
    return loose if loose.exists() else None


def sha256(file: Path | Packed) -> str:
    """Return the SHA-256 of a file, wherever it lies."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        for block in blocks(opened):
            digest.update(block)
    return digest.hexdigest()


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file in blocks of 1 MiB."""
    while block := file.read(_CHUNK):
        yield block


def write(target: Path, members: Iterable[tuple[str, Path | Packed]], more: Mapping[str, bytes]) -> dict[str, str]:
    """Write a pack of files, and of ``more`` that is on no disk, and flush it; return the SHA-256 of each as read."""
    hashes = {}
    with target.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, data in more.items():
                hashes[name] = _put(archive, name, len(data), io.BytesIO(data))
            for name, path in members:
                size = path.size() if isinstance(path, Packed) else path.stat().st_size
                with path.open("rb") as source:
                    hashes[name] = _put(archive, name, size, source)
        file.flush()
        os.fsync(file.fileno())
    return hashes


def _put(archive: zipfile.ZipFile, name: str, size: int, source: BinaryIO) -> str:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr, info.create_system, info.file_size = 0o644 << 16, 3, size
    digest = hashlib.sha256()
    with archive.open(info, "w") as into:
        for block in blocks(source):
            digest.update(block)
            into.write(block)
    return digest.hexdigest()


def zarr_root(store: str, metadata: bytes) -> bytes:
    """Return the ``zarr.json`` with which a pack is a Zarr hierarchy, whose group ``store`` has this metadata.

    ``xarray.open_zarr(ZipStore("files.zip"), group="fields.zarr")`` looks for it before it looks for the group.
    """
    found = json.loads(metadata)
    inside = found.pop("consolidated_metadata", {"metadata": {}})["metadata"]
    documents = {store: found} | {f"{store}/{name}": document for name, document in inside.items()}
    root = {
        "attributes": {},
        "consolidated_metadata": {"kind": "inline", "metadata": documents, "must_understand": False},
        "node_type": "group",
        "zarr_format": 3,
    }
    return json.dumps(root, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
