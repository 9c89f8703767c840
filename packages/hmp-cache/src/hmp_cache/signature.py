"""What is known of a file without reading it: enough to notice that it was changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hmp_core.identity import sha256_file


@dataclass(frozen=True, slots=True)
class Bytes:
    """Some bytes, and when the file that holds them was last modified."""

    sha256: str
    size: int
    #: seconds since 1970
    mtime: float

    def fit(self, found: os.stat_result) -> bool:
        """Return whether size and time are these."""
        # the database keeps seconds as DOUBLE: two clock readings closer than 1 us are the same
        return found.st_size == self.size and abs(found.st_mtime - self.mtime) < 1e-6

    def unchanged(self, path: Path) -> bool | None:
        """Return whether size and time of a file are still these; None if there is no such file."""
        try:
            return self.fit(path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def are_in(self, path: Path) -> bool | None:
        """Return whether ``path`` holds these bytes, reading it only if size or time differ; None if not there."""
        same = self.unchanged(path)
        if same is False:
            return path.stat().st_size == self.size and sha256_file(path) == self.sha256
        return same
