"""What a run of an experiments store was trained on: recorded with its bytes where these can be found again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

pytest.importorskip("polars")

from hmp_catalog.errors import ExperimentNotFound, InputChanged
from hmp_catalog.experiments import WorkspaceStore
from hmp_catalog.experiments.consumed import described, recorded
from hmp_catalog.inputs import describe
from hmp_core.errors import InvalidInput
from hmp_core.identity import sha256_bytes
from hmp_core.layout import init_project, init_workspace

DATA = b"time,discharge\n2001-01-01,1.5\n"


@dataclass
class Entry:
    """What an entry of the input cache is to the catalog."""

    id: UUID
    artifact_id: UUID
    sha256: str
    relative_path: str
    variable: str = "discharge"
    source: str = "hubeau"
    license: str | None = "CC-BY"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = init_workspace(tmp_path / "aare").path
    (made / "data" / "q.csv").write_bytes(DATA)
    return made


@pytest.fixture
def entry() -> Entry:
    return Entry(uuid4(), uuid4(), sha256_bytes(DATA), "data/q.csv")


def inputs(datasets: list[Any], folder: Path) -> list[Any]:
    return list(recorded(described(datasets, folder)))


def test_an_entry_is_recorded_with_version_hash_and_place(workspace: Path, entry: Entry) -> None:
    (told,) = described([{"name": "q", "entry": entry}], workspace)
    assert set(told) == {"name", "inputs"}
    (fact,) = recorded([told])
    assert fact == {
        "variable": "discharge", "source": "hubeau", "sha256": entry.sha256, "path": "data/q.csv",
        "entry_id": str(entry.id), "artifact_id": str(entry.artifact_id), "license": "CC-BY",
    }  # fmt: skip


def test_an_entry_may_be_given_alone_and_several_together(workspace: Path, entry: Entry) -> None:
    (workspace / "data" / "t.csv").write_bytes(b"other")
    other = Entry(uuid4(), uuid4(), sha256_bytes(b"other"), "data/t.csv", "air_temperature")
    assert [fact["path"] for fact in inputs([entry], workspace)] == ["data/q.csv"]
    assert [fact["path"] for fact in inputs([{"entry": [entry, other]}], workspace)] == ["data/q.csv", "data/t.csv"]


def test_an_entry_whose_bytes_changed_is_refused(workspace: Path, entry: Entry) -> None:
    (workspace / "data" / "q.csv").write_bytes(b"time,discharge\n")
    with pytest.raises(InputChanged, match=r"data/q\.csv has SHA-256"), WorkspaceStore(workspace) as store:
        store.begin_run("first", {}, [{"name": "q", "entry": entry}])


def test_an_entry_whose_bytes_are_gone_is_recorded_as_it_was_registered(workspace: Path, entry: Entry) -> None:
    (workspace / "data" / "q.csv").unlink()
    (fact,) = inputs([{"entry": entry}], workspace)
    assert (fact["sha256"], fact["entry_id"]) == (entry.sha256, str(entry.id))


@pytest.mark.parametrize("form", ["path", "text", "relative"])
def test_a_file_of_the_workspace_is_recorded_by_its_bytes(workspace: Path, form: str) -> None:
    file = workspace / "data" / "q.csv"
    said = {"path": file, "text": str(file), "relative": "data/q.csv"}[form]
    (told,) = described([{"path": said}], init_project(workspace, "base").path)
    assert told["path"] == (said.as_posix() if isinstance(said, Path) else said)
    (fact,) = recorded([told])
    assert (fact["path"], fact["sha256"], fact["entry_id"]) == ("data/q.csv", sha256_bytes(DATA), None)


@pytest.mark.parametrize("said", ["nowhere.csv", "/dev/null", "s3://bucket/q.csv", "", 7])
def test_what_is_no_file_of_the_workspace_stays_as_it_was_said(workspace: Path, said: Any) -> None:
    assert described([{"name": "q", "path": said}], workspace) == [{"name": "q", "path": said}]


def test_outside_any_workspace_a_path_stays_as_it_was_said(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(DATA)
    said = [{"path": str(tmp_path / "q.csv")}]
    assert described(said, tmp_path) == said


def test_a_database_and_what_holds_one_are_never_read_as_files(workspace: Path) -> None:
    with WorkspaceStore(workspace) as store:
        project = init_project(workspace, "base").path
        (project / "data.duckdb").write_bytes(b"somebody has this open")
        for path in (workspace, store.database, project):
            assert inputs([{"path": path}], workspace) == []


def test_facts_that_were_recorded_before_are_taken(workspace: Path, entry: Entry) -> None:
    facts = describe([entry], workspace)
    assert list(recorded(described([{"name": "q", "inputs": facts}], workspace))) == inputs([entry], workspace)


def test_whatever_else_is_said_is_kept_plain(workspace: Path) -> None:
    told = described([{"name": "wheat", "n_samples": np.int64(3), "shape": (3, 2)}, "rye"], workspace)
    assert told == [{"name": "wheat", "n_samples": 3, "shape": [3, 2]}, "rye"]


@pytest.mark.parametrize("said", ["wheat", {"name": "wheat"}, 7, None])
def test_datasets_are_a_list(workspace: Path, said: Any) -> None:
    with pytest.raises(InvalidInput, match="expected a list"):
        described(said, workspace)


@pytest.mark.parametrize("said", ["q.csv", 7, ["q.csv"]])
def test_an_entry_is_an_entry(workspace: Path, said: Any) -> None:
    with pytest.raises(InvalidInput, match="expected an entry of the input cache"):
        described([{"entry": said}], workspace)


def test_the_same_input_of_two_data_sets_is_told_once(workspace: Path, entry: Entry) -> None:
    assert len(inputs([{"name": "a", "entry": entry}, {"name": "b", "entry": entry}], workspace)) == 1


def test_a_run_tells_what_was_recorded(workspace: Path, entry: Entry) -> None:
    with WorkspaceStore(workspace) as store:
        run = store.begin_run("first", {}, [{"name": "q", "entry": entry}])
        found = store.get_run(run)
        assert found is not None
        assert found["datasets"][0]["inputs"][0]["sha256"] == entry.sha256


def test_an_unknown_run_has_no_inputs(workspace: Path) -> None:
    with WorkspaceStore(workspace) as store, pytest.raises(ExperimentNotFound):
        store.input_entries("nothing")


def test_without_the_umbrella_it_is_said_what_is_missing(workspace: Path, entry: Entry) -> None:
    """In a process of its own, in which no package stands for the umbrella."""
    with WorkspaceStore(workspace) as store:
        run = store.begin_run("first", {}, [{"name": "q", "entry": entry}])
    script = f"""
import importlib.metadata as metadata
found = metadata.entry_points
metadata.entry_points = lambda **asked: [] if asked.get("group") == "hmp.bridge" else found(**asked)
from hmp_catalog.experiments import WorkspaceStore
from hmp_core.errors import MissingPart
try:
    WorkspaceStore({str(workspace)!r}).input_entries({run!r})
except MissingPart as error:
    print(error.install)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "hmp-hydromodpy\n"


def test_the_state_of_a_plain_file_follows_the_file(workspace: Path) -> None:
    if not list(entry_points(group="hmp.bridge", name="experiment_inputs")):
        pytest.skip("the umbrella is not installed")
    with WorkspaceStore(workspace) as store:
        run = store.begin_run("first", {}, [{"path": "data/q.csv"}])
        assert [one.state for one in store.input_entries(run)] == ["current"]
        (workspace / "data" / "q.csv").write_bytes(b"other")
        assert [one.state for one in store.input_entries(run)] == ["modified"]
        (workspace / "data" / "q.csv").unlink()
        assert [one.state for one in store.input_entries(run)] == ["missing"]
