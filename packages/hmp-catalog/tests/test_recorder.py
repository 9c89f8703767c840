"""A run while it is being made: everything comes back, whatever ends it, and what cannot be kept is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

import hmp_catalog
from hmp_catalog.errors import DuplicateSimulationName, SealedRunError
from hmp_core.errors import InvalidInput, NotFound, PathNotFound, StorageError

READ_ALL = """
import json, sys, hmp_catalog
with hmp_catalog.open(sys.argv[1]) as cat:
    run = cat[sys.argv[2]]
    print(json.dumps(run.summary() | {"manifest": run.manifest, "notice": str(cat.notice)}, default=str))
"""

RECORD = """
import os, signal, sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
with cat.record("gr4j", name="base", parameters={"x1": 320.0}) as rec:
    rec.metric("nse", 0.8)
    print(rec.sim_id, flush=True)
    %s
print("after", flush=True)
"""


def interrupted(project, ending):
    """Record a run in another process that ends in an unusual way; return (sim_id, exit code)."""
    done = subprocess.run(
        [sys.executable, "-c", RECORD % ending, str(project)], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.split()
    assert "after" not in lines
    return lines[0], done.returncode


# ── everything comes back ────────────────────────────────────────────────────────────────────────────


def test_everything_comes_back_in_another_process(project, workspace, python):
    (workspace / "data" / "q.csv").write_text("time,q\n2001-01-01,4.2\n")
    with hmp_catalog.open(project) as cat:
        parent = cat.record("gr4j", name="first")
        parent.seal()
        about = {
            "description": "a base run",
            "scientific_objective": "low flows",
            "contact_email": "a@b.org",
            "study_area": "Aare",
            "flow_regime": "transient",
            "mesh_topology": "lumped",
            "period": (datetime(2001, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2002-01-01"),
            "bbox": (0, 1, 2, 3),
            "crs": "EPSG:2056",
            "outlet": (0.5, 1.5),
        }
        with cat.record(
            "gr4j",
            name="base",
            parameters={"x1": 320.5, "variant": "α", "warm": True, "missing": None, "n": 2**60 + 1},
            config={"a": [1, {"b": "γ"}]},
            inputs=[workspace / "data" / "q.csv"],
            tags=["paper", "été"],
            seed=7,
            parent=parent.sim_id,
            **about,
        ) as rec:
            rec.parameter("k", 0.1, zone="north", unit="m d-1")
            rec.metric("nse", np.float32(0.5), station="outlet", variable="discharge", n_samples=365)
            rec.metric("rmse", float("nan"), station="q1")
            rec.metrics({"kge": 1, "bias": -1}, variable="head")
            rec.tag("extra")
    found = json.loads(python(READ_ALL, project, rec.sim_id))
    assert found["parameters"] == {
        "x1": 320.5,
        "variant": "α",
        "warm": True,
        "missing": None,
        "n": 2**60 + 1,
        "k::north": 0.1,
    }
    assert str(found["metrics"]) == str({"bias": -1.0, "kge": 1.0, "nse": 0.5, "rmse@q1": float("nan")})
    assert found["tags"] == ["extra", "paper", "été"]
    assert found["manifest"]["config"] == {"a": [1, {"b": "γ"}]}
    assert found["notice"] == "complete"
    expected = {
        "sim_id": rec.sim_id,
        "name": "base",
        "solver": "gr4j",
        "status": "completed",
        "seed": 7,
        "parent_sim_id": parent.sim_id,
        "study_area_name": "Aare",
        "period_start": "2001-01-01 00:00:00",
        "period_end": "2002-01-01 00:00:00",
        "bbox_xmax": 2.0,
        "project": "aare",
        "error": None,
    } | {key: about[key] for key in ("description", "scientific_objective", "contact_email", "flow_regime")}
    assert {key: found[key] for key in expected} == expected


def test_a_run_is_found_by_id_prefix_and_name(cat):
    with cat.record("gr4j", name="base") as rec:
        pass
    assert cat[rec.sim_id] == cat[rec.sim_id[:8]] == cat["base"] == cat["@latest"]


def test_two_runs_may_have_the_same_name(cat):
    made = []
    for _ in range(2):
        with cat.record("gr4j", name="base") as rec:
            made.append(rec.sim_id)
    assert cat["base"].sim_id == made[1]
    assert cat.find(name="base").sim_ids == made[::-1]
    assert len({run.folder for run in cat}) == 2


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a/b",
        ".",
        "x" * 255,
        "夏の洪水",
        "ligne\nnouvelle",
        "'; DROP TABLE simulations",
        "%_*",
        " base ",
    ],
)
def test_any_name_is_a_name(common, name):
    with common.record("gr4j", name=name):
        pass
    with common.reading():
        run = common[name]
        assert run.name == name
        assert run.folder.parent == common.path / "simulations"
        assert len(run.folder.name) < 64
        assert common.find(name=name).sim_ids == [run.sim_id]


def test_a_run_that_is_open_is_there_and_running(cat):
    with cat.record("gr4j", name="base", tags=["a"]) as rec:
        assert cat["base"].status == "running"
        assert cat["@running"].sim_id == rec.sim_id
        with pytest.raises(NotFound):
            cat.latest()
        with pytest.raises(PathNotFound, match="running"):
            _ = cat["base"].manifest
    assert cat["base"].status == "completed"


def test_the_last_word_before_sealing_counts(cat):
    with cat.record("gr4j", name="base", parameters={"x1": 1}) as rec:
        rec.parameter("x1", 2)
        rec.metric("nse", 0.1)
        rec.metric("nse", 0.2)
        rec.tag("a", "a")
    run = cat["base"]
    assert (run.parameters, run.metrics, run.tags) == ({"x1": 2.0}, {"nse": 0.2}, ["a"])


def test_the_duration_is_that_of_the_run(cat):
    with cat.record("gr4j") as rec:
        pass
    facts = cat[rec.sim_id].facts
    assert facts["duration_s"] == pytest.approx((facts["ended_at"] - facts["started_at"]).total_seconds(), abs=0.05)


def test_a_run_of_many_threads_says_what_all_of_them_said(cat):
    with cat.record("gr4j", name="base") as rec:
        threads = [threading.Thread(target=rec.metric, args=(f"m{n}", n)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(cat["base"].metrics) == 20


# ── how a run can end ────────────────────────────────────────────────────────────────────────────────


def test_an_exception_seals_it_as_failed_and_goes_on(cat):
    with pytest.raises(ZeroDivisionError), cat.record("gr4j", name="base") as rec:  # noqa: PT012
        rec.metric("nse", 0.1)
        _ = 1 / 0
    run = cat["base"]
    assert (run.status, run.facts["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert "_ = 1 / 0" in run.manifest["run"]["traceback"]
    assert run.metrics == {"nse": 0.1}


def test_an_interrupt_from_the_keyboard_seals_it_as_aborted(project):
    sim, code = interrupted(
        project, "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT)"
    )
    assert code == -signal.SIGINT
    with hmp_catalog.open(project) as cat:
        assert (cat[sim].status, cat[sim].facts["error"]) == ("aborted", "KeyboardInterrupt")


def test_leaving_the_process_seals_it_as_aborted(project):
    sim, code = interrupted(project, "sys.exit(3)")
    assert code == 3
    with hmp_catalog.open(project) as cat:
        assert cat[sim].status == "aborted"


def test_a_killed_run_shows_as_interrupted(project, hmp):
    sim, code = interrupted(project, "os.kill(os.getpid(), signal.SIGKILL)")
    assert code == -signal.SIGKILL
    with hmp_catalog.open(project) as cat:
        assert cat["base"].status == "interrupted"
        assert cat.find(status="interrupted").sim_ids == [sim]
        assert len(cat.find(status="running")) == len(cat.find(status="completed")) == 0
        assert cat.find(status_ne="interrupted").sim_ids == []
        assert cat.table.column("status").to_pylist() == ["interrupted"]
        with pytest.raises(PathNotFound, match="interrupted"):
            _ = cat["base"].config
        with pytest.raises(NotFound):
            _ = cat["@running"]
    assert "interrupted" in hmp("catalog", "show", sim, "-p", project).stdout
    assert "interrupted" in hmp("catalog", "find", "status=interrupted", "-p", project).stdout


def test_a_child_that_leaves_the_block_does_not_end_the_run(project, python):
    code = """
    import os, sys, hmp_catalog
    cat = hmp_catalog.open(sys.argv[1])
    with cat.record("gr4j", name="base") as rec:
        child = os.fork()
        if not child:
            try:
                rec.seal("failed")
            except ValueError as error:
                print(type(error).__name__, flush=True)
        else:
            os.waitpid(child, 0)
            rec.metric("nse", 0.8)
    if not child:
        print("left", flush=True)
        os._exit(0)
    print(cat["base"].status, cat["base"].metrics)
    """
    assert python(code, project).splitlines() == ["InvalidInput", "left", "completed {'nse': 0.8}"]


def test_an_error_that_cannot_be_kept_as_it_is_is_kept_readable(cat, workspace):
    with pytest.raises(RuntimeError), cat.record("gr4j", name="base"):  # noqa: PT012
        message = f"half \ud800 a pair, nul \0, {workspace}/data/q.csv"
        raise RuntimeError(message)
    assert cat["base"].facts["error"] == r"RuntimeError: half \ud800 a pair, nul \x00, <workspace>/data/q.csv"


@pytest.mark.parametrize("status", ["completed", "partial", "failed", "aborted"])
def test_a_run_is_sealed_as_it_ended(common, status):
    rec = common.record("gr4j")
    rec.seal(status)
    assert common[rec.sim_id].status == status


@pytest.mark.parametrize("status", ["bananas", "running", "interrupted", "", None, 5])
def test_no_run_ends_otherwise(common, status):
    rec = common.record("gr4j")
    with pytest.raises(InvalidInput, match="completed, partial, failed, aborted"):
        rec.seal(status)
    rec.seal()
    assert common[rec.sim_id].status == "completed"


def test_what_went_wrong_first_is_what_is_seen(cat, monkeypatch):
    def full(*_):
        message = "no space left"
        raise StorageError(message)

    with pytest.raises(KeyError) as caught, cat.record("gr4j"):  # noqa: PT012
        monkeypatch.setattr("hmp_catalog.manifest.write_atomic", full)
        raise KeyError("mine")
    assert any("could not be sealed" in note for note in caught.value.__notes__)


def test_a_seal_that_the_disk_refused_can_be_tried_again(project, python):
    code = """
    import resource, signal, sys, hmp_catalog
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    cat = hmp_catalog.open(sys.argv[1])
    rec = cat.record("gr4j", name="base")
    rec.table("budget", {"component": ["wells"], "volume": [1.0]})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))  # the manifest is larger
    try:
        rec.seal()
    except OSError as error:
        print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(cat["base"].status, [file.name for file in rec.folder.iterdir()])
    try:
        rec.table("budget", {"component": ["drains"], "volume": [2.0]})
    except ValueError as error:
        print(type(error).__name__)
    rec.seal()
    print(cat["base"].status, [file["kind"] for file in cat["base"].files()])
    """
    assert python(code, project).splitlines() == [
        "StorageError",
        "running ['tables']",
        "SealedRunError",
        "completed ['budget']",
    ]


def test_a_seal_that_the_log_refused_is_the_same_when_tried_again(cat, monkeypatch):
    def full(*_):
        message = "no space left"
        raise StorageError(message)

    rec = cat.record("gr4j", name="base")
    with monkeypatch.context() as patch:
        patch.setattr("hmp_core.events.segment.Segment.append", full)
        with pytest.raises(StorageError):
            rec.seal()
    before = (rec.folder / "run.json").read_bytes()
    rec.seal()
    assert (rec.folder / "run.json").read_bytes() == before
    assert cat["base"].status == "completed"
    assert not cat.notice


@pytest.fixture(scope="module")
def sealed(common):
    """Return the recorder of a sealed run, and a file of its workspace."""
    file = common.workspace / "data" / "q.csv"
    file.write_text("x")
    with common.record("gr4j") as rec:
        pass
    return rec, file


# ── what is sealed ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "write",
    [
        lambda rec, file: rec.parameter("x1", 1),
        lambda rec, file: rec.metric("nse", 1),
        lambda rec, file: rec.metrics({"nse": 1}),
        lambda rec, file: rec.input(file),
        lambda rec, file: rec.tag("a"),
        lambda rec, file: rec.timeseries("q", {"2001-01-01": 1.0}),
        lambda rec, file: rec.table("budget", {"a": [1]}),
        lambda rec, file: rec.field("head", np.zeros(2), dims=("x",)),
        lambda rec, file: rec.artifact(file),
        lambda rec, file: rec.seal(),
    ],
    ids=["parameter", "metric", "metrics", "input", "tag", "timeseries", "table", "field", "artifact", "seal"],
)
def test_a_sealed_run_refuses(sealed, write):
    rec, file = sealed
    before = sorted((path, path.stat().st_mtime_ns) for path in rec.folder.rglob("*"))
    with pytest.raises(SealedRunError, match="sealed"):
        write(rec, file)
    assert sorted((path, path.stat().st_mtime_ns) for path in rec.folder.rglob("*")) == before


# ── what cannot be kept ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "about",
    [
        {"solver": ""},
        {"name": "@best"},
        {"parameters": {"x": object()}},
        {"parameters": {None: 1}},
        {"parameters": {"x": 10**400}},
        {"parameters": [1]},
        {"config": {"f": print}},
        {"inputs": ["nowhere.csv"]},
        {"inputs": 5},
        {"tags": [None]},
        {"seed": 1.5},
        {"bbox": (1, 2)},
        {"period": ("b", "a")},
        {"sim_id": "not an id"},
        {"parent": "nobody"},
        {"if_exists": "overwrite"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_on_record(common, about):
    def on_record():
        trail = common.sql("SELECT count(*) FROM audit_log").to_pylist()
        return len(common), trail, sorted((common.path / "simulations").iterdir())

    before = on_record()
    with pytest.raises((InvalidInput, NotFound, PathNotFound)):
        common.record(**({"solver": "gr4j"} | about))
    assert on_record() == before


def test_an_unknown_keyword_lists_the_known(cat):
    with pytest.raises(InvalidInput, match=r"colour.*bbox.*seed"):
        cat.record("gr4j", colour="red")


def test_a_refused_value_leaves_the_run_as_it_was(cat):
    with cat.record("gr4j", name="base", parameters={"x1": 1}) as rec:
        for refused in (
            lambda: rec.parameter("x1", object()),
            lambda: rec.parameter("", 5),
            lambda: rec.metric("nse", "0.9"),
            lambda: rec.metric("nse", 0.9, station=None),
            lambda: rec.tag("a", None),
            lambda: rec.tag("-a"),
            lambda: rec.input("nowhere.csv"),
        ):
            with pytest.raises((InvalidInput, PathNotFound)):
                refused()
        rec.metric("nse", 0.1)
    run = cat["base"]
    assert (run.parameters, run.metrics, run.tags) == ({"x1": 1.0}, {"nse": 0.1}, [])
    assert run.provenance.num_rows == 0


def test_an_id_is_given_once(cat):
    with cat.record("gr4j", sim_id="6f2f1b0e-5f0a-4c39-9d5e-6a7d3c1e8b42") as rec:
        pass
    with pytest.raises(DuplicateSimulationName, match=rec.sim_id):
        cat.record("gr4j", sim_id=rec.sim_id)
    assert len(cat) == 1


def test_a_folder_that_is_taken_is_not_shared(project, cat):
    sim = "6f2f1b0e-5f0a-4c39-9d5e-6a7d3c1e8b42"
    (project / "simulations" / "gr4j__6f2f1b0e").mkdir()
    with pytest.raises(InvalidInput, match="exists already"):
        cat.record("gr4j", sim_id=sim)
    assert len(cat) == 0


def test_a_project_that_was_removed_is_not_made_again(project, cat):
    project.rename(project.with_name("elsewhere"))
    with pytest.raises(PathNotFound):
        cat.record("gr4j")
    assert not project.exists()


def test_a_parent_may_be_a_run_or_any_reference(cat, record):
    first = record(cat, "first")
    for parent in (first, "first", first.sim_id[:8], "@latest"):
        rec = cat.record("gr4j", parent=parent)
        rec.seal("failed")
        assert cat[rec.sim_id].facts["parent_sim_id"] == first.sim_id


# ── what a run leaves behind ─────────────────────────────────────────────────────────────────────────


def test_tables_series_and_fields_come_back(cat):
    days = pd.date_range("2001-01-01", periods=3, name="time")
    head = np.arange(12.0).reshape(3, 2, 2)
    with cat.record("modflow6", name="base") as rec:
        rec.timeseries("discharge", pd.Series([1.0, 2.0, 3.0], index=days), unit="m3 s-1")
        rec.table("budget", pd.DataFrame({"component": ["wells", "drains"], "volume": [1.5, -1.5]}))
        rec.table("budget", {"component": ["river"], "volume": [0.0]})
        rec.field("head", head, dims=("time", "y", "x"), time=days)
    run = cat["base"]
    series = run.timeseries("discharge", station="outlet")
    assert (series.tolist(), series.attrs["units"]) == ([1.0, 2.0, 3.0], "m3 s-1")
    assert run.table("budget").column("component").to_pylist() == ["wells", "drains", "river"]
    np.testing.assert_array_equal(run.dataset()["head"].values, head)
    kinds = {file["kind"] for file in run.files()}
    assert {"timeseries", "budget"} <= kinds
    assert all((run.folder / file["path"]).stat().st_size == file["size"] for file in run.files())
    views = cat.sql("SELECT view_name, n_rows FROM parquet_files ORDER BY view_name").to_pylist()
    assert views == [{"view_name": "budget", "n_rows": 3}, {"view_name": "timeseries", "n_rows": 3}]


def test_a_failed_run_keeps_what_it_had(cat):
    with pytest.raises(RuntimeError), cat.record("gr4j", name="base") as rec:  # noqa: PT012
        rec.timeseries("discharge", {"2001-01-01": 1.0})
        raise RuntimeError
    assert cat["base"].timeseries("discharge").tolist() == [1.0]


def test_what_a_run_does_not_have_is_said(cat, record):
    run = record(cat, "base")
    for ask in (lambda: run.timeseries("discharge"), lambda: run.table("budget"), run.dataset):
        with pytest.raises(PathNotFound, match="no files"):
            ask()


def test_an_artifact_is_a_copy(cat, machine):
    source = machine / "model.nam"
    source.write_text("LIST 2 model.lst")
    with cat.record("modflow6", name="base") as rec:
        rec.artifact(source)
        rec.artifact(source, name="again.nam")
        source.write_text("changed")
    run = cat["base"]
    assert [(file["path"], file["size"], file["kind"]) for file in run.files()] == [
        ("artifacts/model.nam", 16, "artifact"),
        ("artifacts/again.nam", 16, "artifact"),
    ]
    assert (run.folder / "artifacts" / "model.nam").read_text() == "LIST 2 model.lst"


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "taken.txt", "", "a\0b", 5])
def test_an_artifact_has_a_plain_new_name(common, machine, name):
    (machine / "file.txt").write_text("x")
    with common.record("gr4j") as rec:
        rec.artifact(machine / "file.txt", name="taken.txt")
        with pytest.raises(InvalidInput):
            rec.artifact(machine / "file.txt", name=name)
    assert [file["path"] for file in common[rec.sim_id].files()] == ["artifacts/taken.txt"]


def test_an_artifact_is_a_file_that_is_there_and_no_database(project, cat, machine):
    with cat.record("gr4j", name="base") as rec:
        for missing in (machine / "nowhere", machine):
            with pytest.raises(PathNotFound):
                rec.artifact(missing)
        with pytest.raises(InvalidInput, match="database"):
            rec.artifact(project / "catalog.duckdb")
    assert cat["base"].files() == []


def test_times_of_a_run_are_utc(cat):
    before = datetime.now(UTC).replace(tzinfo=None)
    with cat.record("gr4j") as rec:
        pass
    facts = cat[rec.sim_id].facts
    assert before <= facts["created_at"] <= facts["ended_at"] <= datetime.now(UTC).replace(tzinfo=None)


def test_the_user_is_who_hmp_is_told(cat, monkeypatch):
    monkeypatch.setenv("HMP_USER", "rösti")
    with cat.record("gr4j") as rec:
        pass
    assert cat[rec.sim_id].facts["principal_id"] == "rösti"
    assert os.environ["HMP_USER"] == "rösti"
