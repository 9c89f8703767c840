"""SIGKILL of a writer at any moment and before any line: what it acknowledged is there, and the next one goes on."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import sqlite3  # noqa: TID251 - as somebody else who looks on
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hmp_catalog.acquisition import RunWriter, SampleMetadata
from hmp_catalog.acquisition.stack import Kind, Placed, read_frame

sys.path.append(str(Path(__file__).parent))
from killed_acquisition import EVENTS, FEW, frame, write_run

#: Writers that are killed one after the other in one session: the later ones die closing what the earlier ones left.
EACH = 3
#: A line in the second run of a new session, with frames in open shards.
MIDST = 5_000
SEEDS, MANY = range(6), range(6, 150)

#: The rooms in which a writer can die.
ROOMS = {"writer", "fields", "stack", "session", "recovery", "samples", "schema", "durable", "values"}

Said = list[list[str]]


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_acquisition.py", 0)


@pytest.fixture(scope="module")
def counted(victims: Any, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What is said of all lines that a writer runs behind one that died in the midst of a run: it mends first."""
    folder = tmp_path_factory.mktemp("counted")
    victims.work(folder, MIDST)
    found = victims.work(folder, -1)
    assert found[-1] == ["end", "0"], found
    return list(found)


@pytest.fixture(scope="module")
def places(counted: Said) -> dict[str, list[int]]:
    """Where one can die: each line, with steps at which it runs."""
    return {words[1]: list(map(int, words[2:])) for words in counted if words[0] == "place"}


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────


def ask(folder: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "june.db")) as connection:
        return connection.execute(sql, values).fetchall()


def level_of(folder: Path, where: str, *values: Any) -> int:
    ((data,),) = ask(folder, f"SELECT data FROM events WHERE {where}", *values)
    return int(json.loads(data)["level"])


def check_as_left(folder: Path) -> set[tuple[str, str, int]]:
    """Hold the frames of shards that are not closed against their events, before anybody mends; return them."""
    found = set()
    if not (folder / "june.db").exists() or not ask(folder, "SELECT 1 FROM sqlite_master WHERE name = 'frames_open'"):
        return found
    for run, field, position, event, offset, nbytes, crc in ask(folder, "SELECT * FROM frames_open"):
        array = folder / "june.zarr" / "runs" / run / field
        level = level_of(folder, "uid = ?", event)
        shown = read_frame(array, Placed(position, offset, nbytes, crc), Kind.read(array))
        assert (shown == frame(level)).all()
        found.add((run, field, level))
    return found


def check_frames(folder: Path) -> set[tuple[str, str, int]]:
    """Hold every range against the array, as Zarr reads it, and against its events; return all frames."""
    found = set()
    columns = "run_uid, field_name, zarr_group, start, stop, stream_uid, seq_start, sha256"
    ends: dict[str, int] = {}
    for run, field, group, start, stop, stream, seq, sha256 in ask(folder, f"SELECT {columns} FROM frames ORDER BY id"):
        array = zarr.open_array(folder / "june.zarr" / group, mode="r")
        frames = np.ascontiguousarray(array[start:stop])
        assert hashlib.sha256(frames.tobytes()).hexdigest() == sha256
        assert start == ends.get(group, 0)
        ends[group] = stop
        for n, each in enumerate(frames):
            level = level_of(folder, "stream_uid = ? AND seq_num = ?", stream, seq + n)
            assert (each == frame(level)).all()
            assert (run, field, level) not in found
            found.add((run, field, level))
    for file in (folder / "june.zarr" / "runs").glob("*/*/zarr.json"):
        group = str(file.parent.relative_to(folder / "june.zarr"))
        assert zarr.open_array(file.parent, mode="r").shape == (ends.get(group, 0), 4, 6)
        shards = -(-ends.get(group, 0) // FEW)
        assert {each.name for each in file.parent.iterdir()} == {"zarr.json", *(f"c.{n}.0.0" for n in range(shards))}
    return found


def check(folder: Path, said: Said) -> None:
    """Open the session as the next writer does, and hold it against what was acknowledged."""
    left = check_as_left(folder)
    with RunWriter(folder / "june.db", SampleMetadata("PS"), timeout=5):
        pass
    assert ask(folder, "PRAGMA integrity_check") == [("ok",)]
    assert ask(folder, "PRAGMA foreign_key_check") == ask(folder, "SELECT * FROM frames_open") == []
    frames = check_frames(folder)
    assert left <= frames
    assert {(run, field, int(n)) for kind, run, field, n in (w for w in said if w[0] == "frame")} <= frames
    columns = "s.run_uid, s.name, json_extract(e.data, '$.level')"
    events = ask(folder, f"SELECT {columns} FROM events e JOIN streams s ON s.uid = e.stream_uid")
    assert len(events) == len(set(events))
    assert {(run, name, int(n)) for kind, run, name, n in (w for w in said if w[0] == "event")} <= set(events)
    check_runs(folder, said)


def check_runs(folder: Path, said: Said) -> None:
    ended = {words[1] for words in said if words[0] == "ended"}
    runs = ask(folder, "SELECT uid, exit_status, num_events, time_stop, events_by_stream FROM runs ORDER BY scan_id")
    assert {words[1] for words in said if words[0] == "run"} <= {run[0] for run in runs}
    for uid, status, count, stopped, by_stream in runs:
        assert status == "success" if uid in ended else status in {"success", "interrupted"}
        assert stopped is not None
        numbers: dict[str, list[int]] = {}
        sql = "SELECT s.name, e.seq_num FROM streams s LEFT JOIN events e ON e.stream_uid = s.uid WHERE s.run_uid = ?"
        for name, seq in ask(folder, sql + " ORDER BY e.seq_num", uid):
            numbers.setdefault(name, []).extend([] if seq is None else [seq])
        assert json.loads(by_stream) == {name: len(seqs) for name, seqs in numbers.items()}
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())
        assert count == sum(map(len, numbers.values()))
        assert status == "interrupted" or count == EVENTS


