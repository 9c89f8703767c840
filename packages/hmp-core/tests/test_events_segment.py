"""Segments: seen locked or not at all, abandoned when their end is unknown, claimed when their owner is gone."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.errors import NotWritable, PathNotFound, StorageError
from hmp_core.events.segment import NEW, SUFFIX, Segment, claim
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import anybodys_folder, unprivileged


def test_a_segment_is_a_file_of_its_writer(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "a" / "pending")
    assert segment.path.name == f"{segment.writer}{SUFFIX}"
    assert UUID(segment.writer).version == 7
    segment.append(b"one\n")
    segment.append(b"two\n")
    assert segment.path.read_bytes() == b"one\ntwo\n"
    assert [p.name for p in segment.path.parent.iterdir()] == [segment.path.name]
    segment.close()


def test_nobody_claims_it_while_its_owner_lives(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    assert claim(segment.path) is None
    assert run("from hmp_core.events.segment import claim\nsay(claim(path))", path=segment.path) == [None]
    segment.seq = 1
    segment.close()
    descriptor = claim(segment.path)
    assert descriptor is not None
    assert claim(segment.path) is None, "one at a time"
    os.close(descriptor)


def test_the_owner_that_was_killed_leaves_it(tmp_path: Path) -> None:
    code = """
        from hmp_core.events.segment import Segment
        segment = Segment(folder)
        segment.append(b"x\\n")
        say(segment.path); listen()
    """
    with start(code, folder=tmp_path) as child:
        path = child.hear()
        assert claim(path) is None
        child.kill()
        descriptor = claim(path)
        assert descriptor is not None
        os.close(descriptor)
    assert path.read_bytes() == b"x\n"


def test_it_is_never_seen_without_an_owner(tmp_path: Path) -> None:
    """A folding process looks all the while; whatever has the name of a segment cannot be claimed."""
    code = """
        from hmp_core.events.segment import Segment
        segments = []
        say()
        for n in range(150):
            segments.append(Segment(folder))
        say(); listen()
    """
    with start(code, folder=tmp_path) as child:
        child.hear()
        while not child._pipe.poll():
            for path in tmp_path.glob(f"*{SUFFIX}"):
                assert claim(path) is None


def test_it_survives_being_cleared_away_while_it_is_made(tmp_path: Path) -> None:
    """Who clears what others left unfinished may meet one that is only just being made."""
    stop = threading.Event()

    def clear() -> None:
        while not stop.is_set():
            for path in tmp_path.glob(f".*{NEW}"):
                path.unlink(missing_ok=True)

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        made = 0
        for _ in range(200):
            try:
                segment = Segment(tmp_path)
            except PathNotFound:  # cleared away three times in a row: nothing was acknowledged
                continue
            segment.append(b"x\n")
            assert segment.path.read_bytes() == b"x\n"
            segment.close()
            made += 1
        assert made > 150
    finally:
        stop.set()
        thread.join()


def test_an_empty_one_goes_with_its_owner(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    segment.close()
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_removed_acknowledges_nothing(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    segment.path.unlink()
    assert not segment.is_linked()
    with pytest.raises(StorageError, match="removed"):
        segment.append(b"lost\n")
    segment.close()


def test_one_whose_place_was_taken_is_not_linked(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    segment.path.unlink()
    segment.path.touch()
    assert not segment.is_linked()
    segment.close()


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    code = """
        import resource
        from hmp_core.errors import StorageError
        from hmp_core.events.segment import Segment
        segment = Segment(folder)
        segment.append(b"x" * 600)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        for size in (600, 600):
            try:
                segment.append(b"y" * size)
                say("acknowledged")
            except StorageError as error:
                say(str(error))
    """
    short, none = run(code, folder=tmp_path)
    assert "400 of 600" in short
    assert "File too large" in none


def test_a_folder_that_may_not_be_written() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(NotWritable):
            Segment(folder)
        with unprivileged(), pytest.raises(NotWritable):
            Segment(folder / "pending")


def test_what_may_not_be_read_is_not_claimed(tmp_path: Path) -> None:
    assert claim(tmp_path / "nowhere") is None
    with anybodys_folder() as folder:
        (folder / "a.log").touch()
        (folder / "a.log").chmod(0)
        with unprivileged():
            assert claim(folder / "a.log") is None
