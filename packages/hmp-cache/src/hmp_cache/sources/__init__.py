"""Where inputs come from: what every source promises, and those that are shipped."""

from hmp_cache.sources.protocol import Asset, Destination, Offer, Request, Source, Station

__all__ = ["Asset", "Destination", "Offer", "Request", "Source", "Station"]
