"""What sources offer: the offer that answers a request, and offers as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_cache.sources.protocol import Offer, Request
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED = ("variable", "unit", "frequency", "country", "description", "license")
_BOX = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")
_PERIOD = ("period_start", "period_end")


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of one source: what it offers, or why it cannot be used."""

    name: str
    #: the first sentence of its class's docstring
    about: str = ""
    offers: tuple[Offer, ...] = ()
    error: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each offer; one for the source if it has none, or cannot be used."""
        if self.offers:
            return [_row(self.name, offer) for offer in self.offers]
        return [dict.fromkeys((*_NAMED, *_BOX, *_PERIOD)) | {
            "source": self.name, "description": self.about or None, "error": self.error,
        }]  # fmt: skip


def chosen(name: str, offers: Sequence[Offer], request: Request) -> Offer:
    """Return the offer that answers a request: without a frequency, the first of the variable.

    Raises
    ------
    InvalidInput
        If the source called ``name`` has no such thing; what it has is listed.

    Examples
    --------
    >>> daily = Offer("discharge", unit="m3 s-1", frequency="1D")
    >>> chosen("usgs", [daily], Request(variable="discharge", station="01646500")) == daily
    True
    """
    of_variable = [offer for offer in offers if offer.variable == request.variable]
    if not of_variable:
        known = ", ".join(sorted({offer.variable for offer in offers})) or "nothing"
        message = f"{name} does not offer {request.variable!r}; it offers {known}"
        raise InvalidInput(message)
    found = [offer for offer in of_variable if request.frequency in {None, offer.frequency}]
    if not found:
        known = ", ".join(repr(offer.frequency) for offer in of_variable)
        message = f"{name} does not offer {request.variable} with frequency {request.frequency!r}; expected {known}"
        raise InvalidInput(message)
    if request.unit not in {None, found[0].unit}:
        message = f"{name} delivers {request.variable} in {found[0].unit!r}, not in {request.unit!r}; leave unit out"
        raise InvalidInput(message)
    return found[0]


def one_station(name: str, request: Request, example: str) -> str:
    """Return the station of a request.

    Raises
    ------
    InvalidInput
        If none is named, or an extent is.
    """
    if request.bbox is not None:
        message = f"{name} is asked for one station at a time, not for an extent: station={example!r}"
        raise InvalidInput(message)
    if request.station is None:
        message = f"{name} needs a station, as {example!r}"
        raise InvalidInput(message)
    return request.station


def schema() -> pa.Schema:
    """Return the columns of a table of offers."""
    import pyarrow as pa

    *words, license_ = _NAMED
    texts = [(name, pa.string()) for name in ("source", *words)]
    numbers = [(name, pa.float64()) for name in _BOX]
    moments = [(name, pa.timestamp("us")) for name in (*_PERIOD, "recorded_at")]
    return pa.schema([*texts, *numbers, *moments, (license_, pa.string()), ("error", pa.string())])


def plain(offer: Offer) -> dict[str, Any]:
    """Return an offer as the event ``source.described`` says it."""
    period = offer.period and [moment and moment.isoformat() for moment in offer.period]
    box = offer.bbox and [float(value) for value in offer.bbox]
    return {name: getattr(offer, name) for name in _NAMED} | {"bbox": box, "period": period}


def _row(source: str, offer: Offer) -> dict[str, Any]:
    box = dict(zip(_BOX, offer.bbox or (None,) * 4, strict=True))
    period = dict(zip(_PERIOD, offer.period or (None,) * 2, strict=True))
    return {"source": source, **{name: getattr(offer, name) for name in _NAMED}, **box, **period, "error": None}
