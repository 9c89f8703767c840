"""Bytes go by a plan, their record stays, and a user's file is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import ArtifactGone, DataCatalogDuckDB, Entry, EntryNotFound, InputsNamespace
from hmp_cache.purging import age_of, purge, size_of
from hmp_core.errors import InvalidInput, NotWritable, PathTaken
from hmp_core.events.clock import clock
from hmp_core.identity import sha256_file

Write = Callable[..., Path]
OTHER = "time,discharge\n2001-01-01,9.9\n"
SAID: dict[str, Any] = {"variable": "discharge", "station": "outlet"}


@pytest.fixture
def fetched(data: InputsNamespace, server: Any, reply: Any) -> Entry:
    """An input that was fetched twice, with other bytes the second time."""
    uri = server.on("/q.csv", reply(body=b"time,discharge\n2001-01-01,1.4\n"), reply(body=OTHER.encode()))
    data.fetch(uri, **SAID)
    return data.fetch(uri, refresh=True, **SAID)


def _all(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_changes_nothing(data: InputsNamespace, fetched: Entry) -> None:
    before = _all(data.workspace / "data" / "discharge") | _all(data.workspace / "data" / ".versions")
    plan = data.prune(older_than="0h")
    assert [(item.entry.sha256, item.freed) for item in plan] == [(v.sha256, v.size) for v in data.versions(fetched)]
    assert not plan.applied
    assert _all(data.workspace / "data" / "discharge") | _all(data.workspace / "data" / ".versions") == before


def test_what_went_is_purged_and_its_record_stays(data: InputsNamespace, fetched: Entry) -> None:
    plan = data.prune(older_than="0h", apply=True)
    assert plan.applied
    assert plan.freed == sum(v.size for v in data.versions(fetched))
    assert [v.state for v in data.versions(fetched)] == ["purged", "purged"]
    assert [e.state for e in data.check()] == ["purged"]
    assert data[str(fetched.id)] == data.find(station="outlet")[0]
    assert not fetched.path.exists()
    assert list((data.workspace / "data" / ".versions").iterdir()) == []


def test_purged_bytes_are_not_opened(data: InputsNamespace, fetched: Entry) -> None:
    data.prune(older_than="0h", apply=True)
    with pytest.raises(ArtifactGone, match="hmp data restore"):
        data["q"].open()
    fetched.path.write_bytes(b"x")
    with pytest.raises(ArtifactGone):
        data["q"].open()


def test_only_former_versions(data: InputsNamespace, fetched: Entry) -> None:
    data.prune(superseded=True, apply=True)
    assert [v.state for v in data.versions(fetched)] == ["current", "purged"]
    assert data.check() == [fetched]


def test_the_newest_versions_are_left(data: InputsNamespace, fetched: Entry) -> None:
    assert [item.entry.state for item in data.prune(keep_latest=1)] == ["superseded"]
    assert len(data.prune(keep_latest=2)) == 0


def test_a_clock_that_was_set_ahead_makes_nothing_young(
    data: InputsNamespace, fetched: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes from a machine whose clock runs ahead takes this one along."""
    monkeypatch.setattr(clock, "_last", clock.now() + 3_600_000_000)
    data.refresh(fetched)
    data.add(data.workspace / "workspace.toml", variable="other")
    assert {item.entry.id for item in data.prune(older_than="0h")} == {fetched.id}


def test_age_counts_from_what_happened_last(data: InputsNamespace, fetched: Entry) -> None:
    assert len(data.prune(older_than=timedelta(days=1))) == 0
    assert len(data.prune(older_than=timedelta())) == 2


def test_a_budget_takes_former_versions_first(data: InputsNamespace, fetched: Entry) -> None:
    assert [item.entry.state for item in data.prune(max_size=fetched.size)] == ["superseded"]
    assert [item.entry.state for item in data.prune(max_size=0)] == ["superseded", "current"]
    assert len(data.prune(max_size="1GB")) == 0


