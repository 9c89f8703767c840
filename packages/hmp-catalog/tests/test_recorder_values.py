"""Whatever is accepted comes back equal: recorded, folded, rebuilt; nothing acknowledged waits for ever."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hmp_catalog
from hmp_catalog.errors import AmbiguousSimulation, SimulationNotFound
from hmp_core.errors import InvalidInput

#: Any text at all: also what cannot be kept, which is then refused.
anything = st.text(max_size=30)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30).filter(
    str.strip
)
names = st.one_of(
    words, words.map(lambda word: (word * 200)[:255]), st.sampled_from(["nan", "None", "true", "deadbeef", "1"])
)
zones = st.timezones() | st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
numbers = (
    st.floats() | st.integers(-(2**80), 2**80) | st.sampled_from([np.float64("nan"), np.float32(0.1), np.int8(-3)])
)
values = st.one_of(
    numbers, st.booleans(), st.none(), words, st.sampled_from([np.bool_(True), np.str_("x"), "nan", "inf"])
)
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.none() | zones)
configs = st.dictionaries(
    words, st.recursive(values, lambda inner: st.lists(inner, max_size=3), max_leaves=5), max_size=3
)

few = settings(max_examples=settings().max_examples // 8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(found, said):
    if isinstance(said, (float, np.floating)) and math.isnan(said):
        return isinstance(found, float) and math.isnan(found)
    alike = all(isinstance(found, ours) is isinstance(said, theirs) for ours, theirs in _KINDS)
    return found == said and alike


_KINDS = ((bool, (bool, np.bool_)), (int, (int, np.integer, np.bool_)), (float, (float, np.floating)))


def all_same(found, said):
    return found.keys() == said.keys() and all(same(found[key], said[key]) for key in said)


def utc(moment):
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


@pytest.fixture(scope="module")
def fuzzed(empty_project, tmp_path_factory):
    """Return a catalog that all examples of this module go into."""
    workspace = tmp_path_factory.mktemp("fuzzed") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    with hmp_catalog.open(workspace / "projects" / empty_project.name) as cat:
        yield cat


@few
@given(
    name=st.none() | names.filter(lambda name: not name.startswith("@")),
    solver=words,
    parameters=st.dictionaries(names.filter(lambda name: "::" not in name), values, max_size=4),
    metrics=st.dictionaries(words, st.floats() | st.integers(-(2**70), 2**70), max_size=3),
    tags=st.lists(words.filter(lambda tag: not tag.startswith("-")), max_size=3),
    config=configs,
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    period=st.tuples(times, times).map(lambda pair: tuple(sorted(pair, key=utc))),
)
def test_what_is_accepted_comes_back_equal(fuzzed, name, solver, parameters, metrics, tags, config, seed, period):
    about = {"tags": tags, "config": config, "seed": seed, "period": period, "description": name}
    with fuzzed.record(solver, name=name, parameters=parameters, **about) as rec:
        rec.metrics(metrics)
    run = fuzzed[rec.sim_id]
    assert not fuzzed.notice
    assert (run.name, run.solver, run.status, run.facts["seed"]) == (name, solver, "completed", seed)
    assert (run.facts["period_start"], run.facts["period_end"]) == tuple(map(utc, period))
    assert all_same(run.parameters, parameters)
    assert all_same(run.metrics, {key: float(value) for key, value in metrics.items()})
    assert run.tags == sorted(set(tags))
    assert run.facts["description"] == name
    if name is not None:
        assert run.sim_id in fuzzed.find(name=name).sim_ids
        assert fuzzed.find(text=name).sim_ids  # blanks part words; each of them is found


@few
@given(
    st.sampled_from(["name", "solver", "description", "tags", "parameters", "metric", "station", "config"]), anything
)
def test_any_text_is_kept_or_refused(fuzzed, place, text):
    before = len(fuzzed)
    about = {"solver": "gr4j"}
    if place in {"parameters", "config"}:
        about[place] = {text: text}
    elif place not in {"metric", "station"}:
        about[place] = [text] if place == "tags" else text
    try:
        with fuzzed.record(**about) as rec:
            if place == "metric":
                rec.metric(text, 1.0)
            if place == "station":
                rec.metric("nse", 1.0, station=text, variable=text)
    except InvalidInput:
        assert len(fuzzed) == before + (place in {"metric", "station"})
    else:
        assert fuzzed[rec.sim_id].status == "completed"
    assert not fuzzed.notice


@few
@given(said=st.lists(st.tuples(st.sampled_from(["tag", "rename", "note", "metric"]), anything), min_size=1, max_size=5))
def test_whatever_is_said_later_is_kept_or_refused(fuzzed, said):
    with fuzzed.record("gr4j") as rec:
        pass
    run = fuzzed[rec.sim_id]
    tags, kept, metrics = set(), {"rename": None, "note": None}, {}
    for verb, text in said:
        try:
            run.metric(text, 0.5) if verb == "metric" else getattr(run, verb)(text)
        except InvalidInput:
            continue
        if verb == "tag":
            tags = tags - {text[1:]} if text.startswith("-") else tags | {text}
        elif verb == "metric":
            metrics[text] = 0.5
        else:
            kept[verb] = text
    assert (run.tags, run.metrics) == (sorted(tags), metrics)
    assert (run.name, run.facts["notes"]) == (kept["rename"], kept["note"])
    assert not fuzzed.notice


@few
@given(
    parameters=st.dictionaries(words, numbers, max_size=3),
    objective=st.floats() | st.integers(-(2**70), 2**70),
    metrics=st.dictionaries(words, st.floats(), max_size=2),
)
def test_a_trial_comes_back_equal(fuzzed, parameters, objective, metrics):
    with fuzzed.calibration("sce-ua", objective="1 - kge") as session:
        session.trial(parameters, objective, metrics)
        found = session.top(1)
        table = session.table.to_pylist()
    assert not fuzzed.notice
    assert same(table[0]["objective_value"], float(objective))
    if not math.isfinite(objective):
        assert found == []
    else:
        assert found[0]["objective"] == float(objective)
        assert all_same(found[0]["metrics"], metrics)
        assert found[0]["parameters"].keys() == parameters.keys()


@few
@given(anything)
def test_any_reference_means_one_run_or_is_refused(fuzzed, reference):
    try:
        run = fuzzed[reference]
    except (SimulationNotFound, AmbiguousSimulation):
        return
    digits = reference.strip().replace("-", "").lower()
    assert run.name in {reference, reference.strip()} or run.sim_id.replace("-", "").startswith(digits)


def test_all_of_it_survives_a_rebuild(fuzzed, contents):
    """Runs last: everything that the examples above recorded is told again from the files and the log."""
    before = contents(fuzzed.path)
    assert not fuzzed.rebuild()
    assert contents(fuzzed.path) == before


def test_whole_numbers_stay_whole_in_run_and_group(cat):
    with cat.record("gr4j", parameters={"n": np.int64(3), "x": 3.0, "k": np.float32(0.5)}) as rec:
        pass
    found = cat[rec.sim_id].parameters
    assert {name: type(value) for name, value in found.items()} == {"n": int, "x": float, "k": float}
    assert [run.sim_id for run in cat.find(**{"param.n": 3, "param.n_lt": 3.5})] == [rec.sim_id]


@pytest.mark.parametrize("name", ["name", "study_area", "tags"])
def test_a_name_is_no_chapter(cat, name):
    with pytest.raises(InvalidInput, match="256 characters, expected at most 255"):
        cat.record("gr4j", **{name: "x" * 256})
    cat.record("gr4j", **{name: "x" * 255}, description="y" * 10_000).seal()


def test_a_name_given_later_is_no_chapter_either(cat, record):
    run = record(cat, "base")
    for say in (lambda: run.rename("x" * 256), lambda: run.tag("x" * 256), lambda: run.metric("x" * 256, 1.0)):
        with pytest.raises(InvalidInput, match="at most 255"):
            say()
    run.note("z" * 10_000)


SERIES = {"2001-01-01": 1.0, "2001-01-02": 2.0}
POINT = {"type": "Point", "coordinates": [0, 0]}

#: Every place where a person gives something a name: recorder, catalog, name.
NAMED = {
    "variable of a series": lambda rec, cat, name: rec.timeseries(name, SERIES),
    "station of a series": lambda rec, cat, name: rec.timeseries("discharge", SERIES, station=name),
    "unit of a series": lambda rec, cat, name: rec.timeseries("discharge", SERIES, unit=name),
    "table": lambda rec, cat, name: rec.table(name, {"a": [1]}),
    "column": lambda rec, cat, name: rec.table("extra", {name: [1]}),
    "field": lambda rec, cat, name: rec.field(name, np.zeros((2, 2))),
    "parameter": lambda rec, cat, name: rec.parameter(name, 1.0),
    "zone": lambda rec, cat, name: rec.parameter("x1", 1.0, zone=name),
    "unit of a parameter": lambda rec, cat, name: rec.parameter("x1", 1.0, unit=name),
    "metric": lambda rec, cat, name: rec.metric(name, 1.0),
    "station of a metric": lambda rec, cat, name: rec.metric("nse", 1.0, station=name),
    "variable of a metric": lambda rec, cat, name: rec.metric("nse", 1.0, variable=name),
    "tag": lambda rec, cat, name: rec.tag(name),
    "point": lambda rec, cat, name: rec.observation_point(name, 1.0, 1.0),
    "figure": lambda rec, cat, name: rec.geographic_metadata(name, 1.0),
    "unit of a figure": lambda rec, cat, name: rec.geographic_metadata("area", 1.0, name),
    "layer": lambda rec, cat, name: rec.geographic_feature(name, POINT, crs="EPSG:2154"),
    "station": lambda rec, cat, name: cat.stations.add(name, "discharge"),
    "variable of a station": lambda rec, cat, name: cat.stations.add("outlet", name),
    "station of observations": lambda rec, cat, name: cat.observations.add(name, "discharge", SERIES),
    "variable of observations": lambda rec, cat, name: cat.observations.add("outlet", name, SERIES),
    "unit of observations": lambda rec, cat, name: cat.observations.add("outlet", "discharge", SERIES, unit=name),
    "quality": lambda rec, cat, name: cat.observations.add("outlet", "discharge", SERIES, quality=name),
    "own metric": lambda rec, cat, name: cat.vocabulary.define_metric(name),
    "own variable": lambda rec, cat, name: cat.vocabulary.define_variable(name, unit="m", category="state"),
    "own solver": lambda rec, cat, name: cat.vocabulary.define_solver(name, category="lumped"),
    "solver": lambda rec, cat, name: cat.record(name),
    "name": lambda rec, cat, name: cat.record("gr4j", name=name),
    "workflow": lambda rec, cat, name: cat.workflow(name),
    "parameter of a trial": lambda rec, cat, name: cat.calibration("a", objective="b").trial({name: 1.0}, 1.0),
    "metric of a trial": lambda rec, cat, name: cat.calibration("a", objective="b").trial({"x1": 1}, 1.0, {name: 1.0}),
}
CANNOT = {"NUL": "a\0b", "long": "x" * 10_000, "256": "x" * 256, "half a pair": "\ud800", "blank": "  "}


@pytest.mark.parametrize("bad", CANNOT.values(), ids=CANNOT)
@pytest.mark.parametrize("place", NAMED.values(), ids=NAMED)
def test_a_name_that_cannot_be_one_is_refused_wherever_it_is_given(common, place, bad):
    """Series took any: a NUL came back cut off by other readers, and ten thousand letters were in every row."""
    with common.record("gr4j") as rec, pytest.raises(InvalidInput):
        place(rec, common, bad)


@pytest.mark.parametrize("place", ["variable of a series", "station of a series", "quality", "column"])
def test_the_longest_name_is_kept(cat, place):
    with cat.record("gr4j") as rec:
        NAMED[place](rec, cat, "é" * 255)
