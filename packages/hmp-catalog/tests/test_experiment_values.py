"""Values of an experiment as JSON keeps them: code by its name, and nothing that another process could not read."""

from __future__ import annotations

import functools
import json
import math
import statistics
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hmp_catalog.experiments.values import kept
from hmp_catalog.plain import dumps, plain
from hmp_core.errors import InvalidInput

pytest.importorskip("sklearn")
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
NUMPY = hnp.arrays(hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.boolean_dtypes(), hnp.array_shapes(max_side=3))
CODE = st.sampled_from([StandardScaler, np.float32, np.log1p, statistics.median, len, Path])
ESTIMATORS = st.builds(Ridge, alpha=PLAIN) | st.builds(FunctionTransformer, CODE) | st.builds(KFold, st.integers(2, 9))
VALUES = st.recursive(
    PLAIN | NUMPY | NUMPY.map(lambda array: array.flat[0]) | CODE | ESTIMATORS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.dictionaries(st.integers(), inner, max_size=2)
        | inner.map(make_pipeline)
    ),
    max_leaves=12,
)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=12)


@given(VALUES)
def test_whatever_is_kept_is_canonical_json_and_keeps_its_form(value):
    found = kept(value, "config")
    text = dumps(found)
    assert json.loads(text) == found
    assert kept(found, "config") == found
    assert dumps(json.loads(text)) == text
    assert " at 0x" not in text


@given(JSON)
def test_what_plain_keeps_is_kept_as_plain_does(value):
    assert kept(value, "config") == plain(value)


RIDGE = {"class": "sklearn.linear_model._ridge.Ridge", "params": plain(Ridge(2).get_params())}


class Own:
    """An estimator of somebody else."""

    class Inner:
        """A class in a class, which a name leads to."""

    def __init__(self, size: Any = 1) -> None:
        self.size = size

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"size": self.size, "deep": deep}


def reduce_(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Ridge(2), RIDGE),
        (Own(Ridge(2)), {"class": f"{__name__}.Own", "params": {"size": RIDGE, "deep": False}}),
        ([{"model": Ridge(2)}, None], [{"model": RIDGE}, None]),
        (np.array([Ridge(2), 1], dtype=object), [RIDGE, 1]),
        (Ridge, {"class": "sklearn.linear_model._ridge.Ridge"}),
        (Own.Inner, {"class": f"{__name__}.Own.Inner"}),
        (np.float64, {"class": "numpy.float64"}),
        (reduce_, {"function": f"{__name__}.reduce_"}),
        (np.log1p, {"function": "numpy.log1p"}),
        (len, {"function": "builtins.len"}),
        ({KFold: 1}.keys(), InvalidInput),
        (KFold(4).get_n_splits, InvalidInput),
        (
            KFold(4),
            {
                "class": "sklearn.model_selection._split.KFold",
                "params": {"n_splits": 4, "shuffle": False, "random_state": None},
            },
        ),
        (
            RepeatedKFold(n_splits=4, n_repeats=2),
            {
                "class": "sklearn.model_selection._split.RepeatedKFold",
                "params": {"n_splits": 4, "n_repeats": 2, "random_state": None},
            },
        ),
        (np.int64(7), 7),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        ({3, 1, 2}, [1, 2, 3]),
        ({Ridge, Lasso}, [{"class": "sklearn.linear_model._coordinate_descent.Lasso"}, {"class": RIDGE["class"]}]),
        (PurePosixPath("a/b"), "a/b"),
        ([math.nan, math.inf, -math.inf], ["nan", "inf", "-inf"]),
        (date(2001, 1, 1), "2001-01-01"),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Series(["a", None], dtype=object), ["a", None]),
        (True, True),
    ],
)
def test_each_kind_has_its_form(value, expected):
    if expected is InvalidInput:
        with pytest.raises(InvalidInput):
            kept(value, "config")
    else:
        found = kept(value, "config")
        assert found == expected
        assert dumps(found) == dumps(expected)


def test_whole_estimators_of_scikit_learn_are_kept():
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": np.logspace(0, 2, 3)}, cv=KFold(2))
    target = TransformedTargetRegressor(search, func=np.log1p, inverse_func=np.expm1)
    found = kept([OneHotEncoder(), ShuffleSplit(3), target], "steps")
    assert found[2]["params"]["regressor"]["params"]["param_grid"] == {"ridge__alpha": [1.0, 10.0, 100.0]}
    assert found[2]["params"]["func"] == {"function": "numpy.log1p"}
    assert found[2]["params"]["regressor"]["params"]["estimator"]["params"]["steps"][1] == [
        "ridge",
        {"class": RIDGE["class"], "params": plain(Ridge().get_params())},
    ]


def test_ufuncs_of_scipy_are_kept():
    special = pytest.importorskip("scipy.special")
    assert kept(special.expit, "link") == {"function": "scipy.special.expit"}


class Unknowing:
    """An estimator that did not keep what it was made with."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"alpha": self.alpha}  # type: ignore[attr-defined]


def _local() -> Any:
    class Local:
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            return {}

    def function() -> None:
        """Do nothing."""

    return Local, Local(), function


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (lambda x: x, "config.a"),
        (_local()[0], "Local"),
        (_local()[1], "Local"),
        (_local()[2], "function"),
        (functools.partial(len), "config.a"),
        (Ridge().fit, "config.a"),
        (object(), "config.a"),
        (b"bytes", "config.a"),
        (np.random.RandomState(0), "config.a is a RandomState"),
        (Ridge(random_state=np.random.default_rng(0)), "config.a.random_state is a Generator"),
        ([1, [2, object()]], r"config.a\[1\]\[1\]"),
        ({object(): 1}, "a key of config.a"),
        ({(1, 2): 1}, "a key that is a tuple"),
        ({Ridge: 1}, "a key of config.a"),
        ({np.float64: 1}, "a key of config.a"),
        ({1: 1, "1": 2}, "the same as text"),
        ({"a\0": 1}, "NUL"),
        ("\ud800", "Unicode"),
        (Unknowing(), "config.a is a Unknowing that does not tell"),
        (np.array([1 + 2j]), "complex"),
    ],
)
def test_what_another_process_could_not_read_is_refused_by_its_place(value, where):
    with pytest.raises(InvalidInput, match=where) as refused:
        kept({"a": value}, "config")
    assert " at 0x" not in str(refused.value)


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}, Ridge, Own])
def test_what_refers_to_itself_is_refused(make):
    value: Any = []
    value.append(make(value))
    with pytest.raises(InvalidInput, match="nested more than 100 deep"):
        kept(value, "config")