def goes_on(folder: Path) -> None:
    with RunWriter(folder / "june.db", SampleMetadata("PS"), timeout=5) as writer:
        write_run(writer, 1)
    ((uid, status),) = ask(folder, "SELECT uid, exit_status FROM runs ORDER BY scan_id DESC LIMIT 1")
    assert status == "success"
    found = np.asarray(zarr.open_group(folder / "june.zarr", mode="r")[f"runs/{uid}/camera"][...])
    assert (found == np.stack([frame(n) for n in range(1, EVENTS + 1)])).all()
    assert len(ask(folder, "SELECT * FROM samples")) == 1


# ── killing ──────────────────────────────────────────────────────────────────────────────────────────


def kill(folder: Path, victims: Any, steps: list[int]) -> None:
    """Kill writers at these steps, one after the other; where one had nothing more to do it ended by itself."""
    said: Said = []
    for step in steps:
        said += victims.work(folder, step)
        assert said.pop() in (["end", str(int(signal.SIGKILL))], ["end", "0"]), said
        check_as_left(folder)
    check(folder, said)


def at_lines(seed: int, places: dict[str, list[int]]) -> list[int]:
    chance = random.Random(seed)
    return [chance.choice(chance.choice(list(places.values()))) for _ in range(EACH)]


def at_moments(seed: int) -> list[int]:
    chance = random.Random(seed)
    return [-chance.randrange(2, 80_000) for _ in range(EACH)]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_before_any_line(seed, tmp_path, victims, places):
    kill(tmp_path, victims, at_lines(seed, places))
    goes_on(tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment(seed, tmp_path, victims):
    kill(tmp_path, victims, at_moments(seed))
    goes_on(tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_many_times(seed, tmp_path, victims, places):
    kill(tmp_path, victims, at_lines(seed, places) if seed % 2 else at_moments(seed))
    goes_on(tmp_path)


def test_every_room_is_traced(counted):
    assert {words[1] for words in counted if words[0] == "room"} >= ROOMS


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_killed_before_every_line(tmp_path, victims, places):
    """Where it is run first, by a writer that mends what another left; the next one dies where it is run last."""
    for number, steps in enumerate(places.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill(folder, victims, [MIDST, steps[0], steps[-1]])
        goes_on(folder)


def test_nobody_killed(tmp_path, victims):
    kill(tmp_path, victims, [0])
    assert ask(tmp_path, "SELECT exit_status, count(*) FROM runs GROUP BY 1") == [("success", 2)]
    goes_on(tmp_path)
