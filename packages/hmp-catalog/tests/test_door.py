"""The door: what opens, what is refused and how, and that a refusal changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from upath import UPath

import hmp_catalog
from hmp_catalog.door import locate
from hmp_catalog.fold import FOLD
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import (
    BusyError,
    CorruptError,
    DatabaseNotFound,
    HmpError,
    InvalidInput,
    MigrationPending,
    NotWritable,
    PathNotFound,
)
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.testing.door_suite import DoorSuite, anybodys_folder, closed_to_writers, unprivileged

HOLD_LOCK = """
import sys
from pathlib import Path
from hmp_core.locks import database_lock
with database_lock(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_DATABASE = """
import sys
from pathlib import Path
from hmp_core.backends.duckdb import DuckDBBackend
with DuckDBBackend(Path(sys.argv[1])).lease(write=True):
    print("held", flush=True)
    sys.stdin.read()
"""

FIRST = """
import sys, hmp_catalog
sys.stdin.readline()
with hmp_catalog.open(sys.argv[1], create=True) as cat:
    with cat.record("gr4j", name=sys.argv[2]) as rec:
        pass
    ledger = cat.sql("SELECT version FROM schema_migrations WHERE component = 'catalog' ORDER BY 1")
    print(*ledger["version"].to_pylist(), flush=True)
"""

_NUMBERS = " ".join(str(int(file.name[:4])) for file in sorted(FOLD.migrations.glob("*.sql")))

both = pytest.mark.parametrize("read_only", [False, True], ids=["write", "read"])


def everything_below(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, but for the lock and its note."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and ".lock" not in file.name
    }


class TestDoor(DoorSuite):
    """What every door promises."""

    def create(self, path):
        return hmp_catalog.open(path, create=True)

    def open(self, path, **options):
        return hmp_catalog.open(path, **options)

    def database(self, path):
        return path / "catalog.duckdb"


def test_a_folder_that_may_only_be_read_is_read_with_all_that_is_in_it():
    with anybodys_folder() as folder:
        with hmp_catalog.open(folder / "aare", create=True) as cat, cat.record("gr4j", name="base") as rec:
            rec.metric("nse", 0.8)
        closed_to_writers(folder)
        with unprivileged():
            for read_only in (False, True):
                with hmp_catalog.open(folder / "aare", read_only=read_only) as cat:
                    assert cat["base"].metrics == {"nse": 0.8}
                    assert not cat.notice
                    with pytest.raises(NotWritable):
                        cat.record("gr4j")


def test_a_run_that_cannot_be_recorded_here_is_not_on_record():
    with anybodys_folder() as folder:
        with hmp_catalog.open(folder / "aare", create=True):
            pass
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o777)
        (folder / "aare" / "simulations").chmod(0o555)
        with unprivileged(), hmp_catalog.open(folder / "aare") as cat:
            with pytest.raises(NotWritable, match="simulations"):
                cat.record("gr4j")
            assert len(cat) == 0


# ── what opens ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "way",
    [
        lambda project: project,
        str,
        lambda project: project / "catalog.duckdb",
        lambda project: project.as_uri(),
        lambda project: (project / "catalog.duckdb").as_uri(),
        UPath,
        lambda project: project.parents[1],
        lambda project: Path(os.path.relpath(project)),
        lambda project: project / ".." / project.name,
    ],
    ids=["folder", "text", "database", "uri", "uri of the database", "upath", "workspace", "relative", "dots"],
)
def test_opens_a_project_however_it_is_named(project, cat, record, way):
    record(cat, "base")
    with hmp_catalog.open(way(project)) as found:
        assert found["base"].name == "base"
        assert found.path == project


def test_a_link_to_a_project_opens_the_project(project, tmp_path, cat, record):
    record(cat, "base")
    (tmp_path / "link").symlink_to(project)
    with hmp_catalog.open(tmp_path / "link") as found:
        assert found.path == project
        assert found["base"].folder.is_relative_to(project)


def test_create_makes_a_project_and_its_catalog(tmp_path):
    with hmp_catalog.open(tmp_path / "new" / "aare", create=True) as cat:
        assert len(cat) == 0
    assert (tmp_path / "new" / "aare" / "project.toml").is_file()
    with hmp_catalog.open(tmp_path / "new" / "aare") as cat:
        assert len(cat) == 0


def test_a_project_without_a_workspace_is_its_own(tmp_path):
    with hmp_catalog.open(tmp_path / "aare", create=True) as cat:
        assert cat.workspace == cat.path == tmp_path / "aare"


def test_opening_again_applies_nothing(project):
    def ledger():
        backend = DuckDBBackend(catalog_path(project))
        return backend.query("SELECT * FROM schema_migrations").to_pylist()

    before = ledger()
    hmp_catalog.open(project).close()
    hmp_catalog.open(project, create=True).close()
    assert ledger() == before
    assert [row["component"] for row in before].count("catalog") == len([*FOLD.migrations.glob("*.sql")])


