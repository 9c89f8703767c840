"""A machine of many workspaces: read in groups, within the limits of a process, some of them broken or going away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid

import pytest

import hmp_index
from hmp_core.layout import catalog_path, read_root
from hmp_index import hands, keeper, refresh
from hmp_index.roster import Listed, write


def label(n):
    return f"w{n:04d}"


@pytest.fixture
def crowd(machine, make_sims):
    """Return a function that makes and enlists so many workspaces, alike but for their ids; return their catalogs."""

    def make(count, sims=3):
        first = machine.workspace(label(0), "base", sims=make_sims(sims))
        for n in range(1, count):
            there = shutil.copytree(first, machine.root / label(n))
            (there / "workspace.toml").write_text(f'id = "{uuid.uuid4()}"\nname = "{label(n)}"\n')
            (there / "projects" / "base" / "project.toml").write_text(f'id = "{uuid.uuid4()}"\nname = "base"\n')
        roots = [read_root(machine.root / label(n), "workspace.toml") for n in range(count)]
        machine.state.mkdir(exist_ok=True)
        write(machine.list, [Listed(root.id, root.path, root.path.name, make_sims(1)[0].created_at) for root in roots])
        return [catalog_path(root.path / "projects" / "base") for root in roots]

    return make


def statuses(notice):
    return {one.workspace: one.status for one in notice.skipped}


def child(code, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


# ── broken ones ──────────────────────────────────────────────────────────────────────────────────────


def cut(catalog):
    os.truncate(catalog, 5000)


def empty(catalog):
    os.truncate(catalog, 0)


def garbage(catalog):
    catalog.write_bytes(b"this is not a database" * 1000)


def zeros(catalog):
    with catalog.open("r+b") as file:
        file.seek(0)
        file.write(bytes(20_000))


def folder(catalog):
    catalog.unlink()
    catalog.mkdir()


BREAKING = (cut, empty, garbage, zeros, folder)


@pytest.mark.parametrize(("count", "broken"), [(40, 5), pytest.param(1_000, 50, marks=pytest.mark.soak)])
def test_corrupt_catalogs_are_named_and_the_others_answered(crowd, count, broken):
    """Each in one of five ways, before anything was read of it and after."""
    catalogs = crowd(count)
    spoilt = range(3, count, count // broken)
    for turn, n in enumerate(spoilt):
        BREAKING[turn % 5](catalogs[n])
    expected = dict.fromkeys((label(n) for n in spoilt), "corrupt")
    expected |= {label(n): "unreachable" for turn, n in enumerate(spoilt) if BREAKING[turn % 5] is folder}
    with hmp_index.index() as index:
        assert statuses(index.refresh()) == expected
        assert len(index.find(name="run 1")) == count - len(spoilt)
        assert statuses(index.notice) == expected
        assert "no snapshot" in str(index.notice)
        health = index.health()
        assert {one.workspace.label for one in health if one.projects[0].status != "ok"} == set(expected)
        others = [n for n in range(count) if n not in spoilt][: len(BREAKING)]
        for spoil, n in zip(BREAKING, others, strict=True):
            spoil(catalogs[n])
        assert len(index.find(name="run 1")) == count - len(spoilt)
        assert set(statuses(index.notice)) == set(expected) | {label(n) for n in others}
        aged = {hit.workspace: hit.state for hit in index.find(name="run 1") if hit.age > 0}
        assert set(aged) == {label(n) for n in others}
        assert set(statuses(index.rebuild())) == set(expected) | {label(n) for n in others}
        assert len(index.search("run")) == 20


# ── in groups ────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_read_is_written_a_group_at_a_time(crowd, monkeypatch):
    crowd(7)
    monkeypatch.setattr(refresh, "GROUP", 3)
    parts = []
    settle = refresh.settle
    monkeypatch.setattr(keeper, "settle", lambda *told: parts.append(told[2]) or settle(*told))
    with hmp_index.index() as index:
        assert not index.refresh()
        assert [len(part.readings) for part in parts] == [3, 3, 1]
        assert [len(part.seen) for part in parts] == [7, 0, 0]
        assert len(index.find()) == 21


def test_a_group_ends_where_its_text_is_large_enough(crowd, monkeypatch):
    crowd(4)
    monkeypatch.setattr(refresh, "GROUP_SIZE", 1)
    with hmp_index.index() as index:
        assert not index.refresh()
        assert len(index.find()) == 12


class Enough(Exception):
    """Whoever refreshes has had enough."""


def test_what_was_read_before_an_interruption_is_kept(crowd, monkeypatch):
    crowd(7)
    monkeypatch.setattr(refresh, "GROUP", 2)
    monkeypatch.setattr(refresh, "_EVERY", 0.0)
    told = []

    def progress(text):
        told.append(text)
        if len(told) == 6:
            raise Enough

    with hmp_index.index() as index:
        with pytest.raises(Enough):
            index._keeper.view(budget=None, progress=progress)
        assert told[-1] == "read 5 of 7 projects that changed"
    with hmp_index.index(read_only=True) as index:
        assert len(index.find()) == 4 * 3
        assert list(statuses(index.notice).values()) == ["stale"] * 3
    with hmp_index.index() as index:
        del told[:]
        index._keeper.view(budget=None, progress=told.append)
        assert told[-1] == "read 2 of 3 projects that changed"
        assert len(index.find()) == 7 * 3


def test_an_older_form_that_was_read_again_in_part_is_not_taken_for_the_new_one(crowd, monkeypatch):
    crowd(5)
    with hmp_index.index() as index:
        index.refresh()
    monkeypatch.setattr(hmp_index.queries.fold, "FORM", 99)
    monkeypatch.setattr(refresh, "GROUP", 2)
    monkeypatch.setattr(refresh, "_EVERY", 0.0)
    told = []

    def progress(text):
        told.append(text)
        if len(told) == 4:
            raise Enough

    with hmp_index.index() as index:
        with pytest.raises(Enough):
            index._keeper.view(budget=None, progress=progress)
        del told[:]
        index._keeper.view(budget=None, progress=told.append)
        assert told[-1] == "read 2 of 3 projects that changed"


# ── limits of a process ──────────────────────────────────────────────────────────────────────────────

LIMITED = """
import resource, sys
import hmp_index
with hmp_index.index() as index:
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
    assert not index.refresh(), index.notice
    print(len(index.find()), len(index.search("run", limit=None)), bool(index.rebuild()))
