"""The experiments store beside others: pipelines, predictions, arrays, ranking, artefacts, deleting, opening, size.

``python experiments.py [--peers NAME=PYTHON ...] [--rounds 3] [--json FILE] [--where FOLDER] [--step STEP ...]``. Each
PYTHON has some version of `nirs4all`, of which the documented verbs are called: 0.7.1 keeps all in DuckDB, the newest
rows in SQLite and arrays in Parquet. A process a round and peer does the steps as it is told, and all take turns at
each step; what was written is asked for and compared. Times are of one round, the processor time is of all threads.

What of hmp writes also ends: closing the store is in its time, by when everything is on the disk and in the tables.
The others are neither closed nor told to complete the run in theirs. The newest has no verb for the arrays of one
prediction: it gets them all in one batch, its fastest way, and some one by one; its rows also in one transaction.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PIPELINES, CHAINS, PREDICTIONS, ARRAYS, LOGS, ARTIFACTS = 1_000, 100, 5_000, 1_000, 1_000, 200
VALUES = 1_000
ASKED = 20
FOLDS = 5
CLASSES = ("PLSRegression", "Ridge", "RandomForestRegressor", "SVR", "MLPRegressor")
SINGLES = 100
#: How many of one chain: of each class, fold and partition one, since the newest replaces what it knows already.
OF_CHAIN = len(CLASSES) * FOLDS * 2

#: Step -> what is told of it. They are done in this order, in one store.
STEPS = {
    "open": "open a new store",
    "pipelines": f"begin and complete {PIPELINES:,} pipelines",
    "chains": f"save {CHAINS} chains",
    "predictions": f"save {PREDICTIONS:,} predictions",
    "arrays": f"save arrays of {ARRAYS:,} predictions",
    "logs": f"log {LOGS:,} steps",
    "top first": "top 10, first after a write",
    "top": "top 10, asked again",
    "grouped first": "top 10 of each class, first after a write",
    "grouped": "top 10 of each class, asked again",
    "query first": "query all predictions, first after a write",
    "query": "query all predictions, asked again",
    "filtered": "query dataset and partition",
    "get": "get a prediction with its arrays",
    "artifacts": f"save {ARTIFACTS} artefacts, half of them twice",
    "load": "load an artefact",
    "parquet": "export all predictions to Parquet",
    "reopen": "reopen the store",
    "close": "close it",
    "delete": "delete the run, 8,101 rows",
    "vacuum": "vacuum",
    "all": f"open, {PREDICTIONS:,} predictions, {ARRAYS:,} arrays, complete, close",
    "predictions together": f"save {PREDICTIONS:,} predictions, one transaction",
    "arrays apart": f"save arrays of {SINGLES} predictions, one by one",
}
#: Of hmp alone: at most so many ms.
GOALS = {"all": 2_000.0, "top first": 5.0, "top": 5.0, "delete": 300.0}
#: How many saved arrays: what one of them costs must not depend on it.
GROWING = (100, 1_000, 10_000)
#: Beyond so many seconds the next, ten times as many, is not tried.
PATIENCE = 20.0


# ── who is measured ──────────────────────────────────────────────────────────────────────────────────


#: Predictions by their ids, and the arrays of each.
Arrays = list[tuple[str, dict[str, Any]]]


class Peer:
    """What the documented store of any of them does."""

    def __init__(self, store: Callable[[Path], Any]) -> None:
        self.open = store

    def ended(self, store: Any, home: Path) -> Any:
        """End what was written, in the time of it; return the store to go on with."""
        return store

    def save_arrays(self, store: Any, arrays: Arrays) -> None:
        for identity, values in arrays:
            store.save_prediction_arrays(identity, **values)

    def save_arrays_apart(self, store: Any, arrays: Arrays) -> None:
        self.save_arrays(store, arrays)

    def together(self, store: Any) -> contextlib.AbstractContextManager[Any]:
        """Return what puts calls together."""
        return contextlib.nullcontext()


class Hmp(Peer):
    """What hmp does, to the end."""

    def ended(self, store: Any, home: Path) -> Any:
        store.close()
        return self.open(home)


class InBatches(Peer):
    """The newest, whose arrays have a store of their own."""

    def _record(self, identity: str, values: dict[str, Any]) -> dict[str, Any]:
        told = {"dataset_name": "wheat", "model_name": "m", "fold_id": "fold_0", "partition": "val", "metric": "rmse"}
        rest = {"val_score": 1.0, "task_type": "regression", "y_proba": None, "weights": None}
        return {"prediction_id": identity, **told, **rest, **values}

    def save_arrays(self, store: Any, arrays: Arrays) -> None:
        store.array_store.save_batch([self._record(*each) for each in arrays])

    def save_arrays_apart(self, store: Any, arrays: Arrays) -> None:
        for each in arrays:
            store.array_store.save_batch([self._record(*each)])

    def together(self, store: Any) -> contextlib.AbstractContextManager[Any]:
        return store.transaction()


def way(who: str) -> Peer:
    if who == "hmp":
        from hmp_catalog.experiments.store import WorkspaceStore

        return Hmp(WorkspaceStore)
    from nirs4all.pipeline.storage import WorkspaceStore as Theirs

    kind = Peer if hasattr(Theirs, "save_prediction_arrays") else InBatches
    return kind(Theirs)


# ── one round, in a process of its own ───────────────────────────────────────────────────────────────


class Round:
    """The steps of one peer in one store; each returns what one of it took, in ms of clock and of processor."""

    def __init__(self, who: str, home: Path) -> None:
        self.way, self.home = way(who), home
        self.chance = np.random.default_rng(3)
        self.count = 0
        self.fitted = models()
        self.made = [self._values() for _ in range(ARRAYS)]
        # what is imported at the first call is not what is compared
        with contextlib.closing(self._opened("warm")) as store:
            ids = self._predict_all(store, self._new_chains(store, "warm", 1)[1], 1)
            self.way.save_arrays(store, self._arrays_of(ids))
            store.save_artifact(self.fitted[0], "sklearn.linear_model.Ridge", "model", "joblib")
            store.top_predictions(1)
            store.query_predictions()

    def _opened(self, name: str) -> Any:
        self.path = self.home / name
        return self.way.open(self.path)

    def do(self, step: str) -> dict[str, float]:
        """Do a step."""
        return getattr(self, "_" + step.replace(" ", "_"))()  # type: ignore[no-any-return]

    # ── what is written ──────────────────────────────────────────────────────────────────────────────

    def _begin(self, store: Any, run: str, number: int) -> str:
        config = {"steps": [{"class": "StandardScaler"}, {"class": "PLSRegression", "n_components": number % 20}]}
        return store.begin_pipeline(run, f"{number:04d}_pls", config, [{"n": number}], "wheat", "0a1b2c")  # type: ignore[no-any-return]

    def _chain(self, store: Any, pipeline: str) -> str:
        told = {"params": {"n": 1}, "artifact_id": None, "stateless": True}
        steps = [
            {"step_idx": 1, "operator_class": "sklearn.preprocessing.FunctionTransformer", **told},
            {"step_idx": 2, "operator_class": "sklearn.linear_model.Ridge", **told},
        ]
        return store.save_chain(pipeline, steps, 2, "sklearn.linear_model.Ridge", "SNV>Detr", "per_fold", {}, {})  # type: ignore[no-any-return]

    def _predict(self, store: Any, pipeline: str, chain: str, number: int, fold: int = 0) -> str:
        val, test, train = (float(each) for each in self.chance.random(3))
        name = CLASSES[number // 2 % len(CLASSES)]
        return store.save_prediction(  # type: ignore[no-any-return]
            pipeline,
            chain,
            "wheat",
            name,
            f"sklearn.{name}",
            f"fold_{fold or number // 2 // len(CLASSES)}",
            "val" if number % 2 else "test",
            val,
            test,
            train,
            "rmse",
            "regression",
            VALUES,
            200,
            {"val": {"rmse": val, "r2": 1 - val}, "test": {"rmse": test, "r2": 1 - test}},
            {"n_components": number % 20},
            None,
            None,
            0,
            0.0,
            "SNV>Detr",
        )

    def _predict_all(self, store: Any, chains: list[tuple[str, str]], count: int) -> list[str]:
        """Save so many predictions, those of a chain one after the other; there are enough chains."""
        return [self._predict(store, *chains[n // OF_CHAIN], n % OF_CHAIN) for n in range(count)]

    def _new_chains(self, store: Any, name: str, count: int) -> tuple[str, list[tuple[str, str]]]:
        """Begin a run with chains for so many predictions; return both."""
        run = store.begin_run(name, {}, [{"name": "wheat"}])
        pipelines = [self._begin(store, run, n) for n in range(-(-count // OF_CHAIN))]
        return run, [(each, self._chain(store, each)) for each in pipelines]

    def _values(self) -> dict[str, Any]:
        true = self.chance.random(VALUES)
        return {"y_true": true, "y_pred": true + 0.01, "sample_indices": np.arange(VALUES)}

    def _arrays_of(self, ids: list[str]) -> Arrays:
        """Return arrays for predictions: no two alike, up to a thousand."""
        return [(identity, self.made[n % ARRAYS]) for n, identity in enumerate(ids)]

    @contextlib.contextmanager
    def _timed(self, took: dict[str, float], each: int = 1, *, writes: bool = False) -> Iterator[None]:
        wall, cpu = time.perf_counter(), processor()
        yield
        if writes:
            self.store = self.way.ended(self.store, self.path)
        wall, cpu = time.perf_counter() - wall, processor() - cpu
        took |= {"wall": wall / each * 1e3, "cpu": cpu / each * 1e3}

    def _open(self) -> dict[str, float]:
        found = []
        for number in range(5):
            took: dict[str, float] = {}
            with self._timed(took):
                store = self._opened(f"new {number}")
            store.close()
            found.append(took)
        self.store = self._opened("store")
        self.run = self.store.begin_run("benchmark", {"n": 1}, [{"name": "wheat"}])
        return middle(found)

    def _pipelines(self) -> dict[str, float]:
        took: dict[str, float] = {}
        self.pipelines = []
        with self._timed(took, writes=True):
            for number in range(PIPELINES):
                pipeline = self._begin(self.store, self.run, number)
                self.store.complete_pipeline(pipeline, 0.5, 0.6, "rmse", number)
                self.pipelines.append(pipeline)
        assert self.store.list_pipelines(run_id=self.run).height == PIPELINES
        return took

    def _chains(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took, writes=True):
            self.saved = [(each, self._chain(self.store, each)) for each in self.pipelines[:CHAINS]]
        return took

    def _predictions(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took, writes=True):
            self.predicted = self._predict_all(self.store, self.saved, PREDICTIONS)
        assert self.store.query_predictions().height == PREDICTIONS
        return took

    def _arrays(self) -> dict[str, float]:
        took: dict[str, float] = {}
        arrays = self._arrays_of(self.predicted[:ARRAYS])
        with self._timed(took, writes=True):
            self.way.save_arrays(self.store, arrays)
        for identity, values in (arrays[0], arrays[-1]):
            found = self.store.get_prediction(identity, load_arrays=True)
            for name, expected in values.items():
                np.testing.assert_array_equal(found[name], expected)
        return took | {"bytes": size(self.path)}

    def _logs(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took, writes=True):
            for number in range(LOGS):
                self.store.log_step(self.pipelines[number], 1, "StandardScaler", "end", 12, "fitted", {"n": number})
        return took

    # ── what is asked ────────────────────────────────────────────────────────────────────────────────

    def _asked(self, ask: Callable[[int], Any], *, first: bool) -> dict[str, float]:
        """Ask so often, each time after one more prediction was saved, or after a while in which nothing was."""
        found, made = [], []
        for number in range(ASKED):
            if first or not number:
                made.append(self._predict(self.store, *self.saved[0], 1, fold=100 + number))
            if not first and not number:
                self._undone(made)
                ask(0)
                time.sleep(0.1)  # what changed a moment ago is looked at again
                ask(0)
            took: dict[str, float] = {}
            with self._timed(took):
                ask(number)
            found.append(took)
        self._undone(made)
        return middle(found)

    def _undone(self, made: list[str]) -> None:
        for each in made:
            assert self.store.delete_prediction(each)
        made.clear()

    def _top_of(self, number: int) -> None:
        metric = ("val_score", "test_score", "train_score")[number % 3]
        found = self.store.top_predictions(5 + number, metric, number % 2 == 0, "val" if number % 4 else "test")
        assert found.height == 5 + number

    def _best_of_each(self, number: int) -> None:
        metric = ("val_score", "test_score", "train_score")[number % 3]
        found = self.store.top_predictions(5 + number, metric, number % 2 == 0, group_by="model_class")
        assert found.height == len(CLASSES) * (5 + number)

    def _all_of_them(self, number: int) -> None:
        assert PREDICTIONS <= self.store.query_predictions().height <= PREDICTIONS + 1 + number

    def _top_first(self) -> dict[str, float]:
        return self._asked(self._top_of, first=True)

    def _top(self) -> dict[str, float]:
        return self._asked(self._top_of, first=False)

    def _grouped_first(self) -> dict[str, float]:
        return self._asked(self._best_of_each, first=True)

    def _grouped(self) -> dict[str, float]:
        return self._asked(self._best_of_each, first=False)

    def _query_first(self) -> dict[str, float]:
        return self._asked(self._all_of_them, first=True)

    def _query(self) -> dict[str, float]:
        return self._asked(self._all_of_them, first=False)

    def _filtered(self) -> dict[str, float]:
        def ask(number: int) -> None:
            found = self.store.query_predictions(dataset_name="wheat", partition="val" if number % 2 else "test")
            assert found.height == PREDICTIONS // 2

        return self._asked(ask, first=False)

    def _get(self) -> dict[str, float]:
        which = self.chance.permutation(ARRAYS)

        def ask(number: int) -> None:
            found = self.store.get_prediction(self.predicted[which[number]], load_arrays=True)
            assert found["y_true"][7] == self.made[which[number]]["y_true"][7]

        return self._asked(ask, first=False)

    # ── fitted objects ───────────────────────────────────────────────────────────────────────────────

    def _artifacts(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took, writes=True):
            self.kept = [
                self.store.save_artifact(
                    self.fitted[n % (ARTIFACTS // 2)], "sklearn.linear_model.Ridge", "model", "joblib"
                )
                for n in range(ARTIFACTS)
            ]
        assert len(set(self.kept)) == ARTIFACTS // 2
        return took

    def _load(self) -> dict[str, float]:
        which = self.chance.permutation(ARTIFACTS // 2)

        def ask(number: int) -> None:
            found = self.store.load_artifact(self.kept[which[number]])
            assert (found.coef_ == self.fitted[which[number]].coef_).all()

        return self._asked(ask, first=False)

    def _parquet(self) -> dict[str, float]:
        return self._asked(lambda n: self.store.export_predictions_parquet(self.home / f"{n}.parquet"), first=False)

    # ── the store as a whole ─────────────────────────────────────────────────────────────────────────

    def _reopen(self) -> dict[str, float]:
        self.store.close()
        found, self.closing = [], []
        for _ in range(5):
            took: dict[str, float] = {}
            with self._timed(took):
                store = self.way.open(self.path)
            assert store.list_runs().height == 1
            found.append(took)
            took = {}
            with self._timed(took):
                store.close()
            self.closing.append(took)
        self.store = self.way.open(self.path)
        return middle(found)

    def _close(self) -> dict[str, float]:
        return middle(self.closing)

    def _delete(self) -> dict[str, float]:
        took: dict[str, float] = {}
        self.store.complete_run(self.run, {"n": 1})
        self.store.list_runs()
        with self._timed(took):
            rows = self.store.delete_run(self.run)
        # arrays are not rows for everybody
        assert rows in {
            1 + PIPELINES + CHAINS + PREDICTIONS + ARRAYS + LOGS,
            1 + PIPELINES + CHAINS + PREDICTIONS + LOGS,
        }
        assert self.store.query_predictions().height == 0
        return took

    def _vacuum(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took):
            self.store.vacuum()
        self.store.close()
        return took | {"bytes": size(self.path)}

    def _all(self) -> dict[str, float]:
        took: dict[str, float] = {}
        with self._timed(took):
            store = self._opened("all")
            run, chains = self._new_chains(store, "all", PREDICTIONS)
            ids = self._predict_all(store, chains, PREDICTIONS)
            self.way.save_arrays(store, self._arrays_of(ids[:ARRAYS]))
            for pipeline, _ in chains:
                store.complete_pipeline(pipeline, 0.1, 0.2, "rmse", 1)
            store.complete_run(run, {})
            store.close()
        with contextlib.closing(self.way.open(self.path)) as store:
            assert store.query_predictions().height == PREDICTIONS
            found = store.get_prediction(ids[0], load_arrays=True)
            np.testing.assert_array_equal(found["y_pred"], self.made[0]["y_pred"])
        return took

    def _predictions_together(self) -> dict[str, float]:
        took: dict[str, float] = {}
        self.store = self._opened("together")
        _, chains = self._new_chains(self.store, "together", PREDICTIONS)
        with self._timed(took, writes=True), self.way.together(self.store):
            self._predict_all(self.store, chains, PREDICTIONS)
        assert self.store.query_predictions().height == PREDICTIONS
        self.store.close()
        return took

    def _arrays_apart(self) -> dict[str, float]:
        return self.grown(SINGLES, apart=True)

    def grown(self, count: int, *, apart: bool = False) -> dict[str, float]:
        """Save the arrays of so many predictions in a new store."""
        took: dict[str, float] = {}
        self.count += 1
        self.store = self._opened(f"grown {self.count}")
        with self.way.together(self.store):
            ids = self._predict_all(self.store, self._new_chains(self.store, "grown", count)[1], count)
        self.store.query_predictions(limit=1)
        arrays = self._arrays_of(ids)
        with self._timed(took, writes=True):
            (self.way.save_arrays_apart if apart else self.way.save_arrays)(self.store, arrays)
        found = self.store.get_prediction(ids[-1], load_arrays=True)
        np.testing.assert_array_equal(found["y_pred"], arrays[-1][1]["y_pred"])
        self.store.close()
        took["bytes"] = size(self.path)
        shutil.rmtree(self.path)
        return took


def models() -> list[Any]:
    """Return small fitted models, no two of them equal."""
    from sklearn.linear_model import Ridge

    chance = np.random.default_rng(5)
    x = chance.random((50, 200))
    return [Ridge(alpha=1 + n).fit(x, x[:, 0] + n) for n in range(ARTIFACTS // 2)]


def middle(found: list[dict[str, float]]) -> dict[str, float]:
    return {what: statistics.median(each[what] for each in found) for what in found[0]}


def processor() -> float:
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def size(path: Path) -> float:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def serve(who: str, home: Path) -> None:
    """Do the steps that come on standard input, one a line."""
    import logging

    logging.disable(logging.WARNING)
    done = Round(who, home)
    print(json.dumps({"ready": 1}), flush=True)
    for line in sys.stdin:
        word, _, count = line.strip().partition(":")
        print(json.dumps(done.grown(int(count)) if word == "grown" else done.do(word)), flush=True)


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────


class Child:
    """A process that does steps."""

    def __init__(self, who: str, python: str, home: Path) -> None:
        self.who = who
        home.mkdir()
        command = [python, "-W", "ignore", __file__, "--child", who, "--where", str(home)]
        environment = os.environ | {"HMP_STATE_HOME": str(home)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=home, env=environment
        )
        self._heard()

    def do(self, step: str) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                found: dict[str, float] = json.loads(line)
                return found
        message = f"{self.who} ended"
        raise RuntimeError(message)

    def end(self) -> None:
        self.process.communicate()


class Bench:
    """The rounds of all who are measured."""

    def __init__(self, home: Path, pythons: dict[str, str], steps: tuple[str, ...]) -> None:
        self.home, self.pythons, self.steps = home, pythons, steps
        self.took: dict[str, dict[str, list[dict[str, float]]]] = {who: {step: [] for step in steps} for who in pythons}
        self.growth: dict[str, dict[int, dict[str, float]]] = {who: {} for who in pythons}

    def round(self, number: int) -> None:
        """Do every step once, by each in turn."""
        order = list(self.pythons)
        children = {who: self._child(who, str(number)) for who in order}
        for place, step in enumerate(self.steps):
            turn = (number + place) % len(order)
            for who in order[turn:] + order[:turn]:
                self.took[who][step].append(children[who].do(step))
                os.sync()
        for child in children.values():
            child.end()

    def grow(self) -> None:
        """Save more and more arrays; whoever takes too long is not asked for ten times as many."""
        for who in self.pythons:
            child = self._child(who, "growth")
            for count in GROWING:
                self.growth[who][count] = child.do(f"grown:{count}")
                os.sync()
                if self.growth[who][count]["wall"] > PATIENCE * 1e3:
                    break
            child.end()

    def _child(self, who: str, name: str) -> Child:
        home = self.home / f"{who} {name}"
        return Child(who, self.pythons[who], home)

    def report(self) -> dict[str, Any]:
        """Return every figure."""
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "versions": {who: versions(python) for who, python in self.pythons.items()},
            "took": self.took,
            "growth": self.growth,
        }


def versions(python: str) -> dict[str, str]:
    names = ("hmp-catalog", "nirs4all", "duckdb", "polars", "numpy", "scikit-learn")
    ask = "from importlib import metadata as m\nhere = {d.name: d.version for d in m.distributions()}\n"
    ask += f"for n in {names}:\n if n in here: print(n, here[n])"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in told.splitlines())


def median(bench: Bench, who: str, step: str, what: str) -> float | None:
    took = [each[what] for each in bench.took[who][step] if what in each]
    return statistics.median(took) if took else None


def tell(bench: Bench) -> bool:
    """Print the tables, and return whether every goal is met and hmp is ahead in all."""
    for what in ("wall", "cpu"):
        name = "clock" if what == "wall" else "processor"
        print(f"\n{name}: ms, median of rounds; in brackets as many times as {next(iter(bench.pythons))}")
        print(f"  {'':58}" + "".join(f"{who:>24}" for who in bench.pythons))
        for step in bench.steps:
            print(f"  {STEPS[step]:58}" + "".join(f"{cell:>24}" for cell in cells(bench, step, what)))
    tell_sizes(bench)
    tell_growth(bench)
    behind = list(lost(bench))
    print("\nwhere hmp loses (clock):", *(behind or ["nowhere"]), sep="\n  ")
    return tell_goals(bench) and not behind


def cells(bench: Bench, step: str, what: str) -> Iterator[str]:
    base = median(bench, next(iter(bench.pythons)), step, what)
    for who in bench.pythons:
        mine = median(bench, who, step, what)
        if mine is None:
            yield "-"
        else:
            yield f"{mine:12.3f} ({mine / base:8.2f})" if base else f"{mine:12.3f}"


def tell_sizes(bench: Bench) -> None:
    print("\nsize in MB")
    for step, text in (("arrays", "after the arrays"), ("vacuum", "after deleting all of it and vacuum")):
        if step in bench.steps:
            found = (median(bench, who, step, "bytes") for who in bench.pythons)
            print(f"  {text:58}" + "".join(f"{(each or 0) / 1e6:24.2f}" for each in found))


def tell_growth(bench: Bench) -> None:
    print("\nms of the clock for the arrays of one prediction, of so many")
    for count in GROWING:
        found = (bench.growth[who].get(count) for who in bench.pythons)
        told = (f"{each['wall'] / count:.3f}" if each else "-" for each in found)
        print(f"  {count:58,}" + "".join(f"{each:>24}" for each in told))


def lost(bench: Bench) -> Iterator[str]:
    if "hmp" not in bench.pythons:
        return
    for step in bench.steps:
        mine = median(bench, "hmp", step, "wall")
        for who in bench.pythons:
            theirs = median(bench, who, step, "wall")
            if mine and theirs and theirs < mine:
                yield f"{STEPS[step]}: {theirs:.3f} ms by {who}, {mine:.3f} ms by hmp"


def tell_goals(bench: Bench) -> bool:
    """Say which goals are met."""
    met = []
    if "hmp" in bench.pythons:
        print("\ngoals of hmp (clock):")
        for step, goal in GOALS.items():
            found = median(bench, "hmp", step, "wall") if step in bench.steps else None
            if found is not None:
                met.append(found <= goal)
                print(f"  {STEPS[step]:58} {found:10.2f} ms  at most {goal:g}  {'met' if met[-1] else 'MISSED'}")
    return all(met)


def main() -> None:
    """Measure and compare, or be one of those who are."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON", help="interpreters that have nirs4all")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--json", type=Path, help="where every figure goes")
    asked.add_argument("--where", type=Path, help="the folder to work in")
    asked.add_argument("--step", choices=STEPS, action="append", help="only up to the last of these")
    asked.add_argument("--without", action="store_true", help="without hmp")
    asked.add_argument("--child", help=argparse.SUPPRESS)
    said = asked.parse_args()
    if said.child:
        serve(said.child, said.where)
        return
    with tempfile.TemporaryDirectory(dir=said.where) as folder:
        measure(said, Path(folder))


def measure(said: argparse.Namespace, home: Path) -> None:
    pythons = {} if said.without else {"hmp": sys.executable}
    for pair in said.peers:
        name, _, python = pair.partition("=")
        pythons[name] = python
    steps = tuple(STEPS)
    if said.step:
        steps = steps[: max(steps.index(each) for each in said.step) + 1]
    print("load", " ".join(f"{load:.2f}" for load in os.getloadavg()), "on", os.cpu_count(), "cores", flush=True)
    bench = Bench(home, pythons, steps)
    for number in range(said.rounds):
        bench.round(number)
        print(f"round {number + 1} of {said.rounds}", "load", f"{os.getloadavg()[0]:.2f}", flush=True)
        if said.json:
            said.json.write_text(json.dumps(bench.report(), indent=1))
    if not said.step:
        bench.grow()
    if said.json:
        said.json.write_text(json.dumps(bench.report(), indent=1))
    tell(bench)


if __name__ == "__main__":
    main()
