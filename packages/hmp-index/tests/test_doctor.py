"""What `hmp doctor` finds in the machine index: workspaces that are not where they were registered."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hmp_core.arrivals import announce
from hmp_core.databases import Database
from hmp_core.doctor import Case, Finding
from hmp_core.doctor.examine import reading
from hmp_core.layout import catalog_path
from hmp_core.testing.traces import differences, trace
from hmp_index import checks, index
from hmp_index.checks import CHECKS


def _found(machine: Any, start: Path) -> list[Finding]:
    case = Case(Database("index", machine.database), start)
    told = None
    if machine.database.exists():
        with reading(case) as backend:
            told = CHECKS.ask(backend)
    return list(CHECKS.look(case, told))


def _one(machine: Any, start: Path, code: Any) -> Finding:
    (finding,) = (finding for finding in _found(machine, start) if finding.code == code.name)
    return finding


@pytest.fixture
def aare(machine: Any, make_sims: Any) -> Path:
    """A registered workspace with a project that was read."""
    workspace = machine.workspace("aare", "base", sims=make_sims(2))
    with index() as door:
        door.register(workspace)
        door.refresh()
    return workspace


def test_of_what_is_well_nothing_is_said(machine: Any, aare: Path) -> None:
    before = trace(machine.state, aare)
    assert _found(machine, aare) == []
    assert differences(before, trace(machine.state, aare)) == []


def test_where_there_is_no_index_nobody_misses_it(machine: Any) -> None:
    assert _found(machine, machine.workspace("aare", "base")) == []


def test_a_workspace_that_is_gone_is_told(machine: Any, aare: Path) -> None:
    shutil.move(aare, aare.with_name("reuss"))
    assert _one(machine, machine.root, checks.GONE).where == aare


def test_a_workspace_that_was_moved_is_recognised_by_its_id(machine: Any, aare: Path) -> None:
    moved = aare.with_name("reuss")
    shutil.move(aare, moved)
    assert str(aare) in _one(machine, moved / "projects", checks.MOVED).what
    with index() as door:
        door.register(moved)
    assert _found(machine, moved) == []


def test_a_copy_is_told(machine: Any, aare: Path) -> None:
    copy = shutil.copytree(aare, aare.with_name("copy"))
    assert _one(machine, copy, checks.UNLISTED).where == copy
    with index() as door:
        door.register(copy)
        door.refresh()
    assert str(copy) in _one(machine, aare, checks.COPIED).what


def test_a_damaged_marker_or_list_is_told(machine: Any, aare: Path) -> None:
    (aare / "workspace.toml").write_text("id = 7")
    assert _one(machine, machine.root, checks.DAMAGED).where == aare
    machine.list.write_text("[")
    assert _one(machine, machine.root, checks.BAD_LIST).where == machine.list


def test_projects_that_were_not_read_or_have_changed_are_told(machine: Any, aare: Path, make_sim: Any) -> None:
    machine.project(aare, "second")
    assert "second" in _one(machine, aare, checks.NEVER).what
    machine.put(aare / "projects" / "base", make_sim("another"))
    assert "base" in _one(machine, aare, checks.STALE).what
    catalog_path(aare / "projects" / "second").write_bytes(b"garbage")
    with index() as door:
        door.refresh()
    found = _one(machine, aare, checks.UNREAD)
    assert found.what.startswith("corrupt: ")
    assert found.where == aare / "projects" / "second"


def test_every_code_is_provoked_by_a_test() -> None:
    text = Path(__file__).read_text()
    named = {getattr(checks, name).name for name in re.findall(r"checks\.([A-Z_]+)\b", text)}
    assert {code.name for code in CHECKS.codes} - named == set()


def test_a_workspace_that_was_announced_is_not_missed(machine: Any, aare: Path) -> None:
    reuss = machine.workspace("reuss")
    assert _one(machine, reuss, checks.UNLISTED).where == reuss
    announce(reuss)
    assert [finding.code for finding in _found(machine, reuss)] == []
