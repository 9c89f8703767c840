"""Replaying a chain: what was trained, on new data, to the last bit; a chain that cannot be is refused by its step."""

from __future__ import annotations

import copy
import functools
import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from hmp_catalog.errors import ReplayError
from hmp_catalog.experiments import script
from hmp_catalog.experiments.replaying import replay

N, P = 60, 8


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def X(rng):
    return rng.uniform(1, 5, (N, P))


@pytest.fixture
def y(X, rng):
    return 100 + 30 * X[:, 0] - 4 * X[:, 3] + rng.normal(0, 0.1, N)


class Shelf(dict):
    """Fitted objects by id, pickled so that no use of one is seen by another."""

    def put(self, obj):
        name = f"a{len(self)}"
        self[name] = obj
        return name

    def __call__(self, name):
        return copy.deepcopy(self[name])


@pytest.fixture
def shelf():
    return Shelf()


def step(idx, operator="T", artifact=None, **more):
    return {
        "step_idx": idx,
        "operator_class": operator,
        "params": None,
        "artifact_id": artifact,
        "stateless": False,
        **more,
    }


def chain(steps, folds=None, shared=None, **more):
    return {
        "chain_id": "c",
        "steps": steps,
        "model_step_idx": max(s["step_idx"] for s in steps),
        "model_class": "M",
        "fold_strategy": "per_fold",
        "fold_artifacts": folds or {},
        "shared_artifacts": shared or {},
        "branch_path": None,
        "source_index": None,
        **more,
    }


def folds_of(model, X, y, shelf, count=2):
    """Fit a model on each fold, and return the artefacts by fold and the models."""
    fitted = [copy.deepcopy(model).fit(X[a], y[a]) for a, _ in KFold(count).split(X)]
    return {f"fold_{n}": shelf.put(m) for n, m in enumerate(fitted)}, fitted


def constant(value, **more):
    return Constant(np.asarray(value), **more)


class Constant:
    """A model that answers the same for every sample, or the given rows."""

    def __init__(self, values, classes=None, proba=None):
        self.values = values
        if classes is not None:
            self.classes_ = np.asarray(classes)
        if proba is not None:
            self.predict_proba = functools.partial(self._proba, np.asarray(proba))

    def predict(self, X):
        return self.values if self.values.ndim and len(self.values) == len(X) else np.full(len(X), self.values)

    def _proba(self, proba, X):
        return np.broadcast_to(proba, (len(X), proba.shape[-1]))


def voted(shelf, *models, rows=3):
    folds = {f"fold_{n}": shelf.put(m) for n, m in enumerate(models)}
    return replay(chain([step(1)], folds), shelf, np.zeros((rows, 1)))


# ── regression ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", [PLSRegression(3), RandomForestRegressor(5, random_state=0), Ridge()], ids=repr)
def test_a_scaler_and_fold_models_give_the_mean_of_the_folds(model, X, y, shelf):
    scaler = StandardScaler().fit(X)
    folds, fitted = folds_of(model, scaler.transform(X), y, shelf)
    found = replay(chain([step(1), step(2)], folds, {"1": shelf.put(scaler)}), shelf, X)
    expected = np.mean([m.predict(scaler.transform(X)).ravel() for m in fitted], axis=0)
    assert found.shape == (N,)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_the_artefacts_of_a_step_may_stand_in_the_step_alone(X, y, shelf):
    scaler = StandardScaler().fit(X)
    model = Ridge().fit(scaler.transform(X), y)
    steps = [step(1, artifact=shelf.put(scaler)), step(2, artifact=shelf.put(model))]
    assert np.array_equal(replay(chain(steps), shelf, X), model.predict(scaler.transform(X)))


def test_several_artefacts_of_a_step_are_applied_in_order(X, y, shelf):
    first, second = MinMaxScaler((1, 2)).fit(X), FunctionTransformer(np.log)
    model = Ridge().fit(second.transform(first.transform(X)), y)
    ids = [shelf.put(first), shelf.put(second)]
    expected = model.predict(np.log(first.transform(X)))
    for shared, own in (({"1": ids}, None), ({}, ids)):
        steps = [step(1, artifact_ids=own), step(2)]
        assert np.array_equal(replay(chain(steps, {"fold_0": shelf.put(model)}, shared), shelf, X), expected)


@pytest.mark.parametrize(
    "scaler", [StandardScaler(copy=False), MinMaxScaler(copy=False), FunctionTransformer(lambda v: np.log(v, out=v))]
)
def test_x_is_not_modified_by_what_works_in_place(scaler, X, y, shelf):
    fitted = copy.deepcopy(scaler).fit(X.copy())
    model = Ridge().fit(fitted.transform(X.copy()), y)
    expected = model.predict(fitted.transform(X.copy()))
    before = X.copy()
    record = chain([step(1), step(2)], {"fold_0": shelf.put(model)}, {"1": shelf.put(fitted)})
    assert np.array_equal(replay(record, shelf, X), expected)
    assert np.array_equal(X, before)
    X.flags.writeable = False
    assert np.array_equal(replay(record, shelf, X), expected)


def test_a_model_that_works_in_place_leaves_the_next_fold_its_data(X, y, shelf):
    model = make_pipeline(MinMaxScaler(copy=False), Ridge())
    folds, fitted = folds_of(model, X.copy(), y, shelf, 3)
    expected = np.mean([copy.deepcopy(m).predict(X.copy()) for m in fitted], axis=0)
    np.testing.assert_allclose(replay(chain([step(1)], folds), shelf, X), expected, rtol=1e-12, atol=0)


def test_the_chain_is_not_modified(X, y, shelf):
    record = chain([step(1), step(2)], folds_of(Ridge(), X, y, shelf)[0], {"1": [shelf.put(StandardScaler().fit(X))]})
    before = copy.deepcopy(record)
    replay(record, shelf, X)
    assert record == before


@pytest.mark.parametrize("final", ["fold_final", "final"])
def test_the_final_model_answers_alone(final, X, y, shelf):
    folds, _ = folds_of(Ridge(), X, y, shelf)
    model = Ridge().fit(X, y)
    found = replay(chain([step(1)], {**folds, final: shelf.put(model)}), shelf, X)
    assert np.array_equal(found, model.predict(X))


