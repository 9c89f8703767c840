"""`run`: pipelines trained on a dataset, everything of it kept in the experiments store of a workspace."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_catalog.errors import TrainingFailed
from hmp_catalog.experiments import values
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_catalog.experiments.training import datasets, expansion, keeping, scoring
from hmp_catalog.experiments.training.fitting import Fitting
from hmp_catalog.experiments.training.reading import home_of
from hmp_catalog.experiments.training.result import Result
from hmp_catalog.inputs import describe
from hmp_catalog.plain import printable, whole, word
from hmp_core.errors import HmpError, InvalidInput, PathEscape
from hmp_core.identity import sha256_path
from hmp_core.layout import project_root, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from upath import UPath

    from hmp_catalog.experiments.training.datasets import Dataset
    from hmp_catalog.experiments.training.expansion import Pipeline
    from hmp_catalog.experiments.training.keeping import Kept


def run(
    pipeline: Any,
    dataset: Any,
    *,
    workspace: str | Path | UPath | WorkspaceStore | None = None,
    name: str | None = None,
    target: str | Sequence[str] | None = None,
    metric: str | None = None,
    random_state: int | None = None,
    artifact_format: str = "joblib",
    verbose: int = 0,
) -> Result:
    """Train pipelines on a dataset, and keep what was executed, fitted, predicted and scored.

    Parameters
    ----------
    pipeline
        A list of steps, or a mapping of names to such lists. The objects are scikit-learn's, or have the same methods;
        they are copied, never fitted themselves. A step is one of

        - a transformer (``fit``, ``transform``), or an importable function of X: ``StandardScaler()``, ``np.log1p``;
        - ``{"transform": operator}``, for one that could also predict, as a PLS;
        - ``{"y_processing": transformer}``, which turns the targets; predictions come back in their units;
        - a splitter (``split``): ``KFold(5)``, or ``{"split": KFold(5)}``, makes the folds; it gets the groups of the
      dataset, if it has any;
        - ``{"branch": [[...], [...]]}``, or ``{"branch": {"name": [...]}}``: the steps of each branch, and whatever
          follows, make a chain of their own;
        - ``{"source": [[...], [...]]}``: the transformers of each matrix of X, which are put side by side afterwards;
        - the model, last: an estimator (``fit``, ``predict``), or ``{"model": estimator, "name": ...}``;
        - ``{"_or_": [a, b, None]}``: a pipeline for each alternative (a step, a list of steps, or none);
        - ``{"_range_": [start, stop, step], "param": "n_components", "model": estimator}``: a pipeline for each number
          from start to stop, stop included; with ``transform`` or ``y_processing`` in the place of ``model`` alike.

        Transformers are fitted on all training samples, those of validation too; what must not see them belongs into
        the model, as a scikit-learn ``Pipeline``. A model is trained for each fold. Without a splitter one model is
        trained on all samples (``fold_final``), and its validation score is None.
    dataset
        ``(X, y)``; ``(X_train, y_train, X_test, y_test)``; a mapping of ``X``, ``y``, ``X_test``, ``y_test``,
        ``groups``, ``wavelengths``, ``name``; a frame of pandas or polars; a CSV or Parquet file, its path or its entry
        in the cache; a folder of ``Xcal.csv``, ``Ycal.csv``, ``Xval.csv``, ``Yval.csv``, or of ``X.csv``, ``Y.csv``.
        X may be a list of matrices, one of each source.
    workspace
        The folder of the store, or the store; by default the project, else the workspace, that the current folder is
        in, else ``workspace`` in it.
    name
        Of the run; by default that of the dataset.
    target
        The columns of a table, or of the Y of a folder, that are predicted.
    metric
        What ranks: ``"rmse"`` (the default), ``"mae"`` or ``"r2"`` of numbers, ``"accuracy"`` (the default) or
        ``"balanced_accuracy"`` of labels.
    random_state
        For every step that has a ``random_state`` and was not given one: with it, the same pipeline on the same data
        leaves the same artefacts.
    artifact_format
        How fitted objects are kept: ``"joblib"``, ``"pickle"``, or ``"cloudpickle"`` for those of classes that are no
        part of an installed module. What the script itself defines is always kept so.
    verbose
        1 tells of each pipeline on standard error.

    Returns
    -------
    Result
        What came out. A pipeline that failed is in its ``summary``, and does not end the run.

    Raises
    ------
    InvalidInput
        If the dataset, the pipeline, or another argument is none; nothing was kept.
    TrainingFailed
        If every pipeline failed; the error of the first is its cause.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> class Line:
    ...     def fit(self, X, y):
    ...         self.slope = np.linalg.lstsq(X, y, rcond=None)[0]
    ...     def predict(self, X):
    ...         return X @ self.slope
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> y = np.sqrt(X).sum(axis=1)
    >>> found = run([np.sqrt, Line()], (X, y), workspace=tempfile.mkdtemp(), artifact_format="cloudpickle")
    >>> found.predict([[4.0, 9.0]]).round(6)
    array([5.])
    """
    pipelines = expansion.expanded(pipeline)
    scoring.require_known(metric)
    seed = whole(random_state, "random_state")
    store = workspace if isinstance(workspace, WorkspaceStore) else None
    folder = store.path if store is not None else _folder(workspace)  # type: ignore[arg-type]
    root = workspace_root(folder) or folder
    data = datasets.read(dataset, target, root)
    config: dict[str, Any] = {"pipelines": {each.name: each.described() for each in pipelines}, "metric": metric}
    config |= {"random_state": seed, "artifact_format": artifact_format}
    values.kept(config, "pipeline")
    about = _about(data, root)
    called = word(name or data.name, "name of the run")
    store = store or WorkspaceStore(folder)
    run_id = store.begin_run(called, config, [about])
    training = _Training(store, run_id, data, metric, seed, artifact_format, verbose)
    with _Session(store, run_id):
        summary = training.all_of(pipelines)
    return Result(store, run_id, summary)


def _folder(workspace: str | Path | UPath | None) -> Path:
    if workspace is not None:
        return to_local(workspace)
    here = Path.cwd()
    return project_root(here) or workspace_root(here) or here / "workspace"


def _about(data: Dataset, root: Path) -> dict[str, Any]:
    """Return what is kept of a dataset, with the files and entries it came from."""
    inputs, elsewhere = [], []
    for each in data.inputs:
        try:
            inputs += describe([each], home_of(each, root))
        except PathEscape:  # outside the workspace: what was read is known by its hash
            elsewhere.append({"name": each.name, "sha256": sha256_path(each)})
    return {
        "name": data.name,
        "n_samples": data.n_samples,
        "n_features": data.n_features,
        "hash": data.hash,
        "inputs": inputs,
    } | ({"elsewhere": elsewhere} if elsewhere else {})


class _Session(AbstractContextManager["_Session"]):
    """Fails the run if anything leaves the block, an interrupt too."""

    def __init__(self, store: WorkspaceStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._store.fail_run(self._run_id, _told(error))


class _Attempt(AbstractContextManager["_Attempt"]):
    """Fails the pipeline if its operators raise, and lets the next one begin; what the store refuses ends the run."""

    def __init__(self, store: WorkspaceStore, pipeline_id: str) -> None:
        self._store, self._pipeline_id = store, pipeline_id
        self.error: Exception | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False] | bool:
        if not isinstance(error, Exception) or (isinstance(error, HmpError) and not isinstance(error, InvalidInput)):
            return False
        self.error = error
        self._store.fail_pipeline(self._pipeline_id, _told(error))
        return True


def _told(error: BaseException) -> str:
    return printable("".join(traceback.format_exception(error)))


class _Training:
    """The pipelines of one run."""

    def __init__(
        self,
        store: WorkspaceStore,
        run_id: str,
        data: Dataset,
        metric: str | None,
        seed: int | None,
        artifact_format: str,
        verbose: int,
    ) -> None:
        self._store, self._run_id, self._data = store, run_id, data
        self._seed, self._format, self._verbose = seed, artifact_format, verbose
        self._metric = metric

    def all_of(self, pipelines: Sequence[Pipeline]) -> dict[str, Any]:
        """Train each, complete the run, and return its summary."""
        started = time.perf_counter()
        found: dict[str, list[Kept]] = {}
        errors: dict[str, Exception] = {}
        for n, each in enumerate(pipelines, 1):
            error = self._one(each, found)
            if error is not None:
                errors[each.name] = error
            self._tell(f"{n}/{len(pipelines)} {each.name}: {self._outcome(found.get(each.name), error)}")
        if not found:
            first, cause = next(iter(errors.items()))
            message = f"all {len(pipelines)} pipelines failed, {first} with {type(cause).__name__}: {cause}"
            raise TrainingFailed(message, run_id=self._run_id) from cause
        summary = self._summary(found, errors) | {"duration_ms": round((time.perf_counter() - started) * 1000)}
        self._store.complete_run(self._run_id, summary)
        return summary

    def _one(self, pipeline: Pipeline, found: dict[str, list[Kept]]) -> Exception | None:
        started = time.perf_counter()
        pipeline_id = self._store.begin_pipeline(
            self._run_id, pipeline.name, pipeline.described(), pipeline.choices, self._data.name, self._data.hash
        )
        with _Attempt(self._store, pipeline_id) as attempt:
            fitting = Fitting(self._store, pipeline_id, self._data, self._seed, self._format)
            kept = []
            for trained in fitting.trained(pipeline.steps):
                metric = scoring.metric_of(self._metric, keeping.task_of(trained))
                self._metric = metric
                kept.append(keeping.Keeping(self._store, pipeline_id, self._data, metric).keep(trained))
            best = self._best(kept)
            took = round((time.perf_counter() - started) * 1000)
            self._store.complete_pipeline(pipeline_id, best.val_score, best.test_score, str(self._metric), took)
            found[pipeline.name] = kept
        return attempt.error

    def _best(self, kept: Sequence[Kept]) -> Kept:
        sign = 1 if scoring.is_lower_better(str(self._metric)) else -1
        # what was not measured comes last
        return min(kept, key=lambda k: [(s is None, sign * (s or 0.0)) for s in (k.val_score, k.test_score)])

    def _summary(self, found: Mapping[str, list[Kept]], errors: Mapping[str, Exception]) -> dict[str, Any]:
        best = self._best([each for kept in found.values() for each in kept])
        named = next(name for name, kept in found.items() if best in kept)
        return {
            "metric": self._metric,
            "n_pipelines": len(found) + len(errors),
            "n_completed": len(found),
            "n_failed": len(errors),
            "failed": {name: printable(f"{type(error).__name__}: {error}") for name, error in errors.items()},
            "best": {
                "pipeline": named,
                "model_name": best.model_name,
                "chain_id": best.chain_id,
                "prediction_id": best.prediction_id,
                "val_score": best.val_score,
                "test_score": best.test_score,
            },
        }

    def _outcome(self, kept: Sequence[Kept] | None, error: Exception | None) -> str:
        if kept is None:
            return f"failed, {type(error).__name__}: {error}"
        best = self._best(kept)
        score = best.test_score if best.val_score is None else best.val_score
        return f"{self._metric} {'not measured' if score is None else format(score, '.4g')}"

    def _tell(self, line: str) -> None:
        if self._verbose:
            sys.stderr.write(f"{line}\n")
