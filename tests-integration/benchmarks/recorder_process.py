"""One writer of the benchmarks and of the kill tests: records runs until it is done or dies.

``python recorder_process.py KIND WHERE COUNT NAME`` waits for a line on standard input, then prints a line
``ack <sim_id> <seconds since 1970>`` after each run that was acknowledged. KIND is ``rows`` (events only), ``runs``
(folder and sealed manifest) or ``mlflow`` (the same facts to an MLflow SQLite store).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

PARAMETERS = {f"x{n}": n * 1.5 for n in range(10)}
METRICS = {f"m{n}": n / 10 for n in range(10)}


def rows(where: Path, name: str) -> Iterator[Callable[[], str]]:
    """Yield calls that log one simulation of 21 rows each."""
    from rows_only import open_store

    with_log = open_store(where)
    while True:
        yield lambda: with_log.append("simulated", {"id": str(uuid4()), "p": PARAMETERS, "m": METRICS}).payload["id"]


def runs(where: Path, name: str) -> Iterator[Callable[[], str]]:
    """Yield calls that record one run with its folder and sealed manifest each."""
    import hmp_catalog
    from hmp_catalog.environment import capture

    catalog = hmp_catalog.open(where)
    capture()  # once per process, as for any script that has started

    def one() -> str:
        with catalog.record("gr4j", name=name, parameters=PARAMETERS) as rec:
            rec.metrics(METRICS)
        return rec.sim_id

    while True:
        yield one


def mlflow(where: Path, name: str) -> Iterator[Callable[[], str]]:
    """Yield calls that store the same facts in MLflow's SQLite store."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{where}/mlflow.db")

    def one() -> str:
        run = client.create_run("0", run_name=name)
        moment = int(time.time() * 1000)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(k, v, moment, 0) for k, v in METRICS.items()],
            params=[Param(k, str(v)) for k, v in PARAMETERS.items()],
        )
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    while True:
        yield one


def main() -> None:
    """Wait for the start, record, acknowledge."""
    kind, where, count, name = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    make = {"rows": rows, "runs": runs, "mlflow": mlflow}[kind](where, name)
    one = next(make)
    print("ready", flush=True)
    sys.stdin.readline()
    print("start", time.time(), flush=True)
    for _ in range(count):
        print("ack", one(), time.time(), flush=True)
    print("end", time.time(), flush=True)


if __name__ == "__main__":
    main()
