"""``hmp index``: what it says, on which stream, and with which code it leaves."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil

import pytest

from hmp_core.cli.main import main
from hmp_core.layout import catalog_path


@pytest.fixture
def hmp(capsys):
    """Return a function that runs a command and returns its code, its output and what it said beside."""

    def run(*words):
        code = main(["index", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def filled(machine, make_sim, hmp):
    aare = machine.workspace("aare")
    base = make_sim("base", {"nse": 0.8}, {"x1": 320.0}, ["paper"], columns={"study_area_name": "Évron"})
    machine.project(aare, "calibration", [base, make_sim("wet", {"nse": 0.6}, {"x1": 410.0})])
    hmp("register", aare)
    return aare


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_registering_shows_the_workspace(machine, hmp):
    code, out, err = hmp("register", machine.workspace("aare"), "--label", "Upper Aare")
    assert (code, err) == (0, "")
    assert "Upper Aare" in out


def test_registering_here_needs_no_path(machine, hmp, monkeypatch):
    monkeypatch.chdir(machine.workspace("aare"))
    assert hmp("register")[0] == 0


def test_registering_a_copy_says_so(filled, machine, hmp):
    shutil.copytree(filled, machine.root / "copy")
    code, out, err = hmp("register", machine.root / "copy", "--json")
    assert (code, lines(out)[0]["copy_of"]) == (0, json.loads(hmp("ls", "--json")[1].splitlines()[0])["id"])
    assert "is a copy" in err


def test_listing(filled, hmp):
    code, out, _ = hmp("ls", "--json")
    found = lines(out)[0]
    assert (code, found["label"], found["status"], found["n_simulations"], found["path"]) == (
        0,
        "aare",
        "ok",
        2,
        str(filled),
    )


def test_an_empty_list_is_no_error(hmp):
    assert hmp("ls") == (0, "nothing found\n", "")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["nse_gt=0.7"], {"base"}),
        (["param.x1_gt=300"], {"base", "wet"}),
        (["tags=paper"], {"base"}),
        (["text=evron"], {"base"}),
        (["name=base", "name=wet"], {"base", "wet"}),
        (["created_at_gt=2025-01-01"], set()),
        ([], {"base", "wet"}),
    ],
)
def test_finding(filled, hmp, filters, found):
    code, out, err = hmp("find", *filters, "--json")
    assert (code, {row["name"] for row in lines(out)}, err) == (0, found, "")


def test_a_table_shows_the_metrics(filled, hmp):
    out = hmp("find", "name=base")[1].splitlines()
    assert out[0].split()[-2:] == ["nse", "path"]
    assert "0.8" in out[1]


def test_what_is_not_shown_is_said(filled, hmp):
    code, out, err = hmp("find", "--limit", "1", "--json")
    assert (code, len(lines(out))) == (0, 1)
    assert "1 more" in err


@pytest.mark.parametrize("words", [["find", "solvr=x"], ["find", "solver"], ["find", "=x"], ["find", "nse_gt=high"]])
def test_a_bad_filter_leaves_with_2(filled, hmp, words):
    code, out, err = hmp(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


def test_searching(filled, hmp):
    code, out, _ = hmp("search", "evron", "--json")
    assert (code, [row["name"] for row in lines(out)]) == (0, ["base"])
    assert lines(out)[0]["score"] > 0


def test_searching_for_several_words(filled, hmp):
    assert "base" in hmp("search", "evron", "calib")[1]
    assert hmp("search", "evron", "rhine") == (0, "nothing found\n", "")


def test_forgetting_says_what_went(filled, hmp):
    code, out, _ = hmp("forget", "aare")
    assert code == 0
    assert "forgot aare" in out
    assert "2 simulations" in out
    assert hmp("ls")[1] == "nothing found\n"


@pytest.mark.parametrize("verb", [["forget", "nothing"], ["relocate", "nothing", "."]])
def test_an_unknown_reference_leaves_with_10(filled, machine, hmp, monkeypatch, verb):
    monkeypatch.chdir(filled)
    code, _, err = hmp(*verb)
    assert code == 10
    assert "aare" in err


def test_an_ambiguous_reference_leaves_with_20(filled, machine, hmp):
    hmp("register", machine.workspace("fulda"), "--label", "aare")
    assert hmp("forget", "aare")[0] == 20


@pytest.mark.parametrize(("path", "code"), [("nowhere", 10), ("s3://bucket/aare", 2), (".", 10)])
def test_what_is_no_workspace_is_refused(hmp, path, code):
    assert hmp("register", path)[0] == code


def test_pruning_says_what_it_did(filled, hmp):
    assert hmp("prune")[:2] == (0, "nothing to forget: every workspace and project is at its place\n")
    shutil.rmtree(filled)
    assert "would forget workspace aare, 2 simulations" in hmp("prune", "--dry-run")[1]
    assert lines(hmp("prune", "--dry-run", "--json")[1])[0]["kind"] == "workspace"
    assert "forgot workspace aare" in hmp("prune")[1]
    assert hmp("ls")[1] == "nothing found\n"


def test_relocating(filled, machine, hmp):
    moved = filled.rename(machine.root / "elsewhere")
    code, out, _ = hmp("relocate", "aare", moved, "--json")
    assert (code, lines(out)[0]["path"]) == (0, str(moved))


@pytest.mark.parametrize(
    "verb", [["find"], ["search", "base"], ["ls"], ["health"], ["refresh"], ["rebuild"], ["sql", "SELECT 1"]]
)
def test_an_answer_that_lacks_something_names_it_and_leaves_with_1(filled, hmp, verb):
    os.truncate(catalog_path(filled / "projects" / "calibration"), 5000)
    code, out, err = hmp(*verb)
    assert code == 1
    assert out
    assert err.startswith("note: aare/calibration corrupt")


def test_refreshing_and_rebuilding_count(filled, hmp):
    for verb in (["refresh"], ["refresh", "--all"], ["rebuild"]):
        assert hmp(*verb) == (0, "1 workspaces, 1 projects, 2 simulations\n", "")


def test_health_has_a_line_for_each(filled, hmp):
    code, out, _ = hmp("health", "--json")
    assert (code, [(row["workspace"], row["project"], row["status"]) for row in lines(out)]) == (
        0,
        [("aare", None, "ok"), ("aare", "calibration", "ok")],
    )


def test_sql(filled, hmp):
    code, out, _ = hmp("sql", "SELECT name FROM simulations_cache ORDER BY name", "--json")
    assert (code, lines(out)) == (0, [{"name": "base"}, {"name": "wet"}])
    assert hmp("sql", "DROP TABLE workspaces")[0] == 2


def test_a_damaged_index_is_mended_and_said(filled, machine, hmp):
    machine.database.write_bytes(b"x" * 9000)
    code, out, err = hmp("find", "--json")
    assert (code, len(lines(out))) == (0, 2)
    assert "damaged" in err


@pytest.mark.parametrize(
    "verb", ["register", "forget", "ls", "prune", "refresh", "find", "search", "health", "relocate", "rebuild", "sql"]
)
def test_every_verb_has_help(hmp, verb):
    code, out, _ = hmp(verb, "--help")
    assert code == 0
    assert "Usage: hmp index" in out


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────

LISTINGS = [
    ["ls"],
    ["projects"],
    ["find", "solver=gr4j"],
    ["search", "base"],
    ["health"],
    ["sql", "SELECT label FROM workspaces"],
    ["sql", "--live", "SELECT name FROM all_simulations"],
]


@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_every_listing_answers_in_every_form(filled, hmp, words):
    told = lines(hmp(*words, "--format", "json")[1])
    assert told == lines(hmp(*words, "--json")[1]) != []
    rows = list(csv.DictReader(io.StringIO(hmp(*words, "--format", "csv")[1])))
    assert [list(row) for row in rows] == [list(line) for line in told]
    table = hmp(*words)[1].splitlines()
    assert len(table) == 1 + len(told)


@pytest.mark.parametrize("words", [["find", "name=nothing"], ["search", "nothing"]])
def test_no_hit_has_the_columns_in_csv(filled, hmp, words):
    code, out, _ = hmp(*words, "--format", "csv")
    assert (code, out.count("\n")) == (0, 1)
    assert {"workspace", "sim_id", "metrics", "state"} <= set(out.strip().split(","))


def test_a_number_that_was_typed_is_one_and_a_word_is_a_word(filled, machine, make_sim, hmp):
    found = [name["name"] for name in lines(hmp("find", "param.x1=320", "--json")[1])]
    assert found == ["base"]
    assert hmp("find", "name=320", "--json")[:2] == (0, "")


@pytest.mark.parametrize(
    ("said", "found"), [("true", ["gone"]), ("both", ["gone", "base", "wet"]), ("false", ["base", "wet"])]
)
def test_the_trash_can_be_asked_for(filled, machine, make_sim, hmp, said, found):
    machine.put(filled / "projects" / "calibration", make_sim("gone", columns={"trashed_at": "2024-05-02"}))
    assert sorted(line["name"] for line in lines(hmp("find", f"trashed={said}", "--json")[1])) == sorted(found)


def test_rebuild_takes_workspaces_and_folders(filled, machine, hmp):
    other = machine.workspace("south/fulda")
    shutil.rmtree(machine.state)
    assert hmp("rebuild", filled)[:2] == (0, "1 workspaces, 1 projects, 2 simulations\n")
    assert hmp("rebuild", "--below", machine.root)[:2] == (0, "2 workspaces, 1 projects, 2 simulations\n")
    assert [line["path"] for line in lines(hmp("ls", "--json")[1])] == [str(filled), str(other)]


def test_rebuild_leaves_with_1_if_something_was_no_workspace(filled, machine, hmp):
    code, out, err = hmp("rebuild", machine.root / "nothing")
    assert (code, out) == (1, "1 workspaces, 1 projects, 2 simulations\n")
    assert "nothing" in err


def test_a_depth_without_a_folder_is_a_mistake(hmp):
    assert hmp("rebuild", "--depth", "3")[0] == 2


def test_refresh_finds_what_moved(filled, machine, hmp):
    moved = filled.rename(machine.root / "moved")
    code, _, err = hmp("refresh")
    assert code == 0
    assert str(moved) in err
    assert lines(hmp("ls", "--json")[1])[0]["path"] == str(moved)


def test_a_live_question_says_what_it_could_not_ask(filled, hmp):
    catalog_path(filled / "projects" / "calibration").write_bytes(b"not a database")
    code, out, err = hmp("sql", "--live", "SELECT name FROM all_simulations", "--format", "csv")
    assert (code, out) == (1, "name\n")
    assert "corrupt" in err
