"""The user's own files, as a source: nothing is offered and nothing can be fetched, they are added."""

from __future__ import annotations

from collections.abc import Sequence

from hmp_cache.sources.protocol import Asset, Destination, Offer, Request
from hmp_core.errors import InvalidInput


class Custom:
    """The user's own files: `hmp data add` brings them in."""

    name = "custom"

    def coverage(self) -> Sequence[Offer]:
        """See `hmp_cache.sources.Source`: nobody knows what a user will bring."""
        return []

    def plan(self, request: Request) -> Sequence[Asset]:
        """Refuse: a file of the user's has no upstream.

        Raises
        ------
        InvalidInput
            Always.
        """
        message = (
            f"{request.variable}: what is 'custom' are your own files and nobody serves them; bring one in with "
            f"`hmp data add FILE --variable {request.variable}`, or name a source (`hmp data sources` lists them)"
        )
        raise InvalidInput(message)

    def fetch(self, asset: Asset, destination: Destination) -> None:
        """Refuse; see `plan`."""
        self.plan(Request(variable=asset.file_name))
