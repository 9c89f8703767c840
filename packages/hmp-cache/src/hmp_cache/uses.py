"""Who uses these bytes: the question that the umbrella answers; without it nobody here knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms
    from hmp_cache.records import Entry


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of who consumed some bytes."""

    #: SHA-256 -> a line for each consumer; None where no package is installed that knows
    lines: Mapping[str, Sequence[str]] | None = None
    #: a line for each place that could not be asked, with the reason
    unasked: Sequence[str] = field(default=())

    def of(self, sha256: str) -> tuple[str, ...] | None:
        """Return the consumers of these bytes; None where nobody here knows."""
        return None if self.lines is None else tuple(self.lines.get(sha256, ()))


def uses_of(rooms: Rooms, entries: Sequence[Entry]) -> Known:
    """Return what consumed the bytes of some versions, in words.

    Asked is whoever stands under ``uses`` in the entry point group ``hmp.bridge``: a function of (workspace, set of
    SHA-256, authority or None) that returns a mapping of SHA-256 to lines of text, and of ``""`` to a line for each
    place that could not be asked.
    """
    for point in entry_points(group="hmp.bridge", name="uses"):
        hashes = {entry.sha256 for entry in entries}
        found: Mapping[str, Sequence[str]] = point.load()(rooms.shelf.workspace, hashes, rooms.shelf.auth)
        return Known(found, tuple(found.get("", ())))
    return Known()
