"""`RunWriter`: what it puts down of runs, streams, events and frames, and what it refuses: scenarios 6, 7, 10, 11."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import sqlite3  # noqa: TID251 - as somebody else who looks on
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hmp_catalog.acquisition import ResearcherInfo, RunWriter, SampleMetadata, delete_run, gc, migrate_beamtime_schema
from hmp_catalog.acquisition.stack import CODEC
from hmp_catalog.acquisition.values import loaded
from hmp_catalog.errors import FrameMismatch, WriterState
from hmp_core.errors import (
    BusyError,
    CorruptError,
    HmpError,
    InvalidInput,
    NotWritable,
    SchemaTooNewError,
    StorageError,
)
from hmp_core.testing.surroundings import fill, read_only_medium, small_disk

KEYS = {"level": {"dtype": "number", "units": "m"}, "time": {}, "seq_num": {}}
PS = SampleMetadata("PS")


@dataclass
class Box:
    """A session on the disk, as somebody sees it who knows SQLite and Zarr and nothing of hmp."""

    path: Path

    def writer(self, sample: SampleMetadata = PS, **options: Any) -> RunWriter:
        return RunWriter(self.path, sample, **options)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...]:
        (found,) = self.rows(sql, *values)
        return found

    def numbers(self) -> dict[str, list[int]]:
        """Return the numbers of the events of each stream."""
        found: dict[str, list[int]] = {}
        for name, seq in self.rows("SELECT s.name, e.seq_num FROM streams s JOIN events e ON e.stream_uid = s.uid"):
            found.setdefault(name, []).append(seq)
        return found

    def array(self, run: str, field: str = "camera") -> np.ndarray[Any, Any]:
        found = zarr.open_array(self.path.with_suffix(".zarr") / "runs" / run / field, mode="r")
        return np.asarray(found[...])

    def integrity(self) -> None:
        assert self.row("PRAGMA integrity_check") == ("ok",)
        assert self.rows("PRAGMA foreign_key_check") == []
        assert self.rows("SELECT * FROM frames_open") == []
        for run, field, start, stop, sha256 in self.rows("SELECT run_uid, field_name, start, stop, sha256 FROM frames"):
            frames = np.ascontiguousarray(self.array(run, field)[start:stop])
            assert len(frames) == stop - start
            assert hashlib.sha256(frames.tobytes()).hexdigest() == sha256


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "june.db")


@pytest.fixture
def writer(box: Box) -> Iterator[RunWriter]:
    """Return a writer with a run and a stream."""
    with box.writer() as made:
        made.open_run("scan")
        made.open_stream("primary", KEYS)
        yield made


def frame(number: int, dtype: Any = "u2", shape: tuple[int, int] = (4, 6)) -> np.ndarray[Any, Any]:
    return (np.arange(shape[0] * shape[1]).reshape(shape) * 3 + number).astype(dtype)


def shoot(writer: RunWriter, *numbers: int, field: str = "camera") -> None:
    for number in numbers:
        writer.write_image(writer.write_event({"level": number}), field, frame(number))


# ── scenario 6: runs, streams, events ────────────────────────────────────────────────────────────────


def test_interleaved_streams_each_count_from_one(box):
    with box.writer() as writer:
        run = writer.open_run("scan", operator="Ada", metadata={"weather": "rain"}, scan_id=7)
        writer.open_stream("baseline", KEYS)
        writer.open_stream("primary", KEYS)
        for n in range(6):
            writer.write_event({"level": n}, stream="baseline" if n % 3 == 0 else "primary")
        writer.close_run()
    assert box.numbers() == {"baseline": [1, 2], "primary": [1, 2, 3, 4]}
    told = box.row("SELECT uid, scan_id, operator, metadata, num_events, events_by_stream, exit_status FROM runs")
    assert told == (run, 7, "Ada", '{"weather":"rain"}', 6, '{"baseline": 2, "primary": 4}', "success")


def test_a_uid_is_32_hexadecimal_digits(writer):
    event = writer.write_event({})
    assert int(event, 16) >= 0
    assert len(event) == 32


def test_runs_of_a_session_are_numbered(box):
    for n in range(2):
        with box.writer() as writer:
            writer.open_run("scan", scan_id=None if n == 0 else 9)
            writer.close_run()
            writer.open_run("scan")
    assert box.rows("SELECT scan_id FROM runs ORDER BY time_start") == [(1,), (2,), (9,), (10,)]


def test_a_second_run_is_refused_while_one_is_open_and_the_first_goes_on(box, writer):
    with pytest.raises(WriterState, match="close it first"):
        writer.open_run("other")
    writer.write_event({"level": 1.0})
    writer.close_run()
    assert box.rows("SELECT num_events, exit_status FROM runs") == [(1, "success")]


def test_no_stream_of_the_last_run_is_open_in_the_next(box, writer):
    writer.write_event({})
    writer.close_run()
    run = writer.open_run("next")
    with pytest.raises(WriterState, match="No open stream"):
        writer.write_event({})
    writer.open_stream("primary", KEYS)
    writer.write_event({})
    writer.close_run()
    sql = "SELECT e.seq_num FROM events e JOIN streams s ON s.uid = e.stream_uid WHERE s.run_uid = ?"
    assert box.rows(sql, run) == [(1,)]


def test_a_refused_stream_leaves_the_others_as_they_were(box, writer):
    writer.write_event({"level": 1})
    writer.open_stream("baseline", KEYS)
    for name in ("primary", "", "a" * 256, None):
        with pytest.raises(InvalidInput):
            writer.open_stream(name, KEYS)
    for keys in ("level", 3, {"level": b"x"}):
        with pytest.raises(InvalidInput):
            writer.open_stream("third", keys)
    writer.write_event({"level": 2})
    writer.write_event({"level": 3}, stream="primary")
    writer.close_run()
    assert box.numbers() == {"primary": [1, 2], "baseline": [1]}


def test_guards_say_what_comes_first(box):
    writer = box.writer()
    calls: list[Callable[[], Any]] = [
        lambda: writer.open_run("scan"),
        lambda: writer.open_stream("primary", KEYS),
        lambda: writer.write_event({}),
        lambda: writer.write_image("x", "camera", frame(1)),
        writer.close_run,
    ]
    for call in calls:
        with pytest.raises(WriterState, match="RunWriter is not open"):
            call()
    writer.close()
    writer.open()
    with pytest.raises(WriterState, match="RunWriter is already open"):
        writer.open()
    for call in calls[1:]:
        with pytest.raises(WriterState, match="No open run"):
            call()
    writer.open_run("scan")
    for call in calls[2:4]:
        with pytest.raises(RuntimeError, match="No open stream"):
            call()
    writer.close()
    writer.close()
    assert box.rows("SELECT exit_status, reason FROM runs") == [("aborted", "the writer was closed before the run was")]


def test_a_writer_is_opened_again_after_it_was_closed(box):
    writer = box.writer()
    for _ in range(2):
        with writer:
            writer.open_run("scan")
            with pytest.raises(WriterState, match="No open stream"):
                writer.write_event({})
    assert box.rows("SELECT exit_status FROM runs") == [("success",), ("success",)]


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def test_values_come_back_exactly_and_are_valid_json(box, writer):
    said = {
        "level": [np.float32(0.1), np.int64(2**62), np.bool_(True), np.array([[1, 2], [3, 4]], "i2"), 2**-1074],
        "time": [math.nan, math.inf, -math.inf, np.float32("nan"), np.longdouble(1.5)],
        "seq_num": "Ünïcødé \n 𝄞",
    }
    writer.write_event(said, {"level": 12.5})
    data, timestamps, valid = box.row("SELECT data, timestamps, json_valid(data) FROM events")
    assert valid == 1
    assert box.row("SELECT json_extract(data, '$.time[0].$float') FROM events") == ("nan",)
    found = loaded(data, "data")
    assert found["level"] == [float(np.float32(0.1)), 2**62, True, [[1, 2], [3, 4]], 2**-1074]
    assert [str(each) for each in found["time"]] == ["nan", "inf", "-inf", "nan", "1.5"]
    assert found["seq_num"] == said["seq_num"]
    assert loaded(timestamps, "timestamps") == {"level": 12.5}


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "data",
    [
        {"level": b"bytes"},
        {"level": 1j},
        {"level": object()},
        {"level": "half a pair \ud800"},
        {"level": {"\ud800": 1}},
        {"level": {1: 1, "1": 2}},
        {"level": {"$float": "nan"}},
        {"level": circle()},
        {"level": 10**5000},
        {"lvel": 1.0},
        [("level", 1)],
        None,
    ],
    ids=[
        "bytes",
        "complex",
        "object",
        "half a pair",
        "half a pair in a key",
        "same keys",
        "a float's key",
        "circle",
        "digits",
        "key",
        "list",
        "0",
    ],
)
def test_a_refused_event_uses_up_no_number(box, writer, data):
    writer.write_event({"level": 1})
    with pytest.raises(InvalidInput):
        writer.write_event(data)
    with pytest.raises(InvalidInput):
        writer.write_event({}, {"level": b""})
    for wrong in (12.5, [], {"level": "noon"}, {"level": None}, {"lvel": 1.0}):
        with pytest.raises(InvalidInput):
            writer.write_event({}, wrong)
    with pytest.raises(InvalidInput):
        writer.write_event({}, stream="primry")
    writer.write_event({"level": 2})
    writer.close_run()
    assert box.numbers() == {"primary": [1, 2]}


def test_refused_runs_leave_none_open(box):
    with box.writer() as writer:
        told = {"plan_name": "", "metadata": {"a": b""}, "operator": 3, "scan_id": "x"}
        for wrong in ({"metadata": [1]}, *({name: value} for name, value in told.items())):
            with pytest.raises(InvalidInput):
                writer.open_run(**{"plan_name": "scan", **wrong})
        writer.open_run("scan")
    assert box.rows("SELECT plan_name FROM runs") == [("scan",)]


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────


def test_facts_of_a_sample_are_never_lost(box):
    given = [
        SampleMetadata("PS", "C8H8", tags=["film"]),
        SampleMetadata("PS"),
        SampleMetadata("PS", "C8H8", tags=["film"]),
        SampleMetadata("PS", "C8H8", tags=["film", "annealed"], extra={"t": math.nan}),
        SampleMetadata("PS", "C8H8", tags=["film"], id=1),
    ]
    for sample in given:
        before = SampleMetadata(**vars(sample))
        with box.writer(sample) as writer:
            writer.open_run("scan")
        assert sample == before  # nothing is written into what was given
    assert box.rows("SELECT sample_id FROM runs ORDER BY scan_id") == [(1,), (1,), (1,), (2,), (1,)]
    assert box.rows("SELECT formula, tags FROM samples") == [
        ("C8H8", '["film"]'),
        ("C8H8", '["film","annealed"]'),
    ]


@pytest.mark.parametrize(
    "sample",
    [
        SampleMetadata("PS", id=2),
        SampleMetadata("PMMA", id=1),
        SampleMetadata("PS", "C8H8", id=1),
        SampleMetadata(""),
        SampleMetadata("PS", tags=[b"x"]),
    ],
    ids=["nobody's number", "another's number", "said otherwise", "no name", "no text"],
)
def test_a_sample_that_is_not_what_it_says_is_refused_and_the_session_free(box, sample):
    box.writer().__enter__().close()
    with pytest.raises(InvalidInput):
        box.writer(sample).open()
    with box.writer():
        assert box.rows("SELECT name, formula FROM samples") == [("PS", None)]


def test_the_session_says_whose_it_is(box):
    with box.writer(label="June", researcher=ResearcherInfo("Ada", orcid="0000-0002-1825-0097")):
        pass
    with box.writer(label="July"):
        pass
    said = dict(box.rows("SELECT key, value FROM session"))
    assert said["label"] == "June"
    assert json.loads(said["researcher"])["name"] == "Ada"
    root = json.loads((box.path.with_suffix(".zarr") / "zarr.json").read_text())
    assert root["attributes"]["hmp_store_id"] == said["store_id"]


# ── scenario 7: how runs end ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no light\ud800"), "failed"),
        (KeyboardInterrupt(), "aborted"),
        (SystemExit(3), "aborted"),
        (GeneratorExit(), "aborted"),
        (asyncio.CancelledError(), "aborted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_an_exception_ends_the_run_and_goes_on(box, error, status):
    def measure() -> None:
        with box.writer() as writer:
            writer.open_run("scan")
            writer.open_stream("primary", KEYS)
            shoot(writer, 1, 2)
            raise error

    with pytest.raises(type(error)) as caught:
        measure()
    assert caught.value is error
    (found, reason, count) = box.row("SELECT exit_status, reason, num_events FROM runs")
    assert (found, count) == (status, 2)
    assert reason.startswith(type(error).__name__)
    box.integrity()


def test_leaving_the_block_is_success(box):
    with box.writer() as writer:
        writer.open_run("scan")
    ((status, stopped),) = box.rows("SELECT exit_status, time_stop FROM runs")
    assert status == "success"
    assert stopped is not None


@pytest.mark.parametrize("status", ["success", "failed", "aborted"])
def test_a_status_that_was_said_is_kept(box, writer, status):
    writer.close_run(exit_status=status, reason="as it is")
    assert box.rows("SELECT exit_status, reason FROM runs") == [(status, "as it is")]


@pytest.mark.parametrize("status", ["interrupted", "running", "ok", "", None, ["success"]])
def test_another_status_is_refused_and_the_run_goes_on(box, writer, status):
    with pytest.raises(InvalidInput, match="success, failed, aborted"):
        writer.close_run(exit_status=status)
    shoot(writer, 1)
    writer.close_run()
    assert box.rows("SELECT exit_status, num_events FROM runs") == [("success", 1)]


# ── scenario 10: frames ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "f4", "f8", "f2", "i8", "?"])
def test_frames_of_any_type_come_back(box, writer, dtype):
    frames = [frame(n, dtype) for n in range(3)] + [np.zeros((4, 6), dtype)]
    for each in frames:
        writer.write_image(writer.write_event({}), "camera", each)
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    found = box.array(run)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert (found == np.stack(frames)).all()
    told = box.row("SELECT start, stop, seq_start, height, width, dtype, codec, zarr_group FROM frames")
    little = np.dtype(dtype).newbyteorder("<").str
    assert told == (0, 4, 1, 4, 6, little, CODEC, f"runs/{run}/camera")
    metadata = json.loads((box.path.with_suffix(".zarr") / told[-1] / "zarr.json").read_text())
    inner = metadata["codecs"][0]["configuration"]["codecs"]
    assert told[6] in {codec["name"] for codec in inner}
    box.integrity()


def test_frames_in_any_layout_are_kept_row_by_row(box, writer):
    whole = np.arange(96, dtype="u2").reshape(8, 12)
    for given in (whole[::2, ::2], np.asfortranarray(whole[:4, :6]), whole[:6, :4].T, whole[:4, :6][::-1, ::-1]):
        event = writer.write_event({})
        writer.write_image(event, "camera", given)
        expected = np.array(given)
        if given.flags.writeable:
            given[...] = 0  # the detector goes on with its buffer
        writer.write_image(event, "copy", expected)
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    assert (box.array(run) == box.array(run, "copy")).all()


def test_several_shards_and_a_part_of_one_are_plain_zarr(box, writer):
    shoot(writer, *range(150))
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    assert (box.array(run) == np.stack([frame(n) for n in range(150)])).all()
    folder = box.path.with_suffix(".zarr") / "runs" / run / "camera"
    assert {each.name for each in folder.iterdir()} == {"zarr.json", "c.0.0.0", "c.1.0.0", "c.2.0.0"}
    assert box.rows("SELECT start, stop, seq_start FROM frames") == [(0, 64, 1), (64, 128, 65), (128, 150, 129)]
    group = zarr.open_group(box.path.with_suffix(".zarr"), mode="r")
    assert group[f"runs/{run}/camera"].shape == (150, 4, 6)
    box.integrity()


def test_frames_know_their_events_where_some_have_none_and_streams_share_a_field(box):
    with box.writer() as writer:
        run = writer.open_run("scan")
        streams = {name: writer.open_stream(name, KEYS) for name in ("dark", "light")}
        expected = []
        for n in range(40):
            name = "dark" if n % 5 == 0 else "light"
            event = writer.write_event({"level": n}, stream=name)
            if n % 7:
                writer.write_image(event, "camera", frame(n))
                expected.append((streams[name], n))
        writer.close_run()
    found = []
    for stream, start, stop, seq_start in box.rows(
        "SELECT stream_uid, start, stop, seq_start FROM frames ORDER BY start"
    ):
        for position in range(start, stop):
            sql = "SELECT data FROM events WHERE stream_uid = ? AND seq_num = ?"
            (data,) = box.row(sql, stream, seq_start + position - start)
            found.append((stream, json.loads(data)["level"]))
    assert found == expected
    assert (box.array(run) == np.stack([frame(n) for _, n in expected])).all()
    box.integrity()


def test_a_frame_may_come_after_later_events(box, writer):
    events = [writer.write_event({"level": n}) for n in range(3)]
    for n, event in enumerate(events):
        writer.write_image(event, "camera", frame(n))
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    assert box.rows("SELECT start, stop, seq_start FROM frames") == [(0, 3, 1)]
    assert (box.array(run)[2] == frame(2)).all()


# ── scenario 11: frames that do not fit ──────────────────────────────────────────────────────────────


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize(
    "wrong",
    [
        frame(9, shape=(6, 4)),
        frame(9, shape=(4, 7)),
        frame(9, shape=(2, 3)),
        frame(9, "f8"),
        frame(9, "i2"),
        frame(9, "u1"),
        frame(9)[None],
        np.zeros(24, "u2"),
        np.array("text"),
        None,
    ],
    ids=lambda wrong: f"{np.asarray(wrong).shape} {np.asarray(wrong).dtype}",
)
def test_a_frame_that_does_not_fit_changes_no_byte(box, writer, wrong):
    shoot(writer, 1, 2)
    run = box.row("SELECT uid FROM runs")[0]
    event = writer.write_event({"level": 3})
    before = snapshot(box.path.with_suffix(".zarr"))
    with pytest.raises(FrameMismatch, match="camera"):
        writer.write_image(event, "camera", wrong)
    assert snapshot(box.path.with_suffix(".zarr")) == before
    writer.write_image(event, "camera", frame(3))
    writer.close_run()
    assert (box.array(run) == np.stack([frame(n) for n in (1, 2, 3)])).all()
    box.integrity()


@pytest.mark.parametrize(
    "wrong",
    [
        *(np.zeros(3), np.zeros((0, 6)), np.zeros((2, 2), complex), np.zeros((2, 2), "M8[s]"), np.zeros((2, 2), "g")),
        *("x", [[1, 2], [3]], np.ma.array([[1, 2]], mask=[[False, True]])),
    ],
    ids=["a row", "nothing", "complex", "times", "long double", "text", "ragged", "masked"],
)
def test_what_is_no_frame_begins_no_field(box, writer, wrong):
    event = writer.write_event({})
    with pytest.raises(InvalidInput):
        writer.write_image(event, "camera", wrong)
    writer.write_image(event, "camera", frame(1))
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    assert box.array(run).shape == (1, 4, 6)


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", ".", ".open-0", "zarr.json", "__x", "a\0", "a\nb", "a\n", 3, None, "x" * 101]
)
def test_what_is_no_name_of_a_field_is_refused(box, writer, name):
    event = writer.write_event({})
    with pytest.raises(InvalidInput):
        writer.write_image(event, name, frame(1))
    writer.write_image(event, "Ä field-1.b +c", frame(1))
    writer.close_run()
    assert box.rows("SELECT count(*) FROM frames") == [(1,)]


def test_a_frame_of_no_event_or_of_one_that_has_its_frame_leaves_no_orphan(box, writer):
    shoot(writer, 1, 2)
    run, last = box.row("SELECT r.uid, e.uid FROM runs r, events e WHERE e.seq_num = 2")
    (first,) = box.row("SELECT uid FROM events WHERE seq_num = 1")
    for event in ("nobody", None, first, last, "' OR 1 --"):
        with pytest.raises(InvalidInput):
            writer.write_image(event, "camera", frame(9))
    shoot(writer, 3)
    writer.close_run()
    assert (box.array(run) == np.stack([frame(n) for n in (1, 2, 3)])).all()
    assert box.rows("SELECT start, stop, seq_start FROM frames") == [(0, 3, 1)]


@pytest.mark.parametrize("event", ["", "nobody"])
def test_a_frame_of_no_event_begins_no_field(box, writer, event):
    with pytest.raises(InvalidInput, match="no event"):
        writer.write_image(event, "camera", frame(1))
    assert not list(box.path.with_suffix(".zarr").rglob("camera"))


def test_an_event_of_another_run_takes_no_frame(box, writer):
    event = writer.write_event({})
    writer.close_run()
    writer.open_run("next")
    writer.open_stream("primary", KEYS)
    with pytest.raises(InvalidInput, match="no event"):
        writer.write_image(event, "camera", frame(1))


def spoil(box: Box, sql: str) -> None:
    """Do what somebody else does to the tables, though a writer has them."""
    with closing(sqlite3.connect(box.path)) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize("flush_events", [1, 10])
def test_an_error_of_the_tables_after_the_bytes_leaves_no_orphan(box, flush_events):
    with box.writer(flush_events=flush_events) as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        shoot(writer, 1, 2, 3, 4, 5)
        spoil(
            box,
            "CREATE TRIGGER no BEFORE INSERT ON frames_open BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        event = writer.write_event({"level": 6})
        with pytest.raises(HmpError) as caught:
            writer.write_image(event, "camera", frame(6))
        assert flush_events == 1 or "gathered before" in "".join(caught.value.__notes__)
        spoil(box, "DROP TRIGGER no")
        if flush_events > 1:  # what was gathered is gone with it
            event = writer.write_event({"level": 6})
        writer.write_image(event, "camera", frame(7))
        shoot(writer, 8)
    assert (box.array(run) == np.stack([frame(n) for n in (1, 2, 3, 4, 5, 7, 8)])).all()
    assert box.numbers() == {"primary": [1, 2, 3, 4, 5, 6, 7]}
    assert box.rows("SELECT start, stop, seq_start FROM frames") == [(0, 7, 1)]
    box.integrity()


def test_an_event_that_fails_uses_up_no_number(box, writer):
    writer.write_event({})
    spoil(box, "CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
    for _ in range(3):
        with pytest.raises(HmpError):
            writer.write_event({})
    spoil(box, "DROP TRIGGER no")
    writer.write_event({})
    writer.close_run()
    assert box.numbers() == {"primary": [1, 2]}


def test_a_shard_that_could_not_be_put_down_is_so_at_the_next_try(box, writer):
    shoot(writer, *range(64))
    spoil(box, "CREATE TRIGGER no BEFORE INSERT ON frames BEGIN SELECT RAISE(ABORT, 'no'); END")
    event = writer.write_event({})
    for _ in range(2):
        with pytest.raises(HmpError):
            writer.write_image(event, "camera", frame(64))
    spoil(box, "DROP TRIGGER no")
    writer.write_image(event, "camera", frame(64))
    spoil(box, "CREATE TRIGGER no BEFORE INSERT ON frames BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(HmpError):
        writer.close_run()
    later = writer.write_event({})
    with pytest.raises(WriterState, match="close the run"):
        writer.write_image(later, "camera", frame(65))
    spoil(box, "DROP TRIGGER no")
    run = box.row("SELECT uid FROM runs")[0]
    writer.close_run()
    assert (box.array(run) == np.stack([frame(n) for n in range(65)])).all()
    assert box.row("SELECT num_events, exit_status FROM runs") == (66, "success")
    box.integrity()


# ── gathering ────────────────────────────────────────────────────────────────────────────────────────


def test_events_are_gathered_and_committed_together(box):
    with box.writer(flush_events=10) as writer:
        writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        seen = []
        for n in range(25):
            writer.write_event({"level": n})
            seen.append(box.row("SELECT count(*) FROM events")[0])
        writer.close_run()
    assert seen == [0] * 9 + [10] * 10 + [20] * 6
    assert box.numbers() == {"primary": list(range(1, 26))}


def test_events_are_gathered_for_so_long(box):
    with box.writer(flush_events=10**6, flush_seconds=0) as writer:
        writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        writer.write_event({})
        assert box.numbers() == {"primary": [1]}


# ── who else ─────────────────────────────────────────────────────────────────────────────────────────

HOLDING = """
import sys
from hmp_catalog.acquisition import RunWriter, SampleMetadata
with RunWriter(sys.argv[1], SampleMetadata("PS")):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_hears_who_has_the_session(box, spawn):
    with spawn(HOLDING, box.path) as (process,):
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(BusyError, match=f"process {process.pid}") as caught:
            box.writer(timeout=0.2).open()
        assert 0.2 <= caught.value.waited < 2
        process.stdin.write("\n")
        process.stdin.flush()
        with box.writer(timeout=10):
            pass


