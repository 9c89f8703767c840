"""Which frames a field of a run has: where each lies, and of which event it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.stack import Kind, Placed
from hmp_catalog.errors import LostFrames
from hmp_core.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


#: Frames that an error counts up.
_SOME = 5


@dataclass(frozen=True)
class Frames:
    """The frames of a field, in the order in which they lie in their array.

    ``opened`` says where those lie whose shard is not closed yet, by their place in the array. ``others`` are those
    that an old file says to have another shape or type than their array, by their number here.
    """

    run: str
    field: str
    folder: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    positions: Numbers
    seq_nums: Numbers
    streams: NDArray[np.object_]
    opened: Mapping[int, Placed] = dataclasses.field(default_factory=dict)
    others: Mapping[int, str] = dataclasses.field(default_factory=dict)
    in_ranges: bool = True

    def of_stream(self, uid: str) -> Frames:
        """Return the frames of the events of one stream."""
        kept = np.flatnonzero(self.streams == uid)
        others = {new: self.others[old] for new, old in enumerate(kept.tolist()) if old in self.others}
        taken = {name: getattr(self, name)[kept] for name in ("positions", "seq_nums", "streams")}
        return replace(self, **taken, others=others)


def frames_of(reading: Reading, run: str, name: str, kind: tuple[tuple[int, int], str]) -> Frames:
    """Return the frames of a field as they are now.

    Parameters
    ----------
    kind
        Shape and type where there are none.
    """
    with reading.snapshot():
        ranges = reading.ask("ranges_of", [run, name]) if reading.knows_ranges else []
        opened = reading.ask("open_of", [run, name]) if reading.knows_ranges else []
        refs = [] if ranges or opened else reading.ask("refs_of", [run, name])
    if refs:
        return _of_refs(reading, run, name, refs)
    group = ranges[0][0] if ranges else f"runs/{run}/{name}"
    folder = _folder(reading, group)
    if ranges:
        shape, dtype = (ranges[0][5], ranges[0][6]), ranges[0][7]
    else:
        shape, dtype = _of_array(run, name, folder, [row[0] for row in opened]) if opened else kind
    counts = [stop - start for _, start, stop, *_ in ranges]
    positions = [np.arange(start, stop) for _, start, stop, *_ in ranges]
    numbers = [seq + np.arange(count) for (_, _, _, seq, *_), count in zip(ranges, counts, strict=True)]
    streams = [uid for (*_, uid, _, _, _), count in zip(ranges, counts, strict=True) for _ in range(count)]
    return Frames(
        run, name, folder, shape, _dtype(dtype, name),
        np.concatenate([*positions, [row[0] for row in opened]]).astype(np.int64),
        np.concatenate([*numbers, [row[5] for row in opened]]).astype(np.int64),
        np.array([*streams, *(row[4] for row in opened)], dtype=object),
        {row[0]: Placed(*row[:4]) for row in opened},
    )  # fmt: skip


def lost(run: str, name: str, folder: Path, positions: Sequence[int], why: object) -> LostFrames:
    """Return the error that says which frames of which run cannot be read."""
    some = ", ".join(str(position) for position in positions[:_SOME]) + (", ..." if len(positions) > _SOME else "")
    message = (
        f"run {run}, field {name}: frame{'s' if len(positions) > 1 else ''} {some} cannot be read: {why}; "
        f"restore {folder} from a backup"
    )
    return LostFrames(message, path=str(folder), run=run, field=name, frames=tuple(positions))


def _of_array(run: str, name: str, folder: Path, positions: list[int]) -> tuple[tuple[int, int], str]:
    """Return what the array says of its frames: no range of them is closed yet."""
    try:
        kind = Kind.read(folder)
    except (CorruptError, OSError) as error:
        raise lost(run, name, folder, positions, error) from error
    return kind.shape, kind.dtype.str


def _of_refs(reading: Reading, run: str, name: str, refs: list[tuple[Any, ...]]) -> Frames:
    """Return frames that have a row each; their array has the shape of the last, and the type of the first."""
    group = refs[0][0]
    came = sorted(refs, key=lambda row: int(row[1]))
    height, width, dtype = came[-1][2], came[-1][3], came[0][4]
    others = {n: f"{row[2]} x {row[3]} {row[4]}" for n, row in enumerate(refs) if row[2:5] != (height, width, dtype)}
    if {row[0] for row in refs} != {group}:
        message = f"{reading.path}: the frames of {name} of run {run} lie in several arrays"
        raise CorruptError(message, path=str(reading.path))
    return Frames(
        run, name, _folder(reading, group), (height, width), _dtype(dtype, name),
        np.array([row[1] for row in refs], np.int64), np.array([row[6] for row in refs], np.int64),
        np.array([row[5] for row in refs], dtype=object), others=others, in_ranges=False,
    )  # fmt: skip


def _folder(reading: Reading, group: str) -> Path:
    inside = PurePosixPath(group)
    if inside.is_absolute() or ".." in inside.parts:
        message = f"{reading.path}: {group!r} is no array of its Zarr group"
        raise CorruptError(message, path=str(reading.path))
    return reading.zarr / inside


def _dtype(said: str, name: str) -> np.dtype[Any]:
    try:
        return np.dtype(said)
    except TypeError as error:
        message = f"{name}: frames of {said!r} are not known"
        raise CorruptError(message, path=name) from error
