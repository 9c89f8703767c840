"""``hmp data add`` of many, ``archive`` and ``import``, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hmp_cache
from hmp_cache.cli import group
from hmp_cache.errors import NotAllAdded
from hmp_core.errors import ArchiveInvalid, PathTaken
from hmp_core.layout import init_workspace

Write = Callable[..., Path]


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Type ``hmp data ...`` inside a workspace."""
    init_workspace(workspace)
    monkeypatch.chdir(workspace)

    def _run(*words: object) -> Result:
        return CliRunner().invoke(group, [str(w) for w in words])

    return _run


def _json(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, (result.output, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def desk(write: Write) -> Path:
    for name in ("a.csv", "b/c.csv", "b/.hidden.csv", ".git/d.csv"):
        path = write(name)
    return path.parents[1]


def test_a_folder_is_added_with_all_below(run: Callable[..., Result], desk: Path) -> None:
    told = _json(run("add", desk, "--recursive", "--variable", "discharge", "--json"))
    assert [(each["name"], each["variable"]) for each in told] == [("a", "discharge"), ("c", "discharge")]


def test_several_files_are_added(run: Callable[..., Result], desk: Path) -> None:
    told = _json(run("add", desk / "a.csv", desk / "b" / "c.csv", "--variable", "discharge", "--json"))
    assert [each["name"] for each in told] == ["a", "c"]


def test_the_refused_is_named_after_the_others_are_in(run: Callable[..., Result], desk: Path) -> None:
    result = run("add", desk / "a.csv", desk / "nowhere.csv", "--variable", "discharge", "--json")
    assert isinstance(result.exception, NotAllAdded)
    assert "nowhere.csv" in str(result.exception)
    assert [json.loads(line)["name"] for line in result.stdout.splitlines()] == ["a"]


def test_a_folder_is_no_file(run: Callable[..., Result], desk: Path) -> None:
    assert "folder" in str(run("add", desk, "--variable", "discharge").exception)


def test_there_and_back(run: Callable[..., Result], desk: Path, tmp_path: Path) -> None:
    run("add", desk, "--recursive", "--variable", "discharge")
    [told] = _json(run("archive", tmp_path / "x.hmpdata", "name=a", "--json"))
    assert (told["inputs"], told["versions"], told["lacking"]) == (1, 1, [])
    with hmp_cache.open(tmp_path / "other", create=True):
        pass
    [entry] = _json(run("import", tmp_path / "x.hmpdata", "-w", tmp_path / "other", "--json"))
    assert entry["name"] == "a"


def test_what_is_lacking_is_told(run: Callable[..., Result], desk: Path, tmp_path: Path) -> None:
    [entry] = _json(run("add", desk / "a.csv", "--variable", "discharge", "--json"))
    Path(entry["path"]).unlink()
    result = run("archive", tmp_path / "x.hmpdata")
    assert result.exit_code == 1
    assert "missing" in result.output
    assert (tmp_path / "x.hmpdata").exists()


def test_refusals_are_typed(run: Callable[..., Result], desk: Path, tmp_path: Path) -> None:
    (tmp_path / "x.hmpdata").write_text("no archive")
    assert isinstance(run("archive", tmp_path / "x.hmpdata").exception, PathTaken)
    assert isinstance(run("import", tmp_path / "x.hmpdata").exception, ArchiveInvalid)
    assert run("archive", tmp_path / "x.hmpdata", "--overwrite", "--current-only").exit_code == 0
