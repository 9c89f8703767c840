"""`WorkspaceStore`: one folder of training runs; each verb is a line, its room does the work."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hmp_catalog.experiments import exports, queries
from hmp_catalog.experiments.ending import Ending
from hmp_catalog.experiments.handing import Handing
from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.loading import Loading
from hmp_catalog.experiments.recording import Recording
from hmp_catalog.experiments.snapshot import Snapshot
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from upath import UPath

    from hmp_core.protocols import AuthBackend, BackendFactory


class WorkspaceStore:
    """Keeps training runs, their pipelines, chains, predictions, fitted objects and logs in one folder.

    What a ``begin_``, ``save_``, ``log_`` or ``complete_`` call returned from outlives this process, however it ends;
    from the next ``complete_``, `flush` or `close` on it outlives a power cut too. Other processes may read and write
    at any time, and see it as soon as the call has returned. Ids are UUIDs as text.

    Parameters
    ----------
    workspace_path
        The folder; made, with ``store.duckdb`` and ``artifacts/``, if it is not there.
    auth
        Who is asked for the right to read and write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for a lock.
    read_only
        Refuse every write; the store must be there.
    backend
        Makes what opens the database; by default `hmp_core.backends.DuckDBBackend`.

    Raises
    ------
    UnsupportedScheme, NotWritable, AccessDenied, BusyError, CorruptError, SchemaTooNewError, DatabaseNotFound
        If the store cannot be had; see `hmp_core.errors`. Nothing is changed.

    Examples
    --------
    >>> import tempfile
    >>> with WorkspaceStore(tempfile.mkdtemp()) as store:
    ...     run = store.begin_run("first", {"seed": 7}, [{"name": "wheat"}])
    ...     pipeline = store.begin_pipeline(run, "0001_pls", {}, [], "wheat", "")
    ...     store.complete_pipeline(pipeline, best_val=0.12, best_test=0.15, metric="rmse", duration_ms=840)
    ...     store.complete_run(run, {"best": 0.12})
    ...     store.get_run(run)["status"]
    'completed'
    """

    def __init__(
        self,
        workspace_path: str | Path | UPath,
        *,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        read_only: bool = False,
        backend: BackendFactory | None = None,
    ) -> None:
        self._asked = {"auth": auth, "timeout": timeout, "read_only": read_only, "backend": backend}
        self._keeper = Keeper(to_local(workspace_path), **self._asked)  # type: ignore[arg-type]
        self._recording = Recording(self._keeper)
        self._ending = Ending(self._keeper, self._recording)
        self._loading = Loading(self._keeper)
        self._handing = Handing(self._keeper, self._loading)
        self._snapshot = Snapshot(self._keeper)
        # a store that was not closed is closed with its last reference, or with the interpreter
        self._closing = weakref.finalize(self, self._keeper.close)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def path(self) -> Path:
        """The folder of the store, links followed."""
        return self._keeper.folder

    @property
    def database(self) -> Path:
        """The database file."""
        return self._keeper.database

    @property
    def notice(self) -> str:
        """What the last answer lacks, where this process may not put pending entries into the tables; else empty."""
        return self._keeper.lack

    def flush(self) -> None:
        """Put everything that was written on the disk: it then outlives a power cut.

        Raises
        ------
        StorageError
            If the disk refused it.
        """
        self._keeper.flush()

    def close(self) -> None:
        """Flush, bring what is pending into the tables, and refuse every further use. Closing twice is allowed."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), self.path, self._asked)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────

    def begin_run(self, name: str, config: Any, datasets: list[dict[str, Any]]) -> str:
        """Begin a run and return its id.

        Parameters
        ----------
        name
            What it is called; several runs may have the same name.
        config
            Its configuration, kept as JSON (see `hmp_catalog.experiments.values`).
        datasets
            What is known of each dataset: ``name``, and whatever else. With ``entry``, an entry of the input cache, or
            ``path``, a file of the workspace, the bytes are recorded by their hash; see `input_entries`.

        Raises
        ------
        InvalidInput
            For what cannot be kept.
        InputChanged
            If an entry's file is not what the cache registered.
        """
        return self._recording.begin_run(name, config, datasets)

    def complete_run(self, run_id: str, summary: dict[str, Any]) -> None:
        """Say that a run ended well; everything before is durable then.

        Raises
        ------
        ExperimentNotFound
            If there is no such run (a ``KeyError``).
        EndedError
            If it failed.
        """
        self._recording.complete_run(run_id, summary)

    def fail_run(self, run_id: str, error: str) -> None:
        """Say that a run failed, with those of its pipelines that are not completed (see `fail_pipeline`).

        Raises
        ------
        ExperimentNotFound
            If there is no such run.
        EndedError
            If it is completed. Failing twice is harmless.
        """
        self._ending.fail_run(run_id, error)

    # ── pipelines ────────────────────────────────────────────────────────────────────────────────────

    def begin_pipeline(
        self,
        run_id: str,
        name: str,
        expanded_config: Any,
        generator_choices: list[Any],
        dataset_name: str,
        dataset_hash: str,
    ) -> str:
        """Begin a pipeline of a run and return its id.

        Raises
        ------
        ExperimentNotFound
            If there is no such run.
        EndedError
            If the run failed.
        """
        return self._recording.begin_pipeline(
            run_id,
            name=name,
            expanded_config=expanded_config,
            generator_choices=generator_choices,
            dataset_name=dataset_name,
            dataset_hash=dataset_hash,
        )

    def complete_pipeline(
        self, pipeline_id: str, best_val: float | None, best_test: float | None, metric: str, duration_ms: int
    ) -> None:
        """Say that a pipeline ended well; everything before is durable then.

        Parameters
        ----------
        best_val, best_test
            Its scores in the units of ``metric``; None or NaN where there is none.
        duration_ms
            Milliseconds that it took.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline.
        EndedError
            If it failed.
        """
        self._recording.complete_pipeline(
            pipeline_id, best_val=best_val, best_test=best_test, metric=metric, duration_ms=duration_ms
        )

    def fail_pipeline(self, pipeline_id: str, error: str) -> None:
        """Say that a pipeline failed: its chains, predictions, arrays and logs go, at once and whole.

        What its chains named is let go of, and removed by `gc_artifacts` if nothing else names it.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline.
        EndedError
            If it is completed. Failing twice is harmless.
        """
        self._ending.fail_pipeline(pipeline_id, error)

    # ── chains ───────────────────────────────────────────────────────────────────────────────────────

    def save_chain(
        self,
        pipeline_id: str,
        steps: list[dict[str, Any]],
        model_step_idx: int,
        model_class: str,
        preprocessings: str,
        fold_strategy: str,
        fold_artifacts: dict[str, Any],
        shared_artifacts: dict[str, Any],
        branch_path: list[int] | None = None,
        source_index: int | None = None,
    ) -> str:
        """Keep a chain of preprocessing and model, and return its id.

        Parameters
        ----------
        steps
            In order, each with ``step_idx``, ``operator_class``, ``params``, ``artifact_id`` and ``stateless``; see
            `hmp_catalog.experiments.replaying` for what else is understood.
        model_step_idx
            The ``step_idx`` of the model.
        preprocessings
            What it is shown as, such as ``"SNV>Detr>MinMax"``.
        fold_strategy
            ``"per_fold"`` or ``"shared"``.
        fold_artifacts, shared_artifacts
            Fold -> id of its model; step -> id of its fitted object, or a list of them.
        branch_path, source_index
            Which branch it went through, and which source it read.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline.
        EndedError
            If the pipeline failed.
        InvalidInput
            For what is no chain.
        """
        return self._recording.save_chain(
            pipeline_id,
            steps=steps,
            model_step_idx=model_step_idx,
            model_class=model_class,
            preprocessings=preprocessings,
            fold_strategy=fold_strategy,
            fold_artifacts=fold_artifacts,
            shared_artifacts=shared_artifacts,
            branch_path=branch_path,
            source_index=source_index,
        )

    def get_chain(self, chain_id: str) -> dict[str, Any] | None:
        """Return a chain, None if there is none of that id."""
        with self._keeper.reading() as backend:
            return queries.chain(backend, chain_id)

    def get_chains_for_pipeline(self, pipeline_id: str) -> pl.DataFrame:
        """Return the chains of a pipeline, a row each."""
        with self._keeper.reading() as backend:
            return queries.chains_of(backend, pipeline_id)

    def replay_chain(self, chain_id: str, X: np.ndarray, wavelengths: np.ndarray | None = None) -> np.ndarray:  # noqa: N803
        """Predict with a chain, exactly as it was trained.

        Parameters
        ----------
        X
            Features (n_samples x n_features), or a list of such matrices where there are several sources.
        wavelengths
            Passed to the steps whose ``transform`` takes them.

        Returns
        -------
        numpy.ndarray
            Predictions (n_samples) in the units of the target, (n_samples x n_outputs) for several outputs: the mean
            of the models of all folds, or the label that most of them vote for.

        Raises
        ------
        ExperimentNotFound
            If there is no such chain, or it names an artefact that nobody saved.
        ArtifactLost, ArtifactDamaged
            If a file is not there, or not what was saved; the error names the artefact.
        ReplayError
            If the chain cannot be replayed as it was trained.
        """
        found: np.ndarray = self._handing.replay(chain_id, X, wavelengths)
        return found

    # ── predictions ──────────────────────────────────────────────────────────────────────────────────

    def save_prediction(  # noqa: PLR0913, PLR0917 - as documented
        self,
        pipeline_id: str,
        chain_id: str | None,
        dataset_name: str,
        model_name: str,
        model_class: str,
        fold_id: str,
        partition: str,
        val_score: float | None,
        test_score: float | None,
        train_score: float | None,
        metric: str,
        task_type: str,
        n_samples: int,
        n_features: int,
        scores: dict[str, Any],
        best_params: dict[str, Any],
        branch_id: int | None,
        branch_name: str | None,
        exclusion_count: int,
        exclusion_rate: float,
        preprocessings: str = "",
    ) -> str:
        """Keep what a chain scored, and return the id of the prediction.

        A score that is None or NaN was not measured: it never wins a ranking.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline or chain.
        EndedError
            If the pipeline failed.
        InvalidInput
            For what cannot be kept.
        """
        said = locals()
        return self._recording.save_prediction(**{name: said[name] for name in _PREDICTION})

    def save_prediction_arrays(
        self,
        prediction_id: str,
        y_true: np.ndarray | None,
        y_pred: np.ndarray | None,
        y_proba: np.ndarray | None = None,
        sample_indices: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Keep the arrays of a prediction; given again, they replace the former ones.

        Parameters
        ----------
        y_true, y_pred
            Observed and predicted (n_samples or n_samples x n_outputs), numbers or labels.
        y_proba
            Probabilities (n_samples x n_classes); the shape is kept.
        sample_indices
            Whole numbers of 64 bits (n_samples).
        weights
            Numbers (n_samples).

        Raises
        ------
        ExperimentNotFound
            If there is no such prediction.
        InvalidInput
            For what is no array of numbers or labels, or has another length.
        """
        self._recording.save_prediction_arrays(
            prediction_id,
            y_true=y_true,
            y_pred=y_pred,
            y_proba=y_proba,
            sample_indices=sample_indices,
            weights=weights,
        )

    # ── artefacts ────────────────────────────────────────────────────────────────────────────────────

    def save_artifact(self, obj: Any, operator_class: str, artifact_type: str, format: str) -> str:  # noqa: A002
        """Keep a fitted object, and return its id, which follows from its content: the same bytes have the same id.

        Parameters
        ----------
        operator_class, artifact_type
            What it is, as ``"sklearn.preprocessing.StandardScaler"`` and ``"scaler"``.
        format
            ``"joblib"``, ``"pickle"`` or ``"cloudpickle"``.

        Raises
        ------
        InvalidInput
            For another format, or an object that cannot be pickled.
        MissingPart
            If the library of the format is not installed.
        """
        return self._recording.save_artifact(obj, operator_class, artifact_type, format)

    def load_artifact(self, artifact_id: str) -> Any:
        """Return a fitted object. Its bytes are checked first; unpickling runs code of whoever saved it.

        Raises
        ------
        ExperimentNotFound
            If there is no such artefact (a ``KeyError``).
        ArtifactLost, ArtifactDamaged
            If its file is not there (a ``FileNotFoundError``), or not what was saved.
        """
        return self._loading.load(artifact_id)

    def get_artifact_path(self, artifact_id: str) -> Path:
        """Return where the file of an artefact lies.

        Raises
        ------
        ExperimentNotFound
            If there is no such artefact.
        """
        return self._loading.path(artifact_id)

    def artifact(self, artifact_id: str) -> dict[str, Any] | None:
        """Return what is known of an artefact, ``ref_count`` being how many chains name it; None if there is none."""
        return self._loading.record(artifact_id)

    # ── logs ─────────────────────────────────────────────────────────────────────────────────────────

    def log_step(
        self,
        pipeline_id: str,
        step_idx: int,
        operator_class: str,
        event: str,
        duration_ms: int | None = None,
        message: str | None = None,
        details: dict[str, Any] | None = None,
        level: str = "info",
    ) -> None:
        """Keep what a step reported; ``event`` "end" with its ``duration_ms`` counts for the summary.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline.
        EndedError
            If the pipeline failed.
        """
        self._recording.log_step(
            pipeline_id,
            step_idx=step_idx,
            operator_class=operator_class,
            event=event,
            duration_ms=duration_ms,
            message=message,
            details=details,
            level=level,
        )

    def get_pipeline_log(self, pipeline_id: str) -> pl.DataFrame:
        """Return what the steps of a pipeline reported, by step, in the order in which it came."""
        with self._keeper.reading() as backend:
            return queries.log_of(backend, pipeline_id)

    def get_run_log_summary(self, run_id: str) -> pl.DataFrame:
        """Return a row for each pipeline of a run: entries, milliseconds, warnings, errors."""
        with self._keeper.reading() as backend:
            return queries.log_summary(backend, run_id)

    # ── questions ────────────────────────────────────────────────────────────────────────────────────

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        """Return a run, None if there is none of that id."""
        with self._keeper.reading() as backend:
            return queries.run(backend, run_id)

    def list_runs(
        self, status: str | None = None, dataset: str | None = None, limit: int = 100, offset: int = 0
    ) -> pl.DataFrame:
        """Return runs, the newest first; of those with a dataset of exactly that name, where one is given."""
        with self._keeper.reading() as backend:
            return queries.runs(backend, status, dataset, limit, offset)

    def get_pipeline(self, pipeline_id: str) -> dict[str, Any] | None:
        """Return a pipeline, None if there is none of that id."""
        with self._keeper.reading() as backend:
            return queries.pipeline(backend, pipeline_id)

    def list_pipelines(self, run_id: str | None = None, dataset_name: str | None = None) -> pl.DataFrame:
        """Return pipelines, the newest first."""
        with self._keeper.reading() as backend:
            return queries.pipelines(backend, run_id, dataset_name)

    def get_prediction(self, prediction_id: str, load_arrays: bool = False) -> dict[str, Any] | None:  # noqa: FBT001, FBT002
        """Return a prediction, with its arrays if asked for; None if there is none of that id."""
        with self._keeper.reading() as backend:
            return queries.prediction(backend, prediction_id, load_arrays=load_arrays)

    def query_predictions(
        self,
        dataset_name: str | None = None,
        model_class: str | None = None,
        partition: str | None = None,
        fold_id: str | None = None,
        branch_id: int | None = None,
        pipeline_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pl.DataFrame:
        """Return the predictions that meet every filter, the newest first.

        Filters are exact; in ``model_class`` a ``%`` stands for any text.

        Raises
        ------
        InvalidInput
            For a filter of the wrong kind, or a negative limit or offset.
        """
        said = locals()
        return self._snapshot.predictions(**{name: said[name] for name in _FILTERS})

    def top_predictions(
        self,
        n: int,
        metric: str = "val_score",
        ascending: bool = True,  # noqa: FBT001, FBT002
        partition: str = "val",
        dataset_name: str | None = None,
        group_by: str | None = None,
    ) -> pl.DataFrame:
        """Return the ``n`` best predictions by a score, the best first; ``n`` of each group of ``group_by``.

        Parameters
        ----------
        metric
            ``"val_score"``, ``"test_score"`` or ``"train_score"``.
        ascending
            Whether less is better.

        Raises
        ------
        InvalidInput
            For a column that is no score, or that cannot be grouped by (a ``ValueError``).
        """
        return self._snapshot.top(n, metric, ascending, partition, dataset_name, group_by)

    # ── exports ──────────────────────────────────────────────────────────────────────────────────────

    def export_chain(self, chain_id: str, output_path: Path, format: str = "n4a") -> Path:  # noqa: A002
        """Write a chain with all it needs as a bundle (``"n4a"``) or a script (``"n4a.py"``), and return where.

        Raises
        ------
        ExperimentNotFound
            If there is no such chain.
        InvalidInput
            For another format.
        ArtifactLost, ArtifactDamaged
            If an artefact is not there or not what was saved: then nothing is written.
        """
        return self._handing.chain(chain_id, output_path, format)

    def export_pipeline_config(self, pipeline_id: str, output_path: Path) -> Path:
        """Write the configuration of a pipeline as JSON, and return where.

        Raises
        ------
        ExperimentNotFound
            If there is no such pipeline.
        """
        return self._handing.pipeline_config(pipeline_id, output_path)

    def export_run(self, run_id: str, output_path: Path) -> Path:
        """Write a run with its pipelines and chains as YAML, and return where.

        Raises
        ------
        ExperimentNotFound
            If there is no such run.
        """
        return self._handing.run(run_id, output_path)

    def export_predictions_parquet(self, output_path: Path, **filters: Any) -> Path:
        """Write the predictions that meet the filters of `query_predictions` as Parquet, and return where."""
        return exports.predictions_to_parquet(self.query_predictions(**filters), to_local(output_path))

    # ── inputs ───────────────────────────────────────────────────────────────────────────────────────

    def input_entries(self, run_id: str) -> Any:
        """Return what a run consumed of the input cache and the workspace, each with its state now.

        Raises
        ------
        ExperimentNotFound
            If there is no such run.
        MissingPart
            If hydromodpy, which ties the cache to it, is not installed.
        """
        from hmp_catalog.experiments.consumed import input_entries

        return input_entries(self, run_id)

    # ── clearing away ────────────────────────────────────────────────────────────────────────────────

    def delete_run(self, run_id: str, delete_artifacts: bool = True) -> int:  # noqa: FBT001, FBT002
        """Delete a run with all that belongs to it, whole or not at all; return how many rows went.

        Fitted objects that no other chain names go with it, but for those that were saved again since and wait for
        their chain; with `delete_artifacts` off they go with the next `gc_artifacts`.
        """
        return self._ending.delete_run(run_id, delete_artifacts=delete_artifacts)

    def delete_prediction(self, prediction_id: str) -> bool:
        """Delete a prediction with its arrays; False if there is none of that id."""
        return self._ending.delete_prediction(prediction_id)

    def gc_artifacts(self) -> int:
        """Remove the fitted objects that no chain names, and return how many files went.

        What another open store, or another thread, saved and has not named yet stays; what this thread saved and
        has not named goes.
        """
        return self._ending.gc_artifacts()

    def vacuum(self) -> None:
        """Give back the room that deleted rows take.

        Raises
        ------
        StorageError
            If the disk has no room for the copy that this takes; the store is as it was.
        """
        self._ending.vacuum()


_PREDICTION = tuple(name for name in WorkspaceStore.save_prediction.__annotations__ if name != "return")
_FILTERS = tuple(name for name in WorkspaceStore.query_predictions.__annotations__ if name != "return")


def _reopened(kind: type[WorkspaceStore], path: Path, asked: dict[str, Any]) -> WorkspaceStore:
    return kind(path, **asked)
