"""What is known of a file without reading it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hmp_cache.signature import Bytes, Signature
from hmp_core.identity import sha256_bytes


def _bytes(path: Path, content: bytes) -> Bytes:
    path.write_bytes(content)
    return Bytes(sha256_bytes(content), Signature.of(path.stat()))


def test_a_file_that_looks_as_it_did_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    file.write_bytes(b"two")
    os.utime(file, ns=(0, known.signature.mtime_ns or 0))
    assert known.are_in(file) is True
    assert known.are_in(file, full=True) is False


def test_another_time_and_the_same_bytes_is_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    os.utime(file, (1, 1))
    assert known.unchanged(file) is False
    assert known.are_in(file) is True


def test_another_file_with_the_same_size_and_time_is_read(tmp_path: Path) -> None:
    """What a sync tool or a restored backup puts there keeps size and time, and may be something else."""
    file, other = tmp_path / "q", tmp_path / "r"
    known = _bytes(file, b"one")
    other.write_bytes(b"two")
    os.utime(other, ns=(0, known.signature.mtime_ns or 0))
    other.replace(file)
    assert known.unchanged(file) is False
    assert known.are_in(file) is False


def test_a_difference_of_a_nanosecond_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    file.write_bytes(b"two")
    os.utime(file, ns=(0, (known.signature.mtime_ns or 0) + 1))
    assert known.are_in(file) is False


def test_other_bytes_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    assert known.are_in(file) is False


@pytest.mark.parametrize("seen", [{"mtime": 5.0}, {"mtime": 5.0, "mtime_ns": None, "inode": None}])
def test_what_was_not_noted_is_not_compared(tmp_path: Path, seen: dict[str, float]) -> None:
    """An event of version 0.1 knows neither nanoseconds nor the file's number."""
    file = tmp_path / "q"
    file.write_bytes(b"one")
    os.utime(file, (5, 5))
    assert Bytes.said({"sha256": "0" * 64, "size": 3}, seen).unchanged(file) is True
    os.utime(file, (6, 6))
    assert Bytes.said({"sha256": "0" * 64, "size": 3}, seen).unchanged(file) is False


def test_no_file_is_neither(tmp_path: Path) -> None:
    assert Bytes("0" * 64, Signature(1, 1.0)).are_in(tmp_path / "none") is None