def in_thread(act: Callable[[], Any]) -> list[BaseException]:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except HmpError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return caught


def test_another_thread_is_refused_and_changes_nothing(box, writer):
    event = writer.write_event({})
    for act in (
        lambda: writer.write_event({}),
        lambda: writer.write_image(event, "camera", frame(1)),
        lambda: writer.open_stream("other", KEYS),
        writer.close_run,
        writer.close,
        lambda: writer.__exit__(None, None, None),
    ):
        (error,) = in_thread(act)
        assert isinstance(error, WriterState)
    (error,) = in_thread(box.writer(timeout=0.1).open)
    assert isinstance(error, BusyError)
    writer.write_image(event, "camera", frame(1))
    writer.close_run()
    assert box.rows("SELECT num_events, exit_status FROM runs") == [(1, "success")]


@pytest.mark.parametrize("flush_events", [1, 100])
def test_the_child_of_a_fork_is_refused_and_harms_nobody(box, flush_events):
    with box.writer(flush_events=flush_events) as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        shoot(writer, 1, 2)
        event = writer.write_event({"level": 3})
        child = os.fork()
        if not child:
            code = 1
            try:
                with suppress(SystemExit), writer:
                    pass
            except WriterState:
                code = refused(writer, event)
            finally:
                os._exit(code)
        writer.write_image(event, "camera", frame(3))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        shoot(writer, 4)
    assert (box.array(run) == np.stack([frame(n) for n in (1, 2, 3, 4)])).all()
    assert box.rows("SELECT num_events, exit_status FROM runs") == [(4, "success")]
    box.integrity()


