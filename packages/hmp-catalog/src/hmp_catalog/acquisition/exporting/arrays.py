"""A stream of a run as a data set of xarray: its keys, its frames, and all that is known of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition.events import SEQ, TIME, free
from hmp_catalog.acquisition.values import kept

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from hmp_catalog.acquisition.images import LazyImageSequence
    from hmp_catalog.acquisition.run import Run

#: The dimension of the events.
EVENT = "event"

#: Attributes by which a file is decoded: what somebody said of a key under these names goes under another.
_MEANT = frozenset({"dtype", "shape", "_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"})
_MEANT |= {"coordinates", "calendar", "grid_mapping", "bounds", "ancillary_variables", "cell_measures", "flag_values"}
_MEANT |= {"flag_meanings", "flag_masks", "compress", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "hmp_json"}

#: Frames in a block, where they are read later: a shard of them.
_BLOCK = 64


def to_xarray(run: Run, stream: str) -> xr.Dataset:
    """Return a stream as a data set; see `Run.to_xarray`."""
    import xarray as xr

    keys = run.data_keys(stream)
    events = sorted(run.events(stream), key=lambda event: event.seq_num)
    numbers = np.array([event.seq_num for event in events], np.int64)
    coords: dict[str, Any] = {
        SEQ: (EVENT, numbers, {"long_name": "number of the event in its stream"}),
        TIME: (EVENT, _instants([event.time for event in events]), {"standard_name": "time"}),
    }
    variables: dict[str, Any] = {}
    for name, images in _images(run, stream).items():
        found, numbered = _frames(images, numbers)
        variables[name] = (*found, attributes(keys.get(name)))
        coords |= numbered
    taken = {EVENT, *coords, *variables, *(dim for dims, *_ in variables.values() for dim in dims)}
    for key in dict.fromkeys(key for event in events for key in event.data):
        name = free(key, taken)
        taken.add(name)
        values = [event.data.get(key) for event in events]
        variables[name] = _variable(name, values, keys.get(key))
    return xr.Dataset(variables, coords, _of_run(run, stream))


def attributes(about: Any) -> dict[str, Any]:
    """Return what was said of a key as attributes that a file can keep."""
    said = about if isinstance(about, Mapping) else {}
    flat = {str(name): _attribute(value) for name, value in said.items() if value is not None}
    return {(f"described_{name}" if name in _MEANT or not name else name): value for name, value in flat.items()}


def _attribute(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return value
    return value if isinstance(value, (str, float)) else json.dumps(kept(value, "an attribute"))


def _of_run(run: Run, stream: str) -> dict[str, Any]:
    """Return what is known of a run."""
    sample = run.sample
    said: dict[str, Any] = {
        "run_uid": run.uid,
        "stream": stream,
        "plan_name": run.plan_name,
        "scan_id": run.scan_id,
        "operator": run.operator,
        "exit_status": run.exit_status,
        "reason": run.reason,
        "time_start": _iso(run.time_start),
        "time_stop": None if run.time_stop is None else _iso(run.time_stop),
        "sample_name": None if sample is None else sample.name,
        "sample": None if sample is None else asdict(sample),
        "metadata": run.metadata or None,
    }
    return {name: _attribute(value) for name, value in said.items() if value is not None}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _instants(seconds: Sequence[float]) -> NDArray[np.datetime64]:
    found: NDArray[np.datetime64] = np.round(np.array(seconds, float) * 1e6).astype("int64").astype("datetime64[us]")
    return found


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────


def _images(run: Run, stream: str) -> dict[str, LazyImageSequence]:
    """Return the frames of each field that are of the events of a stream."""
    uids = [uid for uid, name, *_ in run.stream_rows() if name == stream]
    found = {name: run.images(name).of_stream(uid) for name in run.fields for uid in uids}
    return {name: images for name, images in found.items() if len(images)}


def _frames(images: LazyImageSequence, numbers: NDArray[np.int64]) -> tuple[tuple[Any, Any], dict[str, Any]]:
    """Return the dimensions and the pixels of frames, and the coordinates that they need beside those of the events."""
    name = images.field
    each_has_one = np.array_equal(images.seq_nums, numbers)
    first = EVENT if each_has_one else f"{name}_frame"
    numbered = {} if each_has_one else {f"{name}_{SEQ}": (first, images.seq_nums)}
    return ((first, f"{name}_y", f"{name}_x"), _pixels(images)), numbered


def _pixels(images: LazyImageSequence) -> Any:
    try:
        import dask.array as da
    except ImportError:
        return np.asarray(images)
    blocks = (_BLOCK, *images.shape[1:])
    # what stands for a type says that no frame has to be read to know it
    return da.from_array(images, blocks, name=False, asarray=False, meta=np.empty((0, 0, 0), images.dtype))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────


def _variable(name: str, values: Sequence[Any], about: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return the dimensions, the values and the attributes of a key."""
    said = attributes(about)
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if kinds <= {int, float, bool} and there:
        return EVENT, _numbers(values, kinds, complete=len(there) == len(values)), said
    if kinds == {str}:
        return EVENT, np.array(["" if value is None else value for value in values], dtype=object), said
    if kinds == {list} and len(there) == len(values) and (found := _matrix(values)) is not None:
        return (EVENT, *(f"{name}_dim_{n}" for n in range(found.ndim - 1))), found, said
    # text that JSON makes values of again
    told = [json.dumps(kept(value, name)) for value in values]
    return EVENT, np.array(told, dtype=object), said | {"hmp_json": 1}


def _numbers(values: Sequence[Any], kinds: set[type], *, complete: bool) -> NDArray[Any]:
    if complete and kinds == {bool}:
        return np.array(values, bool)
    if complete and kinds == {int} and all(-(1 << 63) <= value < 1 << 63 for value in values):
        return np.array(values, np.int64)
    if complete and kinds == {int} and all(0 <= value < 1 << 64 for value in values):
        return np.array(values, np.uint64)
    return np.array([np.nan if value is None else float(value) for value in values], float)


def _matrix(values: Sequence[Any]) -> NDArray[Any] | None:
    """Return lists of numbers of one shape as an array; None for any others."""
    try:
        found = np.array(values)
    except (ValueError, OverflowError):
        return None
    return found if found.dtype.kind in "biuf" and found.size else None
