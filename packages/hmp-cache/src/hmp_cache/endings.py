"""Whether a file ends where a file of its kind ends: what tells that it was cut where nothing else does.

A server that closes the connection ends an answer of HTTP/1.0 just as a server that dies does. Many formats say where
they end. Text does not: a table that is cut between two lines cannot be told from a shorter one.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO, ClassVar

from hmp_cache import tiffs

_TAIL = 1 << 16
_CHUNK = 1 << 20
_LINES = frozenset({".csv", ".tsv", ".txt"})
#: Suffix -> what is among the last bytes, and how many those are.
_MARKS: dict[str, tuple[bytes, int]] = {
    ".parquet": (b"PAR1", 4),
    ".zip": (b"PK\x05\x06", _TAIL),
    ".grib": (b"7777", 4),
    ".grib2": (b"7777", 4),
    ".png": (b"IEND\xaeB`\x82", 12),
    ".pdf": (b"%%EOF", 1024),
}
#: Text that ends with what closes its first character.
_CLOSED = frozenset({".json", ".geojson", ".xml", ".gml"})
_CLOSING = {b"{": b"}", b"[": b"]", b"<": b">"}


def lacking(file: BinaryIO, suffix: str, *, told: bool) -> str | None:
    """Return what is missing at the end of a file; None if nothing is, or nobody can tell.

    Parameters
    ----------
    file
        An open file; where it is read next is anywhere afterwards.
    suffix
        What it is said to be, as ".nc", in lower case.
    told
        Whether it was said how long it is: then a last line without an end is as it should be.
    """
    size = file.seek(0, os.SEEK_END)
    if suffix in _MARKS:
        mark, length = _MARKS[suffix]
        if mark not in _tail(file, size, length):
            return f"it does not end like a {suffix} file"
    if suffix in _CLOSED:
        return None if _is_closed(file, size) else f"it does not end like a {suffix} file"
    if suffix in _LENGTHS:
        return _shorter(file, size, _LENGTHS[suffix])
    if suffix in {".gz", ".tgz"} and not told:
        return None if _unpacks(file) else "the packed stream in it has no end"
    if suffix in _LINES and not told and _tail(file, size, 1) not in {b"\n", b"\r"}:
        return "its last line has no end, and the server did not say how long it is"
    return None


def _is_closed(file: BinaryIO, size: int) -> bool:
    """Return whether text ends with what closes its first character; other text is not for us to judge."""
    file.seek(0)
    first = file.read(_TAIL).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return _tail(file, size, _TAIL).rstrip()[-1:] == _CLOSING.get(first, b"") or first not in _CLOSING


def _shorter(file: BinaryIO, size: int, length: Callable[[BinaryIO], int | None]) -> str | None:
    try:
        announced = length(file)
    except EOFError:
        return "its header has no end"
    if announced is None or announced <= size:
        return None
    return f"by its own account it has {announced} bytes, and {size} are there"


def _tail(file: BinaryIO, size: int, length: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read(length)


def _unpacks(file: BinaryIO) -> bool:
    file.seek(0)
    stream = zlib.decompressobj(wbits=31)
    while block := file.read(_CHUNK):
        while block:
            if stream.eof:
                stream = zlib.decompressobj(wbits=31)
            try:
                stream.decompress(block)
            except zlib.error:
                return True  # what it is, is not for us to say: the end is there
            block = stream.unused_data
    return stream.eof


# ── formats that say how long they are ───────────────────────────────────────────────────────────────


def _hdf5(file: BinaryIO) -> int | None:
    """Return the end-of-file address in the superblock (HDF5 File Format Specification 3.0, II.A)."""
    file.seek(0)
    head = file.read(64)
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return None
    if len(head) < 64:
        raise EOFError
    version = head[8]
    wide = head[13] if version < 2 else head[9]
    first = {0: 24, 1: 28}.get(version, 12)
    return int.from_bytes(head[first + 2 * wide : first + 3 * wide], "little") if wide in {4, 8} else None


def _zip(file: BinaryIO) -> int | None:
    """Return where the last record ends, with the comment that it announces (APPNOTE 6.3.10, 4.3.16)."""
    size = file.seek(0, os.SEEK_END)
    tail = _tail(file, size, _TAIL)
    place = tail.rfind(_MARKS[".zip"][0])
    comment = int.from_bytes(tail[place + 20 : place + 22], "little")
    return None if place < 0 else size - len(tail) + place + 22 + comment


def _sqlite(file: BinaryIO) -> int | None:
    """Return pages times their size (SQLite Database File Format, 1.3)."""
    file.seek(0)
    head = file.read(32)
    if not head.startswith(b"SQLite format 3\x00"):
        return None
    if len(head) < 32:
        raise EOFError
    page = int.from_bytes(head[16:18], "big")
    return (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")


def _netcdf(file: BinaryIO) -> int | None:
    """Return where the last value of a classic NetCDF file ends (NetCDF Classic Format Specification)."""
    file.seek(0)
    kind = file.read(4)
    if not kind.startswith(b"CDF"):
        return _hdf5(file)
    try:
        return _Classic(file, kind[3]).end()
    except (IndexError, KeyError):
        return None  # the header is damaged: who reads the file says so
    except struct.error as error:
        raise EOFError from error


_LENGTHS: dict[str, Callable[[BinaryIO], int | None]] = {
    ".nc": _netcdf,
    ".nc4": _hdf5,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".gpkg": _sqlite,
    ".zip": _zip,
    ".tif": tiffs.length,
    ".tiff": tiffs.length,
}


class _Classic:
    """The header of a classic NetCDF file."""

    _WIDTHS: ClassVar = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}

    def __init__(self, file: BinaryIO, kind: int) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(4)
        self._count = ">q" if kind == 5 else ">i"
        self._offset = ">i" if kind == 1 else ">q"

    def end(self) -> int:
        """Return where the last value ends."""
        records = self._read(self._count)
        dimensions = [self._dimension() for _ in range(self._list())]
        self._attributes()
        fixed, each, first = 0, [], []
        for _ in range(self._list()):
            is_record, size, begin = self._variable(dimensions)
            if is_record:
                each.append(size)
                first.append(begin)
            else:
                fixed = max(fixed, begin + size)
        if not each or records <= 0:  # -1: the writer did not come to say how many
            return fixed
        # one variable alone is not padded to four bytes
        padded = each if len(each) == 1 else [-(-size // 4) * 4 for size in each]
        return max(fixed, (records - 1) * sum(padded) + max(b + s for b, s in zip(first, each, strict=True)))

    def _read(self, form: str) -> int:
        (found,) = struct.unpack(form, self._file.read(struct.calcsize(form)))
        return int(found)

    def _list(self) -> int:
        self._read(">i")  # what it is a list of
        return self._read(self._count)

    def _name(self) -> None:
        self._skip(self._read(self._count))

    def _skip(self, length: int) -> None:
        if length < 0:
            raise IndexError(length)  # it would lead back
        if length > self._size:
            raise EOFError
        self._file.seek(-(-length // 4) * 4, os.SEEK_CUR)

    def _dimension(self) -> int:
        self._name()
        return self._read(self._count)

    def _attributes(self) -> None:
        for _ in range(self._list()):
            self._name()
            width = self._WIDTHS[self._read(">i")]
            self._skip(self._read(self._count) * width)

    def _variable(self, dimensions: list[int]) -> tuple[bool, int, int]:
        """Return whether it grows with the records, its bytes (of one record), and where it begins."""
        self._name()
        shape = [dimensions[self._read(self._count)] for _ in range(self._read(self._count))]
        self._attributes()
        size = self._WIDTHS[self._read(">i")]
        self._read(self._count)  # its size, which is not to be trusted above 4 GiB
        begin = self._read(self._offset)
        is_record = bool(shape) and shape[0] == 0
        for length in shape[1:] if is_record else shape:
            size *= length
        return is_record, size, begin
