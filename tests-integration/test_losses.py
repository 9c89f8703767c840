"""What is lost, foreign or taken is said, with an exit code: nothing is silently partial."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
import hydromodpy as hmp
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import FoldDisabled, InvalidInput, PathTaken, SchemaIntegrityError


def made(path: Path) -> Path:
    """Make a project with a tagged run whose events are folded and packed."""
    with hmp_catalog.open(path, create=True) as catalog:
        with catalog.record("gr4j", name="base") as rec:
            rec.metric("nse", 0.8)
        catalog["base"].tag("paper")
    with hmp_catalog.open(path) as catalog:
        assert catalog["base"].tags == ["paper"]
    return path


def test_a_rebuild_without_the_log_says_so_and_says_where_the_old_database_is(
    tmp_path: Path, hmp: Callable[..., Any]
) -> None:
    project = made(tmp_path / "project")
    shutil.move(project / "events", tmp_path / "events")
    told = hmp("catalog", "rebuild", cwd=project)
    assert told.returncode == 1
    assert "files of the log lost" in told.stdout
    assert str(project / ".hmp" / "catalog" / "replaced") in told.stdout
    shutil.move(tmp_path / "events", project / "events")
    assert hmp("catalog", "rebuild", cwd=project).returncode == 0
    with hmp_catalog.open(project) as catalog:
        assert catalog["base"].tags == ["paper"]


def test_where_folding_is_off_nothing_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(tmp_path / "project")
    before = (project / "catalog.duckdb").stat().st_ino
    monkeypatch.setenv("HMP_FOLD", "never")
    with hmp_catalog.open(project) as catalog, pytest.raises(FoldDisabled):
        catalog.rebuild()
    assert (project / "catalog.duckdb").stat().st_ino == before


def test_a_database_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    project = made(tmp_path / "project")
    (project / "catalog.duckdb").unlink()
    foreign = DuckDBBackend(project / "catalog.duckdb", create=True)
    foreign.execute("CREATE TABLE x (a INTEGER)")
    with pytest.raises(SchemaIntegrityError, match="something else: it holds x"):
        hmp_catalog.open(project)
    tables = foreign.fetch_all("SELECT table_name FROM information_schema.tables")
    assert tables == [("x",)]


def test_two_project_names_never_share_a_folder(tmp_path: Path) -> None:
    with hmp.init(tmp_path / "workspace") as workspace:
        assert workspace.project("水文").path != workspace.project("地下水").path
        assert workspace.project("水文").name == "水文"
        workspace.project("été")
        with pytest.raises(PathTaken, match="is the project 'été'"):
            workspace.project("ete!")
        for name in ("", " ", ".", "..", "a\nb", "\ud800"):
            with pytest.raises(InvalidInput):
                workspace.project(name)


def test_the_lineage_of_a_run_that_waits_for_its_manifest_is_not_complete(
    tmp_path: Path, hmp: Callable[..., Any]
) -> None:
    with hmp_catalog.open(made(tmp_path / "project")) as catalog:
        (catalog["base"].folder / "run.json").write_text("{}")
    hmp("catalog", "rebuild", cwd=tmp_path / "project")
    told = hmp("lineage", "base", cwd=tmp_path / "project")
    assert told.returncode == 1
    assert "not complete" in told.stderr
    why = hmp("db", "waiting", cwd=tmp_path / "project")
    assert "run.sealed" in why.stdout
    assert "base__" in why.stdout


def test_whoever_may_only_read_reads_the_cache_and_the_catalog(tmp_path: Path) -> None:
    """Where no lock file can be made (here it is a folder), doors answer from the last fold."""
    with hmp.init(tmp_path / "workspace") as workspace:
        (tmp_path / "q.csv").write_text("time,discharge\n2001-01-01,1.0\n")
        workspace.data.add(tmp_path / "q.csv", variable="discharge")
        made(workspace.path / "projects" / "base")
    for database in (workspace.path / "data" / "cache.duckdb", workspace.path / "projects" / "base" / "catalog.duckdb"):
        lock = database.with_name(database.name + ".lock")
        lock.unlink()
        lock.mkdir()
    with hmp.Workspace(workspace.path) as again:
        assert [entry.variable for entry in again.data.find()] == ["discharge"]
    with hmp.open(workspace.path / "projects" / "base") as catalog:
        assert catalog["base"].tags == ["paper"]
