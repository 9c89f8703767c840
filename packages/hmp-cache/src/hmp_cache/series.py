"""A series from a source: only what is missing of a period is asked for, and becomes part of what is held.

Which windows are held is said in the provenance of the version that has their rows, so that no process can die between
the two. What a source did not have is put on record after that, for a time (``source.answered``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hmp_cache import chronicle, queries, windows
from hmp_cache.addresses import public
from hmp_cache.chronicle import Rows
from hmp_cache.errors import DownloadFailed, NothingThere, PartlyFetched
from hmp_cache.fetching import Fetcher, How
from hmp_cache.harvest import Harvest, Sheaves
from hmp_cache.intake import Intake
from hmp_cache.ledger import Known
from hmp_cache.shelf import Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.sources import mistakes
from hmp_cache.sources.arriving import Arriving
from hmp_cache.sources.protocol import Asset, Station
from hmp_cache.wanted import Wanted
from hmp_cache.windows import Window
from hmp_core.errors import CorruptError, HmpError
from hmp_core.events import Event, EventStore
from hmp_core.identity import sha256_bytes

#: How long it is remembered that a source has nothing; a source may say otherwise (``absent_for``).
ABSENT_FOR = timedelta(days=30)
#: So long where the window reaches into the last month: data arrive late (``absent_lately_for``).
ABSENT_LATELY_FOR = timedelta(days=1)
_LATELY = timedelta(days=30)
_MEMORY = {"absent_for": ABSENT_FOR, "absent_lately_for": ABSENT_LATELY_FOR}

_Plan = tuple[Window, Sequence[Asset]]


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a series: its version, where its bytes lie, and which windows those have all rows of."""

    known: Known | None = None
    path: Path | None = None
    windows: list[Window] = field(default_factory=list)

    def rows(self) -> Rows:
        """Return the rows that are held.

        Raises
        ------
        CorruptError
            If the file is not what it was, though it looks like it.
        """
        if self.known is None or self.path is None:
            return {}
        data = self.path.read_bytes()
        if sha256_bytes(data) != self.known.bytes.sha256:
            message = f"{self.path} was changed and looks as it did; remove it, then fetch the series again"
            raise CorruptError(message, path=str(self.path))
        return chronicle.decoded(data)


