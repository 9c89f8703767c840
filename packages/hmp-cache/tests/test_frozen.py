"""A lock file names inputs in exactly these bytes; frozen inputs are held to it."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DataCatalogDuckDB, Entry, InputsNamespace
from hmp_cache.errors import FrozenDataError, UpstreamChanged
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound, PathTaken, SchemaTooNewError

Write = Callable[..., Path]
ODD = """version = 1
[[input]]
id = "1"
name = "q"
variable = "q"
source = "s"
sha256 = [1]
size = 1
path = "p"
"""
OTHER = "time,discharge\n2001-01-01,9.9\n"
SAID: dict[str, Any] = {"variable": "discharge", "station": "outlet"}


@pytest.fixture
def locked(data: InputsNamespace, server: Any, reply: Any, write: Write) -> Entry:
    """An input that the lock file names, and one that it does not."""
    entry = data.fetch(server.on("/q.csv", reply(), reply(body=OTHER.encode())), **SAID)
    data.lock()
    data.add(write("p.csv", "time,discharge\n2001-01-01,5\n"), variable="discharge", station="later")
    return entry


@pytest.fixture
def frozen(data: InputsNamespace, locked: Entry) -> InputsNamespace:
    return hmp_cache.open(data.workspace, frozen=True)


def _differences(data: InputsNamespace) -> list[tuple[str, str]]:
    return sorted((each.kind, each.name) for each in data.lock_state())


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


def test_it_names_every_input(data: InputsNamespace, locked: Entry) -> None:
    found = tomllib.loads((data.workspace / "hydromodpy.lock").read_text(encoding="utf-8"))
    (named,) = found["input"]
    moment = named.pop("fetched_at")
    assert named == {
        "id": str(locked.id), "name": "q", "variable": "discharge", "source": "url", "station": "outlet",
        "sha256": locked.sha256, "size": locked.size, "path": "data/discharge/url/q.csv", "uri": locked.uri,
    }  # fmt: skip
    assert moment.startswith("20")
    assert (found["version"], found["hmp_cache"]) == (1, hmp_cache.__version__)


def test_the_same_inputs_give_the_same_file_anywhere(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    for station in ("b", "a"):
        data.add(write(f"{station}.csv"), variable="discharge", station=station)
    first = data.lock().read_bytes()
    assert data.lock(tmp_path / "again.lock").read_bytes() == first
    data.close()
    shutil.copytree(data.workspace, tmp_path / "copy")
    with hmp_cache.open(tmp_path / "copy") as copy:
        assert copy.lock().read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_a_password_is_not_in_it(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply()).replace("http://", "http://ada:secret@")
    data.fetch(uri, **SAID)
    assert "secret" not in data.lock().read_text(encoding="utf-8")


def test_what_is_no_lock_file_is_not_written_over(data: InputsNamespace, locked: Entry, tmp_path: Path) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    for there in (diary, locked.path, tmp_path):
        with pytest.raises(PathTaken):
            data.lock(there)
    assert diary.read_text() == "mine"
    assert data.lock(tmp_path / "a.lock") == data.lock(tmp_path / "a.lock")


def test_a_changed_file_is_not_locked(data: InputsNamespace, write: Write) -> None:
    data.add(write(), **SAID).path.write_bytes(b"x")
    with pytest.raises(InvalidInput, match="not the bytes"):
        data.lock()


def test_what_is_otherwise_is_told(data: InputsNamespace, locked: Entry, server: Any) -> None:
    assert _differences(data) == [("extra", "p")]
    data.fetch(str(locked.uri), refresh=True, **SAID)
    assert _differences(data) == [("extra", "p"), ("sha256", "q")]
    data["q"].path.unlink()
    data.remove("q", apply=True, force=True)
    assert _differences(data) == [("extra", "p"), ("missing", "q")]


@pytest.mark.parametrize(
    ("content", "error"),
    [("", CorruptError), ("version = 99\n", SchemaTooNewError), ("[[[", CorruptError), (ODD, CorruptError)],
)
def test_a_file_that_cannot_be_read(data: InputsNamespace, content: str, error: type[Exception]) -> None:
    (data.workspace / "hydromodpy.lock").write_text(content)
    with pytest.raises(error):
        data.lock_state()
    with pytest.raises(error):
        hmp_cache.open(data.workspace, frozen=True)


def test_none_at_all(data: InputsNamespace) -> None:
    with pytest.raises(PathNotFound, match="hmp data lock"):
        hmp_cache.open(data.workspace, frozen=True)


# ── frozen ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_named_is_answered(frozen: InputsNamespace, locked: Entry) -> None:
    assert frozen.find() == [locked]
    assert frozen["q"] == locked
    assert frozen.latest() == locked
    assert frozen.check() == [locked]
    assert frozen.versions("q") == [locked]
    assert frozen.table.num_rows == 1
    assert frozen.artifact_path(locked.sha256) == locked.path


def test_a_fetch_of_it_asks_nobody(frozen: InputsNamespace, locked: Entry, server: Any) -> None:
    asked = len(server.asked)
    assert frozen.fetch(str(locked.uri), **SAID) == locked
    assert frozen.fetch(source="url", period="2001-01-01/2001-01-02", **SAID) == locked
    assert len(server.asked) == asked


def test_anything_else_is_refused(frozen: InputsNamespace, locked: Entry, server: Any, write: Write) -> None:
    refused: list[Callable[[], object]] = [
        lambda: frozen["p"],
        lambda: frozen["nothing"],
        lambda: frozen.versions("p"),
        lambda: frozen.artifact_path("f" * 64),
        lambda: frozen.fetch(server.address + "/other.csv", **SAID),
        lambda: frozen.fetch(str(locked.uri), refresh=True, **SAID),
        lambda: frozen.fetch(source="url", period="1990-01-01/2001-01-02", **SAID),
        lambda: frozen.add(write(), variable="discharge"),
        lambda: frozen.add_many([write()], variable="discharge"),
        frozen.refresh,
        lambda: frozen.prune(superseded=True, apply=True),
        lambda: frozen.remove("q", apply=True),
        lambda: frozen.check(fix=True),
        frozen.lock,
        lambda: frozen.restore("p"),
    ]
    for number, call in enumerate(refused):
        with pytest.raises(FrozenDataError):
            raise AssertionError((number, call()))


def test_other_bytes_are_refused(frozen: InputsNamespace, locked: Entry) -> None:
    locked.path.write_bytes(b"x" * locked.size)
    for call in (frozen.find, lambda: frozen["q"], lambda: frozen.fetch(str(locked.uri), **SAID)):
        with pytest.raises(FrozenDataError) as told:
            call()
        assert told.value.expected == locked.sha256
    assert [e.state for e in frozen.check()] == ["modified"]


def test_a_version_that_was_superseded_since_is_answered(data: InputsNamespace, locked: Entry) -> None:
    content = locked.path.read_bytes()
    new = data.fetch(str(locked.uri), refresh=True, **SAID)
    assert new.sha256 != locked.sha256
    with hmp_cache.open(data.workspace, frozen=True) as frozen:
        with frozen["q"].open() as file:
            assert file.read() == content
        assert frozen.fetch(str(locked.uri), **SAID).sha256 == locked.sha256
        frozen["q"].path.write_bytes(b"x" * locked.size)
        with pytest.raises(FrozenDataError):
            _ = frozen["q"]


def test_exactly_these_bytes_may_be_restored(data: InputsNamespace, locked: Entry, server: Any, reply: Any) -> None:
    data.prune(older_than="0h", station="outlet", apply=True, force=True)
    with hmp_cache.open(data.workspace, frozen=True) as frozen:
        with pytest.raises(FrozenDataError, match="restore"):
            _ = frozen["q"]
        with pytest.raises(UpstreamChanged):
            frozen.restore("q")
        with pytest.raises(FrozenDataError):
            frozen.restore("q", accept_change=True)
        server.on("/q.csv", reply())
        assert frozen.restore("q") == locked
        assert frozen["q"] == locked


def test_what_is_named_goes_by_force_alone(data: InputsNamespace, locked: Entry) -> None:
    plan = data.prune(older_than="0h", apply=True)
    assert [(kept.entry.name, "hydromodpy.lock" in kept.why) for kept in plan.kept] == [("p", False), ("q", True)]
    assert [kept.why for kept in data.remove("q", apply=True).kept] == ["hydromodpy.lock names it; with force it goes"]
    assert data.check(station="outlet") == [locked]
    assert data.remove("q", apply=True, force=True).applied


def test_the_environment_freezes(data: InputsNamespace, locked: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_FROZEN", "1")
    with hmp_cache.open(data.workspace) as frozen, pytest.raises(FrozenDataError):
        _ = frozen["p"]
    with DataCatalogDuckDB(data.workspace / "data" / "cache.duckdb") as low, pytest.raises(FrozenDataError):
        low.register(variable="dem", source="custom", file_path=locked.path)
    with hmp_cache.open(data.workspace, frozen=False) as free:
        assert len(free.find()) == 2
    monkeypatch.setenv("HMP_FROZEN", "perhaps")
    with pytest.raises(InvalidInput, match="HMP_FROZEN"):
        hmp_cache.open(data.workspace)


def test_in_a_copied_workspace(data: InputsNamespace, locked: Entry, tmp_path: Path) -> None:
    data.close()
    shutil.copytree(data.workspace, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / locked.relative_path, (1, 1))
    with hmp_cache.open(tmp_path / "copy", frozen=True) as frozen:
        assert frozen["q"] == locked
        assert frozen.check() == [locked]
