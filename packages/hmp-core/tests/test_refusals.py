"""The record of refused writes: where it is kept, how it is read, and that it never gets in the way."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hmp_core.auth import PolicyAuthBackend, refusals
from hmp_core.auth.refused import NAME, Refusal, keep
from hmp_core.cli.main import main
from hmp_core.databases import Database
from hmp_core.errors import AccessDenied, PolicyUnreadable
from hmp_core.layout import catalog_path, init_project, init_workspace, internal_folder
from hmp_core.locks import this_process
from hmp_core.testing.children import start
from hmp_core.testing.door_suite import Nobody, anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.traces import differences, trace


def refuse(database: Path, what: str = "record run.opened", user: str = "anna") -> Path | None:
    return keep(database, user=user, action="write", resource="catalog:aare/base", what=what)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the database of a project would be."""
    return catalog_path(init_project(init_workspace(tmp_path / "aare").path, "base").path)


def test_a_line_says_when_who_where_and_what(database: Path) -> None:
    file = refuse(database)
    assert file == internal_folder(database) / NAME
    line = json.loads(file.read_text())
    assert list(line) == ["at", "user", "host", "pid", "action", "resource", "what"]
    assert datetime.now(UTC) - datetime.fromisoformat(line["at"]) < timedelta(minutes=1)
    (kept,) = refusals(database)
    here = this_process()
    assert kept == Refusal(kept.at, "anna", here.host, here.pid, "write", "catalog:aare/base", "record run.opened")


def test_what_was_refused_is_read_in_order(database: Path) -> None:
    for number in range(5):
        refuse(database, f"write {number}")
    assert [one.what for one in refusals(database)] == [f"write {number}" for number in range(5)]


def test_nothing_refused_is_nothing(database: Path, tmp_path: Path) -> None:
    assert refusals(database) == refusals(tmp_path / "nowhere" / "catalog.duckdb") == []


@pytest.mark.parametrize("text", ["x" * 100_000, "é\n\0 \udcff", '"}{', ""])
def test_any_text_is_one_short_line(database: Path, text: str) -> None:
    refuse(database, text, user=text)
    refuse(database)
    file = internal_folder(database) / NAME
    assert file.read_bytes().count(b"\n") == 2
    assert file.stat().st_size < 8_000
    assert [one.what for one in refusals(database)] == [text[:500], "record run.opened"]


# ── where ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_project_that_is_not_there_is_on_record_in_its_workspace(database: Path) -> None:
    workspace = database.parents[2]
    before = trace(workspace)
    assert refuse(catalog_path(workspace / "projects" / "new")) == workspace / ".hmp" / NAME
    assert differences(before, trace(workspace)) == []


@pytest.mark.parametrize("where", ["nowhere/catalog.duckdb", "there/catalog.duckdb", "catalog.duckdb"])
def test_where_hmp_has_nothing_nothing_is_made(tmp_path: Path, where: str) -> None:
    """A refusal to make a workspace must not make half of one."""
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert refuse(tmp_path / where) is None
    assert sorted(tmp_path.rglob("*")) == before


def test_beside_a_database_without_a_marker(tmp_path: Path) -> None:
    (tmp_path / "index.duckdb").touch()
    assert refuse(tmp_path / "index.duckdb") == tmp_path / ".hmp" / "index" / NAME


def test_links_lead_to_one_record(database: Path, tmp_path: Path) -> None:
    database.touch()
    (tmp_path / "link").symlink_to(database.parent)
    (tmp_path / "catalog.duckdb").symlink_to(database)
    refuse(tmp_path / "link" / "catalog.duckdb")
    refuse(tmp_path / "catalog.duckdb")
    assert len(refusals(database)) == len(refusals(tmp_path / "catalog.duckdb")) == 2


# ── many, and for long ───────────────────────────────────────────────────────────────────────────────

_REFUSE = """
    from hmp_core.auth.refused import keep
    for number in range(count):
        keep(database, user=f"user{which}", action="write", resource="cache:aare", what=f"{number}")
"""


def test_processes_write_whole_lines(database: Path) -> None:
    children = [start(_REFUSE, database=database, which=which, count=50) for which in range(3)]
    for child in children:
        child.join()
    kept = refusals(database)
    assert sorted((one.user, int(one.what)) for one in kept) == [(f"user{w}", n) for w in range(3) for n in range(50)]


