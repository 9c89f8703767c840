"""Ranking by each metric's own direction, and wide rows in which nothing hides anything."""

from __future__ import annotations

import pytest

import hmp_catalog
from hmp_catalog import queries
from hmp_catalog import ranking as ranks
from hmp_catalog.errors import AmbiguousScore, UnrankedMetric

BEST_FIRST = {
    "nse": [1.0, 0.5, 0.0, -3.0],
    "kge": [0.9, -0.41],
    "r2": [1.0, 0.0],
    "rmse": [0.0, 0.5, 12.0],
    "mae": [0.1, 0.2],
    "mse": [0.0, 4.0],
    "bias": [0.0, -0.5, 1.0, -2.0],
    "pbias": [1.0, -3.0, 10.0],
    "nse_validation": [0.8, 0.2],
    "rmse_cal": [1.0, 2.0],
    "bias_val": [-0.1, 0.2],
    "kge_2012": [0.5, 0.1],
    "log_nse": [0.5, 0.1],
}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """Return a catalog whose runs have each metric from worst to best; unfinished ones would win everything."""
    with hmp_catalog.open(tmp_path_factory.mktemp("ranked") / "aare", create=True) as cat:
        for place in range(4):
            with cat.record("gr4j", name=f"place {place}") as rec:
                for metric, values in BEST_FIRST.items():
                    if place < len(values):
                        rec.metric(metric, values[place])
                    else:
                        rec.metric(metric, float("nan"))
                rec.metric("colour", place)
        for status in ("failed", "partial", "aborted"):
            rec = cat.record("gr4j", name=status)
            rec.metrics({metric: values[0] for metric, values in BEST_FIRST.items()})
            rec.seal(status)
        running = cat.record("gr4j", name="running")
        running.metrics({metric: values[0] for metric, values in BEST_FIRST.items()})
        yield cat


def ranking(cat, metric, **more):
    with cat.reading() as backend:
        return ranks.ranking(backend, metric, **more)


@pytest.mark.parametrize("metric", BEST_FIRST)
def test_each_metric_has_its_own_direction(ranked, metric):
    """NaN is no value, and an unfinished run has none."""
    assert [value for _, value in ranking(ranked, metric)] == BEST_FIRST[metric]


@pytest.mark.parametrize("metric", BEST_FIRST)
def test_best_and_worst_are_the_ends(ranked, metric):
    assert ranked.best(metric).name == "place 0"
    assert ranked.find().worst(metric).name == f"place {len(BEST_FIRST[metric]) - 1}"


def test_a_metric_without_direction_is_not_ranked(ranked):
    with pytest.raises(UnrankedMetric, match="colour") as caught:
        ranking(ranked, "colour")
    assert isinstance(caught.value, ValueError)
    assert caught.value.metric == "colour"


@pytest.fixture
def placed(cat):
    """Return a catalog with runs that have a metric at several places."""
    with cat.record("gr4j", name="outlet") as rec:
        rec.metric("nse", 0.1, station="outlet", variable="discharge")
        rec.metric("nse", 0.9, station="outlet", variable="head")
        rec.metric("nse", 0.99, station="q1", variable="discharge")
    with cat.record("gr4j", name="elsewhere") as rec:
        rec.metric("nse", 0.2, station="q1")
    with cat.record("gr4j", name="unnamed") as rec:
        rec.metric("nse", 0.25)
    return cat


def test_discharge_at_the_outlet_counts_first(placed):
    names = {run.sim_id: run.name for run in placed}
    assert [(names[sim], value) for sim, value in ranking(placed, "nse")] == [
        ("unnamed", 0.25),
        ("elsewhere", 0.2),
        ("outlet", 0.1),
    ]


@pytest.mark.parametrize(
    ("station", "values"),
    [("q1", [0.99, 0.2]), ("outlet", [0.25, 0.1]), ("__outlet__", [0.25, 0.1]), ("q9", [])],
)
def test_a_station_may_be_named(placed, station, values):
    assert [value for _, value in ranking(placed, "nse", station=station)] == values


