"""``hmp catalog``, as it is typed: every verb in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pytest

import hmp_catalog
from hmp_catalog.cli import group
from hmp_core.cli.main import main
from hmp_core.layout import catalog_path, init_project, init_workspace


@pytest.fixture(scope="module")
def shared(tmp_path_factory, record):
    """Return a project with three runs; tests that change it take a copy."""
    workspace = init_workspace(tmp_path_factory.mktemp("shared") / "workspace").path
    project = init_project(workspace, "aare").path
    with hmp_catalog.open(project, create=True) as cat:
        record(
            cat,
            "base",
            metrics={"nse": 0.8, "rmse": 1.0},
            parameters={"x1": 300, "kind": "dry", "warm": True},
            tags=["2020"],
        )
        record(cat, "wet", solver="modflow6", metrics={"nse": 0.9, "rmse": float("nan")}, tags=["paper", "2020"])
        failed = cat.record("gr4j", name="été")
        failed.metric("nse", float("inf"))
        failed.seal("failed", error="it did not converge")
        with cat.calibration("sce-ua", objective="1 - kge") as session:
            session.trial({"x1": 1}, 0.25)
    return project


@pytest.fixture
def own(shared, tmp_path):
    shutil.copytree(shared.parents[1], tmp_path / "own")
    return tmp_path / "own" / "projects" / shared.name


@pytest.fixture
def catalog(hmp):
    """Return a function that runs ``hmp catalog`` and expects an exit code."""

    def run(*words, code=0, **options):
        done = hmp("catalog", *words, **options)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def quickly(capfd):
    """Return the same without a process of its own, for the many forms of one verb."""

    def run(*words, code=0):
        returned = main(["catalog", *map(str, words)])
        out, err = capfd.readouterr()
        assert returned == code, out + err
        return subprocess.CompletedProcess(words, returned, out, err)

    return run


def rows(done):
    """Return what was printed with --json, strictly: NaN is no JSON."""

    def refuse(word):
        raise ValueError(word)

    return [json.loads(line, parse_constant=refuse) for line in done.stdout.splitlines()]


def test_ls_lists_the_newest_first(shared, catalog):
    done = catalog("ls", "-p", shared)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["sim_id", "name", "solver", "status", "created_at", "nse", "rmse"]
    assert [line.split()[1] for line in lines[1:]] == ["été", "wet", "base"]
    assert done.stderr == ""


def test_ls_as_json(shared, catalog):
    found = rows(catalog("ls", "--json", "-p", shared))
    assert [row["name"] for row in found] == ["été", "wet", "base"]
    assert (found[0]["nse"], found[1]["rmse"], found[2]["nse"]) == (None, None, 0.8)
    assert len(found[0]["sim_id"]) == 36


def test_every_verb_answers_as_a_program_needs_it(shared):
    """A table for people, JSON and CSV for programs: whichever the verb."""
    for words, verb in leaves(group):
        forms = [option for option in verb.params if option.name == "form"]
        assert [option.type.choices for option in forms] == [("table", "json", "csv")], words


def leaves(verb, *before):
    """Yield each verb below a group, however deep, with the words that lead to it."""
    for name, each in verb.commands.items():
        if hasattr(each, "commands"):
            yield from leaves(each, *before, name)
        else:
            yield (*before, name), each


#: Verbs that do something when they are given no more than their name.
DOING = {("vacuum",), ("rebuild",), ("watch",)}
LISTING = sorted(
    words for words, verb in leaves(group) if words not in DOING and not any(each.required for each in verb.params)
)


@pytest.mark.parametrize("words", LISTING, ids=" ".join)
def test_what_is_listed_is_read_by_programs(shared, quickly, words):
    """As JSON a line each, as CSV under names: the same rows, and as many as people see."""
    lines = rows(quickly(*words, "--format", "json", "-p", shared))
    assert lines == rows(quickly(*words, "--json", "-p", shared))
    table = list(csv.DictReader(io.StringIO(quickly(*words, "--format", "csv", "-p", shared).stdout)))
    assert len(table) == len(lines)
    assert all(row.keys() == line.keys() for row, line in zip(table, lines, strict=True))
    assert quickly(*words, "-p", shared).stdout


def test_all_that_lists_is_tried():
    assert {("ls",), ("find",), ("trash",), ("calibration",), ("workflow", "list"), ("audit", "list")} < {*LISTING}
    assert {("privacy", "list"), ("stations",), ("observations",), ("vocabulary",), ("gc",)} < {*LISTING}


def test_ls_as_csv(shared, catalog):
    found = list(csv.DictReader(io.StringIO(catalog("ls", "--format", "csv", "-p", shared).stdout)))
    assert [row["name"] for row in found] == ["été", "wet", "base"]
    assert (found[0]["nse"], found[1]["rmse"], found[2]["nse"]) == ("inf", "nan", "0.8")
    assert len(found[0]["sim_id"]) == 36


def test_ls_says_that_there_are_more(shared, catalog):
    done = catalog("ls", "--limit", 1, "-p", shared)
    assert len(done.stdout.splitlines()) == 2
    assert "2 more" in done.stderr
    assert catalog("ls", "--limit", 0, "-p", shared).stdout == "nothing found\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["nse_gt=0.7", "status=completed", "solver=gr4j"], ["base"]),
        (["tags=2020"], ["wet", "base"]),
        (["tags=2020", "tags=paper"], ["wet"]),
        (["solver=gr4j", "solver=modflow6"], ["été", "wet", "base"]),
        (["param.x1_gt=299.5"], ["base"]),
        (["param.kind=dry"], ["base"]),
        (["param.warm=true"], ["base"]),
        (["name=2020"], []),
        (["created_at_gt=2001-01-01"], ["été", "wet", "base"]),
        ([], ["été", "wet", "base"]),
    ],
    ids=str,
)
def test_find(shared, quickly, words, names):
    assert [row["name"] for row in rows(quickly("find", *words, "--json", "-p", shared))] == names


def test_find_as_it_is_typed(shared, catalog):
    assert [row["name"] for row in rows(catalog("find", "solver=gr4j", "nse_gt=0", "--json", "-p", shared))] == [
        "été",
        "base",
    ]


@pytest.mark.parametrize(
    ("word", "said"), [("colour=red", "param.NAME"), ("solver", "KEY=VALUE"), ("nse_gt=high", "number")]
)
def test_find_refuses_what_it_does_not_understand(shared, quickly, word, said):
    done = quickly("find", word, "-p", shared, code=2)
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("said", "names"), [("true", ["wet"]), ("false", ["été", "base"]), ("both", ["été", "wet", "base"])]
)
def test_find_looks_in_the_trash(own, quickly, said, names):
    quickly("rm", "wet", "-p", own)
    assert [row["name"] for row in rows(quickly("find", f"trashed={said}", "--json", "-p", own))] == names
    assert "both" in quickly("find", "trashed=maybe", "-p", own, code=2).stderr


@pytest.fixture
def asked(own, tmp_path):
    """Return a project in which many a question needs more words."""
    with hmp_catalog.open(own) as cat:
        with cat.record("gr4j", name="many") as rec:
            rec.metric("zzz", 1.0)
            for place in ("inlet", "weir"):
                rec.metric("kge", 0.5 if place == "weir" else 0.25, station=place, variable="discharge")
        cat.export_package("base", tmp_path / "base.hmprun")
    return own


#: Words that only a program can say.
PYTHON = ("=True", "=False", "=,", "ascending=", "station=", " None", "Run.", "{'", "a list")

#: What is asked, how it is refused, and what the answer advises: options of the line, not words of Python.
ADVICE = [
    (["rank", "zzz"], 2, "--ascending or --descending"),
    (["best", "zzz"], 2, "--ascending or --descending"),
    (["show", "@best:zzz"], 2, "`hmp catalog rank METRIC --ascending`"),
    (["rank", "kge"], 20, "@best:kge@inlet, or with --station and --variable"),
    (["show", "@best:kge"], 20, "@best:kge@inlet, or with `hmp catalog rank METRIC --station`"),
    (["export", "base", "-o", "FILE"], 2, "say --overwrite"),
    (["import", "FILE"], 2, "new ids with --rename, or restore them with --force"),
    (["tag", "base", "--", "--x"], 2, "takes a tag away"),
    (["find", "nse_gt=1", "nse_gt=2"], 2, "one value"),
    (["find", "trashed=maybe"], 2, "expected true"),
    (["audit", "verify", "--anchor", "abc"], 2, "SEQ:HASH"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), ADVICE, ids=lambda each: "".join(each) if isinstance(each, list) else ""
)
def test_what_is_advised_can_be_typed(asked, tmp_path, quickly, monkeypatch, words, code, said):
    monkeypatch.setenv("HMP_PROJECT", str(asked))
    done = quickly(*(str(tmp_path / "base.hmprun") if word == "FILE" else word for word in words), code=code)
    assert said in done.stderr
    assert not [word for word in PYTHON if word in done.stderr], done.stderr


def test_an_empty_answer_says_what_was_perhaps_meant(shared, quickly):
    done = quickly("find", "solver=gr4", "--json", "-p", shared)
    assert (done.stdout, done.stderr) == ("", "note: no simulation has the solver 'gr4', the nearest is gr4j\n")
    assert "a simulation is pending, running" in quickly("find", "status=x", "-p", shared, code=2).stderr


def test_what_is_advised_works(asked, quickly):
    first = rows(quickly("rank", "zzz", "--descending", "--json", "-p", asked))
    assert [(row["name"], row["zzz"]) for row in first] == [("many", 1.0)]
    for verb in ("rank", "best"):
        words = (verb, "kge", "--station", "weir", "--variable", "discharge", "--json", "-p", asked)
        assert [row["kge"] for row in rows(quickly(*words))] == [0.5]
    assert rows(quickly("rank", "kge", "--station", "weir", "--variable", "head", "--json", "-p", asked)) == []


def test_show(shared, catalog):
    done = catalog("show", "base", "-p", shared)
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (shown["name"], shown["status"], shown["solver"]) == ("base", "completed", "gr4j")
    assert json.loads(shown["parameters"]) == {"kind": "dry", "warm": True, "x1": 300.0}
    assert os.path.isdir(shown["folder"])
    assert "owner" not in shown


def test_show_as_json(shared, catalog):
    (found,) = rows(catalog("show", "wet", "--json", "-p", shared))
    assert found["metrics"] == {"nse": 0.9, "rmse": None}
    assert found["tags"] == ["2020", "paper"]


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [("nobody", 10, "has 3"), ("bsae", 10, "base"), ("@best:colour", 2, "rmse"), ("@oldest", 10, "@latest~N")],
)
def test_show_says_what_is_wrong_with_a_reference(shared, quickly, reference, code, said):
    assert said in quickly("show", reference, "-p", shared, code=code).stderr


def test_an_ambiguous_reference_has_its_own_exit_code(own, catalog, record):
    with hmp_catalog.open(own) as cat:
        for n in (1, 2):
            record(cat, sim_id=f"abcdef0{n}-0000-4000-8000-000000000001")
    assert "2 simulations" in catalog("show", "abcdef", "-p", own, code=20).stderr


def test_best(shared, catalog, quickly):
    assert [(row["rank"], row["name"], row["nse"]) for row in rows(catalog("best", "nse", "--json", "-p", shared))] == [
        (1, "wet", 0.9),
        (2, "base", 0.8),
    ]
    assert len(rows(quickly("best", "nse", "-n", 1, "--json", "-p", shared))) == 1
    assert quickly("best", "kge", "-p", shared).stdout == "nothing found\n"
    assert "rmse" in quickly("best", "colour", "-p", shared, code=2).stderr


def test_query(shared, catalog):
    sql = "SELECT name, CAST('NaN' AS DOUBLE) AS gap FROM simulations ORDER BY name"
    assert rows(catalog("query", sql, "--json", "-p", shared))[0] == {"name": "base", "gap": None}
    assert catalog("query", "SELECT 1 AS one", "-p", shared).stdout.split() == ["one", "1"]
    assert "SELEKT" in catalog("query", "SELEKT", "-p", shared, code=1).stderr
    assert "SELECT" in catalog("query", "DELETE FROM simulations", "-p", shared, code=2).stderr
    assert len(rows(catalog("ls", "--json", "-p", shared))) == 3


def test_calibration(shared, catalog):
    (found,) = rows(catalog("calibration", "--json", "-p", shared))
    assert (found["method"], found["status"], found["n_iterations"], found["best_objective"]) == (
        "sce-ua",
        "completed",
        1,
        0.25,
    )


def test_tag_note_and_rename(own, catalog):
    (said,) = rows(catalog("tag", "base", "paper", "checked", "--json", "-p", own))
    assert said["tags"] == ["2020", "checked", "paper"]
    assert '["checked", "new", "paper"]' in catalog("tag", "-p", own, "base", "--", "-2020", "new").stdout
    catalog("note", "base", "low flows", "-p", own)
    assert "reference" in catalog("rename", "base", "reference", "-p", own).stdout
    (found,) = rows(catalog("show", "reference", "--json", "-p", own))
    assert (found["tags"], found["notes"]) == (["checked", "new", "paper"], "low flows")


def test_what_cannot_be_said_of_a_run_is_refused(shared, quickly):
    quickly("rename", "base", "@best", "-p", shared, code=2)
    quickly("tag", "nobody", "x", "-p", shared, code=10)
    quickly("tag", "base", "", "-p", shared, code=2)


def test_rebuild(own, catalog):
    catalog_path(own).unlink()
    assert "hmp catalog rebuild" in catalog("ls", "-p", own, code=10).stderr
    (said,) = rows(catalog("rebuild", "--json", "-p", own))
    assert (said["simulations"], said["outcome"]) == (3, "complete")
    assert len(rows(catalog("ls", "--json", "-p", own))) == 3


def test_what_an_answer_lacks_is_in_the_exit_code(own, catalog):
    code = """
    import os, sys, hmp_catalog
    cat = hmp_catalog.open(sys.argv[1])
    with cat.record("gr4j", name="later"):
        pass
    os._exit(0)
    """
    subprocess.run([sys.executable, "-c", "\n".join(line[4:] for line in code.splitlines()), str(own)], check=True)
    done = catalog("ls", "--json", "-p", own, code=1, HMP_FOLD="never")
    assert len(rows(done)) == 3
    assert "2 unfolded" in done.stderr
    assert len(rows(catalog("ls", "--json", "-p", own))) == 4


# ── which project ────────────────────────────────────────────────────────────────────────────────────


def test_the_project_is_the_one_at_or_above(shared, catalog):
    inside = next((shared / "simulations").iterdir())
    for where in (shared, inside, shared.parents[1]):
        assert len(rows(catalog("ls", "--json", cwd=where))) == 3


def test_the_project_may_be_in_the_environment(shared, catalog, machine):
    assert len(rows(catalog("ls", "--json", cwd=machine, HMP_PROJECT=str(shared)))) == 3


def test_the_option_comes_before_the_environment(shared, own, catalog, record):
    with hmp_catalog.open(own) as cat:
        record(cat)
    assert len(rows(catalog("ls", "--json", "-p", own, HMP_PROJECT=str(shared)))) == 4


def test_without_a_project_nothing_is_made(catalog, machine):
    assert "--project" in catalog("ls", cwd=machine, code=10).stderr
    catalog("ls", "-p", machine / "nowhere", code=10)
    catalog("rebuild", cwd=machine, code=10)
    assert "s3://bucket" in catalog("ls", "-p", "s3://bucket/a", code=2).stderr
    assert list(machine.iterdir()) == []


def test_a_workspace_with_two_projects_asks_which(own, catalog):
    init_project(own.parents[1], "emme")
    assert "aare, emme" in catalog("ls", cwd=own.parents[1], code=2).stderr


def test_a_damaged_database_has_its_own_exit_code(own, catalog):
    catalog_path(own).write_text("no database")
    assert "rebuild" in catalog("ls", "-p", own, code=22).stderr


def test_help_says_what_each_verb_does(catalog):
    done = catalog("--help")
    for verb in ("ls", "find", "show", "best", "query", "tag", "note", "rename", "calibration", "rebuild"):
        assert verb in done.stdout
    assert "KEY=VALUE" in catalog("find", "--help").stdout


def test_stations_and_observations_are_listed(catalog, own):
    with hmp_catalog.open(own) as cat:
        cat.stations.add("H1", "discharge", name="Aare at Bern")
        cat.observations.add("H1", "discharge", {"2001-01-01": 4.0}, unit="m3 s-1")
        cat.observations.add("H2", "head", {"2001-01-01": 4.0}, unit="m")
    (known, bare) = rows(catalog("stations", "-p", own, "--json"))
    assert (known["name"], known["last_time"][:10], bare["station"]) == ("Aare at Bern", "2001-01-01", "H2")
    (one,) = rows(catalog("observations", "-p", own, "--variable", "discharge", "--json"))
    assert (one["station"], one["n_rows"]) == ("H1", 1)


def test_workflows_are_listed_and_shown(catalog, own):
    with pytest.raises(ZeroDivisionError), hmp_catalog.open(own) as cat, cat.workflow("calibrate") as wf:
        wf.step("mesh", lambda: 1 / 0)
    (own / "mesh.txt").write_text("mesh")
    with hmp_catalog.open(own) as cat, cat.workflow("calibrate") as wf:
        wf.step("mesh", lambda: own / "mesh.txt")
    newest, first = rows(catalog("workflow", "list", "calibrate", "-p", own, "--json"))
    assert [newest["status"], first["status"]] == ["completed", "failed"]
    (step,) = rows(catalog("workflow", "show", "calibrate", "-p", own, "--json"))
    assert (step["step"], step["artifacts"]) == ("mesh", "projects/aare/mesh.txt")
    catalog("workflow", "show", "other", "-p", own, code=10)


def test_a_vocabulary_is_listed(catalog, own):
    with hmp_catalog.open(own) as cat:
        cat.vocabulary.define_metric("low_flow_bias", best_value=0.0)
    named = {row["metric_name"]: row["best_value"] for row in rows(catalog("vocabulary", "-p", own, "--json"))}
    assert (named["low_flow_bias"], named["nse"]) == (0.0, 1.0)
    assert "lumped" in {row["code"] for row in rows(catalog("vocabulary", "mesh_topologies", "-p", own, "--json"))}
