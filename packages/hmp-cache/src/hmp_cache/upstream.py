"""Where a version came from, so that it can be asked for again: its address, or the source and windows of a series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hmp_cache.addresses import file_name
from hmp_cache.arrival import Arrival
from hmp_cache.labels import Label
from hmp_cache.ledger import Known
from hmp_cache.series import kept_windows
from hmp_cache.sidecar import Sidecar
from hmp_cache.windows import Window
from hmp_core.events import Event

#: What hmp-cache itself stands under as a tool.
_SELF = "hmp-cache"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one version of an input came from."""

    #: the event that stored the version, or confirmed it last
    told: Event
    #: as it was stored first
    entry: dict[str, Any]
    uri: str | None

    @property
    def windows(self) -> list[Window]:
        """Of a series, the windows that the version has the rows of; empty for anything else."""
        return kept_windows(self.told.payload["provenance"]["request"])

    @property
    def is_remote(self) -> bool:
        """Whether another machine can be asked for it."""
        remote = self.uri is not None and "://" in self.uri and not self.uri.startswith("file:")
        return bool(self.windows) or (remote and not self.entry["is_custom"])

    def arrival(self) -> Arrival | None:
        """Return what would arrive if its URI were fetched again; None where that would be another input."""
        uri = self.uri or ""
        for name in (self.entry["name"], None):
            arrival = Arrival(self._label(name), file_name(uri), stand_in=uri, uri=uri, is_custom=False)
            if str(arrival.entry_id) == self.entry["id"]:
                return arrival
        return None

    def _label(self, name: str | None) -> Label:
        how = self.told.payload["provenance"]
        tool = None if how["tool_name"] == _SELF else " ".join(filter(None, (how["tool_name"], how["tool_version"])))
        same = ("variable", "source", "bbox", "crs", "period", "frequency", "unit", "source_unit")
        said = {key: self.entry[key] for key in same}
        said |= {"station": self.entry["station_id"], "name": name, "tool": tool}
        return Label(**said, license=how["license"], parameters=how["parameters"])


def origin_of(known: Known, artifact: str) -> Origin | None:
    """Return where a version came from; its id is ``artifact``. None if nobody told."""
    stored = _last(known.sidecar, artifact, lambda kind: kind == "input.stored")
    told = _last(known.sidecar, artifact, lambda kind: kind in {"input.stored", "input.confirmed"})
    if stored is None or told is None:
        return None
    if told.kind == "input.confirmed":  # it says less of the entry, and whoever reads it needs all
        told = Event(**{**_fields(told), "payload": {**told.payload, "entry": stored.payload["entry"]}})
    return Origin(told, stored.payload["entry"], told.payload["provenance"]["uri"])


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


def _last(told: Sidecar, artifact: str, wanted: Callable[[str], bool]) -> Event | None:
    found = (e for e in told.events if wanted(e.kind) and e.payload["artifact"]["id"] == artifact)
    return max(found, key=Event.stamp, default=None)
