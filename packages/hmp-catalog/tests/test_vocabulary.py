"""Words of a project: defined, ranked by, listed, told again by a rebuild; what hmp brings is not changed."""

from __future__ import annotations

from typing import Any

import pytest

import hmp_catalog
from hmp_catalog.errors import UnrankedMetric
from hmp_catalog.vocabulary import KINDS
from hmp_core.errors import InvalidInput, NotFound


def test_runs_are_ranked_by_a_metric_of_ones_own(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    for name, value in (("far", -0.4), ("near", 0.1), ("high", 0.9)):
        record(cat, name, metrics={"low_flow_bias": value})
    with pytest.raises(UnrankedMetric):
        cat.best("low_flow_bias")
    cat.vocabulary.define_metric("low_flow_bias", unit="1", best_value=0.0, description="of the lowest tenth")
    assert cat.best("low_flow_bias").name == "near"
    cat.vocabulary.define_metric("low_flow_bias", higher_is_better=True)
    assert cat.best("low_flow_bias").name == "high", "what is said later counts"


def test_what_hmp_brings_is_not_changed(cat: hmp_catalog.SimulationCatalog) -> None:
    before = cat.vocabulary.table("metrics")
    with pytest.raises(InvalidInput, match="nse is one of the metrics that hmp brings"):
        cat.vocabulary.define_metric("nse", higher_is_better=False)
    with pytest.raises(InvalidInput):
        cat.vocabulary.define_variable("discharge", unit="L s-1", category="state")
    # also where another hmp, which knew it not, said so
    said = {"unit": "m", "higher_is_better": False, "role": "target"}
    values = said | dict.fromkeys(("best_value", "physical_min", "physical_max", "description", "metric_references"))
    cat.store.append("vocabulary.defined", {"kind": "metrics", "code": "nse", "values": values})
    assert cat.vocabulary.table("metrics").equals(before)


def test_variables_and_solvers_are_defined(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    record(cat, solver="mymodel")
    cat.vocabulary.define_solver("mymodel", category="lumped", description="ours")
    cat.vocabulary.define_variable("chloride", unit="mg L-1", category="observation", standard_name=None)
    solvers = {row["code"]: row for row in cat.vocabulary.table("solvers").to_pylist()}
    assert solvers["mymodel"] == {"code": "mymodel", "category": "lumped", "description": "ours"}
    record(cat, solver="mymodel")
    assert cat.vocabulary.table("solvers").num_rows == len(solvers)
    variables = {row["code"]: row["unit"] for row in cat.vocabulary.table("variables").to_pylist()}
    assert variables["chloride"] == "mg L-1"


@pytest.mark.parametrize("kind", KINDS)
def test_every_vocabulary_is_listed(cat: hmp_catalog.SimulationCatalog, record: Any, kind: str) -> None:
    record(cat, study_area="Aare")
    assert cat.vocabulary.table(kind).num_rows


def test_another_vocabulary_is_not_found(common: hmp_catalog.SimulationCatalog) -> None:
    with pytest.raises(NotFound, match="there are metrics, variables"):
        common.vocabulary.table("colours")


@pytest.mark.parametrize(
    "about",
    [{"unit": ""}, {"role": "judge"}, {"bounds": ("low", None)}, {"best_value": "best"}, {"description": 5}],
    ids=str,
)
def test_what_is_no_definition_is_refused(common: hmp_catalog.SimulationCatalog, about: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        common.vocabulary.define_metric("own", **about)


def test_a_rebuild_tells_the_same(cat: hmp_catalog.SimulationCatalog, contents: Any) -> None:
    cat.vocabulary.define_metric("own", best_value=1.0, bounds=(None, 1.0), reference="us (2026)")
    cat.vocabulary.define_solver("mymodel", category="lumped")
    cat.vocabulary.table("metrics")
    before = contents(cat.path)
    assert "own" in {row["code"] for row in before["dim_metrics"]}
    assert not cat.rebuild()
    assert contents(cat.path) == before