def test_of_several_stations_none_counts_until_one_is_named(placed):
    with placed.record("gr4j", name="two") as rec:
        rec.metric("nse", 0.4, station="q1")
        rec.metric("nse", 0.6, station="q2")
    with pytest.raises(AmbiguousScore, match="@best:nse@q1") as caught:
        placed["@best:nse"]
    assert caught.value.candidates == ["q1", "q2"]
    assert placed["@best:nse@q2"].name == "two"
    assert [run.name for run in placed.find().rank("nse", n=2, station="q1")] == ["outlet", "two"]


@pytest.mark.parametrize("impossible", [1.5, float("inf"), float("nan")])
def test_a_value_that_cannot_be_never_wins(placed, impossible):
    """NSE is at most 1; the round-off of a perfect score still counts."""
    with placed.record("gr4j", name="impossible") as rec:
        rec.metric("nse", impossible)
    assert placed["@best:nse"].name == "unnamed"
    with placed.record("gr4j", name="perfect") as rec:
        rec.metric("nse", 1.0 + 2e-16)
    assert placed["@best:nse"].name == "perfect"


def test_a_metric_without_direction_is_ranked_by_its_value_when_asked(placed):
    for value in (3.0, 1.0):
        with placed.record("gr4j", name=f"colour {value}") as rec:
            rec.metric("colour", value)
    assert [value for _, value in ranking(placed, "colour", ascending=True)] == [1.0, 3.0]
    assert [value for _, value in ranking(placed, "colour", ascending=False)] == [3.0, 1.0]


def test_what_is_ranked_is_what_the_run_shows(placed):
    assert placed["outlet"].metrics == {"nse": 0.1, "head.nse": 0.9, "nse@q1": 0.99}
    assert placed["elsewhere"].metrics == {"nse@q1": 0.2}
    assert placed["unnamed"].metrics == {"nse": 0.25}


def test_no_metric_hides_another(cat):
    said = [(s, v) for s in ("outlet", "__outlet__", "q1") for v in ("", "discharge", "head", "other")]
    with cat.record("gr4j", name="base") as rec:
        for n, (station, variable) in enumerate(said):
            rec.metric("nse", n, station=station, variable=variable)
        rec.metric("nse@q1", 50)
    assert sorted(cat["base"].metrics.values()) == [*range(len(said)), 50]


def test_no_parameter_hides_another(cat):
    with cat.record("gr4j", name="base", parameters={"k": 1}) as rec:
        rec.parameter("k", 2, zone="north")
        rec.parameter("k", 3, zone="south")
    assert cat["base"].parameters == {"k": 1, "k::north": 2, "k::south": 3}


def test_many_runs_are_read_as_few_are(cat):
    events = []
    for n in range(queries._FEW + 1):
        sim = f"00000000-0000-4000-8000-{n:012d}"
        about = dict.fromkeys(["description", "study_area", "period", "bbox", "crs", "outlet"])
        payload = {"sim_id": sim, "name": None, "project": "aare", "solver": "gr4j", "folder": f"f{n}", "path": "x"}
        events.append(cat.store.prepare("run.opened", payload | {"owner": {}, "about": about}))
        metric = {"name": "nse", "station": "q", "variable": "", "value": n, "n_samples": None, "period": [None, None]}
        events.append(cat.store.prepare("run.measured", {"sim_id": sim, "metric": metric}))
    cat.store.commit(events)
    sims = cat.find().sim_ids
    with cat.reading() as backend:
        everything = queries.wide(backend, "metrics", sims)
        some = queries.wide(backend, "metrics", sims[:5])
        assert queries.wide(backend, "metrics", []) == {}
    assert len(everything) == queries._FEW + 1
    assert some == {sim: everything[sim] for sim in sims[:5]}


def test_an_owner_that_another_version_wrote_is_not_called_dead(cat):
    payload = {"sim_id": "00000000-0000-4000-8000-000000000001", "name": "x", "project": "aare", "solver": "gr4j"}
    about = {"folder": "f", "path": "x", "owner": {"pid": 1, "galaxy": "M31"}, "about": {}}
    cat.store.append("run.opened", payload | about)
    assert cat["x"].status == "running"
