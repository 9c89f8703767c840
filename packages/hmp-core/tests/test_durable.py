"""Durable: files are whole or absent, folders are made for good, and what the disk says becomes an error of hmp."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hmp_core.durable import fsync_folder, make_folder, new_file, translated, write_atomic
from hmp_core.errors import BusyError, HmpError, NotWritable, PathNotFound, PathTaken, StorageError
from hmp_core.testing.children import start
from hmp_core.testing.door_suite import anybodys_folder, unprivileged


@contextmanager
def no_more_than(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_it_writes(tmp_path: Path) -> None:
    assert write_atomic(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_it_replaces(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    assert write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_it_leaves_what_is_there_if_told(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    assert not write_atomic(tmp_path / "a", b"new", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_long_name_is_no_trouble(tmp_path: Path) -> None:
    assert write_atomic(tmp_path / ("x" * 255), b"")


def test_of_many_one_is_first(tmp_path: Path) -> None:
    won: list[int] = []
    ready = threading.Barrier(8)

    def attempt(name: int) -> None:
        ready.wait()
        if write_atomic(tmp_path / "a", str(name).encode(), overwrite=False):
            won.append(name)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(n) for n in won] == [(tmp_path / "a").read_text()]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"0" * 100_000)
    code = """
        from hmp_core.durable import write_atomic
        say()
        for n in range(200):
            write_atomic(path, str(n % 10).encode() * 100_000)
        say()
    """
    with start(code, path=path) as child:
        child.hear()
        seen = 0
        while not child._pipe.poll():
            content = path.read_bytes()
            assert len(content) == 100_000
            assert len(set(content)) == 1
            seen += 1
    assert seen > 0


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    with no_more_than(1000), pytest.raises(StorageError) as refused:
        write_atomic(tmp_path / "a", b"x" * 5000)
    assert refused.value.path == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        write_atomic(tmp_path / "nowhere" / "a", b"")


def test_a_folder_that_may_not_be_written() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(NotWritable):
            write_atomic(folder / "a", b"")


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────


def test_folders_are_made_with_those_above(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    fsync_folder(tmp_path / "a")


@pytest.mark.parametrize("below", ["file", "file/a", "file/a/b"])
def test_no_folder_where_a_file_is(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(NotWritable):
        make_folder(tmp_path / below)
    assert (tmp_path / "file").read_text() == "of the user"


@pytest.mark.parametrize("path", ["/proc/hmp", "/proc/hmp/a/b", "/sys/hmp"])
def test_no_folder_where_the_kernel_says_no(path: str) -> None:
    if not Path(path).parents[-2].is_dir():
        pytest.skip(f"{path} is not a thing of this system")
    with pytest.raises(NotWritable):
        make_folder(Path(path))


# ── words ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EIO, StorageError),
        (errno.EFBIG, StorageError),
        (errno.EACCES, NotWritable),
        (errno.EPERM, NotWritable),
        (errno.EROFS, NotWritable),
        (errno.ENOTDIR, NotWritable),
        (errno.ENAMETOOLONG, NotWritable),
        (errno.ENOENT, PathNotFound),
    ],
)
def test_what_the_system_says(number: int, kind: type[HmpError]) -> None:
    with pytest.raises(kind, match="/aare") as refused, translated(Path("/aare")):
        raise OSError(number, os.strerror(number))
    assert isinstance(refused.value.__cause__, OSError)


def test_what_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(OSError, match="odd"), translated(Path("/aare")):
        raise OSError(errno.ENOTTY, "odd")


@pytest.mark.parametrize("kind", [NotWritable, StorageError, BusyError, PathNotFound])
def test_our_own_words_are_not_said_twice(kind: type[HmpError]) -> None:
    """Some of our errors are OSErrors too."""
    mine = kind("aare: as it was")
    with pytest.raises(kind) as refused, translated(Path("/elsewhere")):
        raise mine
    assert refused.value is mine


# ── a new file ───────────────────────────────────────────────────────────────────────────────────────


def test_a_new_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.nc") as draft:
        draft.write_bytes(b"half")
        assert not (tmp_path / "a.nc").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def fill(path: Path, *, and_then: Callable[[], object] = lambda: None) -> None:
    with new_file(path) as draft:
        draft.write_bytes(b"half")
        and_then()


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    mine, late = tmp_path / "a.nc", tmp_path / "b.nc"
    mine.write_bytes(b"mine")
    with pytest.raises(PathTaken):
        fill(mine)
    with pytest.raises(PathTaken):
        fill(late, and_then=lambda: late.write_bytes(b"somebody was sooner"))
    assert (mine.read_bytes(), late.read_bytes()) == (b"mine", b"somebody was sooner")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "b.nc"]


def test_a_new_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fill(tmp_path / "a.nc", and_then=lambda: 1 // 0)
    assert list(tmp_path.iterdir()) == []
