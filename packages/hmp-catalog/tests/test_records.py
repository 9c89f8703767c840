"""What is known of a run when it begins: checked and copied before anything is on record."""

from __future__ import annotations

import pytest

from hmp_catalog.records import FileRecord, RunSpec, tag_names
from hmp_core.errors import InvalidInput

BAD = {
    "solver": [None, "", 5, "a\0"],
    "name": ["", " ", 5, "@latest", "\ud800"],
    "sim_id": ["abc", 5],
    "parameters": [[1], "x=1", 5],
    "config": [[1], "text", {"f": object()}, {1: 1, "1": 2}],
    "tags": [5, [None], [""], ["-draft"], [5]],
    "seed": [1.5, True, "7", 2**63],
    "parent": ["base"],
    "description": [5, ""],
    "scientific_objective": [b"x"],
    "contact_email": [["a@b"]],
    "study_area": [0],
    "flow_regime": [1],
    "mesh_topology": [{}],
    "crs": [4326],
    "period": [5, "2001", ("2001-01-01",), ("2002-01-01", "2001-01-01"), ("x", None)],
    "bbox": [(1, 2, 3), (3, 0, 1, 1), (0, 3, 1, 1), (0, 0, float("inf"), 1), "0011"],
    "outlet": [(1,), ("a", "b"), (1, float("nan"))],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_value_that_could_not_be_kept_is_refused_by_name(key, value):
    with pytest.raises(InvalidInput, match=key.rstrip("s")):
        RunSpec(**({"solver": "gr4j"} | {key: value}))


def test_nothing_but_the_solver_is_needed():
    assert RunSpec("gr4j").about() == dict.fromkeys(RunSpec("gr4j").about())


def test_a_configuration_does_not_change_afterwards():
    config = {"steps": [1, 2]}
    spec = RunSpec("gr4j", config=config)
    config["steps"].append(3)
    assert spec.config == {"steps": [1, 2]}


def test_one_tag_may_be_given_as_text():
    assert RunSpec("gr4j", tags="paper").tags == ["paper"]


def test_tags_may_come_from_anywhere():
    assert tag_names(tag for tag in ("a", "b")) == ["a", "b"]


def test_what_describes_a_run_is_plain():
    spec = RunSpec("gr4j", period=("2001-01-01", None), bbox=[0, 0, 1, 1], outlet=(1, 2), study_area="Aare")
    about = spec.about()
    assert (about["period"], about["bbox"], about["outlet"], about["study_area"]) == (
        ["2001-01-01T00:00:00", None],
        [0.0, 0.0, 1.0, 1.0],
        [1.0, 2.0],
        "Aare",
    )


def test_a_file_record_is_what_the_manifest_keeps():
    kept = {"path": "tables/budget.parquet", "size": 3, "sha256": "0" * 64, "kind": "budget", "rows": 2}
    assert FileRecord(**kept).as_dict() == kept


def test_a_store_of_fields_says_where_it_lies_and_whose_it_is():
    spec = RunSpec(solver="gr4j", description="a dry year", study_area="Aare", bbox=(0, 0, 2.5, 1), crs="EPSG:2056")
    assert spec.discovery() == {
        "source": "gr4j",
        "summary": "a dry year",
        "keywords": "hydrology, Aare",
        "geospatial_bounds": "POLYGON ((0 0, 2.5 0, 2.5 1, 0 1, 0 0))",
        "geospatial_bounds_crs": "EPSG:2056",
    }
