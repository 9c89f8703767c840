"""Experiments among the rest of hmp: `hmp db`, `hmp doctor`, the machine index, inputs and who used them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

import hydromodpy as hmp_
from hmp_catalog.experiments import WorkspaceStore
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database, databases
from hmp_core.layout import experiments_path
from hmp_core.migrations.runner import EVENT_TABLES
from hmp_core.testing.children import start
from hydromodpy.bridge import stale, uses
from hydromodpy.lineage import of_entry, of_file

Hmp = Callable[..., Any]

TRAIN = """
    from hmp_catalog.experiments import WorkspaceStore
    store = WorkspaceStore(path)
    run = store.begin_run(name, {}, [{"name": "wheat"}])
    pipeline = store.begin_pipeline(run, "0001_pls", {}, [], "wheat", "")
    store.complete_pipeline(pipeline, best_val=0.12, best_test=0.15, metric="rmse", duration_ms=840)
    say(run)
    listen()
"""


def train(folder: Path, name: str, datasets: list[Any] | None = None, *, score: float = 0.12) -> str:
    """Train something, and return its id."""
    with WorkspaceStore(folder) as store:
        run = store.begin_run(name, {}, datasets or [{"name": "wheat"}])
        pipeline = store.begin_pipeline(run, "0001_pls", {}, [], "wheat", "")
        store.complete_pipeline(pipeline, best_val=score, best_test=0.15, metric="rmse", duration_ms=840)
        store.complete_run(run, {})
    return run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a simulation in a project, and experiments there and in the workspace itself."""
    with hmp_.init(tmp_path_factory.mktemp("made") / "aare") as made:
        project = made.project("base")
        with project.catalog as catalog, catalog.record("gr4j", name="simulated") as rec:
            rec.metric("nse", 0.8)
    train(project.path, "trained")
    train(made.path, "shared", score=0.3)
    return made.path


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Path:
    """A copy of it, registered on the machine of the test."""
    copy = shutil.copytree(template, tmp_path / "aare")
    with hmp_.index() as machine:
        machine.register(copy)
    return copy


def rows(done: Any) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def runs(folder: Path) -> list[str]:
    with WorkspaceStore(folder) as store:
        return sorted(store.list_runs()["name"].to_list())


# ── hmp db and hmp doctor ────────────────────────────────────────────────────────────────────────────


def test_stores_are_found_beside_the_other_databases(workspace: Path) -> None:
    project = workspace / "projects" / "base"
    found = [(each.component, each.resource) for each in databases(str(project))]
    assert found == [
        ("index", "index"),
        ("cache", "cache:aare"),
        ("experiments", "catalog:aare/aare"),
        ("catalog", "catalog:aare/base"),
        ("experiments", "catalog:aare/base"),
    ]


def test_a_store_in_any_other_folder_is_found_from_there(tmp_path: Path, hmp: Hmp) -> None:
    train(tmp_path / "lab", "alone")
    found = [row["component"] for row in rows(hmp("db", "status", str(tmp_path / "lab"), "--json"))]
    assert found == ["index", "experiments"]
    assert [row["component"] for row in rows(hmp("db", "backup", str(tmp_path / "lab"), "--json"))] == ["experiments"]


def test_where_there_is_no_store_nothing_is_said_of_one(tmp_path: Path) -> None:
    with hmp_.init(tmp_path / "aare") as made:
        made.project("base")
    assert "experiments" not in {each.component for each in databases(str(made.path))}


def test_status_tells_versions(workspace: Path, hmp: Hmp) -> None:
    told = [row for row in rows(hmp("db", "status", str(workspace), "--json")) if row["component"] == "experiments"]
    assert [(row["path"], row["version"], row["state"]) for row in told] == [
        (str(experiments_path(folder)), 1, "current") for folder in (workspace, workspace / "projects" / "base")
    ]


def test_backup_and_restore_bring_back_what_a_living_writer_has_said(workspace: Path, hmp: Hmp) -> None:
    store = experiments_path(workspace)
    with start(TRAIN, path=str(workspace), name="under way") as child:
        child.hear()
        (told,) = rows(hmp("db", "backup", str(store), "--database", "experiments", "--json"))
        assert told["state"] == "backed up"
        child.kill()
    os.truncate(store, 5000)
    done = hmp("db", "restore", str(store), "--json")
    assert rows(done)[0]["state"] == "complete"
    assert runs(workspace) == ["shared", "under way"]


