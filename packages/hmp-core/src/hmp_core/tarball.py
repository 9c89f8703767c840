"""A tar that can be written in one way only: the same files give the same bytes, and reading is comparing.

Every header follows from a member's name and size (POSIX ustar; a pax record where the name is long or no ASCII, or
the file greater than 8 GiB). Whoever reads knows from a list which members come, makes the header that each must have,
and refuses any other: no link, no device, no path that leads elsewhere and no size that was not announced is ever
looked at. ``tar`` reads it as it reads any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from hmp_core.errors import ArchiveInvalid

_BLOCK = 512
_CHUNK = 1 << 20
#: The greatest size that a header of 1988 can say.
_GREATEST = 8**11 - 1
_ZEROS = bytes(_BLOCK)


class Sink(Protocol):
    """Where bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""


def header(name: str, size: int) -> bytes:
    """Return what comes before the bytes of a member."""
    raw = name.encode()
    records = b""
    if len(raw) > 100 or not raw.isascii():
        records += _record(b"path", raw)
    if size > _GREATEST:
        records += _record(b"size", b"%d" % size)
    before = _ustar(b"././@PaxHeader", len(records), b"x") + records + _padding(len(records)) if records else b""
    short = name.encode("ascii", "replace")[:100]
    return before + _ustar(short, size if size <= _GREATEST else 0, b"0")


def _record(key: bytes, value: bytes) -> bytes:
    """Return a pax record, whose length counts its own digits."""
    bare = len(key) + len(value) + 3
    length = bare + len(str(bare))
    length = bare + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(name: bytes, size: int, kind: bytes) -> bytes:
    fields = (
        name.ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, user, group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # modified in 1970
        b" " * 8,  # the checksum counts itself as blanks
        kind + bytes(100) + b"ustar\00000" + bytes(32 + 32 + 8 + 8 + 155 + 12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def put(sink: Sink, name: str, size: int, blocks: Iterable[bytes]) -> None:
    """Write one member.

    Raises
    ------
    ArchiveInvalid
        If there are not as many bytes as was said.
    """
    sink.write(header(name, size))
    left = size
    for block in blocks:
        left -= len(block)
        sink.write(block)
    if left:
        message = f"{name}: {size - left} bytes came, {size} were announced"
        raise ArchiveInvalid(message, path=name)
    sink.write(_padding(size))


def finish(sink: Sink) -> None:
    """Write what comes after the last member."""
    sink.write(_ZEROS * 2)


def take(stream: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of the member that comes next, which is ``name`` with ``size`` bytes.

    Raises
    ------
    ArchiveInvalid
        If another one comes, or the file ends before.
    """
    expected = header(name, size)
    if _exactly(stream, len(expected)) != expected:
        message = f"{name} was to come next, of {size} bytes, and something else does"
        raise ArchiveInvalid(message, path=name)
    left = size
    while left:
        block = _exactly(stream, min(left, _CHUNK))
        left -= len(block)
        yield block
    if any(_exactly(stream, -size % _BLOCK)):
        message = f"there is something behind the end of {name}"
        raise ArchiveInvalid(message, path=name)


def take_first(stream: BinaryIO, name: str, limit: int) -> bytes:
    """Return the bytes of the first member, of whose size only a limit is known.

    Raises
    ------
    ArchiveInvalid
        If it is another member, or greater.
    """
    head = _exactly(stream, _BLOCK)
    try:
        size = int(head[124:135], 8)
    except ValueError:
        size = -1
    if not 0 <= size <= limit or head != header(name, size):
        message = f"it does not begin with {name}"
        raise ArchiveInvalid(message, path=name)
    data = _exactly(stream, size)
    if any(_exactly(stream, -size % _BLOCK)):
        message = f"there is something behind the end of {name}"
        raise ArchiveInvalid(message, path=name)
    return data


def expect_end(stream: BinaryIO) -> None:
    """Return if nothing follows.

    Raises
    ------
    ArchiveInvalid
        If something does.
    """
    if _exactly(stream, 2 * _BLOCK) != _ZEROS * 2 or stream.read(1):
        message = "something follows that was not announced"
        raise ArchiveInvalid(message, path="")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        message = "it ends in the middle: it was cut short"
        raise ArchiveInvalid(message, path="")
    return data
