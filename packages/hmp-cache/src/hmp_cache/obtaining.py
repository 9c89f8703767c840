"""Obtaining what a source has, without anybody knowing where it lies: a series, a grid, a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hmp_cache import queries, windows
from hmp_cache.fetching import Fetcher, How
from hmp_cache.grids import Grids
from hmp_cache.intake import Intake
from hmp_cache.labels import Label
from hmp_cache.offering import Offering
from hmp_cache.records import Entry
from hmp_cache.series import Series, kept_windows
from hmp_cache.shelf import Shelf
from hmp_cache.sources.protocol import Asset, Source
from hmp_cache.wanted import Wanted
from hmp_core.errors import InvalidInput
from hmp_core.events import Event, EventStore


class Obtaining:
    """Obtains inputs from sources."""

    def __init__(self, store: EventStore, shelf: Shelf, intake: Intake, fetcher: Fetcher, offering: Offering) -> None:
        self._shelf = shelf
        self._fetcher = fetcher
        self._offering = offering
        self._grids = Grids(store, shelf, intake)
        self._series = Series(store, shelf, intake, fetcher, clock=self._clock)
        self._offered: set[str] = set()

    def fetch(self, said: Mapping[str, Any], how: How) -> Entry:
        """Return an input that has what was asked for; see `InputsNamespace.fetch`."""
        wanted = self.wanted(said)
        covering = None if how.refresh else self._grids.covering(wanted)
        if covering is not None:
            return covering
        event, files = self._series.obtain(wanted, how)
        if event is None:
            entry = self._files(wanted, files, how)
            self._grids.subsume(entry, wanted)
        else:
            entry = queries.entry_of(event, self._shelf)
            _require(entry, how.sha256)
        self._put_on_record(said["source"])
        return entry

    def wanted(self, said: Mapping[str, Any]) -> Wanted:
        """Return what is asked of a source, made exact.

        Raises
        ------
        SourceNotFound, InvalidInput
            If there is no such source, or it does not offer that.
        """
        return Wanted.of(self.source(said["source"]), said, self._clock())

    def again(self, event: Event, how: How) -> bytes | None:
        """Return the bytes of a version of a series as its source would make it now; None if it is no series.

        Parameters
        ----------
        event
            The event that stored the version, or that confirmed it.
        how
            In which way it is fetched.

        Raises
        ------
        SourceNotFound
            If its source is not installed here.
        DownloadFailed, InvalidInput
            If not all of it can be had.
        """
        entry, provenance = event.payload["entry"], event.payload["provenance"]
        asked = kept_windows(provenance["request"])
        if not asked:
            return None
        said = {name: entry[name] for name in ("variable", "bbox", "crs", "frequency", "unit")}
        said |= {"station": entry["station_id"], "parameters": provenance["parameters"]}
        wanted = Wanted.of(self.source(entry["source"]), said, self._clock())
        return self._series.again(wanted, asked, how)

    def _clock(self) -> datetime:
        return _now()

    def source(self, source: str | Source) -> Source:
        """Return a source by its name, or the one that was given.

        Raises
        ------
        SourceNotFound
            If nobody goes by that name.
        InvalidInput
            If it is neither.
        """
        if isinstance(source, str):
            return self._offering.sources.get(source)
        if isinstance(source, Source):
            return source
        message = f"source is {source!r}; expected the name of a source (`hmp data sources` lists them), or one itself"
        raise InvalidInput(message)

    def _files(self, wanted: Wanted, files: Sequence[tuple[Asset, str]], how: How) -> Entry:
        """Return the first of the files that a source names; all are inputs then."""
        events = [self._fetcher.fetch(uri, label, how) for uri, label in self._labelled(wanted, files)]
        return queries.entry_of(events[0], self._shelf)

    def _labelled(self, wanted: Wanted, files: Sequence[tuple[Asset, str]]) -> list[tuple[str, Label]]:
        start, end = windows.closed(wanted.window)
        if len(files) == 1:
            return [(files[0][1], replace(wanted.label, period=None if start is None else (start, end)))]
        if any(asset.period is None for asset, _ in files):
            message = (
                f"{wanted.source.name} answers with {len(files)} files and does not say which period each is of; "
                "ask for less"
            )
            raise InvalidInput(message)
        return [(uri, replace(wanted.label, period=asset.period)) for asset, uri in files]

    def _put_on_record(self, source: str | Source) -> None:
        """Put on record what a source offers, once in the life of a process."""
        if isinstance(source, str) and source not in self._offered:
            self._offering.record(source)
            self._offered.add(source)


def _require(entry: Entry, sha256: str | None) -> None:
    """Return if a series is what it is known to be, where that was said."""
    if sha256 is not None and sha256.strip().lower().removeprefix("sha256:") != entry.sha256:
        message = (
            f"{entry.name} has SHA-256 {entry.sha256}, not {sha256}; a series that grows has no hash to be held to"
        )
        raise InvalidInput(message)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
