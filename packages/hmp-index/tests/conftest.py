"""What the tests of the index stand on: a machine of their own, and catalogs made without hmp-catalog."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.events import EventStore, Fold
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.migrations.runner import EVENT_TABLES, migrate

#: A catalog as this hmp might write it.
CURRENT = """
CREATE TABLE simulations (
    sim_id UUID PRIMARY KEY, name VARCHAR, project VARCHAR, solver VARCHAR, status VARCHAR, study_area_name VARCHAR,
    scientific_objective VARCHAR, description VARCHAR, folder VARCHAR, created_at TIMESTAMP, duration_s DOUBLE,
    bbox_xmin DOUBLE, trashed_at TIMESTAMP
);
CREATE TABLE metrics (
    sim_id UUID, station_id VARCHAR, variable VARCHAR, metric_name VARCHAR, value DOUBLE,
    PRIMARY KEY (sim_id, station_id, variable, metric_name)
);
CREATE TABLE parameters (
    sim_id UUID, param_name VARCHAR, zone_id VARCHAR, value DOUBLE, text_value VARCHAR,
    PRIMARY KEY (sim_id, param_name, zone_id)
);
CREATE TABLE tags (sim_id UUID, tag VARCHAR, PRIMARY KEY (sim_id, tag));
CREATE VIEW v_simulation_summary AS SELECT * FROM simulations;
"""

#: A catalog of another version: other columns, in another order, other types, no tags.
OTHER = """
CREATE TABLE simulations (
    weather VARCHAR, created_at TIMESTAMPTZ, status VARCHAR, NAME VARCHAR, sim_id UUID PRIMARY KEY, solver VARCHAR
);
CREATE TABLE metrics (value FLOAT, metric_name VARCHAR, sim_id UUID);
CREATE VIEW v_simulation_summary AS
SELECT 7 AS n_cells, weather, solver, created_at, status, NAME, sim_id FROM simulations;
"""

START = datetime(2024, 5, 1, 12, 0)


@dataclass
class Sim:
    """A simulation to be put into a catalog."""

    name: str | None = "base"
    metrics: dict[str, float | None] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    tags: Iterable[str] = ()
    sim_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    solver: str = "gr4j"
    status: str = "completed"
    created_at: datetime | None = START
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass
class Machine:
    """The folders of a test: a state home and somewhere to put workspaces."""

    state: Path
    root: Path
    folder_of_migrations: Path

    @property
    def database(self) -> Path:
        return self.state / "index.duckdb"

    @property
    def list(self) -> Path:
        return self.state / "workspaces.toml"

    def workspace(self, name: str = "aare", *projects: str, sims: Iterable[Sim] = ()) -> Path:
        """Make a workspace whose projects all hold the same simulations."""
        path = init_workspace(self.root / name).path
        for project in projects:
            self.project(path, project, sims)
        return path

    def project(self, workspace: Path, name: str = "base", sims: Iterable[Sim] = (), schema: str = CURRENT) -> Path:
        """Make a project with a catalog."""
        path = init_project(workspace, name).path
        self.catalog(path, sims, schema)
        return path

    def catalog(self, project: Path, sims: Iterable[Sim] = (), schema: str = CURRENT) -> Path:
        """Make the catalog of a project."""
        migrations = self.folder_of_migrations / str(abs(hash(schema)))
        migrations.mkdir(parents=True, exist_ok=True)
        (migrations / "0001_initial.sql").write_text(schema)
        database = catalog_path(project)
        migrate(database, [("events", EVENT_TABLES), ("catalog", migrations)])
        self.put(project, *sims)
        return database

    def put(self, project: Path, *sims: Sim) -> None:
        """Write simulations into a catalog, at once."""
        backend = DuckDBBackend(catalog_path(project))
        with backend.transaction():
            for sim in sims:
                row = {"sim_id": sim.sim_id, "name": sim.name, "solver": sim.solver, "status": sim.status}
                backend.insert("simulations", row | {"created_at": sim.created_at} | sim.columns)
                for key, value in sim.metrics.items():
                    name, _, station = key.partition("@")
                    self._put_metric(backend, sim.sim_id, name, station or "__outlet__", value)
                for name, value in sim.parameters.items():
                    parameter = {"sim_id": sim.sim_id, "param_name": name, "zone_id": "__global__", "value": value}
                    backend.insert("parameters", parameter)
                for tag in sim.tags:
                    backend.insert("tags", {"sim_id": sim.sim_id, "tag": tag})

    @staticmethod
    def _put_metric(backend: DuckDBBackend, sim: str, name: str, station: str, value: float | None) -> None:
        row: dict[str, Any] = {"sim_id": sim, "metric_name": name, "value": value}
        columns = backend.query("SELECT * FROM metrics LIMIT 0").column_names
        if "station_id" in columns:
            row |= {"station_id": station, "variable": "discharge"}
        backend.insert("metrics", row)


def sims(n: int, **columns: Any) -> list[Sim]:
    """Return simulations that differ in everything."""
    return [
        Sim(
            f"run {i}",
            {"nse": i / 10},
            {"x1": 100.0 * i},
            [f"t{i % 3}"],
            created_at=START + timedelta(hours=i),
            columns=columns,
        )
        for i in range(n)
    ]


#: A scope that folds: what hmp-catalog does, as small as can be.
FOLDING = """
from pathlib import Path
from hmp_core.events.fold import Fold, Row, Table

