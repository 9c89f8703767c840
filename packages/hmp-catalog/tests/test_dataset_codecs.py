"""What is compressed comes back, says how in plain Zarr, and is not decoded once it is damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from hmp_catalog.datasets.cells import codecs
from hmp_core.errors import InvalidInput


def made(path, stored, values, compression="zstd_shuffle", level=None):
    array = zarr.create_array(
        path,
        shape=values.shape,
        dtype=stored,
        chunks=values.shape,
        compressors=codecs.of(stored, compression, level),
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    array[...] = values
    return array


def said(path):
    return [each for each in json.loads((path / "zarr.json").read_text())["codecs"] if "vlen" not in each["name"]]


@pytest.mark.parametrize("compression", codecs.COMPRESSIONS)
@pytest.mark.parametrize("stored", ["uint8", "uint16", "int32", "int64", "float32", "float64"])
def test_any_type_comes_back_by_any_compression(tmp_path, compression, stored):
    values = np.arange(6000).reshape(60, 100).astype(stored)
    made(tmp_path / "a", stored, values, compression)
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[...], values)


def test_text_comes_back(tmp_path):
    values = np.array(["Aare", "", "Évron"], dtype=object)
    made(tmp_path / "a", "string", values)
    assert zarr.open_array(tmp_path / "a", mode="r")[...].tolist() == values.tolist()
    assert said(tmp_path / "a")[0]["configuration"]["shuffle"] == "noshuffle"


@pytest.mark.parametrize(
    ("compression", "cname", "shuffle"),
    [
        ("zstd_shuffle", "zstd", "shuffle"),
        ("zstd", "zstd", "noshuffle"),
        ("lz4_shuffle", "lz4", "shuffle"),
        ("lz4", "lz4", "noshuffle"),
    ],
)
def test_the_store_says_how_it_is_compressed(tmp_path, compression, cname, shuffle):
    """By the width of the codes, in blocks of 512 KiB, and with a checksum last."""
    made(tmp_path / "a", "uint16", np.zeros((4, 5), "u2"), compression, 5)
    first, second, third = said(tmp_path / "a")
    assert (first["name"], second["name"], third["name"]) == ("bytes", "blosc", "crc32c")
    assert second["configuration"] == {
        "typesize": 2,
        "cname": cname,
        "clevel": 5,
        "shuffle": shuffle,
        "blocksize": 1 << 19,
    }


def test_shuffled_codes_are_smaller(tmp_path):
    """Packed values vary in their low bytes: those of like weight lie together."""
    noise = np.random.default_rng(1).normal(scale=10, size=100_000)
    codes = (20000 + 3000 * np.sin(np.arange(100_000) / 4000) + noise).astype("u2")
    sizes = {}
    for compression in ("zstd_shuffle", "zstd"):
        made(tmp_path / compression, "uint16", codes, compression)
        sizes[compression] = (tmp_path / compression / "c.0").stat().st_size
    assert sizes["zstd_shuffle"] < 0.8 * sizes["zstd"]


def test_a_damaged_chunk_is_not_decoded(tmp_path):
    array = made(tmp_path / "a", "uint16", np.arange(5000).astype("u2"))
    file = tmp_path / "a" / "c.0"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="checksum"):
        array[...]


@pytest.mark.parametrize("level", [0, 10, -1, 1.0, True, "3"])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(InvalidInput, match="from 1 to 9"):
        codecs.checked("zstd", level)


@pytest.mark.parametrize("name", ["gzip", "", "ZSTD"])
def test_a_compression_that_is_none_is_refused(name):
    with pytest.raises(InvalidInput, match="zstd_shuffle, zstd, lz4_shuffle, lz4"):
        codecs.of("uint16", name)
