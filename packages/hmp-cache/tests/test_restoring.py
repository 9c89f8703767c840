"""What was purged or lost comes back with the same bytes, or it is said clearly why not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from water_services import HubEau

import hmp_cache
from hmp_cache import ArtifactGone, DataCatalogDuckDB, Entry, EntryNotFound, InputsNamespace
from hmp_cache.errors import DownloadFailed, UpstreamChanged
from hmp_core.errors import InvalidInput, NotWritable, PathTaken, StorageError
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]
OLD, NEW = b"time,discharge\n2001-01-01,1.4\n", b"time,discharge\n2001-01-01,9.9\n"
SAID: dict[str, Any] = {"variable": "discharge", "station": "outlet"}


@pytest.fixture
def purged(data: InputsNamespace, server: Any, reply: Any) -> Entry:
    """An input that was fetched, and purged since; its server has the same bytes still."""
    entry = data.fetch(server.on("/q.csv", reply(body=OLD)), **SAID)
    data.prune(older_than="0h", apply=True)
    return entry


def _kinds(data: InputsNamespace) -> list[str]:
    return [event.kind for event in data.store.files.everything().events]


def test_purged_bytes_come_back(data: InputsNamespace, purged: Entry) -> None:
    entry = data.restore("q")
    assert (entry, entry.path.read_bytes()) == (purged, OLD)
    assert data.check() == [purged]
    assert _kinds(data) == ["input.stored", "input.purged", "input.restored"]


@pytest.mark.parametrize("reference", ["sha256", "artifact_id", "id"])
def test_by_any_reference(data: InputsNamespace, purged: Entry, reference: str) -> None:
    assert data.restore(str(getattr(purged, reference))) == purged


def test_what_is_there_stays_as_it_is(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), **SAID)
    assert data.restore(entry) == entry
    assert _kinds(data) == ["input.stored"]


def test_other_bytes_upstream_are_not_taken_for_them(
    data: InputsNamespace, purged: Entry, server: Any, reply: Any
) -> None:
    server.on("/q.csv", reply(body=NEW))
    with pytest.raises(UpstreamChanged) as told:
        data.restore("q")
    assert (told.value.expected, told.value.found) == (sha256_bytes(OLD), sha256_bytes(NEW))
    assert [v.state for v in data.versions("q")] == ["purged"]
    assert not purged.path.exists()


def test_they_are_a_new_version_if_that_is_wanted(
    data: InputsNamespace, purged: Entry, server: Any, reply: Any
) -> None:
    server.on("/q.csv", reply(body=NEW))
    entry = data.restore("q", accept_change=True)
    assert entry.path.read_bytes() == NEW
    assert [(v.sha256, v.state) for v in data.versions("q")] == [(entry.sha256, "current"), (purged.sha256, "purged")]


def test_a_server_that_fails_is_told(data: InputsNamespace, purged: Entry, server: Any, reply: Any) -> None:
    server.on("/q.csv", reply(status=404, body=b"gone"))
    with pytest.raises(DownloadFailed):
        data.restore("q")
    assert data.failures().num_rows == 1


def test_a_former_version_comes_back_beside_the_current_one(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=OLD), reply(body=NEW), reply(body=OLD))
    old = data.fetch(uri, **SAID)
    new = data.fetch(uri, refresh=True, **SAID)
    data.prune(superseded=True, apply=True)
    assert data.restore(old).state == "superseded"
    assert data.artifact_path(old.sha256).read_bytes() == OLD
    assert data.check() == [new]


def test_bytes_that_another_input_has_are_taken_from_there(
    data: InputsNamespace, purged: Entry, server: Any, write: Write
) -> None:
    data.add(write(content=OLD), variable="discharge", station="twin")
    asked = len(server.asked)
    assert data.restore(str(purged.id)) == purged
    assert len(server.asked) == asked


def test_a_deleted_file_comes_back_from_where_its_owner_has_it(data: InputsNamespace, write: Write) -> None:
    source = write(content=OLD)
    entry = data.add(source, **SAID)
    entry.path.unlink()
    assert data.restore("q") == entry
    assert entry.path.read_bytes() == OLD
    assert source.read_bytes() == OLD


def test_a_deleted_file_that_nobody_has_is_gone(data: InputsNamespace, write: Write) -> None:
    source = write(content=OLD)
    entry = data.add(source, **SAID)
    entry.path.unlink()
    source.write_bytes(NEW)
    with pytest.raises(ArtifactGone, match="add the file again"):
        data.restore("q")
    assert data.check()[0].state == "missing"


def test_a_changed_file_is_kept_aside_before(data: InputsNamespace, server: Any, reply: Any) -> None:
    entry = data.fetch(server.on("/q.csv", reply(body=OLD)), **SAID)
    entry.path.write_bytes(b"my own work")
    assert data.restore("q").path.read_bytes() == OLD
    kept = data.workspace / "data" / ".versions" / sha256_bytes(b"my own work")
    assert kept.read_bytes() == b"my own work"


def test_a_flipped_bit_is_found_by_reading(data: InputsNamespace, server: Any, reply: Any) -> None:
    entry = data.fetch(server.on("/q.csv", reply(body=OLD)), **SAID)
    looked = entry.path.stat()
    with entry.path.open("r+b") as file:
        file.write(b"T")
    os.utime(entry.path, ns=(looked.st_atime_ns, looked.st_mtime_ns))
    assert data.restore("q").path.read_bytes() != OLD
    assert data.restore("q", verify="full").path.read_bytes() == OLD


def test_a_file_of_its_owner_is_his(workspace: Path, data: InputsNamespace) -> None:
    file = workspace / "data" / "mine.csv"
    file.write_bytes(OLD)
    with DataCatalogDuckDB(workspace / "data" / "cache.duckdb") as low:
        low.register(variable="discharge", source="url", file_path=file, station_id="mine")
    file.unlink()
    with pytest.raises(InvalidInput, match="put these bytes back"):
        data.restore("mine")


def test_a_stranger_in_its_place_is_not_overwritten(data: InputsNamespace, purged: Entry) -> None:
    purged.path.write_bytes(b"mine")
    with pytest.raises(PathTaken):
        data.restore("q")
    assert purged.path.read_bytes() == b"mine"


def test_what_was_removed_is_not_restored(data: InputsNamespace, purged: Entry) -> None:
    data.remove("q", apply=True)
    with pytest.raises(EntryNotFound, match="removed"):
        data.restore(purged.sha256)


def test_whoever_may_only_read_restores_nothing(data: InputsNamespace, purged: Entry) -> None:
    data.close()
    with hmp_cache.open(data.workspace, read_only=True) as reader, pytest.raises(NotWritable):
        reader.restore("q")


def test_in_a_moved_workspace(data: InputsNamespace, purged: Entry, tmp_path: Path) -> None:
    data.close()
    shutil.move(data.workspace, tmp_path / "moved")
    with hmp_cache.open(tmp_path / "moved") as moved:
        assert moved.restore("q").path.read_bytes() == OLD


def test_a_full_disk_leaves_it_purged(data: InputsNamespace, purged: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, file: Any, block: bytes) -> None:
        raise StorageError(os.strerror(errno.ENOSPC), path=file.name)

    with monkeypatch.context() as patch:
        patch.setattr("hmp_cache.incoming.Incoming.write", full)
        with pytest.raises(StorageError):
            data.restore("q")
    assert [v.state for v in data.versions("q")] == ["purged"]
    assert not purged.path.exists()
    assert data.restore("q", retry_now=True) == purged


def test_a_database_made_again_knows_it_is_back(data: InputsNamespace, purged: Entry) -> None:
    data.restore("q")
    data.close()
    for gone in ("events", ".hmp"):
        shutil.rmtree(data.workspace / "data" / gone, ignore_errors=True)
    (data.workspace / "data" / "cache.duckdb").unlink()
    with hmp_cache.open(data.workspace) as again:
        assert again.check() == [purged]


_RESTORE = """
import sys, hmp_cache
with hmp_cache.open(sys.argv[1]) as data:
    data.restore("q")
