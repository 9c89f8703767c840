"""A workspace that was moved or copied works there unchanged: nothing in it says where it was."""

from __future__ import annotations

import shutil

import pytest

import hmp_catalog
from hmp_core.layout import catalog_path


@pytest.fixture(scope="module")
def left(tmp_path_factory, empty_project, record):
    """Return (old place, new place) of a workspace with something in it, which left its old place."""
    workspace = tmp_path_factory.mktemp("old place") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    (workspace / "data" / "q.csv").write_text("x")
    with hmp_catalog.open(workspace) as cat:
        with cat.record("gr4j", name="base", inputs=[workspace / "data" / "q.csv"], config={"n": 1}) as rec:
            rec.metric("nse", 0.5)
            rec.table("budget", {"component": ["wells"], "volume": [1.0]})
            rec.field("head", [[1.0, 2.0]], dims=("y", "x"))
        with pytest.raises(FileNotFoundError), cat.record("gr4j", name="failed"):
            (workspace / "data" / "nowhere.csv").read_text()
        cat["base"].tag("paper").note("checked")
        with cat.calibration("sce-ua", objective="o") as session:
            session.trial({"x1": 1}, 0.5)
        record(cat, "child", parent="base")
    new = tmp_path_factory.mktemp("elsewhere") / "other name"
    shutil.move(workspace, new)
    return workspace, new


@pytest.fixture
def moved(left, tmp_path):
    """Return the old place and a new one that a test may change."""
    shutil.copytree(left[1], tmp_path / "other name")
    return left[0], tmp_path / "other name"


def test_everything_resolves_at_the_new_place(moved):
    _, new = moved
    with hmp_catalog.open(new) as cat:
        run = cat["base"]
        assert run.folder.is_relative_to(new)
        assert (run.tags, run.metrics, run.config) == (["paper"], {"nse": 0.5}, {"n": 1})
        assert run.table("budget").num_rows == 1
        assert run.dataset()["head"].values.tolist() == [[1.0, 2.0]]
        assert (new / run.provenance.to_pylist()[0]["file_path"]).read_text() == "x"
        assert run.workspace == new
        assert not cat.notice
        with cat.record("gr4j", name="later"):
            pass
        assert cat["later"].folder.is_relative_to(new)


def test_no_file_says_where_it_was(moved):
    old, new = moved
    place = str(old).encode()
    guilty = [file for file in new.rglob("*") if file.is_file() and place in file.read_bytes()]
    assert guilty == []


def test_no_row_says_where_it_was(moved, contents):
    old, new = moved
    found = contents(new / "projects" / "aare")
    assert sum(map(len, found.values())) > 50
    assert str(old) not in str(found)
    assert str(old.parent) not in str(found)


def test_what_went_wrong_still_says_which_file(moved):
    _, new = moved
    with hmp_catalog.open(new) as cat:
        assert "<workspace>/data/nowhere.csv" in cat["failed"].facts["error"]


def test_a_rebuild_at_the_new_place_gives_the_same(moved, contents):
    _, new = moved
    project = new / "projects" / "aare"
    before = contents(project)
    catalog_path(project).unlink()
    with hmp_catalog.open(project, create=True) as cat:
        assert not cat.notice
    assert contents(project) == before


def test_a_project_that_was_renamed_gives_the_same(moved, contents):
    _, new = moved
    before = contents(new / "projects" / "aare")
    project = (new / "projects" / "aare").rename(new / "projects" / "emme")
    with hmp_catalog.open(project) as cat:
        assert cat["base"].table("budget").num_rows == 1
        assert not cat.rebuild()
    assert contents(project) == before


def test_a_copy_goes_its_own_way(moved, tmp_path):
    _, new = moved
    shutil.copytree(new, tmp_path / "copy")
    with hmp_catalog.open(tmp_path / "copy") as copy, hmp_catalog.open(new) as original:
        copy["base"].tag("copy")
        assert copy["base"].tags == ["copy", "paper"]
        assert original["base"].tags == ["paper"]
        assert copy["base"].folder != original["base"].folder