def refused(writer: RunWriter, event: str) -> int:
    """Return 0 if a child of a fork cannot use the writer of its parent, and can leave it."""
    shot = partial(writer.write_image, event, "camera", frame(9))
    for act in (partial(writer.write_event, {}), shot, writer.close_run, partial(writer.open_stream, "other", KEYS)):
        with suppress(WriterState):
            act()
            return 2
    writer.__exit__(SystemExit, SystemExit(), None)
    return 0


# ── other files ──────────────────────────────────────────────────────────────────────────────────────


def test_two_files_that_differ_in_their_ending_do_not_share_frames(box, writer):
    shoot(writer, 1)
    writer.close_run()
    other = box.path.with_suffix(".sqlite")
    with pytest.raises(InvalidInput, match="another session"):
        RunWriter(other, PS).open()
    assert not other.exists()
    writer.close()
    other.write_bytes(box.path.read_bytes())
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE session SET value = 'another' WHERE key = 'store_id'")
    with pytest.raises(InvalidInput, match="another session"):
        RunWriter(other, PS).open()


@pytest.mark.parametrize(
    "name",
    ["a#b.db", "a?b=c.db", "100%.db", "%41.db", "a b.db", "ä'\"é.db", "no ending", "a.b.c.db", "x/../y.db", ".db"],
)
def test_any_path_is_itself(tmp_path, name):
    path = tmp_path / "deep" / "er" / name
    for given in (str(path), path):
        with RunWriter(given, PS) as writer:
            run = writer.open_run("scan")
            writer.open_stream("primary", KEYS)
            shoot(writer, 1)
    found = Box(Path(os.path.realpath(path)))
    assert (found.array(run) == frame(1)).all()
    assert found.row("SELECT count(*) FROM runs") == (2,)
    databases = {each for each in tmp_path.rglob("*") if each.is_file() and each.read_bytes()[:6] == b"SQLite"}
    assert databases == {found.path}


