"""Trains in children that kill themselves at a chosen line; started by `test_experiment_killed.py` by its path.

Each line on standard input is ``FOLDER STEP``: a child is forked, which opens the experiments store in that folder and
does a `story` in it, and sends itself SIGKILL before the line of that number is run (0: never, -1: never, and the lines
are counted); lines are those of the rooms between a verb and the disk. Before an act it prints ``does N NAME``, and
when that returned ``did N CHANGES ID``; then what `killed_lines.traced` says, then ``end <signal or 0>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401, TID251 - imported before forking; no database is opened here
import joblib  # noqa: F401
import numpy as np
import polars  # noqa: F401
import pyarrow.parquet  # noqa: F401
from killed_lines import traced
from killed_process import say, serve

import hmp_catalog.experiments
import hmp_core.durable
import hmp_core.events.segment
from hmp_catalog.experiments.store import WorkspaceStore

#: Where nothing is written: what is only computed, or read.
PURE = {"__init__", "schema", "libraries", "values", "arrays", "chains", "replaying", "ranking", "queries", "exports"}
HOME = Path(hmp_catalog.experiments.__file__).parent
ROOMS = {str(each) for each in HOME.glob("*.py") if each.stem not in PURE}
ROOMS |= {hmp_core.durable.__file__, hmp_core.events.segment.__file__}

#: What an act adds to tables, the id of what it made; and what it is called.
Act = tuple[dict[str, int], str]
SHARED = {"coef": [1.0, 2.0]}
#: Acts that are whole or not at all, and may take away what was acknowledged before.
TAKING = {"fail pipeline", "delete run", "delete prediction", "fail run"}


def arrays(number: int) -> dict[str, Any]:
    """Return the arrays of the prediction with ``n_samples`` of that number."""
    return {"y_true": np.arange(number) / 3, "y_pred": np.arange(number) / 7, "sample_indices": np.arange(number)}


def prediction(store: Any, pipeline: str, chain: str, number: int) -> str:
    of_model = ("wheat", "m", "models.M", f"fold_{number}", "val", 0.1 * number, 0.2, 0.3, "rmse", "regression")
    return str(store.save_prediction(pipeline, chain, *of_model, number, 4, {"a": 1}, {}, None, None, 0, 0.0))


def chain(store: Any, pipeline: str, *artifacts: str) -> str:
    steps = [
        {"step_idx": 1, "operator_class": "m.Scaler", "params": {}, "artifact_id": artifacts[0], "stateless": False},
        {"step_idx": 2, "operator_class": "m.M", "params": {}, "artifact_id": None, "stateless": False},
    ]
    folds = {f"fold_{n}": each for n, each in enumerate(artifacts[1:])}
    return str(store.save_chain(pipeline, steps, 2, "m.M", "S", "per_fold", folds, {"1": artifacts[0]}))


def begun(store: Any, run: str) -> str:
    return str(store.begin_pipeline(run, "0001", {"a": 1}, [], "wheat", "0a1b"))


def story(store: Any) -> Iterator[tuple[str, Callable[[], Act]]]:
    """Give each act of a session by name, so that whoever does them can say so before and after."""
    made: dict[str, str] = {}

    def keep(name: str, act: Callable[[], str], **changes: int) -> tuple[str, Callable[[], Act]]:
        def do() -> Act:
            made[name] = act()
            return changes, made[name]

        return name, do

    def tell(name: str, act: Callable[[], Any], **changes: int) -> tuple[str, Callable[[], Act]]:
        def do() -> Act:
            act()
            return changes, "-"

        return name, do

    salt = np.random.default_rng().random(3)
    yield keep("run", lambda: store.begin_run("first", {"n": 1}, [{"name": "wheat"}]), runs=1)
    yield keep("pipeline", lambda: begun(store, made["run"]), pipelines=1)
    yield keep("artifact shared", lambda: store.save_artifact(SHARED, "m.Scaler", "transformer", "joblib"))
    yield keep("artifact own", lambda: store.save_artifact(salt, "m.M", "model", "joblib"))
    yield keep("chain", lambda: chain(store, made["pipeline"], made["artifact shared"], made["artifact own"]), chains=1)
    for n in (1, 2):
        yield keep(f"prediction {n}", lambda n=n: prediction(store, made["pipeline"], made["chain"], n), predictions=1)
        save = lambda n=n: store.save_prediction_arrays(made[f"prediction {n}"], **arrays(n))  # noqa: E731
        yield tell(f"arrays {n}", save, prediction_arrays=1)
    yield tell("log", lambda: store.log_step(made["pipeline"], 1, "m.M", "end", 3, "fine", {"a": 1}), logs=1)
    yield tell("complete pipeline", lambda: store.complete_pipeline(made["pipeline"], 0.1, 0.2, "rmse", 12))

    yield keep("doomed pipeline", lambda: begun(store, made["run"]), pipelines=1)
    yield keep("artifact doomed", lambda: store.save_artifact(salt + 1, "m.M", "model", "joblib"))
    doomed = lambda: chain(store, made["doomed pipeline"], made["artifact shared"], made["artifact doomed"])  # noqa: E731
    yield keep("doomed chain", doomed, chains=1)
    yield keep(
        "prediction 3", lambda: prediction(store, made["doomed pipeline"], made["doomed chain"], 3), predictions=1
    )
    yield tell("arrays 3", lambda: store.save_prediction_arrays(made["prediction 3"], **arrays(3)), prediction_arrays=1)
    yield tell("log doomed", lambda: store.log_step(made["doomed pipeline"], 1, "m.M", "end"), logs=1)
    fail = lambda: store.fail_pipeline(made["doomed pipeline"], "singular matrix")  # noqa: E731
    yield tell("fail pipeline", fail, chains=-1, predictions=-1, prediction_arrays=-1, logs=-1)
    yield tell("complete run", lambda: store.complete_run(made["run"], {"best": 0.1}))

    yield keep("other run", lambda: store.begin_run("second", {}, []), runs=1)
    yield keep("other pipeline", lambda: begun(store, made["other run"]), pipelines=1)
    yield keep("artifact other", lambda: store.save_artifact(salt + 2, "m.M", "model", "joblib"))
    other = lambda: chain(store, made["other pipeline"], made["artifact shared"], made["artifact other"])  # noqa: E731
    yield keep("other chain", other, chains=1)
    yield keep("prediction 4", lambda: prediction(store, made["other pipeline"], made["other chain"], 4), predictions=1)
    yield tell("arrays 4", lambda: store.save_prediction_arrays(made["prediction 4"], **arrays(4)), prediction_arrays=1)
    yield tell("flush", store.flush)
    yield keep("delete run", lambda: str(store.delete_run(made["other run"])), **_less("runs pipelines chains"))
    yield tell("delete prediction", lambda: store.delete_prediction(made["prediction 2"]), **_less(""))

    yield keep("last run", lambda: store.begin_run("third", {}, []), runs=1)
    yield keep("last pipeline", lambda: begun(store, made["last run"]), pipelines=1)
    yield keep("artifact loose", lambda: store.save_artifact(salt + 3, "m.M", "model", "joblib"))
    yield tell("collect", store.gc_artifacts)
    yield tell("fail run", lambda: store.fail_run(made["last run"], "out of time"))
    yield tell("close", store.close)


def _less(tables: str) -> dict[str, int]:
    return dict.fromkeys([*tables.split(), "predictions", "prediction_arrays"], -1)


def work(folder: Path) -> None:
    store = WorkspaceStore(folder)
    for number, (name, act) in enumerate(story(store)):
        say("does", number, name)
        changes, made = act()
        told = ",".join(f"{table}={count}" for table, count in changes.items())
        say("did", number, told or "-", made)


def child(folder: Path, fatal: int) -> None:
    traced(lambda: work(folder), ROOMS, fatal)


if __name__ == "__main__":
    serve(child)
