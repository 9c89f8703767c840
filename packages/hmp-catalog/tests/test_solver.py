"""What computed a run: the solver's file and its hash, its version, the repository of the project, conda."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_catalog import environment
from hmp_core.errors import InvalidInput, PathNotFound


def _known(cat: hmp_catalog.SimulationCatalog, run: hmp_catalog.Run) -> dict[str, Any]:
    (row,) = cat.sql("SELECT * FROM runs_environment WHERE sim_id = $1", [run.sim_id]).to_pylist()
    return row


def test_the_solver_is_known_by_its_bytes(cat: hmp_catalog.SimulationCatalog, record: Any, tmp_path: Path) -> None:
    inside, outside = cat.workspace / "bin" / "mf6", tmp_path / "tools" / "mf6"
    for file in (inside, outside):
        file.parent.mkdir()
        file.write_bytes(b"\x7fELF")
    run = record(
        cat,
        solver_binary=inside,
        solver_version="6.5.0",
        additional_solvers={"mt3dms": {"version": "5.3"}},
    )
    found = _known(cat, run)
    assert found["solver_binary_path"] == "bin/mf6"
    assert found["solver_binary_sha256"] == hashlib.sha256(b"\x7fELF").hexdigest()
    assert found["solver_version_text"] == "6.5.0"
    assert json.loads(found["additional_solvers"]) == {"mt3dms": {"version": "5.3"}}
    elsewhere = _known(cat, record(cat, solver_binary=outside))
    assert elsewhere["solver_binary_path"] == "mf6", "what lies outside has no path that another machine knows"
    assert elsewhere["solver_version_text"] is elsewhere["additional_solvers"] is None


def test_a_solver_that_is_not_there_is_refused(cat: hmp_catalog.SimulationCatalog) -> None:
    with pytest.raises(PathNotFound, match="no such solver"):
        cat.record("modflow6", solver_binary="nowhere/mf6")
    with pytest.raises(InvalidInput, match="additional_solvers"):
        cat.record("modflow6", additional_solvers=["mt3dms"])
    assert len(cat) == 0


def test_a_solver_that_was_built_again_is_another(
    cat: hmp_catalog.SimulationCatalog, record: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mf6"
    hashes = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        hashes.append(_known(cat, record(cat, solver_binary=file))["solver_binary_sha256"])
    assert hashes == [hashlib.sha256(content).hexdigest() for content in (b"one", b"two")]


def test_the_commit_of_the_project_is_its_own(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    def git(*words: str) -> str:
        said = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
        return subprocess.run(said, cwd=cat.path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    environment._asked.clear()  # asked less than half a minute ago
    assert _known(cat, record(cat))["project_git_commit"] == git("rev-parse", "HEAD")


def test_an_environment_of_conda_has_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment._conda() is None
    home = tmp_path / "env" / "conda-meta"
    home.mkdir(parents=True)
    monkeypatch.setenv("CONDA_PREFIX", str(home.parent))
    (home / "numpy-2.1.0-py311_0.json").touch()
    one = environment._conda()
    (home / "zlib-1.3-0.json").touch()
    assert one is not None
    assert one != environment._conda()


def test_how_a_run_follows_from_another_is_told(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    base = record(cat, "base", config={"n": 1}, config_source="model.toml")
    record(cat, "child", parent=base)
    record(cat, "again", parent="base", lineage="restart")
    rows = cat.sql("SELECT name, lineage_kind, config_source FROM simulations ORDER BY name").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("again", "restart", None),
        ("base", None, "model.toml"),
        ("child", "derived", None),
    ]
