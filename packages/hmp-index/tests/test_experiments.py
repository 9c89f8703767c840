"""Experiments in the index: runs of stores beside simulations, read as they are where no scope can settle them."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import datetime, timedelta

import pytest

import hmp_index
from hmp_core.auth import PolicyAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.events.record import Event, encode
from hmp_core.events.segment import Segment
from hmp_core.identity import uuid7
from hmp_core.layout import experiments_path, init_project
from hmp_core.migrations.runner import migrate
from hmp_index.survey import store_mark

START = datetime(2024, 5, 1, 12, 0)

#: An experiments store as the index knows it.
STORE = """
CREATE TABLE runs (run_id VARCHAR PRIMARY KEY, name VARCHAR, status VARCHAR, created_at TIMESTAMP);
CREATE TABLE scores (run_id VARCHAR, metric VARCHAR, dataset VARCHAR, lowest DOUBLE, highest DOUBLE);
CREATE TABLE _hmp_journals (name VARCHAR PRIMARY KEY, position BIGINT NOT NULL);
CREATE VIEW v_simulation_summary AS
SELECT run_id AS sim_id, 'experiment' AS kind, name, 'sklearn.PLSRegression' AS solver, status, created_at FROM runs;
CREATE VIEW v_scores AS
SELECT run_id AS sim_id, metric AS metric_name, dataset AS variable, lowest, highest FROM scores;
"""


def store(machine, folder, *names):
    """Make a store in a folder, with runs of these names, or add them to it."""
    migrations = machine.folder_of_migrations / "store"
    migrations.mkdir(parents=True, exist_ok=True)
    (migrations / "0001_initial.sql").write_text(STORE)
    database = experiments_path(folder)
    migrate(database, [("experiments", migrations)])
    opened = DuckDBBackend(database)
    with opened.transaction():
        for number, name in enumerate(names):
            row = {"run_id": str(uuid.uuid4()), "name": name, "status": "completed"}
            opened.insert("runs", row | {"created_at": START + timedelta(hours=number)})
    return database


@pytest.fixture
def make_store(machine):
    return lambda folder, *names: store(machine, folder, *names)


def scores(database, *rows):
    backend = DuckDBBackend(database)
    (run,) = backend.fetch_one("SELECT run_id FROM runs")
    for metric, dataset, lowest, highest in rows:
        row = {"run_id": run, "metric": metric, "dataset": dataset}
        backend.insert("scores", row | {"lowest": lowest, "highest": highest})


@pytest.fixture(scope="module")
def template(library, make_sim):
    """A workspace whose project has a simulation and an experiment, and that has an experiment of its own."""
    path = library.workspace("aare", "base", sims=[make_sim("base", {"nse": 0.7})])
    store(library, path / "projects" / "base", "trained")
    store(library, path, "shared")
    return path


@pytest.fixture
def workspace(template, machine):
    """A copy of it, to work with."""
    return shutil.copytree(template, machine.root / "aare")


@pytest.fixture
def index(workspace):
    with hmp_index.index() as opened:
        opened.register(workspace)
        yield opened


def names(found):
    return sorted(hit.name for hit in found)


def rows(index):
    wanted = "SELECT * EXCLUDE (snapshot_taken_at) FROM simulations_cache ORDER BY sim_id"
    return index.sql(wanted).to_pylist()


# ── what is there ────────────────────────────────────────────────────────────────────────────────────


def test_experiments_stand_beside_simulations(index):
    assert names(index.find()) == ["base", "shared", "trained"]
    assert not index.notice
    assert names(index.find(kind="experiment")) == ["shared", "trained"]
    assert names(index.find(kind="simulation")) == ["base"]
    assert names(index.find(project="base", kind="experiment")) == ["trained"]


def test_a_workspace_itself_is_a_place_of_its_own(index, workspace):
    (hit,) = index.find(project=".")
    assert (hit.name, hit.path, hit.kind) == ("shared", workspace, "experiment")
    assert [project.slug for project in index.projects()] == [".", "base"]
    row = index.sql("SELECT root_relative, catalog_path FROM projects WHERE slug = '.'").to_pylist()
    assert row == [{"root_relative": ".", "catalog_path": "store.duckdb"}]


def test_a_workspace_without_a_store_of_its_own_has_no_such_place(machine, make_sim):
    path = machine.workspace("fulda", "base", sims=[make_sim("one")])
    with hmp_index.index() as opened:
        opened.register(path)
        assert [project.slug for project in opened.projects()] == ["base"]


def test_a_project_may_hold_experiments_alone(machine, make_store):
    path = machine.workspace("fulda")
    make_store(init_project(path, "emulators").path, "trained")
    with hmp_index.index() as opened:
        opened.register(path)
        assert names(opened.find()) == ["trained"]
        assert [(each.status, each.n_simulations) for each in opened.projects()] == [("ok", 0)]
        opened.refresh(only_stale=False)
        assert not opened.notice


@pytest.mark.parametrize(
    ("metric", "best"),
    [("RMSEP", 0.1), ("mae", 0.1), ("log_loss", 0.1), ("r2", 0.9), ("accuracy", 0.9)],
)
def test_of_a_score_the_better_end_is_the_metric(machine, make_store, metric, best):
    path = machine.workspace("fulda")
    scores(make_store(path, "trained"), (metric, "wheat", 0.1, 0.9))
    with hmp_index.index() as opened:
        opened.register(path)
        assert opened.find()[0].metrics == {metric: best}


def test_scores_on_several_data_sets_are_told_apart(machine, make_store):
    path = machine.workspace("fulda")
    scores(make_store(path, "trained"), ("r2", "wheat", 0.1, 0.9), ("r2", "rye", 0.2, 0.8))
    with hmp_index.index() as opened:
        opened.register(path)
        assert opened.find(r2_gt=0.85)[0].metrics == {"r2": 0.8, "wheat.r2": 0.9}


def test_experiments_are_found_by_words(index):
    assert names(index.search("trained")) == ["trained"]
    assert names(index.search("PLSRegression")) == []  # solvers are found by their name: find(solver=...)
    assert names(index.find(solver="sklearn.PLSRegression")) == ["shared", "trained"]


def test_a_status_that_only_experiments_keep_can_be_asked_for(index, workspace):
    DuckDBBackend(experiments_path(workspace)).execute("UPDATE runs SET status = 'interrupted'")
    assert names(index.find(kind="experiment", status="interrupted")) == ["shared"]


def test_a_live_question_has_them_too(index):
    told = index.sql("SELECT name, kind, project FROM all_simulations ORDER BY name", live=True).to_pylist()
    assert [(row["name"], row["project"]) for row in told] == [("base", "base"), ("shared", "."), ("trained", "base")]


def test_simulations_alone_are_counted(index):
    assert [(each.slug, each.n_simulations) for each in index.projects()] == [(".", 0), ("base", 1)]
    assert index.workspaces()[0].n_simulations == 1


# ── what changes ─────────────────────────────────────────────────────────────────────────────────────


def test_what_was_trained_since_is_read(index, workspace, make_store):
    index.find()
    make_store(workspace / "projects" / "base", "later")
    make_store(workspace, "later too")
    assert names(index.find(kind="experiment")) == ["later", "later too", "shared", "trained"]


def test_what_was_deleted_is_gone(index, workspace):
    index.find()
    DuckDBBackend(experiments_path(workspace / "projects" / "base")).execute("DELETE FROM runs")
    assert names(index.find()) == ["base", "shared"]


def test_nothing_is_opened_where_nothing_changed(index, workspace, held):
    index.find()
    with held(experiments_path(workspace)), held(experiments_path(workspace / "projects" / "base")):
        # the lock file is all that another process changed
        assert names(index.find()) == ["base", "shared", "trained"]
        assert not index.notice


def test_a_new_store_in_an_old_project_is_found(machine, make_sim, make_store):
    path = machine.workspace("fulda", "base", sims=[make_sim("one")])
    with hmp_index.index() as opened:
        opened.register(path)
        assert names(opened.find()) == ["one"]
        make_store(path / "projects" / "base", "trained")
        assert names(opened.find()) == ["one", "trained"]
        shutil.rmtree(path / "projects" / "base" / ".hmp" / "store", ignore_errors=True)
        experiments_path(path / "projects" / "base").unlink()
        assert names(opened.find()) == ["one"]


def test_a_store_of_the_workspace_that_is_gone_is_forgotten_by_prune(index, workspace):
    index.find()
    experiments_path(workspace).unlink()
    assert names(index.find()) == ["base", "shared", "trained"]
    assert "is not there any more" in str(index.notice)
    assert [(one.kind, one.project, one.path) for one in index.prune()] == [("project", ".", workspace)]
    assert names(index.find()) == ["base", "trained"]


def test_rebuilding_gives_the_same_rows(index):
    index.find()
    before = rows(index)
    index.rebuild()
    assert rows(index) == before
    assert len(before) == 3


def test_the_mark_follows_the_file_its_wal_and_its_journals(workspace):
    seen = [store_mark(workspace)]
    for name in ("store.duckdb.wal", "store.duckdb.wal", ".hmp/store/pending/a.log", ".hmp/store/pending/a.log"):
        file = workspace / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(b"more")
        seen.append(store_mark(workspace))
    os.utime(experiments_path(workspace))
    seen.append(store_mark(workspace))
    assert len(set(seen)) == 6
    assert store_mark(workspace / "data") == ""


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────


def test_a_store_in_use_is_named_and_hides_nothing_else(index, workspace, held, make_sim, machine):
    index.find()
    database = experiments_path(workspace / "projects" / "base")
    DuckDBBackend(database).execute("UPDATE runs SET name = 'changed'")
    machine.put(workspace / "projects" / "base", make_sim("another"))
    with held(database):
        assert names(index.find()) == ["another", "base", "shared", "trained"]
        (skipped,) = index.notice.skipped
        assert (skipped.project, skipped.status) == ("base", "busy")
        assert "store.duckdb" in skipped.detail
    assert names(index.find()) == ["another", "base", "changed", "shared"]
    assert not index.notice


def test_a_catalog_in_use_does_not_hide_new_experiments(index, workspace, held, make_store):
    index.find()
    project = workspace / "projects" / "base"
    make_store(project, "later")
    os.utime(project / "catalog.duckdb")
    with held(project / "catalog.duckdb"):
        assert names(index.find()) == ["base", "later", "shared", "trained"]
        assert [one.status for one in index.notice.skipped] == ["busy"]
        assert {each.slug: each.n_simulations for each in index.projects()}["base"] == 1
    index.find()
    assert not index.notice


@pytest.mark.parametrize("spoil", ["damaged", "newer", "foreign"])
def test_a_store_that_cannot_be_read_keeps_its_last_snapshot(index, workspace, spoil, tmp_path):
    index.find()
    database = experiments_path(workspace / "projects" / "base")
    if spoil == "damaged":
        database.write_bytes(os.urandom(5000))
    elif spoil == "newer":
        DuckDBBackend(database).execute("DROP VIEW v_scores")
    else:
        DuckDBBackend(database).execute("DROP VIEW v_simulation_summary")
    assert names(index.find()) == ["base", "shared", "trained"]
    (skipped,) = index.notice.skipped
    assert skipped.status == {"damaged": "corrupt"}.get(spoil, "schema_mismatch")
    assert skipped.taken_at is not None
    (hit,) = index.find(name="base")
    assert hit.state == skipped.status


def test_a_store_whose_database_was_lost_keeps_its_last_snapshot(index, workspace):
    index.find()
    pending = workspace / ".hmp" / "store" / "pending"
    pending.mkdir(parents=True, exist_ok=True)
    (pending / "a.log").write_bytes(b"something that was not settled")
    experiments_path(workspace).unlink()
    assert names(index.find()) == ["base", "shared", "trained"]
    assert [(one.project, one.status) for one in index.notice.skipped] == [(".", "unreachable")]


def test_a_lost_catalog_beside_a_store_is_missed(index, workspace):
    index.find()
    shutil.rmtree(workspace / "projects" / "base" / ".hmp" / "catalog", ignore_errors=True)
    (workspace / "projects" / "base" / "catalog.duckdb").unlink()
    assert names(index.find()) == ["base", "shared", "trained"]
    (skipped,) = index.notice.skipped
    assert (skipped.project, skipped.status) == ("base", "unreachable")


def test_what_is_in_journals_is_counted_where_nobody_can_settle_it(index, workspace):
    """A line that says that the journal was closed is no entry."""
    segment = Segment(workspace / ".hmp" / "store" / "pending")
    for n, kind in enumerate(("run.begun", "run.ended", "writer.closed"), 1):
        segment.write(encode(Event(uuid7(), "experiments", 1, kind, n, n, "me", {}, segment.writer, n)))
        segment.seq += 1
    try:
        assert names(index.find()) == ["base", "shared", "trained"]
        (skipped,) = index.notice.skipped
        assert (skipped.project, skipped.unfolded, skipped.detail) == (".", 2, "hmp-catalog is not installed")
        assert index.notice.unfolded == 2
    finally:
        segment.close()


def test_a_policy_keeps_experiments_from_those_who_may_not_read_them(workspace, tmp_path, monkeypatch):
    policy = tmp_path / "policy.toml"
    policy.write_text('[[allow]]\nwho = ["me"]\nread = ["index", "catalog:aare/base"]\nwrite = ["index"]\n')
    monkeypatch.setenv("HMP_USER", "me")
    with hmp_index.index(auth=PolicyAuthBackend(policy)) as opened:
        opened.register(workspace)
        assert names(opened.find()) == ["base", "trained"]
        (skipped,) = opened.notice.skipped
        assert (skipped.project, skipped.status) == (".", "unreachable")
        assert "catalog:aare/aare" in skipped.detail
