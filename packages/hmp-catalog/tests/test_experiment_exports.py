"""Runs, configurations and predictions as files: whole or not there, and read back as they were."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")
pytest.importorskip("yaml")

sys.path.append(str(Path(__file__).parent))
import polars as pl
import yaml
from experiment_rows import empty, put
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.errors import ExperimentNotFound
from hmp_catalog.experiments import WorkspaceStore, exports, queries
from hmp_core.errors import InvalidInput, NotWritable


@pytest.fixture
def frame(tmp_path: Path) -> Any:
    backend = empty(tmp_path)
    put(backend, "predictions", {"val_score": 0.1, "scores": {"é": 1}}, {"val_score": None})
    return queries.predictions(backend)


def test_predictions_are_read_back_from_parquet_as_they_were(frame: Any, tmp_path: Path) -> None:
    path = exports.predictions_to_parquet(frame, tmp_path / "a" / "b" / "p.parquet")
    assert path == tmp_path / "a" / "b" / "p.parquet"
    assert pl.read_parquet(path).equals(frame)


def test_no_predictions_are_a_file_with_columns(frame: Any, tmp_path: Path) -> None:
    path = exports.predictions_to_parquet(frame.clear(), tmp_path / "p.parquet")
    assert pl.read_parquet(path).schema == frame.schema


def test_an_export_takes_the_place_of_a_former_one_and_leaves_nothing_else(frame: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for rows in (frame, frame.head(1)):
        exports.predictions_to_parquet(rows, folder / "p.parquet")
    assert [each.name for each in folder.iterdir()] == ["p.parquet"]
    assert pl.read_parquet(folder / "p.parquet").height == 1


def test_a_folder_in_the_place_of_the_file_is_left_alone(frame: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for write in (
        lambda path: exports.predictions_to_parquet(frame, path),
        lambda path: exports.run_to_yaml({}, path),
        lambda path: exports.config_to_json({"expanded_config": None}, path),
    ):
        with pytest.raises(NotWritable):
            write(tmp_path / "taken")
        with pytest.raises(NotWritable):
            write(tmp_path / "store.duckdb" / "below" / "file")
    assert list((tmp_path / "taken").iterdir()) == []


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text
    | st.sampled_from(
        ["yes", "1", "1e3", "null", "~", "2026-01-01", "- a", "a: b", "&a", "*a", "!x", "1_000", "0o7", "=", "<<"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=60, deadline=None)
@given(config=_json, at=st.datetimes(min_value=datetime(1900, 1, 1)))
def test_yaml_is_read_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, config: Any, at: datetime) -> None:
    run = {"run_id": "r0", "created_at": at, "config": config, "error": None, "pipelines": [{"chains": [config]}]}
    path = exports.run_to_yaml(run, tmp_path_factory.getbasetemp() / "run.yaml")
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == run


@settings(max_examples=30, deadline=None)
@given(config=_json)
def test_json_is_read_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, config: Any) -> None:
    path = exports.config_to_json({"expanded_config": config}, tmp_path_factory.getbasetemp() / "config.json")
    assert json.loads(path.read_text(encoding="utf-8")) == config


def test_a_store_exports_a_run_with_everything_decoded(tmp_path: Path) -> None:
    chain: dict[str, Any] = {
        "steps": [
            {"step_idx": 1, "operator_class": "builtins.abs", "params": None, "artifact_id": None, "stateless": True}
        ],
        "model_step_idx": 1,
        "model_class": "Ridge",
        "preprocessings": "SNV",
        "fold_strategy": "per_fold",
        "fold_artifacts": {},
        "shared_artifacts": {},
    }
    with WorkspaceStore(tmp_path / "lab") as store:
        run = store.begin_run("Forêt", {"cv": 5, "when": "2026-01-01"}, [{"name": "wheat", "path": "/d"}])
        good = store.begin_pipeline(run, "good", {"steps": ["SNV"]}, [{"_or_": 1}], "wheat", "h")
        chain_id = store.save_chain(good, **chain)
        store.complete_pipeline(good, 0.1, 0.2, "rmse", 12)
        bad = store.begin_pipeline(run, "bad", {}, [], "wheat", "h")
        store.fail_pipeline(bad, "it broke: 'x'\nhere")
        store.fail_run(run, "one of two")
        told = yaml.safe_load(store.export_run(run, tmp_path / "deep" / "run.yaml").read_text(encoding="utf-8"))
        config = store.export_pipeline_config(good, tmp_path / "deep" / "config.json")
        with store._keeper.reading() as backend:
            assert told == queries.whole_run(backend, run)
    assert (told["run_id"], told["name"], told["status"], told["error"]) == (run, "Forêt", "failed", "one of two")
    assert (told["config"], told["datasets"]) == ({"cv": 5, "when": "2026-01-01"}, [{"name": "wheat", "path": "/d"}])
    first, second = told["pipelines"]
    assert (first["best_val"], first["metric"], first["duration_ms"], first["generator_choices"]) == (
        0.1,
        "rmse",
        12,
        [{"_or_": 1}],
    )
    assert first["chains"][0]["steps"][0]["operator_class"] == "builtins.abs"
    assert first["chains"][0]["chain_id"] == chain_id
    assert (second["status"], second["error"], second["chains"]) == ("failed", "it broke: 'x'\nhere", [])
    assert json.loads(config.read_text(encoding="utf-8")) == {"steps": ["SNV"]}


def test_what_is_not_there_is_not_exported(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path / "lab") as store:
        with pytest.raises(ExperimentNotFound):
            store.export_run("nobody", tmp_path / "out" / "run.yaml")
        with pytest.raises(ExperimentNotFound):
            store.export_pipeline_config("nobody", tmp_path / "out" / "config.json")
        with pytest.raises((InvalidInput, TypeError)):
            store.export_predictions_parquet(tmp_path / "out" / "p.parquet", model="Ridge")
        assert not (tmp_path / "out").exists()
        store.export_predictions_parquet(tmp_path / "out" / "p.parquet", dataset_name="nobody")
    assert pl.read_parquet(tmp_path / "out" / "p.parquet").shape == (0, 23)
