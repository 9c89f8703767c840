"""`hmp doctor` and `hmp db verify` on a whole workspace, and what the scopes declare against the real schemas."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import hydromodpy as hmp_
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.doctor import Case, codes, examine
from hmp_core.doctor.checks import checks_of
from hmp_core.doctor.verify import verify
from hmp_core.layout import cache_path, catalog_path
from hmp_core.migrations.runner import create_database
from hmp_core.testing.children import start
from hmp_core.testing.traces import differences, trace

Hmp = Callable[..., Any]

COMPONENTS = ("index", "cache", "catalog", "experiments")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace as the demo leaves one: an input in two versions, runs that consumed it, a calibration, the index."""
    with hmp_.init(tmp_path / "aare") as made:
        for level in (1.4, 1.5):
            file = tmp_path / "q.csv"
            file.write_text(f"time,discharge\n2001-01-01,{level}\n2001-01-02,1.3\n")
            entry = made.data.add(file, variable="discharge", station="s1", unit="m3 s-1")
        project = made.project("base")
        with project.catalog as catalog:
            for name in ("one", "two"):
                with catalog.record("gr4j", name=name, parameters={"x1": 320.0}, inputs=[entry], tags=["a"]) as rec:
                    rec.metric("nse", 0.8)
                    rec.timeseries("discharge", (["2001-01-01", "2001-01-02"], [1.0, 2.0]), unit="m3 s-1")
            with catalog.calibration(method="lhs", objective="nse") as session:
                session.trial({"x1": 1.0}, 0.5)
    with hmp_.index() as machine:
        machine.refresh()
    return made.path


