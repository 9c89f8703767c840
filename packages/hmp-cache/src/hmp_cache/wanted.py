"""What is asked of a source, made exact: the request, what the answer is called here, and which window it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hmp_cache import windows
from hmp_cache.arrival import Arrival
from hmp_cache.labels import Label
from hmp_cache.sources import mistakes
from hmp_cache.sources.offers import chosen
from hmp_cache.sources.protocol import Offer, Request, Source
from hmp_cache.windows import Step, Window

#: What a label is told as it was said; the rest comes from the offer.
_SAID = ("variable", "station", "bbox", "crs", "frequency", "unit", "license", "tool", "parameters", "name")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series, or a file, that is wanted of a source."""

    source: Source
    #: without the period, which is asked for in parts
    request: Request
    arrival: Arrival
    window: Window
    step: Step

    @classmethod
    def of(cls, source: Source, said: Mapping[str, Any], now: datetime) -> Wanted:
        """Return what is wanted, from what was said to `InputsNamespace.fetch`.

        Frequency and unit are those of the source's offer: the first of the variable, where none is named.

        Raises
        ------
        InvalidInput
            For a value that cannot be accepted, and for what the source does not offer.
        """
        told: dict[str, Any] = {name: said.get(name) for name in _SAID}
        asked = Label(**told, source=source.name)
        request = Request(
            variable=asked.variable,
            station=asked.station,
            bbox=asked.bbox,
            crs=asked.crs,
            frequency=asked.frequency,
            unit=asked.unit,
            parameters=dict(asked.parameters or {}),
        )
        with mistakes.named(source.name, "coverage"):
            offers = source.coverage()
        offer = chosen(source.name, offers, request) if offers else None
        label = asked if offer is None else _offered(asked, offer)
        arrival = Arrival(
            label,
            f"{_called(label, offers, offer)}.csv",
            stand_in=source.name,
            uri=f"{source.name}/{label.variable}/{label.station or ''}",
            is_custom=False,
            now=now,
        )
        window = windows.asked(said.get("period"), now)
        return cls(source, request, arrival, window, Step.of(label.frequency))

    @property
    def label(self) -> Label:
        """What the answer is called here; without a period: a series that grows is the same series."""
        return self.arrival.label

    def at(self, now: datetime) -> Wanted:
        """Return the same, asked for later."""
        return replace(self, arrival=replace(self.arrival, now=now))

    def during(self, window: Window) -> Request:
        """Return the request for one window."""
        return replace(self.request, period=windows.closed(window))


def _offered(label: Label, offer: Offer) -> Label:
    return replace(
        label,
        frequency=offer.frequency or label.frequency,
        unit=offer.unit or label.unit,
        source_unit=offer.unit,
        license=label.license or offer.license,
    )


def _called(label: Label, offers: Sequence[Offer], offer: Offer | None) -> str:
    """Return what the file is called: the station; with the frequency, where that is not the usual one."""
    name = label.name or (label.station or label.variable).replace("/", "_")
    usual = next((other for other in offers if other.variable == label.variable), None)
    return name if offer in {None, usual} or label.name else f"{name}_{label.frequency}"
