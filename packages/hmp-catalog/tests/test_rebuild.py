"""The database made anew: from log and manifests, from manifests alone, and what it says of those it cannot take."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest

import hmp_catalog
from hmp_catalog.fold import FOLD
from hmp_core.backups import take_backup
from hmp_core.events.rebuild import rebuild
from hmp_core.events.store import components
from hmp_core.layout import catalog_path
from hmp_core.upkeep import restore, vacuum

#: What the manifests alone give back, whatever was said later.
OF_MANIFESTS = {
    "parameters",
    "provenance",
    "tracked_files",
    "runs_environment",
    "parquet_files",
    "solvers",
    "dim_study_areas",
    "observation_points",
    "geographic_features",
    "geographic_metadata",
}

#: Records something of everything, and leaves nobody behind who could go on with it.
FILL = """
import os, signal, sys
from pathlib import Path
import hmp_catalog
from hmp_core.layout import workspace_root

project = Path(sys.argv[1])
file = workspace_root(project) / "data" / "q.csv"
file.write_text("time,q\\n2001-01-01,4.2\\n")
cat = hmp_catalog.open(project)
with cat.record(
    "gr4j",
    name="base",
    parameters={"x1": 320.0, "kind": "dry", "gap": float("nan"), "n": 2**60 + 1},
    config={"warmup": 365, "of": [float("inf")]},
    inputs=[file],
    tags=["draft", "gr4j"],
    seed=7,
    study_area="Aare",
    bbox=(0, 0, 1, 1),
    period=("2001-01-01", "2002-01-01"),
    outlet=(1, 2),
    crs="EPSG:2056",
) as rec:
    rec.metric("nse", 0.8, station="outlet", variable="discharge", n_samples=365)
    rec.metric("rmse", float("nan"))
    rec.table("budget", {"component": ["wells"], "volume": [1.0]})
    rec.field("head", [[[1.0, 2.0]]], dims=("time", "y", "x"), time=["2001-01-01"])
    rec.observation_point("H1", 0.5, 0.5, cell=3, layer=1)
    rec.geographic_metadata("area", 2945.0, "km2")
    rec.geographic_feature("outlet", {"type": "Point", "coordinates": [1.0, 2.0]})
cat.stations.add("H1", "discharge", name="Aare at Bern", latitude=46.9, metadata={"since": 1918})
cat.observations.add("H1", "discharge", {"2001-01-01": 4.0, "2001-01-02": float("nan")}, unit="m3 s-1", input=file)
cat.observations.withdraw(cat.observations.add("H2", "discharge", {"2001-01-01": 400.0}))
for _ in range(2):
    with cat.workflow("model", config={"n": 1}) as wf:
        wf.step("mesh", lambda: {"mesh": file, "cells": 3}, inputs=[file])
cat.workflow("open")
with cat.record("mymodel", name="base", parent=rec.sim_id, inputs=[file.parent], study_area="東京"):
    pass
failed = cat.record("gr4j", name="failed")
failed.seal("failed", error="it did not converge")
with cat.calibration("sce-ua", objective="1 - kge", config={"n": 3}, seed=1) as session:
    session.trials([({"x1": n}, n / 3, {"kge": 1 - n / 3}) for n in range(3)])
    session.trial({"x1": 9}, float("nan"), status="crashed")
