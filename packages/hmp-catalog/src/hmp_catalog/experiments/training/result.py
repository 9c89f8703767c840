"""`Result`: what a run of training came out with; it asks the store, and holds nothing open."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from hmp_catalog.errors import ExperimentNotFound
from hmp_catalog.experiments import libraries
from hmp_catalog.experiments.training import folds, scoring
from hmp_catalog.plain import whole
from hmp_core.errors import InvalidInput
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars as pl
    from upath import UPath

    from hmp_catalog.experiments.store import WorkspaceStore

#: What `top` shows of a chain in a notebook.
_SHOWN = ("model_name", "preprocessings", "branch_name", "val_score", "test_score", "train_score")


class Result:
    """What a run of training came out with.

    Parameters
    ----------
    store
        The store it was kept in.
    run_id
        The run.
    summary
        What the run was completed with.

    Examples
    --------
    See `hmp_catalog.experiments.training.run`.
    """

    def __init__(self, store: WorkspaceStore, run_id: str, summary: dict[str, Any]) -> None:
        self._store = store
        self.run_id = run_id
        self.summary = summary

    @property
    def store(self) -> WorkspaceStore:
        """The store the run is kept in."""
        return self._store

    @property
    def metric(self) -> str:
        """What its chains are ranked by."""
        return str(self.summary["metric"])

    @property
    def predictions(self) -> pl.DataFrame:
        """Every prediction of the run: of each chain, fold and partition."""
        return self._store.query_predictions(run_id=self.run_id)

    @property
    def best(self) -> dict[str, Any]:
        """The prediction that ranks its chain first, as `WorkspaceStore.get_prediction` gives it; see `top`.

        Raises
        ------
        ExperimentNotFound
            If the run was deleted meanwhile.
        """
        found = self.top(1)["prediction_id"]
        if found.is_empty():
            message = f"no prediction of run {self.run_id} is left in {self._store.path}: they were deleted"
            raise ExperimentNotFound(message, reference=self.run_id, candidates=[])
        return self._prediction(found.item())

    def top(self, n: int = 5) -> pl.DataFrame:
        """Return the chains that predict best, a row each: what all their folds predicted for validation.

        They are ranked by the validation score, in the direction of the metric. Where nothing was validated, the score
        on test samples counts, else that on training samples; a score that is not there never wins.

        Parameters
        ----------
        n
            How many.

        Raises
        ------
        InvalidInput
            If it is no whole number above zero.
        """
        count = whole(n, "n")
        if count is None or count < 1:
            message = f"n is {n}, expected a whole number above zero"
            raise InvalidInput(message)
        pl = libraries.polars()
        ranks = pl.col("partition").replace_strict({"val": 0, "test": 1, "train": 2}, return_dtype=pl.Int8)
        found = self.predictions.filter(pl.col("fold_id").is_in([folds.AVERAGE, folds.FINAL]))
        found = found.sort(ranks).unique("chain_id", keep="first", maintain_order=True)
        scores = ["val_score", "test_score", "train_score"]
        less = scoring.is_lower_better(self.metric)
        keys = [pl.col(key).is_null() if null else pl.col(key) for key in scores for null in (True, False)]
        order = [*keys, pl.col("created_at"), pl.col("prediction_id")]
        descending = [*(flag for _ in scores for flag in (False, not less)), False, False]
        return found.sort(order, descending=descending, nulls_last=True).head(count)

    def predict(self, X: Any, wavelengths: Any = None) -> np.ndarray:  # noqa: N803
        """Predict with the best chain; see `replay`."""
        return self.replay(self.best["chain_id"], X, wavelengths)

    def replay(self, chain_id: str, X: Any, wavelengths: Any = None) -> np.ndarray:  # noqa: N803
        """Predict with a chain, exactly as it was trained; see `WorkspaceStore.replay_chain`."""
        return self._store.replay_chain(chain_id, X, wavelengths)

    def export(
        self,
        path: str | Path | UPath,
        prediction_id: str | None = None,
        *,
        chain_id: str | None = None,
        format: str | None = None,  # noqa: A002 - the word of the doors
    ) -> Path:
        """Write a chain to a file that predicts without the store.

        Parameters
        ----------
        path
            Where to; folders are made.
        prediction_id
            A prediction of the chain; by default it is the best one.
        chain_id
            The chain itself, in the place of a prediction of it.
        format
            ``"n4a"``, a bundle, or ``"n4a.py"``, a script; by default what ``path`` ends in, else a bundle.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ExperimentNotFound
            If there is no such prediction or chain.
        InvalidInput
            If both are given, or for another format.
        """
        if prediction_id is not None and chain_id is not None:
            message = "give a prediction_id or a chain_id, not both"
            raise InvalidInput(message)
        if chain_id is None:
            found = self.best if prediction_id is None else self._prediction(prediction_id)
            chain_id = found["chain_id"]
        if chain_id is None:
            message = f"prediction {prediction_id} is of no chain"
            raise ExperimentNotFound(message, reference=prediction_id, candidates=[])
        output = to_local(path)
        wanted = format or ("n4a.py" if output.suffix == ".py" else "n4a")
        return self._store.export_chain(chain_id, output, wanted)

    def input_entries(self) -> list[Any]:
        """Return the files and cache entries that the dataset came from."""
        found: list[Any] = self._store.input_entries(self.run_id)
        return found

    def _prediction(self, prediction_id: str) -> dict[str, Any]:
        found = self._store.get_prediction(prediction_id)
        if found is None:
            message = f"no prediction {prediction_id} in {self._store.path}"
            raise ExperimentNotFound(message, reference=prediction_id, candidates=[])
        return found

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────

    def __repr__(self) -> str:
        best = self.summary["best"]
        failed = f", {self.summary['n_failed']} failed" if self.summary["n_failed"] else ""
        pipelines = f"{self.summary['n_completed']} pipelines{failed}"
        part, score = ("val", best["val_score"]) if best["val_score"] is not None else ("test", best["test_score"])
        shown = "" if score is None else f", {part} {self.metric} {score:.4g}"
        return f"<Result {self.run_id[:8]}: {pipelines}, best {best['model_name']}{shown}>"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in _SHOWN)
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in _SHOWN) + "</tr>"
            for row in self.top(10).iter_rows(named=True)
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>"


def _cell(value: Any) -> str:
    return "" if value is None else html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
