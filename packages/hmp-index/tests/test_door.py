"""The door: registering, finding, what an answer lacks, and an index that can be thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

import hmp_index
from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import (
    AccessDenied,
    AmbiguousReference,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    InvalidInput,
    MissingPart,
    NotFound,
    NotWritable,
    PathNotFound,
    SchemaIntegrityError,
    SchemaTooNewError,
    StatementError,
    UnknownFilter,
    UnsupportedScheme,
)
from hmp_core.layout import catalog_path, init_project
from hmp_core.testing.children import run
from hmp_index.errors import OtherWorkspace, WorkspaceListCorrupt

ELSEWHERE = "5f0c1e2a-9b1d-4c53-8f7e-0d3a6b2c4e11"

TABLES = {
    "workspaces": {"last_scanned_at"},
    "projects": {"last_refreshed_at"},
    "simulations_cache": {"snapshot_taken_at"},
    "index_metadata": {"scanned_at"},
    "v_workspace_health": {"last_scanned_at", "oldest_refresh_at"},
}


@pytest.fixture
def index(machine):
    with hmp_index.index() as opened:
        yield opened


def names(hits):
    return sorted(hit.name for hit in hits)


def contents(index):
    """Return every row of every table, without the times of looking."""
    found = {}
    for table, moments in TABLES.items():
        rows = index.sql(f"SELECT * FROM {table}").to_pylist()
        found[table] = Counter(str(sorted((k, str(v)) for k, v in row.items() if k not in moments)) for row in rows)
    return found


# ── registering ──────────────────────────────────────────────────────────────────────────────────────


def test_the_same_workspace_by_any_way_is_one_row(machine, index, monkeypatch):
    aare = machine.workspace("a are")
    (machine.root / "link").symlink_to(aare)
    monkeypatch.chdir(machine.root)
    ways = [
        aare,
        str(aare),
        machine.root / "link",
        "a are",
        "./link/../a are",
        aare.as_uri(),
        f"file://localhost{aare.as_uri()[7:]}",
    ]
    ids = {index.register(way).id for way in ways}
    assert len(ids) == len(index.workspaces()) == 1
    assert index.workspaces()[0].path == aare


def test_a_upath_is_a_path(machine, index):
    upath = pytest.importorskip("upath")
    assert index.register(upath.UPath(machine.workspace())).label == "aare"


def test_a_workspace_goes_by_its_name_or_a_label(machine, index):
    aare = machine.workspace("aare")
    assert index.register(aare).label == "aare"
    assert index.register(aare, label="Upper Aare").label == "Upper Aare"
    assert index.register(aare).label == "Upper Aare"


def test_registering_reads_what_is_there(machine, index, make_sims):
    aare = machine.workspace("aare", "a", "b", sims=make_sims(2))
    found = index.register(aare)
    assert (found.status, found.n_projects, found.n_simulations) == ("ok", 2, 2)


def test_a_moved_workspace_is_recognised(machine, index, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    before = index.register(aare, label="mine")
    moved = aare.rename(machine.root / "elsewhere")
    after = index.register(moved)
    assert (after.id, after.label, after.path) == (before.id, "mine", moved)
    assert "recognised" in str(index.notice)
    assert names(index.find()) == ["one"]
    assert len(index.workspaces()) == 1


def test_a_copy_is_told_apart_and_reported(machine, index, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    original = index.register(aare)
    shutil.copytree(aare, machine.root / "copy")
    copy = index.register(machine.root / "copy", label="copy")
    assert copy.id != original.id
    assert copy.copy_of == original.id
    assert "copy" in str(index.notice)
    assert sorted((hit.workspace, hit.name) for hit in index.find()) == [("aare", "one"), ("copy", "one")]


def test_a_copy_that_was_moved_is_recognised_as_the_copy(machine, index):
    aare = machine.workspace("aare")
    index.register(aare)
    shutil.copytree(aare, machine.root / "copy")
    copy = index.register(machine.root / "copy")
    moved = (machine.root / "copy").rename(machine.root / "moved")
    assert index.register(moved).id == copy.id
    assert [one.path for one in index.workspaces()] == [aare, moved]


def test_another_workspace_in_the_place_of_a_registered_one_is_another(machine, index):
    first = index.register(machine.workspace("aare"))
    shutil.rmtree(machine.root / "aare")
    second = index.register(machine.workspace("aare"))
    assert second.id != first.id
    assert [one.status for one in index.workspaces()] == ["unreachable", "ok"]


def test_eight_threads_register_and_nothing_is_lost(machine, index):
    paths = [machine.workspace(f"w{i}") for i in range(8)]
    threads = [threading.Thread(target=index.register, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.path for one in index.workspaces()) == paths


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nowhere", PathNotFound),
        ("s3://bucket/aare", UnsupportedScheme),
        ("http://example.org/aare", UnsupportedScheme),
        ("file://elsewhere/aare", UnsupportedScheme),
        ("", InvalidInput),
        ("a\0b", InvalidInput),
        (None, InvalidInput),
        (3, InvalidInput),
        (".", PathNotFound),
        (b"aare", InvalidInput),
        ("\udcff", InvalidInput),
    ],
)
def test_what_is_no_workspace_is_refused_and_nothing_is_made(index, machine, path, error):
    with pytest.raises(error):
        index.register(path)
    assert index.workspaces() == []
    assert list(Path().iterdir()) == []


def test_a_folder_inside_a_workspace_is_refused_with_the_root(machine, index):
    aare = machine.workspace("aare", "base")
    with pytest.raises(PathNotFound, match=f"register {aare}$"):
        index.register(aare / "projects" / "base")


def test_a_damaged_marker_is_refused(machine, index):
    aare = machine.workspace()
    (aare / "workspace.toml").write_text("id = 3")
    with pytest.raises(CorruptError, match=r"workspace\.toml"):
        index.register(aare)


@pytest.mark.parametrize("label", ["", "  ", 3, "\udcff"])
def test_a_label_is_text(machine, index, label):
    with pytest.raises(InvalidInput, match="label"):
        index.register(machine.workspace(), label=label)
    assert index.workspaces() == []


# ── relocating, forgetting, pruning ──────────────────────────────────────────────────────────────────


def test_a_workspace_is_relocated(machine, index, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    before = index.register(aare)
    moved = aare.rename(machine.root / "elsewhere")
    after = index.relocate(before.id[:8], moved)
    assert (after.id, after.path, after.status) == (before.id, moved, "ok")


def test_relocating_to_another_workspace_is_refused(machine, index):
    index.register(machine.workspace("aare"))
    with pytest.raises(OtherWorkspace):
        index.relocate("aare", machine.workspace("fulda"))


def test_relocating_nothing_is_refused(machine, index):
    with pytest.raises(NotFound):
        index.relocate("aare", machine.workspace("aare"))


def test_what_is_forgotten_is_told_and_gone(machine, index, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    index.register(aare)
    gone = index.forget("aare")
    assert (gone.label, gone.n_simulations) == ("aare", 1)
    assert (index.workspaces(), index.find(), index.projects()) == ([], [], [])
    assert catalog_path(aare / "projects" / "base").is_file()


@pytest.mark.parametrize("reference", ["nothing", "/nowhere", ELSEWHERE, uuid.UUID(ELSEWHERE)])
def test_forgetting_nothing_is_refused(machine, index, reference):
    index.register(machine.workspace("aare"))
    with pytest.raises(NotFound, match="aare"):
        index.forget(reference)


def test_forgetting_one_of_several_is_refused(machine, index):
    index.register(machine.workspace("aare"), label="same")
    index.register(machine.workspace("fulda"), label="same")
    with pytest.raises(AmbiguousReference, match="fulda"):
        index.forget("same")


def test_what_is_not_there_any_more_is_pruned(machine, index, make_sim):
    for name in ("aare", "fulda"):
        index.register(machine.workspace(name, "a", "b", sims=[make_sim()]))
    shutil.rmtree(machine.root / "aare")
    shutil.rmtree(machine.root / "fulda" / "projects" / "b")
    listed = index.prune(dry_run=True)
    assert [(one.kind, one.workspace, one.project, one.n_simulations) for one in listed] == [
        ("workspace", "aare", "", 2),
        ("project", "fulda", "b", 1),
    ]
    assert len(index.workspaces()) == 2
    assert index.prune() == listed
    assert [(project.workspace, project.slug) for project in index.projects()] == [("fulda", "a")]
    assert index.prune() == []
    assert not index.notice


def test_a_workspace_with_a_damaged_marker_is_not_pruned(machine, index):
    aare = machine.workspace()
    index.register(aare)
    (aare / "workspace.toml").write_text("")
    assert index.prune() == []
    assert index.workspaces()[0].status == "corrupt"


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────


def fill(machine, make_sim):
    """Return an index of two workspaces."""
    aare = machine.workspace("aare")
    about = {"study_area_name": "Évron", "description": "a dry year; 100% 'quoted' \"text\"", "duration_s": 3.5}
    base = make_sim("base", {"nse": 0.8, "rmse": 2.0}, {"x1": 320.0}, ["paper", "final"], columns=about)
    wet = make_sim("wet", {"nse": 0.6, "nse@upper": 0.9}, {"x1": 410.0}, ["paper"], status="failed")
    machine.project(aare, "calibration", [base, wet])
    fulda = machine.workspace("fulda")
    machine.project(fulda, "base", [make_sim("dry", {"nse": float("nan")}, {"x1": 250.0}, solver="modflow6")])
    index = hmp_index.index(machine.database)
    index.register(aare)
    index.register(fulda, label="Fulda (Bad Hersfeld)")
    return index


@pytest.fixture(scope="module")
def told(library, make_sim):
    """An index of two workspaces that no test changes."""
    return fill(library, make_sim)


@pytest.fixture
def filled(machine, make_sim):
    """An index of two workspaces of one's own."""
    return fill(machine, make_sim)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["base", "dry", "wet"]),
        ({"solver": "gr4j"}, ["base", "wet"]),
        ({"solver": ["gr4j", "modflow6"]}, ["base", "dry", "wet"]),
        ({"solver_ne": "gr4j"}, ["dry"]),
        ({"status": "failed"}, ["wet"]),
        ({"name_like": "%E%"}, ["base", "wet"]),
        ({"project": "base"}, ["dry"]),
        ({"workspace": "aare"}, ["base", "wet"]),
        ({"kind": "simulation"}, ["base", "dry", "wet"]),
        ({"kind": "acquisition"}, []),
        ({"study_area_name": None}, ["dry", "wet"]),
        ({"duration_s_lt": 4}, ["base"]),
        ({"created_at_gte": "2024-05-01"}, ["base", "dry", "wet"]),
        ({"created_at_gt": "2025-01-01"}, []),
        ({"tags": "paper"}, ["base", "wet"]),
        ({"tags": ["paper", "final"]}, ["base"]),
        ({"tags": "pap"}, []),
        ({"nse_gt": 0.7}, ["base", "wet"]),
        ({"nse_lte": 0.6}, ["wet"]),
        ({"nse@upper_gt": 0.5}, ["wet"]),
        ({"nse": None}, ["dry"]),
        ({"nse_ne": None}, ["base", "wet"]),
        ({"kge_gt": 0}, []),
        ({"param.x1_gt": 300}, ["base", "wet"]),
        ({"param.x1": [250, 320]}, ["base", "dry"]),
        ({"param.x9_gt": 0}, []),
        ({"text": "évron dry"}, ["base"]),
        ({"text": "hersfeld"}, ["dry"]),
        ({"text": "100%"}, ["base"]),
        ({"solver": "gr4j", "nse_gt": 0.7, "tags": "final", "param.x1_lt": 400}, ["base"]),
        ({"solver": []}, []),
    ],
)
def test_filters_are_those_of_the_catalog(told, filters, found):
    assert names(told.find(**filters)) == found
    assert not told.notice


