"""A tar that is written in one way and compared when it is read; ``tar`` itself understands it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core import tarball
from hmp_core.errors import ArchiveInvalid

NAMES = ["manifest.json", "data/débit/q.csv", "data/" + "x" * 150 + ".csv", "data/é" + "y" * 300]


def _tar(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    for name, data in members.items():
        tarball.put(sink, name, len(data), [data])
    tarball.finish(sink)
    return sink.getvalue()


def _read(tar: bytes, members: dict[str, bytes]) -> dict[str, bytes]:
    stream = io.BytesIO(tar)
    found = {name: b"".join(tarball.take(stream, name, len(data))) for name, data in members.items()}
    tarball.expect_end(stream)
    return found


@given(st.binary(max_size=1500), st.sampled_from(NAMES))
def test_python_reads_what_is_written(data: bytes, name: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(_tar({name: data, "last": b"1"}))) as tar:
        assert tar.getnames() == [name, "last"]
        assert tar.extractfile(name).read() == data  # type: ignore[union-attr]


def test_tar_reads_what_is_written(tmp_path: Path) -> None:
    members = {name: name.encode() * 100 for name in NAMES[:3]}
    (tmp_path / "a.tar").write_bytes(_tar(members))
    subprocess.run(["tar", "-xf", "a.tar"], cwd=tmp_path, check=True)
    assert {name: (tmp_path / name).read_bytes() for name in members} == members


def test_a_size_beyond_8_gib_is_said_in_a_record() -> None:
    head = tarball.header("big", 8**11)
    with tarfile.open(fileobj=io.BytesIO(head)) as tar:
        assert tar.next().size == 8**11  # type: ignore[union-attr]


@given(st.data())
def test_a_changed_byte_is_another_file_or_refused(data: st.DataObject) -> None:
    members = {name: name.encode() * 3 for name in NAMES}
    tar = bytearray(_tar(members))
    at = data.draw(st.integers(0, len(tar) - 1))
    tar[at] ^= data.draw(st.integers(1, 255))
    try:
        assert _read(bytes(tar), members) != members
    except ArchiveInvalid:
        return


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 700, 1024, 1535])
def test_what_is_cut_short_is_refused(cut: int) -> None:
    members = {"a": b"1" * 600}
    with pytest.raises(ArchiveInvalid):
        _read(_tar(members)[:cut], members)


def test_a_link_is_not_a_file() -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ArchiveInvalid, match="something else"):
        _read(sink.getvalue(), {"a": b""})


def test_what_follows_is_refused() -> None:
    members = {"a": b"1"}
    with pytest.raises(ArchiveInvalid, match="not announced"):
        _read(_tar(members) + b"more", members)


def test_the_first_member_may_be_of_any_size_up_to_a_limit() -> None:
    tar = _tar({"manifest.json": b"{}" * 400})
    assert tarball.take_first(io.BytesIO(tar), "manifest.json", 800) == b"{}" * 400
    for stream, limit in ((tar, 799), (b"garbage" * 200, 800), (b"", 800)):
        with pytest.raises(ArchiveInvalid):
            tarball.take_first(io.BytesIO(stream), "manifest.json", limit)


def test_fewer_bytes_than_were_announced_are_refused() -> None:
    with pytest.raises(ArchiveInvalid, match="2 bytes came, 3"):
        tarball.put(io.BytesIO(), "a", 3, [b"12"])