cat.calibration("open", objective="o").trial({"x1": 1}, 0.5, flush=True)
cat[rec.sim_id].tag("paper", "-draft").rename("reference").note("checked").metric("kge", 0.7).metric("nse", 0.81)
cat.record("gr4j", name="gone").seal()
cat.purge("gone", reason="asked for")
cat.restore(cat.delete("reference").sim_id)
with cat.record("gr4j", name="killed"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory, empty_project):
    """Return a project with something of everything; tests get copies of it."""
    workspace = tmp_path_factory.mktemp("filled") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    project = workspace / "projects" / empty_project.name
    done = subprocess.run([sys.executable, "-c", FILL, str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with hmp_catalog.open(project) as cat:
        assert (len(cat), str(cat.notice)) == (4, "complete")
    return project


@pytest.fixture
def project(tmp_path, filled):
    workspace = tmp_path / "workspace"
    shutil.copytree(filled.parents[1], workspace)
    return workspace / "projects" / filled.name


def made_anew(project):
    catalog_path(project).unlink(missing_ok=True)
    return rebuild(catalog_path(project), FOLD)


# ── equal row for row ────────────────────────────────────────────────────────────────────────────────


def test_there_is_something_of_everything(project, contents):
    """Else the comparisons below would compare nothing."""
    found = contents(project)
    folded = {table.name for table in FOLD.tables}
    assert {name for name in folded if not found[name]} == set()


def test_a_lost_database_comes_back_row_for_row(project, contents):
    before = contents(project)
    assert not made_anew(project)
    assert contents(project) == before


def test_a_database_is_rebuilt_while_it_is_there(project, contents):
    before = contents(project)
    with hmp_catalog.open(project) as cat:
        assert not cat.rebuild()
        assert not cat.notice
        assert len(cat) == 4
    assert contents(project) == before
    assert list((project / ".hmp" / "catalog" / "replaced").glob("*.duckdb"))


def test_a_backup_comes_back_with_what_was_recorded_since(project, contents):
    take_backup(catalog_path(project))
    with hmp_catalog.open(project) as cat:
        with cat.record("gr4j", name="since", parameters={"x1": 1.0}, tags=["new"]) as rec:
            rec.metric("nse", 0.9)
        cat["reference"].tag("later").note("said since")
    before = contents(project)
    catalog_path(project).unlink()
    assert not restore(catalog_path(project), components(FOLD), fold=FOLD).notice
    assert contents(project) == before


def test_a_backup_knows_what_the_log_has_lost(project, contents):
    before = contents(project)
    take_backup(catalog_path(project))
    shutil.rmtree(project / "events")
    shutil.rmtree(project / ".hmp" / "catalog" / "pending")
    notice = restore(catalog_path(project), components(FOLD), fold=FOLD).notice
    assert notice.lost > 0
    assert "in this database alone" in notice.reason
    assert contents(project) == before


def test_a_vacuum_changes_no_row(project, contents):
    before = contents(project)
    vacuum(catalog_path(project), components(FOLD))
    assert contents(project) == before


def test_two_rebuilds_give_the_same(project, contents):
    made_anew(project)
    first = contents(project)
    made_anew(project)
    assert contents(project) == first


def test_folding_in_pieces_gives_the_same_as_at_once(tmp_path, empty_project, contents):
    """A database that was folded after every step equals the one rebuilt at the end."""
    project = tmp_path / "workspace" / "projects" / empty_project.name
    shutil.copytree(empty_project.parents[1], tmp_path / "workspace")
    with hmp_catalog.open(project) as cat:
        rec = cat.record("gr4j", name="base", tags=["a"])
        assert len(cat) == 1
        rec.metric("nse", 0.5)
        run = cat["base"].tag("-a", "b").metric("nse", 0.6).rename("other")
        assert run.tags == ["b"]
        rec.seal()
        assert run.metrics == {"nse": 0.6}
        run.tag("a").rename("third")
        assert (run.name, run.tags) == ("third", ["a", "b"])
    before = contents(project)
    assert not made_anew(project)
    assert contents(project) == before


# ── from less than everything ────────────────────────────────────────────────────────────────────────


def without_log(project):
    for folder in (project / "events", project / ".hmp"):
        shutil.rmtree(folder)


def test_manifests_alone_give_back_what_was_recorded(project, contents):
    before = contents(project)
    without_log(project)
    assert not made_anew(project)
    after = contents(project)
    for table in OF_MANIFESTS:
        assert after[table] == before[table], table
    with hmp_catalog.open(project) as cat:
        assert sorted((run.name, run.status) for run in cat) == [
            ("base", "completed"),
            ("base", "completed"),
            ("failed", "failed"),
        ]
        first = cat.find(seed=7)[0]
        assert (first.tags, first.metrics["nse"], first.facts["notes"]) == (["draft", "gr4j"], 0.8, None)
        assert cat.calibrations() == []
        assert {row["event_type"] for row in cat.sql("SELECT event_type FROM audit_log").to_pylist()} == {
            "sim.finalize"
        }


def test_a_simulation_without_later_words_is_the_same_row(project, contents):
    """Of log and manifest, or of the manifest alone."""

    rows = contents(project)["simulations"]
    before = [row for row in rows if row["status"] != "running" and row["notes"] == "None"]
    assert len(before) == 2
    without_log(project)
    made_anew(project)
    after = contents(project)["simulations"]
    assert [row for row in after if row in before] == before


def test_the_log_alone_says_what_is_missing(project):
    shutil.rmtree(project / "simulations")
    outcome = made_anew(project)
    # three seals; what was said later of a run that was opened stands
    assert outcome.waiting == 3
    with hmp_catalog.open(project) as cat:
        assert {run.status for run in cat} == {"interrupted"}
        assert cat["reference"].tags == ["paper"]
        assert cat.calibrations()[1]["n_iterations"] == 4


# ── what it does not take ────────────────────────────────────────────────────────────────────────────


def folder_of(project, name):
    return next((project / "simulations").glob(f"{name}__*"))


def edit(folder, old, new):
    file = folder / "run.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_an_edited_manifest_waits_and_is_counted(project, hmp, contents):
    before = contents(project)
    edit(folder_of(project, "failed"), "it did not converge", "it was fine")
    done = hmp("catalog", "rebuild", "-p", project)
    assert done.returncode == 1
    assert "waiting" in done.stdout
    assert "changed after it was sealed" in done.stderr
    with hmp_catalog.open(project) as cat:
        assert cat.notice.waiting
        assert cat["failed"].facts["error"] is None
        assert cat["failed"].status == "interrupted"
        # nothing that happens later takes it in
        for _ in range(2):
            cat["reference"].note("again")
            assert cat["failed"].facts["error"] is None
    edit(folder_of(project, "failed"), "it was fine", "it did not converge")
    assert hmp("catalog", "rebuild", "-p", project).returncode == 0
    after = contents(project)
    assert {name for name in after if after[name] != before[name]} == {"simulations", "audit_log"}  # the notes


def test_a_manifest_that_was_edited_with_care_is_not_taken_either(project):
    """Its own checksum fits; the log knows better."""
    from hmp_catalog import manifest

    folder = folder_of(project, "failed")
    content, _ = manifest.read(folder)
    content["run"]["error"] = "it was fine"
    manifest.write(folder, content)
    assert made_anew(project).waiting == 1
    with hmp_catalog.open(project) as cat:
        for n in range(2):
            cat["reference"].note(f"again {n}")
            assert (cat["failed"].facts["error"], cat.notice.waiting) == (None, 1)


def test_an_edited_manifest_without_a_log_is_not_taken_either(project, hmp):
    edit(folder_of(project, "failed"), "it did not converge", "it was fine")
    without_log(project)
    done = hmp("catalog", "rebuild", "-p", project)
    assert (done.returncode, "1 waiting" in done.stdout) == (1, True)
    with hmp_catalog.open(project) as cat:
        assert sorted(run.name for run in cat) == ["base", "base"]


def test_a_mended_manifest_is_taken_at_the_next_fold(project):
    edit(folder_of(project, "failed"), "it did not converge", "it was fine")
    without_log(project)
    assert made_anew(project).waiting == 1
    edit(folder_of(project, "failed"), "it was fine", "it did not converge")
    with hmp_catalog.open(project) as cat:
        cat.find(name="base")[0].note("something happens")
        assert cat["failed"].facts["error"] == "it did not converge"
        assert not cat.notice


def test_a_missing_run_folder_waits_until_it_is_back(project, tmp_path):
    folder = folder_of(project, "failed")
    shutil.move(folder, tmp_path / "backup")
    assert made_anew(project).waiting == 1
    with hmp_catalog.open(project) as cat:
        assert cat.notice.waiting == 1
        assert cat["failed"].status == "interrupted"
        assert len(cat.find(name="base")) == 1
        assert "missing" in cat.sql("SELECT reason FROM _hmp_waiting").to_pylist()[0]["reason"]
    shutil.move(tmp_path / "backup", folder)
    with hmp_catalog.open(project) as cat:
        cat["reference"].note("something happens")
        assert (cat["failed"].status, bool(cat.notice)) == ("failed", False)


DAMAGES = {
    "empty": lambda file: file.write_text(""),
    "torn": lambda file: file.write_text("{"),
    "noise": lambda file: file.write_bytes(b"\xff" * 100),
    "hollow": lambda file: file.write_text(json.dumps({"format": "hmp-run", "version": 1})),
    "newer": lambda file: file.write_text(file.read_text().replace('"version": 1', '"version": 9')),
    "folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize(("damage", "log"), [*((name, False) for name in DAMAGES), ("torn", True)], ids=str)
def test_an_unreadable_manifest_is_reported_and_stops_nothing(project, damage, log):
    DAMAGES[damage](folder_of(project, "failed") / "run.json")
    if not log:
        without_log(project)
    outcome = made_anew(project)
    assert outcome.waiting >= 1
    with hmp_catalog.open(project) as cat:
        assert cat.notice.waiting == outcome.waiting
        assert len(cat.find(status="completed")) == 2
        assert any("run.json" in row["reason"] for row in cat.sql("SELECT reason FROM _hmp_waiting").to_pylist())


def test_facts_of_another_kind_stop_nothing(project):
    """A manifest whose checksum fits may still say what nobody expects."""
    from hmp_catalog import manifest

    without_log(project)
    folder = folder_of(project, "failed")
    whole, _ = manifest.read(folder)
    number = {"name": "x", "zone": "z", "type": "number", "value": 10**400, "unit": None}
    for change in ({"parameters": [number]}, {"metrics": [{}]}, {"files": None}, {"tags": [None]}, {"opened": {}}):
        manifest.write(folder, whole | change)
        assert made_anew(project).waiting == 1
        with hmp_catalog.open(project) as cat:
            assert len(cat.find(status="completed")) == 2


def test_a_folder_that_was_copied_does_not_count_twice(project, contents):
    before = contents(project)
    folder = folder_of(project, "failed")
    shutil.copytree(folder, folder.with_name("copy of it"))
    assert not made_anew(project)
    assert contents(project) == before


# ── on the command line ──────────────────────────────────────────────────────────────────────────────


def test_rebuild_says_what_it_made(project, hmp):
    catalog_path(project).unlink()
    done = hmp("catalog", "rebuild", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"simulations  4", "outcome      complete"} <= set(done.stdout.splitlines())


def test_rebuild_elsewhere_is_refused(tmp_path, hmp):
    done = hmp("catalog", "rebuild", "-p", tmp_path / "nowhere")
    assert done.returncode == 10
    assert not (tmp_path / "nowhere").exists()


def test_a_killed_run_is_the_same_after_a_rebuild(project):
    made_anew(project)
    with hmp_catalog.open(project) as cat:
        assert cat["killed"].status == "interrupted"
