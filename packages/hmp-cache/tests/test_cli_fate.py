"""``hmp data check, verify, prune, remove, restore, refresh, lock`` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hmp_cache
from hmp_cache import Entry
from hmp_cache.cli import group
from hmp_cache.errors import FrozenDataError, UpstreamChanged

Write = Callable[..., Path]
Run = Callable[..., Result]
OTHER = b"time,discharge\n2001-01-01,9.9\n"


@pytest.fixture
def fetched(workspace: Path, server: Any, reply: Any) -> Entry:
    with hmp_cache.open(workspace, create=True) as data:
        uri = server.on("/q.csv", reply(), reply(body=OTHER))
        data.fetch(uri, variable="discharge", station="outlet")
        return data.fetch(uri, variable="discharge", station="outlet", refresh=True)


@pytest.fixture
def run(workspace: Path, fetched: Entry) -> Run:
    def _run(*words: str, code: int = 0) -> Result:
        verb, *rest = (word for word in words if word != "--frozen")
        frozen = ["--frozen"] if "--frozen" in words else []
        done = CliRunner().invoke(group, [*frozen, verb, *rest, "--workspace", str(workspace)])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return _run


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_prune_shows_then_does(run: Run, fetched: Entry) -> None:
    shown = run("prune", "--superseded")
    assert "unknown here" in shown.stdout or "nobody" in shown.stdout
    assert "would be freed; --apply does it" in shown.stderr
    assert [(line["what"], line["state"]) for line in _lines(run("prune", "--superseded", "--json"))] == [
        ("goes", "superseded")
    ]
    (done,) = _lines(run("prune", "--superseded", "--apply", "--json"))
    assert done["freed"] > 0
    assert run("prune", "--superseded").stdout == "nothing found\n"


def test_prune_of_some(run: Run) -> None:
    assert _lines(run("prune", "variable=dem", "--older-than", "0h", "--json")) == []
    assert len(_lines(run("prune", "variable=discharge", "--older-than", "0h", "--keep-latest", "1", "--json"))) == 1


def test_a_budget_that_cannot_be_kept_is_told(run: Run, workspace: Path, write: Write) -> None:
    with hmp_cache.open(workspace) as data:
        own = data.add(write("own.csv"), variable="discharge", station="own")
    assert f"{own.size} bytes more than that are left" in run("prune", "--max-size", "0").stderr


def test_purged_bytes_are_restored(run: Run, fetched: Entry) -> None:
    run("prune", "--older-than", "0h", "--apply")
    assert [line["state"] for line in _lines(run("check", "--json"))] == ["purged"]
    (entry,) = _lines(run("restore", "q", "--json"))
    assert (entry["sha256"], entry["state"]) == (fetched.sha256, "current")
    assert fetched.path.read_bytes() == OTHER


def test_restore_says_that_upstream_changed(run: Run, server: Any, reply: Any) -> None:
    run("prune", "--older-than", "0h", "--apply")
    server.on("/q.csv", reply(body=OTHER.replace(b"9.9", b"7.7")))
    assert isinstance(run("restore", "q", code=1).exception, UpstreamChanged)
    run("restore", "q", "--accept-change")


def test_refresh_tells_of_each(run: Run, server: Any, reply: Any) -> None:
    assert [line["outcome"] for line in _lines(run("refresh", "--json"))] == ["unchanged"]
    server.on("/q.csv", reply())
    assert "changed" in run("refresh", "q").stdout
    server.on("/q.csv", reply(status=404, body=b""))
    (line,) = _lines(run("refresh", "variable=discharge", "--json", code=1))
    assert (line["outcome"], line["error"]["type"]) == ("failed", "DownloadFailed")


def test_remove_shows_then_does(run: Run, fetched: Entry) -> None:
    assert len(_lines(run("remove", "q", "--json"))) == 2
    assert fetched.path.exists()
    run("remove", "q", "--apply")
    assert not fetched.path.exists()
    assert run("ls").stdout == "nothing found\n"


def test_check_lists_and_fixes(run: Run, fetched: Entry) -> None:
    (fetched.path.parent / "notes.txt").write_text("mine")
    fetched.path.write_bytes(b"changed")
    told = _lines(run("check", "--json", code=1))
    assert [(line.get("state"), line.get("kind")) for line in told] == [("modified", None), (None, "orphan")]
    assert "belongs to no input" in run("check", code=1).stdout
    run("check", "variable=discharge", code=1)
    run("restore", "q")
    assert [line.get("kind") for line in _lines(run("check", "--fix", "--full", "--json"))] == [
        None,
        "orphan",
        "version",
    ]


def test_check_lists_what_was_not_accepted(run: Run, workspace: Path, write: Write) -> None:
    bad = write("bad.csv", "time,discharge\n2001-01-01,-9999\n")
    run("add", str(bad), "--variable", "discharge", code=1)
    (line,) = _lines(run("check", "--rejected", "--json"))
    assert line["checks"] == ["range"]
    assert "bad.csv" in run("check", "--rejected").stdout


def test_verify_reads_all(run: Run, fetched: Entry) -> None:
    assert [line["ok"] for line in _lines(run("verify", "--json"))] == [True, True]
    assert "superseded" in run("verify", "variable=discharge", "--at-once", "2").stdout
    fetched.path.write_bytes(b"x" * fetched.size)
    assert [line["ok"] for line in _lines(run("verify", "--json", code=1))] == [False, True]


def test_lock_and_frozen(run: Run, workspace: Path, fetched: Entry, write: Write) -> None:
    assert run("lock").stdout.split() == ["written", str(workspace / "hydromodpy.lock")]
    assert run("lock", "--check", "--json").stdout == ""
    assert [line["id"] for line in _lines(run("find", "--frozen", "--json"))] == [str(fetched.id)]
    done = run("add", str(write("p.csv")), "--variable", "discharge", "--frozen", code=1)
    assert isinstance(done.exception, FrozenDataError)
    run("add", str(write("p.csv")), "--variable", "discharge")
    (line,) = _lines(run("lock", "--check", "--json", code=1))
    assert (line["kind"], line["name"]) == ("extra", "p")


def test_frozen_is_forgotten_with_the_command(run: Run) -> None:
    run("lock")
    run("ls", "--frozen")
    run("prune", "--superseded", "--apply", "--force")
