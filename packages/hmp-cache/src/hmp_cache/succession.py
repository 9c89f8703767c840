"""What becomes of a version when another takes its place: its bytes are kept, then it is cleared from where it lay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hmp_cache.ledger import sidecar_path
from hmp_cache.shelf import Shelf
from hmp_cache.signature import Bytes


def keep(shelf: Shelf, former: Mapping[str, Any], artifact: Mapping[str, Any]) -> None:
    """Keep the bytes of the version that makes way for ``artifact`` under their SHA-256."""
    if former["in_place"] and artifact["path"] == former["path"]:
        return  # its owner has overwritten it: the old bytes are gone
    shelf.keep_version(shelf.local(former["path"]), Bytes.said(former), link=not former["in_place"])


def retire(
    shelf: Shelf, entry: str, former: Mapping[str, Any], artifact: Mapping[str, Any], *, emptied: bool = False
) -> None:
    """Remove the sidecar, and the cache's own copy, from where the former version lay.

    Where the new version lies in the same place there is nothing to remove, unless its bytes are not here
    (``emptied``): then the former's would be taken for them.
    """
    same = former["path"] == artifact["path"]
    if not same:
        sidecar_path(shelf, entry, former).unlink(missing_ok=True)
    if not former["in_place"] and (not same or (emptied and former["sha256"] != artifact["sha256"])):
        shelf.local(former["path"]).unlink(missing_ok=True)