class Series:
    """Obtains series; see `InputsNamespace.fetch`."""

    def __init__(
        self, store: EventStore, shelf: Shelf, intake: Intake, fetcher: Fetcher, *, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._intake = intake
        self._fetcher = fetcher
        self._clock = clock

    def obtain(self, wanted: Wanted, how: How) -> tuple[Event | None, list[tuple[Asset, str]]]:
        """Return the event that stored a series which has all that can be had of a window; or files to be had instead.

        Raises
        ------
        NothingThere
            If the source has nothing at all.
        PartlyFetched
            If some of it came, and is kept.
        DownloadFailed, RetryLater, InvalidInput, ValidationFailed, BusyError
            See `InputsNamespace.fetch`.
        """
        with self._fetcher.alone(wanted.arrival):
            wanted = wanted.at(self._clock())  # another process may have been at it until now
            held = self.held(wanted)
            missing = self.missing(wanted, held, refresh=how.refresh)
            if not missing:
                return self._there(wanted, held), []
            plans = _planned(wanted, missing)
            if not any(assets for _, assets in plans):
                return self._there(wanted, held), []
            first = next(assets[0] for _, assets in plans if assets)
            with self._fetcher.trying(replace(wanted.arrival, uri=public(first.uri)), retry_now=how.retry_now) as tried:
                return self._fetched(replace(wanted, arrival=tried), held, plans, how)

    def again(self, wanted: Wanted, asked: Sequence[Window], how: How) -> bytes:
        """Return a version of a series as its source would make it now: the rows of the windows that it has.

        Raises
        ------
        DownloadFailed, InvalidInput
            If not all of it can be had.
        """
        harvest = Harvest(wanted.step)
        plans = _planned(wanted, asked)
        fetcher, arrival = self._fetcher, wanted.arrival
        with fetcher.alone(arrival), fetcher.trying(arrival, retry_now=how.retry_now) as tried:
            self._ask(replace(wanted, arrival=tried), plans, how, harvest)
        return chronicle.encoded(harvest.sorted_out().rows, wanted.label.variable)

    # ── what there is ────────────────────────────────────────────────────────────────────────────────

    def held(self, wanted: Wanted) -> Held:
        """Return what is held of a series; nothing of what was fetched with other parameters, or is not there."""
        label = wanted.label
        with self._intake.holding(label.variable, label.source):
            self._intake.settle(wanted.arrival.entry_id)
            known = self._intake.find(wanted.arrival)
        if known is None or known.sidecar.removed:
            return Held()
        upstream = known.sidecar.upstream(known.artifact["id"])
        path = self._shelf.local(known.artifact["path"])
        if upstream.get("parameters") != (dict(label.parameters) if label.parameters else None):
            return Held(known)
        if not known.bytes.are_in(path):
            return Held(known)
        return Held(known, path, kept_windows(upstream.get("request")))

    def missing(self, wanted: Wanted, held: Held, *, refresh: bool = False) -> list[Window]:
        """Return which windows are to be asked for: neither held nor known to be empty."""
        if refresh:
            return [wanted.step.whole(wanted.window)]
        if not windows.gaps(wanted.window, held.windows, [], wanted.step):
            return []
        empty = [window for window, _ in self._empty(wanted)]
        return windows.gaps(wanted.window, held.windows, empty, wanted.step)

    def _empty(self, wanted: Wanted) -> list[tuple[Window, datetime | None]]:
        """Return in which windows the source has nothing, as far as is remembered, and until when."""
        if wanted.request.parameters:
            return []  # it was not put on record with which parameters
        now = wanted.arrival.now
        with self._store.reading() as backend:
            rows = queries.empty(backend, wanted.arrival.entry_id, now)
        return [(windows.opened((start, end), now), until) for start, end, until in rows]

    def _there(self, wanted: Wanted, held: Held) -> Event:
        """Return the event that stored what is held, if it has something of the window."""
        if held.known is None or not windows.common([wanted.step.whole(wanted.window)], held.windows):
            raise self._nothing(wanted)
        return held.known.newest

    def _nothing(self, wanted: Wanted) -> NothingThere:
        label, about = wanted.label, [wanted.step.whole(wanted.window)]
        known = [until for window, until in self._empty(wanted) if until and windows.common([window], about)]
        until = min(known, default=None)
        first, last = windows.closed(about[0])
        when = f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first else f"before {last:%Y-%m-%d}"
        again = f"; it is not asked again before {until:%Y-%m-%d %H:%M} UTC, unless with refresh" if until else ""
        what = f"{label.variable} of {label.station}" if label.station else label.variable
        message = f"{label.source} has no {what} {when}{again}"
        return NothingThere(
            message, reference=what, candidates=[], source=label.source, periods=[windows.closed(about[0])], until=until
        )

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────

    def _fetched(
        self, wanted: Wanted, held: Held, plans: Sequence[_Plan], how: How
    ) -> tuple[Event | None, list[tuple[Asset, str]]]:
        harvest = Harvest(wanted.step)
        try:
            self._ask(wanted, plans, how, harvest)
        except HmpError as error:
            if not harvest.tables or not harvest.answered:
                raise
            now = self._kept(wanted, held, harvest, how)
            if now.known is None or not now.windows or not isinstance(error, DownloadFailed):
                raise
            raise self._partly(wanted, now.known.newest, plans, harvest, error) from error
        if harvest.files:
            return None, harvest.files
        now = self._kept(wanted, held, harvest, how)
        self._fetcher.backoff.obtained(wanted.arrival.entry_id)  # also where there is nothing: it has answered
        return self._there(wanted, now), []

    def _ask(self, wanted: Wanted, plans: Sequence[_Plan], how: How, harvest: Harvest) -> None:
        """Fetch asset by asset; what came before one that fails is in the harvest."""
        ask = self._fetcher.asker(wanted.arrival, how.retry)
        for gap, assets in plans:
            for asset in assets:
                arriving = Arriving(ask)
                with self._fetcher.noting(wanted.arrival), mistakes.named(wanted.source.name, "fetch", asset.uri):
                    wanted.source.fetch(asset, arriving)
                harvest.take(asset, arriving, gap, wanted.arrival.now)
            if assets:  # where nothing is even planned nobody was asked
                harvest.answered.append(gap)

    def _partly(
        self, wanted: Wanted, event: Event, plans: Sequence[_Plan], harvest: Harvest, error: DownloadFailed
    ) -> PartlyFetched:
        left = windows.difference([gap for gap, _ in plans], harvest.answered)
        missing = [windows.closed(window) for window in left]
        listed = ", ".join(f"{first or 'the beginning'} to {last}" for first, last in missing)
        message = f"{error.message}; what came before is kept, still missing of {wanted.label.variable}: {listed}"
        entry = queries.entry_of(event, self._shelf)
        facts = {"uri": error.uri, "reason": error.reason, "status": error.status, "attempts": error.attempts}
        return PartlyFetched(message, **facts, entry=entry, missing=missing)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────

    def _kept(self, wanted: Wanted, held: Held, harvest: Harvest, how: How) -> Held:
        """Store what came, then put on record what there was and what there was not; return what is held now."""
        found = harvest.sorted_out()
        now = self._stored(wanted, held, harvest, found, how) if found.rows else held
        # what is held stays, though its source says nothing at all of it now
        empty = windows.difference(found.empty, now.windows)
        events = [self._answered(wanted, window, count) for window, count in found.held]
        events += [self._answered(wanted, window, 0) for window in empty]
        events += [self._store.prepare("station.described", _described(station)) for station in harvest.stations]
        if events:
            self._store.commit(events)
        return now

    def _stored(self, wanted: Wanted, held: Held, harvest: Harvest, found: Sheaves, how: How) -> Held:
        before = held.rows()
        kept = [moment for moment in before if not any(start <= moment < end for start, end in found.replaced)]
        rows = {moment: before[moment] for moment in kept} | found.rows
        now_held = found.now_held(held.windows)
        request = {
            "source": wanted.source.name,
            "windows": [_plain(window) for window in now_held],
            "answers": harvest.told(),
        }
        arrival = replace(wanted.arrival, request=request, fetched_at=self._clock().isoformat())
        data = chronicle.encoded(rows, wanted.label.variable)
        with self._shelf.incoming.receiving() as file:
            self._shelf.incoming.write(file, data)
            staged = self._shelf.incoming.flushed(file, sha256_bytes(data))
            event = self._intake.accept(staged, arrival)
        if event.payload["provenance"]["fetched_at"] != arrival.fetched_at:  # the same bytes as before
            self._intake.confirm(arrival, always=how.refresh or bool(arrival.failures))
        place = self._shelf.local(event.payload["artifact"]["path"])
        return Held(Known(Sidecar(str(arrival.entry_id), (event,)), event), place, now_held)

    def _answered(self, wanted: Wanted, window: Window, count: int) -> Event:
        label, now = wanted.label, wanted.arrival.now
        said = {
            "variable": label.variable,
            "source": label.source,
            "station_id": label.station,
            "bbox": list(label.bbox) if label.bbox else None,
            "period": _plain(window),
            "state": "held" if count else "empty",
            "n_records": count,
            "expires_at": None if count else (now + _remembered(wanted, window, now)).isoformat(),
            "entry_id": str(wanted.arrival.entry_id),
        }
        return self._store.prepare("source.answered", said)


def kept_windows(request: Mapping[str, Any] | None) -> list[Window]:
    """Return the windows that a version of a series has all rows of, out of its provenance; none for anything else."""
    said = (request or {}).get("windows") or []
    moments = ([value and datetime.fromisoformat(value) for value in window] for window in said)
    return [windows.opened(pair, datetime.max) for pair in moments]


def _planned(wanted: Wanted, asked: Sequence[Window]) -> list[_Plan]:
    for name, usual in _MEMORY.items():  # now: what came would be lost where the answer cannot be put on record
        mistakes.checked_memory(wanted.source, name, usual)
    with mistakes.named(wanted.source.name, "plan"):
        found = [(window, wanted.source.plan(wanted.during(window))) for window in asked]
    return [(window, mistakes.checked_assets(wanted.source.name, assets)) for window, assets in found]


def _plain(window: Window) -> list[str | None]:
    return [moment.isoformat() if moment else None for moment in windows.closed(window)]


def _remembered(wanted: Wanted, window: Window, now: datetime) -> timedelta:
    lately = window[1] > now - _LATELY
    name = "absent_lately_for" if lately else "absent_for"
    return mistakes.checked_memory(wanted.source, name, _MEMORY[name])


def _described(station: Station) -> dict[str, Any]:
    return {name: getattr(station, name) for name in ("source", "variable", "station_id", "name", "lat", "lon", "z")}
