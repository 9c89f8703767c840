"""Workspaces in, rows out: pure."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_core.migrations import discover_migrations
from hmp_index import fold
from hmp_index.fold import (
    METRICS,
    PARAMETERS,
    SUMMARY,
    TAGS,
    Facts,
    Place,
    ProjectRow,
    Reading,
    project_ids,
    project_row,
)

NOW = datetime(2026, 11, 21, 3)
WORKSPACE = UUID("3f2a0000-0000-4000-8000-000000000001")
PLACE = Place(WORKSPACE, uuid4(), "aare", "Upper Aare", datetime(2026, 1, 1))
ONE, TWO = "10000000-0000-4000-8000-000000000000", "20000000-0000-4000-8000-000000000000"


def told(rows, columns):
    return [dict.fromkeys(columns) | row for row in rows]


def facts(summary=({"sim_id": ONE},), metrics=(), parameters=(), tags=()):
    return Facts(told(summary, SUMMARY), told(metrics, METRICS), told(parameters, PARAMETERS), told(tags, TAGS))


def row_of(**tables):
    return fold.simulations(PLACE, facts(**tables), NOW)[0]


def metric(name, value, station="__outlet__", variable="discharge"):
    return {"sim_id": ONE, "metric_name": name, "value": value, "station_id": station, "variable": variable}


def parameter(name, value=None, zone="__global__", text=None):
    return {"sim_id": ONE, "param_name": name, "value": value, "zone_id": zone, "text_value": text}


# ── simulations ──────────────────────────────────────────────────────────────────────────────────────


def test_a_row_says_where_it_comes_from_and_when():
    row = row_of()
    assert (row["workspace_id"], row["project_id"]) == (str(WORKSPACE), str(PLACE.project_id))
    assert (row["project"], row["snapshot_taken_at"]) == ("aare", NOW)


def test_what_the_catalog_says_is_copied():
    said = {"sim_id": ONE, "name": "base", "bbox_xmin": 7.5, "crs_epsg": 2056, "period_start": NOW, "folder": "a/b"}
    assert row_of(summary=[said]).items() >= said.items()


def test_what_is_no_other_kind_is_a_simulation():
    assert row_of()["kind"] == "simulation"
    assert row_of(summary=[{"sim_id": ONE, "kind": "acquisition"}])["kind"] == "acquisition"


@pytest.mark.parametrize("station", ["__outlet__", "outlet", "", None])
def test_a_metric_at_the_outlet_goes_by_its_name(station):
    assert json.loads(row_of(metrics=[metric("nse", 0.7, station)])["metrics"]) == {"nse": 0.7}


def test_a_metric_elsewhere_names_its_station():
    found = json.loads(row_of(metrics=[metric("nse", 0.7), metric("nse", 0.5, "upper")])["metrics"])
    assert found == {"nse": 0.7, "nse@upper": 0.5}


def test_the_same_metric_of_another_variable_names_it():
    found = json.loads(row_of(metrics=[metric("nse", 0.7), metric("nse", 0.5, variable="head")])["metrics"])
    assert found == {"nse": 0.7, "head.nse": 0.5}


@pytest.mark.parametrize(
    ("value", "kept"),
    [(0.5, 0.5), (None, None), (math.nan, None), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.0, 0.0)],
)
def test_metrics_are_kept_as_json_can(value, kept):
    assert json.loads(row_of(metrics=[metric("nse", value)])["metrics"]) == {"nse": kept}


def test_a_parameter_of_a_zone_names_it():
    found = json.loads(row_of(parameters=[parameter("k", 1.0), parameter("k", 2.0, "north")])["parameters"])
    assert found == {"k": 1.0, "k::north": 2.0}


@pytest.mark.parametrize(("text", "value"), [('"clay"', "clay"), ("[1, 2]", [1, 2]), ("not json", "not json")])
def test_a_parameter_that_is_no_number_is_kept(text, value):
    assert json.loads(row_of(parameters=[parameter("soil", text=text)])["parameters"]) == {"soil": value}


@pytest.mark.parametrize("text", ['"\\ud800"', "[" * 20000], ids=["half a letter", "brackets"])
def test_a_parameter_that_no_snapshot_can_hold_is_kept_as_it_is_written(text):
    row = row_of(parameters=[parameter("x", text=text)])
    assert json.loads(row["parameters"]) == {"x": text}
    row["parameters"].encode()


def test_tags_are_sorted_and_of_their_simulation():
    tags = [{"sim_id": ONE, "tag": "b"}, {"sim_id": ONE, "tag": "a"}, {"sim_id": TWO, "tag": "c"}]
    assert json.loads(row_of(tags=tags)["tags"]) == ["a", "b"]


def test_a_simulation_of_which_nothing_is_said_has_empty_parts():
    row = row_of()
    assert (row["metrics"], row["parameters"], row["tags"]) == ("{}", "{}", "[]")


def test_every_text_is_searchable():
    said = {"sim_id": ONE, "name": "Été", "study_area_name": "Évron", "scientific_objective": "low flow"}
    text = row_of(summary=[said | {"description": "dry year"}], tags=[{"sim_id": ONE, "tag": "paper"}])["search_text"]
    assert text == " ete | evron paper | aare upper | flow low | dry year "


def test_rows_do_not_depend_on_the_order_of_what_was_read():
    summary = [{"sim_id": ONE}, {"sim_id": TWO}]
    metrics = [metric("nse", 0.7), metric("nse", 0.5, variable="head"), metric("kge", 0.1)]
    tags = [{"sim_id": ONE, "tag": "b"}, {"sim_id": ONE, "tag": "a"}]
    forward = facts(summary, metrics, tags=tags)
    backward = facts(summary[::-1], metrics[::-1], tags=tags[::-1])
    assert fold.simulations(PLACE, forward, NOW) == fold.simulations(PLACE, backward, NOW)


def test_rows_are_packed_as_text():
    rows = [{"t": NOW, "x": 0.5, "n": None, "s": "é'\"\n", "inf": -math.inf, "nan": math.nan}]
    said = {"t": "2026-11-21T03:00:00", "x": 0.5, "n": None, "s": "é'\"\n", "inf": "-inf", "nan": "nan"}
    assert json.loads(fold.packed(rows)) == [said]


# ── projects ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_read_project_has_new_figures():
    summary = [{"sim_id": ONE, "created_at": datetime(2026, 1, 1)}, {"sim_id": TWO, "created_at": datetime(2026, 2, 1)}]
    new = fold.snapshot(PLACE, facts(summary), NOW)
    row = project_row(PLACE, Reading("ok", NOW, mark="m", unfolded=3, snapshot=new), None)
    assert row == ProjectRow(PLACE, "m", "ok", "", 3, 2, datetime(2026, 2, 1), NOW)


def test_what_is_in_the_trash_does_not_count():
    summary = [{"sim_id": ONE, "created_at": NOW, "trashed_at": NOW}, {"sim_id": TWO}]
    new = fold.snapshot(PLACE, facts(summary), NOW)
    assert (new.n_simulations, new.last_run_at, len(json.loads(new.rows))) == (1, None, 2)


def test_an_unread_project_keeps_its_figures():
    former = ProjectRow(PLACE, "m", "ok", "", 1, 7, NOW, NOW)
    row = project_row(PLACE, Reading("busy", datetime(2027, 1, 1), "held"), former)
    assert row == ProjectRow(PLACE, "", "busy", "held", 1, 7, NOW, NOW)


def test_a_project_that_could_never_be_read_has_no_figures():
    row = project_row(PLACE, Reading("corrupt", NOW, "bytes"), None)
    assert (row.n_simulations, row.taken_at, row.status) == (0, None, "corrupt")


def test_a_project_keeps_its_id_when_it_is_renamed():
    own = uuid4()
    assert project_ids(WORKSPACE, {"a": own})["a"] == project_ids(WORKSPACE, {"b": own})["b"]


def test_a_project_copied_to_another_workspace_is_told_apart():
    own = uuid4()
    assert project_ids(WORKSPACE, {"a": own}) != project_ids(uuid4(), {"a": own})


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.none() | st.sampled_from([uuid4(), uuid4()]), max_size=6))
def test_projects_of_a_workspace_never_share_an_id(own):
    ids = project_ids(WORKSPACE, own)
    assert len(set(ids.values())) == len(own)
    assert ids == project_ids(WORKSPACE, dict(reversed(own.items())))


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_is_where_the_entry_point_says():
    component, folder = fold.SCHEMA
    assert component == "index"
    assert discover_migrations(Path(folder))
