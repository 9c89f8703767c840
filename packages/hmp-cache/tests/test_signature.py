"""What is known of a file without reading it."""

from __future__ import annotations

import os
from pathlib import Path

from hmp_cache.signature import Bytes
from hmp_core.identity import sha256_bytes


def _bytes(path: Path, content: bytes) -> Bytes:
    path.write_bytes(content)
    return Bytes(sha256_bytes(content), len(content), path.stat().st_mtime)


def test_a_file_with_the_same_size_and_time_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    file.write_bytes(b"two")
    os.utime(file, (known.mtime, known.mtime))
    assert known.are_in(file) is True


def test_another_time_and_the_same_bytes_is_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    os.utime(file, (1, 1))
    assert known.unchanged(file) is False
    assert known.are_in(file) is True


def test_other_bytes_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "q"
    known = _bytes(file, b"one")
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    assert known.are_in(file) is False


def test_no_file_is_neither(tmp_path: Path) -> None:
    assert Bytes("0" * 64, 1, 1.0).are_in(tmp_path / "none") is None