def test_a_session_has_one_folder_of_frames_whatever_link_leads_to_it(box, tmp_path):
    link = tmp_path / "links" / "july.db"
    link.parent.mkdir()
    with box.writer():
        pass
    link.symlink_to(box.path)
    with RunWriter(link, PS) as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        shoot(writer, 1)
    assert (box.array(run) == frame(1)).all()
    assert [each.name for each in link.parent.iterdir()] == ["july.db"]


def test_a_session_that_was_renamed_without_its_frames_is_refused_until_they_follow(box, writer):
    shoot(writer, 7)
    writer.close()
    (run,) = box.row("SELECT uid FROM runs") or ("",)
    old, box.path = box.path, box.path.with_name("renamed.db")
    old.rename(box.path)
    with pytest.raises(InvalidInput, match="renamed or moved"):
        box.writer().open()
    assert not box.path.with_suffix(".zarr").exists()
    old.with_suffix(".zarr").rename(box.path.with_suffix(".zarr"))
    with box.writer():
        pass
    assert np.array_equal(box.array(run)[0], frame(7))


@pytest.mark.parametrize("through", ["the file", "a link"])
def test_what_writes_is_kept_out_of_a_session_that_the_same_thread_writes(box, writer, tmp_path, through):
    shoot(writer, 1)
    (run,) = box.row("SELECT uid FROM runs") or ("",)
    path = box.path
    if through == "a link":
        path = tmp_path / "link.db"
        path.symlink_to(box.path)
    for act in (RunWriter(path, PS).open, partial(gc, path, dry_run=False), partial(delete_run, path, run)):
        with pytest.raises(BusyError, match="close that one first"):
            act()
    shoot(writer, 2)
    writer.close_run()
    writer.close()
    assert box.rows("SELECT exit_status, num_events FROM runs") == [("success", 2)]
    gc(path, dry_run=False)
    delete_run(path, run)