def test_a_hit_says_all(filled, machine):
    hit = filled.find(name="base")[0]
    assert (hit.workspace, hit.project, hit.solver, hit.status, hit.kind) == (
        "aare",
        "calibration",
        "gr4j",
        "completed",
        "simulation",
    )
    assert (hit.metrics, hit.parameters, hit.tags) == ({"nse": 0.8, "rmse": 2.0}, {"x1": 320.0}, ("final", "paper"))
    assert hit.path == machine.root / "aare" / "projects" / "calibration"
    assert (hit.state, hit.age, hit.score) == ("ok", 0.0, None)


def test_hits_are_frozen_and_comparable(told):
    hit, again = told.find(name="base"), told.find(name="base")
    assert hit == again
    with pytest.raises(AttributeError):
        hit[0].name = "other"


def test_the_newest_comes_first(machine, index, make_sims):
    index.register(machine.workspace("aare", "base", sims=make_sims(5)))
    assert [hit.name for hit in index.find()] == [f"run {i}" for i in (4, 3, 2, 1, 0)]


def test_an_unknown_key_is_refused(told):
    with pytest.raises(UnknownFilter, match="nse"):
        told.find(solvr="gr4j")


def test_what_was_recorded_just_now_is_found(filled, machine, make_sim):
    machine.put(machine.root / "fulda" / "projects" / "base", make_sim("new"))
    assert names(filled.find(name="new")) == ["new"]


