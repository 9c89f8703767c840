"""Codes that are laid into files without zarr are what zarr reads of them; what nobody wrote to stays as it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.datasets.cells import codecs, direct, laying
from hmp_catalog.datasets.cells.arrays import open_cells
from hmp_catalog.datasets.history.stores import TreeStore
from hmp_core.errors import CorruptError, StorageError

KINDS = ("int8", "uint8", "uint16", "int32", "uint64", "float32", "float64")

DOTS = {"name": "default", "separator": "."}


def made(folder: Path, kind: str, shape: tuple[int, ...], chunks: tuple[int, ...], **said: object) -> zarr.Array:
    """Return an empty array of the codecs of a data set, in files of any extent."""
    compression = str(said.pop("compression", "zstd_shuffle"))
    how = {"compressors": codecs.of(kind, compression), "fill_value": 7} | said
    group = zarr.create_group(TreeStore(folder), overwrite=True)
    return group.create_array("v", shape=shape, chunks=chunks, dtype=kind, **how)


def whole_files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder / "v")) for each in (folder / "v").rglob("*") if each.is_file())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_zarr_reads_what_was_laid_and_has_the_same_files(tmp_path_factory, data) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 12), max_size=3)))
    chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape)
    shards = tuple(chunk * data.draw(st.integers(1, 3)) for chunk in chunks) or None
    kind = data.draw(st.sampled_from(KINDS))
    fill = data.draw(st.sampled_from([0, 7, np.nan] if kind.startswith("f") else [0, 7]))
    said = {"shards": data.draw(st.sampled_from([None, shards])), "fill_value": fill}
    said["compression"] = data.draw(st.sampled_from(sorted(codecs.COMPRESSIONS)))
    folders = [tmp_path_factory.mktemp("d") for _ in range(2)]
    ours, theirs = (made(folder, kind, shape, chunks, **said) for folder in folders)
    files = direct.files(ours)
    assert files is not None
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(1, 4))):
        window = tuple(slice(*sorted(rng.integers(0, size + 1, 2).tolist())) for size in shape)
        if data.draw(st.booleans()):
            window = tuple(slice(0, size) for size in shape)
        extent = tuple(each.stop - each.start for each in window)
        codes = np.full(extent, fill, dtype=kind)
        if data.draw(st.booleans()):
            codes = np.asarray(rng.integers(0, 9, extent)).astype(kind)
        codes = np.asarray(codes, order=data.draw(st.sampled_from("CF")))
        assert laying.known(ours, codes)
        laying.Laying(ours, files).write(window, codes)
        theirs[window] = codes
        np.testing.assert_array_equal(ours[...], theirs[...])
        assert whole_files(folders[0]) == whole_files(folders[1])
    whole = tuple(slice(0, size) for size in shape)
    found = np.empty(shape, dtype=kind)
    files.into(whole, found)
    np.testing.assert_array_equal(found, theirs[...])
    other = direct.files(theirs)
    assert other is not None
    for chunk in np.ndindex(*(-(-size // each) for size, each in zip(shape, chunks, strict=True))):
        assert files.stored(chunk) == other.stored(chunk)


def test_minus_zero_is_written_where_zero_is_missing(tmp_path) -> None:
    array = made(tmp_path, "float32", (4,), (2,), fill_value=0.0)
    files = direct.files(array)
    assert files is not None
    laying.Laying(array, files).write((slice(0, 4),), np.array([-0.0, -0.0, 0.0, 0.0], dtype="f4"))
    np.testing.assert_array_equal(np.signbit(array[...]), [True, True, False, False])
    assert [each.name for each in (tmp_path / "v" / "c").iterdir()] == ["0"]


def test_a_file_of_other_trees_is_left_as_it_is(tmp_path) -> None:
    array = made(tmp_path, "uint16", (8, 8), (4, 4), shards=(8, 8), chunk_key_encoding=DOTS)
    cells = open_cells(zarr.open_group(TreeStore(tmp_path))["v"], "v")
    whole = (slice(0, 8), slice(0, 8))
    cells.write_codes(whole, np.arange(64, dtype="u2").reshape(8, 8))
    os.link(tmp_path / "v" / "c.0.0", tmp_path / "other")
    before = (tmp_path / "other").read_bytes()
    cells.write_codes((slice(0, 1), slice(0, 1)), np.array([[99]], dtype="u2"))
    assert (tmp_path / "other").read_bytes() == before
    assert array[0, 0] == 99
    assert array[7, 7] == 63
    assert whole_files(tmp_path) == ["c.0.0", "zarr.json"]


def test_a_damaged_chunk_is_an_error_where_it_is_needed_and_mended_where_not(tmp_path) -> None:
    made(tmp_path, "uint16", (8,), (4,), shards=(8,), chunk_key_encoding=DOTS)
    cells = open_cells(zarr.open_group(TreeStore(tmp_path))["v"], "v")
    cells.write_codes((slice(0, 8),), np.arange(8, dtype="u2"))
    file = tmp_path / "v" / "c.0"
    good = file.read_bytes()
    file.write_bytes(good[:20] + bytes([good[20] ^ 1]) + good[21:])  # in the first chunk
    damaged = file.read_bytes()
    with pytest.raises(CorruptError) as caught:
        cells.write_codes((slice(0, 3),), np.ones(3, dtype="u2"))
    assert caught.value.path == str(file)
    assert file.read_bytes() == damaged
    cells.write_codes((slice(4, 8),), np.full(4, 5, dtype="u2"))
    with pytest.raises(CorruptError):
        cells.codes((slice(0, 4),))
    cells.write_codes((slice(0, 4),), np.ones(4, dtype="u2"))
    assert cells.codes((slice(0, 8),)).tolist() == [1, 1, 1, 1, 5, 5, 5, 5]
    file.write_bytes(good[:-1])  # its index
    with pytest.raises(CorruptError, match="cannot be read"):
        cells.write_codes((slice(0, 4),), np.ones(4, dtype="u2"))
    assert whole_files(tmp_path) == ["c.0", "zarr.json"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path) -> None:
    resource = pytest.importorskip("resource")
    made(tmp_path, "uint64", (4096,), (512,), shards=(4096,), chunk_key_encoding=DOTS)
    cells = open_cells(zarr.open_group(TreeStore(tmp_path))["v"], "v")
    whole = (slice(0, 4096),)
    cells.write_codes(whole, np.zeros(4096, dtype="u8"))
    before = (tmp_path / "v" / "c.0").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # EFBIG; Python ignores the signal
    try:
        with pytest.raises(StorageError) as caught:
            cells.write_codes(whole, np.random.default_rng(0).integers(0, 2**63, 4096, dtype="u8"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert (tmp_path / "v" / "c.0").read_bytes() == before
    assert whole_files(tmp_path) == ["c.0", "zarr.json"]


def test_what_is_not_of_the_stored_type_is_left_to_zarr(tmp_path) -> None:
    array = made(tmp_path, "uint16", (4,), (4,))
    assert not laying.known(array, np.zeros(4))
    assert not laying.known(array, np.ma.zeros(4, dtype="u2"))
    assert not laying.known(zarr.open_group(TreeStore(tmp_path), mode="r")["v"], np.zeros(4, dtype="u2"))
    cells = open_cells(zarr.open_group(TreeStore(tmp_path))["v"], "v")
    cells.write_codes((slice(0, 4),), [1, 2, 3, 4])
    assert array[...].tolist() == [1, 2, 3, 4]
