"""Acceptance scenarios at the door of the store, each as a user would see it; the rooms behind have their own tests.

Here are those that only the whole store can show. Where the others are: fresh stores, life cycles, failing, references
and deletion (1 to 9, 13) in ``test_experiment_store``; replay (15 to 17) in ``test_experiment_replaying`` and
``test_experiment_training``; exports (18) in ``test_experiment_bundles`` and ``test_experiment_scripts``; several
processes and kills (8, 19) in ``test_experiment_concurrency`` and ``test_experiment_killed``; templates (20) in
``test_experiment_library``.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

import numpy as np

from hmp_catalog.experiments import WorkspaceStore
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError, InvalidInput
from hmp_core.locks import database_lock

SCORED = {
    "dataset_name": "wheat", "model_name": "PLS", "model_class": "sklearn.PLSRegression", "fold_id": "fold_0",
    "partition": "val", "val_score": 0.5, "test_score": None, "train_score": None, "metric": "rmse",
    "task_type": "regression", "n_samples": 3, "n_features": 2, "scores": {}, "best_params": {}, "branch_id": None,
    "branch_name": None, "exclusion_count": 0, "exclusion_rate": 0.0,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkspaceStore]:
    with WorkspaceStore(tmp_path / "lab") as opened:
        yield opened


def begun(store: WorkspaceStore, dataset: str = "wheat") -> tuple[str, str]:
    run = store.begin_run("first", {}, [{"name": dataset}])
    return run, store.begin_pipeline(run, "0001", {}, [], dataset, "")


def predicted(store: WorkspaceStore, pipeline: str, **said: Any) -> str:
    return store.save_prediction(pipeline, None, **{**SCORED, **said})


# ── 1: tables ────────────────────────────────────────────────────────────────────────────────────────

TABLES = {
    "runs": "run_id name config datasets status created_at completed_at summary error",
    "pipelines": (
        "pipeline_id run_id name expanded_config generator_choices dataset_name dataset_hash status created_at "
        "completed_at best_val best_test metric duration_ms error"
    ),
    "chains": (
        "chain_id pipeline_id steps model_step_idx model_class preprocessings fold_strategy fold_artifacts "
        "shared_artifacts branch_path source_index created_at"
    ),
    "predictions": (
        "prediction_id pipeline_id chain_id dataset_name model_name model_class fold_id partition val_score test_score "
        "train_score metric task_type n_samples n_features scores best_params preprocessings branch_id branch_name "
        "exclusion_count exclusion_rate created_at"
    ),
    "prediction_arrays": "prediction_id y_true y_pred y_proba sample_indices weights",
    "artifacts": (
        "artifact_id artifact_path content_hash operator_class artifact_type format size_bytes ref_count created_at"
    ),
    "logs": "log_id pipeline_id step_idx operator_class event duration_ms message details level created_at",
}


def test_1_the_seven_tables_have_the_columns_that_programs_of_the_original_ask_for(store: WorkspaceStore) -> None:
    for table, columns in TABLES.items():
        found = DuckDBBackend(store.database).query(f"SELECT * FROM {table}").column_names
        assert [name for name in found if name in columns.split()] == columns.split()


# ── 10, 11: questions ────────────────────────────────────────────────────────────────────────────────


def test_10_a_hundred_predictions_are_found_by_every_filter(store: WorkspaceStore) -> None:
    run, made = begun(store)
    other_run, other = begun(store, "100xx_x")
    for n in range(100):
        facts = {"partition": ("val", "test")[n % 2], "fold_id": f"fold_{n % 5}", "branch_id": n % 4}
        predicted(store, made, dataset_name="100%_x", model_class=("ml.PLS", "ml.Forest")[n // 50], **facts)
    predicted(store, other, dataset_name="100xx_x")

    def found(**filters: Any) -> int:
        return int(store.query_predictions(**filters).height)

    for _ in range(3):  # by the engine first, and then out of memory
        assert found() == 101
        assert found(dataset_name="100%_x") == 100
        assert found(partition="val", pipeline_id=made) == 50
        assert found(model_class="%Forest") == found(model_class="ml.PLS") == 50
        assert found(fold_id="fold_3") == 20
        assert found(branch_id=1, run_id=run) == 25
        assert found(limit=10) == 10
        assert found(offset=95) == 6
        assert found(limit=10, offset=95) == 6
        assert found(pipeline_id=made) == found(run_id=run) == 100
        assert found(run_id=other_run) == 1
        assert found(model_class="ml_PLS") == 0
        time.sleep(0.06)  # files that changed a moment ago are not trusted


def test_11_what_was_not_measured_never_wins_and_groups_are_in_order(store: WorkspaceStore) -> None:
    _, made = begun(store)
    for n, score in enumerate([0.3, None, 0.1, math.nan, 0.2, math.inf, 0.1]):
        predicted(store, made, val_score=score, model_name=f"m{n}", fold_id=f"fold_{n % 2}")
    for _ in range(3):
        assert store.top_predictions(9)["model_name"].to_list()[:4] == ["m2", "m6", "m4", "m0"]
        assert store.top_predictions(4, ascending=False)["val_score"].to_list() == [0.3, 0.2, 0.1, 0.1]
        grouped = store.top_predictions(2, group_by="fold_id")
        assert grouped["model_name"].to_list() == ["m2", "m6", "m1", "m3"]
        time.sleep(0.06)
    for wrong in ({"metric": "model_name"}, {"metric": "n_samples"}, {"group_by": "nope"}, {"n": -1}):
        with pytest.raises(ValueError, match=r"expected"):
            store.top_predictions(**({"n": 1} | wrong))
    assert store.top_predictions(0).width == 23


# ── 12: arrays ───────────────────────────────────────────────────────────────────────────────────────


def test_12_arrays_keep_shape_and_width_and_the_second_replace_the_first(store: WorkspaceStore) -> None:
    _, made = begun(store)
    shown = predicted(store, made)
    proba = np.random.default_rng(0).random((4, 3))
    for settled in (False, True):
        store.save_prediction_arrays(shown, np.arange(2.0), np.ones(2))
        if settled:
            store.list_runs()
        store.save_prediction_arrays(shown, [1.0, 2.0, 3.0, 4.0], None, proba, np.array([0, 1, 2, 1 << 40]))
        found = store.get_prediction(shown, load_arrays=True)
        assert found is not None
        assert found["y_true"].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert np.array_equal(found["y_proba"], proba)
        assert found["sample_indices"].tolist() == [0, 1, 2, 1 << 40]
        assert (found["y_pred"], found["weights"]) == (None, None)
    store.save_prediction_arrays(shown, np.array(["clay", "sand"]), np.array(["clay", "clay"]))
    labelled = store.get_prediction(shown, load_arrays=True)
    assert labelled is not None
    assert labelled["y_true"].tolist() == ["clay", "sand"]


def test_12_the_last_arrays_cost_no_more_than_the_first(store: WorkspaceStore) -> None:
    _, made = begun(store)
    shown = [predicted(store, made) for _ in range(1000)]
    values = np.random.default_rng(0).random(1000)

    def saved(ids: list[str]) -> float:
        began = time.process_time()
        for each in ids:
            store.save_prediction_arrays(each, values, values)
        return time.process_time() - began

    saved(shown[:100])  # what is imported first
    spent = [saved(shown[n : n + 100]) for n in range(0, 1000, 100)]
    assert spent[-1] <= 2 * min(spent[:3]) + 0.02


# ── 13, 14: lists ────────────────────────────────────────────────────────────────────────────────────


def test_13_the_newest_come_first_and_nothing_has_its_columns(store: WorkspaceStore) -> None:
    empty = [
        store.list_runs(), store.list_pipelines(), store.query_predictions(), store.get_chains_for_pipeline("x"),
        store.get_pipeline_log("x"), store.get_run_log_summary("x"),
    ]  # fmt: skip
    assert [(each.height, each.width) for each in empty] == [(0, 9), (0, 15), (0, 23), (0, 12), (0, 9), (0, 7)]
    runs = [store.begin_run(f"r{n}", {}, []) for n in range(5)]
    assert store.list_runs()["run_id"].to_list() == runs[::-1]


def test_14_runs_are_found_by_the_name_of_a_dataset_and_by_nothing_like_it(store: WorkspaceStore) -> None:
    names = ("wheat", "hea", "/data/wheat/x", "wheat 2")
    runs = {name: store.begin_run("r", {}, [{"name": name, "path": "/data/wheat"}]) for name in names}
    assert store.list_runs(dataset="wheat")["run_id"].to_list() == [runs["wheat"]]
    assert store.list_runs(dataset="hea")["run_id"].to_list() == [runs["hea"]]
    for nothing in ("name", "path", "/data/wheat", "%", "whea_"):
        assert store.list_runs(dataset=nothing).is_empty()


# ── 19: beside others ────────────────────────────────────────────────────────────────────────────────


def test_19_who_cannot_have_the_database_is_told_in_time_and_who_writes_does_not_need_it(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path, timeout=0.2) as store:
        run, made = begun(store)
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with database_lock(store.database).hold():
                holding.set()
                done.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert holding.wait(10)
            predicted(store, made)
            store.complete_run(run, {})
            for verb in (store.list_runs, lambda: store.delete_run(run)):
                began = time.monotonic()
                with pytest.raises(BusyError, match=r"store\.duckdb is held by"):
                    verb()
                assert time.monotonic() - began < 10
        finally:
            done.set()
            holder.join()
        assert store.get_run(run)["status"] == "completed"  # type: ignore[index]


def test_19_a_second_process_reads_what_a_writer_that_is_open_has_said(store: WorkspaceStore) -> None:
    run, _ = begun(store)
    code = (
        "import sys; from hmp_catalog.experiments import WorkspaceStore\n"
        "with WorkspaceStore(sys.argv[1]) as store: print(store.get_run(sys.argv[2])['status'])"
    )
    command = [sys.executable, "-c", code, str(store.path), run]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split() == ["running"]
    store.complete_run(run, {})


def test_19_where_nothing_may_be_settled_memory_and_engine_lack_the_same(
    store: WorkspaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = begun(store)
    first = predicted(store, made)
    assert store.query_predictions()["prediction_id"].to_list() == [first]
    monkeypatch.setenv("HMP_FOLD", "never")
    second = predicted(store, made)
    for _ in range(4):
        assert store.query_predictions()["prediction_id"].to_list() == [first]
        assert store.notice.startswith("1 entries are not in the answer")
        time.sleep(0.06)
    monkeypatch.delenv("HMP_FOLD")
    for _ in range(4):
        assert store.query_predictions()["prediction_id"].to_list() == [second, first]
        time.sleep(0.06)


# ── 20: how long it takes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak
def test_20_thousands_of_predictions_are_kept_ranked_and_deleted_in_time(store: WorkspaceStore) -> None:
    run, made = begun(store)
    values = np.random.default_rng(0).random(1000)
    predicted(store, made)
    store.top_predictions(1)  # what is imported first

    began = time.perf_counter()
    shown = [predicted(store, made, val_score=float(n)) for n in range(5000)]
    for each in shown[:1000]:
        store.save_prediction_arrays(each, values, values)
    store.complete_run(run, {})
    assert time.perf_counter() - began < 2.0

    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert store.top_predictions(10).height == 10
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 0.005

    for _ in range(2098):
        store.log_step(made, 1, "M", "end")
    store.list_runs()
    began = time.perf_counter()
    assert store.delete_run(run) == 2098 + 1000 + 5001 + 1 + 1
    assert time.perf_counter() - began < 0.3


def test_20_what_is_no_number_of_rows_is_refused(store: WorkspaceStore) -> None:
    for wrong in (-1, 1.5, True, "3"):
        with pytest.raises(InvalidInput):
            store.list_runs(limit=wrong)  # type: ignore[arg-type]
