"""Frames come back as they were, or not at all: scenarios 10 and 12, and the frames of older files."""

from __future__ import annotations

import pickle
import shutil
import sqlite3  # noqa: TID251 - what a session says of its frames
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hmp_catalog.acquisition import Catalog, LazyImageSequence, Run, RunWriter, SampleMetadata, migrate_beamtime_schema
from hmp_catalog.errors import LostFrames, NoSuchCell
from hmp_core.errors import CorruptError, InvalidInput, NotFound

#: More than two shards.
COUNT = 150

DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64", "bool", "uint64"]


def frame(n: int, dtype: str = "uint16") -> np.ndarray[Any, Any]:
    """Return a frame of 4 rows and 6 columns; each is another, and number 3 is dark."""
    return (np.arange(24).reshape(4, 6) * (n != 3) + n * (n != 3)).astype(dtype)


def written(path: Path, count: int = COUNT, dtype: str = "uint16") -> Run:
    with RunWriter(path, SampleMetadata("a"), flush_events=64) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {"n": {}})
        for n in range(count):
            writer.write_image(writer.write_event({"n": n}), "camera", frame(n, dtype))
        writer.close_run()
    return Catalog(path)[uid]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LazyImageSequence:
    return written(tmp_path_factory.mktemp("session") / "june.db").images("camera")


@pytest.fixture(scope="module")
def whole() -> np.ndarray[Any, Any]:
    return np.stack([frame(n) for n in range(COUNT)])


# ── as they were ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_come_back_as_they_were(tmp_path: Path, dtype: str) -> None:
    images = written(tmp_path / "june.db", 5, dtype).images("camera")
    assert (images.shape, images.dtype, images.ndim, len(images)) == ((5, 4, 6), np.dtype(dtype), 3, 5)
    for n, found in enumerate(images):
        assert found.dtype == np.dtype(dtype)
        assert np.array_equal(found, frame(n, dtype))
    assert not images[3].any()


def test_numbers_of_every_kind_are_exact(tmp_path: Path) -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7e308]] * 4)
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {})
        writer.write_image(writer.write_event({}), "camera", odd)
    assert Catalog(tmp_path / "june.db")[uid].images("camera")[0].tobytes() == odd.tobytes()


def test_rows_name_height_and_width_and_the_codec_that_the_array_has(tmp_path: Path) -> None:
    run = written(tmp_path / "june.db", 70)
    with closing(sqlite3.connect(run.path)) as conn:
        rows = conn.execute("SELECT zarr_group, height, width, dtype, codec, start, stop FROM frames").fetchall()
    array = zarr.open_array(run.images("camera").folder, mode="r")
    (sharding,) = array.metadata.to_dict()["codecs"]  # type: ignore[misc]
    codecs = [each["name"] for each in sharding["configuration"]["codecs"]]
    assert [row[1:4] for row in rows] == [(4, 6, "<u2")] * 2
    assert [row[5:] for row in rows] == [(0, 64), (64, 70)]
    assert {row[4] for row in rows} <= set(codecs)
    assert np.array_equal(array[:], run.images("camera")[:])


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "item",
    [
        0, -1, np.int64(7), np.uint8(64), slice(None), slice(60, 70), slice(70, 60, -1), slice(None, None, 17),
        slice(-5, None), [3, 3, 149, 0], [], np.array([1, -1]), np.arange(COUNT) % 40 == 1, ..., (5, 2), (5, 2, 3),
        (slice(2, 9), slice(1, 3)), (slice(2, 4), ..., 5), (..., 0), ([1, 2], slice(None), 3),
    ],
    ids=str,
)  # fmt: skip
def test_frames_are_chosen_as_those_of_an_array(
    shared: LazyImageSequence, whole: np.ndarray[Any, Any], item: Any
) -> None:
    found, expected = shared[item], whole[np.array([], int) if isinstance(item, list) and not item else item]
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_a_slice_of_none_has_the_shape_and_type_of_frames(shared: LazyImageSequence) -> None:
    for none in (shared[5:5], shared[400:], shared[[]]):
        assert (none.shape, none.dtype) == ((0, 4, 6), np.uint16)