def test_what_was_deleted_just_now_is_not_found(filled, machine):
    catalog = catalog_path(machine.root / "fulda" / "projects" / "base")
    DuckDBBackend(catalog).execute("DELETE FROM simulations")
    assert filled.find(name="dry") == []


def test_what_is_in_the_trash_is_not_found(filled, machine):
    catalog = catalog_path(machine.root / "fulda" / "projects" / "base")
    DuckDBBackend(catalog).execute("UPDATE simulations SET trashed_at = created_at")
    assert (filled.find(name="dry"), filled.search("dry hersfeld"), filled.table.num_rows) == ([], [], 2)


def test_a_new_project_is_found_without_being_told(filled, machine, make_sim):
    machine.project(machine.root / "fulda", "second", [make_sim("second")])
    assert names(filled.find(project="second")) == ["second"]


def test_what_is_only_in_the_log_is_found(machine, index, scope):
    aare = machine.workspace()
    scope.install()
    store = scope.store(init_project(aare, "base").path)
    index.register(aare)
    store.append("run", {"sim_id": str(uuid.uuid4()), "name": "logged"})
    with hmp_index.index() as again:
        assert names(again.find()) == ["logged"]
        assert not again.notice
    store.close()


def test_without_the_scope_what_is_not_folded_is_said(machine, index, scope):
    aare = machine.workspace()
    store = scope.store(init_project(aare, "base").path)
    store.append("run", {"sim_id": str(uuid.uuid4()), "name": "logged"})
    index.register(aare)
    assert index.find() == []
    assert index.notice.unfolded == 1
    assert "unfolded=1" in str(index.notice)
    store.close()


