"""What a trained chain leaves in the store: its record, and the predictions of each fold and of all folds together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.experiments.building import ChainBuilder
from hmp_catalog.experiments.tracing import ExecutionTrace
from hmp_catalog.experiments.training import folds, scoring
from hmp_catalog.experiments.training.fitting import Answer, Trained, originals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hmp_catalog.experiments.store import WorkspaceStore
    from hmp_catalog.experiments.training.datasets import Dataset

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Kept:
    """A chain in the store, and the scores it is ranked by."""

    chain_id: str
    prediction_id: str
    model_name: str
    val_score: float | None
    test_score: float | None


def task_of(trained: Trained) -> str:
    """Return whether a chain's predictions are numbers to average or labels to vote on."""
    kinds = {a.predicted.dtype.kind for answers in trained.answers for a in answers.values()}
    numbers = not trained.labelled and kinds <= set("fiu") and ("f" in kinds or trained.regresses)
    return scoring.REGRESSION if numbers else scoring.CLASSIFICATION


def chain_of(trained: Trained) -> dict[str, Any]:
    """Return the record of a chain, as `WorkspaceStore.save_chain` takes it: its steps as they were executed."""
    chain = ChainBuilder(ExecutionTrace(steps=list(trained.done))).build()
    for entry, done in zip(chain["steps"], trained.done, strict=True):
        entry.update(done.metadata)  # the source that a step belongs to, also where it fitted nothing
    return chain


class Keeping:
    """Puts the chains of one pipeline into the store."""

    def __init__(self, store: WorkspaceStore, pipeline_id: str, dataset: Dataset, metric: str) -> None:
        self._store = store
        self._pipeline_id = pipeline_id
        self._dataset = dataset
        self._metric = metric

    def keep(self, trained: Trained) -> Kept:
        """Keep a chain with its predictions."""
        chain = chain_of(trained)
        if self._dataset.features is not None:
            chain["steps"][-1]["features"] = list(self._dataset.features)
        chain_id = self._store.save_chain(self._pipeline_id, **chain)
        task = task_of(trained)
        about: dict[str, Any] = {
            "chain_id": chain_id,
            "dataset_name": self._dataset.name,
            "model_name": trained.model.name or chain["model_class"].rpartition(".")[2],
            "model_class": chain["model_class"],
            "metric": self._metric,
            "task_type": task,
            "n_features": trained.n_features,
            "best_params": trained.best_params,
            "branch_id": trained.branch_id,
            "branch_name": trained.branch_name,
            "exclusion_count": 0,
            "exclusion_rate": 0.0,
            "preprocessings": chain["preprocessings"],
        }
        found: dict[str, str] = {}
        for fold, answers in zip(trained.folds, trained.answers, strict=True):
            found, scores = self._predictions(about, fold.name, answers)
        if trained.folds[0].name != folds.FINAL:
            found, scores = self._predictions(about, folds.AVERAGE, together(trained, task))
        ranked = next(found[part] for part in ("val", "test", "train") if part in found)
        worth = {part: scores[part][self._metric] for part in _PARTS}
        return Kept(chain_id, ranked, about["model_name"], worth["val"], worth["test"])

    def _predictions(
        self, about: Mapping[str, Any], fold: str, answers: Mapping[str, Answer]
    ) -> tuple[dict[str, str], dict[str, dict[str, float | None]]]:
        """Keep what was predicted for each partition; return the ids, and what each partition scored."""
        task = about["task_type"]
        observed = {part: self._observed(part, answer.rows) for part, answer in answers.items()}
        scores = dict.fromkeys(_PARTS, dict.fromkeys(scoring.METRICS[task])) | {
            part: scoring.scores(observed[part], answer.predicted, task) for part, answer in answers.items()
        }
        worth: dict[str, Any] = {f"{part}_score": scores[part][self._metric] for part in _PARTS}
        found = {}
        for part, answer in answers.items():
            found[part] = self._store.save_prediction(
                self._pipeline_id,
                fold_id=fold,
                partition=part,
                n_samples=len(answer.rows),
                scores={each: scores[each] for each in _PARTS if each in answers},
                **worth,
                **about,
            )
            proba = answer.told[0][1] if answer.told and len(answer.told) == 1 else None
            self._store.save_prediction_arrays(found[part], observed[part], answer.predicted, proba, answer.rows)
        return found, scores

    def _observed(self, part: str, rows: NDArray[np.int64]) -> NDArray[Any] | None:
        if part != "test":
            return self._dataset.y[rows]
        return self._dataset.y_test


# ── all folds together ───────────────────────────────────────────────────────────────────────────────


def together(trained: Trained, task: str) -> dict[str, Answer]:
    """Return what all folds say together: of validated samples by the models that did not see them, and of the test."""
    count = 1 + max(int(fold.val.max()) for fold in trained.folds)
    pieces = []
    for rows, places in folds.covered(trained.folds, count):
        answers = [_at(trained.answers[n]["val"], place) for n, place in places]
        pieces.append(_combined(trained, task, answers, rows))
    found = {"val": _in_order(pieces)}
    if all("test" in answers for answers in trained.answers):
        tests = [answers["test"] for answers in trained.answers]
        found["test"] = _combined(trained, task, tests, tests[0].rows)
    return found


def _at(answer: Answer, place: NDArray[np.int64]) -> Answer:
    told = None if answer.told is None else [(classes, proba[place]) for classes, proba in answer.told]
    return Answer(answer.rows[place], answer.said[place], answer.predicted[place], told)


def _combined(trained: Trained, task: str, answers: list[Answer], rows: NDArray[np.int64]) -> Answer:
    if task == scoring.REGRESSION:
        mean = folds.averaged([answer.predicted for answer in answers])
        return Answer(rows, mean, mean, None)
    # classes vote as the models know them, labels of unknown making as they come out
    votes = [answer.said if trained.labelled else answer.predicted for answer in answers]
    told = [answer.told for answer in answers]
    columns = 1 if votes[0].ndim == 1 else votes[0].shape[1]
    elected = []
    for k in range(columns):
        known = [t[k] for t in told if t is not None and len(t) == columns]
        given = [vote.reshape(len(vote), columns)[:, k] for vote in votes]
        elected.append(folds.elected(given, known if len(known) == len(answers) else []))
    label = elected[0] if votes[0].ndim == 1 else np.stack(elected, axis=1)
    return Answer(rows, label, originals(label, trained.targets) if trained.labelled else label, _mean(told))


def _mean(told: list[Any]) -> list[tuple[Any, NDArray[Any]]] | None:
    """Return the mean probability of each class that any of the models knows."""
    if any(each is None or len(each) != 1 for each in told):
        return None
    classes = np.unique(np.concatenate([np.asarray(each[0][0]) for each in told]))
    return [(classes, folds.averaged([folds.aligned(known, proba, classes) for ((known, proba),) in told]))]


def _in_order(pieces: list[Answer]) -> Answer:
    """Return the samples of several answers in the order of their rows."""
    order = np.argsort(np.concatenate([piece.rows for piece in pieces]))
    rows, said, predicted = (
        np.concatenate([getattr(piece, name) for piece in pieces])[order] for name in ("rows", "said", "predicted")
    )
    told = [piece.told for piece in pieces]
    if any(each is None for each in told):
        return Answer(rows, said, predicted, None)
    classes = np.unique(np.concatenate([np.asarray(each[0][0]) for each in told if each]))
    proba = np.concatenate([folds.aligned(*each[0], classes) for each in told if each])[order]
    return Answer(rows, said, predicted, [(classes, proba)])
