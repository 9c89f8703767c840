"""An experiments store beside dictionaries: whatever is done to both, they say the same; also once it is reopened."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

pytest.importorskip("polars")
pytest.importorskip("joblib")

from hmp_catalog.errors import EndedError, ExperimentNotFound
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_core.errors import NotFound

SCORES = st.one_of(st.floats(-10, 10), st.sampled_from([None, math.nan, math.inf, 0.0]))
PARTITIONS, CLASSES = ("train", "val", "test"), ("a.Ridge", "a.Ridge_2", "b.SVR")


class Beside(RuleBasedStateMachine):
    """``runs`` and so on say what has to be there, by id; ``objects`` what was saved and never collected."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = WorkspaceStore(self.folder)
        self.other = WorkspaceStore(self.folder)
        self.runs: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.chains: dict[str, dict[str, Any]] = {}
        self.predictions: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, Any] = {}
        self.logs: dict[str, list[str]] = {}
        self.objects: dict[str, Any] = {}
        #: what was saved by the other store, and not named by it since: no garbage for this one
        self.held: set[str] = set()
        #: what was saved by the store itself, and not named since: a run that is deleted leaves it
        self.waiting: set[str] = set()

    def teardown(self) -> None:
        self.store.close()
        self.other.close()
        shutil.rmtree(self.folder)

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────

    @rule(name=st.sampled_from("ab"), config=st.dictionaries(st.text("xy", max_size=2), st.integers(-9, 9), max_size=2))
    def begin_run(self, name: str, config: dict[str, int]) -> None:
        datasets = [{"name": "wheat", "n": len(self.runs)}]
        identity = self.store.begin_run(name, config, datasets)
        self.runs[identity] = {"name": name, "config": config, "datasets": datasets, "status": "running"}

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def begin_pipeline(self, data: Any) -> None:
        run = data.draw(st.sampled_from(list(self.runs)))
        said = ("0001", {"n": 1}, [], "wheat", "0a")
        if self.runs[run]["status"] == "failed":
            with pytest.raises(EndedError):
                self.store.begin_pipeline(run, *said)
            return
        self.pipelines[self.store.begin_pipeline(run, *said)] = {"run_id": run, "status": "running"}

    @rule(value=st.integers(0, 3), beside=st.booleans())
    def save_artifact(self, value: int, beside: bool) -> None:
        store = self.other if beside else self.store
        identity = store.save_artifact({"coef": value}, "m.M", "model", "joblib")
        if identity in self.objects:
            assert self.objects[identity] == {"coef": value}
        self.objects[identity] = {"coef": value}
        (self.held if beside else self.waiting).add(identity)

    @precondition(lambda self: self.pipelines)
    @rule(data=st.data())
    def save_chain(self, data: Any) -> None:
        pipeline = data.draw(st.sampled_from(list(self.pipelines)))
        artifacts = data.draw(st.lists(st.sampled_from(list(self.objects)), max_size=3)) if self.objects else []
        steps = [{"step_idx": 1, "operator_class": "m.M", "params": {}, "artifact_id": None, "stateless": False}]
        folds = {f"fold_{n}": each for n, each in enumerate(artifacts)}
        said = (steps, 1, "m.M", "", "per_fold", folds, {})
        if self.pipelines[pipeline]["status"] == "failed":
            with pytest.raises(EndedError):
                self.store.save_chain(pipeline, *said)
            return
        identity = self.store.save_chain(pipeline, *said)
        self.chains[identity] = {"pipeline_id": pipeline, "fold_artifacts": folds}
        self.waiting.difference_update(artifacts)

    @precondition(lambda self: self.chains)
    @rule(data=st.data(), score=SCORES, partition=st.sampled_from(PARTITIONS), model=st.sampled_from(CLASSES))
    def save_prediction(self, data: Any, score: float | None, partition: str, model: str) -> None:
        chain = data.draw(st.sampled_from(list(self.chains)))
        pipeline = self.chains[chain]["pipeline_id"]
        of_model = ("wheat", "m", model, "fold_0", partition, score, 0.2, None, "rmse", "regression", 3, 2)
        identity = self.store.save_prediction(pipeline, chain, *of_model, {}, {}, None, None, 0, 0.0)
        kept = score if score is not None and math.isfinite(score) else None
        self.predictions[identity] = {
            "pipeline_id": pipeline, "chain_id": chain, "val_score": kept, "partition": partition, "model_class": model,
        }  # fmt: skip

    @precondition(lambda self: self.predictions)
    @rule(data=st.data(), size=st.integers(0, 5))
    def save_arrays(self, data: Any, size: int) -> None:
        identity = data.draw(st.sampled_from(list(self.predictions)))
        values = np.arange(size) / 3 if size else None
        self.store.save_prediction_arrays(identity, values, values)
        self.arrays[identity] = values

    @precondition(lambda self: self.pipelines)
    @rule(data=st.data(), event=st.sampled_from("ab"))
    def log_step(self, data: Any, event: str) -> None:
        pipeline = data.draw(st.sampled_from(list(self.pipelines)))
        if self.pipelines[pipeline]["status"] == "failed":
            with pytest.raises(EndedError):
                self.store.log_step(pipeline, 1, "m.M", event)
        else:
            self.store.log_step(pipeline, 1, "m.M", event)
            self.logs.setdefault(pipeline, []).append(event)

    @precondition(lambda self: self.pipelines)
    @rule(data=st.data(), fails=st.booleans())
    def end_pipeline(self, data: Any, fails: bool) -> None:
        pipeline = data.draw(st.sampled_from(list(self.pipelines)))
        before = self.pipelines[pipeline]["status"]
        if before == ("completed" if fails else "failed"):
            with pytest.raises(EndedError):
                self._end(pipeline, fails=fails)
            return
        self._end(pipeline, fails=fails)
        self.pipelines[pipeline]["status"] = "failed" if fails else "completed"
        if fails:
            self._empty(pipeline)

    def _end(self, pipeline: str, *, fails: bool) -> None:
        if fails:
            self.store.fail_pipeline(pipeline, "singular")
        else:
            self.store.complete_pipeline(pipeline, 0.1, 0.2, "rmse", 3)

    def _empty(self, pipeline: str) -> int:
        """Take away what belongs to a pipeline; return how many rows that are."""
        count = len(self.logs.pop(pipeline, []))
        for identity in [i for i, each in self.predictions.items() if each["pipeline_id"] == pipeline]:
            del self.predictions[identity]
            count += 1 + (identity in self.arrays)
            self.arrays.pop(identity, None)
        for identity in [i for i, each in self.chains.items() if each["pipeline_id"] == pipeline]:
            del self.chains[identity]
            count += 1
        return count

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), fails=st.booleans())
    def end_run(self, data: Any, fails: bool) -> None:
        run = data.draw(st.sampled_from(list(self.runs)))
        before = self.runs[run]["status"]
        end = (
            (lambda: self.store.fail_run(run, "no time")) if fails else (lambda: self.store.complete_run(run, {"n": 1}))
        )
        if before == ("completed" if fails else "failed"):
            with pytest.raises(EndedError):
                end()
            return
        end()
        self.runs[run]["status"] = "failed" if fails else "completed"
        for pipeline, each in self.pipelines.items():
            if fails and each["run_id"] == run and each["status"] == "running":
                each["status"] = "failed"
                self._empty(pipeline)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), files=st.booleans())
    def delete_run(self, data: Any, files: bool) -> None:
        run = data.draw(st.sampled_from(list(self.runs)))
        mine = [identity for identity, each in self.pipelines.items() if each["run_id"] == run]
        named = {
            a for each in self.chains.values() if each["pipeline_id"] in mine for a in each["fold_artifacts"].values()
        }
        count = 1 + len(mine) + sum(self._empty(pipeline) for pipeline in mine)
        assert self.store.delete_run(run, delete_artifacts=files) == count
        del self.runs[run]
        for pipeline in mine:
            del self.pipelines[pipeline]
        if files:
            self._collected(named - self.waiting)
        assert self.store.delete_run(run) == 0

    @precondition(lambda self: self.predictions)
    @rule(data=st.data())
    def delete_prediction(self, data: Any) -> None:
        identity = data.draw(st.sampled_from(list(self.predictions)))
        assert self.store.delete_prediction(identity)
        assert not self.store.delete_prediction(identity)
        del self.predictions[identity]
        self.arrays.pop(identity, None)

    @rule()
    def collect(self) -> None:
        assert self.store.gc_artifacts() == self._collected(set(self.objects))

    def _collected(self, among: set[str]) -> int:
        named = {artifact for each in self.chains.values() for artifact in each["fold_artifacts"].values()}
        gone = (among - named - self.held) & self.objects.keys()
        for identity in gone:
            del self.objects[identity]
            self.waiting.discard(identity)
            with pytest.raises(NotFound):
                self.store.load_artifact(identity)
        return len(gone)

    @rule(how=st.sampled_from(["close", "vacuum", "other"]))
    def open_again(self, how: str) -> None:
        if how == "vacuum":
            self.store.vacuum()
        elif how == "other":
            self.other.close()
            self.other = WorkspaceStore(self.folder)
            self.held.clear()
        else:
            self.store.close()
            self.store = WorkspaceStore(self.folder)
            self.waiting.clear()

    # ── what has to be seen ──────────────────────────────────────────────────────────────────────────

    @invariant()
    def both_see_the_same(self) -> None:
        for store in (self.other, self.store):
            found = store.query_predictions()
            assert sorted(found["prediction_id"]) == sorted(self.predictions)

    @rule()
    def all_rows(self) -> None:
        listed = self.store.list_runs()
        assert listed["run_id"].to_list() == [*reversed(self.runs)]  # newest first
        assert dict(listed.select("run_id", "status").iter_rows()) == {
            i: each["status"] for i, each in self.runs.items()
        }
        pipelines = dict(self.other.list_pipelines().select("pipeline_id", "status").iter_rows())
        assert pipelines == {identity: each["status"] for identity, each in self.pipelines.items()}
        for run, said in self.runs.items():
            found = self.other.get_run(run)
            assert found is not None
            assert {name: found[name] for name in said} == said
        for pipeline in self.pipelines:
            assert self.store.get_pipeline_log(pipeline)["event"].to_list() == self.logs.get(pipeline, [])

    @rule()
    def all_that_was_fitted(self) -> None:
        for chain, said in self.chains.items():
            found = self.store.get_chain(chain)
            assert found is not None
            assert {name: found[name] for name in said} == said
        for identity, value in self.objects.items():
            assert self.other.load_artifact(identity) == value
            counted = sum(identity in each["fold_artifacts"].values() for each in self.chains.values())
            about = self.store.artifact(identity)
            assert about is not None
            assert about["ref_count"] == counted
        files = [each for each in (self.folder / "artifacts").rglob("*") if each.is_file()]
        assert len(files) == len(self.objects)

    @rule()
    def all_values(self) -> None:
        for identity, said in self.predictions.items():
            found = self.other.get_prediction(identity, load_arrays=True)
            assert found is not None
            assert {name: found[name] for name in said} == said
            expected = self.arrays.get(identity)
            if expected is None:
                assert found["y_true"] is None
            else:
                np.testing.assert_array_equal(found["y_pred"], expected)

    @rule(
        ascending=st.booleans(),
        partition=st.sampled_from(PARTITIONS),
        n=st.integers(0, 4),
        group_by=st.sampled_from([None, "model_class"]),
    )
    def the_best(self, ascending: bool, partition: str, n: int, group_by: str | None) -> None:
        found = self.store.top_predictions(n, ascending=ascending, partition=partition, group_by=group_by)
        there = [each for each in self.predictions.values() if each["partition"] == partition]
        groups = sorted({each["model_class"] for each in there}) if group_by else [None]
        expected: list[float | None] = []
        for group in groups:
            scores = [each["val_score"] for each in there if group in (None, each["model_class"])]
            ranked = sorted((s for s in scores if s is not None), reverse=not ascending)
            expected += [*ranked, *(s for s in scores if s is None)][:n]
        assert found["val_score"].to_list() == expected

    @rule(partition=st.sampled_from(PARTITIONS), model=st.sampled_from([*CLASSES, "a.%", "a.Ridge_%", "%"]))
    def some(self, partition: str, model: str) -> None:
        found = self.other.query_predictions(partition=partition, model_class=model)
        start = model.rstrip("%")
        expected = [
            identity
            for identity, each in self.predictions.items()
            if each["partition"] == partition
            and (each["model_class"].startswith(start) if model.endswith("%") else each["model_class"] == model)
        ]
        assert sorted(found["prediction_id"]) == sorted(expected)

    @rule()
    def what_is_not_there(self) -> None:
        assert self.store.get_run("nothing") is None
        assert not self.store.delete_prediction("nothing")
        with pytest.raises(ExperimentNotFound):
            self.store.complete_run("nothing", {})
        with pytest.raises(NotFound):
            self.store.load_artifact("nothing")


#: Making a failure smaller takes minutes, with stores on disk.
QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.reuse, Phase.generate]}

TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=4, stateful_step_count=30, **QUICK)


@pytest.mark.soak
def test_beside_for_long():
    run_state_machine_as_test(Beside, settings=settings(max_examples=100, stateful_step_count=60, **QUICK))
