"""The acquisition store beside plain Zarr and the original: events, frames, files, bytes, reading, a large catalog.

``python acquisition.py [--frames 4000] [--rounds 3] [--json FILE] [--where FOLDER]``. Frames are photon counts of a
detector of 256 x 256 pixels. Plain Zarr gets them one by one as the original puts them down: an array that is made
longer by one, a chunk a frame, and no table beside it. Of the original itself no code is run: its figures were measured
on another machine (see ``ORIGINAL``) and are told to compare sizes of things, not to a digit.

Of hmp a frame is an event, its row, its bytes and two commits that outlive a power cut. Writing takes turns in blocks
of a thousand frames, so that what else the machine does meets both; the disk is flushed in between, which nobody's
time shows: else the commits of the one would wait for the files of the other, which never flushes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from timing import Figure, disk, note, processor, tell

from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.catalog import Catalog
from hmp_core.backends import SQLiteBackend

EVENTS, RUNS, READ = 1_000, 10_000, 300
SHAPE = (256, 256)
BLOCK = 1_000
#: Goals: ms a frame; by how much the last thousand may be slower than the first; files of 4,000 frames; how many times
#: a direct read of the array 300 frames may take.
FRAME, GROWTH, FILES, TIMES = 1.0, 1.2, 100, 2.0
#: What was measured of the original: frames of 64 x 64, one by one.
ORIGINAL = (
    "3.6 ms a frame in the first thousand, 7.2 ms in the fourth; 9.8 ms of 512 x 512",
    "4,002 files of 4,000 frames",
    "300 frames in 3.3 s, where one read of the array takes 0.39 s",
    "1,000 events 0.03 s, all of them lost where it dies; 17 s where each is committed",
)

Step = Callable[[int], None]


def pictures() -> list[Any]:
    """Return frames that look like those of a detector: few counts, a bright ring, noise."""
    chance = np.random.default_rng(7)
    y, x = np.indices(SHAPE) - 128
    ring = 400 * np.exp(-(((np.hypot(x, y) - 70) / 9) ** 2)) + 20
    return [chance.poisson(ring).astype("u2") for _ in range(32)]


class Spent:
    """What each frame took, in ms."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.each: list[float] = []
        self.cpu = 0.0

    def block(self, step: Step, first: int, count: int) -> None:
        began = processor()
        for n in range(first, first + count):
            start = time.perf_counter()
            step(n)
            self.each.append((time.perf_counter() - start) * 1e3)
        self.cpu += processor() - began

    def told(self, what: str, part: slice, goal: float | None = None) -> Figure:
        some = self.each[part]
        cpu = self.cpu / len(self.each) * 1e3
        return note(Figure(self.who, what, statistics.median(some), min(some), cpu, len(some), goal))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def recording(path: Path) -> Iterator[RunWriter]:
    with RunWriter(path, SampleMetadata("PS")) as writer:
        writer.open_run("scan")
        writer.open_stream("primary", {"energy": {"dtype": "number"}})
        yield writer


def events(where: Path) -> None:
    with recording(where / "events.db") as writer:
        spent = Spent("hmp")
        spent.block(lambda n: writer.write_event({"energy": 270.0 + n}) and None, 0, EVENTS)
        spent.told("an event, committed", slice(None))
    with RunWriter(where / "gathered.db", SampleMetadata("PS"), flush_events=100) as writer:
        writer.open_run("scan")
        writer.open_stream("primary", {"energy": {"dtype": "number"}})
        spent = Spent("hmp")
        spent.block(lambda n: writer.write_event({"energy": 270.0 + n}) and None, 0, EVENTS)
        spent.told("an event, 100 committed together", slice(None))


def frames(where: Path, count: int) -> dict[str, Any]:
    """Write frames with both, in turns, and tell what a frame took."""
    shown = pictures()
    plain = zarr.create_array(where / "plain.zarr", shape=(0, *SHAPE), chunks=(1, *SHAPE), dtype="u2")

    def append(n: int) -> None:
        plain.resize((n + 1, *SHAPE))
        plain[n] = shown[n % len(shown)]

    mine, theirs = Spent("hmp"), Spent("plain Zarr")
    with recording(where / "frames.db") as writer:

        def shoot(n: int) -> None:
            writer.write_image(writer.write_event({"energy": n}), "camera", shown[n % len(shown)])

        for first in range(0, count, BLOCK):
            for each, step in ((mine, shoot), (theirs, append)):
                each.block(step, first, min(BLOCK, count - first))
                os.sync()
    for each in (theirs, mine):
        goal = FRAME if each is mine else None
        each.told(f"an event and its frame of {SHAPE[0]} x {SHAPE[1]}, uint16", slice(None), goal)
        each.told("the same, the first thousand", slice(BLOCK))
        each.told("the same, the last thousand", slice(-BLOCK, None))
    for name in ("plain.zarr", "frames.zarr"):
        files = [each for each in (where / name).rglob("*") if each.is_file()]
        size = sum(each.stat().st_size for each in files)
        print(
            f"{name:19} {len(files):6,} files, {size / 1e6:8.1f} MB of {count * shown[0].nbytes / 1e6:.1f}", flush=True
        )
    return judged(mine, where, count)


