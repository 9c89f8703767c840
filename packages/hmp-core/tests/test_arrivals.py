"""Word of a workspace is left once, where the index looks for it, and whoever leaves it never fails for it."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import pytest

from hmp_core import arrivals
from hmp_core.arrivals import FOLDER, announce, waiting
from hmp_core.layout import init_project, init_workspace


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test be a process that has said nothing yet."""
    monkeypatch.setattr(arrivals, "_told", arrivals._Told())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return init_workspace(tmp_path / "fulda").path


def test_word_says_where_the_workspace_really_lies(workspace: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(workspace)
    project = init_project(tmp_path / "link", "base").path
    announce(project)
    assert [word.path for word in waiting(home)] == [workspace.resolve()]
    assert [file.name for file in (home / FOLDER).iterdir()] == [waiting(home)[0].file.name], "nothing else is left"


def test_a_process_says_it_once(workspace: Path, home: Path) -> None:
    announce(workspace)
    waiting(home)[0].file.unlink()
    announce(workspace)
    assert waiting(home) == []


def test_another_state_folder_is_told_too(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(workspace)
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "other"))
    announce(workspace)
    assert len(waiting(tmp_path / "other")) == 1


def test_what_is_said_already_is_not_written_again(
    workspace: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(workspace)
    before = waiting(home)[0].file.stat()
    monkeypatch.setattr(arrivals, "_told", arrivals._Told())
    announce(workspace)
    assert waiting(home)[0].file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("off", ["0", "false", "NO", " off "])
def test_it_can_be_turned_off(workspace: Path, home: Path, monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    monkeypatch.setenv("HMP_AUTO_REGISTER_WORKSPACE", off)
    announce(workspace)
    assert not home.exists()


def test_what_is_no_workspace_is_not_announced(tmp_path: Path, home: Path) -> None:
    announce(tmp_path)
    assert not home.exists()


def test_a_state_folder_that_cannot_be_written_is_a_warning_once(
    workspace: Path, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("a file in its place")
    other = init_workspace(tmp_path / "aare").path
    with caplog.at_level(logging.DEBUG, logger="hmp_core.arrivals"):
        announce(workspace)
        announce(other)
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    assert str(workspace) in caplog.text
    assert waiting(home) == []


def test_a_state_folder_that_can_be_no_place_stops_nobody(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HMP_STATE_HOME", "s3://bucket/state")
    announce(workspace)
    assert "s3://bucket/state" in caplog.text


def _announce_many(places: list[Path]) -> None:
    for place in places:
        announce(place)


def test_many_processes_say_the_same(tmp_path: Path, home: Path) -> None:
    places = [init_workspace(tmp_path / f"w{n}").path for n in range(20)]
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_announce_many, args=(places,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert {word.path for word in waiting(home)} == {place.resolve() for place in places}
    assert len(os.listdir(home / FOLDER)) == len(places)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"path": 3}', b'{"path": "relative"}', b"\xff", b"[" * 60000])
def test_a_file_that_says_nothing_is_told_apart(home: Path, content: bytes) -> None:
    (home / FOLDER).mkdir(parents=True)
    (home / FOLDER / "x.json").write_bytes(content)
    assert [word.path for word in waiting(home)] == [None]
