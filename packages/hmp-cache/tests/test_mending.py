"""Whether files are what was registered, what is put in order where they are not, and what nobody registered."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DataCatalogDuckDB, InputsNamespace, ValidationFailed, sidecar
from hmp_cache.progress import Step
from hmp_core.errors import CorruptError, InvalidInput, NotWritable
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]
OTHER = "time,discharge\n2001-01-01,9.9\n"
SAID: dict[str, Any] = {"variable": "discharge", "station": "outlet"}


def _kinds(data: InputsNamespace) -> list[str]:
    return [event.kind for event in data.store.files.everything().events]


@pytest.fixture
def copied(data: InputsNamespace, write: Write, tmp_path: Path) -> InputsNamespace:
    """A copy of a workspace, whose files look otherwise."""
    for station in "abc":
        data.add(write(content=f"time,discharge\n2001-01-01,{ord(station)}\n"), variable="discharge", station=station)
    data.close()
    shutil.copytree(data.workspace, tmp_path / "copy", copy_function=shutil.copyfile)
    return hmp_cache.open(tmp_path / "copy")


# ── checking ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_file_is_missing_and_its_record_stays(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    entry.path.unlink()
    assert [e.state for e in data.check()] == ["missing"]
    assert [e.state for e in data.check(fix=False, verify="full")] == ["missing"]
    assert data["q"].id == entry.id


def test_a_copy_is_read_once(copied: InputsNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with copied as data:
        assert [e.state for e in data.check()] == ["current"] * 3
        assert _kinds(data).count("input.sighted") == 3

        def never(*arguments: Any) -> None:
            raise AssertionError(arguments)

        monkeypatch.setattr("hmp_cache.verifying.Reading._one", never)
        assert [e.state for e in data.check()] == ["current"] * 3


def test_how_a_file_looks_is_known_to_a_database_made_again(copied: InputsNamespace) -> None:
    with copied as data:
        data.check()
        before = data.sql("SELECT id, file_mtime_ns, file_inode FROM entries ORDER BY id").to_pylist()
    for gone in ("events", ".hmp"):
        shutil.rmtree(data.workspace / "data" / gone, ignore_errors=True)
    (data.workspace / "data" / "cache.duckdb").unlink()
    with hmp_cache.open(data.workspace) as again:
        assert again.sql("SELECT id, file_mtime_ns, file_inode FROM entries ORDER BY id").to_pylist() == before


def test_a_reader_puts_nothing_on_record(copied: InputsNamespace) -> None:
    copied.close()
    with hmp_cache.open(copied.workspace, read_only=True) as reader:
        assert [e.state for e in reader.check()] == ["current"] * 3
        assert _kinds(reader).count("input.sighted") == 0
        with pytest.raises(NotWritable):
            reader.check(fix=True)


def test_a_flipped_bit_is_found_by_reading_all(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    looked = entry.path.stat()
    with entry.path.open("r+b") as file:
        file.write(b"T")
    os.utime(entry.path, ns=(looked.st_atime_ns, looked.st_mtime_ns))
    assert [e.state for e in data.check()] == ["current"]
    assert [e.state for e in data.check(verify="full")] == ["modified"]
    assert [e.state for e in data.verify()] == ["modified"]
    entry.open().close()
    with pytest.raises(CorruptError, match="SHA-256"):
        entry.open(verify="full")
    with DataCatalogDuckDB(data.workspace / "data" / "cache.duckdb") as low:
        assert low.find_cached(variable="discharge") == entry
        assert low.find_cached(variable="discharge", verify="full") is None


def test_another_word_than_quick_and_full(data: InputsNamespace) -> None:
    with pytest.raises(InvalidInput, match="quick"):
        data.check(verify="half")


def test_a_look_at_a_file_does_not_depend_on_its_size(data: InputsNamespace, tmp_path: Path) -> None:
    """A hit is looked at in 0.3 ms at most, however large it is."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    entry = data.add(large, variable="dem", station="outlet")
    from hmp_cache.mending import look

    assert look(data._rooms, [entry])[0].seen is None
    took = []
    for _ in range(100):
        began = time.perf_counter()
        look(data._rooms, [entry])
        took.append(time.perf_counter() - began)
    assert min(took) < 3e-4


# ── putting in order ─────────────────────────────────────────────────────────────────────────────────