# ── searching ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("base", ["base", "dry"]),
        ("evron", ["base"]),
        ("ÉVRON Dry", ["base"]),
        ("hersf", ["dry"]),
        ("calib wet", ["wet"]),
        ("paper", ["base", "wet"]),
        ("100% 'quoted'", ["base"]),
        ("rhine", []),
        ("evron rhine", []),
        ("", []),
        ("%", []),
        ("_", []),
        ("'; DROP TABLE workspaces; --", []),
        ('"(*)\\', []),
        ("\0", []),
    ],
)
def test_words_are_found(told, text, found):
    assert sorted(hit.name for hit in told.search(text)) == found


def test_the_best_comes_first(told):
    """`base` is the name of one and the project of the other."""
    hits = told.search("base")
    assert [hit.name for hit in hits] == ["base", "dry"]
    assert hits[0].score > hits[1].score > 0


def test_not_more_than_asked_for(told):
    assert len(told.search("a", limit=1)) == 1
    assert len(told.search("paper", limit=None)) == 2


@pytest.mark.parametrize(
    ("text", "limit"), [(None, 1), (3, 1), (b"x", 1), ("x", 0), ("x", -1), ("x", "2"), ("x", 1.5), ("x", 2**64)]
)
def test_a_search_is_for_words(told, text, limit):
    with pytest.raises(InvalidInput):
        told.search(text, limit)