def test_eight_processes_make_the_same_catalog_at_once(tmp_path, spawn):
    with spawn(FIRST, tmp_path / "aare", count=8) as processes:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate()[0].strip() for process in processes] == [_NUMBERS] * 8
    with hmp_catalog.open(tmp_path / "aare") as cat:
        assert sorted(run.name for run in cat) == list("01234567")


def test_a_closed_catalog_says_so(project):
    cat = hmp_catalog.open(project)
    cat.close()
    cat.close()
    with pytest.raises(InvalidInput, match="closed"):
        cat.find()


# ── what is not there ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("read_only", [False, True])
def test_a_missing_path_is_refused_and_not_made(tmp_path, read_only):
    with pytest.raises(PathNotFound, match="does not exist") as caught:
        hmp_catalog.open(tmp_path / "nowhere", read_only=read_only)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.path == str(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_read_only_door_makes_nothing(tmp_path):
    with pytest.raises(PathNotFound):
        hmp_catalog.open(tmp_path / "nowhere", create=True, read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_no_project_is_refused(tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(PathNotFound, match=r"no project\.toml"):
        hmp_catalog.open(tmp_path / "plain")
    assert list((tmp_path / "plain").iterdir()) == []


def test_a_project_without_its_catalog_says_how_to_make_it(workspace):
    project = init_project(workspace, "emme").path
    before = everything_below(project)
    with pytest.raises(DatabaseNotFound, match="create=True"):
        hmp_catalog.open(project)
    assert everything_below(project) == before


def test_a_project_that_lost_its_catalog_says_how_to_rebuild_it(project, cat, record):
    record(cat)
    cat.close()
    catalog_path(project).unlink()
    with pytest.raises(DatabaseNotFound, match="hmp catalog rebuild"):
        hmp_catalog.open(project)


def test_create_makes_a_lost_catalog_from_its_runs(project, cat, record):
    record(cat, "base", metrics={"nse": 0.8}).tag("paper")
    cat.close()
    catalog_path(project).unlink()
    with hmp_catalog.open(project, create=True) as found:
        assert (found["base"].metrics, found["base"].tags) == ({"nse": 0.8}, ["paper"])


def test_a_workspace_without_a_project_says_so(tmp_path):
    init_workspace(tmp_path / "empty")
    for create in (False, True):
        with pytest.raises(InvalidInput, match="without a project yet"):
            hmp_catalog.open(tmp_path / "empty", create=create)


def test_a_workspace_with_two_projects_lists_them(workspace):
    init_project(workspace, "emme")
    with pytest.raises(InvalidInput, match="aare, emme"):
        hmp_catalog.open(workspace)


def test_a_file_is_no_project(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PathNotFound, match="is a file"):
        hmp_catalog.open(tmp_path / "notes.txt")
    with pytest.raises(NotWritable):
        hmp_catalog.open(tmp_path / "notes.txt", create=True)
    assert (tmp_path / "notes.txt").read_text() == "x"


# ── what cannot be opened here ───────────────────────────────────────────────────────────────────────


def test_a_folder_that_cannot_be_made_is_refused():
    if not Path("/sys/kernel").is_dir():
        pytest.skip("needs a folder that nobody may write")
    with pytest.raises(NotWritable):
        hmp_catalog.open("/sys/kernel/aare", create=True)


# ── what is damaged ──────────────────────────────────────────────────────────────────────────────────


def _half(database):
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2])


def test_a_damaged_database_is_not_made_anew_by_create(project):
    _half(catalog_path(project))
    before = everything_below(project)
    with pytest.raises(CorruptError, match="rebuild"):
        hmp_catalog.open(project, create=True)
    assert everything_below(project) == before


def test_a_damaged_database_is_rebuilt_from_the_runs(project, cat, record, hmp):
    record(cat, "base", metrics={"nse": 0.8})
    cat.close()
    _half(catalog_path(project))
    assert hmp("catalog", "rebuild", "-p", project).returncode == 0
    with hmp_catalog.open(project) as found:
        assert found["base"].metrics == {"nse": 0.8}


def _ledger(project, sql, *values):
    DuckDBBackend(catalog_path(project)).execute(sql, list(values))


def test_an_older_database_is_migrated_by_whoever_may_write(project, monkeypatch, tmp_path):
    from dataclasses import replace

    from hmp_catalog import catalog, fold

    newer = shutil.copytree(fold.FOLD.migrations, tmp_path / "newer")
    number = len([*newer.glob("*.sql")]) + 1
    (newer / f"{number:04}_more.sql").write_text("CREATE TABLE more (a INTEGER);")
    monkeypatch.setattr(catalog, "FOLD", replace(fold.FOLD, migrations=newer))
    with pytest.raises(MigrationPending):
        hmp_catalog.open(project, read_only=True)
    with hmp_catalog.open(project) as cat, cat.record("gr4j", name="base"):
        pass
    with hmp_catalog.open(project, read_only=True) as cat:
        assert cat.sql("SELECT * FROM more").num_rows == 0
        assert cat["base"].status == "completed"


def test_a_catalog_opens_while_somebody_folds(project, spawn):
    """The lock alone keeps nobody from recording, or from reading what there is."""
    with spawn(HOLD_LOCK, catalog_path(project)) as (holder,):
        assert holder.stdout.readline() == "held\n"
        with hmp_catalog.open(project, timeout=0.2) as cat:
            with cat.record("gr4j", name="base"):
                pass
            assert len(cat) == 0
            assert cat.notice.unfolded == 2
            assert str(holder.pid) in cat.notice.reason
    with hmp_catalog.open(project) as cat:
        assert cat["base"].status == "completed"


def test_an_older_database_is_not_migrated_by_reading(project):
    _ledger(project, "DELETE FROM schema_migrations WHERE component = 'catalog'")
    before = everything_below(project)
    with pytest.raises(MigrationPending, match="hmp db upgrade"):
        hmp_catalog.open(project, read_only=True)
    assert everything_below(project) == before


def test_an_older_database_is_not_migrated_where_that_is_switched_off(project, monkeypatch):
    _ledger(project, "DELETE FROM schema_migrations WHERE component = 'catalog'")
    before = everything_below(project)
    monkeypatch.setenv("HMP_AUTO_MIGRATE", "0")
    with pytest.raises(MigrationPending):
        hmp_catalog.open(project)
    assert everything_below(project) == before


# ── who else is there ────────────────────────────────────────────────────────────────────────────────


@both
def test_a_database_that_is_being_written_is_not_read(project, spawn, read_only):
    with spawn(HOLD_DATABASE, catalog_path(project)) as (holder,):
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=str(holder.pid)):
            hmp_catalog.open(project, read_only=read_only, timeout=0.3)


