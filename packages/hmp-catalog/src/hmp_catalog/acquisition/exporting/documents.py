"""A run as documents of the event model of Bluesky: start, descriptors, events, where the frames are, and stop."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from hmp_catalog.acquisition.events import free
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
    streams = {uid: (name, loaded(said, "data_keys") or {}, made) for uid, name, said, made in run.stream_rows()}
    images = {name: run.images(name) for name in run.fields}
    seen = _samples(run)
    for uid, (name, keys, made) in streams.items():
        yield "descriptor", _descriptor(run, (uid, name, made), keys, seen.get(uid, {}), images)
    for uid in streams:
        for found in images.values():
            yield from _resource(run, uid, found.of_stream(uid))
    last, counts = run.time_start, {name: 0 for name, _, _ in streams.values()}
    for event in run.batches():
        if event.stream_uid not in streams:
            continue  # of a stream that began meanwhile, which nobody was told of
        last, counts[event.stream] = event.time, counts[event.stream] + 1
        yield "event", _event(event, images)
    if status != RUNNING:
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
        "sample": None if sample is None else asdict(sample),
    }
    return words.metadata(run.metadata) | {name: value for name, value in said.items() if value is not None}


def _descriptor(
    run: Run,
    stream: tuple[str, str, float],
    keys: Mapping[str, Any],
    seen: Mapping[str, Any],
    images: Mapping[str, LazyImageSequence],
) -> dict[str, Any]:
    uid, name, made = stream
    of_stream = {field: found.of_stream(uid) for field, found in images.items()}
    fields = {field: found for field, found in of_stream.items() if len(found)}
    in_events = {key for key in [*keys, *seen] if key not in fields or key in seen}
    said = {free(key, images): words.data_key(keys.get(key), seen.get(key)) for key in sorted(in_events)}
    for field, found in fields.items():
        said[field] = words.frame_key(keys.get(field), found.shape[1:], found.dtype.str)
    return {"uid": uid, "run_start": run.uid, "time": made, "name": name, "data_keys": said}


def _samples(run: Run) -> dict[str, dict[str, Any]]:
    """Return a value of each key of each stream."""
    found: dict[str, dict[str, Any]] = {}
    for event in run.batches():
        known = found.setdefault(event.stream_uid, {})
        for key, value in event.data.items():
            if known.get(key) is None:
                known[key] = value
    return found


def _resource(run: Run, stream: str, images: LazyImageSequence) -> Iterator[Document]:
    """Yield where the frames of a stream are, and which of them are those of which events."""
    if not len(images):
        return
    uid = f"{stream}/{images.field}"
    height, width = images.shape[1:]
    # Bluesky writes the host out; the path is percent-encoded
    yield (
        "stream_resource",
        {
            "uid": uid,
            "run_start": run.uid,
            "data_key": images.field,
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
                "descriptor": stream,
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


def _event(event: Event, images: Mapping[str, LazyImageSequence]) -> dict[str, Any]:
    data = {free(key, images): value for key, value in event.data.items()}
    said = {free(key, images) if key in event.data else key: value for key, value in event.timestamps.items()}
    return {
        "uid": event.uid,
        "descriptor": event.stream_uid,
        "seq_num": event.seq_num,
        "time": event.time,
        "data": data,
        "timestamps": dict.fromkeys(data, event.time) | said,
        "filled": {},
    }


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