def test_a_budget_that_cannot_be_kept_is_told(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    plan = data.prune(max_size=0)
    assert (len(plan), plan.over) == (0, entry.size)


def test_what_cannot_be_fetched_again_stays(data: InputsNamespace, write: Write) -> None:
    data.add(write(), **SAID)
    entry = data.add(write(content=OTHER), **SAID)
    plan = data.prune(older_than="0h", apply=True)
    assert [kept.entry.state for kept in plan.kept] == ["current", "superseded"]
    assert len(plan) == 0
    assert [v.state for v in data.versions(entry)] == ["current", "superseded"]


def test_by_force_only_a_former_version_of_it_goes(data: InputsNamespace, write: Write) -> None:
    data.add(write(), **SAID)
    entry = data.add(write(content=OTHER), **SAID)
    data.prune(older_than="0h", apply=True, force=True)
    assert [v.state for v in data.versions(entry)] == ["current", "purged"]


def test_a_file_of_its_owner_is_never_touched(workspace: Path, data: InputsNamespace, server: Any, reply: Any) -> None:
    """Registered in place, also among the cache's own folders and marked as a download."""
    file = workspace / "data" / "discharge" / "url" / "mine.csv"
    file.parent.mkdir(parents=True)
    file.write_text(OTHER)
    with DataCatalogDuckDB(workspace / "data" / "cache.duckdb") as low:
        low.register(variable="discharge", source="url", file_path=file, station_id="mine")
    plan = data.prune(older_than="0h", max_size=0, apply=True, force=True)
    assert [kept.why for kept in plan.kept] == ["it stays where its owner has it"]
    data.remove("mine", apply=True)
    assert file.read_text() == OTHER
    assert data.find() == []


def test_an_edited_file_stays(data: InputsNamespace, fetched: Entry) -> None:
    fetched.path.write_bytes(b"my own work")
    plan = data.prune(older_than="0h", apply=True)
    assert [(kept.entry.state, kept.why) for kept in plan.kept] == [("current", "the file was changed since")]
    assert fetched.path.read_bytes() == b"my own work"


def test_a_file_edited_after_the_plan_stays(data: InputsNamespace, fetched: Entry) -> None:
    fetched.path.write_bytes(b"my own work")
    assert purge(data._rooms, fetched, "to make room") == "the file was changed since"
    assert fetched.path.read_bytes() == b"my own work"


def test_bytes_that_another_input_needs_stay(data: InputsNamespace, server: Any, reply: Any) -> None:
    for name in ("a", "b"):
        uri = server.on(f"/{name}.csv", reply(body=b"time,discharge\n2001-01-01,1.4\n"), reply(body=OTHER.encode()))
        data.fetch(uri, variable="discharge", station=name)
        data.fetch(uri, variable="discharge", station=name, refresh=True)
    plan = data.prune(superseded=True, station="a", apply=True)
    assert [kept.why.partition(" (")[0] for kept in plan.kept] == ["b"]
    old = data.versions("b")[1]
    assert old.path.read_bytes() == b"time,discharge\n2001-01-01,1.4\n"
    both = data.prune(superseded=True, apply=True)
    assert (len(both), both.freed) == (2, old.size)
    assert not old.path.exists()


def test_what_is_current_elsewhere_stays_there(data: InputsNamespace, server: Any, reply: Any) -> None:
    one = data.fetch(server.on("/a.csv", reply()), variable="discharge", station="a")
    two = data.fetch(server.on("/b.csv", reply()), variable="discharge", station="b")
    data.prune(older_than="0h", station="a", apply=True)
    assert (one.path.exists(), two.path.exists()) == (False, True)
    assert data.artifact_path(one.sha256) == two.path


def test_something_must_say_what_may_go(data: InputsNamespace) -> None:
    with pytest.raises(InvalidInput, match="older_than"):
        data.prune(variable="discharge")


@pytest.mark.parametrize(
    "said",
    [
        {"older_than": 5},
        {"older_than": timedelta(days=-1)},
        {"keep_latest": 1.5},
        {"keep_latest": True},
        {"max_size": -1},
        {"max_size": True},
        {"max_size": "9" * 400},
    ],
)
def test_what_says_nothing_that_can_be_meant_is_refused(data: InputsNamespace, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        data.prune(**said, apply=True)


@pytest.mark.parametrize(("text", "hours"), [("36h", 36), ("180d", 4320), ("2 w", 336), ("1y", 8766)])
def test_ages(text: str, hours: int) -> None:
    assert age_of(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "-1d", "1 month", "99999999999999y"])
def test_no_age(text: str) -> None:
    with pytest.raises(InvalidInput):
        age_of(text)


@pytest.mark.parametrize(("text", "size"), [("1000", 1000), ("10GB", 10**10), ("1.5KiB", 1536), ("2 mb", 2 * 10**6)])
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


def test_whoever_may_only_read_plans(data: InputsNamespace, fetched: Entry) -> None:
    data.close()
    with hmp_cache.open(data.workspace, read_only=True) as reader:
        assert len(reader.prune(older_than="0h")) == 2
        with pytest.raises(NotWritable):
            reader.prune(older_than="0h", apply=True)
    assert fetched.path.exists()


@pytest.mark.parametrize("carry", [shutil.move, shutil.copytree])
def test_a_moved_workspace(data: InputsNamespace, fetched: Entry, tmp_path: Path, carry: Callable[..., Any]) -> None:
    """Also a copied one, whose files look otherwise."""
    data.close()
    carry(data.workspace, tmp_path / "moved")
    with hmp_cache.open(tmp_path / "moved") as moved:
        assert moved.prune(older_than="0h", apply=True).freed == 2 * 30
        assert [v.state for v in moved.versions("q")] == ["purged", "purged"]
        assert not moved["q"].path.exists()


def test_a_rebuilt_database_knows_what_was_purged(data: InputsNamespace, fetched: Entry) -> None:
    data.prune(superseded=True, apply=True)
    data.close()
    (data.workspace / "data" / "cache.duckdb").unlink()
    shutil.rmtree(data.workspace / "data" / "events", ignore_errors=True)
    shutil.rmtree(data.workspace / "data" / ".hmp")
    with hmp_cache.open(data.workspace) as again:
        assert [v.state for v in again.versions("q")] == ["current", "purged"]


_PRUNE = """
import sys, hmp_cache
with hmp_cache.open(sys.argv[1]) as data:
    data.prune(older_than="0h", apply=True)
"""


def test_two_processes_prune_at_the_same_time(data: InputsNamespace, fetched: Entry) -> None:
    two = [subprocess.Popen([sys.executable, "-c", _PRUNE, str(data.workspace)]) for _ in range(2)]
    assert [each.wait() for each in two] == [0, 0]
    assert [v.state for v in data.versions("q")] == ["purged", "purged"]
    assert data.sql("SELECT count(*) AS n FROM artifacts WHERE state = 'purged'").to_pylist() == [{"n": 2}]


# ── giving an input up ───────────────────────────────────────────────────────────────────────────────


def test_a_removed_input_is_hidden_and_its_record_stays(data: InputsNamespace, fetched: Entry) -> None:
    assert len(data.remove("q")) == 2
    assert data.find() == [fetched]
    plan = data.remove("q", apply=True)
    assert (len(plan), plan.applied) == (2, True)
    assert data.find() == []
    assert not fetched.path.exists()
    with pytest.raises(EntryNotFound):
        data["q"]
    states = data.sql("SELECT state FROM artifacts ORDER BY created_at").to_pylist()
    assert states == [{"state": "purged"}, {"state": "purged"}]


def test_what_was_removed_comes_back_under_the_same_id(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    data.remove("q", apply=True)
    again = data.add(write(), **SAID)
    assert (again.id, again.artifact_id, again.state) == (entry.id, entry.artifact_id, "current")
    assert data.find() == [again]
    assert data.check() == [again]


def test_other_bytes_bring_it_back_too(data: InputsNamespace, write: Write) -> None:
    data.add(write(), **SAID)
    data.remove("q", apply=True)
    again = data.add(write(content=OTHER), **SAID)
    assert [v.state for v in data.versions(again)] == ["current", "purged"]


def test_a_stranger_where_it_lay_is_not_overwritten(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    data.remove("q", apply=True)
    entry.path.write_bytes(b"mine")
    for content in (None, OTHER):
        with pytest.raises(PathTaken):
            data.add(write(**({"content": content} if content else {})), **SAID)
    assert entry.path.read_bytes() == b"mine"


def test_purged_bytes_that_are_fetched_again_are_restored(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply())
    entry = data.fetch(uri, **SAID)
    data.prune(older_than="0h", apply=True)
    assert data.fetch(uri, **SAID).sha256 == entry.sha256
    assert data.check() == [entry]
    kinds = [e.kind for e in data.store.files.everything().events]
    assert kinds == ["input.stored", "input.purged", "input.restored"]
    assert sha256_file(entry.path) == entry.sha256


def test_a_full_disk_while_a_purge_is_written_down_changes_nothing(
    data: InputsNamespace, fetched: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(path: Path, content: bytes, **options: Any) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("hmp_cache.changes.write_atomic", full)
        with pytest.raises(OSError, match="No space left"):
            data.prune(superseded=True, apply=True)
    assert [v.state for v in data.versions("q")] == ["current", "superseded"]
    assert list((data.workspace / "data" / ".incoming").glob("*")) == []


# ── at the same time ─────────────────────────────────────────────────────────────────────────────────


_REFRESH = """
import sys, hmp_cache
with hmp_cache.open(sys.argv[1]) as data:
    data.refresh()
"""


def _two(data: InputsNamespace, server: Any, reply: Any) -> list[Entry]:
    """Two inputs in two folders with the same bytes; the first has others by now: its former ones are kept."""
    for name, variable in (("a", "discharge"), ("b", "flow")):
        uri = server.on(f"/{name}.csv", reply(), reply(body=OTHER.encode()))
        data.fetch(uri, variable=variable, station=name)
    data.refresh("a")
    return [data.versions("a")[1], data["b"]]


def test_kept_bytes_that_are_needed_while_they_go_are_put_back(
    data: InputsNamespace, server: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finds them kept already, and lets its own go, in the moment before they are moved aside."""
    former, _ = _two(data, server, reply)
    rename, came = os.rename, []

    def late(source: Path, target: Path) -> None:
        if str(target).endswith(".gone") and not came:
            came.append(target)
            other = _REFRESH.replace("refresh()", "refresh('b')")
            subprocess.run([sys.executable, "-c", other, str(data.workspace)], check=True)
        rename(source, target)

    monkeypatch.setattr("hmp_cache.changes.os.rename", late)
    assert isinstance(purge(data._rooms, former, "to make room"), int)
    assert came
    assert [v.state for v in data.versions("a")] == ["current", "purged"]
    kept = data.versions("b")[1]
    assert kept.state == "superseded"
    assert sha256_file(kept.path) == former.sha256


def test_what_is_written_to_in_that_moment_is_put_back(
    data: InputsNamespace, fetched: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        Path(source).write_bytes(b"my own work")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("hmp_cache.changes.os.rename", late)
        purge(data._rooms, fetched, "to make room")
    assert fetched.path.read_bytes() == b"my own work"
    assert data["q"].state == "purged"


@pytest.mark.soak
def test_a_refresh_and_a_prune_at_the_same_time(data: InputsNamespace, server: Any, reply: Any) -> None:
    """Whatever comes first, no record says of bytes what is not so."""
    _two(data, server, reply)
    work = [_PRUNE.replace('older_than="0h"', "superseded=True"), _REFRESH, _PRUNE]
    processes = [subprocess.Popen([sys.executable, "-c", each, str(data.workspace)]) for each in work]
    assert [each.wait() for each in processes] == [0, 0, 0]
    for version in [*data.versions("a"), *data.versions("b")]:
        if version.state == "purged":
            with pytest.raises(ArtifactGone):
                version.open()
        else:
            with version.open(verify="full") as file:
                assert file.read()


# ── files of their owner ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own(workspace: Path, data: InputsNamespace) -> Path:
    """A file that is registered where it lies."""
    file = workspace / "data" / "mine.csv"
    file.write_text(OTHER)
    _register(file)
    return file


def _register(file: Path) -> None:
    with DataCatalogDuckDB(file.parent / "cache.duckdb") as low:
        low.register(variable="discharge", source="custom", file_path=file, station_id="outlet", is_custom=True)


def test_a_removed_file_of_its_owner_comes_back_when_it_is_registered_again(data: InputsNamespace, own: Path) -> None:
    plan = data.remove("mine", apply=True)
    assert [kept.why for kept in plan.kept] == ["it stays where its owner has it"]
    assert (data.find(), own.read_text()) == ([], OTHER)
    _register(own)
    assert [e.state for e in data.check()] == ["current"]


def test_a_file_whose_owner_took_it_away_is_kept_as_a_copy_if_it_is_added(
    data: InputsNamespace, own: Path, write: Write
) -> None:
    (entry,) = data.find()
    own.unlink()
    assert data.check()[0].state == "missing"
    again = data.add(write("mine.csv", OTHER), **SAID)
    assert (again.id, again.relative_path) == (entry.id, "data/discharge/custom/mine.csv")
    assert data.check() == [again]
    assert [v.state for v in data.versions(again)] == ["current"]
    assert data.strays() == []