@pytest.mark.parametrize("item", [COUNT, -COUNT - 1, np.int64(COUNT)])
def test_a_frame_that_is_not_there_is_an_index_error(shared: LazyImageSequence, item: int) -> None:
    with pytest.raises(NoSuchCell, match="150 frames") as caught:
        shared[item]
    assert isinstance(caught.value, IndexError)
    assert (caught.value.index, caught.value.size) == (item, COUNT)


@pytest.mark.parametrize("item", ["0", 1.5, None, True, [[0, 1], [2, 3]], [0.5], [COUNT], np.zeros(3, bool)])
def test_what_chooses_no_frames_is_refused(shared: LazyImageSequence, item: Any) -> None:
    with pytest.raises(InvalidInput):
        shared[item]


def test_a_sequence_is_an_array_for_numpy_and_can_be_pickled(
    shared: LazyImageSequence, whole: np.ndarray[Any, Any]
) -> None:
    assert np.array_equal(np.asarray(shared), whole)
    assert np.asarray(shared, dtype=float).dtype == float
    with pytest.raises(ValueError, match="without a copy"):
        np.array(shared, copy=False)
    assert np.array_equal(pickle.loads(pickle.dumps(shared))[-3:], whole[-3:])


def test_a_field_that_is_not_there_is_refused_with_those_there_are(shared: LazyImageSequence, tmp_path: Path) -> None:
    run = written(tmp_path / "june.db", 1)
    with pytest.raises(NotFound, match="fields: camera") as caught:
        run.images()
    assert caught.value.candidates == ["camera"]


def test_a_field_that_was_announced_is_empty_until_its_first_frame(tmp_path: Path) -> None:
    keys = {"camera": {"external": "STREAM:", "shape": [4, 6], "dtype_numpy": "<u2"}, "eye": {"external": True}}
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", keys)
        run = Catalog(tmp_path / "june.db")[uid]
        assert (run.images("camera").shape, run.images("camera").dtype) == ((0, 4, 6), np.uint16)
        assert run.images("eye")[:].shape == (0, 0, 0)
        writer.write_image(writer.write_event({}), "camera", frame(1))
        assert np.array_equal(run.images("camera")[:], [frame(1)])


