"""From what is asked to what a source offers: the first offer of that variable, in the frequency and unit asked for."""

from __future__ import annotations

from collections.abc import Sequence

from hmp_cache.sources.protocol import Offer, Request
from hmp_core.errors import InvalidInput


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
