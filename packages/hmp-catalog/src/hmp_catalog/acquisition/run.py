"""`Run`: one run of a session, to be read: what is known of it, its events, its frames; also while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition import events as tables
from hmp_catalog.acquisition.events import Event
from hmp_catalog.acquisition.exporting import arrays, documents, netcdf
from hmp_catalog.acquisition.frames import frames_of
from hmp_catalog.acquisition.images import LazyImageSequence
from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.records import RUNNING
from hmp_catalog.acquisition.samples import sample_of
from hmp_catalog.acquisition.values import loaded
from hmp_catalog.plain import real
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from upath import UPath

    from hmp_catalog.acquisition.records import SampleMetadata

#: Events that are read at a time.
_BATCH = 1000


class Run:
    """A run as `Catalog` found it. What is said of one that goes on is what is so at that moment.

    Parameters
    ----------
    reading : Reading
        The session.
    uid : str
        The run.
    """

    def __init__(self, reading: Reading, uid: str) -> None:
        self._reading = reading
        self._uid = uid
        self._ended: dict[str, Any] | None = None

    # ── what is known of it ──────────────────────────────────────────────────────────────────────────

    @property
    def uid(self) -> str:
        """32 hexadecimal digits."""
        return self._uid

    @property
    def path(self) -> Path:
        """The session file."""
        return self._reading.path

    @property
    def plan_name(self) -> str:
        """What was done."""
        return str(self._row["plan_name"])

    @property
    def scan_id(self) -> int | None:
        """Its number in the session, if it has one."""
        found: int | None = self._row["scan_id"]
        return found

    @property
    def time_start(self) -> float:
        """When it began, in seconds since 1970 (UTC)."""
        return float(self._row["time_start"])

    @property
    def time_stop(self) -> float | None:
        """When it ended; None if it has not, or nobody wrote it down."""
        found: float | None = self._row["time_stop"]
        return found

    @property
    def exit_status(self) -> str:
        """How it ended: ``success``, ``failed``, ``aborted``, ``interrupted`` where its writer died; or ``running``."""
        return str(self._row["status"])

    @property
    def reason(self) -> str | None:
        """Why it ended so."""
        found: str | None = self._row["reason"]
        return found

    @property
    def operator(self) -> str | None:
        """Who did it."""
        found: str | None = self._row["operator"]
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        """Whatever else was said of it."""
        return loaded(self._row["metadata"], f"metadata of run {self.uid}") or {}

    @property
    def provenance(self) -> dict[str, Any]:
        """What wrote it, and on which kind of machine."""
        return loaded(self._row["provenance"], f"provenance of run {self.uid}") or {}

    @property
    def num_events(self) -> int:
        """How many events it has, of all streams."""
        return int(self._row["num_events"])

    @property
    def sample(self) -> SampleMetadata | None:
        """What was measured."""
        found = self._reading.ask("sample_of_run", [self.uid])
        return sample_of(found[0]) if found else None

    @property
    def streams(self) -> list[str]:
        """The names of its streams, in the order in which they began."""
        return list(dict.fromkeys(name for _, name, *_ in self.stream_rows()))

    @property
    def fields(self) -> list[str]:
        """The fields that it has frames of."""
        return [name for (name,) in self._reading.ask("fields", [self.uid])]

    @property
    def events_by_stream(self) -> dict[str, int]:
        """How many events each of its streams has."""
        return {name: count for name, count, _ in self._reading.ask("counts_by_stream", [self.uid])}

    def data_keys(self, stream: str = "primary") -> dict[str, Any]:
        """Return what the events of a stream may hold: key -> its description.

        Raises
        ------
        NotFound
            If the run has no such stream; its streams are named.
        """
        self._require_stream(stream)
        found: dict[str, Any] = {}
        for _, name, said, _ in self.stream_rows():
            found |= loaded(said, f"data_keys of {stream}") or {} if name == stream else {}
        return found

    # ── events ───────────────────────────────────────────────────────────────────────────────────────

    def table(self, stream: str = "primary") -> pd.DataFrame:
        """Return the events of a stream: ``seq_num``, ``time``, then their keys; NaN where an event has not all.

        A key that is itself called ``time`` or ``seq_num`` comes as ``data_time`` or ``data_seq_num``.

        Raises
        ------
        NotFound
            If the run has no such stream; its streams are named.
        """
        return tables.table(self._events_of(stream), f"data of run {self.uid}")

    def timestamps(self, stream: str = "primary") -> pd.DataFrame:
        """Return when each key of each event was read, in seconds since 1970: ``seq_num``, then the keys.

        Raises
        ------
        NotFound
            If the run has no such stream; its streams are named.
        """
        return tables.timestamps(self._events_of(stream), f"timestamps of run {self.uid}")

    def events(self, stream: str | None = None) -> list[Event]:
        """Return the events of a stream, or of all of them, in the order in which they came.

        Raises
        ------
        NotFound
            If the run has no such stream; its streams are named.
        """
        if stream is not None:
            self._require_stream(stream)
        return [event for event in self.batches() if stream is None or event.stream == stream]

    def follow(self, poll: float = 0.2, *, backlog: bool = True) -> Iterator[Event]:
        """Yield the events as they come, until the run has ended; those that are there already first.

        Any number of readers may follow; none of them keeps the writer waiting.

        Parameters
        ----------
        poll
            Seconds between two looks.
        backlog
            Begin with the first event; else with the first that comes from now on.

        Raises
        ------
        InvalidInput
            If ``poll`` is not positive.
        """
        if not 0 < real(poll, "poll") < float("inf"):
            message = f"poll is {poll}, expected seconds"
            raise InvalidInput(message)
        return self._follow(poll, self._place(backlog=backlog))

    def _follow(self, poll: float, place: int) -> Iterator[Event]:
        while True:
            with self._reading.snapshot():
                running = self.exit_status == RUNNING
                place, found = self._after(place)
            yield from found
            if len(found) == _BATCH:
                continue
            if not running:
                return
            time.sleep(poll)

    # ── frames ───────────────────────────────────────────────────────────────────────────────────────

    def images(self, field: str = "detector_image") -> LazyImageSequence:
        """Return the frames of a field, as many as there are now; they are read when they are asked for.

        Raises
        ------
        NotFound
            If the run has no such field; those that it has are named. One that was announced as ``external`` by a
            stream, and has no frames yet, is empty.
        """
        with self._reading.snapshot():
            fields = self.fields
            announced = self._announced()
            if not isinstance(field, str) or field not in {*fields, *announced}:
                known = sorted({*fields, *announced})
                message = f"run {self.uid} has no frames of {field!r}; it has fields: {', '.join(known) or 'none'}"
                raise NotFound(message, reference=str(field), candidates=known)
            return LazyImageSequence(frames_of(self._reading, self.uid, field, announced.get(field, ((0, 0), "<f8"))))

    def _announced(self) -> dict[str, tuple[tuple[int, int], str]]:
        """Return the fields whose frames lie elsewhere than in the events: their shape and type, if they were said."""
        found = {}
        for _, _, said, _ in self.stream_rows():
            for key, about in (loaded(said, "data_keys") or {}).items():
                if isinstance(about, dict) and about.get("external"):
                    found[str(key)] = documents.frame_kind(about)
        return found

    # ── export ───────────────────────────────────────────────────────────────────────────────────────

    def to_xarray(self, stream: str = "primary") -> xr.Dataset:
        """Return a stream as a data set: its keys and fields along ``event``; frames are read later if dask is there.

        The frames of a field have the dimensions ``<field>_y`` and ``<field>_x``. Where not each event has one, they
        lie along ``<field>_frame``, and ``<field>_seq_num`` says of which event each is.

        Raises
        ------
        NotFound
            If the run has no such stream; its streams are named.
        LostFrames
            If frames cannot be read; with dask, when they are.
        """
        return arrays.to_xarray(self, stream)

    def to_netcdf(self, path: str | Path | UPath, stream: str = "primary") -> None:
        """Write a stream to a new netCDF-4 file, whole or not at all; see `to_xarray`.

        Raises
        ------
        PathTaken
            If there is something already.
        MissingPart
            If ``hmp-catalog[datasets]`` is not installed.
        NotFound, LostFrames, StorageError, NotWritable, PathNotFound
            If there is no such stream, frames cannot be read, or the file cannot be written.
        """
        netcdf.to_netcdf(self, path, stream)

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the run as documents of the event model of Bluesky: (name, document).

        Frames stay where they are: ``stream_resource`` names their array, ``stream_datum`` ranges of it. A run that
        goes on has no ``stop`` yet. An event that lacks the time of a key has its own there.
        """
        return documents.documents(self)

    # ── for the rooms beside this one ────────────────────────────────────────────────────────────────

    def stream_rows(self) -> list[tuple[Any, ...]]:
        """Return the streams as they are kept: uid, name, data_keys, time_created."""
        return self._reading.ask("streams_of", [self.uid])

    def batches(self) -> Iterator[Event]:
        """Yield the events of all streams that are there, as they came, in as much memory as some of them take."""
        place = self._place(backlog=True)
        while True:
            place, found = self._after(place)
            yield from found
            if len(found) < _BATCH:
                return

    def _place(self, *, backlog: bool) -> int:
        asked: tuple[str, list[Any]] = ("before_first_event", [self.uid]) if backlog else ("last_event", [])
        ((place,),) = self._reading.ask(*asked)
        return int(place)

    def _after(self, place: int) -> tuple[int, list[Event]]:
        """Return the next events behind a place, and the place behind them."""
        with self._reading.snapshot():
            names = {uid: name for uid, name, *_ in self.stream_rows()}
            rows = self._reading.ask("events_after", [self.uid, place, _BATCH])
        where = f"run {self.uid}"
        found = [
            Event(uid, names[stream], stream, seq, moment, loaded(data, where) or {}, loaded(said, where) or {})
            for _, uid, stream, seq, moment, data, said in rows
        ]
        return (rows[-1][0] if rows else place), found

    def _events_of(self, stream: str) -> list[Any]:
        with self._reading.snapshot():
            self._require_stream(stream)
            return self._reading.ask("events_of_stream", [self.uid, stream])

    def _require_stream(self, stream: str) -> None:
        known = self.streams
        if stream not in known:
            message = f"run {self.uid} has no stream {stream!r}; it has {', '.join(known) or 'none'}"
            raise NotFound(message, reference=str(stream), candidates=known)

    @property
    def _row(self) -> dict[str, Any]:
        if self._ended is not None:
            return self._ended
        found = self._reading.runs(" WHERE uid = $1", [self.uid])
        if not found:
            message = f"{self.path} has no run {self.uid} any more"
            raise NotFound(message, reference=self.uid, candidates=[])
        if found[0]["exit_status"] is not None:
            self._ended = found[0]
        return found[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.uid[:8]} {self.plan_name} {self.exit_status}>"
