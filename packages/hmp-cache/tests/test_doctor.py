"""What `hmp doctor` and `hmp db verify` find in a cache: files, sidecars and rows that do not tell the same."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import checks
from hmp_cache.checks import CHECKS
from hmp_cache.purging import purge
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.doctor import Case, Finding, codes, examine
from hmp_core.doctor.findings import worst
from hmp_core.doctor.verify import verify
from hmp_core.errors import HmpError
from hmp_core.layout import cache_path
from hmp_core.testing.traces import differences, trace

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two inputs, one of them in two versions, and one that was refused."""
    workspace = tmp_path_factory.mktemp("told") / "fulda"

    def write(name: str, content: str) -> Path:
        file = workspace.with_name(name)
        file.write_text(content)
        return file

    with hmp_cache.open(workspace, create=True) as data:
        about = {"variable": "discharge", "unit": "m3 s-1"}
        data.add(write("a.csv", "time,q\n2009-01-01,1\n"), station="s1", **about)
        data.add(write("a.csv", "time,q\n2009-01-01,2\n"), station="s1", **about)
        data.add(write("b.csv", "time,q\n2009-01-01,3\n2009-01-02,4\n"), station="s2", **about)
        with pytest.raises(HmpError):
            data.add(write("c.csv", "time,q\nyesterday,x\n"), station="s3", **about)
    with hmp_cache.open(workspace) as data:
        data.find()
    return workspace


@pytest.fixture
def told(made: Path, workspace: Path) -> Path:
    """A copy of that workspace, to spoil; links and times are kept."""
    return shutil.copytree(made, workspace)


def _found(workspace: Path) -> list[Finding]:
    (looked,) = (each for each in examine(workspace).databases if each.database.component == "cache")
    return list(looked.findings)


def _one(workspace: Path, code: Any) -> Finding:
    (finding,) = (finding for finding in _found(workspace) if finding.code == code.name)
    return finding


def _worse(findings: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.severity != "info"]


def _case(workspace: Path) -> Case:
    return Case(Database("cache", cache_path(workspace)), workspace)


def _input(workspace: Path, name: str = "a.csv") -> Path:
    (file,) = (workspace / "data" / "discharge").glob(f"*/{name}")
    return file


def _sidecar(workspace: Path, name: str = "a.csv") -> Path:
    return _input(workspace, name).with_name(f"{name}.hmp.json")


def test_of_what_is_well_nothing_is_said(told: Path) -> None:
    before = trace(told)
    assert _found(told) == []
    assert _worse(verify(_case(told), deep=True).findings) == []
    assert differences(before, trace(told)) == []


def test_an_input_that_is_gone_or_changed_is_told(told: Path) -> None:
    _input(told).write_text("time,q\n2009-01-01,1\n2009-01-02,1\n")
    assert "a.csv" in _one(told, checks.CHANGED).what
    _input(told).unlink()
    assert "a.csv" in _one(told, checks.GONE).what


def test_bytes_that_differ_are_found_by_looking_deep(told: Path) -> None:
    _input(told).write_text("time,q\n2009-01-01,7\n")
    (version,) = (told / "data" / ".versions").iterdir()
    version.write_bytes(version.read_bytes().replace(b"1\n", b"7\n"))
    assert _worse(_found(told)) == []
    found = _worse(verify(_case(told), deep=True).findings)
    assert found == [checks.CHANGED.name, checks.BAD_VERSION.name]


def test_sidecars_are_read(told: Path) -> None:
    _sidecar(told).write_bytes(b"{")
    assert _one(told, checks.BAD_SIDECAR).where == _sidecar(told)
    _sidecar(told).write_text('{"schema": 99}')
    assert _one(told, checks.NEWER_SIDECAR).where == _sidecar(told)
    _sidecar(told).unlink()
    assert "a.csv" in _one(told, checks.NO_SIDECAR).what


def test_a_sidecar_that_no_row_knows_is_told(told: Path, tmp_path: Path, write: Write) -> None:
    """As when files of another workspace are copied in."""
    with hmp_cache.open(tmp_path / "other", create=True) as data:
        data.add(write("d.csv", "time,q\n2009-01-01,3\n"), variable="discharge", station="s9", unit="m3 s-1")
    shutil.copytree(tmp_path / "other" / "data" / "discharge", told / "data" / "discharge", dirs_exist_ok=True)
    assert _one(told, checks.NO_ROW).where == _sidecar(told, "d.csv")
    with hmp_cache.open(told) as data:
        data.rebuild()
    assert _found(told) == []


def test_what_was_stored_and_not_folded_is_no_trouble(
    told: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with hmp_cache.open(told) as data:
        data.add(write("e.csv", "time,q\n2009-01-01,3\n"), variable="discharge", station="s5", unit="m3 s-1")
    found = _found(told)
    assert worst(found) == "info"
    assert checks.UNKNOWN_FILE.name not in {finding.code for finding in found}


@pytest.mark.parametrize("folding", ["never", "always"])
def test_what_was_purged_or_removed_is_not_missed(told: Path, folding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the database knows of it, nor where the log alone does."""
    with hmp_cache.open(told) as data:
        one, two = data.find()[:2]
        monkeypatch.setenv("HMP_FOLD", folding)
        assert purge(data._rooms, one, "to make room") == one.size
        data.remove(two, apply=True)
    assert not one.path.exists()
    assert worst(_found(told)) in {None, "info"}
    one.path.write_text("somebody else's")
    if folding == "always":
        with hmp_cache.open(told) as data:
            data.find()
        assert _one(told, checks.UNKNOWN_FILE).where == one.path


def test_files_that_nobody_knows_are_told(told: Path) -> None:
    stray = _input(told).with_name("notes.txt")
    stray.write_text("x")
    (told / "data" / ".versions" / ("0" * 64)).write_text("x")
    assert _one(told, checks.UNKNOWN_FILE).where == stray
    assert "000000000000" in _one(told, checks.UNKNOWN_VERSION).what
    assert worst(_found(told)) == "info"


def test_what_was_on_its_way_in_is_told_after_a_while(told: Path) -> None:
    left = told / "data" / ".incoming" / "0123.part"
    left.parent.mkdir(exist_ok=True)
    left.write_text("x")
    assert _found(told) == []
    os.utime(left, (time.time() - 7200,) * 2)
    assert left.name in _one(told, checks.LEFT).what


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM entries", "artifacts.entry_id"),
        ("DELETE FROM artifacts", "entries.artifact_id"),
        ("DELETE FROM artifacts", "provenance.artifact_id"),
    ],
)
def test_what_a_foreign_key_would_have_refused_is_told(told: Path, statement: str, said: str) -> None:
    DuckDBBackend(cache_path(told)).execute(statement)
    orphans = [finding.what for finding in _found(told) if finding.code == "parent-missing"]
    assert any(f"rows of {said} name no row of" in what for what in orphans), orphans


def test_every_code_is_provoked_by_a_test() -> None:
    text = Path(__file__).read_text()
    named = {getattr(checks, name).name for name in re.findall(r"checks\.([A-Z_]+)\b", text)}
    assert {code.name for code in CHECKS.codes} - named == set()


def test_a_cache_that_was_lost_with_its_log_is_missed_where_sidecars_are_left(told: Path) -> None:
    shutil.rmtree(told / "data" / "events")
    shutil.rmtree(told / "data" / ".hmp" / "cache" / "pending", ignore_errors=True)
    for path in (told / "data").glob("cache.duckdb*"):
        path.unlink()
    missing = _one(told, codes.MISSING)
    assert missing.severity == "error"
    assert f"`hmp data rebuild --workspace {told}`" in missing.remedy