def test_folds_are_added_up_in_the_order_of_their_numbers_however_the_record_lists_them(X, shelf, rng):
    ids = {f"fold_{n}": shelf.put(constant(rng.normal(size=N) * 10.0**n)) for n in range(12)}
    record = chain([step(1)], ids)
    shuffled = chain([step(1)], dict(sorted(ids.items())))
    assert replay(record, shelf, X).tobytes() == replay(shuffled, shelf, X).tobytes()


def test_several_outputs_keep_their_shape(X, y, shelf):
    folds, fitted = folds_of(RandomForestRegressor(4, random_state=1), X, np.column_stack([y, -y, y * 2]), shelf)
    found = replay(chain([step(1)], folds), shelf, X)
    assert found.shape == (N, 3)
    np.testing.assert_allclose(found, np.mean([m.predict(X) for m in fitted], axis=0), rtol=1e-12)


def test_one_output_is_one_dimensional_also_where_the_target_was_a_column(X, y, shelf):
    folds, _ = folds_of(LinearRegression(), X, y[:, None], shelf)
    assert replay(chain([step(1)], folds), shelf, X).shape == (N,)


def test_a_model_shared_by_all_folds_answers(X, y, shelf):
    model = Ridge().fit(X, y)
    record = chain([step(1)], {}, {"1": shelf.put(model)}, fold_strategy="shared")
    assert np.array_equal(replay(record, shelf, X), model.predict(X))


def test_the_answer_does_not_depend_on_how_x_lies_in_memory(X, y, shelf):
    folds, _ = folds_of(PLSRegression(3), X, y, shelf)
    record = chain([step(1), step(2)], folds, {"1": shelf.put(StandardScaler().fit(X))})
    wide = np.zeros((N, 2 * P))
    wide[:, ::2] = X
    answers = {replay(record, shelf, form).tobytes() for form in (X, np.asfortranarray(X), X.tolist(), wide[:, ::2])}
    assert len(answers) == 1


def test_an_ensemble_that_works_in_threads_gives_the_same_bits_each_time(rng, shelf):
    X = rng.normal(size=(300, 4))
    forest = RandomForestRegressor(40, n_jobs=2, random_state=0).fit(X, X[:, 0] * 1e3 + X[:, 1])
    record = chain([step(1)], {"fold_0": shelf.put(make_pipeline(StandardScaler(), forest).fit(X, X[:, 0] * 1e3))})
    assert len({replay(record, shelf, X).tobytes() for _ in range(10)}) == 1
    alone = copy.deepcopy(shelf["a0"]).set_params(randomforestregressor__n_jobs=1)
    assert np.array_equal(replay(record, shelf, X), alone.predict(X))


def test_the_text_of_the_rooms_gives_the_same_bits_without_hmp(X, y, shelf):
    text = "from __future__ import annotations\n" + "\n".join(map(script.body, script.ROOMS))
    assert "hmp" not in text.replace("hmp_catalog.experiments`", "")
    alone = {"__name__": "alone"}
    exec(compile(text, "alone", "exec"), alone)
    folds, _ = folds_of(PLSRegression(3), X, y, shelf)
    record = chain([step(1), step(2)], folds, {"1": shelf.put(StandardScaler().fit(X))})
    assert alone["replay"](record, shelf, X).tobytes() == replay(record, shelf, X).tobytes()
    with pytest.raises(RuntimeError, match="step 1, T: it has no artefact") as refused:
        alone["replay"](chain([step(1), step(2)], folds), shelf, X)
    assert refused.value.step == 1
    assert not isinstance(refused.value, ReplayError)


def test_a_data_frame_gives_the_same_bits_and_no_warning(X, y, shelf):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"w{n}" for n in range(P)])
    folds, _ = folds_of(PLSRegression(3), X, y, shelf)
    record = chain([step(1), step(2)], folds, {"1": shelf.put(StandardScaler().fit(X))})
    assert replay(record, shelf, frame).tobytes() == replay(record, shelf, X).tobytes()
    named = Ridge().fit(frame, y)
    found = replay(chain([step(1)], {"fold_0": shelf.put(named)}), shelf, frame)
    assert np.array_equal(found, named.predict(frame))


# ── classes ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("labels", [[0, 2], ["dry", "wet"], [False, True], [1.0, 2.0]], ids=str)
def test_classes_are_voted_on_and_keep_their_dtype(labels, X, y, shelf):
    target = np.array(labels)[(y > np.median(y)).astype(int)]
    folds, fitted = folds_of(RandomForestClassifier(3, random_state=0), X, target, shelf, 3)
    found = replay(chain([step(1)], folds), shelf, X)
    votes = np.array([m.predict(X) for m in fitted])
    expected = [max(labels, key=lambda v, at=n: (votes[:, at] == v).sum()) for n in range(N)]
    assert found.dtype == target.dtype
    assert found.tolist() == expected


def test_zero_and_two_never_average_to_one(shelf):
    found = voted(shelf, constant(0, classes=[0, 2]), constant(2, classes=[0, 2]))
    assert found.tolist() == [0, 0, 0]
    assert found.dtype == np.int64


def test_a_tie_goes_to_the_label_of_the_greatest_probability(shelf):
    unsure, sure = [0.55, 0.45], [0.1, 0.9]
    found = voted(shelf, constant("a", classes=["a", "b"], proba=unsure), constant("b", classes=["a", "b"], proba=sure))
    assert found.tolist() == ["b"] * 3


def test_a_tie_goes_to_the_smallest_label_where_one_model_tells_no_probability(shelf):
    found = voted(shelf, constant("b", classes=["a", "b"], proba=[0.0, 1.0]), constant("a", classes=["a", "b"]))
    assert found.tolist() == ["a"] * 3


def test_votes_agree_with_counting_by_hand(shelf, rng):
    classes, n = np.array(["a", "b", "c", "d"]), 200
    for folds in (1, 2, 3, 4, 5):
        votes = rng.choice(classes, (folds, n))
        proba = rng.choice([0.0, 0.25, 0.5], (folds, n, 4))
        models = [Constant(v, classes=classes) for v in votes]
        for model, p in zip(models, proba, strict=True):
            model.predict_proba = functools.partial(lambda p, X: p, p)
        found = voted(shelf, *models, rows=n)
        likely = proba.sum(axis=0)
        for at in range(n):
            count = [(votes[:, at] == c).sum() for c in classes]
            assert found[at] == classes[max(range(4), key=lambda k: (count[k], likely[at, k], -k))]


