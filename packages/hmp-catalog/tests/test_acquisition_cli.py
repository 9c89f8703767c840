"""``hmp acquisition``, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hmp_catalog.acquisition import Catalog, RunWriter, SampleMetadata, delete_run
from hmp_core.cli.main import main
from hmp_core.layout import acquisition_folder, init_project, init_workspace


def record(path: Path, plan: str, *, frames: int = 2) -> str:
    with RunWriter(path, SampleMetadata("outlet", tags=["clay"])) as writer:
        uid = writer.open_run(plan, operator="Ada", metadata={"weather": "rain"})
        writer.open_stream("primary", {"level": {"dtype": "number", "shape": [], "source": "gauge"}})
        for n in range(frames):
            event = writer.write_event({"level": float("nan") if n == 1 else n + 0.5})
            writer.write_image(event, "camera", np.full((4, 6), n, np.uint16))
        writer.close_run()
    return uid


@pytest.fixture
def made(tmp_path: Path) -> SimpleNamespace:
    """Return a workspace with a project of two sessions, a run in each."""
    workspace = init_workspace(tmp_path / "workspace").path
    project = init_project(workspace, "aare").path
    folder = acquisition_folder(project)
    made = SimpleNamespace(workspace=workspace, project=project, june=folder / "june.db", july=folder / "july.db")
    made.first, made.second = record(made.june, "count"), record(made.july, "scan")
    return made


@pytest.fixture
def hmp(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, made: SimpleNamespace
) -> Callable[..., SimpleNamespace]:
    """Return a function that runs ``hmp acquisition`` in the project, and takes the exit code that is expected."""
    monkeypatch.chdir(made.project)

    def run(*words: object, code: int = 0) -> SimpleNamespace:
        capfd.readouterr()
        found = main(["acquisition", *map(str, words)])
        said = capfd.readouterr()
        assert found == code, said
        return SimpleNamespace(out=said.out, err=said.err, lines=said.out.splitlines())

    return run


def rows(said: SimpleNamespace) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.lines]


def test_runs_of_all_sessions_are_listed_newest_first(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    assert [row["uid"] for row in rows(hmp("ls", "--json"))] == [made.second, made.first]
    assert [row["uid"] for row in rows(hmp("ls", made.june, "--json"))] == [made.first]
    table = hmp("ls", "--limit", 1)
    assert made.second[:8] in table.out
    assert "1 more" in table.err


def test_runs_are_listed_by_what_is_known_of_them(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    asked = ("--plan", "scan", "--operator", "Ada", "--tag", "clay", "--status", "success", "--since", "2020-01-01")
    assert [row["uid"] for row in rows(hmp("ls", *asked, "--json"))] == [made.second]
    assert rows(hmp("ls", "--until", "2020-01-01", "--json")) == []
    assert "status" in hmp("ls", made.june, "--status", "good", code=2).err


def test_a_damaged_session_is_named_and_hides_no_other(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    made.july.write_bytes(b"no database " * 500)
    said = hmp("ls", "--json", code=1)
    assert [row["uid"] for row in rows(said)] == [made.first]
    assert "july.db" in said.err
    assert [row["code"] for row in rows(hmp("verify", "--json", code=1))] == []
    hmp("ls", made.july, code=22)


def test_a_run_is_shown_by_the_head_of_its_uid(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    assert "outlet" in hmp("show", made.first[:10]).out
    (found,) = rows(hmp("show", made.first[:10], "--json"))
    assert (found["uid"], found["events"], found["frames"]) == (made.first, {"primary": 2}, {"camera": [2, 4, 6]})
    assert found["metadata"] == {"weather": "rain"}
    hmp("show", "zzz", code=10)
    hmp("show", made.first, "--session", made.july, code=10)


def test_a_session_that_is_copied_makes_its_runs_ambiguous(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    made.june.with_name("copy.db").write_bytes(made.june.read_bytes())
    assert "--session" in hmp("show", made.first, code=20).err
    assert made.first in hmp("show", made.first, "-s", made.june).out


def test_events_of_a_run_that_goes_on_are_followed_to_its_end(made: SimpleNamespace) -> None:
    command = [sys.executable, "-m", "hmp_core.cli.main", "acquisition", "follow", "--poll", "0.02", "--json"]
    with RunWriter(made.june, SampleMetadata("outlet")) as writer:
        writer.open_run("live")
        writer.open_stream("primary", {"level": {}})
        writer.write_event({"level": 0})
        with subprocess.Popen(command, cwd=made.project, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            seen = [json.loads(reader.stdout.readline())["data"]["level"]]
            for n in range(1, 4):
                writer.write_event({"level": n})
                seen.append(json.loads(reader.stdout.readline())["data"]["level"])
            writer.close_run()
            assert reader.wait(20) == 0
            assert (seen, reader.stdout.read()) == ([0, 1, 2, 3], "")


def test_a_run_that_ended_is_followed_at_once_and_none_that_goes_on_is_said(
    hmp: Callable[..., Any], made: SimpleNamespace
) -> None:
    said = hmp("follow", made.first)
    assert len(said.lines) == 2
    assert "success, 2 events" in said.err
    assert "no run is going on" in hmp("follow", code=10).err


def test_what_is_lost_is_an_exit_code(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    assert hmp("verify", "--deep").out == "2 sessions are whole\n"
    (made.june.with_suffix(".zarr") / "runs" / made.first / "camera" / "c.0.0.0").unlink()
    assert "0-1" in hmp("verify", code=1).out
    (found,) = rows(hmp("verify", "--json", code=1))
    assert (found["code"], found["run"], found["frames"]) == ("lost-frames", made.first, [0, 1])


def test_gc_shows_first_and_then_removes(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    delete_run(made.june, made.first)
    frames = made.june.with_suffix(".zarr") / "runs" / made.first
    planned = rows(hmp("gc", "--dry-run", "--json"))
    assert [row["code"] for row in planned] == ["orphan-run"]
    assert "orphan-run" in hmp("verify").out
    assert frames.exists()
    assert rows(hmp("gc", "--json")) == planned
    assert not frames.exists()
    assert hmp("gc").out == "nothing found\n"


def test_gc_is_refused_while_somebody_writes(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    script = """
import sys
from hmp_catalog.acquisition import RunWriter, SampleMetadata
with RunWriter(sys.argv[1], SampleMetadata("outlet")) as writer:
    writer.open_run("live")
    print("open", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", script, str(made.june)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        assert str(writer.pid) in hmp("gc", made.june, code=12).err
        hmp("verify", "--deep")
        writer.communicate("")
    hmp("gc", made.june)


def test_a_run_goes_out_as_netcdf_and_as_documents(
    hmp: Callable[..., Any], made: SimpleNamespace, tmp_path: Path
) -> None:
    pytest.importorskip("h5netcdf")
    import xarray as xr

    hmp("export", made.first[:8], tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as found:
        assert found["camera"].shape == (2, 4, 6)
    hmp("export", made.first[:8], tmp_path / "run.jsonl")
    documents = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert documents[0][0] == "start"
    assert documents[-1][0] == "stop"
    before = (tmp_path / "run.jsonl").read_bytes()
    hmp("export", made.first, tmp_path / "run.jsonl", code=2)
    assert (tmp_path / "run.jsonl").read_bytes() == before
    hmp("export", made.first, tmp_path / "run.txt", code=2)


def test_the_index_of_a_workspace_is_built_from_its_sessions(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    (said,) = rows(hmp("rebuild-index", "--json"))
    assert said["path"] == str(made.workspace / "acquisition-index.db")
    assert said["sessions"] == 2
    made.july.write_bytes(b"no database " * 500)
    assert "july.db" in hmp("rebuild-index", code=1).err
    hmp("rebuild-index", made.project / "acquisition" / "index.db", code=1)
    assert len(rows(hmp("ls", made.june, "--json"))) == 1
    assert "index.db" not in hmp("ls", "--json", code=1).err


def test_without_sessions_it_is_said_where_they_would_be(hmp: Callable[..., Any], tmp_path: Path) -> None:
    for words in (["ls"], ["show", "ab"], ["follow"], ["verify"], ["gc"], ["export", "ab", "x.nc"]):
        assert "acquisition/*.db" in hmp(*words, "-p", tmp_path / "workspace", code=10).err
    hmp("ls", tmp_path / "none.db", code=10)


def test_the_session_that_is_named_is_the_one(hmp: Callable[..., Any], made: SimpleNamespace) -> None:
    assert [row["uid"] for row in rows(hmp("ls", made.june, made.july, "--json"))] == [made.second, made.first]
    with Catalog(made.june) as catalog:
        assert made.first in catalog


def test_the_help_imports_nothing_heavy() -> None:
    code = """
import sys
from hmp_core.cli.main import main
main(["acquisition", "--help"])
heavy = {"numpy", "duckdb", "pyarrow", "pandas", "xarray", "rich", "zarr", "sqlite3", "numcodecs"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
