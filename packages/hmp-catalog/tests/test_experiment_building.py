"""Traces and the chains of them: each model's chain holds its own branch's steps and replays what was trained."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from hmp_catalog.errors import ReplayError
from hmp_catalog.experiments.building import ChainBuilder
from hmp_catalog.experiments.chains import artifacts_of, checked
from hmp_catalog.experiments.replaying import replay
from hmp_catalog.experiments.tracing import SKIP, ExecutionStep, ExecutionTrace, StepArtifacts, TraceRecorder
from hmp_core.errors import InvalidInput


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    X = rng.uniform(1, 4, (40, 6))
    return X, 10 + X @ np.arange(1.0, 7) + rng.normal(0, 0.1, 40)


class Training:
    """Trains with scikit-learn, recording what it does."""

    def __init__(self, X, y):
        self.X, self.y, self.shelf = X, y, {}
        self.recorder = TraceRecorder("test")

    def keep(self, obj):
        name = f"a{len(self.shelf)}"
        self.shelf[name] = obj
        return name

    def transform(self, idx, operator, X, **more):
        self.recorder.start_step(idx, "transform", f"{type(operator).__module__}.{type(operator).__name__}", **more)
        operator.fit(X)
        self.recorder.record_artifact(self.keep(operator))
        self.recorder.end_step()
        return operator.transform(X)

    def model(self, idx, X, alpha=1.0):
        self.recorder.start_step(idx, "model", "sklearn.linear_model.Ridge", {"alpha": alpha})
        fitted = [Ridge(alpha=alpha).fit(X[a], self.y[a]) for a, _ in KFold(2).split(X)]
        for fold, model in enumerate(fitted):
            self.recorder.record_artifact(self.keep(model), fold_id=fold)
        self.recorder.end_step()
        return np.mean([m.predict(X) for m in fitted], axis=0)

    def replayed(self, chain, X=None):
        return replay(checked(**chain), self.shelf.__getitem__, self.X if X is None else X)


def test_a_recorded_training_gives_a_chain_that_replays_it(data):
    done = Training(*data)
    done.recorder.start_step(1, "splitter", "sklearn.model_selection.KFold", {"n_splits": 2})
    done.recorder.end_step()
    expected = done.model(4, done.transform(3, MinMaxScaler(), done.transform(2, StandardScaler(), done.X)))
    trace = done.recorder.finalize()
    chain = ChainBuilder(trace).build()
    assert chain["preprocessings"] == "StandardScaler>MinMaxScaler"
    assert chain["model_class"] == "sklearn.linear_model.Ridge"
    assert chain["model_step_idx"] == trace.model_step_index == 4
    assert [s["step_idx"] for s in chain["steps"]] == [2, 3, 4]
    assert chain["fold_strategy"] == "per_fold"
    assert list(chain["fold_artifacts"]) == ["fold_0", "fold_1"]
    np.testing.assert_allclose(done.replayed(chain), expected, rtol=1e-12)
    assert ChainBuilder(trace).build_all() == [chain]


def test_each_branch_has_its_own_chain_with_its_own_label_and_replays_once(data):
    done = Training(*data)
    common = done.transform(1, StandardScaler(), done.X)
    expected = []
    for n, operator in enumerate((MinMaxScaler((1, 2)), FunctionTransformer(np.tanh))):
        done.recorder.enter_branch(n, f"branch {n}")
        expected.append(done.model(3, done.transform(2, operator, common)))
        done.recorder.exit_branch()
    chains = ChainBuilder(done.recorder.finalize()).build_all()
    assert [c["branch_path"] for c in chains] == [[0], [1]]
    assert [c["preprocessings"] for c in chains] == [
        "StandardScaler>MinMaxScaler",
        "StandardScaler>FunctionTransformer",
    ]
    for chain, values in zip(chains, expected, strict=True):
        assert [s["step_idx"] for s in chain["steps"]] == [1, 2, 3]
        np.testing.assert_allclose(done.replayed(chain), values, rtol=1e-12)
    assert set(artifacts_of(chains[0])) & set(artifacts_of(chains[1])) == {"a0"}


def test_branches_that_only_the_artefacts_tell_apart_are_told_apart(data):
    X, y = data
    scalers = [StandardScaler().fit(X), MinMaxScaler().fit(X)]
    models = [Ridge().fit(s.transform(X), y) for s in scalers]
    shelf = dict(zip("abmn", [*scalers, *models], strict=True))
    steps = [
        ExecutionStep(
            1, operator_class="m.T", artifacts=StepArtifacts(["a", "b"], by_branch={(0,): ["a"], (1,): ["b"]})
        ),
        ExecutionStep(
            2,
            "model",
            "m.R",
            artifacts=StepArtifacts(fold_artifact_ids={"0": "m", "1": "n"}, by_branch={(0,): ["m"], (1,): ["n"]}),
        ),
    ]
    chains = ChainBuilder(ExecutionTrace(steps=steps)).build_all()
    for chain, scaler, model in zip(chains, scalers, models, strict=True):
        found = replay(checked(**chain), shelf.__getitem__, X)
        assert np.array_equal(found, model.predict(scaler.transform(X)))


def test_a_model_within_a_branch_has_the_steps_of_the_branches_around_it(data):
    done = Training(*data)
    done.recorder.enter_branch(1)
    outer = done.transform(1, StandardScaler(), done.X)
    done.recorder.enter_branch(0)
    expected = done.model(2, outer)
    done.recorder.exit_branch()
    done.recorder.exit_branch()
    chain = ChainBuilder(done.recorder.finalize()).build()
    assert chain["branch_path"] == [1, 0]
    np.testing.assert_allclose(done.replayed(chain), expected, rtol=1e-12)


def test_two_models_one_after_the_other_have_a_chain_each_without_the_other(data):
    done = Training(*data)
    scaled = done.transform(1, StandardScaler(), done.X)
    expected = [done.model(2, scaled, 0.1), done.model(3, scaled, 100.0)]
    trace = done.recorder.finalize()
    chains = ChainBuilder(trace).build_all()
    assert [[s["step_idx"] for s in c["steps"]] for c in chains] == [[1, 2], [1, 3]]
    for chain, values in zip(chains, expected, strict=True):
        np.testing.assert_allclose(done.replayed(chain), values, rtol=1e-12)
    assert ChainBuilder(trace).build() == chains[1]
    trace.model_step_index = 2
    assert ChainBuilder(trace).build() == chains[0]


def test_each_source_keeps_its_own_transformers(data):
    X, y = data
    parts, scalers = [X[:, :2], X[:, 2:]], [StandardScaler(), MinMaxScaler()]
    done = Training(X, y)
    done.recorder.start_step(1, "transform", "m.Scalers", source_count=2)
    made = []
    for n, (scaler, part) in enumerate(zip(scalers, parts, strict=True)):
        made.append(scaler.fit_transform(part))
        done.recorder.record_artifact(done.keep(scaler), source_index=n)
    done.recorder.end_step()
    expected = done.model(2, np.hstack(made))
    chain = ChainBuilder(done.recorder.finalize()).build()
    assert chain["shared_artifacts"] == {"1": ["a0", "a1"], "_source_map": {"1": {"0": ["a0"], "1": ["a1"]}}}
    np.testing.assert_allclose(done.replayed(chain, parts), expected, rtol=1e-12)


def test_targets_and_steps_without_state_are_replayed_and_only_features_are_in_the_label(data):
    X, y = data
    done = Training(X, np.log(y))
    done.recorder.start_step(1, "transform", "numpy.log1p", stateless=True)
    done.recorder.end_step()
    done.recorder.start_step(2, "y_processing", "sklearn.preprocessing.FunctionTransformer")
    done.recorder.record_artifact(done.keep(FunctionTransformer(np.log, np.exp)))
    done.recorder.end_step()
    done.model(3, np.log1p(X))
    chain = ChainBuilder(done.recorder.finalize()).build()
    assert chain["preprocessings"] == "log1p"
    found = done.replayed(chain)
    expected = np.mean([np.exp(done.shelf[a].predict(np.log1p(X))) for a in ("a1", "a2")], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_skipped_steps_are_in_no_chain_and_steps_of_unknown_kind_are_not_dropped(data):
    done = Training(*data)
    done.recorder.start_step(1, "transform", "m.Skipped")
    done.recorder.mark_step_skipped()
    done.recorder.end_step()
    done.recorder.start_step(2, "chart", "m.Chart")
    done.recorder.end_step()
    done.recorder.start_step(3, "alchemy", "m.Unknown")
    done.recorder.end_step()
    done.model(4, done.X)
    chain = ChainBuilder(done.recorder.finalize()).build()
    assert [s["operator_class"] for s in chain["steps"]] == ["m.Unknown", "sklearn.linear_model.Ridge"]
    with pytest.raises(ReplayError, match=r"step 3, m\.Unknown: it has no artefact"):
        done.replayed(chain)


def test_a_model_without_folds_is_shared(data):
    X, y = data
    model = Ridge().fit(X, y)
    steps = [ExecutionStep(1, "model", "m.R", artifacts=StepArtifacts(primary_artifact_id="m"))]
    chain = ChainBuilder(ExecutionTrace(steps=steps)).build()
    assert (chain["fold_strategy"], chain["fold_artifacts"]) == ("shared", {})
    assert np.array_equal(replay(checked(**chain), {"m": model}.__getitem__, X), model.predict(X))


def test_the_final_model_keeps_its_name(data):
    done = Training(*data)
    done.recorder.start_step(1, "model", "m.R")
    for fold in (0, "fold_1", "final"):
        done.recorder.record_artifact(done.keep(Ridge().fit(*data)), fold_id=fold)
    done.recorder.end_step()
    chain = ChainBuilder(done.recorder.finalize()).build()
    assert list(chain["fold_artifacts"]) == ["fold_0", "fold_1", "fold_final"]


def test_ids_of_the_trace_become_those_of_the_store():
    steps = [
        ExecutionStep(1, operator_class="m.T", artifacts=StepArtifacts(["config$1:all"])),
        ExecutionStep(2, "model", "m.R", artifacts=StepArtifacts(fold_artifact_ids={0: "config$2:0"})),
    ]
    trace = ExecutionTrace(steps=steps)
    chain = ChainBuilder(trace, {"config$1:all": "u1", "config$2:0": "u2"}).build()
    assert sorted(artifacts_of(chain)) == ["u1", "u2"]
    with pytest.raises(InvalidInput, match=r"'config\$1:all'.* is not in the registry"):
        ChainBuilder(trace, {}).build()


def test_an_empty_trace_has_no_chain_and_one_without_a_model_cannot_be_saved():
    assert ChainBuilder(ExecutionTrace()).build() == {}
    assert ChainBuilder(ExecutionTrace(steps=[ExecutionStep(1, execution_mode=SKIP)])).build_all() == []
    steps = [ExecutionStep(1, operator_class="m.T", artifacts=StepArtifacts(["a"]))]
    chain = ChainBuilder(ExecutionTrace(steps=steps)).build()
    assert (chain["fold_strategy"], chain["fold_artifacts"]) == ("shared", {})
    with pytest.raises(InvalidInput):
        checked(**chain)


def test_a_model_on_merged_branches_is_refused(data):
    done = Training(*data)
    for n in range(2):
        done.recorder.enter_branch(n)
        done.transform(1, StandardScaler(), done.X)
        done.recorder.exit_branch()
    done.model(2, done.X)
    with pytest.raises(InvalidInput, match="branches that were merged"):
        ChainBuilder(done.recorder.finalize()).build()


def _open(recorder):
    recorder.start_step(1, "model", "m.R")


def _two_branches(recorder):
    _open(recorder)
    recorder.record_artifact("a", fold_id=0, branch_path=[0])
    recorder.record_artifact("b", fold_id=0, branch_path=[1])


@pytest.mark.parametrize(
    "misused",
    [
        lambda r: r.end_step(),
        lambda r: r.mark_step_skipped(),
        lambda r: r.record_artifact("a"),
        lambda r: r.exit_branch(),
        lambda r: r.enter_branch(-1),
        lambda r: r.enter_branch("a"),
        lambda r: r.start_step(0, "model", "m.R"),
        lambda r: r.start_step(True, "model", "m.R"),
        lambda r: (_open(r), _open(r)),
        lambda r: (_open(r), r.enter_branch(0)),
        lambda r: (_open(r), r.finalize()),
        lambda r: (_open(r), r.record_artifact("")),
        lambda r: (_open(r), r.end_step(no_such=1)),
        lambda r: (r.enter_branch(0), r.finalize()),
        _two_branches,
    ],
)
def test_a_recorder_refuses_what_makes_no_trace(misused):
    with pytest.raises(InvalidInput):
        misused(TraceRecorder())


def test_a_trace_says_where_when_and_what():
    recorder = TraceRecorder("pls", metadata={"seed": 1})
    recorder.enter_branch(2, "snv")
    recorder.start_step(1, "transform", "m.T", {"k": 1}, input_shape=(3, 4))
    recorder.record_artifact("a", is_primary=True, chain_path="s1.T", source_index=0)
    recorder.end_step(output_shape=(3, 2))
    recorder.exit_branch()
    trace = recorder.finalize(preprocessing_chain="T", why="test")
    step = trace.steps[0]
    assert (len(trace.trace_id), trace.pipeline_uid, trace.metadata) == (12, "pls", {"seed": 1, "why": "test"})
    assert (step.branch_path, step.branch_name, step.input_shape, step.output_shape) == ([2], "snv", (3, 4), (3, 2))
    assert step.duration_ms is not None
    assert step.artifacts.primary_artifacts == {"s1.T": "a"}
    assert step.artifacts.by_source == {0: ["a"]}
    assert trace.created_at.tzinfo is not None