def test_a_label_for_every_sample_is_voted_on_without_a_table_of_all(shelf, rng):
    votes = rng.integers(0, 10**12, (3, 100_000))
    votes[1] = votes[0]
    found = voted(shelf, *map(Constant, votes), rows=100_000)
    assert np.array_equal(found, votes[0])


def test_a_majority_outvotes_any_probability(shelf):
    few = [constant("a", classes=["a", "b"], proba=[0.51, 0.49]) for _ in range(2)]
    assert voted(shelf, *few, constant("b", classes=["a", "b"], proba=[0.0, 1.0])).tolist() == ["a"] * 3


def test_a_fold_that_never_saw_a_class_gives_it_no_probability(shelf):
    first = constant("c", classes=["b", "c"], proba=[0.4, 0.6])
    second = constant("b", classes=["a", "b"], proba=[0.3, 0.7])
    assert voted(shelf, first, second).tolist() == ["b"] * 3


def test_a_classifier_without_probabilities_votes(X, y, shelf):
    target = np.where(y > np.median(y), "high", "low")
    folds, fitted = folds_of(LinearSVC(), X, target, shelf, 3)
    votes = np.array([m.predict(X) for m in fitted])
    expected = np.where((votes == "high").sum(axis=0) > 1, "high", "low")
    assert replay(chain([step(1)], folds), shelf, X).tolist() == expected.tolist()


@pytest.mark.parametrize("wrap", [lambda m: m, MultiOutputClassifier], ids=["forest", "wrapped"])
def test_several_outputs_of_classes_are_voted_on_each(wrap, X, y, shelf):
    target = np.column_stack([np.where(y > 150, 2, 0), np.where(X[:, 1] > 3, 7, 5)])
    folds, fitted = folds_of(wrap(RandomForestClassifier(3, random_state=0)), X, target, shelf, 3)
    found = replay(chain([step(1)], folds), shelf, X)
    votes = np.array([m.predict(X) for m in fitted])
    assert found.shape == (N, 2)
    assert np.array_equal(found[:, 0], np.where((votes[:, :, 0] == 2).sum(axis=0) > 1, 2, 0))
    assert np.array_equal(found[:, 1], np.where((votes[:, :, 1] == 7).sum(axis=0) > 1, 7, 5))


def test_whole_numbers_of_models_without_classes_are_labels(shelf):
    assert voted(shelf, constant(1), constant(3), constant(3)).tolist() == [3, 3, 3]


def test_whole_numbers_of_a_regressor_are_averaged(shelf):
    class Counts(Constant):
        _estimator_type = "regressor"

    assert voted(shelf, Counts(np.asarray(1)), Counts(np.asarray(2))).tolist() == [1.5] * 3


def test_labels_of_different_kinds_are_refused(shelf):
    with pytest.raises(ReplayError, match="differ in kind"):
        voted(shelf, constant("a", classes=["a"]), constant(1, classes=[1]))


def test_classifiers_and_regressors_in_one_chain_are_refused(shelf):
    with pytest.raises(ReplayError, match="some of its fold models tell classes"):
        voted(shelf, constant(1, classes=[1]), constant(1.0))


# ── targets ──────────────────────────────────────────────────────────────────────────────────────────


def test_processed_targets_come_back_in_original_units(X, y, shelf):
    log, scaler = FunctionTransformer(np.log, np.exp), StandardScaler()
    scaled = scaler.fit_transform(log.fit_transform(y[:, None]))
    folds, fitted = folds_of(Ridge(), X, scaled, shelf)
    steps = [step(1, operator_type="y_processing"), step(2, operator_type="y_processing"), step(3)]
    found = replay(chain(steps, folds, {"1": shelf.put(log), "2": shelf.put(scaler)}), shelf, X)
    expected = np.mean([np.exp(scaler.inverse_transform(m.predict(X).reshape(-1, 1))).ravel() for m in fitted], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.sqrt(np.mean((found - y) ** 2)) < 5


def test_a_target_step_may_be_said_by_what_stands_for_its_class(X, y, shelf):
    scaler = StandardScaler().fit(y[:, None])
    folds = {"fold_0": shelf.put(Ridge().fit(X, scaler.transform(y[:, None]).ravel()))}
    known = chain([step(1, "StandardScaler", shelf.put(scaler), operator_type="y_processing"), step(2)], folds)
    expected = replay(known, shelf, X)
    assert np.array_equal(
        replay(chain([step(1, "y_processing", shelf.put(scaler)), step(2)], folds), shelf, X), expected
    )
    with pytest.raises(ReplayError, match=r"fitted on one column, and X has .* operator_type is 'y_processing'"):
        replay(chain([step(1, "StandardScaler", shelf.put(scaler)), step(2)], folds), shelf, X)


def test_a_step_that_says_nothing_of_state_has_some(X, y, shelf):
    folds = {"fold_0": [shelf.put(Ridge().fit(X, y))]}
    with pytest.raises(ReplayError, match="no artefact, and is not stateless"):
        replay(chain([step(1, "numpy.log1p", stateless=None), step(2)], folds), shelf, X)


def test_a_target_step_without_state_is_made_anew(X, y, shelf):
    model = Ridge().fit(X, np.log(y))
    params = {"func": {"function": "numpy.log"}, "inverse_func": {"function": "numpy.exp"}}
    name = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    steps = [step(1, name, operator_type="y_processing", stateless=True, params=params), step(2)]
    found = replay(chain(steps, {"fold_0": shelf.put(model)}), shelf, X)
    assert np.array_equal(found, np.exp(model.predict(X)))


def test_an_encoder_of_labels_is_a_target_step_also_where_nothing_says_so(X, y, shelf):
    target = np.where(y > np.median(y), "wet", "dry")
    encoder = LabelEncoder().fit(target)
    folds, fitted = folds_of(RandomForestClassifier(3, random_state=0), X, encoder.transform(target), shelf, 3)
    found = replay(chain([step(1), step(2)], folds, {"1": shelf.put(encoder)}), shelf, X)
    votes = np.sum([m.predict(X) for m in fitted], axis=0)
    assert found.tolist() == np.where(votes > 1, "wet", "dry").tolist()


def test_a_target_step_that_cannot_be_undone_is_refused(X, y, shelf):
    steps = [step(1, "numpy.log1p", operator_type="y_processing", stateless=True), step(2)]
    with pytest.raises(ReplayError, match=r"step 1, numpy.log1p: .*no inverse_transform"):
        replay(chain(steps, {"fold_0": shelf.put(Ridge().fit(X, y))}), shelf, X)


def test_a_model_that_transforms_its_own_target_needs_no_step(X, y, shelf):
    model = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp)
    folds, fitted = folds_of(model, X, y, shelf)
    expected = np.mean([m.predict(X) for m in fitted], axis=0)
    np.testing.assert_allclose(replay(chain([step(1)], folds), shelf, X), expected, rtol=1e-12)


