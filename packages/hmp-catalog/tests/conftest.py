"""What the tests of the catalog stand on: a machine of their own, a project, other processes, all of a database."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import hmp_catalog
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.layout import catalog_path, init_project, init_workspace

#: Programs that tests run as processes of their own: no modules to look for tests or examples in.
collect_ignore_glob = ["killed*.py", "plugin/*.py"]

# packages of somebody else, as if they were installed
PLUGIN = Path(__file__).with_name("plugin")
sys.path.append(str(PLUGIN))

#: What other processes do before they run the code of a test.
BEFORE: list[str] = []

#: What the fold keeps for itself, and when a migration was applied.
BOOKKEEPING = ("_hmp_", "schema_migrations")


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "what opens the databases of the catalogs; those of the programs that are killed keep hmp's own"
    parser.addoption("--backend", choices=["duckdb", "cold"], default="duckdb", help=what)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--backend", "duckdb") == "cold":
        import standing_in

        standing_in.everywhere()
        BEFORE[:] = [f"import sys; sys.path.append({str(PLUGIN)!r})", "import standing_in; standing_in.everywhere()"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if BEFORE:
        from cold_backend import told

        if told:  # workers of xdist count for themselves
            terminalreporter.write_line(f"cold backend: {told['leases']} leases, {told['statements']} statements")


@pytest.fixture(autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a machine of its own, and a folder to be in."""
    here = tmp_path_factory.mktemp("here")
    monkeypatch.setenv("HMP_STATE_HOME", str(here.with_name("state")))
    for name in ("HMP_USER", "HMP_FOLD", "HMP_AUTO_MIGRATE", "HMP_AUTH_BACKEND", "HMP_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(here)
    return here


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one workspace with an empty catalog; tests get copies of it."""
    workspace = init_workspace(tmp_path_factory.mktemp("empty") / "workspace").path
    project = init_project(workspace, "aare").path
    hmp_catalog.open(project, create=True).close()
    return project


@pytest.fixture
def project(tmp_path: Path, empty_project: Path) -> Path:
    """Return a project of a workspace, with an empty catalog."""
    import shutil

    workspace = tmp_path / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    return workspace / "projects" / empty_project.name


@pytest.fixture
def workspace(project: Path) -> Path:
    return project.parents[1]


@pytest.fixture
def cat(project: Path) -> Iterator[hmp_catalog.SimulationCatalog]:
    """Return the catalog of the project, open."""
    with hmp_catalog.open(project) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory, empty_project: Path) -> Iterator[hmp_catalog.SimulationCatalog]:
    """Return a catalog that the tests of a module share: for claims that do not hang on what else is in it."""
    import shutil

    workspace = tmp_path_factory.mktemp("common") / "workspace"
    shutil.copytree(empty_project.parents[1], workspace)
    with hmp_catalog.open(workspace / "projects" / empty_project.name) as catalog:
        yield catalog


def _record(cat: hmp_catalog.SimulationCatalog, name: str | None = None, **about: Any) -> hmp_catalog.Run:
    metrics, solver = about.pop("metrics", {}), about.pop("solver", "gr4j")
    with cat.record(solver, name=name, **about) as rec:
        rec.metrics(metrics)
    return hmp_catalog.Run(cat, rec.sim_id)


@pytest.fixture(scope="session")
def record() -> Callable[..., hmp_catalog.Run]:
    """Return a function that records a run in a line: ``record(cat, "base", metrics={"nse": 0.8}, tags=["a"])``."""
    return _record


# ── other processes ──────────────────────────────────────────────────────────────────────────────────


def _command(code: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-c", "\n".join([*BEFORE, dedent(code)]), *map(str, arguments)]


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    """Return a function that runs code in another process and returns what it printed."""

    def run(code: str, *arguments: Any) -> str:
        done = subprocess.run(_command(code, *arguments), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def spawn() -> Callable[..., Any]:
    """Return a context manager in which other processes run the same code, and are dead afterwards."""

    @contextmanager
    def started(code: str, *arguments: Any, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(_command(code, *arguments, n), stdin=pipe, stdout=pipe, text=True) for n in range(count)
        ]
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    return started


@pytest.fixture(scope="session")
def hmp() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the ``hmp`` command in a process of its own."""

    def run(*words: Any, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        main = "import sys; from hmp_core.cli.main import main; sys.exit(main())"
        command = [sys.executable, *(["-c", "; ".join([*BEFORE, main])] if BEFORE else ["-m", "hmp_core.cli.main"])]
        command += map(str, words)
        env = os.environ | environment
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)

    return run


# ── whole databases ──────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else str(value)


def _contents(project: Path) -> dict[str, list[dict[str, Any]]]:
    backend = DuckDBBackend(catalog_path(project))
    with backend.lease(write=False):
        names = [
            name
            for (name,) in backend.fetch_all("SELECT table_name FROM duckdb_tables() WHERE NOT internal")
            if not name.startswith(BOOKKEEPING)
        ]
        tables = {name: backend.query(f"SELECT * FROM {name}").to_pylist() for name in sorted(names)}
    rows = {
        name: [{column: _plain(value) for column, value in row.items()} for row in table]
        for name, table in tables.items()
    }
    return {name: sorted(table, key=json.dumps) for name, table in rows.items()}


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, list[dict[str, Any]]]]:
    """Return a function that gives every row of every table of a project's database, in a fixed order."""
    return _contents


class Victims:
    """A process whose children work and are killed; ``script`` is one of the ``killed_*.py`` beside this file."""

    def __init__(self, script: str, project: Path, *, never: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name(script))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == ["ready"]
        said = self.work(project, never)
        assert said[-1] == ["end", "0"], said
        #: how many places to die at there are when nobody is killed
        self.places = int(said[-2][1])

    def _line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def work(self, project: Path, at: int) -> list[list[str]]:
        """Work in a child that dies at a place; return what it said."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{project} {at}\n")
        self.process.stdin.flush()
        said = [self._line()]
        while said[-1][0] != "end":
            said.append(self._line())
        return said


@pytest.fixture(scope="module")
def make_victims(
    tmp_path_factory: pytest.TempPathFactory, empty_project: Path
) -> Iterator[Callable[[str, int], Victims]]:
    """Start a process whose children work in copies of a project, and die where they are told (or at ``never``)."""
    made: list[Victims] = []

    def _make(script: str, never: int) -> Victims:
        workspace = tmp_path_factory.mktemp("victims") / "workspace"
        shutil.copytree(empty_project.parents[1], workspace)
        made.append(Victims(script, workspace / "projects" / empty_project.name, never=never))
        return made[-1]

    yield _make
    for victims in made:
        victims.process.kill()
        victims.process.communicate()
