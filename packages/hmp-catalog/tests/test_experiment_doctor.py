"""What `hmp doctor` and `hmp db verify` find in an experiments store: each finding by real damage."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

from hmp_catalog.experiments import WorkspaceStore, checks
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.doctor import Case, Finding, codes, examine
from hmp_core.doctor.findings import worst
from hmp_core.doctor.verify import verify
from hmp_core.layout import experiments_path, init_project, init_workspace
from hmp_core.testing.children import start
from hmp_core.testing.traces import differences, trace
from hmp_core.upkeep.restore import restore

SQL = {
    "a pipeline without its run": "DELETE FROM runs",
    "a chain without its pipeline": "DELETE FROM pipelines",
    "a prediction without its chain": "DELETE FROM chains",
    "arrays without their prediction": "DELETE FROM predictions",
}


def fill(folder: Path) -> None:
    """Train something: a model of two folds, a prediction with arrays, a line of the log."""
    with WorkspaceStore(folder) as store:
        run = store.begin_run("first", {"seed": 7}, [{"name": "wheat"}])
        pipeline = store.begin_pipeline(run, "0001_mean", {"steps": []}, [], "wheat", "abc")
        models = [store.save_artifact({"mean": n}, "tests.Mean", "model", "joblib") for n in (1.0, 2.0)]
        steps = [{"step_idx": 1, "operator_class": "Mean", "params": {}, "artifact_id": None, "stateless": False}]
        folds = {f"fold_{n}": model for n, model in enumerate(models)}
        chain = store.save_chain(pipeline, steps, 1, "tests.Mean", "", "per_fold", folds, {})
        facts: dict[str, Any] = {
            "dataset_name": "wheat", "model_name": "mean", "model_class": "tests.Mean", "fold_id": "fold_0",
            "partition": "val", "val_score": 0.5, "test_score": None, "train_score": None, "metric": "rmse",
            "task_type": "regression", "n_samples": 3, "n_features": 2, "scores": {}, "best_params": {},
            "branch_id": None, "branch_name": None, "exclusion_count": 0, "exclusion_rate": 0.0,
        }  # fmt: skip
        prediction = store.save_prediction(pipeline, chain, **facts)
        store.save_prediction_arrays(prediction, [1.0, 2.0], [1.5, 2.5])
        store.log_step(pipeline, 1, "Mean", "end", duration_ms=3)
        store.complete_pipeline(pipeline, best_val=0.5, best_test=0.6, metric="rmse", duration_ms=5)
        store.complete_run(run, {"best": 0.5})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a store of its own and one in a project."""
    workspace = init_workspace(tmp_path_factory.mktemp("told") / "aare").path
    fill(init_project(workspace, "base").path)
    fill(workspace)
    return workspace


@pytest.fixture
def told(made: Path, tmp_path: Path) -> Path:
    """A copy of the project, to spoil."""
    return shutil.copytree(made, tmp_path / "aare") / "projects" / "base"


def found(folder: Path) -> list[Finding]:
    path = os.path.realpath(experiments_path(folder))
    (looked,) = (each for each in examine(folder).databases if os.path.realpath(each.database.path) == path)
    assert looked.database.component == "experiments"
    return list(looked.findings)


def one(folder: Path, code: Any) -> Finding:
    (finding,) = (finding for finding in found(folder) if finding.code == code.name)
    return finding


def worse(findings: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.severity != "info"]


def case(folder: Path) -> Case:
    return Case(Database("experiments", experiments_path(folder)), folder)


def test_of_what_is_well_nothing_above_info_is_said(told: Path) -> None:
    before = trace(told.parents[1])
    for folder in (told, told.parents[1]):
        assert worst(found(folder)) == "info"
        verdict = verify(case(folder), deep=True)
        assert worse(verdict.findings) == []
        assert verdict.read.startswith("1")
    assert differences(before, trace(told.parents[1])) == []


@pytest.mark.parametrize("damage", SQL)
def test_a_row_without_its_parent_is_told(told: Path, damage: str) -> None:
    DuckDBBackend(experiments_path(told)).execute(SQL[damage])
    assert codes.ORPHAN_ROWS.name in worse(found(told))


@pytest.mark.parametrize(("table", "column"), [("runs", "status"), ("pipelines", "status"), ("artifacts", "format")])
def test_a_word_that_is_not_known_is_told(told: Path, table: str, column: str) -> None:
    DuckDBBackend(experiments_path(told)).execute(f"UPDATE {table} SET {column} = 'odd'")
    assert f"{table}.{column} holds 'odd'" in one(told, codes.UNKNOWN_VALUE).what


def test_a_fitted_object_that_is_lost_is_told(told: Path) -> None:
    file = sorted((told / "artifacts").glob("*/*"))[0]
    file.unlink()
    assert one(told, checks.LOST).where == file


