"""Training: what is stored is what was executed, and predicts what it predicted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("joblib")
pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, StackingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RepeatedKFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MinMaxScaler, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from hmp_catalog.errors import ReplayError, TrainingFailed
from hmp_catalog.experiments.library import PipelineLibrary
from hmp_catalog.experiments.predicting import predict
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_catalog.experiments.training import Result, run
from hmp_catalog.experiments.training.folds import split
from hmp_core.errors import InvalidInput


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """Return samples of which half of the features matter."""
    chance = np.random.default_rng(3)
    X = chance.gamma(2.0, size=(80, 6))
    y = X @ np.array([3.0, -2.0, 1.0, 0.0, 0.0, 0.5]) + chance.normal(0, 0.1, 80)
    return {"X": X[:60], "y": y[:60], "X_test": X[60:], "y_test": y[60:], "name": "made"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WorkspaceStore:
    """Return a store that the tests share: a run knows its own."""
    return WorkspaceStore(tmp_path_factory.mktemp("shared") / "store")


@pytest.fixture
def fresh(tmp_path: Path) -> WorkspaceStore:
    return WorkspaceStore(tmp_path / "store")


def labels(y: np.ndarray) -> np.ndarray:
    return np.array(["dry", "fair", "wet"])[np.digitize(y, [1.0, 5.0])]


def classified(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"y": labels(data["y"]), "y_test": labels(data["y_test"])}


def averages(result: Result, partition: str) -> dict[str, dict[str, Any]]:
    """Return what all folds of each chain predicted, by chain."""
    rows = result.predictions.filter(fold_id="avg", partition=partition)
    found = [result.store.get_prediction(each, load_arrays=True) for each in rows["prediction_id"]]
    return {each["chain_id"]: each for each in found}


def average(result: Result, pipeline: str, partition: str) -> dict[str, Any]:
    """Return what all folds of the only chain of a pipeline predicted."""
    frame = result.store.list_pipelines(run_id=result.run_id)
    own = frame.filter(name=pipeline)["pipeline_id"].item()
    row = result.predictions.filter(pipeline_id=own, fold_id="avg", partition=partition)
    return result.store.get_prediction(row["prediction_id"].item(), load_arrays=True)


def assert_replayed(result: Result, X_test: Any, pipeline: str | None = None) -> None:
    stored = averages(result, "test")
    if pipeline is not None:
        names = result.store.list_pipelines(run_id=result.run_id)
        own = names.filter(name=pipeline)["pipeline_id"].item()
        stored = {chain: row for chain, row in stored.items() if row["pipeline_id"] == own}
    assert stored
    for chain, row in stored.items():
        again = result.replay(chain, X_test)
        assert again.shape == row["y_pred"].shape
        if again.dtype.kind == "f":
            np.testing.assert_allclose(again, row["y_pred"], rtol=0, atol=1e-12)
        else:
            assert again.tolist() == row["y_pred"].tolist()


class Shifted(BaseEstimator, TransformerMixin):
    """Works in place, and needs the wavelengths."""

    def fit(self, X, y=None, wavelengths=None):
        self.by_ = X.mean() + wavelengths.sum()
        return self

    def transform(self, X, wavelengths=None):
        X -= self.by_ + wavelengths[0]
        return X


class Broken(BaseEstimator):
    def __init__(self, error=ValueError):
        self.error = error

    def fit(self, X, y):
        message = "no such luck"
        raise self.error(message)

    def predict(self, X):
        raise AssertionError


# ── replay ───────────────────────────────────────────────────────────────────────────────────────────

REGRESSIONS: dict[str, list[Any]] = {
    "pls": [StandardScaler(), KFold(5), PLSRegression(3)],
    "forest": [MinMaxScaler(), KFold(3), RandomForestRegressor(5, random_state=1)],
    "target": [StandardScaler(), {"y_processing": StandardScaler()}, KFold(4), Ridge()],
    "targets": [{"y_processing": [StandardScaler(), MinMaxScaler()]}, KFold(3), PLSRegression(2)],
    "function": [np.log1p, KFold(3), LinearRegression()],
    "supervised": [SelectKBest(f_regression, k=3), KFold(3), LinearRegression()],
    "pls as transformer": [{"transform": PLSRegression(2)}, KFold(3), LinearRegression()],
    "repeated": [RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), Ridge()],
    "some": [ShuffleSplit(3, test_size=0.2, random_state=0), Ridge()],
    "searched": [KFold(3), GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=3)],
    "stacked": [KFold(3), StackingRegressor([("a", Ridge()), ("b", LinearRegression())])],
    "sparse": [SplineTransformer(n_knots=3, sparse_output=True), KFold(3), Ridge()],
    "frame": [StandardScaler().set_output(transform="polars"), KFold(3), Ridge()],
    "nested": [KFold(3), make_pipeline(StandardScaler(), PCA(3), Ridge())],
    "branches": [StandardScaler(), KFold(3), {"branch": [[PCA(2)], [], [MinMaxScaler(), PCA(4)]]}, Ridge()],
    "branch of branches": [
        KFold(3),
        {
            "branch": {
                "a": [StandardScaler(), {"branch": [[PCA(2)], [PCA(3)]]}, Ridge()],
                "b": [MinMaxScaler(), Ridge()],
            }
        },
    ],
    "in place": [StandardScaler(copy=False), PCA(3, copy=False), KFold(3), Ridge(copy_X=False)],
}


@pytest.fixture(scope="module")
def regressions(data, store) -> Result:
    return run(REGRESSIONS, data, workspace=store)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_replay_predicts_what_was_stored(name, data, regressions):
    assert_replayed(regressions, data["X_test"], name)


CLASSIFICATIONS: dict[str, list[Any]] = {
    "logistic": [StandardScaler(), StratifiedKFold(3), LogisticRegression()],
    "forest": [StratifiedKFold(4), RandomForestClassifier(3, max_depth=2, random_state=0)],
    "encoded": [{"y_processing": LabelEncoder()}, KFold(4), DecisionTreeClassifier(max_depth=1, random_state=0)],
    "repeated": [RepeatedKFold(n_splits=2, n_repeats=2, random_state=0), DecisionTreeClassifier(max_depth=1)],
}


@pytest.fixture(scope="module")
def classifications(data, store) -> Result:
    return run(CLASSIFICATIONS, classified(data), workspace=store, random_state=0)


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_labels_are_voted_and_replayed(name, data, classifications):
    assert_replayed(classifications, data["X_test"], name)


def test_labels_are_a_task_of_their_own(data, classifications):
    assert classifications.metric == "accuracy"
    assert set(classifications.predict(data["X_test"])) <= {"dry", "fair", "wet"}
    assert set(classifications.predictions["task_type"]) == {"classification"}


def test_several_targets_are_replayed(data, store):
    both = {"y": np.column_stack([data["y"], -2 * data["y"]]), "y_test": np.column_stack([data["y_test"]] * 2)}
    result = run([{"y_processing": StandardScaler()}, KFold(3), PLSRegression(2)], data | both, workspace=store)
    assert_replayed(result, data["X_test"])
    assert result.predict(data["X_test"]).shape == (20, 2)


def test_each_source_goes_through_its_own_transformers(data, store):
    apart = {"X": [data["X"][:, :2], data["X"][:, 2:]], "X_test": [data["X_test"][:, :2], data["X_test"][:, 2:]]}
    steps = [{"source": [[np.log1p], [MinMaxScaler(), PCA(2)]]}, StandardScaler(), KFold(3), Ridge()]
    result = run(steps, data | apart, workspace=store)
    assert_replayed(result, apart["X_test"])
    chain = store.get_chain(result.best["chain_id"])
    assert [step.get("source_index") for step in chain["steps"]] == [0, 1, 1, None, None]


def test_sources_without_transformers_stand_side_by_side(data, store):
    apart = {"X": [data["X"][:, :2], data["X"][:, 2:]], "X_test": [data["X_test"][:, :2], data["X_test"][:, 2:]]}
    result = run([KFold(3), Ridge()], data | apart, workspace=store)
    assert_replayed(result, apart["X_test"])
    together = [Ridge().fit(data["X"][a], data["y"][a]).predict(data["X_test"]) for a, _ in KFold(3).split(data["X"])]
    np.testing.assert_allclose(result.predict(apart["X_test"]), np.mean(together, axis=0), rtol=0, atol=1e-12)


def test_wavelengths_reach_what_takes_them(data, store):
    steps = [Shifted(), KFold(3), Ridge()]
    result = run(steps, data | {"wavelengths": np.arange(6.0)}, workspace=store)
    stored = averages(result, "test")[result.best["chain_id"]]["y_pred"]
    np.testing.assert_allclose(result.predict(data["X_test"], np.arange(6.0)), stored, rtol=0, atol=1e-12)


# ── what is stored is what scikit-learn does ─────────────────────────────────────────────────────────


def by_hand(data: dict[str, Any], model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what a scaler and 5 models of scikit-learn alone predict: out of fold, and for the test samples."""
    scaler = StandardScaler().fit(data["X"])
    X, out, tests = scaler.transform(data["X"]), np.zeros(len(data["y"])), []
    for train, val in KFold(5).split(X):
        fitted = clone(model).fit(X[train], data["y"][train])
        out[val] = fitted.predict(X[val])
        tests.append(fitted.predict(scaler.transform(data["X_test"])))
    return out, np.mean(tests, axis=0)


