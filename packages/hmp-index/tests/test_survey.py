"""Looking: what is there, what changed, told by `stat` alone."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from uuid import UUID

import pytest

from hmp_core.layout import catalog_path, init_project, init_workspace, read_root
from hmp_index.roster import Listed
from hmp_index.survey import carried, holds, look, mark


@pytest.fixture
def aare(machine):
    return machine.workspace("aare", "base")


def line_of(workspace):
    return Listed(read_root(workspace, "workspace.toml").id, workspace, "aare", datetime(2026, 1, 1))


def project_in(workspace):
    """Return the only project of a workspace, as it is seen."""
    [project] = look(line_of(workspace)).projects
    return project


def test_a_workspace_at_its_place_is_ok(aare):
    seen = look(line_of(aare))
    assert (seen.status, [project.slug for project in seen.projects]) == ("ok", ["base"])


def test_projects_are_found_without_being_told(aare):
    init_project(aare, "Été")
    (aare / "projects" / "no project").mkdir()
    (aare / "projects" / "a file").write_text("")
    assert [project.slug for project in look(line_of(aare)).projects] == ["base", "ete"]


def test_a_folder_with_only_a_catalog_is_a_project(aare):
    (aare / "projects" / "base" / "project.toml").unlink()
    assert [project.slug for project in look(line_of(aare)).projects] == ["base"]


def test_a_workspace_without_projects_is_ok(aare):
    shutil.rmtree(aare / "projects")
    assert (look(line_of(aare)).status, list(look(line_of(aare)).projects)) == ("ok", [])


def test_a_workspace_that_is_gone_is_unreachable(aare):
    line = line_of(aare)
    shutil.rmtree(aare)
    seen = look(line)
    assert (seen.status, seen.gone, holds(line)) == ("unreachable", True, False)
    assert str(aare) in seen.detail


def test_a_file_in_its_place_is_unreachable(aare):
    line = line_of(aare)
    shutil.rmtree(aare)
    aare.write_text("")
    assert look(line).gone


def test_another_workspace_in_its_place_is_told_apart(aare):
    line = line_of(aare)
    shutil.rmtree(aare)
    other = init_workspace(aare)
    seen = look(line)
    assert (seen.status, seen.gone) == ("unreachable", True)
    assert str(other.id) in seen.detail


def test_a_damaged_marker_may_still_be_the_workspace(aare):
    line = line_of(aare)
    (aare / "workspace.toml").write_text("id = ")
    seen = look(line)
    assert (seen.status, seen.gone, holds(line)) == ("corrupt", False, True)


def test_a_project_that_cannot_be_looked_at_is_not_left_out(aare):
    os.symlink("x" * 300, aare / "projects" / "nowhere")
    seen = look(line_of(aare))
    assert seen.status == "ok"
    assert {project.slug: bool(project.trouble) for project in seen.projects} == {"base": False, "nowhere": True}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look at everything")
def test_a_closed_project_says_so(aare):
    init_project(aare, "closed").path.chmod(0)
    seen = {project.slug: project.trouble for project in look(line_of(aare)).projects}
    assert seen["base"] == ""
    assert "closed" in seen["closed"]


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mark_stays_while_nothing_changes(aare):
    catalog = catalog_path(aare / "projects" / "base")
    assert mark(catalog) == mark(catalog)


def test_reading_does_not_change_the_mark(aare):
    from hmp_core.backends.duckdb import DuckDBBackend

    catalog = catalog_path(aare / "projects" / "base")
    before = mark(catalog)
    DuckDBBackend(catalog).query("SELECT * FROM simulations")
    assert mark(catalog) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda project: os.utime(project / "catalog.duckdb"),
        lambda project: (project / "catalog.duckdb").unlink(),
        lambda project: (project / "catalog.duckdb.wal").write_bytes(b"x"),
        lambda project: (project / "project.toml").write_text("id = 1"),
        lambda project: _write(project / ".hmp" / "catalog" / "pending" / "a.log", b"x"),
        lambda project: _write(project / "events" / "2026-11.log", b"x"),
    ],
)
def test_the_mark_changes_with_the_catalog_its_log_and_its_marker(aare, change):
    catalog = catalog_path(aare / "projects" / "base")
    before = mark(catalog)
    change(aare / "projects" / "base")
    assert mark(catalog) != before


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_the_mark_changes_when_a_segment_grows(aare):
    catalog = catalog_path(aare / "projects" / "base")
    segment = aare / "projects" / "base" / ".hmp" / "catalog" / "pending" / "a.log"
    _write(segment, b"x")
    before = mark(catalog)
    _write(segment, b"xx")
    assert mark(catalog) != before


def test_the_mark_changes_when_another_file_takes_the_place_of_the_catalog(aare):
    catalog = catalog_path(aare / "projects" / "base")
    before, found = mark(catalog), catalog.stat()
    copy = catalog.with_name("copy")
    shutil.copyfile(catalog, copy)
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(copy, catalog)
    assert mark(catalog) != before


@pytest.mark.parametrize("trace", ["events/2026-11.log", ".hmp/catalog/pending/a.log", "simulations/base__1/run.json"])
def test_a_project_without_catalog_may_have_traces(machine, trace):
    aare = machine.workspace("aare")
    project = init_project(aare, "base").path
    assert not look(line_of(aare)).projects[0].has_traces
    _write(project / trace, b"{}")
    seen = look(line_of(aare)).projects[0]
    assert (seen.has_catalog, seen.has_traces) == (False, True)


# ── what a project carries ───────────────────────────────────────────────────────────────────────────


def test_a_project_carries_its_id_and_name(machine):
    aare = machine.workspace("aare")
    root = init_project(aare, "Upper Aare")
    assert carried(project_in(aare)) == (root.id, "Upper Aare")


@pytest.mark.parametrize("text", ["", "id =", 'id = "5f0c1e2a-9b1d-4c53-8f7e-0d3a6b2c4e11', 'id = "x"'])
def test_a_damaged_marker_carries_nothing(machine, text):
    aare = machine.workspace("aare", "base")
    (aare / "projects" / "base" / "project.toml").write_text(text)
    assert carried(project_in(aare)) == (None, "base")


def test_a_project_without_a_marker_is_known_by_its_folder(aare):
    (aare / "projects" / "base" / "project.toml").unlink()
    assert carried(project_in(aare)) == (None, "base")


def test_nothing_is_said_of_a_project_that_went_while_it_was_looked_at(aare):
    project = project_in(aare)
    aare.rename(aare.with_name("elsewhere"))
    assert carried(project) is None


def test_ids_are_ids(machine):
    assert isinstance(carried(project_in(machine.workspace("aare", "base")))[0], UUID)