# ── what an answer lacks ─────────────────────────────────────────────────────────────────────────────


def harm_busy(project, held):
    return held(catalog_path(project))


def harm_corrupt(project, held):
    catalog_path(project).write_bytes(b"garbage" * 5000)


def harm_truncated(project, held):
    os.truncate(catalog_path(project), 5000)


def harm_missing(project, held):
    (project / "events").mkdir()
    (project / "events" / "2026-11.log").write_text("")
    catalog_path(project).unlink()


def harm_other(project, held):
    DuckDBBackend(catalog_path(project)).execute("DROP VIEW v_simulation_summary")


@pytest.mark.parametrize(
    ("harm", "status"),
    [
        (harm_busy, "busy"),
        (harm_corrupt, "corrupt"),
        (harm_truncated, "corrupt"),
        (harm_missing, "unreachable"),
        (harm_other, "schema_mismatch"),
    ],
)
def test_one_broken_project_keeps_its_snapshot_and_breaks_no_other(machine, index, make_sim, held, harm, status):
    aare = machine.workspace("aare")
    for name in ("one", "two", "three"):
        machine.project(aare, name, [make_sim(name)])
    index.register(aare)
    project = aare / "projects" / "two"
    machine.put(project, make_sim("unseen"))
    machine.put(aare / "projects" / "three", make_sim("fresh"))
    hold = harm(project, held)
    with hold if hold else open(os.devnull):
        hits = index.find()
    assert names(hits) == ["fresh", "one", "three", "two"]
    assert [(one.workspace, one.project, one.status) for one in index.notice.skipped] == [("aare", "two", status)]
    assert index.notice.skipped[0].detail
    assert {hit.name: hit.state for hit in hits} == {"fresh": "ok", "one": "ok", "three": "ok", "two": status}
    assert [hit.age > 0 for hit in hits if hit.name == "two"] == [True]


def test_a_busy_catalog_is_read_when_it_is_free(machine, index, make_sim, held):
    project = machine.project(machine.workspace("aare"), "base", [make_sim("one")])
    index.register(machine.root / "aare")
    with held(catalog_path(project)):
        os.utime(catalog_path(project))
        index.find()
        assert index.notice
    assert names(index.find()) == ["one"]
    assert not index.notice


