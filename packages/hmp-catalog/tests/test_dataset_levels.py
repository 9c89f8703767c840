"""Columns onto other levels: linear in the level, and nothing beyond the column."""

from __future__ import annotations

import numpy as np
import pytest

from hmp_catalog.datasets.interp.levels import relevelled, targets
from hmp_core.errors import InvalidInput

NAN = np.nan


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("ascending", [True, False])
def test_columns_are_those_of_numpy(axis: int, ascending: bool) -> None:
    rng = np.random.default_rng(1)
    levels = np.cumsum(rng.uniform(0.1, 1, (7, 4, 5)), axis=0)
    values = rng.normal(size=(7, 4, 5))
    wanted = np.array([0.05, 1.0, 2.0, 9.0, 1.5])
    expected = np.empty((5, 4, 5))
    for at in np.ndindex(4, 5):
        column = (slice(None), *at)
        expected[column] = np.interp(wanted, levels[column], values[column], left=NAN, right=NAN)
    step = 1 if ascending else -1
    mine = relevelled(np.moveaxis(values[::step], 0, axis), np.moveaxis(levels[::step], 0, axis), wanted, axis)
    np.testing.assert_allclose(np.moveaxis(mine, axis, 0), expected, rtol=0, atol=1e-12)
    assert np.isnan(mine).any()


@pytest.mark.parametrize(
    ("levels", "values", "wanted", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], [1, 3, 0.9, 3.1, 2.5], [10, 30, NAN, NAN, 25]),
        ([1, 2, 3], [10, NAN, 30], [1, 1.5, 2, 2.5, 3], [10, NAN, NAN, NAN, 30]),
        ([1, NAN, 3], [10, 99, 30], [1, 2, 3], [10, 20, 30]),
        ([1, 2, NAN], [10, 20, 99], [2, 2.5], [20, NAN]),
        ([NAN, NAN, NAN], [1, 2, 3], [1], [NAN]),
        ([1, 2, 2, 3], [10, 20, 20, 30], [1.5, 2, 2.5], [15, 20, 25]),
        ([1], [10], [1, 2], [10, NAN]),
        ([1, np.inf, 3], [10, 99, np.inf], [1, 2, 3], [10, NAN, NAN]),
        ([1, -np.inf, 3], [10, 99, 30], [1, 2, 3, 4], [10, 20, 30, NAN]),
    ],
    ids=[
        "ends",
        "missing value",
        "missing level",
        "missing top",
        "no level",
        "twice",
        "alone",
        "infinite",
        "below all",
    ],
)
def test_missing_cells_and_ends(levels: list, values: list, wanted: list, expected: list) -> None:
    found = relevelled(np.array(values, dtype=float), np.array(levels, dtype=float), np.array(wanted, dtype=float), 0)
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("wanted", [[], [[1.0]], 5.0, [1.0, NAN], ["high"]], ids=str)
def test_levels_that_are_none_are_refused(wanted: object) -> None:
    with pytest.raises(InvalidInput, match="target_levels"):
        targets(wanted)