# ── steps without state, splitters, wavelengths ──────────────────────────────────────────────────────


NAN = float("nan")
FUNCTION = "sklearn.preprocessing.FunctionTransformer"


class Spread:
    """Takes a tuple, as a MinMaxScaler does."""

    def __init__(self, between=(0, 1)):
        low, high = self.between = between
        assert isinstance(between, tuple)
        self.low, self.width = low, high - low

    def transform(self, X):
        return X * self.width + self.low


class Seen:
    """A model that answers the first feature."""

    def predict(self, X):
        return np.array(X[:, 0])


@pytest.mark.parametrize(
    ("operator", "params", "expected"),
    [
        ("numpy.log1p", None, np.log1p),
        ("numpy.clip", {"a_min": 2.0, "a_max": "inf"}, lambda v: np.clip(v, 2, None)),
        ("numpy.full_like", {"fill_value": "nan", "dtype": {"class": "numpy.float32"}}, lambda v: v * NAN),
        ("sklearn.preprocessing.Normalizer", {"norm": "max"}, lambda v: v / v.max(axis=1, keepdims=True)),
        ("test_experiment_replaying.Spread", {"between": [2, 4]}, lambda v: v * 2 + 2),
        (FUNCTION, {"func": {"function": "numpy.round"}, "kw_args": {"decimals": 1}}, lambda v: v.round(1)),
    ],
)
def test_a_stateless_operator_is_applied_with_its_params(operator, params, expected, X, shelf):
    record = chain([step(1, operator, stateless=True, params=params), step(2)], {"fold_0": shelf.put(Seen())})
    assert np.array_equal(replay(record, shelf, X), expected(X)[:, 0], equal_nan=True)


@pytest.mark.parametrize(
    ("operator", "params"),
    [
        ("numpy.power", {"x2": 2}),
        ("sklearn.preprocessing.Normalizer", {"no_such": 1}),
        (FUNCTION, {"func": {"function": "numpy.no_such"}}),
        (FUNCTION, {"func": {"class": "float", "params": {}}}),
        ("sklearn.linear_model.Ridge", {}),
        ("sklearn.preprocessing.StandardScaler", {}),
    ],
)
def test_a_stateless_operator_that_does_not_take_its_params_or_is_none_is_refused(operator, params, X, shelf):
    record = chain([step(1, operator, stateless=True, params=params), step(2)], {"fold_0": shelf.put(Seen())})
    with pytest.raises(ReplayError, match=f"step 1, {operator}: ") as refused:
        replay(record, shelf, X)
    assert refused.value.step == 1


def test_a_stateless_operator_that_cannot_be_imported_is_refused(X, y, shelf):
    for name in ("SNV", "no_such_module_at_all.SNV", "numpy.no_such", "numpy..log", ".".join("a" * 99), "numpy.pi"):
        record = chain([step(1, name, stateless=True), step(2)], {"fold_0": shelf.put(Ridge().fit(X, y))})
        with pytest.raises(ReplayError, match=r"step 1, .*(say the whole name|neither a class)"):
            replay(record, shelf, X)


def test_a_splitter_changes_nothing_with_or_without_an_artefact(X, y, shelf):
    folds = {"fold_0": shelf.put(Ridge().fit(X, y))}
    expected = replay(chain([step(1)], folds), shelf, X)
    name = "sklearn.model_selection.KFold"
    for split in (
        step(1, name, stateless=True, params={"n_splits": 3}),
        step(1, name),
        step(1, "KFold", shelf.put(KFold())),
        step(1, "KFold"),
        step(1, "ShuffleSplit", stateless=True),
        step(1, "Mine", operator_type="splitter"),
    ):
        assert np.array_equal(replay(chain([split, step(2)], folds), shelf, X), expected)


def named(X, names):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    return pandas.DataFrame(X, columns=names), polars.DataFrame(X, schema=[str(name) for name in names])


@pytest.fixture
def by_names(X, y, shelf):
    """Return a chain that knows the names of its columns: wavelengths."""
    names = [str(1100 + 2 * n) for n in range(X.shape[1])]
    return chain([step(1, features=names)], {"fold_0": shelf.put(Ridge().fit(X, y))}), names


@pytest.mark.parametrize("write", [str, float, lambda name: f"{name}.0"])
def test_columns_of_a_frame_are_taken_by_their_names(write, by_names, X, shelf):
    record, names = by_names
    expected = replay(record, shelf, X)
    for frame in named(X[:, ::-1], [write(name) for name in reversed(names)]):
        assert replay(record, shelf, frame).tobytes() == expected.tobytes()
    for frame in named(np.c_[X[:, :1] * 0, X], ["date", *map(write, names)]):
        assert replay(record, shelf, frame).tobytes() == expected.tobytes()


def test_a_frame_that_lacks_a_column_is_refused_and_one_without_names_is_taken_in_order(by_names, X, shelf):
    record, names = by_names
    for frame in named(X, ["date", *names[1:]]):
        with pytest.raises(ReplayError, match="no column 1100, which the chain was trained on; it has date, 1102"):
            replay(record, shelf, frame)
    for unnamed in (*named(X, list(range(len(names)))), *named(X, [f"column_{n}" for n in range(len(names))])):
        assert np.array_equal(replay(record, shelf, unnamed), replay(record, shelf, X))


def test_features_that_are_no_names_are_refused(by_names, X, shelf):
    record, _ = by_names
    for features in ("1100", {"a": 1}, [1, 2], [None]):
        record["steps"][-1]["features"] = features
        with pytest.raises(ReplayError, match="features of the chain"):
            replay(record, shelf, X)


