"""Observations beside simulations: added, read as one series, compared with runs, told again by a rebuild."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hmp_catalog
from hmp_core.errors import (
    AmbiguousReference,
    CorruptError,
    InvalidInput,
    NotFound,
    NotWritable,
    PathNotFound,
)

DAYS = {"2001-01-01": 4.0, "2001-01-02": 5.0, "2001-01-03": float("nan")}


def test_a_series_comes_back_as_it_was_added(cat: hmp_catalog.SimulationCatalog) -> None:
    given = pd.Series([4.0, 5.0], pd.DatetimeIndex(["2001-01-01", "2001-01-02"], name="time"), name="discharge")
    cat.observations.add("H1", "discharge", given, unit="m3 s-1")
    found = cat.observed("discharge", "H1")
    pd.testing.assert_series_equal(found, given, check_freq=False, check_index_type=False)
    assert found.attrs == {"units": "m3 s-1", "station": "H1"}


def test_the_later_addition_counts_where_both_have_a_value(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS, unit="m3 s-1", quality="raw")
    cat.observations.add("H1", "discharge", {"2001-01-02": 5.5, "2001-01-04": 7.0}, unit="m3 s-1", quality="validated")
    rows = cat.observations.table("discharge", "H1").to_pylist()
    assert [(row["time"].day, row["quality"]) for row in rows] == [
        (1, "raw"),
        (2, "validated"),
        (3, "raw"),
        (4, "validated"),
    ]
    assert [row["value"] for row in rows if row["time"].day != 3] == [4.0, 5.5, 7.0]


def test_a_missing_value_said_later_takes_the_former_away(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS)
    cat.observations.add("H1", "discharge", {"2001-01-01": float("nan")})
    assert np.isnan(cat.observed("discharge").iloc[0])


def test_a_withdrawn_addition_counts_no_more(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS)
    wrong = cat.observations.add("H1", "discharge", {"2001-01-01": 400.0})
    assert cat.observed("discharge").iloc[0] == 400.0
    cat.observations.withdraw(wrong)
    assert cat.observed("discharge").iloc[0] == 4.0
    with pytest.raises(NotFound, match="no addition"):
        cat.observations.withdraw(wrong)


def test_a_period_stands_for_all_of_it(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", {"2000-12-31": 1.0, "2001-01-01": 2.0, "2001-12-31T23": 3.0})
    cat.observations.add("H1", "discharge", {"2002-01-01": 4.0})
    assert cat.observed("discharge", period=("2001", "2001")).to_list() == [2.0, 3.0]
    with pytest.raises(NotFound, match="not observed in"):
        cat.observed("discharge", period=("1990", "1991"))


def test_each_value_may_have_its_quality(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", {"2001-01-01": 1.0, "2001-01-02": 2.0}, quality=["good", None])
    assert cat.observations.table("discharge")["quality"].to_pylist() == ["good", None]
    with pytest.raises(InvalidInput, match="1 words of quality for 2"):
        cat.observations.add("H1", "discharge", {"2001-01-01": 1.0, "2001-01-02": 2.0}, quality=["good"])


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ({}, "without values"),
        ({"2001-01-02": 1.0, "2001-01-01": 2.0}, "sort by time"),
        ({"2001-01-01": "wet"}, "not numbers"),
        (None, "pass the series"),
    ],
)
def test_what_is_no_series_leaves_nothing(cat: hmp_catalog.SimulationCatalog, series: object, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        cat.observations.add("H1", "discharge", series)
    assert cat.observations.additions() == []
    assert not (cat.path / "observations").exists()


def test_the_same_values_are_kept_once(cat: hmp_catalog.SimulationCatalog) -> None:
    for _ in range(2):
        cat.observations.add("H1", "discharge", DAYS)
    assert len([*(cat.path / "observations").rglob("*.parquet")]) == 1
    assert len(cat.observations.additions()) == 2


def test_several_stations_are_not_mixed(cat: hmp_catalog.SimulationCatalog) -> None:
    for station in ("H2", "H1"):
        cat.observations.add(station, "discharge", DAYS)
    with pytest.raises(AmbiguousReference, match="H1, H2: name the station"):
        cat.observed("discharge")
    assert cat.observations.table("discharge")["station"].unique().to_pylist() == ["H1", "H2"]


def test_two_units_of_one_series_are_not_mixed(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS, unit="m3 s-1")
    cat.observations.add("H1", "discharge", {"2002-01-01": 4000.0}, unit="L s-1")
    with pytest.raises(AmbiguousReference, match="'L s-1' and 'm3 s-1'"):
        cat.observed("discharge")


def test_what_nobody_observed_is_said_with_what_there_is(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS)
    with pytest.raises(NotFound, match="observations of head; there is discharge at H1"):
        cat.observed("head")


def test_a_lost_or_changed_file_is_named(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS)
    (file,) = (cat.path / "observations").rglob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(CorruptError):
        cat.observed("discharge")
    file.unlink()
    with pytest.raises(PathNotFound, match="restore it from a backup"):
        cat.observed("discharge")
    file.write_bytes(b"")
    cat.observations.add("H1", "discharge", DAYS)  # the same bytes, which mend what lies there
    assert file.read_bytes() == whole
    assert len(cat.observed("discharge")) == 3


def test_a_catalog_that_is_only_read_keeps_no_file(cat: hmp_catalog.SimulationCatalog) -> None:
    with hmp_catalog.open(cat.path, read_only=True) as only, pytest.raises(NotWritable):
        only.observations.add("H1", "discharge", DAYS)
    assert not (cat.path / "observations").exists()


def test_the_input_they_come_from_is_recorded(cat: hmp_catalog.SimulationCatalog, workspace: Path) -> None:
    file = workspace / "data" / "q.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("time,value\n2001-01-01,4.0\n")
    cat.observations.add("H1", "discharge", DAYS, input=file, source="hubeau")
    (row,) = cat.observations.additions()
    assert row["source_path"] == "data/q.csv"
    assert len(row["source_sha256"]) == 64
    assert row["source"] == "hubeau"
    with pytest.raises(InvalidInput, match="pass the series, or a cache entry"):
        cat.observations.add("H1", "discharge", input=file)


# ── stations ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_station_is_told_with_the_period_of_its_observations(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.stations.add("H1", "discharge", name="Aare at Bern", latitude=46.9, longitude=7.4, metadata={"area": 2945.0})
    cat.observations.add("H1", "discharge", DAYS)
    cat.observations.add("H2", "head", DAYS)
    known, bare = cat.stations
    assert (known["name"], known["latitude"], known["active"]) == ("Aare at Bern", 46.9, True)
    assert known["metadata"] == '{"area": 2945.0}'
    assert (known["first_time"], known["last_time"]) == (datetime(2001, 1, 1), datetime(2001, 1, 3))
    assert (bare["station"], bare["name"]) == ("H2", None)
    assert len(cat.stations) == 2
    assert [row["variable"] for row in cat.stations["H2"]] == ["head"]
    with pytest.raises(NotFound, match="there is H1, H2"):
        cat.stations["H3"]


@pytest.mark.parametrize(("latitude", "longitude"), [(91.0, 0.0), (2600000.0, 1200000.0), (0.0, float("nan"))])
def test_a_place_that_is_not_on_earth_is_refused(
    common: hmp_catalog.SimulationCatalog, latitude: float, longitude: float
) -> None:
    with pytest.raises(InvalidInput, match="expected degrees"):
        common.stations.add("H1", "discharge", latitude=latitude, longitude=longitude)


def test_a_description_wins_over_none_in_any_order(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.stations.add("H1", "discharge", name="Aare", active=False)
    len(cat.stations)  # folded
    cat.observations.add("H1", "discharge", DAYS)
    (row,) = cat.stations
    assert (row["name"], row["active"]) == ("Aare", False)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────


def simulated(cat: hmp_catalog.SimulationCatalog, **where: str) -> hmp_catalog.Run:
    with cat.record("gr4j") as rec:
        rec.timeseries("discharge", {"2001-01-01": 4.5, "2001-01-02": 5.0, "2001-01-05": 9.0}, unit="m3 s-1", **where)
    return cat[rec.sim_id]


def test_a_run_is_scored_at_the_times_both_have(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS, unit="m3 s-1")
    run = simulated(cat, station="H1")
    found = run.score("discharge", station="H1", metrics=("rmse", "bias"))
    assert found == pytest.approx({"rmse": np.sqrt(0.125), "bias": 0.25})
    assert run.metrics == pytest.approx({"rmse@H1": np.sqrt(0.125), "bias@H1": 0.25})
    rows = cat.sql("SELECT DISTINCT n_samples, variable, period_start, period_end FROM metrics").to_pylist()
    assert rows == [
        {
            "n_samples": 2,
            "variable": "discharge",
            "period_start": datetime(2001, 1, 1),
            "period_end": datetime(2001, 1, 2),
        }
    ]


def test_the_outlet_is_the_only_gauge(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("H1", "discharge", DAYS, unit="m3 s-1")
    run = simulated(cat)
    assert set(run.score("discharge")) == {"nse", "kge", "rmse", "pbias"}
    assert run.observed("discharge").to_list()[:2] == [4.0, 5.0]
    cat.observations.add("H2", "discharge", DAYS, unit="m3 s-1")
    with pytest.raises(AmbiguousReference):
        run.score("discharge")
    assert run.score("discharge", observed="H2", metrics=["bias"]) == {"bias": 0.25}


def test_units_are_not_compared_across(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("outlet", "discharge", DAYS, unit="mm d-1")
    run = simulated(cat)
    with pytest.raises(InvalidInput, match="'m3 s-1', observed in 'mm d-1'"):
        run.score("discharge")
    assert run.metrics == {}


def test_no_common_time_is_said(cat: hmp_catalog.SimulationCatalog) -> None:
    cat.observations.add("outlet", "discharge", {"1990-01-01": 1.0})
    with pytest.raises(InvalidInput, match="no time in common"):
        simulated(cat).score("discharge")


# ── law ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rebuild_tells_the_same(cat: hmp_catalog.SimulationCatalog, contents) -> None:
    cat.observations.add("H1", "discharge", DAYS, unit="m3 s-1", quality="raw")
    gone = cat.observations.add("H1", "discharge", {"2001-01-01": 400.0})
    cat.stations.add("H1", "discharge", name="Aare")
    cat.observations.withdraw(gone)
    before_series = cat.observed("discharge")
    before = contents(cat.path)
    assert before["observations"]
    assert before["stations"]
    assert not cat.rebuild()
    assert contents(cat.path) == before
    pd.testing.assert_series_equal(cat.observed("discharge"), before_series)


@pytest.mark.soak
def test_thirty_years_of_hours_cost_no_more_than_their_file(cat: hmp_catalog.SimulationCatalog) -> None:
    hours = pd.date_range("1990-01-01", periods=262_800, freq="h")
    cat.observations.add("H1", "discharge", pd.Series(np.random.default_rng(1).random(len(hours)), hours))
    began = time.perf_counter()
    assert len(cat.observed("discharge")) == len(hours)
    assert time.perf_counter() - began < 1.0
    assert cat.store.path.stat().st_size < 4_000_000
