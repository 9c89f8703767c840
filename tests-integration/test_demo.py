"""The main job, end to end on real data: cache, calibration, catalog, index, lineage; then every database is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.layout import cache_path, catalog_path, index_path

pytest.importorskip("spotpy", reason="the demo's data and its calibration come with spotpy")
pytest.importorskip("matplotlib", reason="the demo draws with matplotlib")


def rows(database: Path) -> dict[str, list[Any]]:
    """Return every row of every table but the bookkeeping, in an order of their own."""
    backend = DuckDBBackend(database)
    tables = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    with backend.lease(write=False):
        names = [n for (n,) in backend.fetch_all(tables) if not n.startswith("_hmp") and n != "schema_migrations"]
        return {
            name: sorted(
                repr(tuple("nan" if v != v else v for v in row)) for row in backend.fetch_all(f"SELECT * FROM {name}")
            )
            for name in names
        }


@pytest.mark.timeout(170)
def test_the_main_job_end_to_end(tmp_path: Path, hmp: Callable[..., Any]) -> None:
    began = time.monotonic()
    told = hmp("demo", "fulda-demo", "--repetitions", "300", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert time.monotonic() - began < 90
    workspace = tmp_path / "fulda-demo"
    project = workspace / "projects" / "fulda"
    for word in ("kge_calibration", "nse_validation", "consumed", "climate from spotpy", "hydrograph"):
        assert word in told.stdout

    best = json.loads(hmp("catalog", "show", "@best:kge_calibration", "--json", cwd=project).stdout)
    assert best["status"] == "completed"
    assert 0.5 < best["metrics"]["kge_calibration"] <= 1
    assert (Path(best["folder"]) / "artifacts" / "hydrograph.png").read_bytes()[:4] == b"\x89PNG"
    graph = json.loads(hmp("lineage", best["sim_id"], "--json", cwd=project).stdout)
    assert sorted(n["kind"] for n in graph["nodes"]) == ["input", "input", "run", "source"]

    # found from any folder
    hit = hmp("index", "search", "fulda", "--json", cwd=tmp_path)
    assert hit.returncode == 0, hit.stderr
    assert best["sim_id"] in hit.stdout

    sessions = hmp("catalog", "calibration", "--json", cwd=project).stdout.splitlines()
    assert [json.loads(s)["n_iterations"] for s in sessions] == [300]

    _lose_and_rebuild(hmp, workspace, project)

    # a second time: the same inputs, new runs, nothing disturbed
    again = hmp("demo", "fulda-demo", "--repetitions", "60", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    listed = [json.loads(line) for line in hmp("data", "ls", "--json", cwd=workspace).stdout.splitlines()]
    assert len(listed) == 2
    found = hmp("catalog", "find", "study_area_name=Fulda", "--json", cwd=project).stdout.splitlines()
    assert len(found) > 5


def _lose_and_rebuild(hmp: Callable[..., Any], workspace: Path, project: Path) -> None:
    """Delete each database in turn, rebuild it with its verb, and find every row equal."""
    for database, verb, where in (
        (catalog_path(project), "catalog", project),
        (cache_path(workspace), "data", workspace),
        (index_path(), "index", workspace),
    ):
        before = rows(database)
        assert any(before.values()), database
        database.unlink()
        told = hmp(verb, "rebuild", cwd=where)
        assert told.returncode == 0, told.stderr
        after = rows(database)
        moments = {"index_metadata", "simulations_cache", "projects", "workspaces"} if verb == "index" else set()
        for name in before.keys() - moments:
            assert after[name] == before[name], f"{database.name}: {name}"
        for name in moments:
            assert len(after[name]) == len(before[name]), name
