"""A run as documents of the event model of Bluesky: start, descriptors, events, where the frames are, and stop."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from hmp_catalog.acquisition.exporting import words
from hmp_catalog.acquisition.records import INTERRUPTED, RUNNING
from hmp_catalog.acquisition.values import loaded

if TYPE_CHECKING:
    from hmp_catalog.acquisition.events import Event
    from hmp_catalog.acquisition.images import LazyImageSequence
    from hmp_catalog.acquisition.run import Run

    Document = tuple[str, dict[str, Any]]

_SIZES = 2


def documents(run: Run) -> Iterator[Document]:
    """Yield a run as documents; see `Run.documents`."""
    status = run.exit_status  # asked first: a run that ends meanwhile just lacks its stop
    yield "start", _start(run)
    images = {name: run.images(name) for name in run.fields}
    seen = _samples(run)
    streams = {row[0]: _Stream(row, seen.get(row[0], {}), images) for row in run.stream_rows()}
    for stream in streams.values():
        yield "descriptor", stream.descriptor(run.uid)
    for stream in streams.values():
        for field, found in stream.images.items():
            yield from _resource(run.uid, stream, field, found)
    last = run.time_start
    for event in run.batches():
        if event.stream_uid in streams:  # else of one that began meanwhile, which nobody was told of
            last = event.time
            yield "event", streams[event.stream_uid].event(event)
    if status != RUNNING:
        counts = {stream.name: 0 for stream in streams.values()}
        for stream in streams.values():
            counts[stream.name] += stream.count
        yield "stop", _stop(run, last, counts)


def frame_kind(about: Mapping[str, Any]) -> tuple[tuple[int, int], str]:
    """Return the shape and the type of frames that a stream announced; of none and numbers where it did not say."""
    shape = about.get("shape")
    sizes = [size for size in shape if isinstance(size, int)] if isinstance(shape, list) else []
    said = about.get("dtype_numpy")
    try:
        dtype = np.dtype(said).str if isinstance(said, str) else "<f8"
    except TypeError:
        dtype = "<f8"
    return ((sizes[-2], sizes[-1]) if len(sizes) >= _SIZES else (0, 0)), dtype


# ── the documents ────────────────────────────────────────────────────────────────────────────────────


def _start(run: Run) -> dict[str, Any]:
    sample = run.sample
    said = {
        "uid": run.uid,
        "time": run.time_start,
        "plan_name": run.plan_name,
        "scan_id": run.scan_id,
        "operator": run.operator,
        "sample": None if sample is None else words.sample(asdict(sample)),
    }
    return words.metadata(run.metadata) | {name: value for name, value in said.items() if value is not None}


class _Stream:
    """A stream, and what its keys and fields are called in documents."""

    def __init__(self, row: tuple[Any, ...], seen: Mapping[str, Any], images: Mapping[str, LazyImageSequence]) -> None:
        self.uid, name, said, self._made = row
        self.name = words.plain_name(name)
        self._keys = loaded(said, "data_keys") or {}
        self._seen = seen
        of_stream = {field: found.of_stream(self.uid) for field, found in images.items()}
        self.images = {field: found for field, found in of_stream.items() if len(found)}
        in_events = sorted({key for key in [*self._keys, *seen] if key not in self.images or key in seen})
        self.fields, self._names = words.names(self.images, in_events)
        self.count = 0

    def descriptor(self, run: str) -> dict[str, Any]:
        """Return what its events may hold."""
        said = {
            name: words.data_key(self._keys.get(key), self._seen.get(key)) | _renamed(key, name)
            for key, name in self._names.items()
        }
        for field, found in self.images.items():
            name = self.fields[field]
            said[name] = words.frame_key(self._keys.get(field), found.shape[1:], found.dtype.str)
            said[name] |= _renamed(field, name)
        return {"uid": self.uid, "run_start": run, "time": self._made, "name": self.name, "data_keys": said}

    def event(self, event: Event) -> dict[str, Any]:
        """Return an event, and count it."""
        self.count += 1
        data = {self._names.get(key, key): value for key, value in event.data.items()}
        said = {self._names.get(key, key): value for key, value in event.timestamps.items()}
        return {
            "uid": event.uid,
            "descriptor": self.uid,
            "seq_num": event.seq_num,
            "time": event.time,
            "data": data,
            "timestamps": dict.fromkeys(data, event.time) | said,
            "filled": {},
        }


def _renamed(original: str, name: str) -> dict[str, str]:
    return {} if original == name else {"declared_name": original}


def _samples(run: Run) -> dict[str, dict[str, Any]]:
    """Return a value of each key of each stream."""
    found: dict[str, dict[str, Any]] = {}
    for event in run.batches():
        known = found.setdefault(event.stream_uid, {})
        for key, value in event.data.items():
            if known.get(key) is None:
                known[key] = value
    return found


def _resource(run: str, stream: _Stream, field: str, images: LazyImageSequence) -> Iterator[Document]:
    """Yield where the frames of a stream are, and which of them are those of which events."""
    uid = f"{stream.uid}/{field}"
    height, width = images.shape[1:]
    # Bluesky writes the host out; the path is percent-encoded
    yield (
        "stream_resource",
        {
            "uid": uid,
            "run_start": run,
            "data_key": stream.fields[field],
            "mimetype": "application/x-zarr",
            "uri": f"file://localhost{quote(images.folder.as_posix())}",
            "parameters": {"chunk_shape": [1, height, width], "swmr": False},
        },
    )
    for number, (start, seq, count) in enumerate(_ranges(images)):
        yield (
            "stream_datum",
            {
                "uid": f"{uid}/{number}",
                "stream_resource": uid,
                "descriptor": stream.uid,
                "indices": {"start": start, "stop": start + count},
                "seq_nums": {"start": seq, "stop": seq + count},
            },
        )


def _ranges(images: LazyImageSequence) -> Iterator[tuple[int, int, int]]:
    """Yield frames that follow one another as their events do: place of the first, its event, how many."""
    places, seqs = images.positions, images.seq_nums
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(seqs) != 1)) + 1
    edges = [0, *breaks.tolist(), len(places)]
    for begin, end in itertools.pairwise(edges):
        yield int(places[begin]), int(seqs[begin]), end - begin


def _stop(run: Run, last: float, counts: Mapping[str, int]) -> dict[str, Any]:
    status = run.exit_status
    why = run.reason or ("its writer ended without a word" if status == INTERRUPTED else "")
    return {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"hmp:acquisition/{run.uid}/stop")),
        "run_start": run.uid,
        "time": last if run.time_stop is None else run.time_stop,
        "exit_status": words.exit_status(status),
        "num_events": dict(counts),
    } | ({"reason": why} if why else {})
