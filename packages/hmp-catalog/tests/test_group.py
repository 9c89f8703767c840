"""Several runs at once: slices, tables of one shape, comparisons."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

import hmp_catalog
from hmp_catalog.errors import SimulationNotFound


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, record):
    """Return a catalog of three runs, which no test changes."""
    with hmp_catalog.open(tmp_path_factory.mktemp("mixed") / "aare", create=True) as cat:
        record(cat, "a", parameters={"x": 1, "kind": "dry", "warm": True, "n": 1, "name": "q"}, metrics={"nse": 0.5})
        record(cat, "b", parameters={"x": 2.5, "kind": 3, "warm": False, "nse": 9}, metrics={"nse": 0.9, "rmse": 1})
        record(cat, "c", parameters={"x": None, "kind": None}, metrics={"nse": float("nan")}, seed=7, bbox=(0, 0, 1, 1))
        yield cat


def test_a_group_is_a_sequence(mixed):
    group = mixed.find()
    assert [run.name for run in group] == ["c", "b", "a"]
    assert (len(group), group[0].name, group[-1].name) == (3, "c", "a")
    assert [run.name for run in group[1:]] == ["b", "a"]
    assert group.sim_ids == [run.sim_id for run in group]
    assert "3" in repr(group)


@pytest.mark.parametrize("index", [3, -4])
def test_outside_of_a_group_there_is_nothing(mixed, index):
    with pytest.raises(SimulationNotFound, match="3 simulations"):
        mixed.find()[index]


def test_a_group_can_be_narrowed(mixed):
    group = mixed.find(name=["a", "b"])
    assert [run.name for run in group.filter(nse_gt=0.6)] == ["b"]
    assert [run.name for run in group.filter(name="c")] == []


def test_the_table_has_one_type_per_column_whatever_is_in_it(mixed):
    whole, empty = mixed.table, mixed.find(solver="swat").table
    for name in empty.column_names:
        assert whole.schema.field(name).type == empty.schema.field(name).type
    kinds = {name: empty.schema.field(name).type for name in ("name", "seed", "bbox_xmin", "created_at", "status")}
    assert kinds == {
        "name": pa.string(),
        "seed": pa.int64(),
        "bbox_xmin": pa.float64(),
        "created_at": pa.timestamp("us"),
        "status": pa.string(),
    }


def test_metrics_and_parameters_are_columns(mixed):
    table = mixed.table
    assert table.column("param.x").to_pylist() == [None, 2.5, 1.0]
    assert table.column("param.kind").to_pylist() == [None, "3", "dry"]
    assert table.column("param.warm").to_pylist() == [None, False, True]
    assert table.column("param.name").to_pylist() == [None, None, "q"]
    assert table.column("metric.rmse").to_pylist() == [None, 1.0, None]
    nse = table.column("metric.nse").to_pylist()
    assert math.isnan(nse[0])
    assert nse[1:] == [0.9, 0.5]
    assert "owner" not in table.column_names


def test_the_frame_is_the_table(mixed):
    frame = mixed.frame
    assert list(frame.columns) == mixed.table.column_names
    assert frame["name"].tolist() == ["c", "b", "a"]
    assert frame.set_index("name").loc["b", "param.x"] == 2.5


def test_whole_numbers_of_any_size_fit_a_table(cat, record):
    record(cat, parameters={"n": 2**70, "m": 2**60 + 1})
    record(cat, parameters={"n": "many", "m": 1})
    assert cat.table.column("param.n").to_pylist() == ["many", str(2**70)]
    assert cat.table.column("param.m").to_pylist() == [1.0, float(2**60)]


def test_compare_is_the_finished_best_first(mixed):
    frame = mixed.find().compare("nse")
    assert frame["name"].tolist() == ["b", "a"]
    assert frame["nse"].tolist() == [0.9, 0.5]
    assert frame["x"].tolist() == [2.5, 1.0]


def test_a_parameter_may_be_called_as_a_column(mixed):
    frame = mixed.find().compare("nse")
    assert list(frame.columns)[:4] == ["sim_id", "name", "solver", "nse"]
    assert frame.set_index("name")["param.name"].dropna().to_dict() == {"a": "q"}
    assert frame["param.nse"].tolist()[0] == 9.0


def test_compare_without_parameters_or_runs(cat, record):
    record(cat, "a", metrics={"nse": 0.5})
    assert cat.find().compare("nse")["nse"].tolist() == [0.5]
    assert cat.find().compare("kge").empty
    assert list(cat.find(solver="swat").compare("nse").columns) == ["sim_id", "name", "solver", "nse"]


def test_ranking_stays_within_the_group(mixed):
    group = mixed.find(name="a")
    assert (group.best("nse").name, group.worst("nse").name) == ("a", "a")
    assert [(run.name, value) for run, value in mixed.find().ranked("nse")] == [("b", 0.9), ("a", 0.5)]


def test_where_nothing_can_be_ranked_it_is_said(mixed):
    for group, metric in ((mixed.find(name="c"), "nse"), (mixed.find(solver="swat"), "nse"), (mixed.find(), "kge")):
        with pytest.raises(SimulationNotFound, match=metric):
            group.best(metric)


def test_runs_are_the_same_wherever_they_come_from(mixed):
    assert mixed["a"] == mixed.find(name="a")[0]
    assert len({mixed["a"], mixed.find(name="a")[0], mixed["b"]}) == 2
    assert mixed["a"] != "a"


def test_a_group_shows_itself_in_a_notebook(cat, record):
    record(cat, "<script>", metrics={"nse": 0.5})
    page = cat.find()._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "1 simulation" in page
    assert cat._repr_html_().endswith(page)
