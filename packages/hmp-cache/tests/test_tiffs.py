"""Where a TIFF file ends by its own account, and that files which were cut off are not taken in."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hmp_cache import InputsNamespace, ValidationFailed, tiffs

_HOME = os.environ.get("HMP_TEST_DATA")
_DATA = Path(_HOME) if _HOME else Path(__file__).parents[4] / "shared" / "data"
REAL = _DATA / "era_interim" / "eraint_uvz.nc"


def _tiff(order: str = "<", *, big: bool = False) -> bytes:
    """Return a raster in two strips: header, directory, where the strips are and how long, the strips."""
    offset, count, wide = ("Q", "Q", 8) if big else ("I", "H", 4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    head += struct.pack(f"{order}HHQ", 8, 0, 16) if big else struct.pack(f"{order}I", 8)
    size = struct.calcsize(f"{order}{count}{4 * f'HH{offset}{offset}'}{offset}")
    arrays = len(head) + size
    strips = arrays + 32
    entries = [
        (256, 3, 1, 2),
        (257, 3, 1, 2),
        (273, 16 if big else 4, 2, arrays),
        (279, 4, 2, arrays + 16),
    ]
    if big:  # two lengths of four bytes fit into the entry
        entries[3] = (279, 16, 2, arrays + 16)
    directory = struct.pack(f"{order}{count}", len(entries))
    for tag, kind, many, value in entries:
        directory += struct.pack(f"{order}HH{offset}", tag, kind, many)
        short = kind == 3
        directory += (
            struct.pack(f"{order}H", value).ljust(wide, b"\0") if short else struct.pack(f"{order}{offset}", value)
        )
    directory += struct.pack(f"{order}{offset}", 0)
    form = "2Q" if big else "2I"
    where = struct.pack(f"{order}{form}", strips, strips + 8).ljust(16, b"\0")
    long = struct.pack(f"{order}{form}", 8, 8).ljust(16, b"\0")
    return head + directory + where + long + bytes(16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_raster_ends_with_its_last_strip(order: str, *, big: bool) -> None:
    whole = _tiff(order, big=big)
    assert tiffs.length(io.BytesIO(whole)) == len(whole)


@pytest.mark.parametrize("big", [False, True])
def test_wherever_it_is_cut_off_that_is_seen(*, big: bool) -> None:
    whole = _tiff(big=big)
    for size in range(8, len(whole)):
        told = tiffs.length(io.BytesIO(whole[:size]))
        assert told is not None
        assert told > size


def test_directories_in_a_circle_end() -> None:
    whole = bytearray(_tiff())
    place = 8 + 2 + 4 * 12
    whole[place : place + 4] = struct.pack("<I", 8)
    assert tiffs.length(io.BytesIO(bytes(whole))) == len(whole)


@pytest.mark.parametrize("head", [b"", b"II", b"no tiff at all", b"II\x07\x00" + bytes(12)])
def test_what_is_no_tiff_says_nothing(head: bytes) -> None:
    assert tiffs.length(io.BytesIO(head)) is None


def _parquet() -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table({"x": list(range(1000))}), body)
    return body.getvalue()


def _zip() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as packed:
        packed.writestr("dem.asc", "1 2 3\n" * 100)
    return body.getvalue()


def _hdf5(size: int) -> bytes:
    """Return a superblock of version 2 that says how long the file is."""
    numbers = (0, 0xFFFFFFFFFFFFFFFF, size, 48)
    return (b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + struct.pack("<4Q", *numbers)).ljust(size, b"\0")


def _netcdf() -> bytes:
    """Return a classic NetCDF file: dimension x of 4, variable v(x) of doubles."""
    said = b"CDF\x01" + struct.pack(">i", 0) + struct.pack(">iii", 10, 1, 1) + b"x\0\0\0" + struct.pack(">i", 4)
    said += struct.pack(">ii", 0, 0) + struct.pack(">iii", 11, 1, 1) + b"v\0\0\0" + struct.pack(">ii", 1, 0)
    said += struct.pack(">ii", 0, 0) + struct.pack(">iii", 6, 32, len(said) + 20)
    return said + struct.pack(">4d", 1, 2, 3, 4)


WHOLE = {
    "r.tif": _tiff(), "t.parquet": _parquet(), "z.zip": _zip(), "h.h5": _hdf5(400), "n.nc": _netcdf(),
    "j.json": b'{"a": [1, 2]}', "g.grib": b"GRIB" + bytes(40) + b"7777",
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_was_cut_off_is_not_taken_in(data: InputsNamespace, write: Any, name: str) -> None:
    assert data.add(write(f"whole-{name}", WHOLE[name]), variable="dem").size == len(WHOLE[name])
    with pytest.raises(ValidationFailed) as caught:
        data.add(write(name, WHOLE[name][:-3]), variable="dem")
    assert caught.value.checks == ["readable"]


@pytest.mark.skipif(not REAL.exists(), reason="no era_interim/eraint_uvz.nc under HMP_TEST_DATA")
def test_a_real_netcdf_file_that_was_cut_off_is_not_taken_in(data: InputsNamespace, write: Any) -> None:
    whole = REAL.read_bytes()
    assert data.add(REAL, variable="wind").size == len(whole)
    with pytest.raises(ValidationFailed, match="by its own account"):
        data.add(write("cut.nc", whole[: len(whole) // 2]), variable="wind")