def test_a_moved_workspace_still_answers_from_its_snapshot(machine, index, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    index.register(aare)
    aare.rename(machine.root / "elsewhere")
    assert [(hit.name, hit.state) for hit in index.search("one")] == [("one", "unreachable")]
    assert index.health()[0].workspace.status == "unreachable"
    assert [one.status for one in index.notice.skipped] == ["unreachable"]


def test_health_says_all_of_it(machine, index, make_sim):
    aare = machine.workspace("aare", "one", "two", sims=[make_sim()])
    index.register(aare)
    index.register(machine.workspace("fulda"))
    harm_corrupt(aare / "projects" / "two", None)
    sick, sound = index.health()
    assert (sick.ok, sound.ok) == (False, True)
    assert (sick.workspace.status, sick.workspace.n_projects, sick.workspace.n_projects_not_ok) == ("ok", 2, 1)
    assert [(project.slug, project.status) for project in sick.projects] == [("one", "ok"), ("two", "corrupt")]
    assert sick.projects[1].taken_at is not None


def test_a_refresh_says_what_it_could_not_read(machine, index, make_sim):
    aare = machine.workspace("aare", "one", sims=[make_sim()])
    index.register(aare)
    assert not index.refresh()
    harm_corrupt(aare / "projects" / "one", None)
    assert [one.status for one in index.refresh().skipped] == ["corrupt"]


def test_a_refresh_of_all_takes_new_snapshots(machine, index, make_sim):
    index.register(machine.workspace("aare", "one", sims=[make_sim()]))
    before = index.projects()[0].taken_at
    index.refresh()
    assert index.projects()[0].taken_at == before
    index.refresh(only_stale=False)
    assert index.projects()[0].taken_at > before


# ── questions in SQL, tables ─────────────────────────────────────────────────────────────────────────


def test_sql_asks_the_snapshot(told):
    table = told.sql("SELECT name FROM simulations_cache WHERE solver = $1 ORDER BY name", ["gr4j"])
    assert table.to_pydict() == {"name": ["base", "wet"]}


@pytest.mark.parametrize(
    "query",
    [
        "/* why */ -- so\n (SELECT 1)",
        "WITH t AS (SELECT 1) SELECT * FROM t",
        "FROM workspaces",
        "describe projects",
        "SHOW TABLES",
        "select 1;",
    ],
)
def test_a_question_may_be_put_in_many_ways(told, query):
    assert told.sql(query).num_rows > 0


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM workspaces",
        "DROP TABLE workspaces",
        "CREATE TABLE memory.t (x INTEGER)",
        "ATTACH ':memory:' AS other",
        "COPY workspaces TO 'stolen.csv'",
        "SET TimeZone = 'Europe/Zurich'",
        "SELECT 1; DROP TABLE workspaces",
        "",
        ";",
        "-- nothing",
    ],
)
def test_sql_changes_nothing(told, query):
    before = contents(told)
    with pytest.raises((InvalidInput, StatementError)):
        told.sql(query)
    assert contents(told) == before
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "query", ["SELEC 1", "SELECT nothing FROM nowhere", "WITH t AS (SELECT 1) DELETE FROM workspaces"]
)
def test_a_bad_question_is_refused_in_our_words(told, query):
    with pytest.raises((InvalidInput, StatementError)):
        told.sql(query)


def test_the_table_is_the_whole_snapshot(told):
    table = told.table
    assert table.num_rows == 3
    assert table.column_names[:6] == ["workspace", "project", "sim_id", "name", "kind", "solver"]
    assert set(table["snapshot_status"].to_pylist()) == {"ok"}


def test_the_frame_is_the_whole_snapshot(told):
    pytest.importorskip("pandas")
    assert sorted(told.frame["name"]) == ["base", "dry", "wet"]


def test_a_frame_without_pandas_says_what_to_install(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPart, match=r"hmp-index\[frame\]"):
        _ = told.frame


# ── an index that can be thrown away ─────────────────────────────────────────────────────────────────


def test_a_deleted_index_comes_back_row_for_row(filled, machine):
    before = contents(filled)
    filled.close()
    machine.database.unlink()
    with hmp_index.index() as again:
        assert contents(again) == before
        assert [one.label for one in again.workspaces()] == ["aare", "Fulda (Bad Hersfeld)"]


def test_an_index_deleted_under_our_hands_comes_back(filled, machine):
    before = contents(filled)
    machine.database.unlink()
    assert names(filled.find(solver="gr4j")) == ["base", "wet"]
    assert contents(filled) == before


def test_a_rebuilt_index_is_equal_row_for_row(filled):
    before = contents(filled)
    assert not filled.rebuild()
    assert contents(filled) == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"x" * 9000),
        lambda path: os.truncate(path, 4096),
        lambda path: path.write_bytes(b""),
    ],
)
def test_a_damaged_index_is_made_anew_with_a_notice(filled, machine, harm):
    before = contents(filled)
    filled.close()
    harm(machine.database)
    with hmp_index.index() as again:
        assert names(again.find(solver="gr4j")) == ["base", "wet"]
        assert "damaged" in str(again.notice)
        assert contents(again) == before
        assert not again.notice


def test_an_index_damaged_under_our_hands_is_made_anew(filled, machine):
    before = contents(filled)
    machine.database.write_bytes(b"x" * 9000)
    filled.find()
    assert "damaged" in str(filled.notice)
    assert contents(filled) == before


