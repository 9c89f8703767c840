"""The list and the file derived from it stay together: processes side by side, killed ones, lost files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import hmp_index
from hmp_core.auth import LocalAuthBackend
from hmp_core.errors import BusyError
from hmp_core.layout import WORKSPACE_MARKER, catalog_path
from hmp_index import roster
from hmp_index.keeper import Keeper


def run(code, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code, *map(str, arguments)], env=environment)


@pytest.fixture
def keeper(machine):
    return Keeper(machine.database, auth=LocalAuthBackend(), timeout=10.0, read_only=False)


REGISTER = """
import sys, hmp_index
with hmp_index.index() as index:
    for path in sys.argv[1:]:
        index.register(path)
"""


def test_processes_register_at_once_and_nothing_is_lost(machine):
    """The database does not even exist yet."""
    paths = [[machine.workspace(f"w{i}-{j}") for j in range(4)] for i in range(4)]
    processes = [run(REGISTER, *some) for some in paths]
    assert [process.wait(60) for process in processes] == [0] * 4
    with hmp_index.index() as index:
        assert sorted(one.path for one in index.workspaces()) == sorted(path for some in paths for path in some)
    assert len(roster.read(machine.list)) == 16


FIND = """
import sys, hmp_index
with hmp_index.index() as index:
    for _ in range(10):
        names = {hit.name for hit in index.find()}
        assert "run 0" in names, names
        assert not [one for one in index.notice.skipped if one.status not in {"busy", "stale"}], index.notice
"""


def test_two_refresh_while_a_third_records(machine, make_sims):
    first, *more = make_sims(9)
    project = machine.project(machine.workspace("aare"), "base", [first])
    with hmp_index.index() as index:
        index.register(machine.root / "aare")
        processes = [run(FIND), run(FIND)]
        for sim in more:
            machine.put(project, sim)
        assert [process.wait(60) for process in processes] == [0, 0]
        assert len(index.find()) == 9
        assert not index.notice


REFRESH = """
import sys, hmp_index
with hmp_index.index() as index:
    print("go", flush=True)
    while True:
        index.refresh(only_stale=False)
"""


def test_a_process_killed_while_it_refreshes_harms_nothing(machine, make_sims):
    aare = machine.workspace("aare", "a", "b", "c", sims=make_sims(20))
    with hmp_index.index() as index:
        index.register(aare)
        for pause in (0.0, 0.01, 0.03, 0.1, 0.2):
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-c", REFRESH]
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
                assert process.stdout.readline() == b"go\n"
                time.sleep(pause)
                process.send_signal(signal.SIGKILL)
            assert len(index.find()) == 60
            assert not index.notice


def test_a_killed_registration_is_finished_by_the_next_answer(machine, keeper, make_sim):
    """The list is written first: the rows follow from it."""
    aare = machine.workspace("aare", "base", sims=[make_sim("one")])
    root = hmp_index.door._root(aare)
    line = roster.Listed(root.id, aare, "aare", make_sim().created_at)
    roster.write(machine.list, [line])
    with hmp_index.index() as index:
        assert [hit.name for hit in index.find()] == ["one"]
        roster.write(machine.list, [])
        assert index.find() == []


def test_a_list_that_is_held_is_waited_for_no_longer_than_asked(machine, held):
    aare = machine.workspace("aare")
    with hmp_index.index(timeout=0.3) as index, held(machine.database):
        began = time.monotonic()
        with pytest.raises(BusyError):
            index.register(aare)
        assert time.monotonic() - began < 3.0
    assert roster.read(machine.list) is None


def test_nothing_is_written_while_nothing_changes(machine, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim()])
    with hmp_index.index() as index:
        index.register(aare)
        before = (machine.database.stat().st_mtime_ns, machine.list.stat().st_mtime_ns)
        index.find()
        index.search("base")
        index.health()
        assert (machine.database.stat().st_mtime_ns, machine.list.stat().st_mtime_ns) == before


def test_a_copy_is_a_copy_also_in_a_list_that_was_lost(machine):
    aare = machine.workspace("aare")
    shutil.copytree(aare, machine.root / "copy")
    with hmp_index.index() as index:
        index.register(aare)
        index.register(machine.root / "copy")
        before = roster.read(machine.list)
        machine.list.unlink()
        assert [one.copy_of for one in index.workspaces()] == [None, str(before[0].id)]
    assert roster.read(machine.list) == before


def test_time_that_is_up_is_said(machine, keeper, make_sim):
    aare = machine.workspace("aare", "base", sims=[make_sim()])
    roster.write(machine.list, [roster.Listed(hmp_index.door._root(aare).id, aare, "aare", make_sim().created_at)])
    view = keeper.view(budget=0.0)
    assert [(one.project, one.status, one.detail) for one in view.notice.skipped] == [("base", "stale", "not read yet")]
    assert not keeper.view().notice
    os.utime(catalog_path(aare / "projects" / "base"))
    assert [one.detail for one in keeper.view(budget=0.0).notice.skipped] == ["changed since its snapshot was taken"]


def test_a_workspace_that_is_unmounted_in_between_breaks_nothing(machine, make_sim):
    """Between looking and reading, the folder of the first of two workspaces goes."""
    for name in ("aare", "fulda"):
        machine.workspace(name, "base", sims=[make_sim(name)])
    with hmp_index.index() as index:
        index.register(machine.root / "aare")
        index.register(machine.root / "fulda")
        os.utime(catalog_path(machine.root / "aare" / "projects" / "base"))
        reader = index._keeper._reader

        class Unmounting(type(reader)):
            def read(self, seen, place, timeout):
                if (machine.root / "aare").exists():
                    (machine.root / "aare").rename(machine.root / "away")
                return super().read(seen, place, timeout)

        index._keeper._reader = Unmounting(reader.auth)
        assert sorted(hit.name for hit in index.find()) == ["aare", "fulda"]
        assert [one.status for one in index.notice.skipped] == ["unreachable"]


def test_remarks_are_told_once(machine):
    with hmp_index.index() as index:
        index.register(machine.workspace("aare"))
        machine.list.unlink()
        assert index.refresh().remarks
        assert not index.refresh()


def test_the_list_keeps_its_order(machine):
    with hmp_index.index() as index:
        for name in ("c", "a", "b"):
            index.register(machine.workspace(name))
        assert [one.label for one in index.workspaces()] == ["c", "a", "b"]
        assert (machine.root / "a" / WORKSPACE_MARKER).is_file()


def test_a_line_that_is_replaced_is_not_a_new_one(machine):
    with hmp_index.index() as index:
        one = index.register(machine.workspace("aare"))
        two = index.register(machine.root / "aare", label="Upper")
        assert replace(one, label="Upper", last_scanned_at=None) == replace(two, last_scanned_at=None)