def _rows(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# ── a whole workspace ────────────────────────────────────────────────────────────────────────────────


def test_a_workspace_that_is_well_is_called_so(workspace: Path, state_home: Path, hmp: Hmp) -> None:
    before = trace(workspace, state_home)
    done = hmp("doctor", cwd=workspace / "projects" / "base")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("all is well; looked at: 1 index, 1 cache, 1 catalog")
    for said in ("python 3.", "duckdb 1.", str(cache_path(workspace)), "hmp-catalog"):
        assert said in done.stdout
    assert {row["severity"] for row in _rows(hmp("doctor", str(workspace), "--json"))} <= {"info"}
    done = hmp("db", "verify", str(workspace), "--deep", "--json")
    assert (done.returncode, {row["state"] for row in _rows(done)}) == (0, {"sound"}), done.stdout + done.stderr
    assert differences(before, trace(workspace, state_home)) == []


def test_what_is_wrong_is_said_with_its_remedy_and_an_exit_code(workspace: Path, hmp: Hmp) -> None:
    stray = workspace / "projects" / "base" / "simulations" / "mystery__0badcafe"
    stray.mkdir()
    done = hmp("doctor", cwd=workspace)
    assert done.returncode == 1
    assert f"orphan-folder: no row and no event speaks of it; it was never sealed\n          at {stray}" in done.stdout
    assert f"remedy: `hmp catalog rebuild --project {stray.parents[1]}`" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 warning")
    os.truncate(cache_path(workspace), 5000)
    done = hmp("doctor", "--json", cwd=workspace)
    assert done.returncode == 22
    (error,) = (row for row in _rows(done) if row["severity"] == "error")
    assert (error["code"], error["where"]) == ("database-damaged", str(cache_path(workspace)))
    assert "hmp data rebuild" in error["remedy"]


def test_verify_says_what_is_wrong_with_an_exit_code(workspace: Path, hmp: Hmp) -> None:
    database = catalog_path(workspace / "projects" / "base")
    DuckDBBackend(database).execute("UPDATE metrics SET value = 0.9")
    assert hmp("db", "verify", cwd=workspace).returncode == 0, "that no one told is only found by looking deep"
    done = hmp("db", "verify", "--deep", "--json", cwd=workspace)
    assert done.returncode == 22
    states = {row["component"]: (row["state"], row["what"]) for row in _rows(done)}
    assert states["catalog"][0] == "rows-differ"
    assert "2 rows of metrics differ" in states["catalog"][1]
    assert states["cache"][0] == "sound"
    os.truncate(database, 5000)
    done = hmp("db", "verify", cwd=workspace)
    assert done.returncode == 22
    assert "CorruptError" in done.stderr


def test_somebody_who_holds_the_lock_is_named(workspace: Path, hmp: Hmp) -> None:
    with start(HOLD, path=str(cache_path(workspace))) as child:
        child.hear()
        done = hmp("doctor", "--json", "--wait", "0.1", cwd=workspace)
        assert done.returncode == 1
        found = {row["code"]: row["what"] for row in _rows(done)}
        assert f"process {child.pid}" in found["lock-held"]
        assert f"process {child.pid}" in found["database-busy"]
        assert hmp("db", "verify", "--wait", "0.1", cwd=workspace).returncode == 12


def _apart(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell in namespaces of its own, where that is possible."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("namespaces need root and unshare")
    done = subprocess.run(["unshare", *options, "sh", "-ec", script], capture_output=True, text=True, check=False)
    if re.search(r"^(unshare|mount):", done.stderr, re.MULTILINE):
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    return done


HMP = Path(sys.executable).with_name("hmp")


def test_a_read_only_medium_is_examined(workspace: Path, state_home: Path) -> None:
    before = trace(workspace)
    mounted = f"mount --bind '{workspace}' '{workspace}'; mount -o remount,bind,ro '{workspace}'; "
    done = _apart(f"{mounted} '{HMP}' doctor --json '{workspace}' || echo left with $?", "-m")
    *rows, last = done.stdout.splitlines()
    assert last == "left with 1", done.stderr
    found = {json.loads(row)["code"] for row in rows if json.loads(row)["severity"] != "info"}
    assert found == {"not-writable"}
    assert "filesystem-read-only" in done.stdout
    done = _apart(f"{mounted} '{HMP}' db verify --deep '{workspace}'", "-m")
    assert (done.returncode, done.stdout.count("sound")) == (0, 3), done.stdout + done.stderr
    assert differences(before, trace(workspace)) == []


def test_a_holder_in_another_pid_namespace_is_no_dead_one(workspace: Path) -> None:
    with start(HOLD, path=str(cache_path(workspace))) as child:
        child.hear()
        script = f"'{HMP}' doctor --json --wait 0.1 '{workspace}' || true"
        done = _apart(script, "--pid", "--fork", "--mount-proc")
        (held,) = (row for row in _rows(done) if row["code"] == "lock-held")
        assert f"process {child.pid}" in held["what"]
        assert "pid namespace: whether it lives cannot be told here" in held["what"]


HOLD = """
    from pathlib import Path
    from hmp_core.locks import database_lock
    with database_lock(Path(path)).hold():
        say("held")
        listen()
"""

BUSY = """
    from pathlib import Path
    import hydromodpy as hmp
    made = hmp.Workspace(Path(path))
    catalog = made.project("base").catalog
    file = Path(path).parent / f"q{number}.csv"
    n = 0
    say("begun")
    while n < 2 or not Path(stop).exists():
        n += 1
        with catalog.record("gr4j", name=f"run {number} {n}") as rec:
            rec.metric("nse", 0.5)
        catalog[rec.sim_id].tag("new")
        file.write_text(f"time,discharge\\n2001-01-01,{n}.5\\n" * 1 + "2001-01-02,1.0\\n" * (n % 3 > 0))
        made.data.add(file, variable="discharge", station=f"t{number}", unit="m3 s-1")
    catalog.close()
    made.data.close()
    say(n)
"""


def test_whoever_works_meanwhile_is_not_in_the_way(workspace: Path) -> None:
    """Nothing that is halfway is taken for damage, and nobody is kept from working."""
    hmp_.Workspace(workspace).project("base").catalog.close()
    names = {"path": str(workspace), "stop": str(workspace.with_name("stop"))}
    case = Case(Database("catalog", catalog_path(workspace / "projects" / "base")), workspace, 10.0)
    with start(BUSY, number=1, **names) as one, start(BUSY, number=2, **names) as two:
        assert [child.hear(60) for child in (one, two)] == ["begun", "begun"]
        for _ in range(3):
            assert [f for f in examine(workspace, wait=10).findings if f.severity != "info"] == []
            told = verify(replace(case), deep=True).findings
            assert [f for f in told if f.severity != "info" and f.code != codes.NOT_COMPARED.name] == []
        workspace.with_name("stop").touch()
        assert min(child.hear(60) for child in (one, two)) > 1


def test_a_folder_with_nothing_in_it_is_no_trouble(tmp_path: Path, hmp: Hmp) -> None:
    done = hmp("doctor", str(tmp_path))
    assert done.returncode == 0
    assert "no database is there" in done.stdout
    assert hmp("doctor", str(tmp_path / "nowhere")).returncode == 10
    assert hmp("db", "verify", str(tmp_path)).stdout == "nothing found\n"
    assert list(tmp_path.iterdir()) == []


def test_a_rebuilt_and_a_copied_workspace_are_well(workspace: Path, tmp_path: Path, hmp: Hmp) -> None:
    for verb in ("data", "catalog"):
        assert hmp(verb, "rebuild", cwd=workspace / "projects" / "base").returncode == 0
    copy = shutil.copytree(workspace, tmp_path / "copy")
    assert hmp("doctor", cwd=copy).returncode == 0
    assert hmp("db", "verify", "--deep", cwd=copy).returncode == 0


# ── what is declared ─────────────────────────────────────────────────────────────────────────────────


@cache
def _columns(component: str, folder: Path) -> dict[str, str]:
    """Return the columns of a scope's real tables, each with its type; not those of the log and the ledger."""
    database = folder / f"{component}.duckdb"
    create_database(database, Database(component, database).components())
    rows = DuckDBBackend(database).fetch_all(
        "SELECT table_name || '.' || column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() "
        "USING (database_name, table_name) WHERE database_name = current_database()"
    )
    return {name: kind for name, kind in rows if not name.startswith(("_hmp", "schema_migrations"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemas")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_column_that_names_something_is_declared(component: str, folder: Path) -> None:
    """Each ``*_id`` is a relation, or it is said why it is none; what is declared is there."""
    declared = checks_of(component)
    columns = _columns(component, folder)
    named = {column for column in columns if column.endswith("_id")}
    children = {relation.child for relation in declared.relations}
    assert named - children - declared.outside.keys() == set()
    assert children & declared.outside.keys() == set()
    mentioned = children | declared.outside.keys() | {relation.parent for relation in declared.relations}
    mentioned |= {vocabulary.column for vocabulary in declared.vocabularies}
    assert mentioned - columns.keys() == set()


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_relation_joins_columns_of_one_type(component: str, folder: Path) -> None:
    columns = _columns(component, folder)
    unlike = [
        (relation.child, relation.parent)
        for relation in checks_of(component).relations
        if columns[relation.child] != columns[relation.parent]
    ]
    assert unlike == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_column_of_state_has_a_vocabulary(component: str, folder: Path) -> None:
    """A word that the fold writes into a column of state is one that is known."""
    declared = checks_of(component)
    told = {vocabulary.column for vocabulary in declared.vocabularies} | {r.child for r in declared.relations}
    states = {c for c in _columns(component, folder) if c.partition(".")[2] in {"status", "state", "kind"}}
    # a snapshot repeats what catalogs say, whose business it is; the status of a failure is a number of HTTP
    assert states - told - {"simulations_cache.status", "failures.status"} == set()


def test_no_two_kinds_of_findings_share_a_name() -> None:
    every = [*codes.ALL, *(code for component in COMPONENTS for code in checks_of(component).codes)]
    names = [code.name for code in every]
    assert sorted(names) == sorted(set(names))
    assert all(code.meaning.endswith(".") and code.remedy for code in every)
