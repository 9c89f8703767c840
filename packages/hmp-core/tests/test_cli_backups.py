"""``hmp db backup | restore | vacuum``: each database by its name, what came of it, never one that was not meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends import DuckDBBackend
from hmp_core.backups import list_backups, take_backup
from hmp_core.cli.main import main
from hmp_core.events import EventStore
from hmp_core.layout import cache_path, catalog_path, index_path, init_project, init_workspace
from hmp_core.testing.gauges import FOLD, dump

Hmp = Callable[..., tuple[int, list[dict[str, Any]]]]


def _lend(monkeypatch: pytest.MonkeyPatch, *components: str) -> None:
    """Let gauges stand for components, and leave verbs and authorities as they are."""
    gauges = EntryPoints(EntryPoint(name, "hmp_core.testing.gauges:FOLD", "hmp.folds") for name in components)
    installed = metadata.entry_points

    def entry_points(*, group: str, **chosen: str) -> EntryPoints:
        lent = group in {"hmp.folds", "hmp.schemas"}
        return gauges.select(group=group, **chosen) if lent else installed(group=group, **chosen)

    monkeypatch.setattr(metadata, "entry_points", entry_points)


@pytest.fixture(autouse=True)
def _gauges_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache and the catalogs are gauges: no scope need be installed."""
    _lend(monkeypatch, "cache", "catalog")


@pytest.fixture
def hmp(capsys: pytest.CaptureFixture[str]) -> Hmp:
    """Run ``hmp db`` here and return its exit code and the rows it said."""

    def run(*words: object) -> tuple[int, list[dict[str, Any]]]:
        code = main(["db", *map(str, words), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def _store(path: Path) -> EventStore:
    return EventStore(path, FOLD, auth=LocalAuthBackend(), resource="x")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a cache and two projects, each with a gauge."""
    root = init_workspace(tmp_path / "aare").path
    for path in (cache_path(root), *(catalog_path(init_project(root, name).path) for name in ("one", "two"))):
        store = _store(path)
        store.prepare_schema()
        store.append("gauge.set", {"gauge": str(UUID(int=1)), "river": "Aare"})
        store.close()
    return root


def _rivers(path: Path) -> list[str]:
    return [row[1] for row in dump(_store(path))["gauges"]]


def test_all_below_are_backed_up_and_listed(hmp: Hmp, workspace: Path) -> None:
    code, rows = hmp("backup", workspace)
    assert code == 0
    assert [(row["component"], row["state"]) for row in rows] == [
        ("cache", "backed up"),
        ("catalog", "backed up"),
        ("catalog", "backed up"),
    ]
    assert all(Path(row["backup"]).stat().st_size == row["bytes"] for row in rows)
    code, listed = hmp("restore", workspace, "--list")
    assert (code, [row["backup"] for row in listed]) == (0, [row["backup"] for row in rows])
    assert {row["reason"] for row in listed} == {"asked"}


@pytest.mark.parametrize("name", ["one", "catalog:aare/one", "path", "as PATH"])
def test_one_of_them_by_any_of_its_names(hmp: Hmp, workspace: Path, name: str) -> None:
    path = catalog_path(workspace / "projects" / "one")
    words = {"path": (workspace, "--database", path), "as PATH": (path,)}.get(name, (workspace, "--database", name))
    for verb in ("backup", "vacuum", "restore"):
        code, rows = hmp(verb, *words)
        assert (code, [row["path"] for row in rows]) == (0, [str(path)])
    assert list_backups(catalog_path(workspace / "projects" / "two")) == []


def test_a_name_that_nobody_goes_by(hmp: Hmp, workspace: Path) -> None:
    for verb in ("backup", "vacuum", "restore"):
        assert hmp(verb, workspace, "--database", "three")[0] == 10
    assert hmp("backup", workspace / "nowhere")[0] == 10


def test_which_one_is_restored_is_never_guessed(hmp: Hmp, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hmp("backup", workspace)
    for words in ((workspace,), (workspace, "--database", "catalog"), (workspace / "projects" / "one",)):
        assert main(["db", "restore", *map(str, words)]) == 2
        said = capsys.readouterr().err
        assert "catalog:aare/one" in said
        assert "--database" in said
    assert not list(workspace.rglob("replaced"))


def test_a_lost_one_comes_back_with_what_was_logged_since(hmp: Hmp, workspace: Path) -> None:
    path = catalog_path(workspace / "projects" / "two")
    hmp("backup", workspace)
    store = _store(path)
    store.append("gauge.set", {"gauge": str(UUID(int=2)), "river": "Reuss"})
    store.close()
    path.unlink()
    code, (row,) = hmp("restore", path)
    assert (code, row["state"], row["component"]) == (0, "complete", "catalog")
    assert _rivers(path) == ["Aare", "Reuss"]
    assert _rivers(catalog_path(workspace / "projects" / "one")) == ["Aare"]


def test_from_a_file_or_a_name(hmp: Hmp, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hmp("backup", workspace, "--database", "cache")[1][0]["backup"]
    hmp("backup", workspace, "--database", "cache")
    monkeypatch.chdir(Path(first).parent)
    for named in (first, Path(first).as_uri(), Path(first).name):
        assert hmp("restore", workspace, "--database", "cache", "--from", named)[1][0]["backup"] == first
    monkeypatch.chdir(workspace)
    assert hmp("restore", workspace, "--database", "cache", "--from", Path(first).name)[1][0]["backup"] == first
    assert hmp("restore", workspace, "--database", "cache", "--from", "nothing.duckdb")[0] == 10


def test_what_it_lacks_is_said_and_is_the_exit_code(hmp: Hmp, workspace: Path) -> None:
    path = cache_path(workspace)
    hmp("backup", path)
    store = _store(path)
    store.append("visit.made", {"code": "nobody", "gauge": str(UUID(int=1))})
    store.close()
    code, (row,) = hmp("restore", path)
    assert (code, row["state"]) == (1, "1 waiting")


def test_a_vacuum_says_by_how_much(hmp: Hmp, workspace: Path) -> None:
    path = cache_path(workspace)
    backend = DuckDBBackend(path)
    backend.execute("CREATE TABLE ballast AS SELECT range AS n, random() AS r FROM range(100000)")
    backend.execute("DROP TABLE ballast")
    size = path.stat().st_size
    code, rows = hmp("vacuum", workspace)
    assert code == 0
    (row,) = (row for row in rows if row["path"] == str(path))
    assert (row["before"], row["after"]) == (size, path.stat().st_size)
    assert row["after"] < size


def test_one_in_trouble_keeps_no_other_one_out(hmp: Hmp, workspace: Path) -> None:
    cache_path(workspace).write_bytes(b"garbage" * 999)
    for verb in ("backup", "vacuum"):
        code, rows = hmp(verb, workspace)
        assert code == 22
        assert rows[0]["state"] == "CorruptError"
        assert len(rows) == 3
        assert "CorruptError" not in [row["state"] for row in rows[1:]]


def test_who_may_not_is_refused_each_verb(hmp: Hmp, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hmp("backup", workspace)
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*.duckdb")}
    (workspace / "policy.toml").write_text('[[allow]]\nwho = ["ada"]\nread = ["catalog:*/one", "index"]\n')
    (workspace / "workspace.toml").write_text(
        (workspace / "workspace.toml").read_text() + '\n[auth]\nbackend = "policy"\npolicy = "policy.toml"\n'
    )
    monkeypatch.setenv("HMP_USER", "ada")
    for verb in ("backup", "vacuum"):
        code, rows = hmp(verb, workspace)
        assert (code, {row["state"] for row in rows}) == (13, {"AccessDenied"})
    assert hmp("restore", workspace, "--database", "one")[0] == 13
    code, rows = hmp("restore", workspace, "--list")
    assert (code, [Path(row["path"]).parent.name for row in rows]) == (13, ["one"])
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*.duckdb")} == before


def test_where_nothing_is(hmp: Hmp, tmp_path: Path) -> None:
    assert hmp("restore", tmp_path, "--list") == (0, [])
    for words in (["backup"], ["restore"], ["vacuum"], ["upgrade"], ["unlock", "--force"]):
        assert hmp(words[0], tmp_path, *words[1:]) == (2, [])


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine index (of gauges) with a backup, outside of the workspace."""
    _lend(monkeypatch, "index", "cache", "catalog")
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "state"))
    path = index_path()
    path.parent.mkdir()
    store = _store(path)
    store.prepare_schema()
    store.close()
    take_backup(path)
    return path