"""


def test_two_processes_download_once(data: InputsNamespace, purged: Entry, server: Any) -> None:
    before = len(server.asked)
    two = [subprocess.Popen([sys.executable, "-c", _RESTORE, str(data.workspace)]) for _ in range(2)]
    assert [each.wait() for each in two] == [0, 0]
    assert len(server.asked) == before + 1
    assert data.check() == [purged]


# ── asking again ─────────────────────────────────────────────────────────────────────────────────────


def test_refresh_tells_changed_unchanged_and_failed(
    data: InputsNamespace, server: Any, reply: Any, write: Write
) -> None:
    for name, later in (("a", reply(body=NEW)), ("b", reply(body=OLD)), ("c", reply(status=404, body=b"gone"))):
        data.fetch(server.on(f"/{name}.csv", reply(body=OLD), later), variable="discharge", station=name)
    data.add(write(), variable="discharge", station="own")
    found = {each.entry.name: each for each in data.refresh()}
    assert {name: each.outcome for name, each in found.items()} == {"a": "changed", "b": "unchanged", "c": "failed"}
    assert isinstance(found["c"].error, DownloadFailed)
    assert [v.state for v in data.versions("a")] == ["current", "superseded"]


def test_refresh_of_one_by_its_name_where_the_uri_stands_for_the_place(
    data: InputsNamespace, server: Any, reply: Any
) -> None:
    entry = data.fetch(server.on("/q.csv", reply(body=OLD), reply(body=NEW)), variable="discharge", unit="m3 s-1")
    (found,) = data.refresh("q")
    assert (found.outcome, found.entry.id) == ("changed", entry.id)
    named = data.fetch(server.on("/r.csv", reply(body=OLD)), variable="discharge", name="mine")
    assert [(each.outcome, each.entry) for each in data.refresh(named)] == [("unchanged", named)]


def test_a_users_file_cannot_be_asked_for(data: InputsNamespace, write: Write) -> None:
    data.add(write(), **SAID)
    assert data.refresh() == []
    with pytest.raises(InvalidInput, match="own file"):
        data.refresh("q")


def test_what_was_purged_is_brought_back_only_if_it_is_named(data: InputsNamespace, purged: Entry) -> None:
    assert data.refresh() == []
    assert [each.outcome for each in data.refresh("q")] == ["unchanged"]
    assert data.check() == [purged]


# ── series ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def gauge(workspace: Path) -> Iterator[HubEau]:
    """A service with daily means, that a workspace knows."""
    with HubEau() as running:
        for day in range(1, 21):
            running.daily(f"2001-01-{day:02}", day * 1000.0)
        hmp_cache.open(workspace, create=True).close()
        with (workspace / "workspace.toml").open("a") as file:
            file.write(f'\n[sources.hubeau]\nurl = "{running.address}"\n')
        yield running


def revise(service: HubEau) -> None:
    """Publish another value for a day."""
    service.tables["obs_elab"][2]["resultat_obs_elab"] = 77000.0


ASKED: dict[str, Any] = {"variable": "discharge", "source": "hubeau", "station": "K003002010"}


def test_a_purged_series_comes_back_byte_by_byte(workspace: Path, gauge: HubEau) -> None:
    with hmp_cache.open(workspace) as data:
        data.fetch(period="2001-01-01/2001-01-10", **ASKED)
        entry = data.fetch(period="2001-01-05/2001-01-20", **ASKED)
        before = entry.path.read_bytes()
        plan = data.prune(older_than="0h", apply=True)
        assert len(plan) == 2
        assert data.restore(entry).path.read_bytes() == before
        assert [v.state for v in data.versions(entry)] == ["current", "purged"]
        assert data.restore(data.versions(entry)[1]).state == "superseded"


def test_a_series_whose_source_has_revised_it_is_told(workspace: Path, gauge: HubEau) -> None:
    with hmp_cache.open(workspace) as data:
        entry = data.fetch(period="2001-01-01/2001-01-10", **ASKED)
        data.prune(older_than="0h", apply=True)
        revise(gauge)
        with pytest.raises(UpstreamChanged) as told:
            data.restore(entry)
        assert told.value.expected == entry.sha256
        assert data.versions(entry)[0].state == "purged"
        new = data.restore(entry, accept_change=True)
        assert new.sha256 == told.value.found
        assert [v.state for v in data.versions(entry)] == ["current", "purged"]


def test_refresh_of_a_series(workspace: Path, gauge: HubEau) -> None:
    with hmp_cache.open(workspace) as data:
        data.fetch(period="2001-01-01/2001-01-10", **ASKED)
        assert [each.outcome for each in data.refresh()] == ["unchanged"]
        revise(gauge)
        assert [each.outcome for each in data.refresh()] == ["changed"]