def test_a_rebuild_keeps_the_snapshot_of_what_is_out_of_reach(filled, machine):
    (machine.root / "aare").rename(machine.root / "elsewhere")
    assert [one.workspace for one in filled.rebuild().skipped] == ["aare"]
    assert names(filled.find(workspace="aare")) == ["base", "wet"]


def test_a_list_that_was_lost_is_written_again(filled, machine):
    before = machine.list.read_text()
    machine.list.unlink()
    assert len(filled.workspaces()) == 2
    assert "missing" in str(filled.notice)
    assert machine.list.read_text() == before


def test_a_damaged_list_is_refused_and_left_as_it_is(filled, machine):
    machine.list.write_text("version = ")
    for verb in (filled.workspaces, filled.find, filled.prune, filled.rebuild, filled.refresh):
        with pytest.raises(WorkspaceListCorrupt):
            verb()
    assert machine.list.read_text() == "version = "


def test_a_line_that_was_edited_by_hand_counts(filled, machine):
    machine.list.write_text(machine.list.read_text().replace('label = "aare"', 'label = "edited"'))
    assert {hit.workspace for hit in filled.find(solver="gr4j")} == {"edited"}


# ── bad input at the door ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("s3://bucket/index.duckdb", UnsupportedScheme),
        ("http://example.org/index.duckdb", UnsupportedScheme),
        ("", InvalidInput),
        (3, InvalidInput),
        (".", InvalidInput),
        ("/proc/hmp/index.duckdb", NotWritable),
    ],
)
def test_what_cannot_be_an_index_is_refused_and_nothing_is_made(path, error):
    with pytest.raises(error):
        hmp_index.index(path)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("way", ["{0}", "file://{0}"])
def test_an_index_may_lie_anywhere(tmp_path, way):
    with hmp_index.index(way.format(tmp_path / "mine" / "index.duckdb")) as index:
        assert index.path == tmp_path / "mine" / "index.duckdb"
        assert index.workspaces() == []


def test_a_missing_index_is_not_made_read_only(machine):
    with pytest.raises(DatabaseNotFound):
        hmp_index.index(read_only=True)
    assert not machine.state.exists()


