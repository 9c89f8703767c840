"""From keywords to conditions: every kind of value that fits, and every kind that does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from hmp_core.errors import InvalidInput, UnknownFilter
from hmp_core.filters import Bound
from hmp_index.finding import COLUMNS, question, saying

KEYS = {"metrics": ["nse", "nse@upper", "head.rmse", "a_gt"], "parameters": ["x1", "k::north", "k_gt"]}


def asked(**filters):
    found = question(filters, KEYS.__getitem__, {"3f2a0000-0000-4000-8000-000000000001": "Aare"})
    return found.conditions, found.bound.values


def test_a_column_is_compared():
    assert asked(solver="gr4j") == (["(s.solver IN ($1))"], ["gr4j"])


def test_the_workspace_is_its_label():
    assert asked(workspace_like="%aar%") == (["w.label ILIKE $1"], ["%aar%"])


def test_several_conditions_count_their_values():
    conditions, values = asked(solver=["gr4j", "hbv"], status=None, nse_gt=0.7)
    assert conditions[:2] == ["(s.solver IN ($1, $2))", "s.status IS NULL"]
    assert (values[2], values[3], len(values)) == ("/nse", 0.7, 6)


def test_a_metric_is_asked_for_at_any_station():
    conditions, values = asked(nse_gt=0.7)
    assert conditions[0].count("TRY_CAST") == 2
    assert {"/nse", "/nse@upper"} < set(map(str, values))


def test_a_metric_of_a_station_is_asked_for_there():
    assert asked(**{"nse@upper_gt": 0.7})[1] == ["/nse@upper", 0.7]


def test_a_metric_goes_by_its_bare_name():
    assert asked(rmse_lt=1)[1] == ["/rmse", 1.0, "/head.rmse", 1.0]


def test_a_metric_may_be_called_as_a_suffix():
    assert asked(a_gt=1)[1] == ["/a_gt", 1.0]


def test_a_usual_metric_that_nobody_has_is_no_mistake():
    assert asked(kge_gt=0.5)[1] == ["/kge", 0.5]


@pytest.mark.parametrize(("key", "path"), [("param.x1", "x1"), ("param.k", "k::north"), ("param.k::north", "k::north")])
def test_a_parameter_is_asked_for_in_any_zone_or_one(key, path):
    assert asked(**{f"{key}_lte": 3})[1][:2] == [f"/{path}", 3.0]


def test_a_parameter_may_be_called_as_a_suffix():
    assert asked(**{"param.k_gt": 3})[1] == ["/k_gt", 3.0]


def test_a_parameter_that_nobody_has_fits_nothing():
    assert asked(**{"param.z_gt": 3})[1] == ["/z", 3.0]


def test_a_parameter_that_is_a_word_is_compared_as_one():
    conditions, values = asked(**{"param.soil": "clay"})
    assert "TRY_CAST" not in conditions[0]
    assert values == ["/soil", '"clay']


def test_a_number_that_was_typed_is_a_number():
    assert asked(**{"nse@upper": "1e-3"})[1] == ["/nse@upper", 0.001]


def test_a_parameter_that_is_text_is_not_a_number():
    """As in the catalog, where text is kept as text; the command line says which of the two it means."""
    conditions, values = asked(**{"param.x1": "3.5"})
    assert "TRY_CAST" not in conditions[0]
    assert values == ["/x1", '"3.5']


def test_a_parameter_may_be_true():
    assert asked(**{"param.wet": True})[1] == ["/wet", "true"]


def test_a_list_with_nothing_in_it_fits_nothing():
    assert asked(solver=[])[0] == ["(FALSE)"]


def test_the_trash_is_left_alone_unless_it_is_asked_for():
    def trash(**filters):
        return question(filters, KEYS.__getitem__, {}).all()

    assert trash() == trash(trashed=False) == ["s.trashed_at IS NULL"]
    assert trash(trashed=True) == ["s.trashed_at IS NOT NULL"]
    assert trash(trashed=None) == []


@pytest.mark.parametrize("key", ["notes", "doi_like", "seed", "started_at_gt"])
def test_what_only_the_catalog_knows_is_said_to_be_there(key):
    with pytest.raises(UnknownFilter, match="hmp catalog find") as refused:
        asked(**{key: "x"})
    assert "solver" in refused.value.valid


def test_a_name_with_quotes_is_a_name():
    KEYS["metrics"].append('a"b\\c')
    assert asked(**{'a"b\\c': 1})[1] == ['/a"b\\c', 1.0]
    KEYS["metrics"].pop()


def test_all_tags_must_be_there():
    assert len(asked(tags=["a", "b"])[0]) == len(asked(tags="ab")[0]) + 1


def test_text_that_says_nothing_fits_nothing():
    assert asked(text="%'--") == (["FALSE"], [])


def test_text_is_looked_for_in_the_label_too():
    conditions, values = asked(text="ÀARE low")
    assert "workspace_id" in conditions[0]
    assert "workspace_id" not in conditions[1]
    assert values == ["%aare%", "3f2a0000-0000-4000-8000-000000000001", "%low%"]


def test_a_search_looks_where_words_begin():
    bound = Bound()
    assert saying(["are"], {"1": "Aare"}, bound) == ["s.search_text LIKE $1"]
    assert bound.values == ["% are%"]


# ── values ───────────────────────────────────────────────────────────────────────────────────────────

NOON = datetime(2024, 5, 1, 12)


def test_a_time_may_be_missing():
    assert asked(created_at=None) == (["s.created_at IS NULL"], [])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (NOON, NOON),
        ("2024-05-01T12:00", NOON),
        ("2024-05-01 14:00+02:00", NOON),
        (NOON.replace(tzinfo=UTC), NOON),
        (datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (date(2024, 5, 1), datetime(2024, 5, 1)),
        ("2024-05-01", datetime(2024, 5, 1)),
    ],
)
def test_a_time_is_told_in_any_way(value, kept):
    assert asked(created_at_gte=value)[1] == [kept]


def test_text_is_compared_as_text():
    assert asked(name=2019)[1] == ["2019"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("created_at", "yesterday"),
        ("created_at_gt", None),
        ("solver_gt", ["a", "b"]),
        ("nse_gt", [0.5, 0.6]),
        ("trashed", "true"),
        ("status", "interrupted"),
        ("status_ne", ["running", "interrupted"]),
        ("period", ("2002-01-01", "2001-01-01")),
        ("period", "2001-01-01/2002-01-01/2003-01-01"),
        ("period_covers", 3),
        ("bbox", "1,2,3"),
        ("bbox", (3, 0, 1, 1)),
        ("bbox", "a,b,c,d"),
        ("bbox", (0, 0, float("nan"), 1)),
        ("bbox", None),
        ("created_at", 3),
        ("duration_s_gt", "long"),
        ("duration_s", {}),
        ("nse_gt", "good"),
        ("nse_gt", [0.5, "x"]),
        ("nse_like", "0.7"),
        ("created_at_like", "2024%"),
        ("param.x1_gt", b"x"),
        ("param.x1_like", 3),
        ("name", b"x"),
        ("name", {"a": 1}),
        ("tags", 3),
        ("tags", [3]),
        ("tags", None),
    ],
)
def test_a_value_that_cannot_be_compared_is_refused(key, value):
    with pytest.raises(InvalidInput, match=key.partition("_")[0]):
        asked(**{key: value})


@pytest.mark.parametrize(
    "key", ["solvr", "nse_between", "zzz", "", "_gt", "param.", "tags_gt", "text_ne", "solver; DROP"]
)
def test_an_unknown_key_is_refused_with_the_known_ones(key):
    with pytest.raises(UnknownFilter) as caught:
        asked(**{key: 1})
    assert {"solver", "tags", "text", "nse"} <= set(caught.value.valid) or "param.x1" in caught.value.valid


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(UnknownFilter, match="did you mean solver"):
        asked(solvr="gr4j")


def test_keys_of_the_snapshot_are_read_only_if_need_be():
    def never(kind):
        raise AssertionError(kind)

    assert question(dict.fromkeys(COLUMNS), never, {}).bound.values == []
