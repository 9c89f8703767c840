"""How long recording takes: a run, a wide run, a trial, many trials; beside the same elsewhere, where it is installed.

``python recording.py [WHAT ...]`` prints a line each: median, minimum, and how often. WHAT is ``hmp``, ``mlflow``
(SQLite store), ``signac``, ``optuna`` (SQLite storage). Everything that is acknowledged is durable. Each takes
under a minute; on a busy disk the minimum says more than the median, for a run flushes five times.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PARAMETERS = {f"x{n}": n * 1.5 for n in range(10)}
METRICS = {f"m{n}": n / 10 for n in range(10)}
WIDE = 10_000


def tell(name: str, act: Callable[[], Any], times: int, *, each: int = 1) -> None:
    """Do something so often, once before it counts, and print how long one of ``each`` took."""
    act()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) / each * 1e3)
    print(f"{name:44} median {statistics.median(took):9.3f} ms  min {min(took):9.3f} ms  of {times}", flush=True)


def disk(where: Path) -> None:
    """Say what one flush costs here and now."""
    with (where / "flushed").open("ab", buffering=0) as file:

        def flush() -> None:
            file.write(b"x" * 1500)
            os.fsync(file.fileno())

        tell("disk: 1.5 kB and a flush", flush, 100)


def hmp(where: Path) -> None:
    """Record with hmp."""
    import hmp_catalog

    catalog = hmp_catalog.open(where / "project", create=True)

    def run(parameters: dict[str, float] = PARAMETERS, metrics: dict[str, float] = METRICS) -> None:
        with catalog.record("gr4j", name="run", parameters=parameters) as rec:
            rec.metrics(metrics)

    tell("hmp: run of 10 parameters, 10 metrics", run, 300)
    with catalog.calibration("random", objective="1 - kge") as session:
        tell("hmp: trial, durable", lambda: session.trial(PARAMETERS, 0.5, METRICS, flush=True), 300)
        many = [(PARAMETERS, 0.5, {"kge": 0.5})] * 10_000
        tell("hmp: trial, 10,000 together", lambda: session.trials(many), 3, each=len(many))
    wide = {f"p{n}": float(n) for n in range(WIDE)}
    tell(f"hmp: run of {WIDE} parameters, {WIDE} metrics", lambda: run(wide, wide), 5)
    catalog.close()


def mlflow(where: Path) -> None:
    """Record the same with MLflow's SQLite store."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{where}/mlflow.db")

    def run() -> None:
        made = client.create_run("0", run_name="run")
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in METRICS.items()]
        client.log_batch(made.info.run_id, metrics, [Param(k, str(v)) for k, v in PARAMETERS.items()])
        client.set_terminated(made.info.run_id)

    tell("mlflow: run of 10 parameters, 10 metrics", run, 50)


def signac(where: Path) -> None:
    """Record the same with signac: the statepoint, and the document."""
    import signac

    (where / "signac").mkdir()
    project = signac.init_project(path=str(where / "signac"))
    numbers: Iterator[int] = iter(range(10**9))

    def run() -> None:
        job = project.open_job(PARAMETERS | {"n": next(numbers)}).init()
        job.document.update(METRICS)

    tell("signac: run of 10 parameters, 10 metrics", run, 200)


def optuna(where: Path) -> None:
    """Record trials with optuna's SQLite storage."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{where}/optuna.db")
    space = {name: optuna.distributions.FloatDistribution(0.0, 100.0) for name in PARAMETERS}
    done = optuna.trial.create_trial(params=PARAMETERS, distributions=space, value=0.5, user_attrs=METRICS)

    def ask() -> None:
        study.tell(study.ask(space), 0.5)

    tell("optuna: trial, asked and told", ask, 30)
    tell("optuna: trial, 100 together", lambda: study.add_trials([done] * 100), 2, each=100)


def main() -> None:
    """Measure what was named, or hmp alone."""
    for what in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            disk(Path(made))
            {"hmp": hmp, "mlflow": mlflow, "signac": signac, "optuna": optuna}[what](Path(made))


if __name__ == "__main__":
    main()
