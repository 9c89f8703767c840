"""Many files at once say the same as one after the other, and those that are refused do not keep the others out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import hmp_cache
from hmp_cache import InputsNamespace, adding, flushing
from hmp_cache.errors import NotAllAdded, ValidationFailed
from hmp_core.errors import InvalidInput, NotWritable, PathNotFound

Write = Callable[..., Path]


def _series(write: Write, number: int, folder: str = "") -> Path:
    return write(f"{folder}s{number}.csv", f"time,discharge\n2001-01-01,{number}\n")


def test_many_say_the_same_as_one_by_one(tmp_path: Path, write: Write) -> None:
    files = [_series(write, n) for n in range(5)]
    with hmp_cache.open(tmp_path / "one", create=True) as one, hmp_cache.open(tmp_path / "many", create=True) as many:
        expected = [one.add(file, variable="discharge", unit="m3 s-1") for file in files]
        found = many.add_many(files, variable="discharge", unit="m3 s-1")
        told = [
            [{**e.as_dict(), "created_at": 0, "stored_at": 0, "path": 0} for e in each] for each in (expected, found)
        ]
        assert told[0] == told[1]
        assert many.find() == [many[str(e.id)] for e in sorted(found, key=lambda e: (e.stored_at, e.id), reverse=True)]
        assert {e.name for e in many.check() if e.state == "current"} == {"s0", "s1", "s2", "s3", "s4"}


def test_what_was_returned_is_what_is_found(data: InputsNamespace, write: Write) -> None:
    added = data.add_many([_series(write, n) for n in range(3)], variable="discharge", station=None)
    assert [data[entry.name] for entry in added] == added


def test_each_may_say_something_of_its_own(data: InputsNamespace, write: Write) -> None:
    items = [{"path": _series(write, n), "station": f"st{n}", "variable": "discharge"} for n in range(2)]
    first, second = data.add_many([*items], source="hubeau")
    assert (first.station_id, second.station_id, first.source) == ("st0", "st1", "hubeau")


def test_the_order_is_that_of_the_items(data: InputsNamespace, write: Write) -> None:
    items = [{"path": _series(write, n), "variable": ("discharge", "runoff")[n % 2]} for n in range(6)]
    assert [entry.name for entry in data.add_many(items)] == [f"s{n}" for n in range(6)]


def test_the_refused_are_told_when_all_others_are_in(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    bad = write("bad.csv", "time,discharge\n2001-01-01,-9999\n")
    files = [_series(write, 0), tmp_path / "nowhere.csv", bad, _series(write, 1), tmp_path]
    with pytest.raises(NotAllAdded, match=r"3 of 5 files are not in.*1: .*nowhere.*2: bad.csv.*4: ") as refusal:
        data.add_many(files, variable="discharge")
    assert [(number, type(error)) for number, error in refusal.value.refused] == [
        (1, PathNotFound), (2, ValidationFailed), (4, InvalidInput),
    ]  # fmt: skip
    assert [entry.name for entry in refusal.value.entries] == ["s0", "s1"]
    assert {entry.name for entry in data.find()} == {"s0", "s1"}
    assert (data.workspace / refusal.value.refused[1][1].path).exists()


def test_the_same_again_changes_nothing(data: InputsNamespace, write: Write) -> None:
    files = [_series(write, n) for n in range(3)]
    first = data.add_many(files, variable="discharge")
    assert data.add_many(files, variable="discharge") == first
    assert [len(data.versions(entry)) for entry in first] == [1, 1, 1]


def test_other_bytes_are_a_new_version(data: InputsNamespace, write: Write) -> None:
    first = data.add_many([_series(write, 0), _series(write, 1)], variable="discharge")
    changed = write("s1.csv", "time,discharge\n2001-01-01,7\n")
    same, newer = data.add_many([_series(write, 0), changed], variable="discharge")
    assert same == first[0]
    assert [version.state for version in data.versions(newer)] == ["current", "superseded"]


def test_one_input_twice_is_two_versions(data: InputsNamespace, write: Write) -> None:
    one, two = write("a/q.csv", "time,discharge\n2001-01-01,1\n"), write("b/q.csv", "time,discharge\n2001-01-01,2\n")
    first, second = data.add_many([one, two], variable="discharge", station="outlet")
    assert first.id == second.id
    assert [version.sha256 for version in data.versions(first)] == [second.sha256, first.sha256]


def test_two_inputs_of_one_file_name_have_two_files(data: InputsNamespace, write: Write) -> None:
    one, two = _series(write, 1, "a/"), _series(write, 1, "b/")
    items = [{"path": one, "station": "x"}, {"path": two, "station": "y"}]
    first, second = data.add_many(items, variable="discharge")
    assert first.relative_path != second.relative_path
    assert first.path.read_bytes() == second.path.read_bytes() == one.read_bytes()


def test_a_great_file_goes_its_own_way(data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "_SMALL", 10)
    files = [write("big.txt", "12345678901"), write("small.txt", "1")]
    assert [entry.size for entry in data.add_many(files, variable="dem")] == [11, 1]


def test_a_file_of_the_user_in_the_folder_stays(data: InputsNamespace, write: Write) -> None:
    theirs = data.workspace / "data" / "discharge" / "custom" / "s0.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    [entry] = data.add_many([_series(write, 0)], variable="discharge")
    assert theirs.read_text() == "mine"
    assert entry.relative_path != "data/discharge/custom/s0.csv"


@pytest.mark.parametrize("said", [{}, {"variable": "discharge", "stattion": "x"}, {"variable": "../x"}])
def test_what_nobody_understands_is_refused(data: InputsNamespace, write: Write, said: dict[str, str]) -> None:
    with pytest.raises(NotAllAdded, match="1 of 1"):
        data.add_many([_series(write, 0)], **said)
    assert data.find() == []


def test_read_only_is_refused_at_once(data: InputsNamespace, write: Write) -> None:
    with hmp_cache.open(data.workspace, read_only=True) as reader, pytest.raises(NotWritable):
        reader.add_many([_series(write, 0)], variable="discharge")


def test_what_was_said_survives_the_loss_of_the_database(data: InputsNamespace, write: Write) -> None:
    added = data.add_many([_series(write, n) for n in range(4)], variable="discharge", station=None)
    data.rebuild()
    assert [data[entry.name] for entry in added] == added


@pytest.mark.parametrize("meant", [True, False])
def test_everything_is_flushed_before_it_is_acknowledged(
    data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch, meant: bool
) -> None:
    """One flush of the file system, or one of each file: what is staged and the intent are among them."""
    flushed: list[str] = []
    monkeypatch.setattr(flushing, "_FEW", 0)
    monkeypatch.setattr(flushing, "_is_meant", lambda folder: meant)
    real = flushing._sync_all if meant else flushing.fsync_place
    monkeypatch.setattr(flushing, real.__name__, lambda path: (flushed.append(str(path)), real(path)))
    data.add_many([_series(write, n) for n in range(3)], variable="discharge")
    assert len(flushed) == (1 if meant else 7)  # three files, three sidecars, the intent


def _add(workspace: Path, files: list[Path]) -> None:
    with hmp_cache.open(workspace) as data:
        data.add_many(files, variable="discharge")


def test_two_processes_add_the_same_files(data: InputsNamespace, write: Write) -> None:
    """Whoever comes second finds what the first has stored: no input is there twice, no version either."""
    files = [_series(write, n) for n in range(40)]
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_add, args=(data.workspace, files)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    assert len(data.find()) == 40
    assert {len(data.versions(entry)) for entry in data.find()} == {1}
    assert sorted(os.listdir(data.workspace / "data" / ".incoming")) == []