#: what happens while an event is folded
MEANWHILE = []

def rows(event, root):
    while MEANWHILE:
        MEANWHILE.pop()()
    values = {"name": event.payload["name"], "solver": "gr4j", "status": "completed", "created_at": None}
    yield Row("simulations", (event.payload["sim_id"],), values, event.stamp())

FOLD = Fold("catalog", Path(__file__).with_name("folded"), [Table("simulations", ("sim_id",))], rows)
"""
FOLDED = """
CREATE TABLE simulations (
    sim_id UUID PRIMARY KEY, name VARCHAR, solver VARCHAR, status VARCHAR, created_at TIMESTAMP, _stamp VARCHAR
);
CREATE VIEW v_simulation_summary AS SELECT sim_id, name, solver, status, created_at FROM simulations;
"""


def _distribution(folder: Path, name: str, version: str, points: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)


@pytest.fixture(scope="session", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the index be installed, and no other scope, whatever this environment has."""
    folder = tmp_path_factory.mktemp("installed")
    _distribution(folder, "hmp-index", "0.1.0", "[hmp.verbs]\nindex = hmp_index.cli:group\n")
    _distribution(folder, "hmp-catalog", "0", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@dataclass
class Scope:
    """An installed scope that folds."""

    folder: Path
    fold: Fold
    meanwhile: list[Callable[[], Any]]

    def store(self, project: Path) -> EventStore:
        """Return the catalog of a project with its log, made if it is not there."""
        store = EventStore(catalog_path(project), self.fold, auth=LocalAuthBackend(), resource="catalog:test")
        store.prepare_schema()
        return store

    def install(self, version: str = "1.0", points: str = "catalog = a_folding_scope:FOLD") -> None:
        """Let it be found."""
        shutil.rmtree(self.folder / "hmp_catalog-1.dist-info", ignore_errors=True)
        _distribution(self.folder, "hmp-catalog", version, f"[hmp.folds]\n{points}\n")
        importlib.invalidate_caches()

    def upgrade(self) -> None:
        """Let it know one more migration than before."""
        (self.folder / "folded" / "0002_more.sql").write_text("ALTER TABLE simulations ADD COLUMN notes VARCHAR;")


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scope]:
    """Return a scope that folds and is not installed yet."""
    folder = tmp_path / "scope"
    (folder / "folded").mkdir(parents=True)
    (folder / "a_folding_scope.py").write_text(FOLDING)
    (folder / "folded" / "0001_initial.sql").write_text(FOLDED)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module("a_folding_scope")
    yield Scope(folder, module.FOLD, module.MEANWHILE)
    sys.modules.pop("a_folding_scope")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give each test a machine of its own."""
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "state"))
    for name in ("HMP_USER", "HMP_FOLD", "HMP_AUTO_MIGRATE", "HMP_AUTH_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Machine(tmp_path / "state", tmp_path / "workspaces", tmp_path / "migrations")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine that the tests of a module share and do not change."""
    folder = tmp_path_factory.mktemp("library")
    return Machine(folder / "state", folder / "workspaces", folder / "migrations")


@pytest.fixture(scope="session")
def make_sim() -> type[Sim]:
    return Sim


@pytest.fixture(scope="session")
def make_sims() -> Callable[..., list[Sim]]:
    return sims


@pytest.fixture
def other_schema() -> str:
    return OTHER


@pytest.fixture
def current_schema() -> str:
    return CURRENT


HOLD_DATABASE = """
import sys, time
from pathlib import Path
from hmp_core.backends.duckdb import DuckDBBackend
backend = DuckDBBackend(Path(sys.argv[1]))
with backend.lease(write=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held() -> Callable[[Path], Any]:
    """Return a context manager in which another process has a database open for writing."""

    @contextmanager
    def hold(database: Path) -> Iterator[int]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD_DATABASE, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdin.close()
            process.stdout.close()

    return hold