def test_a_full_record_makes_room(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are kept, at most twice as many bytes as fill a record."""
    monkeypatch.setattr("hmp_core.auth.refused._FULL", 2_000)
    for number in range(100):
        refuse(database, str(number))
    folder = internal_folder(database)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6_000
    kept = [int(one.what) for one in refusals(database)]
    assert kept == list(range(100 - len(kept), 100))
    assert len(kept) >= 10


def test_processes_lose_nothing_when_a_record_is_full(database: Path, tmp_path: Path) -> None:
    """Two that find it full at once put it aside once: else the former record would be replaced by a short one."""
    script = "    import hmp_core.auth.refused as r\n    r._FULL = 20_000\n" + _REFUSE.removeprefix("\n")
    children = [start(script, database=database, which=which, count=60) for which in range(3)]
    for child in children:
        child.join()
    kept = refusals(database)
    assert len(kept) == 180, "180 lines of 180 bytes fill one record and a part of the next"
    assert len(list(internal_folder(database).iterdir())) == 2


@pytest.mark.parametrize("torn", [b'{"at": "2026-', b"\xff\xfe", b"[]\n", b'{"at": 1}\n'])
def test_a_line_that_was_torn_costs_no_other(database: Path, caplog: pytest.LogCaptureFixture, torn: bytes) -> None:
    refuse(database, "before")
    with (internal_folder(database) / NAME).open("ab") as file:
        file.write(torn)
    refuse(database, "after")
    with caplog.at_level(logging.WARNING):
        assert [one.what for one in refusals(database)] == ["before", "after"]
    assert "1 lines cannot be read" in caplog.text


# ── in the way of nothing ────────────────────────────────────────────────────────────────────────────


def _as_folder(file: Path) -> None:
    file.mkdir(parents=True)


def _as_file(file: Path) -> None:
    file.parent.parent.write_text("")


def _as_dangling(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.symlink_to(file.parent / "no" / "where")


@pytest.mark.parametrize("spoil", [_as_folder, _as_file, _as_dangling])
def test_what_cannot_be_recorded_is_logged_and_refused_all_the_same(
    database: Path, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    spoil(internal_folder(database) / NAME)
    with caplog.at_level(logging.ERROR), pytest.raises(AccessDenied):
        Database("catalog", database).authorize("write", Nobody(), what="make it")
    assert "could not be kept" in caplog.text


def test_a_full_disk_is_told(database: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 3)
    with caplog.at_level(logging.ERROR):
        assert refuse(database) is None
    assert "only a part" in caplog.text


def test_what_may_not_be_written_is_logged_and_refused_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is refused by the policy is often refused by the file system, too."""
    with anybodys_folder() as folder:
        database = catalog_path(init_project(init_workspace(folder / "aare").path, "base").path)
        closed_to_writers(folder)
        with unprivileged(), caplog.at_level(logging.ERROR), pytest.raises(AccessDenied):
            Database("catalog", database).authorize("write", Nobody(), what="make it")
        assert "could not be kept" in caplog.text
        assert refusals(database) == []


def test_while_there_is_no_policy_refused_writes_are_on_record(database: Path, tmp_path: Path) -> None:
    """With the reason: the policy, not the user, is what must be mended."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[[allow]]\nwho = ['*']\nread = ['*']")
    authority = PolicyAuthBackend(policy)
    policy.write_text("[[allow]]\nwho = 1")
    with pytest.raises(PolicyUnreadable):
        Database("catalog", database).authorize("write", authority, what="make it")
    (kept,) = refusals(database)
    assert kept.what.startswith(f"make it: {policy}: ")
    assert "allow 1" in kept.what


def test_a_refused_read_is_not_on_record(database: Path) -> None:
    """It changes nothing, and looking around would fill the disk."""
    with pytest.raises(AccessDenied):
        Database("catalog", database).authorize("read", Nobody())
    assert refusals(database) == []


# ── shown ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_shows_them(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = folder / "catalog.duckdb"
    (folder / "gauges.duckdb").rename(database)
    (folder / "project.toml").write_text("")
    assert main(["db", "refused", str(folder)]) == 0
    assert capsys.readouterr().out == "nothing found\n"
    refuse(database)
    assert main(["db", "refused", str(folder), "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["user"], row["what"], row["path"]) == ("anna", "record run.opened", str(database))
    policy = folder / "policy.toml"
    policy.write_text("[[allow]]\nwho = ['ben']\nread = ['*']")
    monkeypatch.setenv("HMP_AUTH_BACKEND", f"policy:{policy}")
    assert main(["db", "refused", str(folder)]) == AccessDenied.exit_code
    assert "anna" not in capsys.readouterr().out