@pytest.mark.parametrize("model", [PLSRegression(3), RandomForestRegressor(10, random_state=0)])
def test_predictions_and_scores_are_those_of_scikit_learn(model, data, store):
    result = run([StandardScaler(), KFold(5), model], data, workspace=store)
    out, test = by_hand(data, model)
    stored = averages(result, "val")[result.best["chain_id"]]
    assert stored["y_pred"].tolist() == out.tolist()
    assert stored["y_true"].tolist() == data["y"].tolist()
    np.testing.assert_allclose(result.predict(data["X_test"]), test, rtol=0, atol=1e-12)
    assert stored["val_score"] == pytest.approx(root_mean_squared_error(data["y"], out), rel=1e-12)
    scores = stored["scores"]["test"]
    assert scores["mae"] == pytest.approx(mean_absolute_error(data["y_test"], test), rel=1e-12)
    assert scores["r2"] == pytest.approx(r2_score(data["y_test"], test), rel=1e-12)


def test_balanced_accuracy_is_that_of_scikit_learn(classifications):
    row = average(classifications, "logistic", "val")
    score = balanced_accuracy_score(row["y_true"], row["y_pred"])
    assert row["scores"]["val"]["balanced_accuracy"] == pytest.approx(score, rel=1e-12)
    assert row["y_proba"].shape == (60, 3)
    np.testing.assert_allclose(row["y_proba"].sum(axis=1), 1.0)


