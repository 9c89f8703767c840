"""Whether a file ends where a file of its kind ends."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3  # noqa: TID251 - what a GeoPackage is
import struct
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults import GOOD, NETCDF, PARQUET, ZIP
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache.endings import lacking


def _hdf5(version: int) -> bytes:
    """The superblock of an empty HDF5 file of 200 bytes, as the format's specification draws it."""
    signature = b"\x89HDF\r\n\x1a\n"
    if version < 2:
        head = signature + bytes([version, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
        head += struct.pack("<HH", 32, 0) if version == 1 else b""
        head += struct.pack("<QQQQ", 0, 2**64 - 1, 200, 2**64 - 1)
    else:
        head = signature + bytes([version, 8, 8, 0]) + struct.pack("<QQQQ", 0, 2**64 - 1, 200, 48)
    return head.ljust(200, b"\0")


def _gpkg() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE wells (name TEXT)")
        return database.serialize()


def _records(kind: int, names: int) -> bytes:
    """A classic NetCDF file of three records of one or two variables of two bytes each."""
    count, offset = (">q", ">q") if kind == 5 else (">i", ">i" if kind == 1 else ">q")

    def number(value: int) -> bytes:
        return struct.pack(count, value)

    def name(text: bytes) -> bytes:
        return number(len(text)) + text + b"\0" * (-len(text) % 4)

    dims = struct.pack(">i", 10) + number(1) + name(b"time") + number(0)
    attributes = struct.pack(">i", 12) + number(1) + name(b"title") + struct.pack(">i", 2) + number(3) + b"abc\0"
    size = len(b"CDF\x01" + number(3) + dims + attributes) + 4 + struct.calcsize(count)
    one = len(name(b"q0") + number(1) + number(0) + struct.pack(">i", 0) + number(0) + struct.pack(">i", 3))
    one += struct.calcsize(count) + struct.calcsize(offset)
    begin = size + names * one
    each = 2 if names == 1 else 4
    variables = b"".join(
        name(b"q%d" % n) + number(1) + number(0) + struct.pack(">i", 0) + number(0)
        + struct.pack(">i", 3) + number(4) + struct.pack(offset, begin + 4 * n)
        for n in range(names)
    )  # fmt: skip
    head = b"CDF" + bytes([kind]) + number(3) + dims + attributes + struct.pack(">i", 11) + number(names) + variables
    assert len(head) == begin
    return head + bytes(each * names * 3)


def _wide() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": [n] for n in range(100)}), sink)
    return sink.getvalue()


WHOLE = {
    "a.parquet": PARQUET, "wide.parquet": _wide(), "a.zip": ZIP, "fixed.nc": NETCDF, "one.nc": _records(1, 1),
    "two.nc": _records(1, 2), "offset.nc": _records(2, 2), "cdf5.nc": _records(5, 2), "four.nc": _hdf5(0),
    "zero.h5": _hdf5(0), "one.h5": _hdf5(1), "two.nc4": _hdf5(2), "three.hdf5": _hdf5(3), "a.gpkg": _gpkg(),
    "a.json": json.dumps({"a": [1]}).encode() + b"\n", "a.geojson": b'{"type": "Feature"}',
    "a.xml": b"<a>%s</a>\n\n" % (b"<b/>" * 9),
    "a.gml": b"<a/>", "a.csv": GOOD, "mac.csv": GOOD.replace(b"\n", b"\r"), "a.tsv": GOOD, "a.txt": b"x\n",
    "a.gz": gzip.compress(GOOD), "twice.gz": gzip.compress(b"x") + gzip.compress(GOOD), "a.grib": b"GRIB....7777",
    "a.png": b"\x89PNG\r\n\x1a\n" + bytes(20) + b"\0\0\0\0IEND\xaeB`\x82", "a.pdf": b"%PDF-1.4 ...\n%%EOF\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("told", [True, False])
def test_a_whole_file_lacks_nothing(name: str, told: bool) -> None:
    assert lacking(io.BytesIO(WHOLE[name]), Path(name).suffix, told=told) is None


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("left", [0.5, 0.9])
def test_one_that_is_cut_does(name: str, left: float) -> None:
    cut = WHOLE[name][: int(len(WHOLE[name]) * left)]
    assert lacking(io.BytesIO(cut), Path(name).suffix, told=False) is not None


@pytest.mark.parametrize("name", ["fixed.nc", "one.nc", "three.hdf5", "a.gpkg", "a.gz", "a.geojson"])
def test_the_last_byte_counts(name: str) -> None:
    assert lacking(io.BytesIO(WHOLE[name][:-1]), Path(name).suffix, told=False) is not None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_a_last_line_without_an_end_is_well_where_the_length_was_said(suffix: str) -> None:
    assert lacking(io.BytesIO(GOOD[:-1]), suffix, told=True) is None


@pytest.mark.parametrize("suffix", [".nc", ".h5", ".gpkg", ".gz"])
@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04", b"\x1f\x8bzz"])
def test_what_is_something_else_is_for_others_to_judge(suffix: str, content: bytes) -> None:
    assert lacking(io.BytesIO(content), suffix, told=True) is None


@pytest.mark.parametrize("suffix", [".nc", ".h5", ".gpkg"])
@pytest.mark.parametrize("start", [b"CDF\x01", b"CDF\x05", b"\x89HDF\r\n\x1a\n", b"SQLite format 3\x00"])
@given(rest=st.binary(max_size=200))
def test_any_header_is_read_or_not(suffix: str, start: bytes, rest: bytes) -> None:
    with tempfile.TemporaryFile() as file:  # a real file refuses to seek where bytes in memory do not
        file.write(start + rest)
        lacking(file, suffix, told=True)


def test_what_ends_nowhere_lacks_nothing() -> None:
    assert lacking(io.BytesIO(b"anything"), ".bin", told=False) is None