def test_a_run_is_recorded_while_somebody_holds_the_lock(project, cat, spawn, record):
    with spawn(HOLD_LOCK, catalog_path(project)) as (holder,):
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        with cat.record("gr4j", name="base"):
            pass
        assert time.monotonic() - began < 5
    assert cat["base"].status == "completed"


# ── a read-only door ─────────────────────────────────────────────────────────────────────────────────


def test_a_read_only_door_reads_and_refuses_every_write(project, cat, record):
    record(cat, "base", metrics={"nse": 0.8})
    cat.close()
    before = everything_below(project)
    with hmp_catalog.open(project, read_only=True) as found:
        run = found["base"]
        assert run.metrics == {"nse": 0.8}
        for write in (
            lambda: found.record("gr4j"),
            lambda: found.record("gr4j", name="base", if_exists="fail"),
            lambda: found.calibration("sce-ua", objective="1 - kge"),
            lambda: run.tag("paper"),
            lambda: run.rename("other"),
            lambda: run.note("x"),
            lambda: run.metric("kge", 0.7),
            found.rebuild,
        ):
            with pytest.raises(NotWritable, match="read-only"):
                write()
    assert everything_below(project) == before


def test_a_read_only_door_says_what_it_has_not_folded(project, python):
    code = """
    import os, sys, hmp_catalog
    cat = hmp_catalog.open(sys.argv[1])
    with cat.record("gr4j", name="base"):
        pass
    os._exit(0)  # nobody folds
    """
    python(code, project)
    with hmp_catalog.open(project, read_only=True) as found:
        assert len(found) == 0
        assert found.notice.unfolded == 2
    with hmp_catalog.open(project) as found:
        assert len(found) == 1
        assert not found.notice


def test_folding_that_is_switched_off_is_said(project, cat, monkeypatch):
    monkeypatch.setenv("HMP_FOLD", "never")
    with cat.record("gr4j", name="base"):
        pass
    assert len(cat.find()) == 0
    assert cat.notice.unfolded == 2
    monkeypatch.delenv("HMP_FOLD")
    assert len(cat.find()) == 1
    assert not cat.notice


def test_every_refusal_pickles(tmp_path):
    import pickle

    with pytest.raises(HmpError) as caught:
        hmp_catalog.open(tmp_path / "nowhere")
    found = pickle.loads(pickle.dumps(caught.value))
    assert (type(found), str(found)) == (type(caught.value), str(caught.value))


def test_locating_makes_nothing(workspace, project):
    shutil.rmtree(project / ".hmp", ignore_errors=True)
    before = everything_below(workspace)
    assert locate(project) == locate(project / "catalog.duckdb") == locate(workspace) == project
    assert everything_below(workspace) == before


def test_a_new_process_finds_without_what_tables_are_made_of(tmp_path: Path) -> None:
    """Arrow, NumPy and pandas are a third of the time in which it answers."""
    with hmp_catalog.open(tmp_path / "project", create=True) as cat, cat.record("gr4j", parameters={"x1": 1.0}) as rec:
        rec.metric("nse", 0.8)
    code = (
        "import sys, hmp_catalog; cat = hmp_catalog.open(sys.argv[1]); "
        "print(len(cat.find(solver='gr4j', nse_gt=0.5, **{'param.x1': 1.0})), "
        "{'pyarrow', 'numpy', 'pandas', 'zarr', 'xarray'} & sys.modules.keys() or 'light')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "project")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() == ["1", "light"]