def test_a_name_that_frames_have_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="another ending"):
        RunWriter(tmp_path / "june.zarr", PS).open()
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(HmpError):
        RunWriter(tmp_path / "folder.db", PS).open()
    assert not (tmp_path / "folder.zarr").exists()


def older(path: Path, version: int) -> None:
    """Make a file of an earlier version, with a run that was never ended, and a frame in an array as it was then."""
    with closing(sqlite3.connect(path)) as connection:
        migrate_beamtime_schema(connection, version)
        connection.execute("INSERT INTO samples (name) VALUES ('PS')")
        connection.execute("INSERT INTO runs (uid, sample_id, plan_name, time_start) VALUES ('r', 1, 'scan', 5.0)")
        connection.execute("INSERT INTO streams VALUES ('s', 'r', 'primary', '{}', 6.0)")
        connection.execute("INSERT INTO events VALUES ('e', 's', 1, 7.0, '{\"x\": NaN}', '{}')")
        connection.execute(
            "INSERT INTO image_refs (event_uid, field_name, zarr_group, index_in_stack, shape_x, shape_y, dtype) "
            "VALUES ('e', 'camera', 'runs/r/camera', 0, 4, 6, 'uint16')"
        )
        connection.commit()
    group = zarr.open_group(path.with_suffix(".zarr"), mode="a")
    group.create_array("runs/r/camera", shape=(1, 4, 6), chunks=(1, 4, 6), dtype="u2")[...] = frame(1)[None]


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_version_is_brought_up_to_date_and_its_frames_stay(box, version):
    older(box.path, version)
    before = snapshot(box.path.with_suffix(".zarr") / "runs")
    with box.writer() as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
        shoot(writer, 1, 2)
    assert box.row("PRAGMA user_version") == (3,)
    after = snapshot(box.path.with_suffix(".zarr") / "runs")
    assert {name: after.get(name) for name in before} == before
    assert (box.array("r")[0] == frame(1)).all()
    assert (box.array(run) == np.stack([frame(1), frame(2)])).all()
    told = box.rows("SELECT exit_status, time_stop, num_events, scan_id FROM runs ORDER BY time_start")
    assert told[0] == ("interrupted", 7.0, 1, None)
    assert told[1][::2] == ("success", 2)
    assert box.rows("SELECT compression_codec FROM image_refs") == [(None,)]


