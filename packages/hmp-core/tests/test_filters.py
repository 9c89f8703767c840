"""Filters: keywords become conditions whose values are bound, and an unknown one says what is known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import InvalidInput, UnknownFilter
from hmp_core.filters import OPERATORS, Bound, compare, during, where, within

COLUMNS = {"solver": "t.solver", "nse": "t.nse", "nse_gt": "t.odd"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> DuckDBBackend:
    backend = DuckDBBackend(tmp_path_factory.mktemp("filters") / "a.duckdb", create=True)
    backend.execute("CREATE TABLE runs (solver VARCHAR, nse DOUBLE)")
    for solver, nse in (("gr4j", 0.8), ("GR4J", 0.5), ("modflow6", 0.9), (None, None), ("o'%_", math.nan)):
        backend.insert("runs", {"solver": solver, "nse": nse})
    return backend


def _found(table: DuckDBBackend, **filters: Any) -> set[Any]:
    bound = Bound()
    conditions = where(filters, {"solver": "solver", "nse": "nse"}, bound)
    sql = f"SELECT solver FROM runs WHERE {' AND '.join(conditions) or 'TRUE'}"
    return {row[0] for row in table.fetch_all(sql, bound.values)}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {"gr4j", "GR4J", "modflow6", None, "o'%_"}),
        ({"solver": "gr4j"}, {"gr4j"}),
        ({"solver": ["gr4j", "modflow6"]}, {"gr4j", "modflow6"}),
        ({"solver": ("gr4j", None)}, {"gr4j", None}),
        ({"solver": [None]}, {None}),
        ({"solver": []}, set()),
        ({"solver_ne": "gr4j"}, {"GR4J", "modflow6", "o'%_"}),
        ({"solver_ne": ["gr4j", "GR4J"]}, {"modflow6", "o'%_"}),
        ({"solver_ne": []}, {"gr4j", "GR4J", "modflow6", None, "o'%_"}),
        ({"solver": None}, {None}),
        ({"solver_ne": None}, {"gr4j", "GR4J", "modflow6", "o'%_"}),
        ({"solver_ne": ["gr4j", None]}, {"GR4J", "modflow6", "o'%_"}),
        ({"solver_like": "gr%"}, {"gr4j", "GR4J"}),
        ({"solver": "o'%_"}, {"o'%_"}),
        ({"nse_gte": 0.8, "nse_lt": 0.9}, {"gr4j"}),
        ({"nse_lte": 0.5}, {"GR4J"}),
        ({"solver": "gr4j", "nse_gt": 0.9}, set()),
    ],
)
def test_what_is_asked_is_found(table: DuckDBBackend, filters: dict[str, Any], found: set[Any]) -> None:
    assert _found(table, **filters) == found


def test_a_name_beats_a_suffix() -> None:
    assert where({"nse_gt": 1}, COLUMNS, Bound()) == ["t.odd = $1"]


@pytest.mark.parametrize("key", ["solvr", "nse_above", "solver_gt_gt", "", "gt"])
def test_an_unknown_key_lists_the_known(key: str) -> None:
    with pytest.raises(UnknownFilter) as refused:
        where({key: 1}, COLUMNS, Bound())
    assert refused.value.valid == sorted(COLUMNS)
    assert refused.value.key == key
    assert isinstance(refused.value, ValueError)


def test_a_slip_is_recognised() -> None:
    with pytest.raises(UnknownFilter, match=r"did you mean solver\?"):
        where({"solvr": 1}, COLUMNS, Bound())


@pytest.mark.parametrize("operator", sorted(set(OPERATORS) - {"ne"}))
@pytest.mark.parametrize("value", [None, [1, 2], (), {3}])
def test_only_one_value_can_be_greater(operator: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"solver_{operator}"):
        where({f"solver_{operator}": value}, COLUMNS, Bound())


def test_values_are_never_part_of_the_text() -> None:
    bound = Bound()
    conditions = where({"solver": "'; DROP TABLE runs; --", "nse": [1, "2"]}, COLUMNS, bound)
    assert conditions == ["t.solver = $1", "t.nse IN ($2, $3)"]
    assert bound.values == ["'; DROP TABLE runs; --", 1, "2"]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("=", "a", "(s.x IN ($1))"),
        ("=", ["a", None], "(s.x IN ($1) OR s.x IS NULL)"),
        ("=", [], "(FALSE)"),
        ("=", None, "s.x IS NULL"),
        ("<>", "a", "NOT coalesce((s.x IN ($1)), FALSE)"),
        ("<>", ["a", None], "NOT coalesce((s.x IN ($1) OR s.x IS NULL), FALSE)"),
        ("<>", None, "s.x IS NOT NULL"),
        (">", 3, "s.x > $1"),
    ],
)
def test_what_is_missing_differs_from_any_value(operator: str, value: Any, expected: str) -> None:
    assert compare("s.x", operator, value, Bound(), "x") == expected


@pytest.mark.parametrize(("operator", "value"), [(">", None), (">=", [1, 2]), ("ILIKE", 3), ("ILIKE", None)])
def test_one_value_is_compared_with_one(operator: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="x"):
        compare("s.x", operator, value, Bound(), "x")


@pytest.mark.parametrize("box", [(), (1, 2, 3), (3, 0, 1, 1), (0, 3, 1, 1)])
def test_a_box_that_is_none_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="xmin"):
        within(box, Bound())


def test_a_period_may_be_open_at_either_end() -> None:
    assert len(during(None, None, Bound())) == 1
    assert len(during("2001-01-01", None, Bound(), covers=True)) == 3
