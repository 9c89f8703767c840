"""Others look on while a run is written: they see it grow, see its end, and keep nobody waiting; scenario 9."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import pairwise
from typing import Any

import numpy as np

from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.catalog import Catalog

PS = SampleMetadata("PS")
COUNT = 150

#: Looks at a run again and again until it has ended, and tells what it saw each time.
LOOKING = """
import json, sys, time
import numpy as np
from hmp_catalog.acquisition.catalog import Catalog

path, uid = sys.argv[1:3]
print("ready", flush=True)
seen = []
while not seen or seen[-1]["status"] == "running":
    with Catalog(path) as catalog:
        run = catalog[uid]
        status = run.exit_status  # asked before: what has ended does not grow
        frames = run.images("camera") if "camera" in run.fields else np.zeros((0, 4, 6))
        right = all((np.asarray(frames[n]) == n).all() for n in range(len(frames) - 1, -1, -9))
        table = run.table()
        assert table["seq_num"].tolist() == list(range(1, len(table) + 1))
        newest = catalog.recent(1)[0].uid == uid
    seen.append({"status": status, "events": len(table), "frames": len(frames), "right": right, "newest": newest})
    time.sleep(0.005)
print(json.dumps(seen))
"""

#: Follows a run from event to event.
FOLLOWING = """
import json, sys, time
from hmp_catalog.acquisition.catalog import Catalog

print("ready", flush=True)
with Catalog(sys.argv[1]) as catalog:
    run = catalog[sys.argv[2]]
    found = [(event.seq_num, time.time() - event.time) for event in run.follow(0.01)]
    print(json.dumps([found, run.exit_status]))
"""


def frame(number: int) -> np.ndarray[Any, Any]:
    return np.full((4, 6), number, "u2")


def begin(writer: RunWriter) -> str:
    run = writer.open_run("scan")
    writer.open_stream("primary", {"level": {}})
    return run


def shoot(writer: RunWriter, number: int) -> None:
    writer.write_image(writer.write_event({"level": number}), "camera", frame(number))


def told(process: Any) -> Any:
    return json.loads(process.stdout.readline())


def test_two_readers_see_a_run_grow_and_end(tmp_path, spawn):
    path = tmp_path / "june.db"
    slowest = 0.0
    with RunWriter(path, PS) as writer:
        run = begin(writer)
        with spawn(LOOKING, path, run, count=2) as readers:
            for each in readers:
                assert each.stdout.readline() == "ready\n"
            for n in range(COUNT):
                began = time.monotonic()
                shoot(writer, n)
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.008)
            writer.close_run()
            for seen in map(told, readers):
                for before, after in pairwise(seen):
                    assert before["events"] <= after["events"]
                    assert before["frames"] <= after["frames"]
                assert all(each["right"] and each["newest"] for each in seen)
                # a frame comes right behind its event
                assert all(each["events"] >= each["frames"] - 1 for each in seen)
                assert seen[-1] | {"status": "success", "events": COUNT, "frames": COUNT} == seen[-1]
                assert {each["status"] for each in seen[:-1]} == {"running"}
                assert len({each["frames"] for each in seen}) > 3
    assert slowest < 5  # nobody makes it wait for as long as a lock would


def test_a_reader_follows_to_the_end(tmp_path, spawn):
    path = tmp_path / "june.db"
    with RunWriter(path, PS) as writer:
        run = begin(writer)
        with spawn(FOLLOWING, path, run) as (reader,):
            assert reader.stdout.readline() == "ready\n"
            for n in range(60):
                shoot(writer, n)
                time.sleep(0.005)
            writer.close_run(exit_status="aborted", reason="enough")
            found, status = told(reader)
    assert [seq for seq, _ in found] == list(range(1, 61))
    assert status == "aborted"


def test_a_run_whose_writer_was_killed_is_interrupted_to_whoever_looks(tmp_path, spawn):
    """No writer has come since, and nothing was mended."""
    path = tmp_path / "june.db"
    dying = """
        import sys, os, signal
        import numpy as np
        from hmp_catalog.acquisition import RunWriter, SampleMetadata
        writer = RunWriter(sys.argv[1], SampleMetadata("PS"))
        writer.open()
        print(writer.open_run("scan"), flush=True)
        writer.open_stream("primary", {"level": {}})
        for n in range(70):
            writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, "u2"))
        print("written", flush=True)
        sys.stdin.readline()
    """
    with spawn(dying, path) as (process,):
        run = process.stdout.readline().strip()
        assert process.stdout.readline() == "written\n"
        with Catalog(path) as catalog:
            assert catalog[run].exit_status == "running"
            assert len(catalog[run].images("camera")) == 70
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with Catalog(path) as catalog:
            found = catalog[run]
            assert found.exit_status == "interrupted"
            assert (np.asarray(found.images("camera")) == np.stack([frame(n) for n in range(70)])).all()
            assert [event.seq_num for event in found.follow(0.01)] == list(range(1, 71))
    assert not list(path.parent.rglob("c.1.0.0"))


def test_a_reader_that_stops_in_the_midst_keeps_nobody_waiting(tmp_path, spawn):
    """It holds a state of the file open, as long as it likes."""
    path = tmp_path / "june.db"
    holding = """
        import sys
        from pathlib import Path
        from hmp_core.backends import SQLiteBackend
        backend = SQLiteBackend(Path(sys.argv[1]))
        with backend.lease(write=False):
            before = backend.fetch_one("SELECT count(*) FROM events")
            print("reading", flush=True)
            sys.stdin.readline()
            assert backend.fetch_one("SELECT count(*) FROM events") == before == (1,)
        print("done", flush=True)
    """
    with RunWriter(path, PS) as writer:
        run = begin(writer)
        shoot(writer, 0)
        with spawn(holding, path) as (reader,):
            assert reader.stdout.readline() == "reading\n"
            os.kill(reader.pid, signal.SIGSTOP)
            try:
                for n in range(1, 100):
                    shoot(writer, n)
                writer.close_run()
            finally:
                os.kill(reader.pid, signal.SIGCONT)
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == "done\n"
    with Catalog(path) as catalog:
        assert len(catalog[run].images("camera")) == 100


def test_frames_that_were_taken_before_a_shard_closed_are_read_after(tmp_path):
    """Where they lie changes between the question and the reading."""
    path = tmp_path / "june.db"
    with RunWriter(path, PS) as writer:
        run = begin(writer)
        for n in range(60):
            shoot(writer, n)
        with Catalog(path) as catalog:
            frames = catalog[run].images("camera")
            for n in range(60, 140):
                shoot(writer, n)
            writer.close_run()
            assert (np.asarray(frames[:60]) == np.stack([frame(n) for n in range(60)])).all()
            assert (frames[59] == frame(59)).all()