"""


def test_more_workspaces_than_the_process_may_have_files_open(crowd):
    crowd(60)
    with child(LIMITED) as process:
        assert process.communicate(timeout=120)[0].split() == ["180", "180", "False"]


PEAK = """
import resource
import hmp_index
with hmp_index.index() as index:
    index.refresh()
    assert not index.notice, index.notice
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.soak
def test_memory_does_not_grow_with_the_machine(crowd, machine):
    """Four times as many workspaces of 200 simulations need less than twice the memory."""
    peaks = []
    for count in (100, 400):
        shutil.rmtree(machine.root, ignore_errors=True)
        shutil.rmtree(machine.state, ignore_errors=True)
        crowd(count, sims=200)
        with child(PEAK) as process:
            peaks.append(int(process.communicate(timeout=600)[0]))
    assert peaks[1] < 2 * peaks[0], peaks


# ── going away ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", range(6))
def test_a_workspace_unmounted_in_the_middle_of_a_refresh_keeps_its_snapshot(crowd, monkeypatch, step):
    """Renamed away after everything was seen (step 0), or between two projects that are read."""
    catalogs = crowd(5)
    gone = catalogs[3].parents[2]
    away = gone.with_name("away")
    with hmp_index.index() as index:
        index.refresh()
        for catalog in catalogs:
            os.utime(catalog)
        monkeypatch.setattr(refresh, "_EVERY", 0.0)
        told = []

        def unmount(text="seen"):
            told.append(text)
            if len(told) == step + 1:
                gone.rename(away)

        def look_at_all(listed):
            found = hands.look_at_all(listed)
            unmount()
            return found

        monkeypatch.setattr(refresh, "look_at_all", look_at_all)
        index._keeper.view(budget=None, progress=unmount)
        assert len(told) >= 5
        assert away.exists()
        monkeypatch.undo()
        monkeypatch.setenv("HMP_STATE_HOME", str(index.path.parent))
        assert len(index.find()) == 15
        assert statuses(index.notice) == {label(3): "unreachable"}
        assert index.workspaces()[3].status == "unreachable"
        away.rename(gone)
        assert not index.refresh()
        assert len(index.find()) == 15


FLICKER = """
import os, sys, time
here, there = sys.argv[1], sys.argv[1] + "-away"
print("go", flush=True)
while True:
    os.rename(here, there)
    time.sleep(0.002)
    os.rename(there, here)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("times", [15, pytest.param(1_000, marks=pytest.mark.soak)])
def test_a_workspace_that_comes_and_goes_never_loses_its_snapshot(crowd, times):
    """Another process renames it away and back all the while."""
    catalogs = crowd(3)
    with hmp_index.index() as index:
        index.refresh()
        with child(FLICKER, catalogs[1].parents[2]) as process:
            assert process.stdout.readline() == "go\n"
            try:
                for _ in range(times):
                    index.refresh(only_stale=False)
                    assert set(statuses(index.notice)) <= {label(1)}, index.notice
                    assert len(index.find()) == 9, index.notice
            finally:
                process.send_signal(signal.SIGKILL)
        away = catalogs[1].parents[2].with_name(f"{label(1)}-away")
        if away.exists():
            away.rename(catalogs[1].parents[2])
        assert not index.refresh().skipped
        assert len(index.find()) == 9
