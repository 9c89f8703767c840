"""What is known of a file without reading it: enough to notice that it was changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hmp_core.identity import sha256_file

#: Inode numbers have 64 bits without a sign, columns of a database 63.
_INODE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Signature:
    """How a file looks from outside.

    Parameters
    ----------
    size
        Bytes.
    mtime
        When it was last modified, in seconds since 1970.
    mtime_ns, inode
        The same in nanoseconds, and the number of the file on its disk; None where they were not noted, and are not
        compared.
    """

    size: int
    mtime: float
    mtime_ns: int | None = None
    inode: int | None = None

    @classmethod
    def of(cls, found: os.stat_result) -> Signature:
        """Return how a file looks."""
        return cls(found.st_size, found.st_mtime, found.st_mtime_ns, found.st_ino & _INODE)

    def fits(self, found: os.stat_result) -> bool:
        """Return whether a file looks like this."""
        if found.st_size != self.size or self.inode not in {None, found.st_ino & _INODE}:
            return False
        if self.mtime_ns is not None:
            return found.st_mtime_ns == self.mtime_ns
        # the database keeps seconds as DOUBLE: two clock readings closer than 1 us are the same
        return abs(found.st_mtime - self.mtime) < 1e-6

    def as_dict(self) -> dict[str, Any]:
        """Return what an event says of it, besides the size."""
        return {"mtime": self.mtime, "mtime_ns": self.mtime_ns, "inode": self.inode}


@dataclass(frozen=True, slots=True)
class Bytes:
    """Some bytes, and how the file looked that was seen to hold them."""

    sha256: str
    signature: Signature = field(compare=False)

    @classmethod
    def said(cls, artifact: Mapping[str, Any], seen: Mapping[str, Any] | None = None) -> Bytes:
        """Return the bytes that an event names; ``seen`` is how they were last seen, if not then."""
        seen = seen or artifact
        looks = Signature(artifact["size"], seen["mtime"], seen.get("mtime_ns"), seen.get("inode"))
        return cls(artifact["sha256"], looks)

    @property
    def size(self) -> int:
        """How many there are."""
        return self.signature.size

    def unchanged(self, path: Path) -> bool | None:
        """Return whether a file looks as it did; None if there is no such file."""
        try:
            return self.signature.fits(path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def are_in(self, path: Path, *, full: bool = False) -> bool | None:
        """Return whether ``path`` holds these bytes; None if it is not there.

        It is read only if it does not look as it did, or if the answer is to be ``full``.
        """
        same = self.unchanged(path)
        if same is False or (same and full):
            return path.stat().st_size == self.size and sha256_file(path) == self.sha256
        return same
