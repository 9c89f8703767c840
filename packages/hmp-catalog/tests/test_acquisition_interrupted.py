"""Ctrl-C before any line of a writer that goes on, and a power cut: the tables, the frames and the numbers agree."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import hmp_catalog.acquisition
from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.catalog import Catalog
from hmp_catalog.errors import LostFrames, WriterState

PS = SampleMetadata("PS")
ROOMS = {str(each) for each in Path(hmp_catalog.acquisition.__file__).parent.rglob("*.py")}
#: Steps between two interrupts: the ordinary run takes some.
SOME = 14


def frame(number: int) -> np.ndarray[Any, Any]:
    return np.full((4, 6), number, "u2")


def interrupted(work: Callable[[], None], at: int) -> int:
    """Do ``work``, with a Ctrl-C before a line of the writer; return how many lines were run."""
    steps = 0

    def step(code: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if code.f_code.co_filename not in ROOMS:
            return None
        if event == "line":
            steps += 1
            if steps == at:
                raise KeyboardInterrupt
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return steps


def shoot(writer: RunWriter, *numbers: int) -> None:
    for n in numbers:
        writer.write_image(writer.write_event({"level": n}), "camera", frame(n))


def check(path: Path, status: str, least: set[int]) -> None:
    """Hold frames against events: each frame is of the event that it says, and what was acknowledged is there."""
    with Catalog(path) as catalog:
        (uid,) = catalog
        run = catalog[uid]
        assert run.exit_status == status
        events = run.events("primary")
        assert [event.seq_num for event in events] == list(range(1, len(events) + 1))
        assert run.num_events == len(events)
        level = {event.seq_num: event.data["level"] for event in events}
        images = run.images("camera")
        shown = [level[int(seq)] for seq in images.seq_nums]
        assert (np.asarray(images) == np.stack([frame(n) for n in shown])).all()
        assert least <= set(shown)


def round_of(path: Path, at: int, flush_events: int) -> int:
    """Fill most of a shard, be interrupted on the way over its end, and go on."""
    with RunWriter(path, PS, flush_events=flush_events, sync_seconds=0) as writer:
        writer.open_run("scan")
        writer.open_stream("primary", {"level": {}})
        shoot(writer, *range(63))
        if flush_events > 1:
            writer.open_stream("other", {})  # commits
            steps = interrupted(
                lambda: [writer.write_event({"level": n}, stream="primary") for n in (63, 64)] and None, at
            )
        else:
            steps = interrupted(lambda: shoot(writer, 63, 64), at)
        for n in range(65, 70):
            event = writer.write_event({"level": n}, stream="primary")
            writer.write_image(event, "camera", frame(n))
        writer.close_run()
    check(path, "success", {*range(63), *range(65, 70)})
    return steps


@pytest.mark.parametrize("flush_events", [1, 50])
def test_a_writer_goes_on_after_ctrl_c(tmp_path, flush_events):
    steps = round_of(tmp_path / "none.db", 0, flush_events)
    assert steps > 40
    for at in range(1, steps + 1, SOME * 2):
        round_of(tmp_path / f"{at}.db", at, flush_events)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flush_events", [1, 50])
def test_a_writer_goes_on_after_ctrl_c_before_any_line(tmp_path, flush_events):
    for at in range(1, round_of(tmp_path / "none.db", 0, flush_events) + 1):
        round_of(tmp_path / f"{at}.db", at, flush_events)


def test_ctrl_c_while_a_run_is_closed_leaves_one_that_can_be_closed(tmp_path):
    def closed(path: Path, at: int) -> int:
        writer = RunWriter(path, PS)
        writer.open()
        writer.open_run("scan")
        writer.open_stream("primary", {"level": {}})
        shoot(writer, 1, 2, 3)
        steps = interrupted(writer.close_run, at)
        with suppress(WriterState):  # it is closed
            writer.close_run()
        writer.close()
        check(path, "success", {1, 2, 3})
        return steps

    for at in range(closed(tmp_path / "none.db", 0), 0, -SOME):
        closed(tmp_path / f"{at}.db", at)


# ── a power cut ──────────────────────────────────────────────────────────────────────────────────────

DYING = """
import os, signal, sys
import numpy as np
from hmp_catalog.acquisition import RunWriter, SampleMetadata
writer = RunWriter(sys.argv[1], SampleMetadata("PS"))
writer.open()
print(writer.open_run("scan"), flush=True)
writer.open_stream("primary", {"level": {}})
for n in range(10):
    writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, "u2"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
def test_frames_that_a_power_cut_took_are_named_and_the_others_are_there(tmp_path, spawn, damage):
    """The rows of the last second were flushed, and the bytes of the frames were not."""
    path = tmp_path / "june.db"
    with spawn(DYING, path) as (process,):
        run = process.stdout.readline().strip()
        process.wait()
    (hidden,) = (tmp_path / "june.zarr").rglob(".open-0")
    size = hidden.stat().st_size
    if damage == "gone":
        hidden.unlink()
    else:
        os.truncate(hidden, size * 7 // 10)
        os.truncate(hidden, size if damage == "zeros" else size * 7 // 10)
    left = 0 if damage == "gone" else 7
    for _ in range(2):  # the next writer works, and so does the one after it
        with RunWriter(path, PS):
            pass
        with Catalog(path) as catalog:
            found = catalog[run]
            assert found.exit_status == "interrupted"
            assert found.num_events == 10
            images = found.images("camera")
            assert len(images) == 10
            assert (np.asarray(images[:left]) == np.stack([frame(n) for n in range(left)] or [frame(0)])[:left]).all()
            with pytest.raises(LostFrames, match="camera") as caught:
                images[left]
            assert caught.value.frames == (left,)


def test_metadata_of_a_dead_run_that_cannot_be_read_keep_nobody_from_writing(tmp_path, spawn):
    path = tmp_path / "june.db"
    with spawn(DYING, path) as (process,):
        run = process.stdout.readline().strip()
        process.wait()
    (tmp_path / "june.zarr" / "runs" / run / "camera" / "zarr.json").write_text("{")
    with RunWriter(path, PS) as writer:
        writer.open_run("next")
    with Catalog(path) as catalog:
        assert [summary.exit_status for summary in catalog.recent()] == ["success", "interrupted"]
        assert json.dumps(catalog[run].num_events) == "10"
