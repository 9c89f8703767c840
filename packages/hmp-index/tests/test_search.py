"""Scoring: words, accents, prefixes, weights; pure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_index.search import WEIGHTS, folded, score, words


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


def test_no_word_answers_nothing():
    assert score([], {"name": "base"}) == 0


@pytest.mark.parametrize("field", WEIGHTS)
def test_a_word_counts_by_where_it_stands(field):
    assert score(["fulda"], {field: "the Fulda at Kassel"}) == WEIGHTS[field]


def test_a_whole_word_ranks_above_the_beginning_of_one():
    assert score(["ful"], {"name": "ful"}) > score(["ful"], {"name": "fulda"}) > 0


def test_the_middle_of_a_word_is_no_answer():
    assert score(["ulda"], {"name": "fulda"}) == 0


def test_every_word_must_stand_somewhere():
    assert score(["fulda", "rhine"], {"name": "fulda", "description": "not the other one"}) == 0


def test_words_may_stand_in_different_fields():
    assert score(["fulda", "base"], {"name": "base", "workspace": "Fulda"}) == WEIGHTS["name"] + WEIGHTS["workspace"]


def test_the_best_field_counts_once():
    assert score(["fulda"], {"name": "fulda", "description": "fulda fulda fulda"}) == WEIGHTS["name"]


def test_fields_without_text_are_passed_over():
    assert score(["fulda"], {"name": None, "tags": "", "description": "fulda"}) == WEIGHTS["description"]


@settings(deadline=None)
@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert words(" ".join(words(text))) == words(text)


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_text_answers_each_of_its_own_words(before, after):
    text = f"{before} fulda {after}"
    assert all(score([word], {"description": text}) == WEIGHTS["description"] for word in words(text))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["aare", "fulda", "base", "wet"]), min_size=1), st.text())
def test_more_words_never_answer_what_fewer_do_not(query, text):
    fields = {"name": text, "description": "aare base"}
    assert not (score(query, fields) > 0 and score(query[:1], fields) == 0)
