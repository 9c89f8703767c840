"""Finding: every kind of filter, and every question that makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import escape
from uuid import UUID

import pytest

import hmp_catalog
from hmp_catalog import criteria, facts, queries
from hmp_core.errors import InvalidInput, UnknownFilter

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def several(tmp_path_factory, record):
    """Return a catalog of four runs, which the tests of this module do not change."""
    with hmp_catalog.open(tmp_path_factory.mktemp("several") / "aare", create=True) as cat:
        record(
            cat,
            "base",
            solver="gr4j",
            parameters={"x1": 300, "variant": "dry", "warm": True, "gap": None},
            metrics={"nse": 0.8, "rmse": 2.0, "flow_gt": 1.0},
            tags=["paper", "gr4j"],
            description="the 50% case",
            study_area="Aare",
            period=("2001-01-01", "2002-01-01"),
            bbox=(0, 0, 1, 1),
            seed=7,
            sim_id="abcdef01-0000-4000-8000-000000000001",
        )
        record(
            cat,
            "wet",
            solver="modflow6",
            parameters={"x1": 400, "variant": "wet", "warm": False},
            metrics={"nse": 0.6, "rmse": 1.0},
            tags=["paper"],
            scientific_objective="low flows",
            period=("2005-01-01", None),
            seed=8,
            parent="base",
        )
        with cat.record("gr4j", parameters={"x1": float("nan"), "k": 1}, tags=["draft"]) as rec:
            rec.metric("nse", float("nan"))
            rec.metric("kge", 0.5, station="q1")
        failed = cat.record("gr4j", name="bad", parameters={"variant": "été"})
        failed.metric("nse", 0.99)
        failed.seal("failed", error="it did not converge")
        cat["wet"].note("a wet_year")
        yield cat


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["bad", None, "wet", "base"]),
        ({"solver": "gr4j"}, ["bad", None, "base"]),
        ({"solver": ["gr4j", "modflow6"]}, ["bad", None, "wet", "base"]),
        ({"solver": []}, []),
        ({"solver_ne": []}, ["bad", None, "wet", "base"]),
        ({"solver_ne": "gr4j"}, ["wet"]),
        ({"solver_like": "MOD%"}, ["wet"]),
        ({"name": "base"}, ["base"]),
        ({"name": None}, [None]),
        ({"name_ne": None}, ["bad", "wet", "base"]),
        ({"name_ne": "base"}, ["bad", None, "wet"]),
        ({"name": ["base", None]}, [None, "base"]),
        ({"name_ne": ["base", None]}, ["bad", "wet"]),
        ({"name": 5}, []),
        ({"status": "completed"}, [None, "wet", "base"]),
        ({"status": ["failed", "running"]}, ["bad"]),
        ({"status_ne": "completed"}, ["bad"]),
        ({"status_ne": {"completed", "failed"}}, []),
        ({"sim_id": "ABCDEF01-0000-4000-8000-000000000001"}, ["base"]),
        ({"sim_id": UUID("abcdef01-0000-4000-8000-000000000001")}, ["base"]),
        ({"sim_id_like": "abcdef%"}, ["base"]),
        ({"parent_sim_id": "abcdef01-0000-4000-8000-000000000001"}, ["wet"]),
        ({"seed": 7}, ["base"]),
        ({"seed_gte": 7}, ["wet", "base"]),
        ({"seed": [7, 8]}, ["wet", "base"]),
        ({"seed": None}, ["bad", None]),
        ({"bbox_xmax_lte": 1.0}, ["base"]),
        ({"study_area_name": "Aare"}, ["base"]),
        ({"error_like": "%converge"}, ["bad"]),
        ({"period_start_lt": "2003-01-01"}, ["base"]),
        ({"period_start_gte": datetime(2001, 1, 1, tzinfo=UTC)}, ["wet", "base"]),
        ({"period_end": "2002-01-01"}, ["base"]),
        ({"created_at_gt": "2001-01-01"}, ["bad", None, "wet", "base"]),
        ({"created_at_lt": LATER}, ["bad", None, "wet", "base"]),
        ({"created_at_gt": LATER}, []),
        ({"tags": "paper"}, ["wet", "base"]),
        ({"tags": ["paper", "gr4j"]}, ["base"]),
        ({"tags": []}, ["bad", None, "wet", "base"]),
        ({"tags": "pap"}, []),
        ({"text": "WET"}, ["wet"]),
        ({"text": "low flows"}, ["wet"]),
        ({"text": "flows low"}, ["wet"]),
        ({"text": "50%"}, ["base"]),
        ({"text": "%"}, ["base"]),
        ({"text": "wet_year"}, ["wet"]),
        ({"text": "wetXyear"}, []),
        ({"text": "\\"}, []),
        ({"text": ""}, ["bad", None, "wet", "base"]),
        ({"nse_gt": 0.7}, ["bad", "base"]),
        ({"nse_gte": 0.6, "status": "completed"}, ["wet", "base"]),
        ({"nse_lt": 2}, ["bad", "wet", "base"]),
        ({"nse": 0.8}, ["base"]),
        ({"nse": [0.8, 0.6]}, ["wet", "base"]),
        ({"nse_ne": 0.8}, ["bad", "wet"]),
        ({"nse": None}, [None]),
        ({"nse_ne": None}, ["bad", "wet", "base"]),
        ({"kge_gt": 0}, [None]),
        ({"rmse_lte": 1, "nse_gt": 0}, ["wet"]),
        ({"flow_gt": 1.0}, ["base"]),
        ({"param.x1": 300}, ["base"]),
        ({"param.x1_gt": 300}, ["wet"]),
        ({"param.x1_gt": 0}, ["wet", "base"]),
        ({"param.x1": [300, 400]}, ["wet", "base"]),
        ({"param.x1_ne": 300}, ["wet"]),
        ({"param.variant": "dry"}, ["base"]),
        ({"param.variant": ["dry", "wet"]}, ["wet", "base"]),
        ({"param.variant": "été"}, ["bad"]),
        ({"param.variant_like": "%e%"}, ["wet"]),
        ({"param.warm": True}, ["base"]),
        ({"param.warm": False}, ["wet"]),
        ({"param.gap": None}, ["bad", None, "wet", "base"]),
        ({"param.k": None}, ["bad", "wet", "base"]),
        ({"param.k_ne": None}, [None]),
        ({"param.nothing": 1}, []),
        ({"param.'; DROP TABLE simulations; --": 1}, []),
        ({"solver": "gr4j", "tags": "paper", "nse_gt": 0.7, "param.x1_lt": 301, "text": "case"}, ["base"]),
    ],
)
def test_a_filter_finds(several, filters, names):
    found = several.find(**filters)
    assert [run.name for run in found] == names
    assert len(found) == len(names)


@pytest.mark.parametrize(
    ("asked", "overlap", "covers"),
    [
        (("2001-06-01", "2001-07-01"), ["base"], ["base"]),
        ("2001-06-01/2001-07-01", ["base"], ["base"]),
        (("2000-01-01", "2001-01-01"), ["base"], []),
        (("1990-01-01", "2010-01-01"), ["wet", "base"], []),
        (("2002-01-02", "2004-12-31"), [], []),
        ((None, "2001-01-01"), ["base"], ["base"]),
        (("2006-01-01", None), ["wet"], ["wet"]),
        ("2006-01-01/", ["wet"], ["wet"]),
        ("2001-03-01", ["base"], ["base"]),
        (("2006-01-01", "2007-01-01"), ["wet"], []),
    ],
)
def test_a_period_is_overlapped_or_covered(several, asked, overlap, covers):
    """The run "wet" never said when it ends: it may overlap what is later, and is not known to cover it."""
    assert [run.name for run in several.find(period=asked)] == overlap
    assert [run.name for run in several.find(period_covers=asked)] == covers


@pytest.mark.parametrize(
    ("box", "names"),
    [((0.5, 0.5, 2, 2), ["base"]), ((1, 1, 2, 2), ["base"]), ((1.1, 0, 2, 1), []), ("0.2,0.2,0.3,0.3", ["base"])],
)
def test_an_extent_has_a_point_in_common(several, box, names):
    assert [run.name for run in several.find(bbox=box)] == names


@pytest.mark.parametrize(
    "key", ["colour", "nse_over", "tag", "param.", "x1", "names", "status_text", "Solver", "nse__gt", "owner"]
)
def test_an_unknown_key_lists_the_known(several, key):
    with pytest.raises(UnknownFilter) as caught:
        several.find(**{key: 1})
    assert isinstance(caught.value, ValueError)
    assert caught.value.key == key
    assert {"solver", "tags", "text", "param.NAME", "nse", "created_at"} <= set(caught.value.valid)
    assert all(name in str(caught.value) for name in ("solver", "param.NAME", "nse"))


def test_an_unknown_key_suggests_the_nearest(several):
    with pytest.raises(UnknownFilter, match="did you mean solver"):
        several.find(solvr="gr4j")


@pytest.mark.parametrize(
    "filters",
    [
        {"nse_gt": "high"},
        {"nse_gt": None},
        {"nse_gt": [0.1, 0.2]},
        {"nse_like": "0.8%"},
        {"created_at_gt": "yesterday"},
        {"created_at": 2001},
        {"created_at_like": "2001%"},
        {"seed": "seven"},
        {"seed_lt": None},
        {"name_like": None},
        {"name_gt": ["a"]},
        {"status_gt": "a"},
        {"period": "yesterday"},
        {"period": ("2002-01-01", "2001-01-01")},
        {"period": ("2002-01-01",)},
        {"bbox": (0, 0, 1)},
        {"bbox": (1, 0, 0, 1)},
        {"bbox": "0,0,1,high"},
        {"bbox": None},
        {"param.x1_gt": None},
        {"param.x1": object()},
        {"param.x1": [1, "a"]},
        {"param.x1_like": 3},
    ],
)
def test_a_question_that_makes_no_sense_is_refused_as_one(several, filters):
    with pytest.raises(InvalidInput, match=next(iter(filters)).partition("_")[0]):
        several.find(**filters)


def test_no_hit_is_an_empty_group(several):
    found = several.find(solver="swat")
    assert (len(found), list(found), found.sim_ids, found.table.num_rows) == (0, [], [], 0)
    assert found.frame.empty


def test_the_newest_come_first(several):
    made = [run.facts["created_at"] for run in several.find()]
    assert made == sorted(made, reverse=True)


def test_latest_takes_filters(several):
    assert several.latest().name is None
    assert several.latest(solver="modflow6").name == "wet"
    assert several.latest(status="failed").name == "bad"
    with pytest.raises(KeyError):
        several.latest(solver="swat")


def test_every_column_one_reads_one_can_find_by():
    assert {*criteria.TEXTS, *criteria.NUMBERS, *criteria.TIMES} == set(queries.SUMMARY) - {"owner"}


@pytest.mark.parametrize(
    ("key", "answer"), [("name", True), ("name_like", True), ("tags", True), ("nse_gt", False), ("seed", False)]
)
def test_the_command_line_knows_what_is_text(key, answer):
    assert criteria.is_text(key) is answer


# ── words that nobody recorded ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["x", "Completed", "", None, ["completed", "done"]], ids=str)
@pytest.mark.parametrize("key", ["status", "status_ne"])
def test_a_status_that_there_is_not_is_refused(several, key, value):
    """It was an empty answer, or all of them: a typing error looked like a finding."""
    with pytest.raises(ValueError, match="pending, running, completed, partial, failed, aborted, resumed, interrupted"):
        several.find(**{key: value})


def test_the_statuses_are_those_of_the_vocabulary(several):
    assert sorted(facts.STATUSES) == sorted(several.vocabulary.table("statuses")["code"].to_pylist())


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"solver": "gr4"}, "no simulation has the solver 'gr4', the nearest is gr4j"),
        ({"solver": ["gr4j", "modflow"], "nse_gt": 5}, "the solver 'modflow', the nearest is modflow6"),
        ({"tags": ["paper", "papr"]}, "no simulation has the tag 'papr', the nearest is paper"),
        ({"param.varant": "dry"}, "no simulation has the parameter 'varant', the nearest is variant"),
        ({"study_area_name": "Aar"}, "no simulation has the study_area_name 'Aar', the nearest is Aare"),
        ({"flow_regime": "steady"}, "no simulation has the flow_regime 'steady', there is none"),
        ({"solver": "gr4j", "name": "nobody"}, "no simulation has the name 'nobody', there is "),
        ({"solver": "gr4j", "nse_gt": 5}, ""),
        ({"status": "partial"}, ""),
    ],
    ids=str,
)
def test_an_empty_answer_says_what_was_perhaps_meant(several, filters, said):
    """Words that grow with use are never wrong."""
    found = several.find(**filters)
    assert (len(found), said in found.hint, bool(found.hint)) == (0, True, bool(said))
    assert said in repr(found)
    assert escape(said) in found._repr_html_()


def test_an_answer_says_nothing_of_what_was_meant(several):
    assert several.find(solver=["gr4j", "modflow"]).hint == ""
