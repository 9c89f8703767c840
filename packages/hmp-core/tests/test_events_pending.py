"""What there is to fold: how far each file was read, what is packed when, what is dropped and what is kept."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.events import Event, EventLog
from hmp_core.events.pending import Harvest, LogFiles, Position
from hmp_core.events.record import decode, encode
from hmp_core.events.segment import Segment
from hmp_core.identity import uuid7

NOVEMBER = 1_794_000_000_000  # 2026-11-06


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    files = LogFiles(tmp_path / "gauges.duckdb")
    files.pending.mkdir(parents=True)
    return files


def _event(n: int, **more: object) -> Event:
    return Event(UUID(int=n), "gauges", 1, "level.set", n, n, "emma", {"n": n, **more})


def _left(files: LogFiles, *events: Event, end: bytes = b"", month: int = NOVEMBER) -> Path:
    """Write a segment whose owner is gone."""
    path = files.pending / f"{uuid7(month)}.log"
    path.write_bytes(b"".join(map(encode, events)) + end)
    return path


def _numbers(harvest: Harvest) -> list[int]:
    return [event.id.int for event in harvest.events]


def _packed(files: LogFiles) -> dict[str, list[int]]:
    return {
        pack.name: [line.event.id.int for line in decode(pack.read_bytes()) if line.event] for pack in files.packed()
    }


def _done(harvest: Harvest) -> dict[str, Position]:
    """Do what follows a commit, and return what the database then knows."""
    harvest.discard()
    return dict(harvest.positions)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_nothing(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "nowhere" / "gauges.duckdb")
    assert files.harvest({}).events == []
    assert not files.is_behind({})
    assert files.unread({}) == files.rejected_count() == 0
    assert not (tmp_path / "nowhere").exists()


def test_a_segment_that_is_left_is_read_packed_and_removed(files: LogFiles) -> None:
    path = _left(files, _event(1), _event(2))
    harvest = files.harvest({})
    assert _numbers(harvest) == [1, 2]
    assert _packed(files) == {"2026-11.log": [1, 2]}
    assert path.exists(), "until the database knows"
    known = _done(harvest)
    assert not path.exists()
    assert not files.is_behind(known)
    assert files.unread(known) == 0
    assert _numbers(files.harvest(known)) == []


def test_a_segment_in_use_is_read_as_it_grows(files: LogFiles) -> None:
    segment = Segment(files.pending)
    segment.append(encode(_event(1)))
    harvest = files.harvest({})
    assert _numbers(harvest) == [1]
    assert harvest.finished == []
    known = _done(harvest)
    assert not files.is_behind(known)
    segment.append(encode(_event(2)))
    assert files.is_behind(known)
    assert files.unread(known) == 1
    harvest = files.harvest(known)
    assert _numbers(harvest) == [2]
    known = _done(harvest)
    segment.seq = 2
    segment.close()
    assert files.is_behind(known), "it was left: it is to be packed"
    harvest = files.harvest(known)
    assert _numbers(harvest) == []
    assert _packed(files) == {f"{time.strftime('%Y-%m', time.gmtime())}.log": [1, 2]}


def test_segments_go_to_the_pack_of_their_month(files: LogFiles) -> None:
    _left(files, _event(1), month=0)
    _left(files, _event(2))
    _left(files, _event(3))
    (files.pending / "not a writer.log").write_bytes(encode(_event(4)))
    _done(files.harvest({}))
    packed = {name: sorted(numbers) for name, numbers in _packed(files).items()}
    assert packed == {"1970-01.log": [1], "2026-11.log": [2, 3], "undated.log": [4]}


def test_a_pack_that_others_made_is_read(files: LogFiles) -> None:
    """A copied workspace, a restored backup, two logs merged."""
    files.packs.mkdir()
    (files.packs / "2020-01.log").write_bytes(encode(_event(1)))
    assert files.is_behind({})
    harvest = files.harvest({})
    assert _numbers(harvest) == [1]
    known = _done(harvest)
    (files.packs / "2020-01.log").write_bytes(encode(_event(1)) + encode(_event(2)))
    assert files.unread(known) == 1
    harvest = files.harvest(known)
    assert _numbers(harvest) == [2]
    known = _done(harvest)
    (files.packs / "2020-01.log").write_bytes(encode(_event(3)))
    assert _numbers(files.harvest(known)) == [3], "an older copy in its place is read again from its beginning"


def test_a_shorter_segment_is_read_again(files: LogFiles) -> None:
    path = _left(files, _event(1))
    known = {path.name: Position(10_000)}
    assert files.is_behind(known)
    assert _numbers(files.harvest(known)) == [1]


def test_what_other_systems_leave_beside_is_not_read(files: LogFiles) -> None:
    files.packs.mkdir()
    (files.packs / "._2026-11.log").write_bytes(b"\0\5\26\7 a Mac was here")
    (files.pending / ".nfs0001.log").write_bytes(b"so was NFS")
    assert not files.is_behind({})
    assert files.harvest({}).rejected == 0


def test_everything_reads_all_and_changes_nothing(files: LogFiles) -> None:
    _left(files, _event(1))
    _done(files.harvest({}))
    path = _left(files, _event(2), end=b"0000")
    before = {p: p.read_bytes() for p in (path, *files.packed())}
    assert [event.id.int for event in files.everything().events] == [1, 2]
    assert {p: p.read_bytes() for p in before} == before


# ── torn and damaged ─────────────────────────────────────────────────────────────────────────────────


def test_a_torn_end_of_a_living_writer_is_left_to_it(files: LogFiles) -> None:
    segment = Segment(files.pending)
    line = encode(_event(2))
    segment.append(encode(_event(1)) + line[:40])
    known = _done(files.harvest({}))
    assert known[segment.path.name].position == len(encode(_event(1)))
    segment.append(line[40:])
    assert _numbers(files.harvest(known)) == [2]
    segment.close()


@pytest.mark.parametrize("cut", [1, 8, 9, 17, 18, 19, 60, -1])
def test_a_torn_end_of_a_dead_writer_was_never_acknowledged(
    files: LogFiles, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    _left(files, _event(1), end=encode(_event(2))[:cut])
    with caplog.at_level(logging.WARNING):
        harvest = files.harvest({})
    assert _numbers(harvest) == [1]
    assert harvest.rejected == files.rejected_count() == 0
    assert "never acknowledged" in caplog.text
    _done(harvest)
    assert _packed(files) == {"2026-11.log": [1]}


def test_a_damaged_line_is_kept_and_the_others_are_read(files: LogFiles, caplog: pytest.LogCaptureFixture) -> None:
    lines = [bytearray(encode(_event(n))) for n in (1, 2, 3)]
    lines[1][50] ^= 4
    path = _left(files, end=b"".join(map(bytes, lines)))
    with caplog.at_level(logging.ERROR):
        harvest = files.harvest({})
    assert _numbers(harvest) == [1, 3]
    assert harvest.rejected == files.rejected_count() == 1
    (kept,) = files.rejected.iterdir()
    assert kept.read_bytes() == bytes(lines[1])
    assert str(kept) in caplog.text
    harvest.release()
    harvest = files.harvest({})  # the process died before it could commit
    assert files.rejected_count() == 1, "kept once"
    _done(harvest)
    assert not path.exists()
    assert _packed(files) == {"2026-11.log": [1, 3]}


def test_a_damaged_last_line_is_not_taken_for_a_torn_one(files: LogFiles) -> None:
    line = bytearray(encode(_event(2)))
    line[-1] = ord("x")
    _left(files, _event(1), end=bytes(line))
    assert _numbers(files.harvest({})) == [1]
    assert files.rejected_count() == 1


def test_a_text_of_the_user_among_the_packs_is_not_cut(files: LogFiles) -> None:
    files.packs.mkdir()
    (files.packs / "notes.log").write_text("remember the milk")
    harvest = files.harvest({})
    assert harvest.rejected == 1
    assert (files.packs / "notes.log").read_text() == "remember the milk"


# ── packing, and dying at it ─────────────────────────────────────────────────────────────────────────


def test_who_dies_before_the_commit_packs_nothing_twice(files: LogFiles) -> None:
    """The pack was appended, the database does not know of it, the segment is still there."""
    path = _left(files, _event(1), _event(2))
    files.harvest({}).release()
    assert _packed(files) == {"2026-11.log": [1, 2]}
    harvest = files.harvest({})
    assert sorted(set(_numbers(harvest))) == [1, 2]
    assert _packed(files) == {"2026-11.log": [1, 2]}
    _done(harvest)
    assert not path.exists()


def test_who_dies_while_packing_leaves_a_pack_that_is_made_whole(files: LogFiles) -> None:
    """At every third byte of the copy."""
    whole = encode(_event(1)) + encode(_event(2))
    files.packs.mkdir()
    for cut in [*range(0, len(whole), 3), len(whole)]:
        path = _left(files, _event(1), _event(2))
        (files.packs / "2026-11.log").write_bytes(whole[:cut])
        harvest = files.harvest({})
        assert sorted(set(_numbers(harvest))) == [1, 2]
        assert _packed(files) == {"2026-11.log": [1, 2]}
        assert (files.packs / "2026-11.log").read_bytes() == whole
        _done(harvest)
        assert not path.exists()
    assert files.rejected_count() == 0


def test_who_dies_before_removing_the_segment_leaves_it_to_the_next(files: LogFiles) -> None:
    path = _left(files, _event(1))
    harvest = files.harvest({})
    known = dict(harvest.positions)
    harvest.release()  # committed, and then killed
    for _ in range(3):  # and the next one as well
        assert files.unread(known) == 0
        harvest = files.harvest(known)
        assert _numbers(harvest) == []
        assert harvest.finished == [path]
        known = dict(harvest.positions)
        assert known[path.name].packed
        harvest.release()
    files.harvest(known).discard()
    assert not path.exists()
    assert _packed(files) == {"2026-11.log": [1]}


def test_the_row_of_a_segment_goes_when_the_file_is_gone(files: LogFiles) -> None:
    path = _left(files, _event(1))
    known = _done(files.harvest({}))
    assert path.name in known
    assert path.name not in files.harvest(known).positions


def test_a_segment_that_cannot_be_removed_harms_nothing(
    files: LogFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _left(files, _event(1))
    harvest = files.harvest({})

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "unlink", refuse)
        known = _done(harvest)
    assert "cannot be removed" in caplog.text
    assert not files.is_behind(known)
    _done(files.harvest(known))
    assert not path.exists()


def test_claimed_segments_are_given_back(files: LogFiles) -> None:
    for n in range(20):
        _left(files, _event(n))
    before = len(os.listdir("/proc/self/fd"))
    harvest = files.harvest({})
    assert len(harvest.descriptors) == 20
    harvest.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_segments_that_never_came_to_be_are_swept_when_they_are_old(files: LogFiles) -> None:
    old, young = files.pending / ".old.new", files.pending / ".young.new"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    files.harvest({})
    assert (old.exists(), young.exists()) == (False, True)


def test_a_living_log_and_its_harvest_meet(files: LogFiles) -> None:
    log = EventLog(files.pending.parents[2] / "gauges.duckdb", "gauges", auth=LocalAuthBackend(), resource="x")
    first = log.append("a", {})
    harvest = files.harvest({})
    assert [event.id for event in harvest.events] == [first.id]
    log.close()
    assert _numbers(files.harvest(_done(harvest))) == []


def test_what_came_since_is_told_where_nothing_else_is_to_be_done(files: LogFiles) -> None:
    segment = Segment(files.pending)
    segment.append(encode(_event(1)))
    known = _done(files.harvest({}))
    assert files.recent(known) == []
    segment.append(encode(_event(2)))
    told = files.recent(known)
    assert told is not None
    assert [event.id.int for event in told] == [2]
    with segment.path.open("ab") as file:
        file.write(encode(_event(3))[:-5])
    told = files.recent(known)
    assert told is not None
    assert [event.id.int for event in told] == [2], "the third is being written"


@pytest.mark.parametrize("what", ["left", "shorter", "gone", "not events", "a pack came", "a pack grew", "a pack went"])
def test_what_came_since_is_not_told_where_a_fold_has_more_to_do(files: LogFiles, what: str) -> None:
    _left(files, _event(1))
    segment = Segment(files.pending)
    segment.append(encode(_event(2)))
    known = _done(files.harvest({}))
    pack = files.packs / "2026-11.log"
    assert files.recent(known) == []
    match what:
        case "left":
            _left(files, _event(3))
        case "shorter":
            os.truncate(segment.path, 3)
        case "gone":
            segment.path.unlink()
        case "not events":
            segment.append(b"not an event\n")
        case "a pack came":
            (files.packs / "2020-01.log").write_bytes(encode(_event(3)))
        case "a pack grew":
            pack.write_bytes(pack.read_bytes() + encode(_event(3)))
        case "a pack went":
            pack.unlink()
    assert files.recent(known) is None
