"""What would go if it were done, and what has gone: plain records, to be looked at before anything happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hmp_cache.records import Entry


@dataclass(frozen=True, slots=True)
class Planned:
    """A version whose bytes go."""

    entry: Entry
    why: str
    #: bytes of disk that it frees
    freed: int
    #: the runs that consumed these bytes; None where nobody here knows
    used_by: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the item as plain values, for JSON."""
        return _line(self.entry) | {
            "what": "goes",
            "why": self.why,
            "freed": self.freed,
            "used_by": None if self.used_by is None else list(self.used_by),
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that was asked for and stays."""

    entry: Entry
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the item as plain values, for JSON."""
        return _line(self.entry) | {"what": "stays", "why": self.why, "freed": 0, "used_by": None}


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes and what stays though it was asked for."""

    items: tuple[Planned, ...] = ()
    kept: tuple[Kept, ...] = ()
    #: whether it was done
    applied: bool = False
    force: bool = field(default=False, repr=False)
    #: bytes that are left beyond the budget, since nothing more may go
    over: int = 0
    #: places that could not be asked which runs consumed what goes, each with the reason
    unasked: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def freed(self) -> int:
        """Bytes of disk that it frees, or freed."""
        return sum(item.freed for item in self.items)


def _line(entry: Entry) -> dict[str, Any]:
    named = ("name", "variable", "source", "sha256", "size", "state")
    return {"id": str(entry.id), **{name: getattr(entry, name) for name in named}, "path": entry.relative_path}
