"""Whatever is given to an experiments store, it is kept or refused with an error of hmp, and the store goes on."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

import numpy as np

from hmp_catalog.errors import ExperimentNotFound
from hmp_catalog.experiments import WorkspaceStore
from hmp_core.errors import HmpError, InvalidInput, PathNotFound

_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)

HOSTILE = [
    None, "", " ", "\0", "\ud800", "x" * 300, 0, -1, 1 << 31, 1 << 40, 1 << 63, 10**5000, 0.5, math.nan, math.inf,
    1e300, True, b"x", bytearray(b"x"), [], [1], _ITSELF, {}, {1: 2, "1": 3}, {1, 2}, np.array(1.0), np.array([1, 2]),
    np.array([]), np.array([None, 1], dtype=object), np.datetime64("NaT"), 1j, object(), print, int, iter([1]),
]  # fmt: skip

STEPS = [{"step_idx": 1, "operator_class": "M", "params": {}, "artifact_id": None, "stateless": False}]
SCORED = {
    "dataset_name": "d", "model_name": "m", "model_class": "M", "fold_id": "0", "partition": "val", "val_score": 0.1,
    "test_score": 0.1, "train_score": 0.1, "metric": "rmse", "task_type": "regression", "n_samples": 1, "n_features": 1,
    "scores": {}, "best_params": {}, "branch_id": 0, "branch_name": None, "exclusion_count": 0, "exclusion_rate": 0.0,
    "preprocessings": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceStore]:
    with WorkspaceStore(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture(scope="module")
def verbs(store: WorkspaceStore) -> dict[str, dict[str, Any]]:
    """Every verb with arguments that are good, of which one at a time is replaced."""
    run = store.begin_run("r", {}, [])
    pipeline = store.begin_pipeline(run, "p", {}, [], "d", "")
    model = store.save_artifact({"a": 1}, "M", "model", "pickle")
    chain = store.save_chain(pipeline, STEPS, 1, "M", "", "per_fold", {"fold_0": model}, {})
    shown = store.save_prediction(pipeline, chain, **SCORED)
    saved = {
        "steps": STEPS, "model_step_idx": 1, "model_class": "M", "preprocessings": "", "fold_strategy": "per_fold",
        "fold_artifacts": {"fold_0": model}, "shared_artifacts": {}, "branch_path": None, "source_index": None,
    }  # fmt: skip
    arrays = dict.fromkeys(("y_proba", "sample_indices", "weights"), None) | {
        "y_true": [1.0, 2.0],
        "y_pred": [1.0, 2.0],
    }
    logged = {
        "operator_class": "M",
        "event": "end",
        "duration_ms": 1,
        "message": None,
        "details": None,
        "level": "info",
    }
    found = dict.fromkeys(("dataset_name", "model_class", "partition", "fold_id", "branch_id", "pipeline_id", "run_id"))
    return {
        "begin_run": {"name": "n", "config": {}, "datasets": []},
        "complete_run": {"run_id": run, "summary": {}},
        "fail_run": {"run_id": "nope", "error": "x"},
        "begin_pipeline": {
            "run_id": run, "name": "n", "expanded_config": {}, "generator_choices": [], "dataset_name": "d",
            "dataset_hash": "",
        },
        "complete_pipeline": {
            "pipeline_id": pipeline, "best_val": 0.1, "best_test": 0.1, "metric": "rmse", "duration_ms": 1,
        },
        "fail_pipeline": {"pipeline_id": "nope", "error": "x"},
        "save_chain": {"pipeline_id": pipeline, **saved},
        "save_prediction": {"pipeline_id": pipeline, "chain_id": chain, **SCORED},
        "save_prediction_arrays": {"prediction_id": shown, **arrays},
        "save_artifact": {"obj": 1, "operator_class": "M", "artifact_type": "m", "format": "pickle"},
        "load_artifact": {"artifact_id": model},
        "get_artifact_path": {"artifact_id": model},
        "artifact": {"artifact_id": model},
        "log_step": {"pipeline_id": pipeline, "step_idx": 1, **logged},
        "get_chain": {"chain_id": chain},
        "get_chains_for_pipeline": {"pipeline_id": pipeline},
        "replay_chain": {"chain_id": "nope", "X": np.ones((1, 1))},
        "get_pipeline_log": {"pipeline_id": pipeline},
        "get_run_log_summary": {"run_id": run},
        "get_run": {"run_id": run},
        "get_pipeline": {"pipeline_id": pipeline},
        "get_prediction": {"prediction_id": shown},
        "list_runs": {"status": None, "dataset": None, "limit": 10, "offset": 0},
        "list_pipelines": {"run_id": None, "dataset_name": None},
        "query_predictions": {**found, "limit": None, "offset": 0},
        "top_predictions": {
            "n": 3, "metric": "val_score", "partition": "val", "dataset_name": None, "group_by": None,
        },
        "delete_run": {"run_id": "nope"},
        "delete_prediction": {"prediction_id": "nope"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "verb",
    [
        "begin_run", "complete_run", "fail_run", "begin_pipeline", "complete_pipeline", "fail_pipeline", "save_chain",
        "save_prediction", "save_prediction_arrays", "save_artifact", "load_artifact", "get_artifact_path", "artifact",
        "log_step", "get_chain", "get_chains_for_pipeline", "replay_chain", "get_pipeline_log", "get_run_log_summary",
        "get_run", "get_pipeline", "get_prediction", "list_runs", "list_pipelines", "query_predictions",
        "top_predictions", "delete_run", "delete_prediction",
    ],
)  # fmt: skip
def test_whatever_is_given_it_is_kept_or_refused_and_the_store_goes_on(
    store: WorkspaceStore, verbs: dict[str, dict[str, Any]], verb: str
) -> None:
    for name in verbs[verb]:
        for value in HOSTILE:
            with contextlib.suppress(HmpError):
                getattr(store, verb)(**{**verbs[verb], name: value})
    # what was kept can be settled: an entry that cannot would keep everybody out for good
    assert store.get_run("nope") is None


def test_the_list_of_verbs_is_whole(verbs: dict[str, dict[str, Any]]) -> None:
    # those that are left write files where they are told, or take nothing
    others = {"export_chain", "export_pipeline_config", "export_run", "export_predictions_parquet", "input_entries"}
    others |= {"path", "database", "notice", "flush", "close", "gc_artifacts", "vacuum"}
    assert {name for name in dir(WorkspaceStore) if not name.startswith("_")} == {*verbs, *others}


@pytest.mark.parametrize("name", ["branch_id"])
@pytest.mark.parametrize("value", [1 << 31, -(1 << 40), 0.5, True])
def test_a_number_that_its_column_does_not_take_is_refused_before_it_is_written(
    store: WorkspaceStore, verbs: dict[str, dict[str, Any]], name: str, value: Any
) -> None:
    with pytest.raises(InvalidInput, match=name):
        store.save_prediction(**{**verbs["save_prediction"], name: value})


@pytest.mark.parametrize(("name", "value"), [("step_idx", None), ("step_idx", 1 << 31), ("duration_ms", math.nan)])
def test_a_log_that_its_table_does_not_take_is_refused_before_it_is_written(
    store: WorkspaceStore, verbs: dict[str, dict[str, Any]], name: str, value: Any
) -> None:
    with pytest.raises(InvalidInput, match=name):
        store.log_step(**{**verbs["log_step"], name: value})


def test_a_long_label_of_preprocessings_is_kept_with_the_prediction_as_with_the_chain(
    store: WorkspaceStore, verbs: dict[str, dict[str, Any]]
) -> None:
    label = ">".join(["SNV"] * 200)
    store.save_chain(**{**verbs["save_chain"], "preprocessings": label})
    shown = store.save_prediction(**{**verbs["save_prediction"], "preprocessings": label})
    found = store.get_prediction(shown)
    assert found is not None
    assert found["preprocessings"] == label


def test_an_id_of_any_length_makes_a_short_error(store: WorkspaceStore) -> None:
    with pytest.raises(ExperimentNotFound) as told:
        store.complete_run("x" * 1_000_000, {})
    assert len(str(told.value)) < 300


def test_a_folder_that_was_moved_away_is_not_made_again(tmp_path: Path) -> None:
    store = WorkspaceStore(tmp_path / "lab")
    run = store.begin_run("before", {}, [])
    os.rename(tmp_path / "lab", tmp_path / "moved")
    for verb in (
        lambda: store.begin_run("after", {}, []),
        lambda: store.save_artifact(1, "M", "model", "pickle"),
        lambda: store.complete_run(run, {}),
        store.list_runs,
        store.gc_artifacts,
        store.vacuum,
    ):
        with pytest.raises(PathNotFound, match="no such folder"):
            verb()
    store.close()
    assert os.listdir(tmp_path) == ["moved"]
    with WorkspaceStore(tmp_path / "moved") as again:
        assert again.list_runs()["name"].to_list() == ["before"]
