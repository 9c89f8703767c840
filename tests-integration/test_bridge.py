"""From a run to its inputs and back: through refresh, in another workspace, after a move, with the cache open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hydromodpy as hmp
from bridged import discharge, record
from hmp_core.errors import InvalidInput
from hydromodpy import Workspace
from hydromodpy.bridge import stale


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with hmp.init(tmp_path / "fulda") as made:
        yield made


def test_a_run_lists_exactly_what_it_consumed(workspace: Workspace, tmp_path: Path) -> None:
    used = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    workspace.data.add(discharge(tmp_path, "other.csv", first=9.0), variable="discharge", station="elsewhere")
    sim = record(workspace, "base", used)
    with workspace.project("base") as project:
        found = project.catalog[sim].input_entries()
    assert [(one.entry.id, one.sha256, one.state) for one in found] == [(used.id, used.sha256, "current")]


def test_a_refreshed_input_leaves_the_run_on_its_old_version(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    sim = record(workspace, "base", old)
    new = workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    with workspace.project("base") as project:
        (used,) = project.catalog[sim].input_entries()
    assert new.id == old.id
    assert new.sha256 != old.sha256
    assert (used.sha256, used.state) == (old.sha256, "superseded")
    assert workspace.data.artifact_path(old.sha256).read_text().startswith("time,discharge\n2001-01-01,1.48")


def test_both_versions_count_as_use_and_the_current_one_alone_can_be_asked_for(
    workspace: Workspace, tmp_path: Path
) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "first", old)
    new = workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    record(workspace, "second", new)
    assert [(u.name, u.current) for u in new.used_by()] == [("first", False), ("second", True)]
    assert [u.name for u in new.used_by(version="current")] == ["second"]


def test_a_sibling_project_and_a_registered_workspace_are_asked(workspace: Workspace, tmp_path: Path) -> None:
    file = discharge(tmp_path)
    entry = workspace.data.add(file, variable="discharge", station="outlet")
    record(workspace, "here", entry)
    record(workspace, "sibling", entry, project="other")
    with hmp.init(tmp_path / "elsewhere") as second:
        same_bytes = second.data.add(file, variable="discharge", station="outlet")
        record(second, "far", same_bytes)
    uses = entry.used_by()
    assert sorted(u.name for u in uses) == ["far", "here", "sibling"]
    assert {u.workspace.name for u in uses} == {"fulda", "elsewhere"}
    assert uses.skipped == {}
    assert sorted(u.name for u in entry.used_by(everywhere=False)) == ["here", "sibling"]


def test_asking_who_used_an_input_reads_no_catalog_into_the_index(workspace: Workspace, tmp_path: Path) -> None:
    """What changed since need not be in the snapshot: each project is asked itself."""
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    with hmp.index() as machine:
        machine.refresh()
        record(workspace, "base", entry)
        assert [u.name for u in entry.used_by()] == ["base"]
        assert [one.n_simulations for one in machine.workspaces(look=False)] == [0]
        assert [one.n_simulations for one in machine.workspaces()] == [1]


def test_the_same_bytes_as_another_input_are_not_a_use_of_this_one(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    twin = workspace.data.add(discharge(tmp_path), variable="discharge", source="twin")
    record(workspace, "base", entry)
    assert twin.sha256 == entry.sha256
    assert [u.name for u in entry.used_by()] == ["base"]
    assert list(twin.used_by()) == []


def test_a_version_that_is_neither_any_nor_current_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    with pytest.raises(InvalidInput, match="expected 'any' or 'current'"):
        entry.used_by(version="newest")


def test_a_workspace_that_is_gone_is_named_not_hidden(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    hmp.init(tmp_path / "unmounted").close()
    with hmp.index() as machine:
        assert len(machine.workspaces()) == 2
    shutil.move(tmp_path / "unmounted", tmp_path / "away")
    skipped = entry.used_by().skipped
    assert list(skipped) == [str(tmp_path / "unmounted")]


def test_an_empty_folder_where_a_workspace_was_mounted_is_named(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    place = tmp_path / "mounted"
    with hmp.init(place) as other:
        record(other, "there", other.data.add(discharge(tmp_path), variable="discharge", station="outlet"))
    assert [use.name for use in entry.used_by()] == ["there"]
    shutil.move(place, tmp_path / "away")
    place.mkdir()
    assert list(entry.used_by().skipped) == [str(place)]
    assert list(stale([], everywhere=True).skipped) == [str(place)]
    with hmp.init(place, name="another", force=True) as other:
        record(other, "here", other.data.add(discharge(tmp_path), variable="discharge", station="outlet"))
    uses = entry.used_by()
    assert ([use.name for use in uses], list(uses.skipped)) == (["here"], [str(place)])


def test_a_damaged_catalog_is_named_not_hidden(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "good", entry)
    record(workspace, "bad", entry, project="damaged")
    (workspace.path / "projects" / "damaged" / "catalog.duckdb").write_bytes(b"not a database" * 1000)
    uses = entry.used_by()
    assert [u.name for u in uses] == ["good"]
    assert [Path(p).name for p in uses.skipped] == ["damaged"]


def test_it_works_while_the_cache_is_being_read(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    sim = record(workspace, "base", entry)
    with workspace.project("base") as project, workspace.data.reading():
        (used,) = project.catalog[sim].input_entries()
    assert used.state == "current"


def test_a_copied_workspace_answers_for_itself(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    sim = record(workspace, "base", entry)
    workspace.close()
    shutil.copytree(workspace.path, tmp_path / "copy")
    shutil.rmtree(workspace.path)
    with Workspace(tmp_path / "copy") as copy, copy.project("base") as project:
        (used,) = project.catalog[sim].input_entries()
        assert used.state == "current"
        assert used.entry.path.is_relative_to(tmp_path / "copy")
        assert [u.name for u in copy.data[str(entry.id)].used_by(everywhere=False)] == ["base"]


def test_an_input_edited_in_place_is_modified_and_one_removed_is_missing(workspace: Workspace, tmp_path: Path) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    sim = record(workspace, "base", entry)
    with workspace.project("base") as project:
        entry.path.write_text("time,discharge\n2001-01-01,7\n")
        os.utime(entry.path, (1, 1))
        assert [u.state for u in project.catalog[sim].input_entries()] == ["modified"]
        entry.path.unlink()
        assert [u.state for u in project.catalog[sim].input_entries()] == ["missing"]


def test_a_plain_file_of_the_workspace_has_a_state_too(workspace: Workspace) -> None:
    mesh = workspace.path / "mesh.txt"
    mesh.write_text("1 2 3\n")
    sim = record(workspace, "base", mesh)
    with workspace.project("base") as project:
        assert [(u.path, u.state) for u in project.catalog[sim].input_entries()] == [("mesh.txt", "current")]
        mesh.write_text("4 5 6\n")
        assert [u.state for u in project.catalog[sim].input_entries()] == ["modified"]


def test_lineage_leads_from_a_run_to_the_source_and_back(
    workspace: Workspace, tmp_path: Path, hmp: Callable[..., object]
) -> None:
    raw = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    derived = workspace.data.add(
        discharge(tmp_path, "smooth.csv", first=1.7), variable="discharge", source="smoothed", parents=[raw]
    )
    record(workspace, "base", derived)
    up = hmp("lineage", "base", "--json", cwd=workspace.path)
    graph = json.loads(up.stdout)
    kinds = {node["id"]: node["kind"] for node in graph["nodes"]}
    assert up.returncode == 0, up.stderr
    assert kinds[graph["root"]] == "run"
    assert {f"artifact:{raw.artifact_id}", f"artifact:{derived.artifact_id}"} <= set(kinds)
    assert {"from": f"artifact:{raw.artifact_id}", "to": f"artifact:{derived.artifact_id}"} in graph["edges"]
    down = hmp("lineage", str(raw.id), cwd=workspace.path)
    assert down.returncode == 0, down.stderr
    assert "base in base" in down.stdout
    dot = hmp("lineage", "base", "--dot", cwd=workspace.path)
    assert dot.stdout.startswith("digraph lineage {")


def test_stale_lists_the_runs_whose_inputs_changed(
    workspace: Workspace, tmp_path: Path, hmp: Callable[..., object]
) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "base", entry)
    assert hmp("lineage", "--stale", "--json", cwd=workspace.path).stdout == ""
    workspace.data.add(discharge(tmp_path, first=3.0), variable="discharge", station="outlet")
    told = hmp("lineage", "--stale", "--json", cwd=workspace.path)
    assert [json.loads(line)["name"] for line in told.stdout.splitlines()] == ["base"]


def test_an_unknown_reference_is_not_found(workspace: Workspace, hmp: Callable[..., object]) -> None:
    record(workspace, "base")
    told = hmp("lineage", "nothing-like-it", cwd=workspace.path)
    assert told.returncode == 10
    assert "neither a run nor an input" in told.stderr


# ── before bytes go ──────────────────────────────────────────────────────────────────────────────────


def test_a_plan_to_let_bytes_go_names_the_runs_that_used_them(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "first", old)
    record(workspace, "sibling", old, project="other")
    new = workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    plan = workspace.data.prune(superseded=True, force=True)
    assert [item.used_by for item in plan] == [("base: first", "other: sibling")]
    assert {item.entry.sha256: item.used_by for item in workspace.data.remove("q")} == {
        new.sha256: (),
        old.sha256: ("base: first", "other: sibling"),
    }


def test_a_plan_to_let_bytes_go_names_runs_of_other_workspaces(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    with hmp.init(tmp_path / "elsewhere") as other:
        record(other, "far", other.data.add(discharge(tmp_path), variable="discharge", station="outlet"))
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    plan = workspace.data.prune(superseded=True, force=True)
    assert [(item.entry.sha256, item.used_by) for item in plan] == [(old.sha256, ("elsewhere/base: far",))]


def test_a_line_for_people_names_a_few_runs_and_json_all(
    workspace: Workspace, tmp_path: Path, hmp: Callable[..., object]
) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    for n in range(7):
        record(workspace, f"run-{n}", old)
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    words = ("data", "prune", "--superseded", "--force")
    assert "base: run-4, and 2 more" in hmp(*words, cwd=workspace.path).stdout
    (line,) = hmp(*words, "--json", cwd=workspace.path).stdout.splitlines()
    assert json.loads(line)["used_by"] == [f"base: run-{n}" for n in range(7)]


def test_a_project_that_cannot_be_asked_is_told(
    workspace: Workspace, tmp_path: Path, hmp: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """By the place and the reason, in the plan, on the command line and in its exit code."""
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "bad", entry, project="damaged")
    (workspace.path / "projects" / "damaged" / "catalog.duckdb").write_bytes(b"not a database" * 1000)
    plan = workspace.data.remove("q")
    assert [item.used_by for item in plan] == [()]
    (unasked,) = plan.unasked
    assert unasked.startswith(f"{workspace.path / 'projects' / 'damaged'} could not be asked: ")
    told = hmp("data", "remove", "q", cwd=workspace.path)
    assert unasked in told.stderr
    assert told.returncode == 1


def test_a_run_says_that_what_it_consumed_was_purged(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    sim = record(workspace, "base", old)
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    workspace.data.prune(superseded=True, force=True, apply=True)
    with workspace.project("base") as project:
        assert [one.state for one in project.catalog[sim].input_entries()] == ["purged"]
    discharge(tmp_path)
    workspace.data.restore(old.sha256)
    with workspace.project("base") as project:
        assert [one.state for one in project.catalog[sim].input_entries()] == ["superseded"]
