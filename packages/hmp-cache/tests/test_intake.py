"""How bytes become a version, when several processes are at it and when something goes wrong on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_core.errors import InvalidInput, StorageError
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]
OTHER = "time,discharge\n2001-01-01,9\n"

_ADD = """
import sys, hmp_cache
workspace, how, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
with hmp_cache.open(workspace) as data:
    for n in range(10):
        row = n if how == "same" else 100 * number + n
        path = f"{workspace}/../desk/{number}-{n}.csv" if how == "names" else f"{workspace}/../desk/p{number}/q.csv"
        with open(path, "w") as file:
            file.write(f"time,discharge\\n2001-01-01,{row}\\n")
        station = f"{number}-{n}" if how == "names" else "outlet"
        place = {"bbox": (0, 0, 1, 1), "crs": "EPSG:2154"} if how == "grid" else {"station": station}
        data.add(path, variable="discharge", **place)
"""


def _processes(workspace: Path, how: str, count: int = 4) -> None:
    for number in range(count):
        (workspace.parent / "desk" / f"p{number}").mkdir(parents=True, exist_ok=True)
    ways = [subprocess.Popen([sys.executable, "-c", _ADD, str(workspace), how, str(number)]) for number in range(count)]
    assert [way.wait() for way in ways] == [0] * count


def test_the_same_thing_from_several_processes_is_there_once(data: InputsNamespace) -> None:
    _processes(data.workspace, "same")
    (entry,) = data.find()
    assert {v.sha256 for v in data.versions(entry)} == {
        sha256_bytes(f"time,discharge\n2001-01-01,{n}\n".encode()) for n in range(10)
    }
    assert entry.read_table()["discharge"].to_pylist() == [9]


def test_a_grid_without_a_station_is_there_once_also_under_a_race(data: InputsNamespace) -> None:
    _processes(data.workspace, "grid", count=3)
    (entry,) = data.find()
    assert len(data.versions(entry)) == 30
    assert data.sql("SELECT count(*) AS n FROM entries")["n"][0].as_py() == 1


def test_versions_from_several_processes_are_all_kept(data: InputsNamespace) -> None:
    _processes(data.workspace, "versions")
    (entry,) = data.find()
    versions = data.versions(entry)
    assert len(versions) == 40
    assert [v.state for v in versions].count("current") == 1
    for version in versions:
        with version.open() as file:
            assert sha256_bytes(file.read()) == version.sha256
    assert data.check() == [entry]


def test_inputs_of_one_folder_from_several_processes_have_names_of_their_own(data: InputsNamespace) -> None:
    _processes(data.workspace, "names")
    found = data.find()
    assert len({entry.id for entry in found}) == len({entry.path for entry in found}) == 40
    assert {entry.state for entry in data.check()} == {"current"}


def test_what_failed_on_the_way_leaves_everything_as_it_was(
    data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = data.add(write(), variable="discharge", station="a")
    before = (data.workspace / "data/discharge/custom/q.csv.hmp.json").read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hmp_cache.shelf._move", full)
    with pytest.raises(StorageError, match="free some space"):
        data.add(write(content=OTHER), variable="discharge", station="a")
    with pytest.raises(StorageError):
        data.add(write(), variable="discharge", station="b")
    with pytest.raises(StorageError):
        data.add(write("q.txt", "of another form"), variable="discharge", station="a")
    monkeypatch.undo()
    assert data.check() == [entry]
    assert (data.workspace / "data/discharge/custom/q.csv.hmp.json").read_bytes() == before
    assert sorted(p.name for p in entry.path.parent.iterdir()) == ["q.csv", "q.csv.hmp.json"]
    assert list((data.workspace / "data" / ".incoming").iterdir()) == []
    assert data.add(write(content=OTHER), variable="discharge", station="a").size == len(OTHER)


def test_what_failed_after_the_bytes_were_in_place_is_finished_by_the_next(
    data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add(write(), variable="discharge", station="a")
    monkeypatch.setattr(data.store, "commit", _refuse)
    with pytest.raises(StorageError):
        data.add(write(content=OTHER), variable="discharge", station="a")
    monkeypatch.undo()
    assert data["q"].read_table().num_rows == 2, "until it is acknowledged the former version is served"
    with hmp_cache.open(data.workspace) as other:
        assert other["q"].read_table().num_rows == 1
        assert [v.state for v in other.versions("q")] == ["current", "superseded"]


def _refuse(events: Any) -> None:
    message = "no space"
    raise StorageError(message, path="")


def test_an_intent_that_cannot_be_read_keeps_nobody_out(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge")
    intent = data.workspace / "data" / ".incoming" / "x.json"
    intent.write_text("{")
    with hmp_cache.open(data.workspace) as other:
        assert other.find() == [entry]
    assert intent.exists()


def test_every_name_is_taken(data: InputsNamespace, write: Write) -> None:
    home = data.workspace / "data" / "discharge" / "custom"
    entry = data.add(write(), variable="discharge", station="a")
    digits = entry.id.hex
    entry.path.unlink()
    (home / "q.csv.hmp.json").unlink()
    data.close()
    for gone in ("cache.duckdb",):
        (data.workspace / "data" / gone).unlink()
    import shutil

    shutil.rmtree(data.workspace / "data" / "events")
    for name in ("q.csv", f"q~{digits[:8]}.csv", f"q~{digits}.csv"):
        (home / name).write_text("somebody else's")
    with hmp_cache.open(data.workspace) as again, pytest.raises(InvalidInput, match="every name for it"):
        again.add(write(), variable="discharge", station="a")


def test_a_new_version_follows_one_of_a_faster_clock(data: InputsNamespace, write: Write) -> None:
    """Another machine may be ahead; what is stored later is current all the same."""
    import json

    data.add(write(), variable="discharge", station="a")
    data.close()
    sidecar = data.workspace / "data/discharge/custom/q.csv.hmp.json"
    said = json.loads(sidecar.read_text())
    said["events"][0]["clock"] += 3_600_000_000
    del said["checksum"]
    sidecar.write_text(json.dumps(said))
    import shutil

    shutil.rmtree(data.workspace / "data" / "events")
    (data.workspace / "data" / "cache.duckdb").unlink()
    script = "import sys, hmp_cache\nwith hmp_cache.open(sys.argv[1]) as data:\n"
    script += "    data.add(sys.argv[2], variable='discharge', station='a')"
    subprocess.run([sys.executable, "-c", script, str(data.workspace), str(write(content=OTHER))], check=True)
    with hmp_cache.open(data.workspace) as again:
        assert again["q"].read_table()["discharge"].to_pylist() == [9]


def test_the_order_is_files_first(data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the event is appended, everything it speaks of is on the disk."""
    original = data.store.commit

    def look(events: Any) -> None:
        path = data.workspace / events[-1].payload["artifact"]["path"]
        assert sha256_bytes(path.read_bytes()) == events[-1].payload["artifact"]["sha256"]
        assert str(events[-1].id) in path.with_name(path.name + ".hmp.json").read_text()
        original(events)

    monkeypatch.setattr(data.store, "commit", look)
    data.add(write(), variable="discharge", station="a")
    data.add(write(content=OTHER), variable="discharge", station="a")
    assert len(data.versions("q")) == 2
