"""A run as a user holds it: what is said later stands beside what was recorded, and outlives the database."""

from __future__ import annotations

import pytest

import hmp_catalog
from hmp_catalog.errors import SimulationNotFound
from hmp_core.errors import InvalidInput, MissingPart, PathNotFound


def everything(run):
    return run.name, run.tags, run.facts["notes"], run.metrics


ABOUT = {"tags": ["draft", "gr4j"], "metrics": {"nse": 0.5}, "parameters": {"x1": 1}}


@pytest.fixture
def run(cat, record):
    return record(cat, "base", **ABOUT)


@pytest.fixture(scope="module")
def steady(common, record):
    """Return a run that nothing changes."""
    return record(common, "base", **ABOUT)


# ── what is said later ───────────────────────────────────────────────────────────────────────────────


def test_tags_come_and_go(run):
    assert run.tag("paper", "-draft").tags == ["gr4j", "paper"]
    assert run.tag("-paper", "paper", "-gr4j").tags == ["paper"]
    assert run.tag("-nothing").tags == ["paper"]
    assert run.tag().tags == ["paper"]


@pytest.mark.parametrize(
    "tags", [("a", ""), ("a", "-"), ("a", "--b"), ("a", None), ("a", 5), ("a", "b\0"), ("a", "- ")]
)
def test_tags_are_taken_all_or_none(steady, tags):
    with pytest.raises(InvalidInput):
        steady.tag(*tags)
    assert steady.tags == ["draft", "gr4j"]


def test_a_name_is_changed_and_the_folder_stays(run):
    folder = run.folder
    assert run.rename("reference").name == "reference"
    assert run.folder == folder
    assert folder.is_dir()


@pytest.mark.parametrize("name", [None, "", "@best", 5, "a\0b", "\ud800"])
def test_a_name_is_text(steady, name):
    with pytest.raises(InvalidInput):
        steady.rename(name)
    assert steady.name == "base"


def test_a_note_is_set_and_taken_away(run):
    assert run.note("low flows are wrong").facts["notes"] == "low flows are wrong"
    assert run.note(None).facts["notes"] is None
    with pytest.raises(InvalidInput):
        run.note("")


def test_a_metric_is_added_and_corrected(run):
    run.metric("kge", 0.7, n_samples=365, period=("2001-01-01", "2002-01-01")).metric("nse", 0.6)
    assert run.metrics == {"kge": 0.7, "nse": 0.6}
    with pytest.raises(InvalidInput):
        run.metric("nse", "high")
    assert run.metrics == {"kge": 0.7, "nse": 0.6}


def test_what_was_recorded_does_not_change(run):
    run.tag("paper").rename("x").note("y").metric("nse", 0.9)
    assert (run.manifest["run"]["name"], run.manifest["tags"]) == ("base", ["draft", "gr4j"])
    assert run.manifest["metrics"][0]["value"] == 0.5


def test_what_is_said_later_outlives_the_database(cat, run):
    run.tag("paper", "-draft").rename("reference").note("checked").metric("nse", 0.6).metric("kge", 0.7)
    before = everything(cat[run.sim_id])
    assert before == ("reference", ["gr4j", "paper"], "checked", {"kge": 0.7, "nse": 0.6})
    assert not cat.rebuild()
    assert everything(cat[run.sim_id]) == before


def test_what_is_said_before_sealing_was_folded_stands_too(project, spawn, cat):
    """Another process says it of a run that is still open; the seal comes after, and does not undo it."""
    rec = cat.record("gr4j", name="base", tags=["draft"])
    rec.metric("nse", 0.5)
    code = """
    import sys, hmp_catalog
    with hmp_catalog.open(sys.argv[1]) as cat:
        cat["base"].tag("paper", "-draft").rename("reference").note("checked").metric("nse", 0.6)
    print("done", flush=True)
    """
    with spawn(code, project) as (other,):
        assert other.stdout.readline() == "done\n"
    expected = ("reference", ["paper"], "checked", {"nse": 0.6})
    assert everything(cat["reference"]) == expected
    rec.seal()
    assert everything(cat["reference"]) == expected
    assert cat["reference"].status == "completed"
    assert not cat.rebuild()
    assert everything(cat["reference"]) == expected


def test_the_last_of_two_processes_has_the_last_word(project, cat, run, python):
    code = (
        "import sys, hmp_catalog; c = hmp_catalog.open(sys.argv[1]); c[sys.argv[2]].rename('other').tag('x'); c.close()"
    )
    run.rename("mine").tag("x")
    python(code, project, run.sim_id)
    assert cat[run.sim_id].name == "other"
    cat[run.sim_id].rename("mine again").tag("-x")
    assert (cat[run.sim_id].name, cat[run.sim_id].tags) == ("mine again", ["draft", "gr4j"])
    before = everything(cat[run.sim_id])
    cat.rebuild()
    assert everything(cat[run.sim_id]) == before


def test_facts_are_kept_until_something_is_said(cat, run, project, python):
    held = cat["base"]
    assert held.tags == ["draft", "gr4j"]
    python("import sys, hmp_catalog; hmp_catalog.open(sys.argv[1])['base'].tag('paper')", project)
    assert held.tags == ["draft", "gr4j"]
    assert held.note("x").tags == ["draft", "gr4j", "paper"]


# ── what it is ───────────────────────────────────────────────────────────────────────────────────────


def test_a_run_tells_what_it_was(cat, workspace):
    with cat.record("gr4j", name="base", config={"warmup": 365}, seed=7, parameters={"x1": 1}) as rec:
        pass
    run = cat["base"]
    assert (run.name, run.solver, run.status, run.config) == ("base", "gr4j", "completed", {"warmup": 365})
    assert (run.project, run.workspace, run.folder) == (cat.path, workspace, rec.folder)
    assert run.environment["python_version"]
    assert run.summary()["parameters"] == {"x1": 1.0}
    assert repr(run) == "<Run base: gr4j, completed>"


def test_a_run_without_configuration_has_an_empty_one(steady):
    assert steady.config == {}


def test_a_run_whose_folder_was_removed_says_so(cat, run):
    import shutil

    shutil.rmtree(run.folder)
    found = cat["base"]
    assert found.metrics == {"nse": 0.5}
    for ask in (lambda: found.manifest, found.files, lambda: found.table("budget"), found.dataset):
        with pytest.raises(PathNotFound):
            ask()


def test_a_run_that_is_not_there_is_not_found(cat):
    ghost = hmp_catalog.Run(cat, "00000000-0000-4000-8000-000000000001")
    for what in ("name", "parameters", "metrics", "tags"):
        with pytest.raises(SimulationNotFound):
            getattr(ghost, what)


def test_the_way_to_the_cache_is_in_the_umbrella(steady):
    from importlib.metadata import entry_points

    if entry_points(group="hmp.bridge"):
        pytest.skip("the umbrella is installed")
    with pytest.raises(MissingPart, match="hmp-hydromodpy"):
        steady.input_entries()


def test_a_run_shows_itself_in_a_notebook(cat, record):
    page = record(cat, "<b>", parameters={"x1": 1})._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "x1" in page
