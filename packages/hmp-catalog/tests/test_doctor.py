"""What `hmp doctor` and `hmp db verify` find in a project: folders, manifests and rows that do not tell the same."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_catalog import checks, doing, manifest, readings
from hmp_catalog.checks import CHECKS
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.doctor import Case, Finding, codes, examine
from hmp_core.doctor.findings import worst
from hmp_core.doctor.verify import verify
from hmp_core.events.pending import LogFiles
from hmp_core.layout import catalog_path
from hmp_core.testing.traces import differences, trace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_project: Path) -> Path:
    """A project with runs, tags, a calibration: all that the catalog can be told today, folded."""
    workspace = tmp_path_factory.mktemp("told") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    project = workspace / "projects" / empty_project.name
    with hmp_catalog.open(project) as cat:
        for number, name in enumerate(("base", "wet")):
            with cat.record("gr4j", name=name, parameters={"x1": 320.0 + number}, tags=["a"], study_area="aare") as rec:
                rec.metric("nse", 0.8)
                rec.timeseries("discharge", (["2001-01-01", "2001-01-02"], [1.0, 2.0]), unit="m3 s-1")
        cat["base"].tag("paper")
        cat["base"].tag("-a")
        cat["wet"].note("a wet year")
        with pytest.raises(ZeroDivisionError), cat.record("gr4j", name="spoilt", parent=cat["base"].sim_id):
            raise ZeroDivisionError
        with cat.calibration(method="lhs", objective="nse") as session:
            session.trial({"x1": 1.0}, 0.5, sim_id=cat["wet"].sim_id)
        cat.observations.add("H1", "discharge", {"2001-01-01": 1.5})
        cat.observations.withdraw(cat.observations.add("H2", "discharge", {"2001-01-01": 2.5}))
        with cat.workflow("model") as wf:
            wf.step("mesh", lambda: 3)
    _settle(project)
    return project


@pytest.fixture
def told(made: Path, tmp_path: Path) -> Path:
    """A copy of that project, to spoil."""
    return shutil.copytree(made.parents[1], tmp_path / "workspace") / "projects" / made.name


def _settle(project: Path) -> None:
    with hmp_catalog.open(project) as cat:
        cat.find()


def _found(project: Path) -> list[Finding]:
    (looked,) = (each for each in examine(project).databases if each.database.component == "catalog")
    return list(looked.findings)


def _one(project: Path, code: Any) -> Finding:
    (finding,) = (finding for finding in _found(project) if finding.code == code.name)
    return finding


def _worse(findings: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.severity != "info"]


def _run(project: Path, name: str = "base") -> Path:
    (folder,) = (project / "simulations").glob(f"{name}__*")
    return folder


def _case(project: Path) -> Case:
    return Case(Database("catalog", catalog_path(project)), project)


def test_of_what_is_well_nothing_above_info_is_said(told: Path) -> None:
    before = trace(told.parents[1])
    assert worst(_found(told)) == "info"
    assert _worse(verify(_case(told), deep=True).findings) == []
    assert differences(before, trace(told.parents[1])) == []


def test_a_run_that_is_under_way_is_no_trouble(told: Path) -> None:
    with hmp_catalog.open(told) as cat, cat.record("gr4j", name="now") as rec:
        cat.find()
        rec.metric("nse", 0.1)
        assert worst(_found(told)) == "info"
        assert checks.INTERRUPTED.name not in {finding.code for finding in _found(told)}


def test_a_run_that_was_sealed_and_not_folded_is_no_orphan(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with hmp_catalog.open(told) as cat, cat.record("gr4j", name="late"):
        pass
    assert worst(_found(told)) == "info"


def test_a_folder_that_nobody_knows_is_told(told: Path) -> None:
    folder = told / "simulations" / "mystery__0badcafe"
    folder.mkdir()
    assert _one(told, checks.ORPHAN).where == folder
    assert "never sealed" in _one(told, checks.ORPHAN).what


def test_a_finished_run_without_its_folder_is_told(told: Path) -> None:
    shutil.rmtree(_run(told))
    assert "(base, completed) has no folder" in _one(told, checks.GONE).what


def test_a_finished_run_without_its_manifest_is_told(told: Path) -> None:
    (_run(told) / "run.json").unlink()
    assert _one(told, checks.NO_MANIFEST).where == _run(told)


@pytest.mark.parametrize("spoil", ["cut", "edit", "garbage"])
def test_a_manifest_that_is_not_as_it_was_sealed_is_told(told: Path, spoil: str) -> None:
    file = _run(told) / "run.json"
    data = file.read_bytes()
    spoilt = {"cut": data[: len(data) // 2], "edit": data.replace(b"0.8", b"0.9"), "garbage": b"\0" * 10}[spoil]
    file.write_bytes(spoilt)
    assert _one(told, checks.BAD_MANIFEST).where == file


def test_a_newer_manifest_is_told(told: Path) -> None:
    file = _run(told) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 99}))
    assert "upgrade" in _one(told, checks.NEWER_MANIFEST).remedy


def test_a_good_manifest_that_is_another_is_told(told: Path) -> None:
    content, _ = manifest.read(_run(told))
    content["metrics"][0]["value"] = 0.99
    manifest.write(_run(told), content)
    assert "was folded from" in _one(told, checks.DISAGREES).what


def test_a_row_that_says_otherwise_than_its_manifest_is_told(told: Path) -> None:
    DuckDBBackend(catalog_path(told)).execute("UPDATE simulations SET status = 'partial' WHERE name = 'base'")
    assert "status is partial in the row and completed in the file" in _one(told, checks.DISAGREES).what


def test_files_of_a_run_are_missed_or_found_changed(told: Path) -> None:
    file = _run(told) / "tables" / "timeseries.parquet"
    data = file.read_bytes()
    file.write_bytes(data + b"x")
    assert "tables/timeseries.parquet" in _one(told, checks.FILE_CHANGED).what
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    file.write_bytes(flipped)
    assert _worse(_found(told)) == [], "a look is by size alone"
    assert _worse(verify(_case(told), deep=True).findings) == [checks.FILE_CHANGED.name]
    file.unlink()
    assert "tables/timeseries.parquet" in _one(told, checks.FILE_GONE).what


def test_an_interrupted_run_is_told_and_is_no_trouble(told: Path, python: Any) -> None:
    code = """
        import os, sys
        import hmp_catalog
        rec = hmp_catalog.open(sys.argv[1]).record("gr4j", name="killed").__enter__()
        os._exit(0)
    """
    python(code, told)
    _settle(told)
    assert "(killed, running)" in _one(told, checks.INTERRUPTED).what
    assert worst(_found(told)) == "info"


def test_a_sealed_run_whose_manifest_was_spoilt_is_not_called_interrupted(told: Path, python: Any) -> None:
    code = """
        import sys
        import hmp_catalog
        with hmp_catalog.open(sys.argv[1]) as cat, cat.record("gr4j", name="sealed") as rec:
            rec.metric("nse", 0.8)
    """
    python(code, told)
    _settle(told)
    file = _run(told, "sealed") / "run.json"
    file.write_bytes(file.read_bytes()[:-40])
    with hmp_catalog.open(told) as cat:
        cat.rebuild()
    found = {finding.code for finding in _found(told)}
    assert checks.BAD_MANIFEST.name in found
    assert checks.INTERRUPTED.name not in found


def test_files_of_observations_are_missed_or_found_changed(told: Path) -> None:
    (file,) = (told / "observations").rglob("h1__*.parquet")
    (withdrawn,) = (told / "observations").rglob("h2__*.parquet")
    withdrawn.unlink()  # nobody asks for it any more
    assert worst(_found(told)) == "info"
    content = file.read_bytes()
    file.write_bytes(content[:-4] + b"PAR2")
    assert worst(_found(told)) == "info"
    assert _worse(verify(_case(told), deep=True).findings) == [readings.CHANGED.name]
    file.write_bytes(content[:-4])
    assert file.name in _one(told, readings.CHANGED).what
    file.unlink()
    assert file.name in _one(told, readings.GONE).what


def test_the_files_are_looked_at_where_the_database_cannot_be(told: Path) -> None:
    os.truncate(catalog_path(told), 5000)
    (_run(told) / "run.json").write_bytes(b"")
    assert {"database-damaged", checks.BAD_MANIFEST.name} <= {finding.code for finding in _found(told)}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM simulations WHERE name = 'base'", "metrics.sim_id"),
        ("DELETE FROM calibration_sessions", "calibration_iterations.session_id"),
        ("UPDATE simulations SET status = 'odd'", "simulations.status"),
        ("UPDATE simulations SET solver = 'odd'", "simulations.solver"),
        ("UPDATE simulations SET study_area_name = 'odd'", "simulations.study_area_name"),
    ],
)
def test_what_a_foreign_key_would_have_refused_is_told(told: Path, statement: str, said: str) -> None:
    DuckDBBackend(catalog_path(told)).execute(statement)
    orphans = [finding.what for finding in _found(told) if finding.code == "parent-missing"]
    assert any(f"rows of {said} name no row of" in what for what in orphans), orphans


# ── what is declared ─────────────────────────────────────────────────────────────────────────────────


def test_every_event_waits_for_a_parent_that_is_declared(made: Path) -> None:
    """What a row ``needs`` in the fold is a relation here: the two cannot drift apart."""
    from hmp_catalog.fold import FOLD

    declared = {(r.child.split(".")[0], r.parent.split(".")[0]) for r in CHECKS.relations if r.required}
    rows = [row for event in LogFiles(catalog_path(made)).everything().events for row in FOLD.rows(event, made)]
    needed = {(row.table, row.needs[0]) for row in rows if row.needs and row.table != row.needs[0]}
    assert needed - declared == set()
    assert needed >= {("tags", "simulations"), ("calibration_iterations", "calibration_sessions")}


def test_every_code_is_provoked_by_a_test() -> None:
    text = Path(__file__).read_text()
    rooms = {"checks": checks, "readings": readings}
    named = {getattr(rooms[room], name).name for room, name in re.findall(r"(checks|readings)\.([A-Z_]+)\b", text)}
    assert {code.name for code in CHECKS.codes} - named == set()


def test_a_catalog_that_was_lost_with_its_log_is_missed_where_runs_are_left(told: Path) -> None:
    shutil.rmtree(told / "events")
    shutil.rmtree(told / ".hmp")
    for path in told.glob("catalog.duckdb*"):
        path.unlink()
    missing = _one(told, codes.MISSING)
    assert missing.severity == "error"
    assert f"`hmp catalog rebuild --project {told}`" in missing.remedy
    assert "simulations/base__" in missing.what
    for folder in (told / "simulations").iterdir():
        shutil.rmtree(folder)
    assert [finding.code for finding in _found(told)] == [codes.ABSENT.name]


# ── thrown away ──────────────────────────────────────────────────────────────────────────────────────


def test_trash_and_purges_are_nothing_to_say(told: Path) -> None:
    with hmp_catalog.open(told) as cat:
        cat.delete("base")
        cat.purge("wet", reason="asked for")
    assert _names(told) == {"backup-none"}


def _names(project: Path) -> set[str]:
    return {finding.code for finding in _found(project)}


def test_a_folder_that_is_gone_from_the_trash_is_told(told: Path) -> None:
    with hmp_catalog.open(told) as cat:
        folder = cat.delete("base").folder
    shutil.rmtree(folder)
    assert str(_one(told, checks.GONE).where) == str(folder)


def test_a_run_in_the_trash_is_verified_too(told: Path) -> None:
    with hmp_catalog.open(told) as cat:
        folder = cat.delete("base").folder
    (folder / "tables" / "timeseries.parquet").write_bytes(b"x")
    assert _one(told, checks.FILE_CHANGED)


def test_what_is_half_done_is_told(told: Path) -> None:
    with hmp_catalog.open(told) as cat:
        event = cat.store.prepare("run.trashed", {"sim_id": cat["base"].sim_id, "project": "aare"})
        begun = doing.Doing("trash", cat["base"].sim_id, cat["base"].folder.name, event.as_dict())
    doing.begin(catalog_path(told), begun)
    assert "trash of" in _one(told, checks.HALF_DONE).what
    _settle(told)
    assert checks.HALF_DONE.name not in _names(told)
    with hmp_catalog.open(told) as cat:
        assert [run.name for run in cat.trash] == ["base"]