def judged(mine: Spent, where: Path, count: int) -> dict[str, Any]:
    first, last = (statistics.median(mine.each[part]) for part in (slice(BLOCK), slice(-BLOCK, None)))
    files = sum(each.is_file() for each in (where / "frames.zarr").rglob("*"))
    told = {
        "frame": (statistics.median(mine.each), FRAME),
        "last thousand against the first": (last / first, GROWTH),
        "files": (files, FILES * max(1, count // 4_000)),
    }
    for what, (found, goal) in told.items():
        print(f"{'hmp':19} {what:50} {found:10.3f}  goal {goal:g}: {'met' if found <= goal else 'MISSED'}", flush=True)
    return {what: {"found": found, "goal": goal} for what, (found, goal) in told.items()}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────


def reading(where: Path, rounds: int, count: int) -> dict[str, Any]:
    """Read frames from the midst, over the ends of shards; all must see the same."""
    first = max(0, count // 2 - READ // 2)
    part = slice(first, first + READ)
    with Catalog(where / "frames.db") as catalog:
        (uid,) = catalog
        array = where / "frames.zarr" / "runs" / uid / "camera"
        ways: dict[str, Callable[[], Any]] = {
            "hmp": lambda: catalog[uid].images("camera")[part],
            "its array by Zarr": lambda: zarr.open_array(array, mode="r")[part],
            "plain Zarr": lambda: zarr.open_array(where / "plain.zarr", mode="r")[part],
        }
        expected = ways["plain Zarr"]()
        found = {}
        for who, way in ways.items():
            assert (np.asarray(way()) == expected).all(), who
            found[who] = tell(who, f"read {READ} frames", way, max(5, 3 * rounds)).median
        one = lambda: catalog[uid].images("camera")[first]  # noqa: E731
        tell("hmp", "read one frame", one, 20)
    times = found["hmp"] / found["its array by Zarr"]
    what = "reading against a direct read of the array"
    print(f"{'hmp':19} {what:50} {times:10.3f}  goal {TIMES:g}: {'met' if times <= TIMES else 'MISSED'}", flush=True)
    return {"reading": {"found": times, "goal": TIMES}}


def large(where: Path) -> None:
    """Open a catalog of many runs, written by the engine itself, and ask it."""
    path = where / "large.db"
    with RunWriter(path, SampleMetadata("PS", tags=["film"])) as writer:
        uid = writer.open_run("scan")
    with SQLiteBackend(path).connection() as connection, connection:
        columns = (
            "uid, sample_id, plan_name, time_start, time_stop, exit_status, num_events, operator, metadata, scan_id"
        )
        rows = (
            (f"{n:032x}", 1, f"plan {n % 7}", float(n), n + 1.0, "success", 50, "Ada", f'{{"angle": {n % 90}}}', n)
            for n in range(2, RUNS + 1)
        )
        connection.executemany(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def opened() -> None:
        with Catalog(path) as catalog:
            assert len(catalog) == RUNS

    tell("hmp", f"open a catalog of {RUNS:,} runs, count them", opened, 20)
    with Catalog(path) as catalog:
        tell("hmp", "the ten newest of them", lambda: catalog.recent(10), 20)
        tell("hmp", "one of them by the beginning of its uid", lambda: catalog[uid[:10]].plan_name, 20)
        tell("hmp", "those of a plan and a time", lambda: catalog.find(plan="plan 3", since=9_000.0), 20)
        tell("hmp", "those with an entry of their metadata", lambda: catalog.find(angle=45), 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--where", type=Path)
    said = parser.parse_args()
    where = Path(tempfile.mkdtemp(dir=said.where))
    try:
        disk(where)
        events(where)
        told = frames(where, said.frames) | reading(where, said.rounds, said.frames)
        large(where)
        for line in ORIGINAL:
            print(f"the original: {line}")
        if said.json:
            said.json.write_text(json.dumps(told, indent=2))
    finally:
        shutil.rmtree(where)


if __name__ == "__main__":
    main()