def test_frames_of_two_streams_know_theirs(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        streams = [writer.open_stream(name, {}) for name in ("one", "two")]
        for n in range(100):
            event = writer.write_event({}, stream=("one", "two", "two")[n % 3])
            writer.write_image(event, "camera", frame(n))
        live = Catalog(tmp_path / "june.db")[uid].images("camera")
        writer.close_run()
    closed = Catalog(tmp_path / "june.db")[uid].images("camera")
    for images in (live, closed):
        two = images.of_stream(streams[1])
        assert two.seq_nums.tolist() == list(range(1, 67))
        assert np.array_equal(two[:4], [frame(n) for n in (1, 2, 4, 5)])
        assert len(images.of_stream(streams[0])) == 34


# ── what is lost ─────────────────────────────────────────────────────────────────────────────────────


def _named(error: LostFrames, run: Run) -> tuple[int, ...]:
    assert (error.run, error.field) == (run.uid, "camera")  # type: ignore[attr-defined]
    assert all(word in str(error) for word in (run.uid, "camera"))
    assert isinstance(error, CorruptError)
    return error.frames


def _shard(run: Run, number: int) -> Path:
    return run.images("camera").folder / f"c.{number}.0.0"


def _without_a_shard(run: Run) -> None:
    _shard(run, 1).unlink()


def _with_a_bit_changed(run: Run) -> None:
    data = bytearray(_shard(run, 1).read_bytes())
    data[40] ^= 1
    _shard(run, 1).write_bytes(data)


def _with_an_index_changed(run: Run) -> None:
    data = bytearray(_shard(run, 1).read_bytes())
    data[-20] ^= 1
    _shard(run, 1).write_bytes(data)


def _cut_short(run: Run) -> None:
    _shard(run, 1).write_bytes(_shard(run, 1).read_bytes()[:100])


def _with_an_empty_shard(run: Run) -> None:
    _shard(run, 1).write_bytes(b"")


@pytest.mark.parametrize(
    "harm", [_without_a_shard, _with_a_bit_changed, _with_an_index_changed, _cut_short, _with_an_empty_shard]
)
def test_a_lost_chunk_is_an_error_that_names_it_and_a_dark_frame_is_none(
    tmp_path: Path, harm: Callable[[Run], None]
) -> None:
    run = written(tmp_path / "june.db")
    harm(run)
    images = run.images("camera")
    with pytest.raises(LostFrames) as caught:
        images[3:]
    assert _named(caught.value, run) == (64,)
    assert "frame 64" in str(caught.value)
    assert not images[3].any()
    assert np.array_equal(images[128:], [frame(n) for n in range(128, COUNT)])


def test_a_chunk_that_the_index_lacks_is_lost(tmp_path: Path) -> None:
    """Zarr takes it for zeros."""
    run = written(tmp_path / "june.db", 5)
    array = zarr.open_array(run.images("camera").folder, mode="r+")
    array[2] = 0  # Zarr drops what is all fill value
    assert not array[2].any()
    with pytest.raises(LostFrames, match="no such frame") as caught:
        run.images("camera")[:]
    assert _named(caught.value, run) == (2,)


@pytest.mark.parametrize("lost", ["array", "metadata", "store"])
def test_a_lost_array_or_store_is_an_error_that_names_its_frames(tmp_path: Path, lost: str) -> None:
    run = written(tmp_path / "june.db", 9)
    folder = run.images("camera").folder
    if lost == "metadata":
        (folder / "zarr.json").unlink()
    else:
        shutil.rmtree(folder if lost == "array" else folder.parents[2])
    images = run.images("camera")
    assert len(images) == 9
    with pytest.raises(LostFrames) as caught:
        images[2:4]
    assert _named(caught.value, run) == (2, 3)
    assert len(run.table()) == 9


def test_another_array_in_its_place_is_not_taken_for_it(tmp_path: Path) -> None:
    run = written(tmp_path / "june.db", 9)
    folder = run.images("camera").folder
    shutil.rmtree(folder)
    zarr.create_array(folder, shape=(9, 6, 4), chunks=(1, 6, 4), dtype="u2")[:] = 1
    with pytest.raises(LostFrames, match=r"\(6, 4\)"):
        run.images("camera")[0]
    shutil.rmtree(folder)
    zarr.create_array(folder, shape=(9, 4, 6), chunks=(1, 4, 6), shards=(64, 4, 6), dtype="u2")[:] = 1
    with pytest.raises(LostFrames, match="encoded in a way"):
        run.images("camera")[0]


def test_a_frame_of_an_open_shard_that_is_lost_is_named(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {})
        for n in range(5):
            writer.write_image(writer.write_event({}), "camera", frame(n))
        run = Catalog(tmp_path / "june.db")[uid]
        (hidden,) = run.images("camera").folder.glob(".open-*")
        data = hidden.read_bytes()
        hidden.write_bytes(data[:-1])
        images = run.images("camera")
        assert np.array_equal(images[:4], [frame(n) for n in range(4)])
        with pytest.raises(LostFrames) as caught:
            images[4]
        assert _named(caught.value, run) == (4,)
        hidden.write_bytes(data)


def test_a_group_outside_of_the_store_is_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "june.db", 1)
    with closing(sqlite3.connect(run.path)) as conn:
        conn.execute("UPDATE frames SET zarr_group = '../../etc'")
        conn.commit()
    with pytest.raises(CorruptError, match="no array of its Zarr group"):
        run.images("camera")


# ── older files ──────────────────────────────────────────────────────────────────────────────────────


