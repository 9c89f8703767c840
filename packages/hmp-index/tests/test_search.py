"""Scoring: words, accents, prefixes, weights."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.filters import Bound
from hmp_index.search import WEIGHTS, folded, ranking, searchable, words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Évron", "evron"),
        ("GRÖSSE", "grosse"),
        ("Größe", "grosse"),
        ("Łódź", "lodz"),
        ("Ærø", "aero"),
        ("L'Œuvre", "l'oeuvre"),
        ("İstanbul", "istanbul"),
        ("ﬁne", "fine"),
    ],
)
def test_accents_and_case_do_not_matter(text, plain):
    assert folded(text) == plain


def test_whatever_is_no_letter_and_no_digit_separates():
    assert words("gr4j_base-v2, l'Évron; DROP TABLE--'%\"") == ["gr4j", "base", "v2", "l", "evron", "drop", "table"]


def test_punctuation_alone_says_nothing():
    assert words("%_'\";--\\*()[]") == []


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Return a function that lets the engine score texts for a query, given the label of their workspace."""
    path = tmp_path_factory.mktemp("scores") / "scores.duckdb"
    backend = DuckDBBackend(path, create=True)
    home = "5f0c1e2a-9b1d-4c53-8f7e-0d3a6b2c4e11"
    with backend.lease(write=True):

        def scored(query, *fields, label=""):
            bound = Bound()
            expression = ranking(query, {home: label}, bound)
            listed = ", ".join(f"({n}, {bound.add(searchable(one))})" for n, one in enumerate(fields))
            sql = f"SELECT {expression} FROM (SELECT *, CAST({bound.add(home)} AS UUID) AS workspace_id "
            sql += f"FROM (VALUES {listed}) v(n, search_text)) s ORDER BY n"
            return [row[0] for row in backend.fetch_all(sql, bound.values)]

        yield scored


@pytest.mark.parametrize("field", [name for name in WEIGHTS if name != "workspace"])
def test_a_word_counts_by_where_it_stands(ask, field):
    assert ask(["fulda"], {field: "the Fulda at Kassel"}) == [WEIGHTS[field]]


def test_the_label_of_the_workspace_counts_too(ask):
    assert ask(["fulda"], {}, label="Fulda, upper") == [WEIGHTS["workspace"]]
    assert ask(["ful"], {}, label="Fulda, upper") == [WEIGHTS["workspace"] / 2]


def test_a_whole_word_ranks_above_the_beginning_of_one(ask):
    assert ask(["ful"], {"name": "ful"}, {"name": "fulda"}) == [5.0, 2.5]


def test_the_middle_of_a_word_is_no_answer(ask):
    assert ask(["ulda"], {"name": "fulda"}) == [0]


def test_words_may_stand_in_different_fields(ask):
    assert ask(["fulda", "base"], {"name": "base", "tags": "Fulda"}) == [WEIGHTS["name"] + WEIGHTS["tags"]]


def test_the_best_field_counts_once(ask):
    assert ask(["fulda"], {"name": "fulda", "description": "fulda fulda fulda"}) == [WEIGHTS["name"]]


def test_fields_without_text_are_passed_over(ask):
    assert ask(["fulda"], {"name": None, "tags": "", "description": "fulda"}) == [WEIGHTS["description"]]


def presence(word, text):
    """Return what a word counts in a text: the definition, beside which the engine is tried."""
    found = words(text)
    return 1.0 if word in found else 0.5 if any(one.startswith(word) for one in found) else 0.0


texts = st.lists(st.sampled_from(["aare", "aar", "a", "Été", "ete", "2", "25", "𝔸", "|", "%", "_"])).map(" ".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts.flatmap(lambda t: st.sampled_from(words(t) or ["a"])), min_size=1), st.data())
def test_the_engine_scores_as_it_is_said(ask, query, data):
    fields = data.draw(st.dictionaries(st.sampled_from([*WEIGHTS]), texts))
    label = fields.pop("workspace", "")
    said = [max(WEIGHTS[n] * presence(w, t) for n, t in {**fields, "workspace": label}.items()) for w in query]
    assert ask(query, fields, label=label) == [sum(said)]


@settings(deadline=None)
@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert words(" ".join(words(text))) == words(text)