def test_targets_are_stored_in_their_own_units(data, regressions):
    row = average(regressions, "target", "val")
    assert row["y_true"].tolist() == data["y"].tolist()
    assert row["val_score"] < 0.5


# ── folds ────────────────────────────────────────────────────────────────────────────────────────────


def test_each_fold_has_its_predictions_and_all_of_them_together(data, regressions, store):
    best = average(regressions, "function", "val")
    frame = regressions.predictions.filter(chain_id=best["chain_id"])
    rows = {(row["fold_id"], row["partition"]): row["n_samples"] for row in frame.iter_rows(named=True)}
    folds = {(f"fold_{n}", part): size for n in range(3) for part, size in (("train", 40), ("val", 20), ("test", 20))}
    assert rows == folds | {("avg", "val"): 60, ("avg", "test"): 20}
    assert sorted(store.get_chain(best["chain_id"])["fold_artifacts"]) == ["fold_0", "fold_1", "fold_2"]


def test_without_a_splitter_one_model_sees_all_and_nothing_is_validated(data, store):
    result = run([StandardScaler(), Ridge()], data, workspace=store)
    rows = result.predictions
    assert sorted(rows["partition"]) == ["test", "train"]
    assert set(rows["fold_id"]) == {"fold_final"}
    assert rows["val_score"].null_count() == 2
    assert result.best["partition"] == "test"
    whole = make_pipeline(StandardScaler(), Ridge()).fit(data["X"], data["y"])
    np.testing.assert_allclose(result.predict(data["X_test"]), whole.predict(data["X_test"]), rtol=0, atol=1e-12)