def test_a_half_migrated_file_is_completed(box):
    older(box.path, 1)
    spoil(box, "ALTER TABLE image_refs ADD COLUMN compression_codec TEXT")
    with box.writer():
        pass
    assert box.row("PRAGMA user_version") == (3,)


def test_a_file_of_a_newer_version_is_left_as_it_is(box):
    older(box.path, 2)
    spoil(box, "PRAGMA user_version = 9")
    before = snapshot(box.path.parent)
    with pytest.raises(SchemaTooNewError):
        box.writer().open()
    after = snapshot(box.path.parent)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("content", [b"", b"x", b"no database\n" * 200])
def test_what_is_no_database_is_left_as_it_is(box, content):
    box.path.write_bytes(content)
    with pytest.raises(CorruptError):
        box.writer().open()
    assert box.path.read_bytes() == content
    assert not box.path.with_suffix(".zarr").exists()


@pytest.mark.parametrize("version", [0, 2, 3])
@pytest.mark.parametrize("table", ["samples", "runs"])
def test_a_database_of_something_else_is_left_as_it_is(box, table, version):
    spoil(box, f"CREATE TABLE {table} (id INTEGER)")
    spoil(box, f"PRAGMA user_version = {version}")
    before = box.path.read_bytes()
    with pytest.raises(InvalidInput, match="no session"):
        box.writer().open()
    assert box.path.read_bytes() == before