def test_the_index_is_not_what_a_folder_of_nothing_names(hmp: Hmp, index: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notadb.txt").write_text("no database")
    (tmp_path / "trunc.duckdb").write_bytes(b"")
    before = sorted(index.parent.rglob("*")), index.stat().st_ino
    for verb in ("backup", "restore", "vacuum", "upgrade"):
        assert [hmp(verb, tmp_path / name)[0] for name in ("empty", "notadb.txt", "trunc.duckdb")] == [2, 2, 10], verb
    assert [hmp(verb, tmp_path / "notadb.txt") for verb in ("status", "verify")] == [(2, [])] * 2
    assert (sorted(index.parent.rglob("*")), index.stat().st_ino) == before
    assert hmp("status", tmp_path / "empty")[0] == 0
    for words in (["empty", "--database", "index"], ["state/index.duckdb"]):
        assert [row["component"] for row in hmp("backup", tmp_path / words[0], *words[1:])[1]] == ["index"]


def test_a_workspace_without_any_backup_does_not_mean_the_index(hmp: Hmp, index: Path, tmp_path: Path) -> None:
    init_workspace(tmp_path / "bare")
    before = index.stat().st_ino
    assert hmp("restore", tmp_path / "bare") == (2, [])
    assert index.stat().st_ino == before


def test_two_names_that_contradict_each_other_are_refused(hmp: Hmp, workspace: Path) -> None:
    hmp("backup", workspace)
    one = catalog_path(workspace / "projects" / "one")
    before = one.stat().st_ino
    for verb in ("backup", "restore", "vacuum"):
        assert hmp(verb, one, "--database", "two") == (2, [])
    assert hmp("restore", one, "--list", "--from", "x") == (2, [])
    assert one.stat().st_ino == before
    assert hmp("restore", one, "--database", "one")[0] == 0


def test_what_is_wrong_with_a_backup_names_the_backup(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = cache_path(workspace)
    newer = take_backup(cache)
    DuckDBBackend(newer).execute("UPDATE schema_migrations SET version = 9 WHERE component = 'gauges'")
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"garbage" * 999)
    for backup, code in ((broken, 22), (newer, 11)):
        assert main(["db", "restore", str(cache), "--from", str(backup)]) == code
        told = capsys.readouterr().err
        assert f"the backup {backup} " in told
        assert "--list" in told
        assert "rebuild" not in told
    assert main(["db", "restore", str(cache)]) == 11
    assert str(newer) in capsys.readouterr().err