def test_a_changed_file_is_kept_aside_and_what_it_was_again(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    entry.path.write_bytes(b"my own work")
    found = data.check(fix=True)
    assert (list(found), len(found.fixed)) == ([entry], 1)
    assert entry.path.read_bytes() == write().read_bytes()
    kept = data.workspace / "data" / ".versions" / sha256_bytes(b"my own work")
    assert kept.read_bytes() == b"my own work"
    assert [stray.kind for stray in data.strays()] == ["version"]


def test_a_missing_file_that_nobody_has_stays_missing(data: InputsNamespace, write: Write) -> None:
    source = write()
    entry = data.add(source, **SAID)
    source.unlink()
    entry.path.unlink()
    found = data.check(fix=True)
    assert ([e.state for e in found], found.fixed) == (["missing"], [])


def test_a_changed_file_of_its_owner_is_left_and_registered_anew(workspace: Path, data: InputsNamespace) -> None:
    """Its owner has changed it: what it is now is another version, once he says so."""
    file = workspace / "data" / "mine.csv"
    file.write_text("time,discharge\n2001-01-01,1.4\n")
    with DataCatalogDuckDB(workspace / "data" / "cache.duckdb") as low:
        low.register(variable="discharge", source="custom", file_path=file, station_id="mine")
        file.write_text(OTHER)
        found = data.check(fix=True)
        assert ([e.state for e in found], found.fixed) == (["modified"], [])
        assert file.read_text() == OTHER
        low.register(variable="discharge", source="custom", file_path=file, station_id="mine")
    assert len({v.sha256 for v in data.versions("mine")}) == 2


def test_a_lost_sidecar_is_written_again(data: InputsNamespace, write: Write) -> None:
    data.add(write(content=OTHER), **SAID)
    entry = data.add(write(), **SAID)
    beside = entry.path.with_name("q.csv.hmp.json")
    before = sidecar.read(beside)
    beside.unlink()
    assert data.check(fix=True).fixed == ["data/discharge/custom/q.csv.hmp.json was written again from the log"]
    again = sidecar.read(beside)
    assert before is not None
    assert again is not None
    assert [event.id for event in again.events] == [event.id for event in before.events]


# ── what belongs to nobody ───────────────────────────────────────────────────────────────────────────


def test_strays_are_named_and_left(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    home, versions = entry.path.parent, data.workspace / "data" / ".versions"
    versions.mkdir(exist_ok=True)
    (home / "notes.txt").write_text("mine")
    (versions / ("0" * 64)).write_bytes(b"?")
    (home / "broken.csv.hmp.json").write_text("{}")
    beside = home / "q.csv.hmp.json"
    shutil.copy(beside, home / "elsewhere.csv.hmp.json")
    assert sorted((stray.kind, Path(stray.path).name) for stray in data.strays()) == [
        ("orphan", "notes.txt"),
        ("sidecar-damaged", "broken.csv.hmp.json"),
        ("sidecar-stale", "elsewhere.csv.hmp.json"),
        ("version", "0" * 64),
    ]
    data.check(fix=True)
    assert (home / "notes.txt").read_text() == "mine"
    assert len(data.strays()) == 4


def test_what_was_purged_and_removed_leaves_no_stray(data: InputsNamespace, server: Any, reply: Any) -> None:
    for name in "ab":
        data.fetch(server.on(f"/{name}.csv", reply()), variable="discharge", station=name)
    data.prune(older_than="0h", station="a", apply=True)
    data.remove("b", apply=True)
    assert data.strays() == []
    data["a"].path.write_text("somebody else's")
    assert [stray.kind for stray in data.strays()] == ["orphan"]


def test_what_was_not_accepted_is_listed(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(ValidationFailed):
        data.add(write(content="time,discharge\n2001-01-01,-9999\n"), **SAID)
    (found,) = data.rejected()
    assert (found.variable, found.checks) == ("discharge", ("range",))
    assert (data.workspace / found.path).read_bytes().endswith(b"-9999\n")
    (data.workspace / found.path).unlink()
    assert data.rejected() == []


# ── every byte ───────────────────────────────────────────────────────────────────────────────────────


def test_every_version_is_read(data: InputsNamespace, write: Write) -> None:
    old = data.add(write(content=OTHER), **SAID)
    new = data.add(write(), **SAID)
    assert [(v.sha256, v.state) for v in data.verify()] == [(new.sha256, "current"), (old.sha256, "superseded")]
    data.versions("q")[1].path.write_bytes(b"x")
    new.path.unlink()
    assert [v.state for v in data.verify(at_once=1)] == ["missing", "modified"]


def test_progress_is_told(data: InputsNamespace, write: Write) -> None:
    told: list[Step] = []
    entry = data.add(write(), **SAID)
    data.verify(progress=told.append)
    assert (told[-1].bytes, told[-1].total) == (entry.size, entry.size)


def test_what_was_purged_is_told(data: InputsNamespace, server: Any, reply: Any) -> None:
    data.fetch(server.on("/q.csv", reply()), **SAID)
    data.prune(older_than="0h", apply=True)
    assert [v.state for v in data.verify()] == ["purged"]


def test_no_file_at_a_time_is_refused(data: InputsNamespace) -> None:
    with pytest.raises(InvalidInput, match="at_once"):
        data.verify(at_once=0)


def test_a_hit_that_had_to_be_read_is_read_once(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply())
    entry = data.fetch(uri, **SAID)
    os.utime(entry.path, (1, 1))
    assert data.fetch(uri, **SAID) == entry
    assert data.fetch(uri, **SAID) == entry
    assert _kinds(data) == ["input.stored", "input.sighted"]
    assert data["q"].signature.mtime == 1.0
