"""What an answer lacks, said beside it: a number that is not whole must not look whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """What an answer lacks: events not folded, waiting or unreadable, and why. All zero when it is complete."""

    unfolded: int = 0
    waiting: int = 0
    rejected: int = 0
    reason: str = ""
    #: files of the log that were read before and are gone; known to a rebuild alone
    lost: int = 0
    #: what was done to the database on the way to the answer, which lacks nothing by it
    remark: str = ""

    def __bool__(self) -> bool:
        return bool(self.unfolded or self.waiting or self.rejected or self.lost)

    def __str__(self) -> str:
        parts = [f"{n} {what}" for n, what in self._parts() if n]
        told = ", ".join(parts) + (f" ({self.reason})" if self.reason else "") if parts else "complete"
        return f"{told}; {self.remark}" if self.remark else told

    def _parts(self) -> Sequence[tuple[int, str]]:
        return (
            (self.unfolded, "unfolded"),
            (self.waiting, "waiting"),
            (self.rejected, "unreadable"),
            (self.lost, "files of the log lost"),
        )