@pytest.mark.parametrize("root", ["a file", "{", "[]", '{"attributes": 3}'])
def test_frames_that_cannot_be_had_leave_the_writer_closed_and_the_session_free(box, root):
    with box.writer():
        pass
    folder = box.path.with_suffix(".zarr")
    kept = (folder / "zarr.json").read_bytes()
    (folder / "zarr.json").unlink()
    if root == "a file":
        folder.rmdir()
        folder.write_text(root)
    else:
        (folder / "zarr.json").write_text(root)
    writer = box.writer()
    with pytest.raises(HmpError):
        writer.open()
    with pytest.raises(WriterState, match="not open"):
        writer.open_run("scan")
    if root == "a file":
        folder.unlink()
        folder.mkdir()
    (folder / "zarr.json").write_bytes(kept)
    with box.writer(timeout=0.2):
        pass
    with writer:
        pass


# ── disks ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("leaving", [0, 20_000, 60_000, 200_000])
def test_a_full_disk_loses_nothing_that_was_acknowledged_and_the_run_goes_on(leaving):
    chance = np.random.default_rng(1)
    frames = [chance.integers(0, 60_000, (32, 48), dtype="u2") for _ in range(100)]
    with small_disk("4m") as disk:
        box = Box(disk / "june.db")
        kept: list[int] = []
        with box.writer(sync_seconds=0) as writer:
            run = writer.open_run("scan")
            writer.open_stream("primary", KEYS)
            ballast = None
            for n, each in enumerate(frames):
                if n == 10:
                    ballast = fill(disk, leaving=leaving)
                if n == 90 and ballast is not None:
                    ballast.unlink()
                try:
                    event = writer.write_event({"level": n})
                    writer.write_image(event, "camera", each)
                except HmpError as error:
                    assert isinstance(error, StorageError), error  # noqa: PT017 - it may succeed
                    continue
                kept.append(n)
        assert set(range(10)) | set(range(90, 100)) <= set(kept) < set(range(100))
        assert (box.array(run) == np.stack([frames[n] for n in kept])).all()
        (count,) = box.row("SELECT count(*) FROM events")
        assert box.numbers() == {"primary": list(range(1, count + 1))}
        assert box.row("SELECT num_events, exit_status FROM runs") == (count, "success")
        box.integrity()


def test_what_went_wrong_comes_through_a_full_disk(tmp_path):
    with small_disk("2m") as disk:
        box = Box(disk / "june.db")

        def measure() -> None:
            with box.writer() as writer:
                writer.open_run("scan")
                writer.open_stream("primary", KEYS)
                shoot(writer, 1, 2)
                fill(disk)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            measure()
        assert "space" in "".join(caught.value.__notes__)
        (disk / "ballast").unlink()
        with box.writer():
            pass
        run, status = box.row("SELECT uid, exit_status FROM runs")
        assert status == "interrupted"
        assert (box.array(run) == np.stack([frame(1), frame(2)])).all()
        box.integrity()


def test_where_nothing_can_be_written_it_says_so(box, writer):
    writer.close()
    with read_only_medium(box.path.parent) as medium:
        for name in ("june.db", "new.db", "deep/new.db"):
            with pytest.raises(NotWritable):
                RunWriter(medium / name, PS).open()
