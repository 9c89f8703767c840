"""The store as a whole: life cycles, ids, references, deletion; scenarios 1 to 9, 13 and 14."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

import numpy as np

from hmp_catalog.errors import ArtifactLost, EndedError, ExperimentNotFound, StoreClosed
from hmp_catalog.experiments import WorkspaceStore
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import InvalidInput, NotWritable


class Mean:
    """A model that predicts the mean of what it was trained on."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.value)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkspaceStore]:
    with WorkspaceStore(tmp_path / "lab") as opened:
        yield opened


def pipeline(store: WorkspaceStore, run: str, name: str = "0001_mean", dataset: str = "wheat") -> str:
    return store.begin_pipeline(run, name, {"steps": ["mean"]}, [], dataset, "abc")


def chain(store: WorkspaceStore, pipeline_id: str, *models: str) -> str:
    steps = [{"step_idx": 1, "operator_class": "Mean", "params": {}, "artifact_id": None, "stateless": False}]
    folds = {f"fold_{n}": each for n, each in enumerate(models)}
    return store.save_chain(pipeline_id, steps, 1, "tests.Mean", "", "per_fold", folds, {})


def prediction(store: WorkspaceStore, pipeline_id: str, chain_id: str | None = None, **said: Any) -> str:
    facts: dict[str, Any] = {
        "dataset_name": "wheat", "model_name": "mean", "model_class": "tests.Mean", "fold_id": "fold_0",
        "partition": "val", "val_score": 0.5, "test_score": None, "train_score": None, "metric": "rmse",
        "task_type": "regression", "n_samples": 3, "n_features": 2, "scores": {}, "best_params": {},
        "branch_id": None, "branch_name": None, "exclusion_count": 0, "exclusion_rate": 0.0,
    } | said  # fmt: skip
    return store.save_prediction(pipeline_id, chain_id, **facts)


def rows(store: WorkspaceStore, table: str) -> int:
    store.list_runs()  # what is pending is in the tables then
    found = DuckDBBackend(store.database).fetch_one(f"SELECT count(*) FROM {table}")
    assert found is not None
    return int(found[0])


def full(store: WorkspaceStore, run: str, model: object | None = None) -> tuple[str, str, str]:
    """Make a pipeline with one artefact, chain, prediction with arrays, and log."""
    made = pipeline(store, run)
    artifact = store.save_artifact(model or Mean(1.0), "tests.Mean", "model", "joblib")
    its = chain(store, made, artifact)
    shown = prediction(store, made, its)
    store.save_prediction_arrays(shown, np.arange(3.0), np.ones(3))
    store.log_step(made, 1, "tests.Mean", "end", duration_ms=5)
    return made, its, artifact


# ── 1: a fresh store ─────────────────────────────────────────────────────────────────────────────────


def test_opening_makes_the_database_and_the_folder_of_artefacts_alone(tmp_path: Path) -> None:
    WorkspaceStore(tmp_path / "lab").close()
    names = {name for name in os.listdir(tmp_path / "lab") if not name.startswith(("store.duckdb.lock", ".hmp"))}
    assert names == {"store.duckdb", "artifacts"}
    assert not list((tmp_path / "lab").glob(".hmp/store/pending/*"))


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    WorkspaceStore(tmp_path).close()
    before = (tmp_path / "store.duckdb").read_bytes()
    with WorkspaceStore(tmp_path) as again:
        again.list_runs()
    assert (tmp_path / "store.duckdb").read_bytes() == before


