"""Where bytes lie, and the moves that bring them there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache.shelf import Shelf, safe_name
from hmp_cache.signature import Bytes, Signature
from hmp_core.errors import PathEscape
from hmp_core.identity import sha256_bytes

ENTRY = UUID(int=0x1234567890ABCDEF1234567890ABCDEF)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "ws" / "data").mkdir(parents=True)
    return Shelf(tmp_path / "ws")


def _bytes(path: Path, content: bytes) -> Bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Bytes(sha256_bytes(content), Signature.of(path.stat()))


# ── names ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_may_go_under_its_own_name_or_with_digits_of_its_entry(shelf: Shelf) -> None:
    names = [path.name for path in shelf.candidates("discharge", "custom", "q.csv", ENTRY)]
    assert names == ["q.csv", "q~12345678.csv", "q~1234567890abcdef1234567890abcdef.csv"]


@given(st.text(min_size=1, max_size=300))
def test_any_name_becomes_one_that_stays_in_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert safe not in {"", ".", ".."}
    assert not safe.startswith(".")
    assert len(safe.encode()) <= 180


@given(st.text(min_size=1, max_size=300))
def test_a_safe_name_is_left_alone(name: str) -> None:
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize("name", ["q.csv\n", "q.csv.hmp.json", "q.csv.HMP.json", ".hmp.json"])
def test_a_name_that_means_something_to_the_cache_or_the_terminal_is_changed(name: str) -> None:
    safe = safe_name(name)
    assert "\n" not in safe
    assert not safe.lower().endswith(".hmp.json")


def test_a_plain_name_is_kept(shelf: Shelf) -> None:
    assert safe_name("Débit journalier 2001.csv") == "Débit journalier 2001.csv"


def test_kept_paths_do_not_leave_the_workspace(shelf: Shelf) -> None:
    with pytest.raises(PathEscape):
        shelf.local("../secret")
    with pytest.raises(PathEscape):
        shelf.relative(Path("/etc/hostname"))


# ── moves ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_is_kept_under_its_hash(shelf: Shelf) -> None:
    file = shelf.home("discharge", "custom") / "q.csv"
    known = _bytes(file, b"one")
    shelf.keep_version(file, known)
    file.unlink()
    assert shelf.version(known.sha256).read_bytes() == b"one"


def test_what_was_changed_meanwhile_is_kept_under_its_own_hash(shelf: Shelf) -> None:
    file = shelf.home("discharge", "custom") / "q.csv"
    known = _bytes(file, b"one")
    file.write_bytes(b"edited")
    shelf.keep_version(file, known)
    assert not shelf.version(known.sha256).exists()
    assert shelf.version(sha256_bytes(b"edited")).read_bytes() == b"edited"


def test_a_file_its_owner_may_write_to_is_copied_not_linked(shelf: Shelf) -> None:
    file = shelf.data / "mine.csv"
    known = _bytes(file, b"one")
    shelf.keep_version(file, known, link=False)
    file.write_bytes(b"two")
    assert shelf.version(known.sha256).read_bytes() == b"one"


def test_a_version_is_kept_once(shelf: Shelf) -> None:
    file = shelf.home("discharge", "custom") / "q.csv"
    known = _bytes(file, b"one")
    shelf.keep_version(file, known)
    shelf.keep_version(file, known)
    assert len(list(shelf.versions.iterdir())) == 1


def test_putting_replaces_in_one_step(shelf: Shelf, tmp_path: Path) -> None:
    target = shelf.home("discharge", "custom") / "q.csv"
    _bytes(target, b"old")
    (tmp_path / "new").write_bytes(b"new")
    shelf.put(tmp_path / "new", target)
    assert target.read_bytes() == b"new"
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_putting_from_another_file_system_is_whole_too(shelf: Shelf) -> None:
    there = Path("/dev/shm") / f"hmp-{os.getpid()}"
    there.write_bytes(b"new")
    target = shelf.home("discharge", "custom") / "q.csv"
    shelf.put(there, target)
    assert target.read_bytes() == b"new"
    assert not there.exists()
    assert [p.name for p in target.parent.iterdir()] == ["q.csv"]


def test_half_written_files_are_swept_in_their_time(shelf: Shelf) -> None:
    shelf.incoming.folder.mkdir()
    for name, age in ((".old.json.tmp", 7200), (".new.json.tmp", 0)):
        (shelf.incoming.folder / name).touch()
        os.utime(shelf.incoming.folder / name, (time.time() - age,) * 2)
    shelf.sweep()
    assert [p.name for p in shelf.incoming.folder.iterdir()] == [".new.json.tmp"]