def test_samples_that_no_fold_validates_are_left_out_of_the_average(data, regressions):
    row = average(regressions, "some", "val")
    folds = REGRESSIONS["some"][0].split(data["X"])
    assert row["sample_indices"].tolist() == sorted(set(np.concatenate([val for _, val in folds]).tolist()))


def test_a_sample_that_is_validated_twice_gets_the_mean(data, regressions):
    sums = np.zeros(60)
    for train, val in REGRESSIONS["repeated"][0].split(data["X"]):
        sums[val] += Ridge().fit(data["X"][train], data["y"][train]).predict(data["X"][val])
    found = average(regressions, "repeated", "val")["y_pred"]
    np.testing.assert_allclose(found, sums / 2, rtol=0, atol=1e-12)


def test_the_splitter_gets_the_groups(data, store):
    groups = np.repeat(np.arange(6), 10)
    result = run([GroupKFold(3), Ridge()], data | {"groups": groups}, workspace=store)
    val = result.predictions.filter(partition="val", fold_id="fold_0")["prediction_id"].item()
    rows = store.get_prediction(val, load_arrays=True)["sample_indices"]
    assert all((groups[rows] == group).sum() in (0, 10) for group in range(6))


def test_a_splitter_that_needs_no_groups_says_nothing_of_them(data):
    assert len(split(KFold(3), data["X"], data["y"], np.arange(60))) == 3


# ── what a description stands for ────────────────────────────────────────────────────────────────────


def test_alternatives_and_ranges_make_pipelines_with_their_choices(data, store):
    steps = [
        {"_or_": [StandardScaler(), [MinMaxScaler(), PCA(3)], None]},
        KFold(3),
        {"_range_": [1, 3, 2], "param": "n_components", "model": PLSRegression()},
    ]
    result = run(steps, data, workspace=store)
    frame = store.list_pipelines(run_id=result.run_id)
    assert len(frame) == 6
    first = store.get_pipeline(frame.sort("created_at")["pipeline_id"][0])
    assert [set(choice) for choice in first["generator_choices"]] == [{"_or_", "chosen"}, {"_range_", "param", "value"}]
    assert {c.get("value") for row in frame["pipeline_id"] for c in store.get_pipeline(row)["generator_choices"]} == {
        None,
        1,
        3,
    }
    assert sorted(set(result.top(6)["preprocessings"])) == ["", "MinMaxScaler>PCA", "StandardScaler"]


def test_what_was_given_is_never_fitted(data, store):
    scaler, model, splitter = StandardScaler(), make_pipeline(PCA(2), Ridge()), KFold(3, shuffle=True)
    before = data["X"].copy()
    run([scaler, splitter, model], data, workspace=store, random_state=4)
    assert not hasattr(scaler, "mean_")
    assert not hasattr(model[0], "components_")
    assert splitter.random_state is None
    assert np.array_equal(before, data["X"])


def test_branches_of_branches_have_numbers_of_their_own(regressions):
    rows = regressions.predictions.filter(fold_id="avg", partition="val").sort("branch_id")
    names = {(row["branch_id"], row["branch_name"]) for row in rows.iter_rows(named=True)}
    assert {(0, "a/branch_0"), (1, "a/branch_1"), (2, "b")} <= names


