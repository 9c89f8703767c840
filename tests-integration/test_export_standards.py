"""Crates before an independent judge: ``rocrate-validator`` (https://github.com/crs4/rocrate-validator), offline.

It is run by ``nox -s standards``, where it is installed. Its profiles come with it; the JSON-LD context, which it would
fetch, is laid into its cache: the one of RO-Crate 1.3 that rocrate bears stands for that of 1.1. The words that we
use mean the same in both, but for ``sha256``, which a crate of ours defines itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import hydromodpy as hmp
from exported import HOME, World, file, record, world
from hydromodpy.exports import ro_crate

pytest.importorskip("rocrate", reason="crates are made with rocrate (extra [export])")
pytest.importorskip("rocrate_validator", reason="the judge is installed by `nox -s standards`")

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
#: What the profiles recommend and we do not know of a run.
UNKNOWN = {
    "process-run-crate-0.5_3.2": "the address of a program",
    "process-run-crate-0.5_4.1": "the version of a solver that nobody said",
    "process-run-crate-0.5_5.1": "the address of a program, which would be its name",
    "process-run-crate-0.5_8.6": "who ran the tool that derived an input",
    "ro-crate-1.1_22.3": "who will publish the crate",
    "ro-crate-1.1_30.2": "where the author works",
    "ro-crate-1.1_30.3": "where the author works",
}

#: By its library, for its command cannot tell of a ZIP as JSON (0.13.0); in a process that warns as it likes.
JUDGE = """
import json, pathlib, sys
from rocrate_validator import models, services
crate, level, cache = sys.argv[1:]
settings = services.ValidationSettings(rocrate_uri=crate, profile_identifier='process-run-crate-0.5', offline=True,
    requirement_severity=models.Severity[level], cache_path=pathlib.Path(cache))
found = services.validate(settings)
issues = [[issue.check.identifier, issue.message] for issue in found.get_issues()]
skipped = [check.identifier for check in found.skipped_checks]
print(json.dumps({"passed": found.passed(), "issues": issues, "skipped": skipped, "done": len(found.executed_checks)}))
"""

Judge = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Return a function that holds a crate to a profile and returns the report."""
    from requests import Request
    from requests_cache import CachedResponse, CachedSession

    home = tmp_path_factory.mktemp("judge")
    known = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
    with CachedSession(cache_name=str(home / "cache"), backend="sqlite", expire_after=-1) as session:
        key = session.cache.create_key(session.prepare_request(Request("GET", CONTEXT)))
        headers = {"Content-Type": "application/json"}
        answer = CachedResponse(url=CONTEXT, status_code=200, content=known, headers=headers)
        session.cache.save_response(answer, cache_key=key)
        session.cache.close()

    def ask(crate: Path, level: str = "REQUIRED") -> dict[str, Any]:
        command = [sys.executable, "-c", JUDGE, str(crate), level, str(home / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    return ask


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        made = world(home)
        made.run.metric("kge", 0.7)
        yield made
        made.workspace.close()


def faults(report: dict[str, Any]) -> list[str]:
    return [f"{check}: {message}" for check, message in report["issues"]]


@pytest.mark.parametrize("target", ["dry", "dry.zip"])
def test_what_must_be_is(judge: Judge, dry: World, tmp_path: Path, target: str) -> None:
    report = judge(ro_crate(dry.run, tmp_path / target, license="CC-BY-4.0", with_inputs=True))
    assert faults(report) == []
    assert report["passed"]
    # what it could not check is not held to
    assert (report["done"] > 40, report["skipped"]) == (True, [])


def test_of_what_should_be_only_what_we_do_not_know_is_missing(judge: Judge, dry: World, tmp_path: Path) -> None:
    crate = ro_crate(dry.run, tmp_path / "dry", license="CC-BY-4.0", with_inputs=True)
    report = judge(crate, level="RECOMMENDED")
    assert {check for check, _ in report["issues"]} - UNKNOWN.keys() == set(), faults(report)


def test_a_run_that_failed_and_lost_its_input_is_as_it_must_be(judge: Judge, tmp_path: Path) -> None:
    with hmp.init(tmp_path / "fulda") as workspace:
        old = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
        first = record(workspace, 'a "quoted" <b>name</b> 😀', old)
        catalog = workspace.project("base").catalog
        with pytest.raises(FileNotFoundError), catalog.record("gr4j", inputs=[old], parent=first.sim_id) as rec:
            Path(f"{HOME}/no such.csv").read_text()
        workspace.data.add(file(tmp_path, "q.csv", 2.5), variable="discharge", station="outlet")
        workspace.data.prune(superseded=True, force=True, apply=True)
        for number, run in enumerate([first, catalog[rec.sim_id]]):
            crate = ro_crate(run, tmp_path / f"crate-{number}", with_inputs=True, license="CC-BY-4.0")
            assert faults(judge(crate)) == []


def test_the_judge_can_fail(judge: Judge, dry: World, tmp_path: Path) -> None:
    crate = ro_crate(dry.run, tmp_path / "dry", license="CC-BY-4.0")
    (crate / "tables" / "timeseries.parquet").unlink()
    said = crate / "ro-crate-metadata.json"
    said.write_text(said.read_text().replace('"instrument"', '"agent"'))
    told = " ".join(faults(judge(crate)))
    assert "tables/timeseries.parquet" in told
    assert "instrument" in told
