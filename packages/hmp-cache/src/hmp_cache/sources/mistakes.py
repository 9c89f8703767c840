"""Mistakes of sources that others wrote: named and held to the source, so that whoever fetches many goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hmp_cache.addresses import public
from hmp_cache.errors import DownloadFailed
from hmp_cache.labels import checked_period
from hmp_cache.sources.protocol import Asset
from hmp_core.errors import HmpError, InvalidInput

#: What somebody else's code raises where it cannot be imported, made or asked; what hmp raises speaks for itself.
THEIRS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError,
)  # fmt: skip
#: How long it may be remembered that nothing is there: longer than anybody asks, and still a date.
_LONGEST = timedelta(days=36525)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")


@contextmanager
def named(source: str, verb: str, uri: str = "") -> Iterator[None]:
    """Name the source in what it raises that hmp does not know.

    Raises
    ------
    DownloadFailed
        For that; ``reason`` is "content": what was answered is most often not what the source was written for.
    """
    try:
        yield
    except HmpError:
        raise
    except THEIRS as error:
        said = _ADDRESS.sub(lambda found: public(found[0]), f"{type(error).__name__}: {error}")
        message = f"source {source!r} failed in {verb}(): {said}; tell who wrote it"
        raise DownloadFailed(message, uri=public(uri), reason="content", status=None, attempts=1) from error


def checked_assets(source: str, planned: Any) -> Sequence[Asset]:
    """Return what a source planned, its periods in UTC without a zone.

    Raises
    ------
    InvalidInput
        If it planned anything else than assets.
    """
    assets = list(planned or ())
    strange = [asset for asset in assets if not isinstance(asset, Asset) or not isinstance(asset.uri, str)]
    if strange:
        message = f"plan() of source {source!r} gave {strange[0]!r}, expected hmp_cache.sources.Asset"
        raise InvalidInput(message)
    return [asset if asset.period is None else replace(asset, period=checked_period(asset.period)) for asset in assets]


def checked_memory(source: Any, name: str, usual: timedelta) -> timedelta:
    """Return how long a source wants it remembered that it has nothing; ``name`` is the attribute that says so.

    Raises
    ------
    InvalidInput
        If that is no time span from 0 to a hundred years.
    """
    said = getattr(source, name, usual)
    if not isinstance(said, timedelta) or not timedelta(0) <= said <= _LONGEST:
        message = f"{name} of source {source.name!r} is {said!r}, expected a timedelta from 0 to {_LONGEST.days} days"
        raise InvalidInput(message)
    return said
