"""Workspaces come onto the list by themselves, keep their line when they move, and their label when all is lost."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hmp_index
from hmp_core import arrivals
from hmp_core.arrivals import announce, waiting
from hmp_core.errors import AccessDenied, NotFound, PathNotFound
from hmp_core.layout import WORKSPACE_MARKER
from hmp_index import scanning


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    """Let each test be a process that has said nothing yet."""
    monkeypatch.setattr(arrivals, "_told", arrivals._Told())


def again():
    """Be another process: what was said once is said again."""
    arrivals._told.places.clear()


@pytest.fixture
def index():
    with hmp_index.index() as opened:
        yield opened


class Reader:
    """May read everything and write nothing; remembers what it refused."""

    def __init__(self):
        self.refused = []

    def current_user(self):
        return "eve"

    def can_read(self, resource):
        return True

    def can_write(self, resource):
        self.refused.append(resource)
        return False


# ── announced ────────────────────────────────────────────────────────────────────────────────────────


def test_a_workspace_that_was_announced_is_in_the_next_answer(machine, index, make_sims):
    path = machine.workspace("aare", "one", "two", sims=make_sims(2))
    announce(path)
    assert len(index.find(solver="gr4j")) == 4
    assert not index.notice
    assert [workspace.path for workspace in index.workspaces()] == [path]
    assert waiting(machine.state) == []


@pytest.mark.parametrize("ask", ["find", "search", "sql", "table", "workspaces", "projects", "health", "refresh"])
def test_every_answer_takes_in_what_arrived(machine, index, make_sims, ask):
    announce(machine.workspace("aare", "one", sims=make_sims(1)))
    questions = {"search": ("run",), "sql": ("SELECT * FROM workspaces",)}
    found = getattr(index, ask)
    if ask != "table":
        found = found(*questions.get(ask, ()))
    assert ask == "refresh" or len(found) == 1
    assert len(index.find()) == 1


def test_a_known_one_is_settled_without_the_lock(machine, index, held):
    path = machine.workspace("aare", "one")
    index.register(path)
    announce(path)
    before = machine.list.stat().st_mtime_ns
    assert len(index.workspaces()) == 1
    assert (machine.list.stat().st_mtime_ns, waiting(machine.state)) == (before, [])


def test_a_folder_that_is_none_any_more_is_dropped(machine, index, caplog):
    path = machine.workspace("aare")
    announce(path)
    shutil.rmtree(path)
    with caplog.at_level(logging.INFO, logger="hmp_index"):
        assert index.workspaces() == []
    assert (waiting(machine.state), bool(index.notice)) == ([], False)
    assert str(path) in caplog.text


def test_word_that_says_nothing_is_dropped(machine, index):
    (machine.state / "arrivals").mkdir(parents=True)
    (machine.state / "arrivals" / "x.json").write_text("{")
    assert index.workspaces() == []
    assert waiting(machine.state) == []


def test_what_was_forgotten_comes_back_when_it_is_opened_again(machine, index):
    path = machine.workspace("aare", "one")
    announce(path)
    assert len(index.workspaces()) == 1
    again()
    announce(path)
    index.forget("aare")
    assert index.workspaces() == [], "what was said before counts no more"
    again()
    announce(path)
    assert len(index.workspaces()) == 1


def test_what_was_forgotten_comes_back_also_in_the_same_process(machine, index):
    path = machine.workspace("aare", "one")
    announce(path)
    index.forget("aare")
    announce(path)
    assert [one.path for one in index.workspaces()] == [path]


def test_one_that_moved_says_so_itself(machine, index, make_sims):
    path = machine.workspace("aare", "one", sims=make_sims(1))
    before = index.register(path)
    moved = path.rename(machine.root / "elsewhere" if (machine.root / "elsewhere").mkdir() else path.parent / "new")
    announce(moved)
    (after,) = index.workspaces()
    assert (after.id, after.path, after.label) == (before.id, moved, before.label)
    assert any("moved" in remark or "lay elsewhere" in remark for remark in index.notice.remarks)


def test_a_copy_says_so_itself(machine, index):
    path = machine.workspace("aare", "one")
    index.register(path)
    copy = machine.root / "copy"
    shutil.copytree(path, copy)
    announce(copy)
    original, other = index.workspaces()
    assert (original.path, other.path, other.copy_of) == (path, copy, original.id)
    assert index.notice.remarks


def test_who_only_reads_is_told_what_is_not_listed_yet(machine, index, make_sims):
    path = machine.workspace("aare", "one", sims=make_sims(1))
    announce(path)
    with hmp_index.index(read_only=True) as reader:
        assert reader.find() == []
        (missing,) = reader.notice.skipped
    assert (missing.path, missing.status) == (path, "pending")
    assert len(waiting(machine.state)) == 1
    assert len(index.find()) == 1


def test_who_may_not_change_the_list_is_told_and_nothing_is_on_record(machine, index):
    announce(machine.workspace("aare", "one"))
    with hmp_index.index(auth=Reader()) as reader:
        assert reader.workspaces() == []
        assert [one.status for one in reader.notice.skipped] == ["pending"]
    assert not (machine.state / ".hmp" / "index" / "refused.jsonl").exists()
    assert len(index.workspaces()) == 1


def test_an_index_elsewhere_takes_nothing_that_was_announced_to_this_machine(machine, tmp_path):
    announce(machine.workspace("aare", "one"))
    with hmp_index.index(tmp_path / "elsewhere" / "index.duckdb") as other:
        assert other.workspaces() == []
    assert len(waiting(machine.state)) == 1


def test_many_arrive_at_once(machine, index):
    paths = [machine.workspace(f"w{n:03}") for n in range(60)]
    for path in paths:
        announce(path)
    assert sorted(workspace.path for workspace in index.workspaces()) == paths


# ── moved ────────────────────────────────────────────────────────────────────────────────────────────


def _moved(index, before, path):
    index.refresh()
    assert any(str(path) in remark for remark in index.notice.remarks)
    assert not index.notice.skipped
    (after,) = [one for one in index.workspaces() if one.id == before.id]
    assert after.path == path
    assert len(index.find()) == before.n_simulations
    assert not index.notice


@pytest.fixture
def known(machine, index, make_sims):
    """A registered workspace with two simulations."""
    return index.register(machine.workspace("study/aare", "one", sims=make_sims(2)), label="The Aare")


def test_renamed_beside_its_old_place(index, known):
    _moved(index, known, known.path.rename(known.path.with_name("aare-2001")))


def test_moved_beside_another_workspace(machine, index, known):
    other = machine.workspace("archive/fulda")
    index.register(other)
    _moved(index, known, known.path.rename(other.with_name("aare")))


def test_a_folder_above_it_was_renamed(index, known):
    _moved(index, known, known.path.parent.rename(known.path.parent.with_name("studies")) / "aare")


def test_two_that_swapped_their_names(machine, index, known):
    other = index.register(machine.workspace("study/fulda", "one"))
    aside = known.path.rename(known.path.with_name("aside"))
    other.path.rename(known.path)
    aside.rename(other.path)
    index.refresh()
    assert not index.notice.skipped
    assert {one.id: one.path for one in index.workspaces()} == {known.id: other.path, other.id: known.path}
    assert len(index.find(workspace="The Aare")) == 2


def test_refresh_all_finds_it_too(index, known):
    moved = known.path.rename(known.path.with_name("aare-2001"))
    index.refresh(only_stale=False)
    assert [one.path for one in index.workspaces()] == [moved]


def test_prune_does_not_forget_what_moved(index, known):
    moved = known.path.rename(known.path.with_name("aare-2001"))
    assert index.prune() == []
    assert [one.path for one in index.workspaces()] == [moved]


def test_a_question_does_not_go_looking(index, known):
    known.path.rename(known.path.with_name("aare-2001"))
    assert len(index.find()) == 2
    assert [one.status for one in index.notice.skipped] == ["unreachable"]


def test_two_places_are_a_doubt_that_is_told(index, known):
    first = known.path.rename(known.path.with_name("first"))
    shutil.copytree(first, known.path.with_name("second"))
    index.refresh()
    assert [one.path for one in index.workspaces()] == [known.path]
    (remark,) = [remark for remark in index.refresh().remarks if "relocate" in remark]
    assert str(first) in remark
    assert "second" in remark


def test_a_copy_that_is_listed_does_not_take_the_place_of_its_original(index, known):
    copy = known.path.with_name("copy")
    shutil.copytree(known.path, copy)
    index.register(copy)
    shutil.rmtree(known.path)
    index.refresh()
    assert {one.path for one in index.workspaces()} == {known.path, copy}


def test_a_copy_that_is_listed_is_no_doubt_where_its_original_went(index, known):
    copy = known.path.with_name("copy")
    shutil.copytree(known.path, copy)
    index.register(copy)
    moved = known.path.rename(known.path.with_name("moved"))
    index.refresh()
    assert {one.path for one in index.workspaces()} == {moved, copy}


def test_what_is_only_out_of_reach_is_not_looked_for(machine, index, known, monkeypatch):
    """A marker that cannot be read may come back: only what is certainly gone has moved."""
    shutil.copytree(known.path, known.path.with_name("backup"))
    (known.path / WORKSPACE_MARKER).write_text("= broken")
    index.refresh()
    assert [one.path for one in index.workspaces()] == [known.path]


def test_the_search_is_bounded_and_says_so(index, known, monkeypatch):
    monkeypatch.setattr(scanning, "MOST", 3)
    for n in range(8):
        (known.path.parent / f"a{n}").mkdir()
    moved = known.path.rename(known.path.with_name("zzz"))
    assert any("not every folder" in remark for remark in index.refresh().remarks)
    monkeypatch.undo()
    _moved(index, known, moved)


def test_who_may_not_change_the_list_leaves_it(index, known):
    known.path.rename(known.path.with_name("aare-2001"))
    with hmp_index.index(auth=Reader()) as reader:
        assert [one.status for one in reader.refresh().skipped] == ["unreachable"]


# ── found below a folder, and labels ─────────────────────────────────────────────────────────────────


@pytest.fixture
def settled(machine, index, make_sims):
    """Three workspaces in different depths, one with a label, one a copy with a label of its own."""
    one = machine.workspace("aare", "one", sims=make_sims(1))
    two = machine.workspace("south/rhone/deep", "two", "three", sims=make_sims(2))
    index.register(one, label="Aare à Berne")
    index.register(two)
    copy = machine.root / "zz-copy"
    shutil.copytree(one, copy)
    index.register(copy, label="Copy of it")
    index.close()
    return machine


def everything():
    with hmp_index.index() as index:
        hits = sorted((hit.workspace, hit.project, hit.sim_id, str(hit.metrics)) for hit in index.find())
        return [(one.id, one.path, one.label, one.copy_of) for one in index.workspaces()], hits


def test_the_database_alone_comes_back_by_itself(settled):
    before = everything()
    settled.database.unlink()
    assert everything() == before


def test_all_of_it_comes_back_by_looking_below_a_folder(settled):
    before = everything()
    shutil.rmtree(settled.state)
    with hmp_index.index() as index:
        assert not index.rebuild(below=settled.root).skipped
    assert everything() == before


def test_all_of_it_comes_back_from_a_list_of_roots(settled):
    before = everything()
    shutil.rmtree(settled.state)
    with hmp_index.index() as index:
        assert not index.rebuild([path for _, path, _, _ in before[0]]).skipped
    assert everything() == before


def test_a_label_that_was_given_again_is_noted_again(settled):
    with hmp_index.index() as index:
        index.register(settled.root / "aare", label="Bern")
    shutil.rmtree(settled.state)
    with hmp_index.index() as index:
        assert index.register(settled.root / "aare").label == "Bern"


def test_a_label_travels_with_a_workspace_that_is_announced(settled):
    shutil.rmtree(settled.state)
    announce(settled.root / "aare")
    with hmp_index.index() as index:
        assert [one.label for one in index.workspaces()] == ["Aare à Berne"]


def test_a_copy_does_not_go_by_the_label_that_came_along(settled):
    shutil.copytree(settled.root / "aare", settled.root / "third")
    with hmp_index.index() as index:
        assert index.register(settled.root / "third").label == "aare"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"label": 3}', b'{"label": " "}', b"\xff\xfe", b'{"label": "\\ud800"}']
)
def test_a_note_that_says_nothing_is_passed_over(machine, index, content):
    path = machine.workspace("aare")
    (path / ".hmp").mkdir()
    (path / ".hmp" / "label.json").write_bytes(content)
    assert index.register(path).label == "aare"


def test_a_note_that_cannot_be_written_stops_nothing(machine, index, caplog):
    path = machine.workspace("aare")
    (path / ".hmp").write_text("a file in its place")
    with caplog.at_level(logging.INFO, logger="hmp_index"):
        assert index.register(path, label="The Aare").label == "The Aare"
    assert "is not noted there" in caplog.text


def test_nothing_is_noted_where_the_authority_forbids_it(machine):
    class OnlyIndex(Reader):
        def can_write(self, resource):
            return resource == "index"

    path = machine.workspace("aare")
    with hmp_index.index(auth=OnlyIndex()) as index:
        assert index.register(path, label="The Aare").label == "The Aare"
    assert not (path / ".hmp" / "label.json").exists()


def test_a_label_is_noted_as_plain_json(machine, index):
    index.register(machine.workspace("aare"), label="The Aare")
    told = json.loads((machine.root / "aare" / ".hmp" / "label.json").read_text())
    assert told == {"label": "The Aare", "of": index.workspaces()[0].id}


def test_a_root_that_is_none_stops_nothing_and_is_told(machine, index, make_sims):
    good = machine.workspace("aare", "one", sims=make_sims(1))
    notice = index.rebuild([good, machine.root / "gone"])
    assert [(one.path, one.status) for one in notice.skipped] == [(machine.root / "gone", "unreachable")]
    assert index.notice == notice
    assert len(index.find()) == 1


def test_links_hidden_folders_and_what_lies_in_a_workspace_are_passed_over(machine, index):
    inside = machine.workspace("aare")
    machine.workspace("aare/data/nested")
    machine.workspace(".trash/old")
    (machine.root / "link").symlink_to(inside)
    index.rebuild(below=machine.root)
    assert [one.path for one in index.workspaces()] == [inside]


def test_deeper_than_asked_is_not_looked_and_counted(machine, index):
    machine.workspace("a/b/c")
    notice = index.rebuild(below=machine.root, depth=1)
    assert index.workspaces() == []
    assert any("deeper than 1" in remark for remark in notice.remarks)
    index.rebuild(below=machine.root, depth=3)
    assert len(index.workspaces()) == 1


def test_the_folder_itself_may_be_the_workspace(machine, index):
    path = machine.workspace("aare")
    index.rebuild(below=path, depth=0)
    assert [one.path for one in index.workspaces()] == [path]


def test_a_damaged_marker_below_a_folder_is_told(machine, index):
    machine.workspace("aare")
    (machine.workspace("fulda") / WORKSPACE_MARKER).write_text("= broken")
    notice = index.rebuild(below=machine.root)
    assert [one.path.name for one in notice.skipped] == ["fulda"]
    assert [one.label for one in index.workspaces()] == ["aare"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(machine, index):
    machine.workspace("aare")
    closed = machine.root / "closed"
    closed.mkdir(mode=0)
    try:
        notice = index.rebuild(below=machine.root)
    finally:
        closed.chmod(0o700)
    assert [one.path for one in notice.skipped] == [closed]


def test_scanning_says_how_far_it_is(machine, index, monkeypatch):
    monkeypatch.setattr(scanning, "_PAUSE", 0.0)
    machine.workspace("aare")
    said = []
    index.rebuild(below=machine.root, progress=said.append)
    assert any("1 workspaces in" in line for line in said)


@pytest.mark.parametrize(
    ("words", "error"), [({"below": "nowhere"}, PathNotFound), ({"below": ".", "depth": -1}, ValueError)]
)
def test_what_cannot_be_looked_through_is_refused_before_anything(machine, index, words, error):
    index.register(machine.workspace("aare"))
    before = machine.list.read_bytes()
    with pytest.raises(error):
        index.rebuild(**words)
    assert machine.list.read_bytes() == before
    assert not (machine.state / ".hmp" / "index" / "replaced").exists()


def test_who_may_not_write_may_not_rebuild(machine, index):
    path: Path = machine.workspace("aare")
    with hmp_index.index(auth=Reader()) as reader, pytest.raises(AccessDenied):
        reader.rebuild([path])
    with pytest.raises(NotFound):
        index.forget("aare")


ASKS = """
import sys, hmp_index
with hmp_index.index() as machine:
    print(len(machine.workspaces()), len(machine.notice.skipped))
"""


def test_several_processes_take_in_what_arrived_at_once(machine):
    """Each answer has all of them, each is listed once, whoever came first."""
    for n in range(25):
        announce(machine.workspace(f"w{n:02}"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    children = [
        subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    assert [child.communicate()[0] for child in children] == ["25 0\n"] * 3
    with hmp_index.index() as index:
        assert len(index.workspaces()) == 25
