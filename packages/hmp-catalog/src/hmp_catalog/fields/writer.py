"""Fields going into a store: cut into chunks, gathered into shards, compressed, one file after another.

A field that grows step by step waits in memory until it fills a file (64 MiB at most), so that 4,000 steps
are not 4,000 files and no chunk is written twice. The result does not depend on how the steps were handed
over: appended one by one or written at once, the bytes are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import schema
from hmp_catalog.fields.codecs import checksummed
from hmp_catalog.fields.dimensions import Dimensions
from hmp_catalog.fields.mesh import Mesh
from hmp_catalog.fields.times import instants
from hmp_catalog.fields.values import Field, slab
from hmp_core.durable import translated
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import zarr

    from hmp_catalog.fields.values import Values


@dataclass
class Growing:
    """A field that is appended to: what is on disk, and what waits until ``full`` steps fill a file."""

    name: str
    dims: tuple[str, ...]
    dtype: np.dtype[Any]
    step_shape: tuple[int, ...]
    attributes: dict[str, Any]
    full: int
    steps: int = 0
    written: int = 0
    waiting: list[Values] = field(default_factory=list)
    array: zarr.Array[Any] | None = None


class StoreWriter:
    """Writes the fields of one new store. Nothing is readable before the finalizer has sealed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dimensions = Dimensions()
        self.lengths: dict[str, tuple[str, int]] = {}
        self.growing: dict[str, Growing] = {}
        self.whole: dict[str, Growing] = {}
        self.meshes: dict[str, Mesh] = {}

    def add_mesh(self, mesh: Mesh) -> None:
        """Take a mesh; its variables are written at the end.

        Raises
        ------
        InvalidInput
            A name that is taken, or cells of another number than the fields along their dimension have.
        """
        draft = self.dimensions.draft()
        draft.describe([each.name for each in mesh.variables], mesh.sizes, mesh.name)
        self.dimensions, self.meshes[mesh.dim] = draft, mesh

    def write(self, new: Field) -> None:
        """Write a whole field, or further steps of one whose first dimension is time.

        Raises
        ------
        InvalidInput
            What does not fit the array, the store or its other fields; the store is as it was before.
        StorageError
            If the disk is full or fails.
        """
        if new.along == 0 and (new.name in self.whole or new.name in self.growing):
            self.append(new)
            return
        shape = tuple(int(n) for n in new.array.shape)
        attributes = schema.variable_attributes(new.name, new.units, new.attributes)
        draft = self._admitted(new, shape)
        if new.along is not None:
            self._place_all(new, draft, shape[new.along])
        self._write_slabs(new, shape, attributes)
        self.dimensions = draft
        if new.along is not None:
            self.lengths[new.name] = (new.dims[new.along], shape[new.along])
        if new.along == 0:
            self.whole[new.name] = replace(_begun(new), steps=shape[0], written=shape[0])

    def append(self, new: Field) -> None:
        """Append steps to a field, which the first call begins.

        Raises
        ------
        InvalidInput
            Steps that differ in shape, type, dimensions or attributes from those before, or times that do
            not go on; nothing of this call is kept.
        StorageError
            If the disk is full or fails.
        """
        new = _with_time_axis(new)
        known = self.growing.get(new.name) or self.whole.get(new.name)
        draft = self.dimensions
        if known is None:
            draft = self._admitted(new, tuple(new.array.shape))
            known = _begun(new)
        else:
            _refuse_other_kind(known, new)
            draft = draft.draft() if new.coords else draft
            draft.tell(new)
        steps = int(new.array.shape[0])
        values = slab(new, 0, steps, known.dtype)
        times = _times_of(new, steps)
        self._placed(draft, known, times)
        if self.whole.pop(new.name, None):
            self._reopen(known)
        self.dimensions, self.growing[new.name] = draft, known
        known.waiting.append(values)
        known.steps += steps
        self.lengths[new.name] = (new.dims[0], known.steps)
        self._flush_full(known)

    def flush(self) -> None:
        """Write what still waits in memory."""
        for known in self.growing.values():
            if known.waiting:
                self._extend(known, _joined(known.waiting))
                known.waiting = []

    # ── fitting in ───────────────────────────────────────────────────────────────────────────────────

    def _admitted(self, new: Field, shape: tuple[int, ...]) -> Dimensions:
        if len(shape) != len(new.dims):
            message = (
                f"{new.name}: {len(shape)} dimensions of sizes {shape}, but {len(new.dims)} names {new.dims}; "
                'name each once, as dims=("y", "x")'
            )
            raise InvalidInput(message)
        draft = self.dimensions.draft()
        draft.admit(new, tuple(n for n, dim in zip(shape, new.dims, strict=True) if not schema.is_time(dim)))
        return draft

    def _place_all(self, new: Field, draft: Dimensions, steps: int) -> None:
        dim = new.dims[new.along or 0]
        axis = draft.times[dim]
        if new.time is not None:
            axis.place(0, _times_of(new, steps), new.name)
        if len(axis.steps) != steps or not steps:
            message = f"{new.name}: {steps} steps, but {dim!r} has {len(axis.steps)}; give one time for each as time="
            raise InvalidInput(message)
        # an axis on which another field still grows stays open
        axis.closed = axis.closed or all(known.dims[0] != dim for known in self.growing.values())

    @staticmethod
    def _placed(draft: Dimensions, known: Growing, times: Any) -> None:
        """Place the times of further steps; an axis that was complete is not, once the field that closed it goes on."""
        axis = draft.times[known.dims[0]]
        closed = axis.closed
        axis.closed = closed and len(axis.steps) != known.steps
        try:
            axis.place(known.steps, times, known.name)
        except InvalidInput:
            axis.closed = closed
            raise

    # ── onto the disk ────────────────────────────────────────────────────────────────────────────────

    def _write_slabs(self, new: Field, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
        dtype, along = new.dtype, new.by_steps
        cut = schema.layout(shape, dtype.itemsize, along)
        steps = 1 if along is None else shape[along]
        stride = steps if along is None else cut.file[along]
        try:
            target = self._create(new.name, new.dims, shape, dtype, cut, attributes)
            for start in range(0, steps, stride):
                stop = min(start + stride, steps)
                index = tuple(slice(start, stop) if d == along else slice(None) for d in range(len(shape)))
                values = slab(new, start, stop, dtype, kept=False)
                with translated(self.path / new.name):
                    target[index or ...] = values
        except BaseException:
            shutil.rmtree(self.path / new.name, ignore_errors=True)
            raise

    def _flush_full(self, known: Growing) -> None:
        if known.steps - known.written < known.full:
            return
        values = _joined(known.waiting)
        whole = len(values) // known.full * known.full
        for start in range(0, whole, known.full):
            self._extend(known, values[start : start + known.full])
        known.waiting = [values[whole:].copy()] if whole < len(values) else []

    def _reopen(self, known: Growing) -> None:
        """Let a field that was written go on: what does not fill its last file waits in memory again."""
        import zarr
        from zarr.storage import LocalStore

        kept = known.steps // known.full * known.full
        with translated(self.path / known.name):
            array = zarr.open_array(LocalStore(self.path), path=known.name, mode="r+", zarr_format=3)
            array = array.with_config({"write_empty_chunks": True})
            known.waiting = [array[kept:]] if kept < known.steps else []
            known.written = kept
            if kept:
                known.array = array
            else:
                shutil.rmtree(self.path / known.name)

    def _extend(self, known: Growing, values: Values) -> None:
        """Write steps that begin where a file begins."""
        start, stop = known.written, known.written + len(values)
        with translated(self.path / known.name):
            if known.array is None:
                cut = schema.layout(values.shape, known.dtype.itemsize, along=0)
                known.array = self._create(known.name, known.dims, values.shape, known.dtype, cut, known.attributes)
            else:
                known.array.resize((stop, *known.step_shape))
            known.array[start:stop] = values
        known.written = stop

    def _create(self, name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype[Any],
                cut: schema.Layout, attributes: Mapping[str, Any]) -> zarr.Array[Any]:  # fmt: skip
        return create_array(self.path, name, dims=dims, shape=shape, dtype=dtype, cut=cut, attributes=attributes)


def create_array(
    path: Path,
    name: str,
    *,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    cut: schema.Layout,
    attributes: Mapping[str, Any],
    fill: int | None = None,
) -> zarr.Array[Any]:
    """Create an empty array of numbers in the store at ``path``; ``fill`` is what stands for none in integers."""
    import zarr
    from zarr.storage import LocalStore

    # every chunk is written, also one of nothing but NaN: a file that is not there is then a file that was lost
    options = {"write_empty_chunks": True}
    with translated(path / name):
        return zarr.create_array(
            LocalStore(path),
            name=name,
            shape=shape,
            dtype=dtype,
            chunks=cut.chunks,
            shards=cut.shards,
            compressors=_compressors(dtype.itemsize),
            fill_value=_fill_value(dtype) if fill is None else fill,
            chunk_key_encoding={"name": "default", "separator": schema.SEPARATOR},
            attributes=dict(attributes),
            dimension_names=dims,
            zarr_format=3,
            config=options,
        )


def _compressors(itemsize: int) -> list[Any]:
    """Return level 3 of zstd on shuffled bits.

    Level 5 takes 1.5 to 2.6 times the time for 0.2 to 6 % of the bytes: heads, rain and flows, modelled and real.
    Shuffled bytes are faster still, and half as large again where values were packed once (a reanalysis).
    """
    return checksummed("zstd", 3, "bitshuffle", itemsize)


def _fill_value(dtype: np.dtype[Any]) -> Any:
    return {"f": float("nan"), "b": False}.get(dtype.kind, 0)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────


def _with_time_axis(new: Field) -> Field:
    """Give a single step, without a time dimension, one of length 1."""
    import numpy as np

    if new.along != 0:
        message = f"{new.name}: only a field whose first dimension is time grows; got dimensions {new.dims}"
        raise InvalidInput(message)
    if len(new.array.shape) != len(new.dims) - 1:
        return new
    times = [new.time] if np.ndim(new.time) == 0 and new.time is not None else new.time
    return replace(new, array=np.asanyarray(new.array)[np.newaxis], time=times)


def _times_of(new: Field, steps: int) -> Any:
    if new.time is None:
        message = f"{new.name}: say when these {steps} steps are, as time="
        raise InvalidInput(message)
    times = instants(new.time, of=new.name)
    if len(times) != steps or not steps:
        message = f"{new.name}: {steps} steps and {len(times)} times; expected at least one, as many of each"
        raise InvalidInput(message)
    return times


def _begun(new: Field) -> Growing:
    attributes = schema.variable_attributes(new.name, new.units, new.attributes)
    step_shape = tuple(int(n) for n in new.array.shape[1:])
    full = schema.steps_per_file(step_shape, new.dtype.itemsize)
    return Growing(new.name, new.dims, new.dtype, step_shape, attributes, full)


def _refuse_other_kind(known: Growing, new: Field) -> None:
    import numpy as np

    here = (known.dims, known.step_shape)
    there = (new.dims, tuple(new.array.shape[1:]))
    if here != there or not np.can_cast(new.dtype, known.dtype, "safe"):
        message = (
            f"{known.name}: began as {known.dtype} of {known.step_shape} a step along {known.dims}, these steps are "
            f"{new.dtype} of {there[1]} along {new.dims}; all steps of a field are alike"
        )
        raise InvalidInput(message)
    said = schema.plain_attributes(new.attributes, schema.RESERVED_ATTRIBUTES, known.name)
    said |= {} if new.units is None else {"units": schema.variable_attributes(known.name, new.units, None)["units"]}
    differing = [key for key, value in said.items() if known.attributes.get(key) != value]
    if differing:
        message = f"{known.name}: began with other {', '.join(differing)}; all steps of a field are alike"
        raise InvalidInput(message)


def _joined(parts: list[Values]) -> Values:
    import numpy as np

    return np.concatenate(parts) if len(parts) > 1 else parts[0]
