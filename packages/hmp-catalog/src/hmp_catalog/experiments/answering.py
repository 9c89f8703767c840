"""What the models of a chain answer together: regressions averaged, labels voted on, both as the targets were.

Its text is part of exported scripts, where hmp is not installed: see `replaying`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.experiments.operators import can, named, of_targets
from hmp_catalog.experiments.planning import Step, article, refused, shown

if TYPE_CHECKING:
    _Array = np.ndarray[Any, Any]


def answer(step: Step, models: list[Any], x: Any, targets: list[tuple[Step, Any]]) -> _Array:
    """Return what models predict together for a matrix, in the units and labels of the training targets."""
    rows = int(x.shape[0])
    # a model may work in place: the next one gets its own
    given = [_prediction(step, m, copied(x), rows) for m in models]
    labelled = [hasattr(m, "classes_") and not _regresses(m) for m in models]
    if all(labelled):
        return _originals(_vote(step, models, given, x), targets)
    if any(labelled):
        raise refused(step, "some of its fold models tell classes and some do not")
    given = [_originals(p, targets) for p in given]
    kinds = {p.dtype.kind for p in given}
    if kinds <= set("fiu") and ("f" in kinds or all(map(_regresses, models))):
        _check_alike(step, given)
        mean: _Array = np.mean(np.stack(given).astype(np.float64), axis=0)
        return mean
    return _vote(step, [], given, x)


def model_of(step: Step, artifact: str, found: Any) -> Any:
    """Return an artefact that is a model."""
    if isinstance(found, type) or not can(found, "predict"):
        raise refused(step, f"artefact {shown(artifact)} is {article(found)}, which predicts nothing")
    return found


def _regresses(model: Any) -> bool:
    tags = model.__sklearn_tags__() if hasattr(model, "__sklearn_tags__") else None
    return getattr(tags, "estimator_type", getattr(model, "_estimator_type", None)) == "regressor"


def _prediction(step: Step, model: Any, x: Any, rows: int) -> _Array:
    with named(step):
        found = _flat(dense(model.predict(suited(model, x))))
    if found.shape[:1] != (rows,):
        raise refused(step, f"it predicted {found.shape} for {rows} samples")
    if found.dtype.kind not in "fiubOSU":
        raise refused(step, f"it predicted {found.dtype}, expected numbers or labels")
    return found


def _flat(values: _Array) -> _Array:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _originals(values: _Array, targets: list[tuple[Step, Any]]) -> _Array:
    """Return predictions as the targets were before they were processed: last processed, first undone."""
    for step, operator in reversed(targets):
        if not can(operator, "inverse_transform"):
            raise refused(step, f"it is {article(operator)}, which cannot be undone: it has no inverse_transform")
        with named(step):
            column = values.ndim == 1 and not of_targets(operator)
            values = _flat(dense(operator.inverse_transform(values.reshape(-1, 1) if column else values)))
    return values


def _check_alike(step: Step, given: list[Any]) -> None:
    found = {p.shape for p in given}
    if len(found) > 1:
        raise refused(step, f"its fold models predicted shapes that differ: {sorted(found)}")


def _vote(step: Step, models: list[Any], given: list[_Array], x: Any) -> _Array:
    _check_alike(step, given)
    if len({"O" if p.dtype.kind in "OSU" else p.dtype.kind for p in given}) > 1:
        raise refused(step, f"its fold models predicted labels that differ in kind: {[str(p.dtype) for p in given]}")
    if len(given) == 1:
        return given[0]
    with named(step):
        votes = np.stack(given)
        told = [m.predict_proba(suited(m, copied(x))) for m in models if can(m, "predict_proba")]
        told = told if len(told) == len(given) else []
        if votes.ndim == 2:
            return _elected(votes, [(m.classes_, p) for m, p in zip(models, told, strict=False)])
        columns = range(votes.shape[2])
        each = [
            [(m.classes_[k], p[k]) for m, p in zip(models, told, strict=False) if isinstance(p, list)] for k in columns
        ]
        return np.stack([_elected(votes[:, :, k], each[k]) for k in columns], axis=1)


def _elected(votes: _Array, told: list[tuple[Any, Any]]) -> _Array:
    """Return the label of most votes for each sample, of votes of folds by samples."""
    labels, codes = np.unique(votes, return_inverse=True)
    codes = codes.reshape(votes.shape)
    count = np.sum([codes == one for one in codes], axis=0)
    likely = np.zeros(votes.shape)
    places = {label: k for k, label in enumerate(labels.tolist())}
    for classes, proba in told:
        column = np.full(len(labels), -1)
        for at, label in enumerate(np.asarray(classes).tolist()):
            if label in places:
                column[places[label]] = at
        found = column[codes]
        likely += np.where(found < 0, 0.0, np.nan_to_num(proba)[np.arange(votes.shape[1]), found])
    likely[count < count.max(axis=0)] = -np.inf
    # of those that are still equal, the smallest label
    chosen: _Array = labels[np.where(likely < likely.max(axis=0), len(labels), codes).min(axis=0)]
    return chosen


def in_turn() -> AbstractContextManager[Any]:
    """Let the members of an ensemble answer in turn: threads add up in any order, to other last bits."""
    # scikit-learn has imported it, or nothing that was loaded needs it
    config = getattr(sys.modules.get("joblib"), "parallel_config", None)
    return nullcontext() if config is None else config(backend="sequential")


def copied(x: Any) -> Any:
    """Return a copy, in the same order in memory."""
    return x.copy(order="K") if isinstance(x, np.ndarray) else x.copy() if hasattr(x, "copy") else np.array(x)


def suited(operator: Any, x: Any) -> Any:
    """Return a matrix as an operator knows it: fitted on an array, it gets no frame, whose sums differ."""
    if hasattr(x, "iloc") and hasattr(operator, "n_features_in_") and not hasattr(operator, "feature_names_in_"):
        return np.array(x, order="C")
    return x


def dense(values: Any) -> _Array:
    """Return values as an array, sparse ones too."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
