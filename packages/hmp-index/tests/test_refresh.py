"""One look around: only what changed is read, and what follows from it is pure."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.layout import catalog_path, init_project, read_root
from hmp_index.federation import Reader
from hmp_index.fold import Place, ProjectRow, Reading, WorkspaceRow
from hmp_index.refresh import Found, State, look_around, settle, tell
from hmp_index.roster import Listed
from hmp_index.survey import SeenWorkspace

READER = Reader(LocalAuthBackend())
NOW = datetime(2026, 11, 21, 3)


def line_of(workspace):
    root = read_root(workspace, "workspace.toml")
    return Listed(root.id, workspace, root.name, NOW)


def around(lines, state=None, **options):
    """Return what a look around read, and the state it leads to."""
    state = state or State()
    [found] = look_around(lines, state, READER, **options)
    return sorted(place.slug for place, _ in found.readings), settle(state, lines, found).state


def differs(lines, state):
    """Return whether another look around finds anything to write."""
    return settle(state, lines, *look_around(lines, state, READER)).differs


@pytest.fixture
def two(machine, make_sim):
    """Two workspaces with two projects each, as lines, and the state after a look."""
    lines = [
        line_of(machine.workspace(name, f"{name}-a", f"{name}-b", sims=[make_sim()])) for name in ("aare", "fulda")
    ]
    return lines, around(lines)[1]


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────


def test_everything_is_read_the_first_time(two):
    assert around(two[0])[0] == ["aare-a", "aare-b", "fulda-a", "fulda-b"]


def test_nothing_is_read_while_nothing_changes(two):
    lines, state = two
    assert (around(lines, state)[0], differs(lines, state)) == ([], False)


def test_only_what_changed_is_read(two, machine, make_sim):
    lines, state = two
    machine.put(lines[1].path / "projects" / "fulda-b", make_sim("more"))
    read, after = around(lines, state)
    assert read == ["fulda-b"]
    assert {row.place.slug: row.n_simulations for row in after.projects}["fulda-b"] == 2


def test_everything_is_read_on_request(two):
    lines, state = two
    assert len(around(lines, state, only_stale=False)[0]) == 4


def test_a_snapshot_of_another_form_is_read_again(two):
    lines, state = two
    assert len(around(lines, replace(state, current=False))[0]) == 4


def test_a_new_project_is_read_and_no_other(two, machine, make_sim):
    lines, state = two
    machine.project(lines[0].path, "new", [make_sim()])
    assert around(lines, state)[0] == ["new"]


def test_a_busy_catalog_is_looked_into_again(two, held):
    lines, state = two
    with held(catalog_path(lines[0].path / "projects" / "aare-a")):
        os.utime(catalog_path(lines[0].path / "projects" / "aare-a"))
        _, state = around(lines, state, budget=0.3)
    assert {row.place.slug: row.status for row in state.projects}["aare-a"] == "busy"
    read, state = around(lines, state)
    assert (read, {row.status for row in state.projects}) == (["aare-a"], {"ok"})


def test_a_budget_of_nothing_reads_nothing(two):
    lines, _ = two
    [found] = look_around(lines, State(), READER, budget=0.0)
    assert (found.readings, len(found.late)) == ([], 4)


def test_a_workspace_out_of_reach_takes_its_projects_with_it(two):
    lines, state = two
    lines[0].path.rename(lines[0].path.with_name("elsewhere"))
    read, after = around(lines, state)
    assert read == ["aare-a", "aare-b"]
    assert [row.status for row in after.projects if row.place.slug in read] == ["unreachable"] * 2
    assert [row.n_simulations for row in after.projects] == [1] * 4
    assert not differs(lines, after)


def test_a_workspace_that_comes_back_is_read_again(two):
    lines, state = two
    lines[0].path.rename(lines[0].path.with_name("elsewhere"))
    _, away = around(lines, state)
    lines[0].path.with_name("elsewhere").rename(lines[0].path)
    read, back = around(lines, away)
    assert read == ["aare-a", "aare-b"]
    assert {row.status for row in back.projects} == {"ok"}


# ── projects that come and go ────────────────────────────────────────────────────────────────────────


def test_a_renamed_project_stays_one(two):
    lines, state = two
    home = lines[0].path / "projects"
    (home / "aare-a").rename(home / "aare-c")
    _, after = around(lines, state)
    assert [row.place.slug for row in after.projects if row.place.workspace_id == lines[0].id] == ["aare-c", "aare-b"]


def test_a_copied_project_is_told_apart(two):
    lines, state = two
    home = lines[0].path / "projects"
    shutil.copytree(home / "aare-a", home / "aare-0")
    _, after = around(lines, state)
    slugs = sorted(row.place.slug for row in after.projects if row.place.workspace_id == lines[0].id)
    assert slugs == ["aare-0", "aare-a", "aare-b"]
    afresh = around(lines)[1].projects
    assert {row.place: row.mark for row in afresh} == {row.place: row.mark for row in after.projects}


def test_a_deleted_project_keeps_its_snapshot_until_it_is_pruned(two):
    lines, state = two
    shutil.rmtree(lines[0].path / "projects" / "aare-a")
    _, after = around(lines, state)
    row = next(row for row in after.projects if row.place.slug == "aare-a")
    assert (row.status, row.n_simulations) == ("unreachable", 1)
    assert "prune" in row.detail
    assert not differs(lines, after)


def test_a_project_without_catalog_is_there(machine):
    aare = machine.workspace("aare")
    init_project(aare, "empty")
    _, state = around([line_of(aare)])
    assert [(row.place.slug, row.status, row.n_simulations) for row in state.projects] == [("empty", "ok", 0)]


# ── what follows ─────────────────────────────────────────────────────────────────────────────────────

LINE = Listed(uuid4(), Path("/data/aare"), "Aare", NOW)
PLACE = Place(LINE.id, uuid4(), "base", "base")
ROW = ProjectRow(PLACE, "m", "ok", "", 0, 3, NOW, NOW)
HOME = WorkspaceRow(LINE.id, LINE.path.as_uri(), "Aare", "ok", "", NOW, NOW)
STATE = State(workspaces=[HOME], projects=[ROW])
SEEN = SeenWorkspace(LINE, "ok")


def test_nothing_new_is_nothing_to_write():
    assert not settle(STATE, [LINE], Found(NOW + timedelta(days=1), seen=[SEEN])).differs


def test_a_new_label_is_written():
    settled = settle(STATE, [replace(LINE, label="Upper")], Found(NOW))
    assert (settled.differs, settled.state.workspaces[0].label) == (True, "Upper")


def test_a_forgotten_workspace_goes_with_its_projects():
    settled = settle(STATE, [], Found(NOW, seen=[SEEN], readings=[(PLACE, Reading("ok", NOW))]))
    assert (settled.differs, settled.state) == (True, State(workspaces=[], projects=[]))


def test_what_another_process_read_later_stays():
    found = Found(NOW, readings=[(PLACE, Reading("busy", NOW - timedelta(seconds=1)))])
    settled = settle(STATE, [LINE], found, NOW)
    assert (settled.state.projects, settled.differs) == ([ROW], False)


def test_what_was_read_before_the_clock_was_set_back_does_not_stay():
    earlier = NOW - timedelta(days=1)
    settled = settle(STATE, [LINE], Found(earlier, readings=[(PLACE, Reading("busy", earlier))]), earlier)
    assert settled.state.projects[0].status == "busy"


def test_a_clock_that_was_ahead_hides_nothing(machine, make_sims):
    lines = [line_of(machine.workspace("aare", "a", sims=make_sims(1)))]
    _, state = around(lines)
    ahead = [replace(row, taken_at=row.taken_at + timedelta(days=1), mark="other") for row in state.projects]
    read, after = around(lines, replace(state, projects=ahead))
    assert read
    assert after.projects[0].taken_at < ahead[0].taken_at


def test_a_workspace_that_was_not_looked_at_yet_is_pending():
    assert settle(State(), [LINE], Found(NOW)).state.workspaces[0].status == "pending"


def test_a_copy_says_of_what():
    copy = replace(LINE, copy_of=uuid4())
    row = settle(State(), [copy], Found(NOW, seen=[SeenWorkspace(copy, "ok")])).state.workspaces[0]
    assert str(copy.copy_of) in row.detail


# ── what an answer lacks ─────────────────────────────────────────────────────────────────────────────


def told(row=ROW, home=HOME, late=()):
    found = Found(NOW, late=[(place, LINE) for place in late])
    return tell(State(workspaces=[home], projects=[row] if row else []), [LINE], found)


def test_a_whole_answer_lacks_nothing():
    assert not told()
    assert str(told()) == "complete"


@pytest.mark.parametrize("status", ["busy", "unreachable", "corrupt", "schema_mismatch"])
def test_a_project_that_was_skipped_is_named_with_the_age_of_its_snapshot(status):
    notice = told(replace(ROW, status=status, detail="because"))
    assert [(one.workspace, one.project, one.status, one.taken_at) for one in notice.skipped] == [
        ("Aare", "base", status, NOW)
    ]
    assert str(notice) == f"Aare/base {status} (snapshot of 2026-11-21 03:00 UTC): because"


def test_a_project_that_was_never_read_has_no_snapshot():
    assert "no snapshot" in str(told(replace(ROW, status="corrupt", taken_at=None)))


def test_what_is_not_folded_is_counted():
    notice = told(replace(ROW, unfolded=3))
    assert (bool(notice), notice.unfolded) == (True, 3)
    assert "unfolded=3" in str(notice)


def test_a_workspace_out_of_reach_is_named_once():
    notice = told(replace(ROW, status="unreachable"), replace(HOME, status="unreachable", detail="gone"))
    assert [(one.workspace, one.project) for one in notice.skipped] == [("Aare", "")]


@pytest.mark.parametrize("row", [ROW, None])
def test_what_there_was_no_time_for_is_stale(row):
    assert [one.status for one in told(row, late=[PLACE]).skipped] == ["stale"]


def test_remarks_are_told_first():
    notice = tell(STATE, [LINE], Found(NOW), ["mended"])
    assert (bool(notice), str(notice), notice.skipped) == (True, "mended", ())
