"""Who uses these bytes: the question that the umbrella answers; without it nobody here knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms
    from hmp_cache.records import Entry


def uses_of(rooms: Rooms, entries: Sequence[Entry]) -> Mapping[str, Sequence[str]] | None:
    """Return what consumed each SHA-256, in words; None where no package is installed that knows.

    Asked is whoever stands under ``uses`` in the entry point group ``hmp.bridge``: a function of (workspace, set of
    SHA-256, authority or None) that returns a mapping of SHA-256 to lines of text.
    """
    for point in entry_points(group="hmp.bridge", name="uses"):
        hashes = {entry.sha256 for entry in entries}
        found: Mapping[str, Sequence[str]] = point.load()(rooms.shelf.workspace, hashes, rooms.shelf.auth)
        return found
    return None