def test_a_fitted_object_that_was_cut_is_told(told: Path) -> None:
    file = sorted((told / "artifacts").glob("*/*"))[0]
    os.truncate(file, 3)
    assert one(told, checks.DAMAGED).where == file


def test_other_bytes_of_the_same_size_are_found_by_looking_deep(told: Path) -> None:
    file = sorted((told / "artifacts").glob("*/*"))[0]
    file.write_bytes(bytes(reversed(file.read_bytes())))
    assert worse(found(told)) == []
    assert worse(verify(case(told)).findings) == []
    assert worse(verify(case(told), deep=True).findings) == [checks.DAMAGED.name]


def test_a_file_that_no_row_names_is_told_once_it_is_old(told: Path) -> None:
    stray = told / "artifacts" / "ff" / f"{'f' * 64}.joblib"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"somebody may be saving it")
    assert checks.STRAY.name not in {finding.code for finding in found(told)}
    os.utime(stray, (time.time() - 3600, time.time() - 3600))
    assert one(told, checks.STRAY).where == stray


def test_a_file_of_which_only_a_journal_speaks_is_no_stray(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with WorkspaceStore(told) as store:
        store.save_artifact({"mean": 3.0}, "tests.Mean", "model", "joblib")
    for file in (told / "artifacts").glob("*/*"):
        os.utime(file, (time.time() - 3600, time.time() - 3600))
    assert checks.STRAY.name not in {finding.code for finding in found(told)}
    assert one(told, checks.PENDING).what == "entries that wait: 1"


def test_a_path_that_leads_out_is_told(told: Path) -> None:
    DuckDBBackend(experiments_path(told)).execute("UPDATE artifacts SET artifact_path = '../../secret'")
    assert checks.OUTSIDE.name in worse(found(told))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE artifacts SET ref_count = 7", "counted otherwise"),
        ("DELETE FROM artifacts", "a chain names"),
        ("DELETE FROM chains", "named by no chain"),
    ],
)
def test_references_that_do_not_fit_are_told(told: Path, damage: str, what: str) -> None:
    DuckDBBackend(experiments_path(told)).execute(damage)
    assert what in one(told, checks.MISCOUNTED).what


def test_a_line_of_a_journal_that_was_spoilt_is_told(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with WorkspaceStore(told) as store:
        for name in ("one", "two", "three"):
            store.begin_run(name, {}, [])
    (journal,) = (told / ".hmp" / "store" / "pending").glob("*.log")
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b'"two"', b'"TWO"'))
    assert one(told, checks.SPOILT).where == journal
    monkeypatch.delenv("HMP_FOLD")
    with WorkspaceStore(told) as store:
        assert sorted(store.list_runs()["name"]) == ["first", "one", "three"]
    assert one(told, codes.REJECTED).where.parent == told / ".hmp" / "store" / "rejected"


def test_a_run_whose_process_was_killed_is_told(told: Path) -> None:
    script = """
        from pathlib import Path
        from hmp_catalog.experiments import WorkspaceStore
        store = WorkspaceStore(path)
        store.begin_run("cut short", {}, [])
        say("begun")
        listen()
    """
    with start(script, path=str(told)) as child:
        assert child.hear() == "begun"
        child.kill()
    with WorkspaceStore(told) as store:
        assert store.list_runs()["status"].to_list() == ["interrupted", "completed"]
    assert one(told, checks.INTERRUPTED_RUNS).what.startswith("1 run: ")
    assert worse(found(told)) == []


def test_a_store_that_was_lost_is_missed(told: Path) -> None:
    case(told).database.settle()
    from hmp_core.backups import take_backup

    take_backup(experiments_path(told))
    experiments_path(told).unlink()
    finding = one(told, codes.MISSING)
    assert f"hmp db restore {experiments_path(told)}" in finding.remedy


def test_a_backup_has_what_was_only_in_journals(told: Path) -> None:
    from hmp_core.backups import take_backup

    database = Database("experiments", experiments_path(told))
    with WorkspaceStore(told) as store:
        store.begin_run("second", {}, [])
        assert database.settle() == ""
        kept = take_backup(database.path)
        store.delete_run(store.list_runs()["run_id"][0])
    restore(database.path, database.components(), kept)
    with WorkspaceStore(told) as store:
        assert store.list_runs()["name"].to_list() == ["second", "first"]


@pytest.mark.parametrize("spoil", ["truncate", "garbage"])
def test_a_store_that_is_damaged_is_told_with_where_it_comes_back_from(told: Path, spoil: str) -> None:
    database = experiments_path(told)
    if spoil == "truncate":
        os.truncate(database, 5000)
    else:
        database.write_bytes(os.urandom(9000))
    finding = one(told, codes.DAMAGED)
    assert f"hmp db restore {database}" in finding.remedy