def test_each_branch_is_a_chain_of_its_own_with_its_own_label(data, store):
    steps = [StandardScaler(), KFold(3), {"branch": {"few": [PCA(2)], "more": [MinMaxScaler(), PCA(4)]}}, Ridge()]
    result = run(steps, data, workspace=store)
    rows = result.predictions.filter(fold_id="avg", partition="val").sort("branch_id")
    assert rows["branch_name"].to_list() == ["few", "more"]
    assert rows["preprocessings"].to_list() == ["StandardScaler>PCA", "StandardScaler>MinMaxScaler>PCA"]
    assert rows["chain_id"].n_unique() == 2
    paths = [store.get_chain(chain)["branch_path"] for chain in rows["chain_id"]]
    assert paths == [[0], [1]]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "is empty, expected a list of steps"),
        ([{"class": "sklearn.linear_model.Ridge", "params": {}}], r"PipelineLibrary\.build makes operators"),
        ([{"split": Ridge()}], "has no split"),
        (StandardScaler(), "expected a list of steps"),
        ([StandardScaler(), "pls"], r"\[1\] is a str"),
        ([{"modle": Ridge()}], "modle"),
        ([{"_or_": []}], "_or_"),
        ([{"_range_": [3, 1], "param": "alpha", "model": Ridge()}], "_range_"),
        ([{"_range_": [1, 3], "param": "beta", "model": Ridge()}], "beta"),
        ([{"branch": [Ridge()]}], "branch"),
        ([{"y_processing": PCA()}, object()], "object"),
        ([FunctionTransformer(lambda X: X), Ridge()], "lambda"),
        ({}, "no pipeline"),
        ([StandardScaler()], "no model"),
        ([{"branch": [[Ridge()], [PCA(1)]]}], "no model"),
        ([Ridge(), StandardScaler()], "not the last"),
        ([KFold(3), {"branch": [[KFold(3)], []]}, Ridge()], "one splitter"),
    ],
)
def test_what_is_no_pipeline_is_refused_before_anything_is_kept(steps, said, data, fresh):
    with pytest.raises(InvalidInput, match=said):
        run(steps, data, workspace=fresh)
    assert len(fresh.list_runs()) == 0


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"source": [[PCA(1)], [PCA(1)]]}, Ridge()], "source"),
        ([KFold(61), Ridge()], "61"),
    ],
)
def test_steps_that_do_not_fit_fail_with_the_reason(steps, said, data, store):
    with pytest.raises(TrainingFailed, match=said) as caught:
        run(steps, data, workspace=store)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_pipeline_that_was_kept_is_trained_again(data, fresh, tmp_path):
    library = PipelineLibrary(tmp_path)
    steps = [np.sqrt, {"y_processing": MinMaxScaler()}, KFold(3), {"branch": {"a": [PCA(2)], "b": []}}, Ridge(2.0)]
    first = run(steps, data, workspace=fresh)
    kept = first.store.list_pipelines(run_id=first.run_id)["pipeline_id"].item()
    library.save_template(fresh.get_pipeline(kept)["expanded_config"], "again")
    again = run(library.build(library.load_template("again")), data, workspace=fresh)
    assert again.predict(data["X_test"]).tobytes() == first.predict(data["X_test"]).tobytes()
    assert again.top(9)["preprocessings"].to_list() == first.top(9)["preprocessings"].to_list()


def test_a_table_is_predicted_for_by_the_names_of_its_columns(data, fresh, tmp_path):
    pl = pytest.importorskip("polars")
    names = ["rain", "snow", "sun", "wind", "soil", "moon"]
    table = pl.DataFrame(data["X"], schema=names).with_columns(q=data["y"])
    result = run([StandardScaler(), KFold(3), Ridge()], table, target="q", workspace=fresh)
    asked = pl.DataFrame(data["X_test"], schema=names)
    turned = asked.select(pl.lit("today").alias("day"), *reversed(names))
    for answer in (result.predict, lambda X: predict(result.export(tmp_path / "m"), X)):
        assert answer(turned).tobytes() == answer(data["X_test"]).tobytes()
        with pytest.raises(ReplayError, match="no column rain"):
            answer(asked.drop("rain"))


