"""How long finding takes among 10,000 and 100,000 runs of 10 parameters and 10 metrics: by hmp and by others.

``python finding.py [WHO ...]`` prints a line each; WHO is ``hmp``, ``mlflow`` (SQLite store), ``signac``, ``original``
(`hydromodpy` 2.0.0a5 of PyPI, in an environment of its own). What is measured is asking: a store gets one run through
its own door, and copies of it as rows, by its engine; signac, whose rows are folders, gets 10,000 through its door.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3  # noqa: TID251 - MLflow's file, which is not ours
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from timing import anew, tell

COUNTS = (10_000, 100_000)
PARAMETERS = tuple(f"x{n}" for n in range(10))
METRICS = ("nse", "kge", "rmse", *(f"m{n}" for n in range(3, 10)))
#: Between 0 and 1, another for each run and name.
CHANCE = "(hash(CAST(i AS BIGINT) * 31 + k) % 1000) / 1000.0"

FIND = "find by a metric among {}"
RANKED = "rank, and a frame of the best 100 of {}"
FRAME = "a frame of all {}"
OPEN = "open the store of {}, a new process"
COLD = "open and find among {}, a new process"
GOALS = {
    (FIND, 10_000): 12, (FIND, 100_000): 50, (FRAME, 10_000): 150, (FRAME, 100_000): 1000, (COLD, 10_000): 300,
}  # fmt: skip


def say(who: str, what: str, count: int, act: Callable[[], Any], times: int, *, within: float = 8.0) -> None:
    """Measure; only hmp is held to the goals."""
    goal = GOALS.get((what, count)) if who == "hmp" else None
    tell(who, what.format(f"{count:,}"), act, times, within=within, warm=times > 1, goal=goal)


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────


def copies(
    run: Callable[[str], Any], names_of: Callable[[str], Sequence[str]], said: Mapping[str, str], count: int
) -> None:
    """Give a DuckDB catalog copies of its one run, with parameters and metrics; both catalogs call them the same."""
    # no temporary table: the original lets its connection go after two seconds, and it with it
    run(f"CREATE TABLE made AS SELECT uuid() AS id, i FROM range({count - 1}) r(i)")
    for table, key, names in (
        ("simulations", None, ("",)),
        ("parameters", "param_name", PARAMETERS),
        ("metrics", "metric_name", METRICS),
    ):
        changed = {"sim_id": "made.id"} | (dict(said) if key is None else {"value": CHANCE})
        if key is not None:
            cases = " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(names))
            changed[key] = f"CASE k {cases} END"
        columns = ", ".join(changed.get(name, f"t.{name}") for name in names_of(table))
        one = f"(SELECT * FROM {table} LIMIT 1) t"
        run(f"INSERT INTO {table} SELECT {columns} FROM {one}, made, range({len(names)}) r(k)")
    run("DROP TABLE made")


def columns_of(table: str) -> str:
    """Return the question for the columns of a table."""
    return (
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_name = '{table}' AND table_catalog = current_database() ORDER BY ordinal_position"
    )


# ── hmp ──────────────────────────────────────────────────────────────────────────────────────────────


def fill(project: Path, count: int) -> None:
    """Record one run with hmp, and make so many of it."""
    import hmp_catalog
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.layout import catalog_path

    with hmp_catalog.open(project, create=True) as catalog:
        with catalog.record("gr4j", name="first", parameters={"x0": 0.5}) as rec:
            rec.metric("nse", 0.5)
        len(catalog)
    backend = DuckDBBackend(catalog_path(project))
    said = {
        "name": "'run-' || i",
        "solver": "CASE WHEN i % 3 = 0 THEN 'modflow6' ELSE 'gr4j' END",
        "created_at": "t.created_at - to_seconds(i)",
    }
    with backend.transaction():
        names: Callable[[str], list[str]] = lambda table: [name for (name,) in backend.fetch_all(columns_of(table))]  # noqa: E731
        copies(backend.execute, names, said, count)


def hmp(where: Path) -> None:
    """Find with hmp."""
    for count in COUNTS:
        fill(where / f"project-{count}", count)
        _hmp(where / f"project-{count}", count)


def _hmp(project: Path, count: int) -> None:
    import hmp_catalog

    good = {"solver": "gr4j", "nse_gt": 0.95}
    with hmp_catalog.open(project) as catalog:
        with catalog.reading():
            say("hmp", FIND, count, lambda: catalog.find(**good), 30)
            say("hmp", "find by a parameter among {}", count, lambda: catalog.find(**{"param.x3_gt": 0.95}), 30)
            say("hmp", "find by solver among {}", count, lambda: catalog.find(solver="gr4j"), 15)
            say("hmp", "a run by its name among {}", count, lambda: catalog["run-77"], 30)
            say("hmp", "@best:nse among {}", count, lambda: catalog["@best:nse"], 5)
            say("hmp", f"{RANKED}, one lease", count, lambda: catalog.find(solver="gr4j").rank("nse", 100).frame, 5)
        say("hmp", f"{FIND}, own lease", count, lambda: catalog.find(**good), 15)
        say("hmp", RANKED, count, lambda: catalog.find(solver="gr4j").rank("nse", 100).frame, 5)
        say("hmp", "a table of all {}", count, lambda: catalog.table, 3)
        say("hmp", FRAME, count, lambda: catalog.frame, 3)
    say("hmp", OPEN, count, lambda: anew("import sys, hmp_catalog; hmp_catalog.open(sys.argv[1])", str(project)), 5)
    code = "import sys, hmp_catalog; print(len(hmp_catalog.open(sys.argv[1]).find(solver='gr4j', nse_gt=0.95)))"
    say("hmp", COLD, count, lambda: anew(code, str(project)), 7)


# ── others ───────────────────────────────────────────────────────────────────────────────────────────


def original(where: Path) -> None:
    """Find with the original."""
    logging.disable(logging.WARNING)
    for count in COUNTS:
        project = where / f"workspace-{count}" / "project"
        project.mkdir(parents=True)
        _fill_original(project, count)
        _original(project, count)


def _fill_original(project: Path, count: int) -> None:
    import hydromodpy

    with contextlib.closing(hydromodpy.open(project, create=True)) as catalog:
        first = str(uuid4())
        catalog.register_simulation(first, "project", "gr4j")
        catalog.write_parameters(first, [{"param_name": "x0", "value": 0.5}])
        catalog.write_metric(first, "__outlet__", "nse", 0.5)
        catalog.finalize(first)
        run = catalog.connection.execute
        said = dict.fromkeys(("name", "name_stem", "storage_basename"), "'run-' || i")
        said["created_at"] = "t.created_at - to_seconds(i)"
        copies(run, lambda table: [name for (name,) in run(columns_of(table)).fetchall()], said, count)


def _original(project: Path, count: int) -> None:
    import hydromodpy

    with contextlib.closing(hydromodpy.open(project)) as catalog:
        assert len(catalog.find(nse_gt=0.95)) > count / 50
        say("original", FIND, count, lambda: catalog.find(solver="gr4j", nse_gt=0.95), 15)
        say("original", RANKED, count, lambda: catalog.rank("project", "nse", n=100).to_dataframe(), 3)
        say("original", "a frame of all {}, without what was measured", count, lambda: catalog.frame, 3)
    say("original", OPEN, count, lambda: anew("import sys, hydromodpy; hydromodpy.open(sys.argv[1])", str(project)), 2)
    code = "import sys, hydromodpy; print(len(hydromodpy.open(sys.argv[1]).find(solver='gr4j', nse_gt=0.95)))"
    say("original", COLD, count, lambda: anew(code, str(project)), 3)


def signac(where: Path) -> None:
    """Find with signac, 10,000 jobs, warm and from a new project object."""
    import signac

    folder = str(where / "signac")
    Path(folder).mkdir()
    project, count = signac.init_project(path=folder), COUNTS[0]
    for n in range(count):
        project.open_job({**dict.fromkeys(PARAMETERS, n / 2), "n": n, "nse": n % 1000 / 1000}).init()
    project.update_cache()
    say("signac", FIND, count, lambda: list(project.find_jobs({"nse.$gt": 0.95})), 15)
    say("signac", RANKED, count, lambda: project.to_dataframe().nlargest(100, "sp.nse"), 1)
    say("signac", FRAME, count, project.to_dataframe, 1)
    say("signac", OPEN, count, lambda: anew("import sys, signac; signac.get_project(sys.argv[1])", folder), 5)
    code = "import sys, signac; print(len(list(signac.get_project(sys.argv[1]).find_jobs({'nse.$gt': 0.95}))))"
    say("signac", COLD, count, lambda: anew(code, folder), 5)


def mlflow(where: Path) -> None:
    """Find with MLflow on SQLite."""
    for count in COUNTS:
        _mlflow(where / f"mlflow-{count}.db", count)


def _mlflow(file: Path, count: int) -> None:
    import mlflow
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{file}"
    client = MlflowClient(uri)
    first = client.create_run("0", run_name="first").info.run_id
    now = int(time.time() * 1000)
    client.log_batch(first, [Metric(n, 0.5, now, 0) for n in METRICS], [Param(n, "0.5") for n in PARAMETERS])
    client.set_terminated(first)
    _copies_in_sqlite(file, first, count)
    mlflow.set_tracking_uri(uri)
    good = {"experiment_ids": ["0"], "filter_string": "metrics.nse > 0.95", "max_results": 50_000}
    best = {"experiment_ids": ["0"], "order_by": ["metrics.nse DESC"], "max_results": 100}
    say("mlflow", FIND, count, lambda: client.search_runs(**good), 5)
    say("mlflow", RANKED, count, lambda: mlflow.search_runs(**best), 5)
    if count == COUNTS[0]:  # of 100,000 it takes minutes
        say("mlflow", FRAME, count, lambda: mlflow.search_runs(experiment_ids=["0"], max_results=50_000), 1)
    code = "import sys; from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1]).get_experiment('0')"
    say("mlflow", OPEN, count, lambda: anew(code, uri), 2)
    ask = (
        "import sys; from mlflow.tracking import MlflowClient; "
        "print(len(MlflowClient(sys.argv[1]).search_runs(['0'], 'metrics.nse > 0.95', max_results=50_000)))"
    )
    say("mlflow", COLD, count, lambda: anew(ask, uri), 2)


def _copies_in_sqlite(file: Path, first: str, count: int) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TEMP TABLE made (id TEXT, i INTEGER)")
        database.executemany("INSERT INTO made VALUES (?, ?)", ((uuid4().hex, n) for n in range(count - 1)))
        for table in ("runs", "params", "metrics", "latest_metrics", "tags"):
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            changed = {"run_uuid": "made.id"}
            if table in {"metrics", "latest_metrics"}:
                changed["value"] = "abs(made.i * 7919 + length(t.key) * unicode(t.key)) % 1000 / 1000.0"
            columns = ", ".join(changed.get(name, f't."{name}"') for name in names)
            quoted = ", ".join(f'"{name}"' for name in names)
            database.execute(
                f"INSERT INTO {table} ({quoted}) SELECT {columns} FROM {table} t, made WHERE t.run_uuid = ?", [first]
            )


def main() -> None:
    """Measure who was named, or hmp alone."""
    known = {"hmp": hmp, "mlflow": mlflow, "signac": signac, "original": original}
    for who in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            known[who](Path(made))


if __name__ == "__main__":
    main()
