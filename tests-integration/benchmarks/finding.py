"""How long finding takes among 10,000 and 100,000 runs of 10 parameters and 10 metrics; beside signac and MLflow.

``python finding.py [WHAT ...]``: ``hmp``, ``hmp-100000``, ``signac``, ``mlflow``. The stores of hmp are made of rows,
by the engine itself: what is measured is asking. MLflow and signac are filled through their own doors, MLflow with
1,000 runs, for which it needs half a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import METRICS, PARAMETERS, tell

MLFLOW_RUNS = 1_000
NAMES = ("nse", "kge", "rmse", "m3", "m4", "m5", "m6", "m7", "m8", "m9")


def _columns(backend: object, table: str, changed: dict[str, str], prefix: str) -> str:
    rows = backend.fetch_all(  # type: ignore[attr-defined]
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_name = '{table}' AND table_catalog = current_database() ORDER BY ordinal_position"
    )
    return ", ".join(changed.get(name, f"{prefix}.{name}") for (name,) in rows)


def fill(project: Path, count: int) -> None:
    """Record one run, and make so many of it."""
    import hmp_catalog
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.layout import catalog_path

    with hmp_catalog.open(project, create=True) as catalog:
        with catalog.record("gr4j", name="first", parameters={"p": 1.0}) as rec:
            rec.metric("nse", 0.5)
        len(catalog)
    backend = DuckDBBackend(catalog_path(project))
    with backend.transaction():
        backend.execute(f"CREATE TEMP TABLE made AS SELECT uuid() AS id, i FROM range({count - 1}) r(i)")
        said = {
            "sim_id": "made.id",
            "name": "'run-' || i",
            "solver": "CASE WHEN i % 3 = 0 THEN 'modflow6' ELSE 'gr4j' END",
            "created_at": "s.created_at - to_seconds(i)",
        }
        columns = _columns(backend, "simulations", said, "s")
        backend.execute(f"INSERT INTO simulations SELECT {columns} FROM simulations s, made WHERE s.name = 'first'")
        for table, key, names in (("parameters", "param_name", tuple(PARAMETERS)), ("metrics", "metric_name", NAMES)):
            cases = " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(names))
            said = {"sim_id": "made.id", key: f"CASE k.k {cases} END", "value": "(hash(i * 31 + k.k) % 1000) / 1000.0"}
            columns = _columns(backend, table, said, "t")
            backend.execute(f"INSERT INTO {table} SELECT {columns} FROM {table} t, made, range({len(names)}) k(k)")


def hmp(where: Path, count: int = 10_000) -> None:
    """Find with hmp."""
    import hmp_catalog

    fill(where / "project", count)
    catalog = hmp_catalog.open(where / "project")
    title = f"hmp, {count} runs:"
    with catalog.reading():
        tell(f"{title} find by metric", lambda: catalog.find(solver="gr4j", nse_gt=0.95), 30)
        tell(f"{title} find by parameter", lambda: catalog.find(**{"param.x3_gt": 0.95}), 30)
        tell(f"{title} find by solver", lambda: catalog.find(solver="gr4j"), 15)
        tell(f"{title} a run by its name", lambda: catalog["run-77"], 30)
        tell(f"{title} @best:nse", lambda: catalog["@best:nse"], 5)
    tell(f"{title} find, a lease of its own", lambda: catalog.find(solver="gr4j", nse_gt=0.95), 15)
    tell(f"{title} ranked frame of 100", lambda: catalog.find(solver="gr4j").rank("nse", 100).frame, 5)
    tell(f"{title} all as a table", lambda: catalog.table, 3)
    tell(f"{title} all as a frame", lambda: catalog.frame, 3)
    catalog.close()
    code = "import sys, hmp_catalog; print(len(hmp_catalog.open(sys.argv[1]).find(solver='gr4j', nse_gt=0.95)))"
    command = [sys.executable, "-c", code, str(where / "project")]
    tell(f"{title} find, a new process", lambda: subprocess.run(command, check=True, capture_output=True), 5)


def signac(where: Path) -> None:
    """Find with signac, 10,000 jobs, warm and from a new project object."""
    import signac

    (where / "signac").mkdir()
    project = signac.init_project(path=str(where / "signac"))
    for n in range(10_000):
        project.open_job(PARAMETERS | {"n": n, "nse": n % 1000 / 1000}).init()
    project.update_cache()
    tell("signac, 10000 jobs: find by statepoint", lambda: list(project.find_jobs({"nse.$gt": 0.95})), 15)

    def anew() -> None:
        list(signac.get_project(str(where / "signac")).find_jobs({"nse.$gt": 0.95}))

    tell("signac, 10000 jobs: find, project opened", anew, 5)
    tell("signac, 10000 jobs: all as a frame", project.to_dataframe, 1)


def mlflow(where: Path) -> None:
    """Find with MLflow on SQLite."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{where}/mlflow.db")
    for n in range(MLFLOW_RUNS):
        run = client.create_run("0", run_name=f"run-{n}")
        now = int(time.time() * 1000)
        metrics = [Metric(k, v, now, 0) for k, v in METRICS.items()] + [Metric("nse", n % 1000 / 1000, now, 0)]
        client.log_batch(run.info.run_id, metrics, [Param(k, str(v)) for k, v in PARAMETERS.items()])
    title = f"mlflow, {MLFLOW_RUNS} runs:"
    tell(f"{title} find by metric", lambda: client.search_runs(["0"], "metrics.nse > 0.95"), 5)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{where}/mlflow.db"
    import mlflow

    tell(f"{title} all as a frame", lambda: mlflow.search_runs(["0"], max_results=MLFLOW_RUNS), 2)


def main() -> None:
    """Measure what was named, or hmp alone."""
    known = {"hmp": hmp, "hmp-100000": lambda where: hmp(where, 100_000), "signac": signac, "mlflow": mlflow}
    for what in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            known[what](Path(made))


if __name__ == "__main__":
    main()