def older(path: Path, frames: np.ndarray[Any, Any], kinds: list[tuple[int, int, str]], version: int = 2) -> None:
    """Make a file as an earlier version would: a chunk a frame, and a row for each."""
    group = "runs/r/camera"
    height, width = frames.shape[1:]
    array = zarr.create_array(
        path.with_suffix(".zarr") / group, shape=frames.shape, chunks=(1, height, width), dtype=frames.dtype
    )
    array[:] = frames
    columns = "(event_uid, field_name, zarr_group, index_in_stack, shape_x, shape_y, dtype)"
    with closing(sqlite3.connect(path)) as conn:
        migrate_beamtime_schema(conn, version)
        conn.execute("INSERT INTO runs (uid, plan_name, time_start, exit_status) VALUES ('r', 'scan', 1, 'success')")
        conn.execute("INSERT INTO streams VALUES ('s', 'r', 'primary', '{}', 1)")
        for n, kind in enumerate(kinds):
            conn.execute("INSERT INTO events VALUES (?, 's', ?, 1, '{}', '{}')", [f"e{n}", n + 1])
            row = [f"e{n}", "camera", group, n, *kind]
            conn.execute(f"INSERT INTO image_refs {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        conn.commit()


@pytest.mark.parametrize("version", [1, 2])
def test_frames_of_an_older_file_are_read_as_it_is(tmp_path: Path, version: int) -> None:
    frames = np.stack([frame(n, "int32") for n in range(9)])
    older(tmp_path / "old.db", frames, [(4, 6, "int32")] * 9, version)
    images = Catalog(tmp_path / "old.db")["r"].images("camera")
    assert (images.shape, images.dtype) == ((9, 4, 6), np.int32)
    for item in (slice(None), slice(1, 8, 3), slice(8, 2, -2), [5, 1], 4):
        assert np.array_equal(images[item], frames[item])
    assert images.seq_nums.tolist() == list(range(1, 10))


def test_frames_of_an_older_file_that_is_migrated_are_those_of_before(tmp_path: Path) -> None:
    frames = np.stack([frame(n, "int32") for n in range(3)])
    older(tmp_path / "old.db", frames, [(4, 6, "int32")] * 3)
    with RunWriter(tmp_path / "old.db", SampleMetadata("a")):
        pass
    assert np.array_equal(Catalog(tmp_path / "old.db")["r"].images("camera")[:], frames)


def test_a_frame_that_an_older_version_changed_is_not_given_out_as_what_it_was(tmp_path: Path) -> None:
    """It resized a stack to the frame that came last, and cast frames to the type of the first."""
    kinds = [(8, 6, "int32"), (4, 6, "int32"), (4, 6, "float64"), (4, 6, "int32")]
    older(tmp_path / "old.db", np.stack([frame(n, "int32") for n in range(3)]), kinds)
    run = Catalog(tmp_path / "old.db")["r"]
    images = run.images("camera")
    lost = []
    for n in range(4):
        try:
            images[n]
        except LostFrames as error:
            lost += _named(error, run)
    assert lost == [0, 2, 3]
    assert np.array_equal(images[1], frame(1))
    shutil.rmtree(images.folder)
    with pytest.raises(LostFrames):
        images[1]


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_slice_costs_no_more_than_twice_that_of_the_array_and_little_memory(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(1000, 30, (256, 256)).astype("u2")
    with RunWriter(tmp_path / "june.db", SampleMetadata("a"), flush_events=64) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {})
        for n in range(320):
            writer.write_image(writer.write_event({}), "camera", pixels + n)
        writer.close_run()
    images = Catalog(tmp_path / "june.db")[uid].images("camera")
    array = zarr.open_array(images.folder, mode="r")

    def took(read: Callable[[], Any]) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            read()
            times.append(time.perf_counter() - began)
        return min(times)

    assert took(lambda: images[10:310]) < 2 * took(lambda: array[10:310])
    tracemalloc.start()
    for each in images:
        assert each[0, 0] >= pixels[0, 0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * pixels.nbytes
