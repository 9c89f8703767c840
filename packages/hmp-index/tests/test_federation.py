"""One catalog read as it is: by name, folded if possible, and with a status for whatever is wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.layout import catalog_path, init_project, read_root
from hmp_index.federation import PATIENCE, Reader
from hmp_index.fold import Place
from hmp_index.roster import Listed
from hmp_index.survey import look

AUTH = LocalAuthBackend()
PLACE = Place(uuid.uuid4(), uuid.uuid4(), "base", "base")


def seen(project):
    workspace = project.parents[1]
    line = Listed(read_root(workspace, "workspace.toml").id, workspace, "aare", None)
    return next(one for one in look(line).projects if one.path == project)


def read(project, reader=None, **options):
    return (reader or Reader.installed(AUTH)).read(seen(project), PLACE, **options)


def rows(reading):
    return json.loads(reading.snapshot.rows)


def names(reading):
    return sorted(row["name"] for row in rows(reading))


@pytest.fixture
def base(machine, make_sim):
    return machine.project(machine.workspace("aare"), "base", [make_sim("one", {"nse": 0.7}, {"x1": 3.0}, ["paper"])])


# ── what is there ────────────────────────────────────────────────────────────────────────────────────


def test_a_catalog_is_copied(base):
    reading = read(base)
    assert (reading.status, reading.detail, reading.unfolded, names(reading)) == ("ok", "", 0, ["one"])
    row = rows(reading)[0]
    assert (row["metrics"], row["parameters"], row["tags"]) == ('{"nse": 0.7}', '{"x1": 3.0}', '["paper"]')


def test_columns_are_matched_by_name(machine, make_sim, other_schema):
    """Other order, other case, other types, unknown columns, missing columns, a missing table."""
    project = machine.project(machine.workspace("aare"), "other", [make_sim("one", {"nse": 0.5})], other_schema)
    reading = read(project)
    row = rows(reading)[0]
    assert reading.status == "ok"
    assert (row["name"], row["solver"], row["created_at"]) == ("one", "gr4j", make_sim().created_at.isoformat())
    assert (row["study_area_name"], row["metrics"], row["tags"]) == (None, '{"nse": 0.5}', "[]")


def test_a_project_without_simulations_is_ok(machine):
    project = init_project(machine.workspace("aare"), "empty").path
    reading = read(project)
    assert (reading.status, reading.snapshot) == ("ok", None)


def test_a_catalog_that_is_gone_is_unreachable(base):
    (base / "simulations" / "one").mkdir()
    (base / "simulations" / "one" / "run.json").write_text("{}")
    catalog_path(base).unlink()
    reading = read(base)
    assert (reading.status, reading.snapshot) == ("unreachable", None)
    assert "hmp catalog rebuild" in reading.detail


@pytest.mark.parametrize("installed", [True, False])
def test_where_no_lock_can_be_made_it_is_read_without(machine, scope, installed):
    """As in a folder that may only be read; a folder in the place of the lock does the same also for root."""
    project = init_project(machine.workspace("aare"), "base").path
    with contextlib.closing(scope.store(project)) as store:
        store.append("run", {"sim_id": str(uuid.uuid4()), "name": "one"})
        store.fold()
    lock = catalog_path(project).with_name("catalog.duckdb.lock")
    lock.unlink()
    lock.mkdir()
    if installed:
        scope.install()
    assert (read(project).status, names(read(project))) == ("ok", ["one"])


def test_reading_leaves_no_lock(base):
    read(base)
    with DuckDBBackend(catalog_path(base)).lease(write=True, timeout=0.0):
        pass


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────


def test_a_catalog_that_another_process_writes_is_busy(base, held):
    with held(catalog_path(base)) as pid:
        began = time.monotonic()
        reading = read(base, timeout=0.2)
        assert time.monotonic() - began < 2.0
    assert (reading.status, reading.mark, reading.snapshot) == ("busy", "", None)
    assert str(pid) in reading.detail


def test_a_catalog_held_without_the_lock_file_is_busy(base, held):
    """Somebody opens it with another tool, which knows nothing of our lock."""
    with held(catalog_path(base)):
        catalog_path(base).with_name("catalog.duckdb.lock").unlink()
        reading = read(base, timeout=0.2)
    assert reading.status == "busy"


def test_a_catalog_that_this_thread_writes_is_busy(base):
    backend = DuckDBBackend(catalog_path(base))
    with backend.transaction():
        backend.execute("CREATE TABLE unborn (x INTEGER)")
        assert names(read(base)) == ["one"]


def corrupt_garbage(path):
    path.write_bytes(b"not a database at all" * 1000)


def corrupt_empty(path):
    path.write_bytes(b"")


def corrupt_truncated(path):
    os.truncate(path, 5000)


def corrupt_middle(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(12288)
        file.write(b"\xab" * (size - 12288))


@pytest.mark.parametrize("harm", [corrupt_garbage, corrupt_empty, corrupt_truncated, corrupt_middle])
def test_a_damaged_catalog_is_corrupt_and_left_as_it_is(base, harm):
    path = catalog_path(base)
    path.with_name("catalog.duckdb.wal").unlink(missing_ok=True)
    harm(path)
    before = path.read_bytes()
    reading = read(base)
    assert (reading.status, reading.snapshot) == ("corrupt", None)
    assert str(path) in reading.detail
    assert path.read_bytes() == before


def test_a_damaged_catalog_is_not_looked_into_again(base):
    corrupt_garbage(catalog_path(base))
    reader = Reader.installed(AUTH)
    assert reader.read(seen(base), PLACE).mark == reader.marking()(seen(base).mark) != ""


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE simulations (x INTEGER);",
        "CREATE VIEW v_simulation_summary AS SELECT 1 AS name;",
        "CREATE VIEW v_simulation_summary AS SELECT 'no id' AS sim_id;",
        "CREATE VIEW v_simulation_summary AS SELECT uuid() AS sim_id, 'soon' AS created_at;",
        "CREATE VIEW v_simulation_summary AS SELECT CAST('10000000-0000-4000-8000-000000000000' AS UUID) AS sim_id "
        "FROM range(2);",
        "CREATE TABLE t (sim_id UUID); CREATE VIEW v_simulation_summary AS SELECT sim_id FROM t; DROP TABLE t;",
    ],
    ids=["no view", "no id", "odd id", "odd time", "twice", "broken view"],
)
def test_a_catalog_of_another_making_is_a_mismatch(machine, schema):
    reading = read(machine.project(machine.workspace("aare"), "odd", schema=schema))
    assert (reading.status, reading.snapshot) == ("schema_mismatch", None)


def test_a_table_of_another_making_is_named(machine, make_sim):
    schema = "CREATE VIEW v_simulation_summary AS SELECT uuid() AS sim_id; CREATE TABLE metrics (what VARCHAR);"
    reading = read(machine.project(machine.workspace("aare"), "odd", schema=schema))
    assert reading.status == "ok"
    assert "metrics has no column metric_name or sim_id" in reading.detail


class Denying(LocalAuthBackend):
    def can_read(self, resource):
        return resource != "catalog:aare/base"


def test_the_policy_is_asked_for_each_catalog(base, machine, make_sim):
    other = machine.project(base.parents[1], "other", [make_sim("two")])
    reader = Reader(Denying())
    assert reader.read(seen(base), PLACE).status == "unreachable"
    assert "may not read" in reader.read(seen(base), PLACE).detail
    assert reader.read(seen(other), PLACE).status == "ok"


def test_a_project_that_vanishes_meanwhile_is_unreachable(base):
    found = seen(base)
    shutil.rmtree(base)
    assert Reader(AUTH).read(found, PLACE).status == "unreachable"


# ── folding ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def logged(machine, scope):
    """A project with one simulation folded and one only in the log, written by a process that lives."""
    project = init_project(machine.workspace("aare"), "logged").path
    store = scope.store(project)
    store.append("run", {"sim_id": str(uuid.uuid4()), "name": "folded"})
    store.fold()
    store.append("run", {"sim_id": str(uuid.uuid4()), "name": "logged"})
    yield project
    store.close()


def test_what_is_only_in_the_log_is_folded_first(logged, scope):
    scope.install()
    reading = read(logged)
    assert (reading.status, reading.unfolded, names(reading)) == ("ok", 0, ["folded", "logged"])


def test_without_the_scope_what_is_not_folded_is_counted(logged):
    reading = read(logged)
    assert (reading.status, reading.unfolded, names(reading)) == ("ok", 1, ["folded"])
    assert "not installed" in reading.detail


def test_where_folding_is_off_what_is_not_folded_is_counted(logged, scope, monkeypatch):
    scope.install()
    monkeypatch.setenv("HMP_FOLD", "never")
    reading = read(logged)
    assert (reading.unfolded, names(reading)) == (1, ["folded"])
    assert "HMP_FOLD" in reading.detail


def test_a_settled_reading_is_marked(logged, scope):
    scope.install()
    reader = Reader.installed(AUTH)
    reader.read(seen(logged), PLACE)
    assert reader.read(seen(logged), PLACE).mark == reader.marking()(seen(logged).mark)


def test_what_is_recorded_while_we_fold_is_read_the_next_time(logged, scope):
    """An event that comes between the fold and the mark must not be taken for one that was read."""
    scope.install()
    reader = Reader.installed(AUTH)
    with contextlib.closing(scope.store(logged)) as other:
        scope.meanwhile.append(lambda: other.append("run", {"sim_id": str(uuid.uuid4()), "name": "meanwhile"}))
        first = reader.read(seen(logged), PLACE)
        assert (names(first), first.mark) == (["folded", "logged"], "")
        second = reader.read(seen(logged), PLACE)
        assert (names(second), second.mark) == (["folded", "logged", "meanwhile"], reader.marking()(seen(logged).mark))


@pytest.mark.parametrize("change", ["install", "upgrade", "fold"])
def test_what_could_be_read_otherwise_now_is_marked_otherwise(logged, scope, monkeypatch, change):
    if change != "install":
        scope.install("1.0")
    before = Reader.installed(AUTH).marking()("m")
    if change == "fold":
        monkeypatch.setenv("HMP_FOLD", "never")
    else:
        scope.install("2.0")
    assert Reader.installed(AUTH).marking()("m") != before


def test_an_older_catalog_is_told_by_its_columns_and_says_so(logged, scope):
    scope.install()
    scope.upgrade()
    reading = read(logged)
    assert (reading.status, reading.unfolded, names(reading)) == ("schema_mismatch", 1, ["folded"])
    assert "hmp db upgrade" in reading.detail


def test_a_newer_catalog_is_not_read(logged, scope):
    DuckDBBackend(catalog_path(logged)).execute(
        "INSERT INTO schema_migrations VALUES ('catalog', 2, 'later', 'x', TIMESTAMP '2030-01-01')"
    )
    scope.install()
    reading = read(logged)
    assert (reading.status, reading.snapshot) == ("schema_mismatch", None)
    assert "newer" in reading.detail


def test_a_catalog_whose_migration_was_edited_is_a_mismatch(logged, scope):
    DuckDBBackend(catalog_path(logged)).execute(
        "UPDATE schema_migrations SET checksum = 'x' WHERE component = 'catalog'"
    )
    scope.install()
    assert read(logged).status == "schema_mismatch"


def test_a_scope_that_cannot_be_loaded_does_not_break_the_index(logged, scope, caplog):
    scope.install(points="catalog = nowhere:FOLD")
    reading = read(logged)
    assert (reading.status, reading.unfolded) == ("ok", 1)
    assert "nowhere" in caplog.text


def test_patience_is_short():
    assert PATIENCE <= 2.0
