"""A store in the pack of its run, as zarr takes one: a chunk is read where it lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from hmp_catalog.packs import Packed

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class PackedStore(Store):  # type: ignore[misc]
    """A store in a pack; it is only read."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, place: Packed) -> None:
        super().__init__(read_only=True)
        self.place = place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedStore) and other.place == self.place

    def __hash__(self) -> int:
        return hash(self.place)

    def __repr__(self) -> str:
        return f"PackedStore({str(self.place)!r})"

    def with_read_only(self, read_only: bool = False) -> Store:  # noqa: FBT001, FBT002 - the signature is zarr's
        """Return itself: what is packed is only read."""
        if read_only:
            return self
        message = f"{self.place}: what is packed is only read"
        raise ValueError(message)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return a file, or a part of it; None if there is none."""
        file = self.place / key
        if not file.exists():
            return None
        first, last = bounds(byte_range, file.size())
        with file.open() as opened:
            opened.seek(first)
            return prototype.buffer.from_bytes(opened.read(last - first))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of files."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is such a file."""
        return (self.place / key).exists()

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Yield the names of all files."""
        for name in self.place.below():
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names that begin so."""
        for name in self.place.below():
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield what lies in a folder."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in sorted({n[len(below) :].split("/")[0] for n in self.place.below() if n.startswith(below)}):
            yield name


def bounds(part: Any, size: int) -> tuple[int, int]:
    """Return where a part that zarr asks for begins and ends."""
    if isinstance(part, RangeByteRequest):
        return part.start, min(part.end, size)
    if isinstance(part, OffsetByteRequest):
        return part.offset, size
    if isinstance(part, SuffixByteRequest):
        return max(0, size - part.suffix), size
    return 0, size
