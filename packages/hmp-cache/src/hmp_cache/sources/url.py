"""What lies under an address, as a source: one file, taken as it is."""

from __future__ import annotations

from collections.abc import Sequence

from hmp_cache.fetching import file_name
from hmp_cache.sources.protocol import Asset, Destination, Offer, Request
from hmp_core.errors import InvalidInput


class Url:
    """Anything that has an address: `hmp data fetch URI` takes it as it is."""

    name = "url"

    def coverage(self) -> Sequence[Offer]:
        """See `hmp_cache.sources.Source`: what there is, its address says."""
        return []

    def plan(self, request: Request) -> Sequence[Asset]:
        """Return the file under ``parameters["uri"]``.

        Raises
        ------
        InvalidInput
            If no address is given.
        """
        uri = request.parameters.get("uri")
        if not isinstance(uri, str):
            message = f"{request.variable}: source 'url' needs an address: `hmp data fetch URI --variable ...`"
            raise InvalidInput(message)
        return [Asset(uri, file_name(uri), request.period)]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """See `hmp_cache.sources.Source`."""
        destination.download(asset.uri)
