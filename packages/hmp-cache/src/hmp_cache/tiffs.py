"""How long a TIFF file is by its own account: its directories, and the strips and tiles that they name."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

#: Bytes of each type of value (TIFF 6.0, section 2; BigTIFF adds 16 to 18).
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
#: Where strips and tiles lie -> how long each is.
_PARTS = {273: 279, 324: 325}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}


def length(file: BinaryIO) -> int | None:
    """Return where the last thing ends that a TIFF or BigTIFF file names; None if it is none.

    Of one that is cut off it is as far as can be told, which is beyond its end.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    kind = struct.unpack(f"{order}H", head[2:4])[0]
    if kind == 43 and len(head) < 16:
        return 16
    if kind not in {42, 43}:
        return None
    return _Directories(file, size, order, big=kind == 43).end(head)


class _Directories:
    """The directories of one file."""

    def __init__(self, file: BinaryIO, size: int, order: str, *, big: bool) -> None:
        self._file = file
        self._size = size
        self._order = order
        self._offset = "Q" if big else "I"
        self._count = "Q" if big else "H"
        self._inline = 8 if big else 4

    def end(self, head: bytes) -> int:
        """Return where the last thing ends."""
        wide = self._inline
        place = int(struct.unpack(f"{self._order}{self._offset}", head[4:8] if wide == 4 else head[8:16])[0])
        seen: set[int] = set()
        last = wide * 2
        while place and place not in seen:
            seen.add(place)
            try:
                entries, place, end = self._directory(place)
                last = max(last, end, *self._ends(entries))
            except struct.error:  # it lies beyond the end
                return max(last, place + 2, self._size + 1)
        return last

    def _directory(self, place: int) -> tuple[dict[int, tuple[int, int, int]], int, int]:
        """Return tag -> (type, count, place of the values), where the next directory is, and where this one ends."""
        self._file.seek(place)
        (count,) = self._read(self._count)
        form = f"HH{self._offset}"
        found = {}
        for _ in range(count):
            tag, kind, many = self._read(form)
            here = self._file.tell()
            (there,) = self._read(self._offset)
            fits = _WIDTHS.get(kind, 1) * many <= self._inline
            found[tag] = (kind, many, here if fits else there)
        (following,) = self._read(self._offset)
        return found, following, self._file.tell()

    def _ends(self, entries: dict[int, tuple[int, int, int]]) -> Iterator[int]:
        """Yield where the values, the strips and the tiles of a directory end."""
        for kind, many, place in entries.values():
            yield place + _WIDTHS.get(kind, 1) * many
        for where, how_long in _PARTS.items():
            if where in entries and how_long in entries:
                yield from map(sum, zip(self._values(entries[where]), self._values(entries[how_long]), strict=False))

    def _values(self, entry: tuple[int, int, int]) -> tuple[int, ...]:
        kind, many, place = entry
        self._file.seek(place)
        return self._read(f"{many}{_NUMBERS[kind]}") if kind in _NUMBERS else ()

    def _read(self, form: str) -> tuple[int, ...]:
        whole = f"{self._order}{form}"
        return struct.unpack(whole, self._file.read(struct.calcsize(whole)))