class Trimmed(TransformerMixin, BaseEstimator):
    """Keeps what lies within a window of wavelengths."""

    def transform(self, X, wavelengths=None):
        wavelengths *= 1  # works in place
        return X[:, wavelengths > 1200]


def test_wavelengths_reach_the_operators_that_take_them_and_are_not_modified(X, y, shelf):
    wavelengths = np.linspace(1000, 1400, P)
    model = Ridge().fit(X[:, wavelengths > 1200], y)
    steps = [step(1), step(2), step(3)]
    shared = {"1": shelf.put(FunctionTransformer()), "2": shelf.put(Trimmed())}
    found = replay(chain(steps, {"fold_0": shelf.put(model)}, shared), shelf, X, wavelengths=wavelengths)
    assert np.array_equal(found, model.predict(X[:, wavelengths > 1200]))


def test_wavelengths_reach_a_stateless_function(X, y, shelf, monkeypatch):
    module = ModuleType("spectra_of_test")
    module.scaled = lambda X, factor, wavelengths: X * wavelengths * factor
    monkeypatch.setitem(sys.modules, "spectra_of_test", module)
    model = Ridge().fit(X, y)
    steps = [step(1, "spectra_of_test.scaled", stateless=True, params={"factor": 2}), step(2)]
    wavelengths = np.arange(P)
    found = replay(chain(steps, {"fold_0": shelf.put(model)}), shelf, X, wavelengths)
    assert np.array_equal(found, model.predict(X * wavelengths * 2))


def test_augmented_features_stand_beside_the_original_ones(X, y, shelf):
    first, second = StandardScaler().fit(X), FunctionTransformer(np.log)
    wide = np.hstack([X, first.transform(X), np.log(X)])
    model = Ridge().fit(wide, y)
    ids = [shelf.put(first), shelf.put(second)]
    one = [step(1, operator_type="feature_augmentation", artifact_ids=ids), step(2)]
    two = [*(step(1, operator_type="feature_augmentation", artifact=i) for i in ids), step(2)]
    for steps in (one, two):
        found = replay(chain(steps, {"fold_0": shelf.put(model)}), shelf, X)
        assert np.array_equal(found, model.predict(wide))


def test_sparse_features_reach_the_model(shelf):
    X = np.array([["a"], ["b"], ["a"], ["c"]])
    encoder = OneHotEncoder().fit(X)
    model = Ridge().fit(encoder.transform(X), [1.0, 2.0, 1.0, 3.0])
    record = chain([step(1), step(2)], {"fold_0": shelf.put(model)}, {"1": shelf.put(encoder)})
    assert np.array_equal(replay(record, shelf, X), model.predict(encoder.transform(X)))


# ── branches ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def branches(X, y, shelf):
    """Return two chains of a pipeline with two branches, what each should predict, and its artefacts."""
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    own = [MinMaxScaler((1, 3)).fit(scaled), FunctionTransformer(np.tanh)]
    ids = [shelf.put(scaler), *map(shelf.put, own)]
    models = [Ridge().fit(t.transform(scaled), y) for t in own]
    expected = [m.predict(t.transform(scaled)) for t, m in zip(own, models, strict=True)]
    folds = [{"fold_0": shelf.put(m)} for m in models]
    return ids, folds, expected


def test_each_branch_replays_its_own_steps_once(branches, X, shelf):
    ids, folds, expected = branches
    steps = [step(1), step(2, "A", ids[1], branch_path=[0]), step(2, "B", ids[2], branch_path=[1]), step(3)]
    for n in range(2):
        for shared in ({"1": ids[0]}, {"1": [ids[0]], "2": [ids[n + 1]]}, {"1": ids[0], "2": ids[1:]}):
            found = replay(chain(steps, folds[n], shared, branch_path=[n]), shelf, X)
            assert np.array_equal(found, expected[n])


def test_steps_of_all_branches_under_one_index_apply_the_artefact_of_theirs_once(branches, X, shelf):
    ids, folds, expected = branches
    for own in ((None, None), ids[1:]):
        steps = [step(1), step(2, "A", own[0]), step(2, "B", own[1]), step(3)]
        for n in range(2):
            found = replay(chain(steps, folds[n], {"1": ids[0], "2": ids[n + 1]}, branch_path=[n]), shelf, X)
            assert np.array_equal(found, expected[n])


def test_a_repeated_entry_is_applied_once(X, y, shelf):
    model = Ridge().fit(np.log(X), y)
    log = shelf.put(FunctionTransformer(np.log))
    for steps, shared in (
        ([step(1), step(1), step(2)], {"1": log}),
        ([step(1, artifact=log), step(1, artifact=log), step(2)], {}),
        ([step(1, artifact=log), step(1, artifact=log), step(2)], {"1": [log]}),
    ):
        found = replay(chain(steps, {"fold_0": shelf.put(model)}, shared), shelf, X)
        assert np.array_equal(found, model.predict(np.log(X)))


def test_the_same_artefact_in_two_steps_is_applied_in_both(X, y, shelf):
    model = Ridge().fit(np.log1p(np.log1p(X)), y)
    log = shelf.put(FunctionTransformer(np.log1p))
    found = replay(chain([step(1), step(2), step(3)], {"fold_0": shelf.put(model)}, {"1": log, "2": log}), shelf, X)
    assert np.array_equal(found, model.predict(np.log1p(np.log1p(X))))


def test_a_step_before_the_branches_and_one_of_a_branch_within_a_branch_are_the_chains_own(X, y, shelf):
    def plus(k):
        return shelf.put(FunctionTransformer(functools.partial(np.add, k)))

    steps = [
        step(1, artifact=plus(1)),
        step(2, artifact=plus(10), branch_path=[1]),
        step(3, artifact=plus(100), branch_path=[1, 0]),
        step(3, artifact=plus(1000), branch_path=[1, 1]),
        step(4, branch_path=[1, 1]),
    ]
    model = Ridge().fit(X, y)
    found = replay(chain(steps, {"fold_0": shelf.put(model)}, branch_path=[1, 1]), shelf, X)
    np.testing.assert_allclose(found, model.predict(X + 1011))


