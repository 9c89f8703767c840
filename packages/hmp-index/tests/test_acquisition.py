"""Measuring sessions in the index: their runs beside simulations, while they are written, damaged, or gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import hmp_index

acquisition = pytest.importorskip("hmp_catalog.acquisition")

#: A writer that begins a run and is killed when it is told to.
WRITER = """
import sys
from hmp_catalog.acquisition import RunWriter, SampleMetadata
with RunWriter(sys.argv[1], SampleMetadata("outlet")) as writer:
    writer.open_run("live")
    writer.open_stream("primary", {"level": {}})
    writer.write_event({"level": 1})
    print("open", flush=True)
    sys.stdin.read()
"""


def record(folder, name, *plans, status="success"):
    """Record runs in a session of a project or a workspace, and return its file."""
    path = folder / "acquisition" / f"{name}.db"
    sample = acquisition.SampleMetadata("outlet", tags=["clay"])
    with acquisition.RunWriter(path, sample, label=name.title()) as writer:
        for plan in plans:
            writer.open_run(plan, operator="Ada")
            writer.close_run(exit_status=status)
    return path


@pytest.fixture(scope="module")
def template(library, make_sim):
    """A workspace whose project has a simulation and a session, and that has a session of its own."""
    path = library.workspace("aare", "base", sims=[make_sim("base", {"nse": 0.7})])
    record(path / "projects" / "base", "june", "count", "scan")
    record(path, "shared", "survey")
    return path


@pytest.fixture
def listing(tmp_path, monkeypatch):
    """Let what reads sessions be installed, and nothing else of its scope."""
    info = tmp_path / "installed" / "sessions-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sessions\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hmp.stores]\nacquisition = hmp_catalog.acquisition.listing:listed\n")
    monkeypatch.syspath_prepend(info.parent)


@pytest.fixture
def workspace(template, machine):
    """A copy of it, to work with."""
    return shutil.copytree(template, machine.root / "aare")


@pytest.fixture
def index(workspace, listing):
    with hmp_index.index() as opened:
        opened.register(workspace)
        yield opened


def names(found):
    return sorted(hit.name for hit in found)


def test_runs_of_sessions_stand_beside_simulations(index, workspace):
    assert names(index.find()) == ["base", "count", "scan", "survey"]
    assert not index.notice
    assert names(index.find(kind="acquisition")) == ["count", "scan", "survey"]
    assert names(index.find(project="base", kind="acquisition")) == ["count", "scan"]
    (hit,) = index.find(project=".")
    assert (hit.name, hit.kind, hit.status) == ("survey", "acquisition", "success")
    assert names(index.find(kind="acquisition", tags="clay", principal_id="Ada")) == ["count", "scan", "survey"]


def test_runs_of_sessions_are_found_by_their_words(index):
    assert {hit.name for hit in index.search("outlet")} == {"count", "scan", "survey"}
    assert names(index.search("June")) == ["count", "scan"]


def test_what_did_not_change_is_not_read_again_and_what_did_is(index, workspace):
    index.find()
    session = record(workspace / "projects" / "base", "july", "drift", status="failed")
    assert names(index.find(kind="acquisition", status="failed")) == ["drift"]
    before = os.stat(session).st_atime_ns
    assert names(index.find(kind="acquisition", status="failed")) == ["drift"]
    assert os.stat(session).st_atime_ns == before


def test_a_damaged_session_is_named_and_hides_nothing(index, workspace):
    index.find()
    june = workspace / "projects" / "base" / "acquisition" / "june.db"
    record(workspace / "projects" / "base", "july", "drift")
    june.write_bytes(b"no database at all " * 500)
    assert names(index.find()) == ["base", "drift", "survey"]
    (skipped,) = index.notice.skipped
    assert skipped.status == "corrupt"
    assert "june.db" in skipped.detail


def test_a_session_that_is_gone_is_listed_no_more(index, workspace):
    index.find()
    for end in (".db", ".db.lock", ".db.lock.json"):
        (workspace / "projects" / "base" / "acquisition" / f"june{end}").unlink(missing_ok=True)
    assert names(index.find()) == ["base", "survey"]


def test_a_run_goes_on_while_it_is_listed_and_is_interrupted_when_its_writer_dies(index, workspace):
    session = workspace / "projects" / "base" / "acquisition" / "june.db"
    command = [sys.executable, "-c", WRITER, str(session)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "open\n"
        began = time.monotonic()
        assert names(index.find(kind="acquisition", status="running")) == ["live"]
        assert time.monotonic() - began < 2
        assert names(index.find(kind="simulation")) == ["base"]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert names(index.find(kind="acquisition", status="running")) == []
    assert names(index.find(kind="acquisition", status="interrupted")) == ["live"]


def test_an_index_that_was_deleted_lists_the_same(index, workspace):
    wanted = "SELECT * EXCLUDE (snapshot_taken_at) FROM simulations_cache ORDER BY sim_id"
    index.find()
    before = index.sql(wanted).to_pylist()
    assert [row["name"] for row in before if row["kind"] == "acquisition"]
    index.rebuild()
    assert index.sql(wanted).to_pylist() == before


def test_without_the_scope_that_reads_sessions_that_is_said(workspace):
    with hmp_index.index() as opened:
        opened.register(workspace)
        assert names(opened.find()) == ["base"]
        assert all("hmp-catalog is not installed" in skipped.detail for skipped in opened.notice.skipped)
        assert len(opened.notice.skipped) == 2