SCRIPT = """
import sys
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from hmp_catalog.experiments import run

class Normal(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)

def shifted(y):
    return y + 1

X = np.random.default_rng(1).gamma(2.0, size=(30, 4))
result = run([shifted, np.log, KFold(3), make_pipeline(Normal(), Ridge())], (X, X[:, 0]), workspace=sys.argv[1])
result.export(sys.argv[1] + "/model.n4a")
result.export(sys.argv[1] + "/model.py")
np.savetxt(sys.argv[1] + "/asked.csv", X, delimiter=",")
np.savetxt(sys.argv[1] + "/said.csv", result.predict(X))
"""


def test_what_a_script_defines_predicts_where_the_script_is_not(tmp_path, python: Callable[..., str]):
    python(SCRIPT, tmp_path)
    asked, said = (np.loadtxt(tmp_path / name, delimiter=",") for name in ("asked.csv", "said.csv"))
    assert predict(tmp_path / "model.n4a", asked).tobytes() == said.tobytes()
    with WorkspaceStore(tmp_path, read_only=True) as store:
        chain = store.query_predictions()["chain_id"][0]
        assert store.replay_chain(chain, asked).tobytes() == said.tobytes()
    words = [sys.executable, "-I", *(tmp_path / name for name in ("model.py", "asked.csv", "out.csv"))]
    subprocess.run(words, check=True, capture_output=True)
    assert np.loadtxt(tmp_path / "out.csv").tobytes() == said.tobytes()


def test_an_unknown_metric_is_refused(data, store):
    with pytest.raises(InvalidInput, match="expected one of rmse"):
        run([Ridge()], data, workspace=store, metric="kge")


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_pipeline_that_raises_fails_and_the_others_go_on(data, store):
    result = run({"bad": [StandardScaler(), Broken()], "good": [KFold(3), Ridge()]}, data, workspace=store)
    assert result.summary["failed"] == {"bad": "ValueError: no such luck"}
    frame = store.list_pipelines(run_id=result.run_id)
    found = {row["name"]: row for row in frame.iter_rows(named=True)}
    assert {name: row["status"] for name, row in found.items()} == {"bad": "failed", "good": "completed"}
    assert "Traceback" in found["bad"]["error"]
    assert store.get_run(result.run_id)["status"] == "completed"
    assert set(result.predictions["pipeline_id"]) == {found["good"]["pipeline_id"]}


def test_a_run_of_which_all_fails_is_failed_and_says_why(data, store):
    with pytest.raises(TrainingFailed) as caught:
        run([Broken()], data, workspace=store)
    assert isinstance(caught.value.__cause__, ValueError)
    assert store.get_run(caught.value.run_id)["status"] == "failed"


def test_an_interrupt_fails_the_run_and_goes_on(data, fresh):
    with pytest.raises(KeyboardInterrupt):
        run([Broken(KeyboardInterrupt)], data, workspace=fresh)
    assert fresh.list_runs()["status"].to_list() == ["failed"]
    assert set(fresh.list_pipelines()["status"]) == {"failed"}


def test_a_second_branch_that_fails_takes_the_first_with_it(data, fresh):
    with pytest.raises(TrainingFailed):
        run([KFold(3), {"branch": [[Ridge()], [Broken()]]}], data, workspace=fresh)
    assert len(fresh.query_predictions()) == 0


# ── the same again ───────────────────────────────────────────────────────────────────────────────────


def artifacts(result: Result) -> dict[str, Any]:
    chain = result.store.get_chain(result.best["chain_id"])
    return {"folds": chain["fold_artifacts"], "shared": chain["shared_artifacts"]}


@pytest.mark.parametrize("model", [PLSRegression(3), RandomForestRegressor(5)])
def test_the_same_pipeline_on_the_same_data_leaves_the_same_artefacts(model, data, store):
    steps = [StandardScaler(), KFold(5, shuffle=True), model]
    once, again = (artifacts(run(steps, data, workspace=store, random_state=7)) for _ in range(2))
    assert once == again