def test_a_damaged_index_is_not_mended_read_only(filled, machine):
    machine.database.write_bytes(b"x" * 9000)
    with pytest.raises(CorruptError):
        hmp_index.index(read_only=True)
    assert machine.database.read_bytes() == b"x" * 9000


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_index_is_refused(filled, machine, read_only):
    DuckDBBackend(machine.database).execute("UPDATE schema_migrations SET version = 99")
    with pytest.raises(SchemaTooNewError):
        hmp_index.index(read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_an_edited_migration_is_refused(filled, machine, read_only):
    DuckDBBackend(machine.database).execute("UPDATE schema_migrations SET checksum = 'x'")
    with pytest.raises(SchemaIntegrityError):
        hmp_index.index(read_only=read_only)


def test_an_index_held_by_another_process_names_it(filled, machine, held):
    with held(machine.database) as pid, pytest.raises(BusyError, match=str(pid)):
        hmp_index.index(timeout=0.2)


def test_who_may_not_write_may_look(machine):
    class Reader(LocalAuthBackend):
        def can_write(self, resource):
            return False

    aare = machine.workspace()
    with hmp_index.index(auth=Reader()) as index:
        with pytest.raises(AccessDenied):
            index.register(aare)
        assert index.workspaces() == []


def test_a_closed_index_refuses(index):
    index.close()
    with pytest.raises(InvalidInput, match="closed"):
        index.workspaces()


# ── read-only ────────────────────────────────────────────────────────────────────────────────────────


def test_read_only_answers_from_the_snapshot_and_says_what_changed(filled, machine, make_sim):
    machine.put(machine.root / "fulda" / "projects" / "base", make_sim("new"))
    before = machine.database.stat().st_mtime_ns
    with hmp_index.index(read_only=True) as reader:
        assert names(reader.find()) == ["base", "dry", "wet"]
        assert [(one.project, one.status) for one in reader.notice.skipped] == [("base", "stale")]
        assert {hit.name: hit.state for hit in reader.find()} == {"base": "ok", "wet": "ok", "dry": "stale"}
    assert machine.database.stat().st_mtime_ns == before


def test_read_only_says_what_is_out_of_reach(filled, machine):
    shutil.rmtree(machine.root / "aare")
    with hmp_index.index(read_only=True) as reader:
        assert names(reader.search("paper")) == ["base", "wet"]
        assert [(one.workspace, one.status) for one in reader.notice.skipped] == [("aare", "unreachable")]
        assert [one.status for one in reader.workspaces()] == ["unreachable", "ok"]
        assert [one.ok for one in reader.health()] == [False, True]


#: Opens the index where nothing can be written any more, as on a full disk.
FULL = """
    import resource
    import hmp_index
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with hmp_index.index(path) as index:
        told = [sorted(hit.name for hit in index.find()), [hit.name for hit in index.search("base")]]
        for one in (index.projects, index.workspaces, index.health, lambda: index.sql("SELECT 1")):
            one()
            told.append([(each.project, each.status) for each in index.notice.skipped])
        try:
            index.refresh()
        except OSError as error:
            told.append(type(error).__name__)
    say(told)
    say(index.notice.remarks)
"""


def test_where_nothing_can_be_written_the_last_snapshot_answers(filled, machine, make_sim):
    machine.put(machine.root / "fulda" / "projects" / "base", make_sim("new"))
    told, remarks = run(FULL, path=machine.database)
    assert told[:2] == [["base", "dry", "wet"], ["base", "dry"]]
    assert all(("base", "stale") in skipped for skipped in told[2:6])
    assert told[6:] == ["StorageError"]
    assert any("cannot be written down" in remark for remark in remarks)
    with hmp_index.index() as index:
        assert names(index.find()) == ["base", "dry", "new", "wet"]
        assert not index.notice


def test_read_only_refuses_to_change(filled, machine):
    with hmp_index.index(read_only=True) as reader:
        for verb in (lambda: reader.register(machine.root / "aare"), lambda: reader.forget("aare"), reader.rebuild):
            with pytest.raises(NotWritable, match="read-only"):
                verb()
        shutil.rmtree(machine.root / "aare")
        assert len(reader.prune(dry_run=True)) == 1
        with pytest.raises(NotWritable, match="read-only"):
            reader.prune()


# ── the package ──────────────────────────────────────────────────────────────────────────────────────


def test_opening_the_door_imports_nothing_heavy():
    heavy = "{'duckdb', 'pyarrow', 'pandas', 'numpy', 'httpx', 'zarr', 'xarray', 'rich'}"
    code = f"import sys, hmp_index; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_thirty_workspaces_are_no_burden(machine, make_sims):
    """Far from the thousand it should carry; a step back in kind would show here already."""
    workspaces = [machine.workspace(f"w{i}", "base", sims=make_sims(10)) for i in range(30)]
    with hmp_index.index() as index:
        for workspace in workspaces:
            index.register(workspace)
        began = time.perf_counter()
        assert len(index.find(nse_gte=0.9)) == len(index.search("run 9", limit=None)) == 30
        assert time.perf_counter() - began < 1.0
        machine.put(workspaces[7] / "projects" / "base", *make_sims(1, description="new"))
        began = time.perf_counter()
        assert len(index.find(text="new")) == 1
        assert time.perf_counter() - began < 1.0


LOOK = """
import sys, hmp_index
with hmp_index.index() as index:
    index.register(sys.argv[1])
    assert index.find(nse_gt=-1) and index.search("run") and index.health()
    index.forget(sys.argv[1])
heavy = {"pyarrow", "pandas", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_looking_and_finding_import_only_the_engine(machine, make_sims):
    """Pandas, where it is installed, would cost a second, some of it under the lock."""
    aare = machine.workspace("aare", "base", sims=make_sims(3))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", LOOK, str(aare)], check=True, env=environment)