def test_verify_reads_stores_and_vacuum_shrinks_them(workspace: Path, hmp: Hmp) -> None:
    done = rows(hmp("db", "verify", str(workspace), "--deep", "--json"))
    assert [row["state"] for row in done if row["component"] == "experiments"] == ["sound", "sound"]
    done = rows(hmp("db", "vacuum", str(workspace), "--database", "experiments", "--json"))
    assert [row["state"] for row in done] == ["vacuumed", "vacuumed"]
    assert runs(workspace) == ["shared"]


def test_unlock_says_who_holds_a_store(workspace: Path, hmp: Hmp) -> None:
    told = [row for row in rows(hmp("db", "unlock", str(workspace), "--json")) if row["component"] == "experiments"]
    assert [row["state"] for row in told] == ["free", "free"]


def test_a_copy_takes_the_place_of_a_store_whose_holder_cannot_be_asked(workspace: Path) -> None:
    """Unlike the index a store is the only home of what it holds: displacing a holder loses nothing."""
    from hmp_core.upkeep import unlock

    told = unlock._replace(experiments_path(workspace), None)
    assert told.startswith("a copy took the place of the database")
    assert runs(workspace) == ["shared"]
    assert list((workspace / ".hmp" / "store" / "replaced").glob("*-store.duckdb"))


def test_upgrade_knows_stores(workspace: Path, hmp: Hmp) -> None:
    store = str(experiments_path(workspace))
    told = [row for row in rows(hmp("db", "upgrade", store, "--json")) if row["component"] == "experiments"]
    assert {(row["version"], row["state"]) for row in told} == {(1, "current")}


def test_doctor_examines_stores(workspace: Path, hmp: Hmp) -> None:
    done = hmp("doctor", str(workspace))
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("all is well; looked at: 1 index, 1 cache, 2 experiments, 1 catalog")
    database = experiments_path(workspace)
    DuckDBBackend(database).execute("DELETE FROM runs")
    done = hmp("doctor", str(workspace), "--json")
    assert done.returncode == 22
    (error,) = (row for row in map(json.loads, done.stdout.splitlines()) if row["severity"] == "error")
    assert (error["code"], error["where"]) == ("parent-missing", str(database))
    assert f"hmp db restore {database}" in error["remedy"]


def test_a_database_of_something_else_is_not_taken_for_a_store(workspace: Path, hmp: Hmp, tmp_path: Path) -> None:
    from hmp_core.migrations.runner import migrate

    database = experiments_path(workspace)
    database.unlink()
    migrate(database, [("events", EVENT_TABLES)])
    done = hmp("db", "status", str(workspace), "--json")
    assert done.returncode != 0
    assert Database("experiments", database).fold() is None


# ── the machine index ────────────────────────────────────────────────────────────────────────────────


def test_experiments_are_listed_beside_simulations(workspace: Path, hmp: Hmp) -> None:
    found = rows(hmp("index", "find", "--json"))
    assert {(row["name"], row["kind"], row["project"]) for row in found} == {
        ("simulated", "simulation", "base"),
        ("trained", "experiment", "base"),
        ("shared", "experiment", "."),
    }
    found = rows(hmp("index", "find", "--kind", "experiment", "rmse_lt=0.2", "--json"))
    assert [(row["name"], row["metrics"], row["description"]) for row in found] == [
        ("trained", {"rmse": 0.12}, "wheat"),
    ]


def test_what_another_process_has_just_said_is_in_the_answer(workspace: Path) -> None:
    with hmp_.index() as machine, start(TRAIN, path=str(workspace), name="under way") as child:
        run = child.hear()
        (hit,) = machine.find(name="under way")
        assert (hit.sim_id, hit.status, hit.metrics, hit.state) == (run, "running", {"rmse": 0.12}, "ok")
        assert not machine.notice
        child.kill()
        assert "under way" in runs(workspace)  # whoever asks the store next settles what the dead one left
        (hit,) = machine.find(kind="experiment", status="interrupted")
        assert hit.sim_id == run


