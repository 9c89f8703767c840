"""Asking upstream again: whether each input is still what it was, and taking in what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.fetching import How
from hmp_cache.records import Entry
from hmp_cache.upstream import Origin, origin_of
from hmp_cache.windows import closed
from hmp_core.errors import HmpError, InvalidInput

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of asking for one input again: changed, unchanged or failed."""

    outcome: str
    #: as it is now
    entry: Entry
    #: SHA-256 of the version that was current before
    former: str
    error: HmpError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        named = ("name", "variable", "source", "sha256", "state", "uri")
        told = {name: getattr(self.entry, name) for name in named}
        error = None if self.error is None else {"type": type(self.error).__name__, "message": str(self.error)}
        return {"id": str(self.entry.id), "outcome": self.outcome, **told, "former": self.former, "error": error}


def refresh(
    rooms: Rooms, reference: Entry | UUID | str | None, filters: Mapping[str, Any], how: How
) -> list[Refreshed]:
    """Ask upstream again; see `InputsNamespace.refresh`."""
    rooms.may_write("refresh it")
    if reference is None:
        # what was purged was let go on purpose: it is not brought back unasked
        found = [entry for entry in rooms.asking.find(filters) if entry.state != "purged"]
    else:
        if filters:
            message = "name one input, or give conditions; not both"
            raise InvalidInput(message)
        found = [rooms.asking.one(reference.id if isinstance(reference, Entry) else reference)]
        if _origin(rooms, found[0]) is None:
            message = (
                f"{found[0].name} is a user's own file: nobody can be asked for it again; add it again if it changed"
            )
            raise InvalidInput(message)
    return [one for entry in found if (one := _refreshed(rooms, entry, how)) is not None]


def _origin(rooms: Rooms, entry: Entry) -> Origin | None:
    """Return where an input came from, if somebody can be asked for it again."""
    with rooms.intake.holding(entry.variable, entry.source):
        known = rooms.intake.known(entry)
    if known is None or known.artifact["in_place"]:
        return None
    origin = origin_of(known, known.artifact["id"])
    if origin is None or origin.entry["is_custom"]:
        return None
    return origin if origin.windows or (origin.uri and "://" in origin.uri and origin.arrival()) else None


def _refreshed(rooms: Rooms, entry: Entry, how: How) -> Refreshed | None:
    """Ask upstream for one input again; None if nobody can be asked."""
    try:
        origin = _origin(rooms, entry)
        if origin is None:
            return None
        now = _asked(rooms, entry, origin, how)
    except HmpError as error:
        return Refreshed("failed", entry, entry.sha256, error)
    return Refreshed("unchanged" if now.sha256 == entry.sha256 else "changed", now, entry.sha256)


def _asked(rooms: Rooms, entry: Entry, origin: Origin, how: How) -> Entry:
    if origin.windows:
        window = (origin.windows[0][0], origin.windows[-1][1])
        return rooms.obtaining.fetch(asked_for(entry, origin) | {"period": closed(window)}, how)
    arrival = origin.arrival()
    assert arrival is not None
    return rooms.entry(rooms.fetcher.fetch(str(origin.uri), arrival.label, how))


def asked_for(entry: Entry, origin: Origin) -> dict[str, Any]:
    """Return what was asked of a source to get a series, without the period."""
    same = {name: getattr(entry, name) for name in ("variable", "source", "bbox", "crs", "frequency", "unit")}
    return same | {"station": entry.station_id, "parameters": origin.told.payload["provenance"]["parameters"]}