def test_branches_that_were_merged_are_refused_not_skipped(branches, X, shelf):
    ids, folds, _ = branches
    steps = [step(2, "A", ids[1], branch_path=[0]), step(2, "B", ids[2], branch_path=[1]), step(3)]
    with pytest.raises(ReplayError, match=r"step 2, A: it stands in branch \[0\], which the chain does not follow"):
        replay(chain(steps, folds[0]), shelf, X)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sources(X, y, shelf):
    """Return two matrices, their transformers' ids, the ids of a model, and what it should predict."""
    parts = [X[:, :5], X[:, 5:]]
    scalers = [StandardScaler().fit(parts[0]), MinMaxScaler().fit(parts[1])]
    wide = np.hstack([s.transform(p) for s, p in zip(scalers, parts, strict=True)])
    model = Ridge().fit(wide, y)
    return parts, [shelf.put(s) for s in scalers], {"fold_0": shelf.put(model)}, model.predict(wide)


def test_each_source_goes_through_its_own_transformers(sources, shelf):
    parts, ids, folds, expected = sources
    by_source = {"_source_map": {"1": {"0": [ids[0]], "1": [ids[1]]}}}
    told = [step(1, source_index=0), step(1, source_index=1), step(2)]
    own = [step(1, artifact=ids[0], source_index=0), step(1, artifact=ids[1], source_index=1), step(2)]
    for record in (
        chain([step(1), step(2)], folds, {"1": ids, **by_source}),
        chain([step(1), step(2)], folds, by_source),
        chain([step(1, artifact_ids=ids), step(2)], folds, by_source),
        chain(told, folds, {"1": ids, **by_source}),
        chain(own, folds, by_source),
        chain(own, folds),
        chain(own[1::-1] + own[2:], folds),
        chain(told, folds, {"1": ids}),
    ):
        before = [p.copy() for p in parts]
        assert np.array_equal(replay(record, shelf, parts), expected)
        assert all(map(np.array_equal, parts, before))


def test_sources_are_joined_before_the_first_step_for_all_of_them(sources, y, shelf):
    parts, ids, _, _ = sources
    wide = np.hstack([shelf[i].transform(p) for i, p in zip(ids, parts, strict=True)])
    after = StandardScaler().fit(wide)
    model = Ridge().fit(after.transform(wide), y)
    steps = [step(1), step(2, "sklearn.model_selection.KFold", stateless=True), step(3), step(4)]
    shared = {"_source_map": {"1": {"0": ids[0], "1": ids[1]}}, "3": shelf.put(after)}
    found = replay(chain(steps, {"fold_0": shelf.put(model)}, shared), shelf, parts)
    assert np.array_equal(found, model.predict(after.transform(wide)))


def test_a_chain_of_one_source_takes_only_that(sources, y, shelf):
    parts, ids, _, _ = sources
    model = Ridge().fit(shelf[ids[1]].transform(parts[1]), y)
    expected = model.predict(shelf[ids[1]].transform(parts[1]))
    folds = {"fold_0": shelf.put(model)}
    mapped = chain([step(1), step(2)], folds, {"_source_map": {"1": {"0": [ids[0]], "1": [ids[1]]}}}, source_index=1)
    steps = [step(1, artifact=ids[0], source_index=0), step(1, artifact=ids[1], source_index=1), step(2)]
    for record in (mapped, chain(steps, folds, source_index=1)):
        assert np.array_equal(replay(record, shelf, parts), expected)
        assert np.array_equal(replay(record, shelf, parts[1]), expected)


def test_each_source_gets_its_own_wavelengths(y, X, shelf):
    waves = [np.linspace(1000, 1400, P), np.linspace(1100, 1500, P)]
    wide = np.hstack([X[:, w > 1200] for w in waves])
    model = Ridge().fit(wide, y)
    trimmed = shelf.put(Trimmed())
    record = chain([step(1), step(2)], {"f": shelf.put(model)}, {"_source_map": {"1": {"0": trimmed, "1": trimmed}}})
    assert np.array_equal(replay(record, shelf, [X, X], waves), model.predict(wide))


def test_the_same_artefact_serves_two_sources(X, y, shelf):
    log = shelf.put(FunctionTransformer(np.log))
    model = Ridge().fit(np.hstack([np.log(X), np.log(X)]), y)
    folds = {"fold_0": shelf.put(model)}
    steps = [step(1, artifact=log, source_index=0), step(1, artifact=log, source_index=1), step(2)]
    expected = model.predict(np.hstack([np.log(X), np.log(X)]))
    for shared in ({}, {"1": log}, {"1": [log, log]}, {"_source_map": {"1": {"0": log, "1": log}}}):
        assert np.array_equal(replay(chain(steps, folds, shared), shelf, [X, X]), expected)


def test_a_source_that_only_its_entry_knows_is_not_skipped(sources, shelf):
    parts, ids, folds, expected = sources
    steps = [step(1, artifact=ids[0], source_index=0), step(1, artifact=ids[1], source_index=1), step(2)]
    record = chain(steps, folds, {"_source_map": {"1": {"0": ids[0]}}})
    assert np.array_equal(replay(record, shelf, parts), expected)
    steps[1]["source_index"] = None
    with pytest.raises(ReplayError, match=f"{ids[1]!r} to none of the sources"):
        replay(record, shelf, parts)


def test_entries_of_several_sources_with_an_artefact_too_few_or_too_many_are_refused(sources, shelf):
    parts, ids, folds, _ = sources
    steps = [step(1, source_index=0), step(1, source_index=1), step(2)]
    for shared in (ids[:1], [*ids, ids[0]]):
        with pytest.raises(ReplayError, match="step 1, T: "):
            replay(chain(steps, folds, {"1": shared}), shelf, parts)


def test_a_chain_of_one_source_takes_its_own_of_what_the_step_shares(sources, y, shelf):
    parts, ids, _, _ = sources
    model = Ridge().fit(shelf[ids[1]].transform(parts[1]), y)
    steps = [step(1, source_index=0), step(1, source_index=1), step(2)]
    record = chain(steps, {"fold_0": shelf.put(model)}, {"1": ids}, source_index=1)
    expected = model.predict(shelf[ids[1]].transform(parts[1]))
    assert np.array_equal(replay(record, shelf, parts), expected)
    assert np.array_equal(replay(record, shelf, [p.tolist() for p in parts]), expected)
    assert np.array_equal(replay(record, shelf, parts[1].tolist()), expected)


