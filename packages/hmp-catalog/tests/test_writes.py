"""The low-level verbs: the same runs, by id, from the catalog itself."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest

import hmp_catalog
from hmp_catalog.errors import SealedRunError, SimulationNotFound
from hmp_catalog.writes import LowLevelWriter
from hmp_core.errors import InvalidInput, NotFound

POINT = {"type": "Point", "coordinates": [1.0, 2.0]}


def test_everything_that_was_written_is_read_after_reopening(cat, workspace):
    """Registered, written, finalized, closed, opened again: by id, by its head, by name."""
    (workspace / "data" / "q.csv").write_text("x")
    (workspace / "data" / "model.toml").write_text("y")
    sim = cat.register_simulation("gr4j", name="base", tags=["a"], seed=7)
    cat.write_parameters(sim, {"x1": 320.0, "x2": 1})
    cat.write_parameters(sim, {"k": 0.1}, unit="m d-1", zone="north")
    cat.update_parameter(sim, "k", 0.2, zone="north")
    cat.write_metric(sim, "nse", 0.8, variable="discharge")
    cat.write_metrics(sim, {"kge": 0.7, "rmse": 1.5}, station="H1")
    times = pd.DatetimeIndex(["2001-01-01", "2001-01-02"])
    cat.write_timeseries(sim, "discharge", pd.Series([4.2, 4.3], times), station="outlet", unit="m3 s-1")
    cat.write_timeseries_batch(sim, [{"variable": "recharge", "series": pd.Series([1.0, 2.0], times), "unit": "mm"}])
    cat.write_timeseries_columns(sim, "head", pd.DataFrame({"p1": [50.0, 51.0], "p2": [40.0, 41.0]}, times), unit="m")
    cat.write_budgets(sim, [{"component": ["wells"], "volume": [1.0]}, {"component": ["drains"], "volume": [2.0]}])
    cat.write_mass_balances(sim, [{"error": [0.0]}, {"error": [0.1]}])
    cat.write_view(sim, "particles", {"id": [1, 2]})
    cat.write_crs(sim, "EPSG:2154")
    cat.write_time(sim, times)
    cat.write_field(sim, "head", np.ones((2, 1, 2)), dims=("time", "y", "x"))
    cat.write_field_stack(sim, "storage", [np.zeros((1, 2)), np.ones((1, 2))], dims=("time", "y", "x"))
    cat.write_field(sim, "top", np.ones((1, 2)), dims=("y", "x"))
    cat.write_provenance(sim, workspace / "data" / "q.csv")
    cat.register_tracked_files(sim, [workspace / "data" / "model.toml", workspace / "data" / "q.csv"])
    cat.remove_tracked_file(sim, "data/q.csv")
    cat.write_run_environment(sim, solver_version_text="6.5.0")
    cat.write_scientific_objective(sim, "low flows")
    cat.write_geographic_metadata(sim, {"area": 2945.0}, unit="km2")
    cat.write_geographic_feature(sim, "outlet", POINT)
    cat.write_observation_point(sim, "H1", 1.0, 2.0, cell=3)
    cat.write_station("H1", "discharge", name="Aare")
    cat.write_observations("H1", "discharge", pd.Series([4.0, 4.4], times), unit="m3 s-1")
    cat.add_note(sim, "first try")
    assert cat.add_tag(sim, "b")
    assert not cat.add_tag(sim, "b")
    assert cat.remove_tag(sim, "a")
    assert cat[sim].status == "running"
    cat.finalize(sim)
    cat.close()
    with hmp_catalog.open(cat.path) as again:
        for reference in (sim, sim[:8], "base"):
            assert again[reference].sim_id == sim
        _compare(again[sim], again)


def _compare(run, cat):
    assert (run.status, run.facts["seed"], run.tags, run.facts["notes"]) == ("completed", 7, ["b"], "first try")
    assert run.parameters == {"x1": 320.0, "x2": 1, "k::north": 0.2}
    assert run.metrics == {"nse": 0.8, "kge@H1": 0.7, "rmse@H1": 1.5}
    assert run.timeseries("discharge").tolist() == [4.2, 4.3]
    assert run.timeseries("recharge").tolist() == [1.0, 2.0]
    assert run.timeseries("head", station="p2").tolist() == [40.0, 41.0]
    assert run.table("budget")["component"].to_pylist() == ["wells", "drains"]
    assert run.table("mass_balance").num_rows == run.table("particles").num_rows == 2
    dataset = run.dataset()
    assert {name: dataset[name].shape for name in ("head", "storage", "top")} == {
        "head": (2, 1, 2),
        "storage": (2, 1, 2),
        "top": (1, 2),
    }
    assert str(dataset["time"].values[1])[:10] == "2001-01-02"
    assert run.provenance["file_path"].to_pylist() == ["data/q.csv"]
    files = cat.sql("SELECT role, canonical_path FROM tracked_files ORDER BY 1").to_pylist()
    assert [tuple(row.values()) for row in files] == [("config", "data/model.toml"), ("input", "data/q.csv")]
    (known,) = cat.sql("SELECT solver_version_text FROM runs_environment").to_pylist()
    assert known == {"solver_version_text": "6.5.0"}
    assert run.facts["scientific_objective"] == "low flows"
    assert run.geographic() == {"area": 2945.0}
    assert run.geography["features"][0]["crs"] == "EPSG:2154"
    assert run.geography["points"][0]["cell"] == 3
    assert run.observed("discharge").tolist() == [4.0, 4.4]
    assert [row["name"] for row in cat.stations] == ["Aare"]


def test_the_catalog_has_every_low_level_verb():
    verbs = {name: verb for name, verb in vars(LowLevelWriter).items() if not name.startswith("_")}
    for name, verb in verbs.items():
        if name == "delete":
            continue  # the catalog's own takes any reference
        its = getattr(hmp_catalog.SimulationCatalog, name)
        assert its.__doc__ == verb.__doc__
        assert str(inspect.signature(its)) == str(inspect.signature(verb))


def test_a_sealed_simulation_takes_what_may_be_said_later(cat):
    sim = cat.register_simulation("gr4j", name="base", tags=["draft"], description="a first try")
    cat.finalize(sim, "partial")
    cat.write_metric(sim, "nse", 0.8)
    cat.write_metrics(sim, {"kge": 0.7})
    assert cat.add_tag(sim, "paper")
    assert cat.remove_tag(sim, "draft")
    assert not cat.remove_tag(sim, "draft")
    cat.rename_simulation(sim, "reference")
    cat.write_scientific_objective(sim, "low flows")
    run = cat["reference"]
    assert (run.metrics, run.tags, run.status) == ({"nse": 0.8, "kge": 0.7}, ["paper"], "partial")
    assert (run.facts["scientific_objective"], run.facts["description"]) == ("low flows", "a first try")


def test_a_sealed_simulation_takes_nothing_else(cat, workspace):
    sim = cat.register_simulation("gr4j", parameters={"x1": 1})
    cat.finalize(sim)
    for write in (
        lambda: cat.write_parameters(sim, {"x1": 1}),
        lambda: cat.update_parameter(sim, "x1", 1),
        lambda: cat.write_timeseries(sim, "q", {"2001-01-01": 1.0}),
        lambda: cat.write_budget(sim, {"a": [1]}),
        lambda: cat.write_time(sim, ["2001-01-01"]),
        lambda: cat.write_crs(sim, "EPSG:2154"),
        lambda: cat.write_provenance(sim, "x"),
        lambda: cat.register_tracked_files(sim, [workspace / "data"]),
        lambda: cat.write_run_environment(sim, solver_version_text="1"),
        lambda: cat.write_geographic_metadata(sim, {"area": 1.0}),
        lambda: cat.finalize(sim),
    ):
        with pytest.raises(SealedRunError):
            write()


def test_what_was_never_set_is_not_updated(cat):
    sim = cat.register_simulation("gr4j", parameters={"x1": 1})
    with pytest.raises(KeyError, match="no parameter 'x9' in zone '__global__'; there is x1"):
        cat.update_parameter(sim, "x9", 1)
    with pytest.raises(NotFound, match="not tracked as 'config'"):
        cat.remove_tracked_file(sim, "x")
    with pytest.raises(InvalidInput, match="has no colour"):
        cat.write_run_environment(sim, colour="red")
    with pytest.raises(InvalidInput, match="write_provenance"):
        cat.register_tracked_files(sim, [], role="input")


def test_a_status_that_is_none_leaves_it_open(cat):
    sim = cat.register_simulation("gr4j")
    with pytest.raises(InvalidInput):
        cat.finalize(sim, "bananas")
    cat.finalize(sim)
    assert cat[sim].status == "completed"


def test_an_unknown_simulation_is_not_found(cat):
    with pytest.raises(SimulationNotFound):
        cat.write_metric("00000000-0000-4000-8000-000000000001", "nse", 1.0)


def test_a_simulation_of_another_object_is_not_written_to(cat):
    sim = cat.register_simulation("gr4j")
    with hmp_catalog.open(cat.path) as other, pytest.raises(SimulationNotFound, match="not registered through"):
        other.write_parameters(sim, {"x1": 1})


def test_an_open_one_is_thrown_away(cat):
    sim = cat.register_simulation("gr4j")
    cat.writer.delete(sim)
    assert len(cat) == 0


def test_what_describes_a_run_is_known(cat, record):
    run = record(cat, "base")
    with pytest.raises(InvalidInput, match="knows no colour; it takes description"):
        run.describe(colour="red")
    run.describe(study_area="Aare", contact_email="x@example.org").describe(description="again")
    assert [run.facts[name] for name in ("study_area_name", "contact_email", "description")] == [
        "Aare",
        "x@example.org",
        "again",
    ]
    assert not cat.rebuild()
    assert cat["base"].facts["study_area_name"] == "Aare"
