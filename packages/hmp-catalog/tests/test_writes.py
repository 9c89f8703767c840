"""The low-level verbs: the same runs, by id."""

from __future__ import annotations

import pytest

from hmp_catalog.errors import SealedRunError, SimulationNotFound
from hmp_catalog.writes import WritesMixin
from hmp_core.errors import InvalidInput


@pytest.fixture
def writes(cat):
    return WritesMixin(cat)


def test_a_simulation_is_registered_written_and_finalized(cat, writes, workspace):
    (workspace / "data" / "q.csv").write_text("x")
    sim = writes.register_simulation("gr4j", name="base", tags=["a"], seed=7)
    writes.write_parameters(sim, {"x1": 320.0, "x2": 1})
    writes.write_parameters(sim, {"k": 0.1}, unit="m d-1", zone="north")
    writes.write_metric(sim, "nse", 0.8, variable="discharge")
    writes.write_timeseries(sim, "discharge", {"2001-01-01": 4.2}, station="outlet", unit="m3 s-1")
    writes.write_budget(sim, {"component": ["wells"], "volume": [1.0]})
    writes.write_mass_balance(sim, {"error": [0.0]})
    writes.write_field(sim, "head", [[1.0, 2.0]], dims=("y", "x"))
    writes.write_provenance(sim, workspace / "data" / "q.csv")
    writes.add_tag(sim, "b")
    assert cat[sim].status == "running"
    writes.finalize(sim)
    run = cat["base"]
    assert (run.sim_id, run.status, run.facts["seed"], run.tags) == (sim, "completed", 7, ["a", "b"])
    assert run.parameters == {"x1": 320.0, "x2": 1.0, "k::north": 0.1}
    assert run.metrics == {"nse": 0.8}
    assert run.timeseries("discharge").tolist() == [4.2]
    assert run.table("budget").num_rows == run.table("mass_balance").num_rows == 1
    assert run.dataset()["head"].shape == (1, 2)
    assert run.provenance.num_rows == 1


def test_a_sealed_simulation_takes_what_may_be_said_later(cat, writes):
    sim = writes.register_simulation("gr4j", name="base", tags=["draft"])
    writes.finalize(sim, "partial")
    writes.write_metric(sim, "nse", 0.8)
    writes.add_tag(sim, "paper")
    writes.remove_tag(sim, "draft")
    writes.rename_simulation(sim, "reference")
    run = cat["reference"]
    assert (run.metrics, run.tags, run.status) == ({"nse": 0.8}, ["paper"], "partial")


def test_a_sealed_simulation_takes_nothing_else(writes):
    sim = writes.register_simulation("gr4j")
    writes.finalize(sim)
    for write in (
        lambda: writes.write_parameters(sim, {"x1": 1}),
        lambda: writes.write_timeseries(sim, "q", {"2001-01-01": 1.0}),
        lambda: writes.write_budget(sim, {"a": [1]}),
        lambda: writes.write_provenance(sim, "x"),
        lambda: writes.finalize(sim),
    ):
        with pytest.raises((SimulationNotFound, SealedRunError)):
            write()


def test_a_status_that_is_none_leaves_it_open(cat, writes):
    sim = writes.register_simulation("gr4j")
    with pytest.raises(InvalidInput):
        writes.finalize(sim, "bananas")
    writes.finalize(sim)
    assert cat[sim].status == "completed"


def test_an_unknown_simulation_is_not_found(writes):
    with pytest.raises(SimulationNotFound):
        writes.write_metric("00000000-0000-4000-8000-000000000001", "nse", 1.0)
