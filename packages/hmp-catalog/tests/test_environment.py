"""What a run was made with, as it is now and not as it was when the process began."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import version

import pytest

from hmp_catalog import environment
from hmp_catalog.environment import capture


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git(folder, "init", "-q")
    (folder / "model.py").write_text("x = 1\n")
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


def git(folder, *words):
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b.org"}
    return subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | who, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def test_it_is_plain_and_complete():
    found = capture()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["packages"]["duckdb"] == version("duckdb")
    assert list(found["packages"]) == sorted(found["packages"], key=str.lower)
    assert found["cpu_info"]["cores"] == os.cpu_count()


def test_nothing_of_it_is_a_path_of_this_machine(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/home/somebody/model.py"])
    environment._capture.cache_clear()
    found = json.dumps(capture())
    environment._capture.cache_clear()
    assert '"model.py"' in found
    assert "/home/somebody" not in found


def test_the_code_is_that_of_the_folder_one_is_in(repository):
    first = capture()
    assert (first["git_commit"], first["git_dirty"]) == (git(repository, "rev-parse", "HEAD"), False)


def test_outside_a_repository_there_is_none(machine, monkeypatch):
    # the folder for temporary files may itself lie inside a repository
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(machine.parent))
    found = capture()
    assert (found["git_commit"], found["git_dirty"]) == (None, None)


def test_a_session_sees_its_commits_and_changes(repository, monkeypatch):
    monkeypatch.setattr(environment, "_LATELY", 0.0)
    first = capture()["git_commit"]
    (repository / "model.py").write_text("x = 2\n")
    assert capture()["git_dirty"] is True
    second = commit(repository)
    assert (capture()["git_commit"], capture()["git_dirty"]) == (second, False)
    assert second != first


def test_a_loop_of_runs_does_not_ask_every_time(repository, monkeypatch):
    capture()
    monkeypatch.setattr(environment, "_git", None)
    assert capture()["git_commit"]


def test_a_folder_that_was_removed_stops_no_run(cat, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with cat.record("gr4j", name="base"):
        pass
    assert cat["base"].environment["git_commit"] is None


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(environment, "_LATELY", -1.0)
    assert capture()["git_commit"] is None


def test_it_is_on_record(cat):
    with cat.record("gr4j", name="base", seed=7):
        pass
    row = cat.sql("SELECT python_version, rng_seed, solver_name, hostname FROM runs_environment").to_pylist()[0]
    kept = cat["base"].environment
    assert row == {
        "python_version": kept["python_version"],
        "rng_seed": 7,
        "solver_name": "gr4j",
        "hostname": kept["hostname"],
    }
