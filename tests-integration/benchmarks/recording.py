"""How long recording takes: a run, a wide run, a trial, many trials; by hmp and by others.

``python recording.py [WHO ...]`` prints a line each; WHO is ``hmp``, ``mlflow`` (SQLite store), ``signac``, ``optuna``
(SQLite storage), ``original`` (`hydromodpy` 2.0.0a5 of PyPI, in an environment of its own). What hmp, MLflow and optuna
acknowledge is on the disk; signac flushes nothing. Nothing takes more than half a minute, and who is slow does less.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from timing import disk, tell

PARAMETERS = {f"x{n}": n * 1.5 for n in range(10)}
METRICS = {f"m{n}": n / 10 for n in range(10)}
MORE = {f"x{n}": n * 1.5 for n in range(20)}
WIDE = {f"p{n}": float(n) for n in range(10_000)}

RUN = "record a run: 20 parameters, 10 metrics, 2 inputs"
SMALL = "record a run: 10 parameters, 10 metrics"
LARGE = f"record a run: {len(WIDE)} parameters, {len(WIDE)} metrics"
TRIAL = "record a trial of 10 parameters, by itself"
TRIALS = "record a trial of 10 parameters, of many together"
RUNS, MANY = 500, 10_000


def forcing(where: Path) -> list[Path]:
    """Make two inputs of 100 kB."""
    files = [where / f"{name}.csv" for name in ("rain", "evaporation")]
    for n, file in enumerate(files):
        file.write_bytes(bytes([48 + n]) * 100_000)
    return files


def hmp(where: Path) -> None:
    """Record with hmp."""
    import hmp_catalog

    catalog = hmp_catalog.open(where / "project", create=True)
    inputs = forcing(catalog.path)

    def run(parameters: Mapping[str, float], metrics: Mapping[str, float], consumed: list[Path]) -> None:
        with catalog.record("gr4j", name="run", parameters=parameters, inputs=consumed) as rec:
            rec.metrics(metrics)

    tell("hmp", RUN, lambda: run(MORE, METRICS, inputs), RUNS)
    tell("hmp", SMALL, lambda: run(PARAMETERS, METRICS, []), RUNS, goal=3)
    tell("hmp", LARGE, lambda: run(WIDE, WIDE, []), 5, goal=200)
    database_side(where)
    with catalog.calibration("random", objective="1 - kge") as session:
        tell("hmp", TRIAL, lambda: session.trial(PARAMETERS, 0.5, METRICS, flush=True), MANY, goal=1)
        many = [(PARAMETERS, 0.5, METRICS)] * MANY
        tell("hmp", TRIALS, lambda: session.trials(many), 3, each=MANY, goal=0.05)
    catalog.close()


def database_side(where: Path) -> None:
    """Record without folding, then fold: what the database adds to a run, be it at once or later."""
    import hmp_catalog

    catalog = hmp_catalog.open(where / "later", create=True)
    os.environ["HMP_FOLD"] = "never"

    def record() -> None:
        for _ in range(RUNS):
            with catalog.record("gr4j", name="run", parameters=PARAMETERS) as rec:
                rec.metrics(METRICS)

    tell("hmp", f"{SMALL}, not folded", record, 1, each=RUNS, warm=False)
    del os.environ["HMP_FOLD"]
    tell("hmp", "of which the database: a run becomes rows", catalog.store.fold, 1, each=RUNS, warm=False, goal=1)
    assert len(catalog) == RUNS
    catalog.close()


def mlflow(where: Path) -> None:
    """Record the same with MLflow's SQLite store."""
    from mlflow.entities import Dataset, DatasetInput, Metric, Param
    from mlflow.tracking import MlflowClient

    client, inputs = MlflowClient(f"sqlite:///{where}/mlflow.db"), forcing(where)

    def run(parameters: Mapping[str, float], metrics: Mapping[str, float], consumed: list[Path]) -> None:
        made, now = client.create_run("0", run_name="run").info.run_id, int(time.time() * 1000)
        said = [Param(name, str(value)) for name, value in parameters.items()]
        told = [Metric(name, value, now, 0) for name, value in metrics.items()]
        for start in range(0, max(len(said), len(told)), 100):  # as many parameters as it takes at once
            client.log_batch(made, told[start : start + 100], said[start : start + 100])
        if consumed:
            hashes = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in consumed}
            sets = [Dataset(file.name, sha[:36], "local", str(file)) for file, sha in hashes.items()]
            client.log_inputs(made, [DatasetInput(each) for each in sets])
        client.set_terminated(made)

    tell("mlflow", RUN, lambda: run(MORE, METRICS, inputs), RUNS, within=25)
    tell("mlflow", SMALL, lambda: run(PARAMETERS, METRICS, []), 100, within=10)
    tell("mlflow", LARGE, lambda: run(WIDE, WIDE, []), 1, warm=False)


def signac(where: Path) -> None:
    """Record the same with signac: the statepoint, and the document."""
    import signac

    (where / "signac").mkdir()
    project, inputs = signac.init_project(path=str(where / "signac")), forcing(where)
    numbers: Iterator[int] = iter(range(10**9))

    def run(parameters: Mapping[str, float], consumed: list[Path]) -> None:
        hashes = {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in consumed}
        job = project.open_job({**parameters, "inputs": hashes, "n": next(numbers)}).init()
        job.document.update(METRICS)

    tell("signac", RUN, lambda: run(MORE, inputs), RUNS)
    tell("signac", SMALL, lambda: run(PARAMETERS, []), RUNS)


def original(where: Path) -> None:
    """Record the same with the original, by the verbs that it documents."""
    import hydromodpy

    logging.disable(logging.WARNING)
    project = where / "workspace" / "project"
    project.mkdir(parents=True)
    catalog: Any = hydromodpy.open(project, create=True)
    consumed = [
        SimpleNamespace(role="forcing", category="csv", original_path=str(file), canonical_path=file, portable=True)
        for file in forcing(project)
    ]

    def run(parameters: Mapping[str, float], inputs: list[Any]) -> None:
        made = str(uuid4())
        catalog.register_simulation(made, "project", "gr4j")
        catalog.write_parameters(made, [{"param_name": name, "value": value} for name, value in parameters.items()])
        for name, value in METRICS.items():
            catalog.write_metric(made, "outlet", name, value)
        if inputs:
            catalog.register_tracked_files(made, inputs)
        catalog.finalize(made)

    tell("original", RUN, lambda: run(MORE, consumed), RUNS, within=25)
    tell("original", SMALL, lambda: run(PARAMETERS, []), 100, within=10)
    catalog.close()


def optuna(where: Path) -> None:
    """Record trials with optuna's SQLite storage; a sample, for 10,000 take minutes."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{where}/optuna.db", sampler=optuna.samplers.RandomSampler(seed=1))
    space = {name: optuna.distributions.FloatDistribution(0.0, 100.0) for name in PARAMETERS}
    done = optuna.trial.create_trial(params=PARAMETERS, distributions=space, value=0.5, user_attrs=METRICS)
    tell("optuna", TRIAL, lambda: study.tell(study.ask(space), 0.5), MANY, within=15)
    tell("optuna", TRIALS, lambda: study.add_trials([done] * 100), 5, each=100)


def main() -> None:
    """Measure who was named, or hmp alone."""
    known = {"hmp": hmp, "mlflow": mlflow, "signac": signac, "original": original, "optuna": optuna}
    for who in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            disk(Path(made))
            known[who](Path(made))


if __name__ == "__main__":
    main()
