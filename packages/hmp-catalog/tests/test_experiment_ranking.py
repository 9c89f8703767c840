"""Which predictions are best: against a plain sort of Python, in memory and by the engine."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars")

sys.path.append(str(Path(__file__).parent))
import numpy as np
from experiment_rows import START, empty, ids, put
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.experiments import queries
from hmp_catalog.experiments.ranking import GROUPS, Ranking
from hmp_catalog.experiments.schema import SCORES
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import InvalidInput


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> DuckDBBackend:
    return empty(tmp_path_factory.mktemp("ranking"))


def _frame(backend: DuckDBBackend, *rows: dict[str, Any]) -> Any:
    backend.execute("DELETE FROM predictions")
    put(backend, "predictions", *rows)
    return queries.predictions(backend)


def _both(backend: DuckDBBackend, frame: Any, *asked: Any, **named: Any) -> list[str]:
    """Return what is best, which memory and engine must agree about."""
    wanted = Ranking(*asked, **named)
    found = wanted.of_frame(frame)
    assert found.equals(queries.top(backend, wanted))
    return list(ids(found))


def test_no_score_comes_last_both_ways(backend: DuckDBBackend) -> None:
    scores = [None, 0.2, math.nan, 0.1, math.inf, -math.inf]
    frame = _frame(backend, *[{"val_score": score} for score in scores])
    assert _both(backend, frame, 6) == ["p5", "p3", "p1", "p4", "p0", "p2"]
    assert _both(backend, frame, 6, ascending=False) == ["p4", "p1", "p3", "p5", "p0", "p2"]
    assert _both(backend, frame, 4, ascending=False) == ["p4", "p1", "p3", "p5"]


def test_equal_scores_are_in_the_order_they_were_made_then_by_id(backend: DuckDBBackend) -> None:
    rows: list[dict[str, Any]] = [
        {"prediction_id": name, "val_score": 0.5, "created_at": START} for name in ("z", "é", "B", "a")
    ]
    frame = _frame(backend, *rows, {"prediction_id": "0", "val_score": 0.5, "created_at": START + timedelta(seconds=1)})
    for ascending in (True, False):
        assert _both(backend, frame, 3, ascending=ascending) == ["B", "a", "z"]
        assert _both(backend, frame, 9, ascending=ascending) == ["B", "a", "z", "é", "0"]


def test_both_zeros_are_the_same_score(backend: DuckDBBackend) -> None:
    frame = _frame(backend, {"val_score": 0.0}, {"val_score": -0.0}, {"val_score": 0.0})
    assert _both(backend, frame, 2) == ["p0", "p1"]
    assert _both(backend, frame, 3, ascending=False) == ["p0", "p1", "p2"]


def test_validation_is_ranked_unless_another_partition_is_named(backend: DuckDBBackend) -> None:
    rows = [
        {"partition": name, "val_score": n, "dataset_name": "ab"[n % 2]}
        for n, name in enumerate(["test", "val", "val"])
    ]
    frame = _frame(backend, *rows)
    assert _both(backend, frame, 9) == ["p1", "p2"]
    assert _both(backend, frame, 9, partition="test") == ["p0"]
    assert _both(backend, frame, 9, partition=None) == ["p0", "p1", "p2"]
    assert _both(backend, frame, 9, partition=None, dataset_name="a") == ["p0", "p2"]


def test_groups_are_in_order_and_so_are_the_ranks_within(backend: DuckDBBackend) -> None:
    rows = [
        {"branch_name": name, "val_score": score}
        for name, score in [("b", 3), ("a", 2), (None, 0), ("b", 1), ("a", 5), ("a", None), ("b", 2)]
    ]
    frame = _frame(backend, *rows)
    assert _both(backend, frame, 2, group_by="branch_name") == ["p1", "p4", "p3", "p6", "p2"]
    assert _both(backend, frame, 1, ascending=False, group_by="branch_name") == ["p4", "p0", "p2"]
    assert Ranking(1, group_by="branch_name").of_frame(frame).columns == frame.columns


def test_nothing_is_best_of_nothing(backend: DuckDBBackend) -> None:
    frame = _frame(backend)
    for named in ({}, {"group_by": "model_class"}):
        assert _both(backend, frame, 5, **named) == []
        assert Ranking(5, **named).of_frame(frame).schema == frame.schema
    frame = _frame(backend, {"val_score": 1.0})
    assert _both(backend, frame, 0) == _both(backend, frame, 0, group_by="model_class") == []
    assert _both(backend, frame, 10**30) == _both(backend, frame, np.int64(1)) == ["p0"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ((-1,), "n"),
        ((1.5,), "n"),
        ((True,), "n"),
        (("3",), "n"),
        ((1, "scores"), "metric"),
        ((1, "val_score; DROP TABLE runs"), "metric"),
        ((1, "n_samples"), "metric"),
        ((1, "val_score", True, 3), "partition"),
        ((1, "val_score", True, "val", 3), "dataset_name"),
        ((1, "val_score", True, "val", None, "val_score"), "group_by"),
        ((1, "val_score", True, "val", None, "1; DROP TABLE runs"), "group_by"),
        ((1, "val_score", True, "val", None, "prediction_id"), "group_by"),
    ],
)
def test_what_does_not_rank_is_refused(asked: tuple[Any, ...], named: str) -> None:
    with pytest.raises(InvalidInput, match=named) as refused:
        Ranking(*asked)
    assert isinstance(refused.value, ValueError)


def test_every_group_is_a_column(backend: DuckDBBackend) -> None:
    assert set(GROUPS) < set(queries.predictions(backend).columns)


# ── against a plain sort ─────────────────────────────────────────────────────────────────────────────

_scores = st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 0.5, 1.0, math.nan])
_rows = st.fixed_dictionaries(
    {
        "prediction_id": st.uuids().map(str),
        "partition": st.sampled_from(["val", "test"]),
        "dataset_name": st.sampled_from(["wheat", "corn"]),
        "model_class": st.sampled_from(["a", "B", "é", ""]),
        "branch_id": st.none() | st.integers(-1, 2),
        "created_at": st.integers(0, 2).map(lambda n: START + timedelta(microseconds=n)),
        **dict.fromkeys(SCORES, _scores),
    }
)


def _plainly(rows: list[dict[str, Any]], wanted: Ranking) -> list[str]:
    def score(row: dict[str, Any]) -> float | None:
        value = row[wanted.metric]
        return None if value is None or math.isnan(value) else value if wanted.ascending else -value

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        return score(row) is None, score(row) or 0.0, row["created_at"], row["prediction_id"]

    def group(row: dict[str, Any]) -> tuple[Any, ...]:
        name = row[wanted.group_by] if wanted.group_by else None
        return name is None, name

    fits = {"partition": wanted.partition, "dataset_name": wanted.dataset_name}
    found = [row for row in rows if all(row[name] == value for name, value in fits.items() if value is not None)]
    found.sort(key=rank)
    if wanted.group_by:
        named, nameless = [r for r in found if group(r)[1] is not None], [r for r in found if group(r)[1] is None]
        found = [*sorted(named, key=group), *nameless]
    return [row["prediction_id"] for _, each in groupby(found, group) for row in list(each)[: wanted.n]]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(_rows, max_size=12, unique_by=lambda row: row["prediction_id"]),
    wanted=st.builds(
        Ranking,
        st.integers(0, 8),
        st.sampled_from(SCORES),
        st.booleans(),
        st.sampled_from(["val", "test", None]),
        st.sampled_from(["wheat", None]),
        st.sampled_from([None, "model_class", "branch_id", "partition"]),
    ),
)
def test_the_best_are_those_of_a_plain_sort(
    backend: DuckDBBackend, rows: list[dict[str, Any]], wanted: Ranking
) -> None:
    frame = _frame(backend, *rows)
    found = wanted.of_frame(frame)
    assert ids(found) == _plainly(rows, wanted)
    assert ids(queries.top(backend, wanted)) == _plainly(rows, wanted)
    if not found.is_empty():
        assert found.equals(queries.top(backend, wanted))


def test_the_best_do_not_depend_on_the_order_of_the_frame(backend: DuckDBBackend) -> None:
    frame = _frame(backend, *[{"val_score": n % 7} for n in range(50)])
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    assert Ranking(10).of_frame(shuffled).equals(Ranking(10).of_frame(frame))
    grouped = Ranking(3, group_by="fold_id")
    assert grouped.of_frame(shuffled).equals(grouped.of_frame(frame))