def test_a_store_that_is_read_only_must_be_there_and_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WorkspaceStore(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()
    WorkspaceStore(tmp_path).close()
    with WorkspaceStore(tmp_path, read_only=True) as store, pytest.raises(NotWritable):
        store.begin_run("x", {}, [])


# ── 2, 3: life cycle and configuration ───────────────────────────────────────────────────────────────


def test_a_run_is_running_and_then_completed_with_its_summary(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {"seed": 7}, [{"name": "wheat"}])
    begun = store.get_run(run)
    assert begun is not None
    assert (begun["status"], begun["completed_at"], begun["config"]) == ("running", None, {"seed": 7})
    store.complete_run(run, {"best": 0.1})
    ended = store.get_run(run)
    assert ended is not None
    assert (ended["status"], ended["summary"]) == ("completed", {"best": 0.1})
    assert ended["completed_at"] >= ended["created_at"]


def test_a_run_that_fails_says_why(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    store.fail_run(run, "no convergence")
    found = store.get_run(run)
    assert found is not None
    assert (found["status"], found["error"]) == ("failed", "no convergence")
    assert found["completed_at"] is not None


def test_a_pipeline_is_completed_with_its_scores_and_a_missing_one_is_null(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    made = pipeline(store, run)
    store.complete_pipeline(made, best_val=math.nan, best_test=0.4, metric="rmse", duration_ms=12)
    found = store.get_pipeline(made)
    assert found is not None
    assert (found["status"], found["best_val"], found["best_test"], found["duration_ms"]) == (
        "completed",
        None,
        0.4,
        12,
    )


@pytest.mark.parametrize(
    "verb",
    [
        lambda s: s.complete_run("nope", {}),
        lambda s: s.fail_run("nope", "x"),
        lambda s: s.complete_pipeline("nope", 0.1, 0.1, "rmse", 1),
        lambda s: s.fail_pipeline("nope", "x"),
        lambda s: pipeline(s, "nope"),
        lambda s: chain(s, "nope"),
        lambda s: prediction(s, "nope"),
        lambda s: s.save_prediction_arrays("nope", np.ones(1), np.ones(1)),
        lambda s: s.log_step("nope", 1, "x", "end"),
        lambda s: s.load_artifact("nope"),
        lambda s: s.get_artifact_path("nope"),
        lambda s: s.replay_chain("nope", np.ones((1, 1))),
        lambda s: s.export_chain("nope", Path("x")),
        lambda s: s.export_run("nope", Path("x")),
        lambda s: s.export_pipeline_config("nope", Path("x")),
    ],
)
def test_an_unknown_id_is_told(store: WorkspaceStore, verb: Any) -> None:
    with pytest.raises(ExperimentNotFound) as told:
        verb(store)
    assert isinstance(told.value, KeyError)
    assert "nope" in str(told.value)


def test_what_is_not_there_is_none_or_nothing_where_one_looks(store: WorkspaceStore) -> None:
    looked = [store.get_run("x"), store.get_pipeline("x"), store.get_chain("x"), store.get_prediction("x")]
    assert looked == [None] * 4
    assert store.artifact("x") is None
    assert (store.delete_run("x"), store.delete_prediction("x")) == (0, False)


def test_what_failed_takes_nothing_further_and_what_is_completed_does_not_fail(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    made, done = pipeline(store, run), pipeline(store, run)
    store.complete_pipeline(done, 0.1, 0.1, "rmse", 1)
    store.fail_pipeline(made, "x")
    with pytest.raises(EndedError):
        prediction(store, made)
    with pytest.raises(EndedError):
        store.complete_pipeline(made, 0.1, 0.1, "rmse", 1)
    with pytest.raises(EndedError):
        store.fail_pipeline(done, "x")
    prediction(store, done)  # more may be said of it later


def test_a_configuration_comes_back_as_json_keeps_it(store: WorkspaceStore) -> None:
    config = {"n": np.int64(5), "x": np.float32(0.5), "a": np.arange(3), "t": (1, 2), "nan": math.nan, "p": Path("a/b")}
    found = store.get_run(store.begin_run("first", config, []))
    assert found is not None
    assert found["config"] == {"n": 5, "x": 0.5, "a": [0, 1, 2], "t": [1, 2], "nan": "nan", "p": "a/b"}


def test_a_configuration_that_has_no_json_form_is_refused_and_nothing_is_begun(store: WorkspaceStore) -> None:
    with pytest.raises(InvalidInput, match=r"config\.f"):
        store.begin_run("first", {"f": lambda: 1}, [])
    assert store.list_runs().is_empty()


# ── 4: failing rolls back ────────────────────────────────────────────────────────────────────────────


def test_a_failed_pipeline_leaves_its_row_and_nothing_else(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    made, _, artifact = full(store, run)
    path = store.get_artifact_path(artifact)
    store.fail_pipeline(made, "no convergence")
    assert [rows(store, t) for t in ("chains", "predictions", "prediction_arrays", "logs")] == [0, 0, 0, 0]
    found, kept = store.get_pipeline(made), store.artifact(artifact)
    assert found is not None
    assert kept is not None
    assert (found["status"], found["error"], kept["ref_count"]) == ("failed", "no convergence", 0)
    assert path.exists()
    assert store.gc_artifacts() == 1
    assert not path.exists()


def test_failing_twice_and_deleting_afterwards_changes_no_other_reference(store: WorkspaceStore) -> None:
    run, other = store.begin_run("first", {}, []), store.begin_run("second", {}, [])
    made, _, artifact = full(store, run)
    full(store, other)
    for _ in range(2):
        store.fail_pipeline(made, "x")
    store.delete_run(run)
    kept = store.artifact(artifact)
    assert kept is not None
    assert kept["ref_count"] == 1
    assert store.gc_artifacts() == 0


def test_a_failed_run_fails_what_was_running_and_keeps_what_was_completed(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    done, *_ = full(store, run)
    store.complete_pipeline(done, 0.1, 0.1, "rmse", 1)
    running, *_ = full(store, run)
    store.fail_run(run, "out of memory")
    found = {p: store.get_pipeline(p) for p in (done, running)}
    assert [found[p]["status"] for p in (done, running)] == ["completed", "failed"]  # type: ignore[index]
    assert rows(store, "predictions") == 1


# ── 5, 6, 7, 9: artefacts ────────────────────────────────────────────────────────────────────────────


def test_an_artefact_that_two_runs_name_goes_with_the_second(store: WorkspaceStore) -> None:
    runs = [store.begin_run(name, {}, []) for name in ("a", "b")]
    artifact = store.save_artifact(Mean(3.0), "tests.Mean", "model", "joblib")
    chains = [chain(store, pipeline(store, run), artifact) for run in runs]
    kept = store.artifact(artifact)
    assert kept is not None
    assert kept["ref_count"] == 2
    store.delete_run(runs[0])
    assert store.replay_chain(chains[1], np.ones((2, 1))).tolist() == [3.0, 3.0]
    path = store.get_artifact_path(artifact)
    store.delete_run(runs[1])
    assert not path.exists()
    assert store.artifact(artifact) is None


def test_what_was_saved_again_outlives_the_run_that_it_came_from_until_it_is_named(store: WorkspaceStore) -> None:
    old, new = store.begin_run("old", {}, []), store.begin_run("new", {}, [])
    full(store, old, Mean(5.0))
    again = store.save_artifact(Mean(5.0), "tests.Mean", "model", "joblib")
    store.delete_run(old)
    its = chain(store, pipeline(store, new), again)
    assert store.replay_chain(its, np.ones((1, 1)))[0] == 5.0
    store.delete_run(new)
    assert store.artifact(again) is None


def test_another_training_never_serves_an_old_model(store: WorkspaceStore) -> None:
    chains = []
    for value in (1.0, 100.0):
        run = store.begin_run("same name", {}, [])
        model = store.save_artifact(Mean(value), "tests.Mean", "model", "joblib")
        chains.append(chain(store, pipeline(store, run), model))
    assert [store.replay_chain(c, np.ones((1, 1)))[0] for c in chains] == [1.0, 100.0]


def test_the_same_bytes_are_one_artefact_and_another_format_is_another(store: WorkspaceStore) -> None:
    saved = [store.save_artifact(Mean(1.0), "tests.Mean", "model", "joblib") for _ in range(2)]
    other = store.save_artifact(Mean(1.0), "tests.Mean", "model", "pickle")
    assert saved[0] == saved[1] != other
    assert rows(store, "artifacts") == 2
    assert len([p for p in (store.path / "artifacts").rglob("*") if p.is_file()]) == 2


def test_a_lost_file_is_told_by_name_and_healed_by_saving_again(store: WorkspaceStore) -> None:
    artifact = store.save_artifact(Mean(1.0), "tests.Mean", "model", "joblib")
    store.get_artifact_path(artifact).unlink()
    with pytest.raises(ArtifactLost, match=artifact) as told:
        store.load_artifact(artifact)
    assert isinstance(told.value, FileNotFoundError)
    assert store.save_artifact(Mean(1.0), "tests.Mean", "model", "joblib") == artifact
    assert store.load_artifact(artifact).value == 1.0


def test_artefacts_that_a_deletion_left_go_with_the_next_collection(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    _, _, artifact = full(store, run)
    path = store.get_artifact_path(artifact)
    store.delete_run(run, delete_artifacts=False)
    assert path.exists()
    assert store.gc_artifacts() == 1
    assert not path.exists()


def test_what_another_open_store_has_saved_and_not_named_yet_is_not_collected(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as training, WorkspaceStore(tmp_path) as tidying:
        made = pipeline(training, training.begin_run("first", {}, []))
        artifact = training.save_artifact(Mean(2.0), "tests.Mean", "model", "joblib")
        assert tidying.gc_artifacts() == 0
        its = chain(training, made, artifact)
        assert tidying.gc_artifacts() == 0
        assert training.replay_chain(its, np.ones((1, 1)))[0] == 2.0


def test_a_file_that_no_row_speaks_of_is_collected(store: WorkspaceStore) -> None:
    stray = store.path / "artifacts" / "ab" / f"{'ab' * 32}.joblib"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"left by a killed process")
    assert store.gc_artifacts() == 1
    assert not stray.exists()


# ── 8: deleting ──────────────────────────────────────────────────────────────────────────────────────


def test_deleting_a_run_says_how_many_rows_went(store: WorkspaceStore) -> None:
    run, other = store.begin_run("first", {}, []), store.begin_run("second", {}, [])
    for _ in range(3):
        full(store, run)
    full(store, other, Mean(9.0))
    # per pipeline: log, arrays, prediction, chain, itself
    assert store.delete_run(run) == 3 * 5 + 1
    tables = ("runs", "pipelines", "chains", "predictions", "prediction_arrays", "logs", "artifacts")
    assert [rows(store, table) for table in tables] == [1] * 7
    assert store.delete_run(run) == 0


def test_what_a_deleted_run_is_still_told_is_dropped_with_it(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as training, WorkspaceStore(tmp_path) as tidying:
        run = training.begin_run("first", {}, [])
        made = pipeline(training, run)
        prediction(training, made)
        tidying.delete_run(run)
        prediction(training, made)  # it cannot know yet
        assert training.query_predictions().is_empty()
        assert rows(training, "pipelines") == 0


def test_a_deleted_prediction_takes_its_arrays_along(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    made, *_ = full(store, run)
    (found,) = store.query_predictions(pipeline_id=made)["prediction_id"]
    assert (store.delete_prediction(found), store.delete_prediction(found)) == (True, False)
    assert rows(store, "prediction_arrays") == 0


# ── 13: order; life ──────────────────────────────────────────────────────────────────────────────────


def test_runs_of_the_same_millisecond_come_back_newest_first(store: WorkspaceStore) -> None:
    for n in range(5):
        store.begin_run(f"r{n}", {}, [])
    assert store.list_runs()["name"].to_list() == ["r4", "r3", "r2", "r1", "r0"]


def test_what_a_step_reports_keeps_its_order(store: WorkspaceStore) -> None:
    made = pipeline(store, store.begin_run("first", {}, []))
    for word in ("start", "output", "end"):
        store.log_step(made, 1, "x", word)
    assert store.get_pipeline_log(made)["event"].to_list() == ["start", "output", "end"]


def test_a_closed_store_refuses_every_verb_and_may_be_closed_again(store: WorkspaceStore) -> None:
    store.close()
    store.close()
    for verb in (store.list_runs, store.gc_artifacts, lambda: store.begin_run("x", {}, [])):
        with pytest.raises(StoreClosed) as told:
            verb()
        assert isinstance(told.value, RuntimeError)


def test_a_store_travels_to_another_process_by_its_path(store: WorkspaceStore) -> None:
    run = store.begin_run("first", {}, [])
    with pickle.loads(pickle.dumps(store)) as other:
        assert other.get_run(run)["name"] == "first"


def test_a_vacuum_gives_back_what_deleted_rows_took(tmp_path: Path) -> None:
    WorkspaceStore(tmp_path / "empty").close()
    empty = (tmp_path / "empty" / "store.duckdb").stat().st_size
    with WorkspaceStore(tmp_path / "lab") as store:
        run = store.begin_run("first", {}, [])
        made = pipeline(store, run)
        for _ in range(50):
            store.save_prediction_arrays(prediction(store, made), np.random.rand(2000), np.random.rand(2000))
        store.complete_run(run, {})
        store.delete_run(run)
        store.vacuum()
        assert store.database.stat().st_size < 2 * empty
        assert store.begin_run("next", {}, [])


def test_the_journal_of_a_dead_process_is_readable_json(store: WorkspaceStore) -> None:
    store.begin_run("first", {"seed": 7}, [])
    (journal,) = (store.path / ".hmp" / "store" / "pending").glob("*.log")
    line = journal.read_bytes().split(b"\n")[0]
    assert json.loads(line[18:])["payload"]["name"] == "first"


# ── the best so far ──────────────────────────────────────────────────────────────────────────────────


def test_what_was_just_written_is_in_the_ranking_without_being_settled(store: WorkspaceStore) -> None:
    made = pipeline(store, store.begin_run("first", {}, []))
    for n in range(3):
        prediction(store, made, val_score=float(n))
    store.top_predictions(1)
    time.sleep(0.1)  # what changed a moment ago is not kept
    store.top_predictions(1)
    before = (store.path / "store.duckdb").stat().st_mtime_ns
    for score in (-1.0, None, -2.0):
        shown = prediction(store, made, val_score=score)
        store.complete_pipeline(made, score, None, "rmse", 1)
        best = store.top_predictions(10)
        assert shown in best["prediction_id"].to_list()
        assert best["val_score"].to_list() == sorted(
            best["val_score"].to_list(), key=lambda each: (each is None, each or 0.0)
        )
    assert (store.path / "store.duckdb").stat().st_mtime_ns == before
    with WorkspaceStore(store.path) as other:
        assert other.top_predictions(10).equals(store.top_predictions(10))


def test_a_pipeline_that_fails_takes_what_was_just_written_out_of_the_ranking(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as training, WorkspaceStore(tmp_path) as tidying:
        run = training.begin_run("first", {}, [])
        good, bad = pipeline(training, run), pipeline(training, run)
        kept = prediction(training, good, val_score=5.0)
        for _ in range(2):
            training.top_predictions(1)
            time.sleep(0.1)
        prediction(training, bad, val_score=1.0)
        assert training.top_predictions(1)["val_score"].to_list() == [1.0]
        tidying.fail_pipeline(bad, "no convergence")
        prediction(training, bad, val_score=0.5)  # it cannot know yet
        for _ in range(3):
            assert training.top_predictions(9)["prediction_id"].to_list() == [kept]
            time.sleep(0.1)