@pytest.mark.parametrize(
    ("changed", "of", "message"),
    [
        ({}, np.hstack, "trained on several sources"),
        ({}, lambda p: p[:1], "step 1, T: it is for source 1, and X has 1"),
        ({}, lambda p: [p[0], p[1][1:]], "expected the same of each"),
        ({"source_index": 5}, lambda p: p, "trained on source 5"),
        ({"shared_artifacts": {"_source_map": {"1": {"x": "a0"}}}}, lambda p: p, "source 'x'"),
        ({"shared_artifacts": {"_source_map": {"1": {"1": "a1", "01": "a0"}}}}, lambda p: p, "source '01'"),
        ({"shared_artifacts": {"_source_map": {"1": {"9" * 5000: "a0"}}}}, lambda p: p, "expected a whole number"),
        ({"shared_artifacts": {"1": "a1", "_source_map": {"1": {"0": "a0"}}}}, lambda p: p, "'a1' to none"),
        ({"shared_artifacts": {"_source_map": {"1": ["a0"]}}}, lambda p: p, "expected a mapping"),
        ({"shared_artifacts": {"_source_map": {"7": {"0": "a0"}}}}, lambda p: p, "does not have"),
    ],
)
def test_sources_that_do_not_fit_are_refused(changed, of, message, sources, shelf):
    parts, ids, folds, _ = sources
    record = chain([step(1), step(2)], folds, {"_source_map": {"1": {"0": [ids[0]], "1": [ids[1]]}}})
    with pytest.raises(ReplayError, match=message):
        replay({**record, **changed}, shelf, of(parts))


def test_a_step_of_a_source_after_all_were_joined_is_refused(sources, shelf):
    parts, ids, folds, _ = sources
    steps = [step(1, "numpy.log1p", stateless=True), step(2), step(3)]
    with pytest.raises(ReplayError, match=r"step 2, T: .*an earlier step joined them"):
        replay(chain(steps, folds, {"_source_map": {"2": {"0": ids[0]}}}), shelf, parts)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_a_step_with_state_and_no_artefact_is_refused_not_skipped(X, y, shelf):
    folds, _ = folds_of(Ridge(), X, y, shelf)
    for shared in ({}, {"1": []}, {"1": None}):
        with pytest.raises(ReplayError, match="step 1, StandardScaler: it has no artefact") as refused:
            replay(chain([step(1, "StandardScaler"), step(2)], folds, shared), shelf, X)
        assert refused.value.step == 1


def test_a_second_operator_of_a_step_without_an_artefact_is_refused(X, y, shelf):
    folds, _ = folds_of(Ridge(), X, y, shelf)
    scaler = shelf.put(StandardScaler().fit(X))
    with pytest.raises(ReplayError, match="step 1, B: it has no artefact"):
        replay(chain([step(1, "A"), step(1, "B"), step(2)], folds, {"1": scaler}), shelf, X)


def test_what_the_loader_raises_for_a_lost_artefact_passes(X, y, shelf):
    def load(name):
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError, match="a0"):
        replay(chain([step(1)], folds_of(Ridge(), X, y, shelf)[0]), load, X)


@pytest.mark.parametrize("foreign", [object(), 3, None, {"a": 1}, StandardScaler, LinearRegression(), len])
def test_an_artefact_that_transforms_nothing_is_refused(foreign, X, y, shelf):
    record = chain([step(1), step(2)], folds_of(Ridge(), X, y, shelf)[0], {"1": shelf.put(foreign)})
    with pytest.raises(ReplayError, match=r"step 1, T: artefact 'a2' is .*, which transforms nothing"):
        replay(record, shelf, X)


@pytest.mark.parametrize("foreign", [object(), None, StandardScaler(), Ridge, len])
def test_an_artefact_that_predicts_nothing_is_refused(foreign, X, shelf):
    with pytest.raises(ReplayError, match=r"step 1, T: artefact 'a0' is .*, which predicts nothing"):
        replay(chain([step(1)], {"fold_0": shelf.put(foreign)}), shelf, X)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([StandardScaler(), Ridge()], "step 1, T: NotFittedError"),
        ([FunctionTransformer(np.sum), Ridge()], r"step 1, T: it made \(\) of 60 samples"),
        ([FunctionTransformer(lambda v: None), Ridge()], r"step 1, T: it made \(\)"),
        ([FunctionTransformer(lambda v: v[1:]), Ridge()], r"it made \(59, 8\) of 60"),
        ([FunctionTransformer(), Ridge()], "step 2, T: NotFittedError"),
        ([FunctionTransformer(), LogisticRegression()], "step 2, T: NotFittedError"),
        ([FunctionTransformer(), constant(1j)], "predicted complex128"),
        ([FunctionTransformer(), constant(np.zeros((2, 2, 2)))], "step 2, T: "),
    ],
)
def test_operators_that_refuse_or_answer_nonsense_are_named(models, message, X, shelf):
    record = chain([step(1), step(2)], {"fold_0": shelf.put(models[1])}, {"1": shelf.put(models[0])})
    with pytest.raises(ReplayError, match=message):
        replay(record, shelf, X)


def test_data_of_another_width_name_the_step_that_refused_them(X, y, shelf):
    record = chain([step(1), step(2)], folds_of(Ridge(), X, y, shelf)[0], {"1": shelf.put(StandardScaler().fit(X))})
    with pytest.raises(ReplayError, match="step 1, T: ValueError: X has 3 features") as refused:
        replay(record, shelf, X[:, :3])
    assert isinstance(refused.value.__cause__, ValueError)


def test_folds_whose_answers_differ_in_shape_are_refused(X, shelf):
    with pytest.raises(ReplayError, match="shapes that differ"):
        voted(shelf, constant(np.zeros((3, 2))), constant(np.zeros(3)))


@pytest.mark.parametrize(
    "bad", [None, 3.0, "text", object(), [[1, 2], [3]], {"a": 1}, [], np.ma.masked_less([[1, 2]], 2)]
)
def test_what_is_no_matrix_is_refused(bad, X, y, shelf):
    with pytest.raises(ReplayError):
        replay(chain([step(1)], folds_of(Ridge(), X, y, shelf)[0]), shelf, bad)


def _cyclic():
    steps: list = []
    steps.append(steps)
    return steps


def _around():
    found: dict = {"class": "sklearn.preprocessing.Normalizer"}
    found["params"] = found
    return found