def test_on_other_targets_each_run_replays_its_own_models(data, store):
    steps = [StandardScaler(), KFold(5), PLSRegression(3)]
    other = data | {"y": 100 - 5 * data["y"], "y_test": 100 - 5 * data["y_test"]}
    one, two = run(steps, data, workspace=store), run(steps, other, workspace=store)
    assert artifacts(one)["shared"] == artifacts(two)["shared"]
    assert not set(artifacts(one)["folds"].values()) & set(artifacts(two)["folds"].values())
    for result, own, foreign in ((one, data, other), (two, other, data)):
        predicted = result.predict(data["X_test"])
        assert root_mean_squared_error(own["y_test"], predicted) < 1
        assert root_mean_squared_error(foreign["y_test"], predicted) > 10


# ── from training to a file, as a user would ─────────────────────────────────────────────────────────


def groundwater() -> Path:
    home = os.environ.get("HMP_TEST_DATA")
    return (Path(home) if home else Path(__file__).parents[4] / "shared" / "data") / "groundwater"


def heads() -> dict[str, Any]:
    """Return heads of a well, and the rain and evaporation of the 30, 90 and 365 days before each."""
    if not (groundwater() / "head_nb1.csv").is_file():
        pytest.skip(f"no {groundwater()}; HMP_TEST_DATA names the folder of the real data")

    def series(name: str) -> tuple[np.ndarray, np.ndarray]:
        lines = np.genfromtxt(
            groundwater() / f"{name}_nb1.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
        )
        days, values = (lines[column] for column in lines.dtype.names)
        return days.astype("datetime64[D]"), values.astype(float)

    when, head = series("head")
    columns = []
    for name in ("rain", "evap"):
        days, values = series(name)
        total = np.concatenate([[0.0], np.cumsum(values)])
        at = np.searchsorted(days, when)
        columns += [total[at] - total[np.maximum(at - back, 0)] for back in (30, 90, 365)]
    X, cut = np.column_stack(columns), 2 * len(head) // 3
    return {"X": X[:cut], "y": head[:cut], "X_test": X[cut:], "y_test": head[cut:], "name": "heads"}


@pytest.fixture(scope="module", params=["made", "heads"])
def trained(request: pytest.FixtureRequest, data, store) -> tuple[dict[str, Any], Result]:
    """Return data, and what a run of two pipelines on them came out with."""
    used = data if request.param == "made" else heads()
    pipelines = {
        "pls": [StandardScaler(), KFold(5), PLSRegression(3)],
        "forest": [StandardScaler(), KFold(5), RandomForestRegressor(5)],
    }
    return used, run(pipelines, used, workspace=store, random_state=0)


def test_something_is_learned(trained):
    used, result = trained
    assert result.summary["n_completed"] == 2
    assert result.best["val_score"] < used["y"].std()


def test_store_and_bundle_predict_the_same_numbers(trained, tmp_path):
    used, result = trained
    assert_replayed(result, used["X_test"])
    for row in result.top(2).iter_rows(named=True):
        bundle = result.export(tmp_path / f"{row['model_name']}.n4a", row["prediction_id"])
        again = result.replay(row["chain_id"], used["X_test"])
        assert predict(bundle, used["X_test"]).tolist() == again.tolist()


def test_the_script_predicts_the_same_numbers_in_another_process(trained, tmp_path, python: Callable[..., str]):
    used, result = trained
    np.savetxt(tmp_path / "new.csv", used["X_test"], delimiter=",", header=",".join("abcdef"), comments="", fmt="%.17g")
    script = result.export(tmp_path / "best.n4a.py")
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    python(code, script, tmp_path / "new.csv", tmp_path / "out.csv")
    found = np.genfromtxt(tmp_path / "out.csv", delimiter=",")
    assert found[~np.isnan(found)].tolist() == result.predict(used["X_test"]).tolist()
