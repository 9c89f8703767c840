"""Whether a session is whole, and what nobody needs: scenarios 12 and 15, with writers that live and that died."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3  # noqa: TID251 - a file of the first version is made by hand
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zarr

from hmp_catalog.acquisition import (
    Catalog,
    RunWriter,
    SampleMetadata,
    delete_run,
    gc,
    migrate_beamtime_schema,
    verify,
)
from hmp_catalog.acquisition.looking import Finding
from hmp_core.errors import BusyError, DatabaseNotFound, InvalidInput, NotFound

#: More than a shard.
COUNT = 70

#: A writer that acknowledges three frames, begins a fourth, and is killed.
_KILLED = """
import os, signal, sys
import numpy as np
from hmp_catalog.acquisition import RunWriter, SampleMetadata
writer = RunWriter(sys.argv[1], SampleMetadata("outlet"))
writer.open()
writer.open_run("count")
writer.open_stream("primary", {"level": {}})
for n in range(3):
    writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, np.uint16))
os.kill(os.getpid(), signal.SIGKILL)
"""


def record(path: Path, *, fields: tuple[str, ...] = ("camera",), count: int = COUNT) -> str:
    """Record a run with frames of noise, the first of which are dark, and return its uid."""
    noise = np.random.default_rng(1)
    with RunWriter(path, SampleMetadata("outlet"), sync_seconds=60.0, flush_events=20) as writer:
        uid = writer.open_run("count")
        writer.open_stream("primary", {"level": {"dtype": "number"}})
        for n in range(count):
            event = writer.write_event({"level": n})
            for name in fields:
                frame = noise.integers(0, 60_000, (4, 6)).astype(np.uint16)
                writer.write_image(event, name, np.zeros_like(frame) if n < 3 else frame)
        writer.close_run()
    return uid


def killed(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Path]:
    """A session whose other run, untouched by what is done to the first, is right at the end too."""
    path = tmp_path / "june.db"
    other = record(path)
    with Catalog(path) as catalog:
        before = np.asarray(catalog[other].images("camera"))
    yield path
    if path.exists() and path.with_suffix(".zarr").exists():
        with Catalog(path) as catalog:
            assert np.array_equal(np.asarray(catalog[other].images("camera")), before)


def array(path: Path, uid: str, name: str = "camera") -> Path:
    return path.with_suffix(".zarr") / "runs" / uid / name


def told(found: list[Finding]) -> list[tuple[str, str | None, str | None, tuple[int, ...]]]:
    return [(each.code, each.run, each.field, each.frames) for each in found]


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.write_bytes(data)


# ── what is lost (scenario 12) ───────────────────────────────────────────────────────────────────────


def test_a_whole_session_has_no_findings_and_dark_frames_are_frames(session: Path) -> None:
    assert verify(session) == verify(session, deep=True) == gc(session) == []


def test_a_lost_shard_is_its_frames_and_no_others(session: Path) -> None:
    uid = record(session, fields=("camera", "radar"))
    (array(session, uid, "radar") / "c.0.0.0").unlink()
    assert told(verify(session)) == [("lost-frames", uid, "radar", tuple(range(64)))]
    (array(session, uid, "radar") / "c.1.0.0").unlink()
    assert told(verify(session)) == [
        ("lost-frames", uid, "radar", tuple(range(64))),
        ("lost-frames", uid, "radar", tuple(range(64, COUNT))),
    ]


def test_a_lost_array_and_a_lost_store_are_named(session: Path) -> None:
    uid = record(session)
    shutil.rmtree(array(session, uid))
    assert told(verify(session)) == [("lost-array", uid, "camera", tuple(range(COUNT)))]
    shutil.rmtree(session.with_suffix(".zarr"))
    found = verify(session)
    assert [each.code for each in found] == ["lost-store", "lost-array", "lost-array"]
    assert uid in {each.run for each in found}
    assert gc(session, dry_run=False) == []
    assert not session.with_suffix(".zarr").exists()


def test_a_chunk_that_the_index_of_a_shard_has_not_is_one_lost_frame(session: Path) -> None:
    uid = record(session)
    file = array(session, uid) / "c.0.0.0"
    data = file.read_bytes()
    index = np.frombuffer(data[-64 * 16 - 4 : -4], "<u8").reshape(64, 2).copy()
    index[5] = 2**64 - 1
    import google_crc32c

    tail = index.tobytes()
    file.write_bytes(data[: -64 * 16 - 4] + tail + google_crc32c.value(tail).to_bytes(4, "little"))
    assert told(verify(session)) == [("lost-frames", uid, "camera", (5,))]


def test_a_flipped_byte_is_found_where_it_is_when_frames_are_read(session: Path) -> None:
    uid = record(session)
    flip(array(session, uid) / "c.1.0.0", 20)
    assert verify(session) == []
    assert told(verify(session, deep=True)) == [("damaged-frames", uid, "camera", (64,))]


def test_a_damaged_index_of_a_shard_is_found_at_once(session: Path) -> None:
    uid = record(session)
    flip(array(session, uid) / "c.1.0.0", -30)
    assert told(verify(session)) == [("damaged-frames", uid, "camera", tuple(range(64, COUNT)))]


def test_frames_that_were_changed_through_zarr_have_another_hash(session: Path) -> None:
    uid = record(session)
    zarr.open_array(array(session, uid), mode="r+")[3] = 7
    assert verify(session) == []
    assert told(verify(session, deep=True)) == [("damaged-frames", uid, "camera", tuple(range(64)))]


def test_an_array_that_says_something_else_than_its_session_is_lost(session: Path) -> None:
    uid = record(session)
    file = array(session, uid) / "zarr.json"
    said = json.loads(file.read_bytes())
    said["shape"] = [COUNT, 6, 4]
    said["chunk_grid"]["configuration"]["chunk_shape"] = [64, 6, 4]
    file.write_text(json.dumps(said))
    assert told(verify(session)) == [("lost-array", uid, "camera", tuple(range(COUNT)))]


def test_the_zarr_group_of_another_session_is_told_and_not_cleared(tmp_path: Path) -> None:
    record(tmp_path / "june.db"), record(tmp_path / "july.db")
    shutil.rmtree(tmp_path / "june.zarr")
    shutil.copytree(tmp_path / "july.zarr", tmp_path / "june.zarr")
    assert [each.code for each in verify(tmp_path / "june.db")] == ["foreign-store", "lost-array"]
    with pytest.raises(InvalidInput, match="another session"):
        gc(tmp_path / "june.db", dry_run=False)


def test_events_that_are_gone_are_told(session: Path) -> None:
    uid = record(session, fields=())
    with closing(sqlite3.connect(session)) as conn, conn:
        conn.execute(
            "DELETE FROM events WHERE seq_num = 5 AND stream_uid IN (SELECT uid FROM streams WHERE run_uid = ?)", [uid]
        )
    assert told(verify(session)) == [("lost-events", uid, None, ())]


def test_what_is_not_there_is_no_session(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFound):
        verify(tmp_path / "none.db")
    with pytest.raises(DatabaseNotFound):
        gc(tmp_path / "none.db", dry_run=False)


# ── deleting and clearing (scenario 15) ──────────────────────────────────────────────────────────────


def test_a_deleted_run_leaves_its_arrays_to_gc(session: Path) -> None:
    uid = record(session)
    delete_run(session, uid)
    with Catalog(session) as catalog:
        assert uid not in catalog
    assert array(session, uid).exists()
    planned = gc(session)
    assert told(planned) == told(verify(session)) == [("orphan-run", uid, None, ())]
    assert array(session, uid).exists()
    assert gc(session, dry_run=False) == planned
    assert not array(session, uid).parent.exists()
    assert verify(session, deep=True) == gc(session, dry_run=False) == []


def test_a_run_is_deleted_by_its_whole_uid(session: Path) -> None:
    uid = record(session)
    for wrong in (uid[:8], "", "nobody"):
        with pytest.raises(NotFound):
            delete_run(session, wrong)
    assert verify(session) == []


def test_a_removal_that_was_cut_short_is_ended_by_the_next(session: Path) -> None:
    uid = record(session, fields=("camera", "radar"))
    delete_run(session, uid)
    (array(session, uid) / "zarr.json").unlink()
    (array(session, uid).parent / "zarr.json").unlink()
    shutil.rmtree(array(session, uid, "radar"))
    assert told(gc(session, dry_run=False)) == [("orphan-run", uid, None, ())]
    assert verify(session, deep=True) == []


def test_an_array_without_frames_and_a_tail_are_removed(session: Path) -> None:
    uid = record(session)
    here = array(session, uid)
    shutil.copytree(here, here.with_name("radar"))
    shutil.copy(here / "c.0.0.0", here / "c.2.0.0")
    (here / ".open-1").write_bytes(b"half a frame")
    said = json.loads((here / "zarr.json").read_bytes())
    said["shape"][0] = 192
    (here / "zarr.json").write_text(json.dumps(said))
    before = gc(session)
    assert told(before) == [
        ("orphan-tail", uid, "camera", tuple(range(COUNT, 192))),
        ("orphan-array", uid, "radar", ()),
    ]
    assert gc(session, dry_run=False) == before
    assert sorted(file.name for file in here.iterdir()) == ["c.0.0.0", "c.1.0.0", "zarr.json"]
    assert zarr.open_array(here, mode="r").shape == (COUNT, 4, 6)
    assert verify(session, deep=True) == []


def test_folders_that_are_no_runs_are_left_alone(session: Path) -> None:
    notes = session.with_suffix(".zarr") / "runs" / "notes"
    notes.mkdir()
    assert gc(session, dry_run=False) == []
    assert notes.is_dir()


# ── writers that live, and that died ─────────────────────────────────────────────────────────────────


def test_a_live_writer_is_not_disturbed(session: Path) -> None:
    deleted = record(session)
    delete_run(session, deleted)
    with RunWriter(session, SampleMetadata("outlet")) as writer:
        uid = writer.open_run("count")
        writer.open_stream("primary", {"level": {}})
        for n in range(COUNT):
            writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, np.uint16))
            if n in {0, 62, 63, 64, COUNT - 1}:
                assert told(verify(session, deep=True)) == told(gc(session)) == [("orphan-run", deleted, None, ())]
        script = "import sys; from hmp_catalog.acquisition import gc; gc(sys.argv[1], dry_run=False, timeout=0.1)"
        done = subprocess.run([sys.executable, "-c", script, str(session)], capture_output=True, text=True, check=False)
        assert BusyError.__name__ in done.stderr
        writer.close_run()
    assert told(gc(session, dry_run=False)) == [("orphan-run", deleted, None, ())]
    with Catalog(session) as catalog:
        assert len(catalog[uid].images("camera")) == COUNT


def test_what_a_dead_writer_left_is_told_and_closed_by_gc(session: Path) -> None:
    killed(session)
    with Catalog(session) as catalog:
        (dead,) = [run.uid for run in catalog.find(status="interrupted")]
    planned = verify(session, deep=True)
    assert told(planned) == [("unclosed-run", dead, None, ())]
    assert gc(session, dry_run=False) == planned
    assert verify(session, deep=True) == []
    with Catalog(session) as catalog:
        assert catalog[dead].reason
        assert np.asarray(catalog[dead].images("camera"))[:, 0, 0].tolist() == [0, 1, 2]


def test_acknowledged_frames_that_a_dead_writer_lost_stay_named(session: Path) -> None:
    killed(session)
    (file,) = session.with_suffix(".zarr").glob("runs/*/camera/.open-0")
    dead = file.parent.parent.name
    file.write_bytes(file.read_bytes()[:-5])
    assert told(verify(session))[0] == ("lost-frames", dead, "camera", (2,))
    gc(session, dry_run=False)
    assert ("lost-frames", dead, "camera", (2,)) in told(verify(session))


# ── older versions ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A session of the first version with two runs of three frames, the second of them dark."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        migrate_beamtime_schema(conn, 1)
        for run in ("a" * 32, "b" * 32):
            group = f"runs/{run}/camera"
            conn.execute("INSERT INTO runs (uid, plan_name, time_start, exit_status) VALUES (?, 'scan', 1, '')", [run])
            conn.execute("INSERT INTO streams VALUES (?, ?, 'primary', '{}', 1.0)", [f"s{run}", run])
            stack = zarr.open_group(tmp_path / "old.zarr").create_array(
                group, shape=(3, 4, 6), chunks=(1, 4, 6), dtype="int32"
            )
            for n in range(3):
                stack[n] = n % 2
                event = f"e{run}{n}"
                conn.execute("INSERT INTO events VALUES (?, ?, ?, 1.0, '{}', '{}')", [event, f"s{run}", n + 1])
                row = [event, group, n]
                conn.execute(
                    "INSERT INTO image_refs VALUES (NULL, ?, 'camera', ?, ?, 4, 6, 'int32')",
                    row,
                )
    return path


def test_an_old_session_is_checked_cleared_and_not_migrated(old: Path) -> None:
    first, second = "a" * 32, "b" * 32
    assert verify(old, deep=True) == []
    zarr.open_array(array(old, second), mode="r+").resize((5, 4, 6))
    delete_run(old, first)
    orphans = [("orphan-run", first, None, ()), ("orphan-tail", second, "camera", (3, 4))]
    assert told(gc(old)) == orphans
    assert told(gc(old, dry_run=False)) == orphans
    assert verify(old, deep=True) == []
    with closing(sqlite3.connect(old)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone() == (1,)
    shutil.rmtree(array(old, second))
    assert told(verify(old)) == [("lost-array", second, "camera", (0, 1, 2))]


def test_a_chunk_of_an_old_session_that_is_damaged_is_found(old: Path) -> None:
    flip(array(old, "b" * 32) / "c" / "1" / "0" / "0", 3)
    assert [(code, frames) for code, *_, frames in told(verify(old, deep=True))] == [("damaged-frames", (1,))]
