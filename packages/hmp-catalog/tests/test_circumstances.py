"""Under which circumstances something was done: who the author is known to be, and at which commit of the project."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess

import pytest

import hmp_catalog

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

WHO = "SELECT event_type, actor, actor_kind, git_commit FROM audit_log ORDER BY seq"


def git(folder, *words):
    said = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *said, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_trail_says_how_its_author_is_known(cat, record, monkeypatch):
    """It said "os_user" of everybody, also of a name that HMP_USER gave."""
    run = record(cat, "base")
    monkeypatch.setenv("HMP_USER", "ada")
    run.tag("paper")
    who = {(row["event_type"], row["actor"], row["actor_kind"]) for row in cat.sql(WHO).to_pylist()}
    assert ("sim.tag_add", "ada", "principal") in who
    assert ("sim.register", getpass.getuser(), "os_user") in who
    assert ("sim.finalize", getpass.getuser(), "os_user") in who


def test_the_trail_has_the_commit_of_the_project(project, record, contents, monkeypatch):
    monkeypatch.setattr("hmp_catalog.environment._LATELY", -1.0)
    monkeypatch.setenv("HMP_USER", "ada")
    git(project, "init")
    git(project, "commit", "--allow-empty", "-m", "first")
    first = git(project, "rev-parse", "HEAD")
    with hmp_catalog.open(project) as cat:
        run = record(cat, "base")
        git(project, "commit", "--allow-empty", "-m", "second")
        run.note("later")
        rows = cat.sql(WHO).to_pylist()
        second = git(project, "rev-parse", "HEAD")
        assert first != second
        assert [row["git_commit"] for row in rows] == [first, first, second]
        assert all(row["actor_kind"] == "principal" for row in rows)
        assert "by" not in json.loads(cat.audit.table()["payload"][0].as_py())
        before = contents(project)
        cat.rebuild()
        assert contents(project) == before
        assert cat.audit.verify().problems == ()
        manifest = json.loads((run.folder / "run.json").read_text())
        assert manifest["event"]["by"] == {"kind": "principal", "commit": first}
        cat.purge("base", reason="asked for")
        assert [row["git_commit"] for row in cat.sql(WHO).to_pylist()][:2] == [first, first]
        before = contents(project)
        cat.rebuild()
        assert contents(project) == before
        assert cat.audit.verify().problems == ()
