"""Chunks that are read without zarr are what zarr reads, and a damaged byte is never decoded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

from hmp_catalog.datasets.cells import direct
from hmp_catalog.datasets.cells.arrays import create, open_cells
from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.history.stores import TreeStore
from hmp_core.errors import CorruptError

KINDS = ("int8", "uint16", "int32", "uint64", "float32", "float64")


def made(folder: Path, kind: str, shape: tuple[int, ...], chunks: tuple[int, ...], shards: object) -> zarr.Array:
    """Return an empty array of the codecs of a data set, in files of any extent."""
    ours = create(
        zarr.create_group(TreeStore(folder), overwrite=True),
        "like",
        dims=["x"],
        shape=(1,),
        dtype=dtype(kind),
        chunks=(1,),
        compression="lz4_shuffle",
        level=None,
        attributes={},
    )
    return zarr.open_group(TreeStore(folder)).create_array(
        "v",
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=kind,
        compressors=ours._array.compressors,
        fill_value=7,
    )


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_window_is_what_zarr_reads_of_it(tmp_path_factory, data) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape)
    shards = tuple(chunk * data.draw(st.integers(1, 3)) for chunk in chunks)
    kind = data.draw(st.sampled_from(KINDS))
    array = made(tmp_path_factory.mktemp("d"), kind, shape, chunks, data.draw(st.sampled_from([None, shards])))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(0, 3))):
        window = tuple(slice(*sorted(rng.integers(0, size + 1, 2).tolist())) for size in shape)
        array[window] = rng.integers(0, 100, [each.stop - each.start for each in window]).astype(kind)
    files = direct.files(array)
    assert files is not None
    window = tuple(slice(*sorted(rng.integers(0, size + 1, 2).tolist())) for size in shape)
    found = np.full([each.stop - each.start for each in window], 99, dtype=kind)
    files.into(window, found)
    np.testing.assert_array_equal(found, array[window])
    for chunk in np.ndindex(*(-(-size // each) for size, each in zip(shape, chunks, strict=True))):
        cells = tuple(slice(n * each, (n + 1) * each) for n, each in zip(chunk, chunks, strict=True))
        assert files.stored(chunk) == bool((array[cells] != 7).any())


@pytest.mark.parametrize("shards", [None, (8, 8)], ids=["chunk", "shard"])
def test_a_byte_that_changes_is_an_error_that_names_the_file(tmp_path, shards) -> None:
    array = made(tmp_path, "uint16", (8, 8), (4, 4), shards)
    values = np.random.default_rng(0).integers(0, 500, (8, 8))
    array[...] = values
    cells = open_cells(zarr.open_group(TreeStore(tmp_path), mode="r")["v"], "v")
    file = next(path for path in sorted((tmp_path / "v").rglob("*")) if path.is_file() and path.name != "zarr.json")
    before = file.read_bytes()
    for at in range(len(before)):
        file.write_bytes(before[:at] + bytes([before[at] ^ 0x55]) + before[at + 1 :])
        with pytest.raises(CorruptError) as caught:
            cells.codes((slice(0, 8), slice(0, 8)))
        assert caught.value.path == str(file)
    for cut in (0, 1, 5, len(before) // 2, len(before) - 1):
        file.write_bytes(before[:cut])
        with pytest.raises(CorruptError, match="cannot be read"):
            cells.codes((slice(0, 8), slice(0, 8)))


def test_what_is_not_known_is_left_to_zarr(tmp_path) -> None:
    ours = [BloscCodec(typesize=2, cname="zstd"), Crc32cCodec()]

    def array(store: object, **said: object) -> zarr.Array:
        options = {"shape": (8,), "chunks": (4,), "dtype": "uint16", "compressors": ours} | said
        return zarr.create_array(store, overwrite=True, **options)

    assert direct.files(array(LocalStore(tmp_path))) is not None
    assert direct.files(array(TreeStore(tmp_path))) is not None
    assert direct.files(array(MemoryStore())) is None

    class Another(LocalStore):
        """A store of somebody else, who may keep its bytes elsewhere."""

    assert direct.files(array(Another(tmp_path))) is None
    for other in (
        {"compressors": [ZstdCodec()]},
        {"compressors": None},
        {"compressors": ours[:1]},
        {"compressors": ours, "serializer": zarr.codecs.BytesCodec(endian="big")},
        {"shards": (8,), "compressors": ours[:1]},
        {"dtype": "string", "compressors": ours},
        {"dtype": "bool"},
        {"zarr_format": 2, "compressors": None},
    ):
        assert direct.files(array(LocalStore(tmp_path), **other)) is None, other


@pytest.mark.parametrize("processors", [1, 8])
def test_a_read_of_many_files_is_that_of_zarr(processors, tmp_path, monkeypatch) -> None:
    """So many parts that threads share them where there are processors."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)))
    shape, kind = (1000, 100, 90), dtype("float32", precision=1, min_value=0, max_value=1000)
    cells = create(
        zarr.create_group(TreeStore(tmp_path)),
        "v",
        dims=list("tyx"),
        shape=shape,
        dtype=kind,
        chunks=(100, 30, 30),
        compression="zstd",
        level=None,
        attributes={},
    )
    values = np.arange(math.prod(shape), dtype="float32").reshape(shape) % 9973 / 10
    whole = tuple(slice(0, size) for size in shape)
    cells.write(whole, values)
    np.testing.assert_array_equal(cells.read(whole), cells.packing.decode(cells._array[...]))
    np.testing.assert_allclose(cells.read(whole), values, atol=0.051)
    damaged = sorted((tmp_path / "v").glob("c.*"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(CorruptError) as caught:
        cells.read(whole)
    assert caught.value.path == str(damaged)