_OK = step(1)
HOSTILE = {
    "no chain": None,
    "a list": [],
    "nothing": {},
    "steps are text": {"steps": "ab"},
    "steps are cyclic": {"steps": _cyclic()},
    "a step is None": {"steps": [None]},
    "no index": {"steps": [{"operator_class": "T"}]},
    "index is text": {"steps": [step("1")]},
    "index is true": {"steps": [step(True)]},
    "index is a float": {"steps": [step(1.0)]},
    "index is negative": {"steps": [step(-1)]},
    "index is huge": {"steps": [step(10**6000)]},
    "no operator": {"steps": [{"step_idx": 1}]},
    "operator is empty": {"steps": [step(1, " ")]},
    "operator is a number": {"steps": [step(1, 5)]},
    "type is a number": {"steps": [step(1, operator_type=5)]},
    "stateless is text": {"steps": [step(1, stateless="no")]},
    "artefact is a number": {"steps": [step(1, artifact=5)]},
    "artefact is empty": {"steps": [step(1, artifact_ids=[""])]},
    "artefact is nested": {"steps": [step(1, artifact_ids=[["a"]])]},
    "branch is text": {"branch_path": "0"},
    "branch is huge": {"branch_path": [10**6000]},
    "branch of a step is a mapping": {"steps": [step(1, branch_path={0: 0})]},
    "source is text": {"source_index": "0"},
    "source is huge": {"source_index": 10**6000},
    "source of a step is huge": {"steps": [step(1, source_index=10**15), step(2)], "model_step_idx": 2},
    "no model step": {"model_step_idx": None},
    "another model step": {"model_step_idx": 2},
    "model step is true": {"model_step_idx": True},
    "model step is huge": {"model_step_idx": 10**6000},
    "model in another branch": {"steps": [step(1, branch_path=[1])], "branch_path": [0]},
    "no models": {"fold_artifacts": {}},
    "models are a list": {"fold_artifacts": ["a0"]},
    "two models of a fold": {"fold_artifacts": {"fold_0": ["a0", "a0"]}},
    "a model is None": {"fold_artifacts": {"fold_0": None}},
    "a fold is a number": {"fold_artifacts": {0: "a0"}},
    "shared is a list": {"shared_artifacts": ["a0"]},
    "shared of no step": {"shared_artifacts": {"9": "a0"}},
    "shared is nested": {"shared_artifacts": {"1": {"a": "b"}}},
    "two models": {"steps": [step(1, operator_type="model"), step(2)], "model_step_idx": 2},
    "a target after the model": {"steps": [_OK, step(2, operator_type="y_processing")]},
    "an earlier step after the model": {"steps": [step(2), _OK], "model_step_idx": 2},
    "a transform at the model": {"steps": [step(1, operator_type="transform")]},
    "a model that is none of the folds": {"shared_artifacts": {"1": "b"}},
    "an artefact nobody shares": {
        "steps": [step(1, artifact="b"), step(2)],
        "model_step_idx": 2,
        "shared_artifacts": {"1": "a0"},
    },
    "params are a list": {"steps": [step(1, "numpy.log", stateless=True, params=[1]), step(2)], "model_step_idx": 2},
    "params are cyclic": {
        "steps": [step(1, "sklearn.preprocessing.Normalizer", stateless=True, params=_around()), step(2)],
        "model_step_idx": 2,
    },
    "params of no name": {"steps": [step(1, "numpy.log", stateless=True, params={1: 2}), step(2)], "model_step_idx": 2},
}


@pytest.mark.parametrize("changed", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_chain_is_refused_with_a_short_message(changed, X, y, shelf):
    good = chain([step(1)], {"fold_0": shelf.put(Ridge().fit(X, y))})
    replay(good, shelf, X)
    with pytest.raises(ReplayError) as refused:
        replay({**good, **changed} if changed else changed, shelf, X)
    assert 10 < len(str(refused.value)) < 400


def test_a_chain_of_thousands_of_steps_is_planned_at_once(X, y, shelf):
    identity = shelf.put(FunctionTransformer())
    many = [step(n, artifact=identity) for n in range(1, 3000)] + [step(1, artifact=identity) for _ in range(3000)]
    model = Ridge().fit(X, y)
    assert np.array_equal(replay(chain([*many, step(3000)], {"f": shelf.put(model)}), shelf, X), model.predict(X))


def test_the_error_survives_a_process_border(X, shelf):
    import pickle

    with pytest.raises(ReplayError) as refused:
        replay(chain([step(1)], {}), shelf, X)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.step) == (str(refused.value), 1)


def test_whatever_is_changed_in_a_chain_it_is_replayed_or_refused_and_nothing_else(sources, shelf):
    parts, ids, folds, _ = sources
    fine = chain(
        [step(1, artifact=ids[0], source_index=0), step(1, artifact=ids[1], source_index=1), step(2), step(3)],
        folds,
        {"1": ids, "2": shelf.put(FunctionTransformer()), "_source_map": {"1": {"0": [ids[0]], "1": [ids[1]]}}},
        branch_path=[0],
    )
    kept, expected = dict(shelf), replay(fine, shelf, parts)
    rng = np.random.default_rng(0)
    values = [None, True, 0, 1, 2, 3, -1, 10**40, 0.5, "", "1", ids[0], ids[1], "numpy.log1p", [], [0], [ids[0]], {}]
    values += [{"0": ids[1]}, {"1": ids}, [[]], [None], "y_processing", "feature_augmentation", "model", (1,), {1: 1}]
    ended = {"replayed": 0, "refused": 0}

    def load(name):
        if name not in kept:
            raise ReplayError(name, step=None)
        return kept[name]

    for _ in range(1500):
        record = copy.deepcopy(fine)
        for _ in range(rng.integers(1, 3)):
            _mutate(record, rng, values)
        try:
            found = replay(record, load, parts)
        except ReplayError:
            ended["refused"] += 1
        else:
            ended["replayed"] += 1
            assert found.shape == expected.shape
    assert min(ended.values()) > 100


def _mutate(node, rng, values):
    """Put one of ``values`` somewhere within a chain."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    key = keys[rng.integers(len(keys))]
    if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.8:
        _mutate(node[key], rng, values)
    else:
        node[key] = values[rng.integers(len(values))]
