"""Columns made in bulk say of every run what it says itself."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hmp_catalog.errors import SimulationNotFound

MESSY = [
    {"parameters": {"k": 1.5, "n": 3, "mode": "fast", "on": True, "gap": None, "nan": float("nan")}},
    {"parameters": {"k": "auto", "n": 2**70, "on": False, "inf": float("inf")}},
    {"parameters": {"n": 7, "mode": "1", "gap": None}},
    {},
]


@pytest.fixture
def messy(cat):
    for n, about in enumerate(MESSY):
        with cat.record("gr4j", name=f"run {n}", **about) as rec:
            rec.metric("nse", n / 10, station="outlet", variable="discharge")
            if n != 1:
                rec.metric("nse", -n / 10, station="outlet", variable="head")
            rec.metric("rmse", float("nan") if n else 1.0, station="q1")
            if n == 2:
                rec.metric("nse", 0.77, station="__outlet__", variable="head")
                rec.parameter("k", 9.0, zone="north")
    return cat.find()


def _is(cell, said):
    """Return whether a cell of a table is what a run says; a column that holds text holds all of it as JSON."""
    import json

    if cell is None or said is None:
        return cell is None and said is None
    if isinstance(cell, str) and not isinstance(said, str):
        return math.isnan(said) if cell == "NaN" else json.loads(cell) == said
    if isinstance(said, float) and math.isnan(said):
        return math.isnan(cell)
    return cell == said or cell == float(said)


def test_every_cell_is_what_the_run_says(messy):
    rows = {row["sim_id"]: row for row in messy.table.to_pylist()}
    for run in messy:
        row = rows[run.sim_id]
        for prefix, said in (("param.", run.parameters), ("metric.", run.metrics)):
            told = {key.removeprefix(prefix): cell for key, cell in row.items() if key.startswith(prefix)}
            assert said.keys() <= told.keys()
            for key, cell in told.items():
                assert _is(cell, said.get(key)), (run.name, prefix, key, cell, said.get(key))


def test_two_variables_at_one_place_have_a_column_each(messy):
    names = set(messy.table.column_names)
    assert {"metric.nse", "metric.head.nse", "metric.rmse@q1", "param.k::north"} <= names
    assert "metric.head.nse@outlet" in names  # the outlet goes by two names in one run


def test_the_rows_are_in_the_order_of_the_group(messy):
    turned = messy[::-1]
    assert turned.table["sim_id"].to_pylist() == turned.sim_ids == messy.sim_ids[::-1]
    assert turned.frame["name"].tolist() == ["run 0", "run 1", "run 2", "run 3"]
    assert turned.frame["metric.nse"].tolist() == [0.0, 0.1, 0.2, 0.3]


def test_an_empty_group_is_an_empty_table_with_its_types(cat):
    table = cat.find(solver="none").table
    assert table.num_rows == 0
    assert pd.api.types.is_datetime64_any_dtype(table.to_pandas()["created_at"])


def test_a_group_whose_run_was_purged_since_is_not_shortened_silently(messy, cat):
    cat.purge(messy.sim_ids[1], reason="test")
    with pytest.raises(SimulationNotFound, match="1 of 4 simulations"):
        messy.table  # noqa: B018
    assert len(cat.find().table) == 3


def test_hundreds_of_runs_are_tabulated_as_one_is(cat):
    for n in range(3):
        with cat.record("gr4j", name=f"wide {n}", parameters={f"p{i}": float(i * n) for i in range(300)}) as rec:
            rec.metrics({f"m{i}": float(i + n) for i in range(300)})
    frame = cat.find().frame.set_index("name")
    for n in range(3):
        assert np.array_equal(
            frame.loc[f"wide {n}", [f"param.p{i}" for i in range(300)]].astype(float), np.arange(300.0) * n
        )
        assert np.array_equal(
            frame.loc[f"wide {n}", [f"metric.m{i}" for i in range(300)]].astype(float), np.arange(300.0) + n
        )


def test_a_notebook_shows_catalog_group_and_run_with_every_name_escaped(cat):
    assert "no simulations yet" in cat._repr_html_()
    with cat.record("gr4j", name="<b>bold</b>", parameters={"<i>": "<script>"}) as rec:
        rec.metric("nse", 0.5)
    with pytest.raises(RuntimeError), cat.record("gr4j"):
        raise RuntimeError
    pages = [cat._repr_html_(), cat.find()._repr_html_(), cat["<b>bold</b>"]._repr_html_()]
    for page in pages:
        assert "&lt;b&gt;bold" in page
        assert "<script>" not in page
        assert "<b>bold" not in page
    assert "1 completed, 1 failed" in pages[0]
    assert "2 simulations" in pages[1]
    assert "nse" in pages[1]
    assert "Parameters" in pages[2]