def test_where_nothing_may_be_settled_what_waits_is_counted(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hmp_.index() as machine:
        machine.find()
        monkeypatch.setenv("HMP_FOLD", "never")
        train(workspace, "later")
        assert {hit.name for hit in machine.find(kind="experiment")} == {"shared", "trained"}
        (skipped,) = machine.notice.skipped
        assert (skipped.project, skipped.unfolded) == (".", 4)
        monkeypatch.delenv("HMP_FOLD")
        assert {hit.name for hit in machine.find(kind="experiment")} == {"later", "shared", "trained"}
        assert not machine.notice


def test_a_rebuilt_index_has_the_same_rows(workspace: Path) -> None:
    wanted = "SELECT * EXCLUDE (snapshot_taken_at) FROM simulations_cache ORDER BY sim_id"
    with hmp_.index() as machine:
        machine.find()
        before = machine.sql(wanted).to_pylist()
        machine.rebuild()
        assert machine.sql(wanted).to_pylist() == before
    assert len(before) == 3


def test_settling_for_the_index_leaves_nothing_to_read_again(workspace: Path) -> None:
    with hmp_.index() as machine:
        train(workspace, "later")
        machine.find()
        before = machine.sql("SELECT last_refreshed_at FROM projects ORDER BY slug").to_pylist()
        machine.find()
        assert machine.sql("SELECT last_refreshed_at FROM projects ORDER BY slug").to_pylist() == before


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """A workspace with an input, trained on by a project and by the workspace itself; its entry and the runs."""
    with hmp_.init(tmp_path / "aare") as made:
        entry = add(made, 1.4)
        project = made.project("base").path
        ids = [train(folder, name, [{"entry": entry}]) for folder, name in ((project, "base"), (made.path, "root"))]
        yield made, entry, ids


def add(made: Any, level: float) -> Any:
    file = made.path.parent / "q.csv"
    file.write_text(f"time,discharge\n2001-01-01,{level}\n2001-01-02,1.3\n")
    return made.data.add(file, variable="discharge", station="s1", unit="m3 s-1")


def state(folder: Path, run: str) -> str:
    with WorkspaceStore(folder) as store:
        (one,) = store.input_entries(run)
    return str(one.state)


def test_the_inputs_of_a_run_have_their_state(told: Any) -> None:
    made, entry, (run, shared) = told
    project = made.path / "projects" / "base"
    assert (state(project, run), state(made.path, shared)) == ("current", "current")
    entry.path.write_text("edited by hand\n")
    assert state(project, run) == "modified"
    entry.path.unlink()
    assert state(project, run) == "missing"
    add(made, 1.4)
    assert state(made.path, shared) == "current"


def test_an_input_that_was_purged_is_said_to_be(told: Any) -> None:
    made, _, (run, _) = told
    add(made, 1.6)
    project = made.path / "projects" / "base"
    assert state(project, run) == "superseded"
    made.data.prune(superseded=True, apply=True, force=True)
    assert state(project, run) == "purged"


def test_a_copied_workspace_tells_the_same(told: Any, tmp_path: Path) -> None:
    made, _, (_, shared) = told
    copy = shutil.copytree(made.path, tmp_path / "copy")
    assert state(copy, shared) == "current"


def test_an_entry_tells_the_experiments_that_used_it(told: Any) -> None:
    made, entry, (run, shared) = told
    used = entry.used_by()
    assert {(use.project.name, use.name, use.sim_id, use.current) for use in used} == {
        ("base", "base", run, True),
        ("aare", "root", shared, True),
    }
    add(made, 1.7)
    assert [use.current for use in entry.used_by()] == [False, False]
    assert list(entry.used_by(version="current")) == []


def test_before_bytes_go_experiments_are_named(told: Any) -> None:
    made, entry, _ = told
    assert sorted(uses(made.path, {entry.sha256})[entry.sha256]) == ["aare: root", "base: base"]


def test_lineage_shows_experiments(told: Any) -> None:
    made, entry, (run, shared) = told
    nodes = json.dumps(of_entry(entry).as_dict())
    assert run in nodes
    assert shared in nodes
    file = made.path / "soil.csv"
    file.write_text("clay\n0.2\n")
    later = train(made.path, "soil", [{"path": file}])
    assert later in json.dumps(of_file(file, made.path).as_dict())


def test_experiments_whose_inputs_changed_are_stale(told: Any, hmp: Hmp) -> None:
    made, _, (run, shared) = told
    project = made.path / "projects" / "base"
    assert list(stale([project], everywhere=True)) == []
    add(made, 1.8)
    found = stale([project], everywhere=True)
    assert {(one.sim_id, one.because) for one in found} == {
        (run, "discharge is superseded"),
        (shared, "discharge is superseded"),
    }
    assert [one.sim_id for one in stale([project])] == [run]
    assert found.skipped == {}
    done = hmp("lineage", "--stale", cwd=project)
    assert "base" in done.stdout


def test_a_store_that_cannot_be_asked_is_named(told: Any) -> None:
    made, entry, (run, _) = told
    os.truncate(experiments_path(made.path), 5000)
    used = entry.used_by()
    assert [use.sim_id for use in used] == [run]
    assert list(used.skipped) == [str(experiments_path(made.path))]
