"""Folds: which samples a model is trained on and which it is validated on, and the answers of several models as one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: What a model that was trained on all samples is called, and what stands for all folds together.
FINAL, AVERAGE = "fold_final", "avg"


class Fold(NamedTuple):
    """The samples of one fold, by their rows."""

    name: str
    train: NDArray[np.int64]
    val: NDArray[np.int64]


def whole(count: int) -> list[Fold]:
    """Return the only fold there is where nothing splits: all samples train, none validates."""
    return [Fold(FINAL, np.arange(count), np.arange(0))]


def split(splitter: Any, x: Any, y: NDArray[Any], groups: NDArray[Any] | None) -> list[Fold]:
    """Return the folds that a splitter makes of the samples.

    Raises
    ------
    InvalidInput
        If it makes none, one that trains on nothing or validates nothing, or rows that there are not.
    """
    with warnings.catch_warnings():
        # those that do not need groups say so, each time
        warnings.filterwarnings("ignore", message=".*groups.*ignored.*")
        pairs = list(splitter.split(x, y) if groups is None else splitter.split(x, y, groups))
    found = [Fold(f"fold_{n}", _rows(train), _rows(val)) for n, (train, val) in enumerate(pairs)]
    called = type(splitter).__name__
    if not found:
        message = f"{called} makes no fold of {len(y)} samples"
        raise InvalidInput(message)
    for fold in found:
        for part, rows in (("train on", fold.train), ("validate", fold.val)):
            if not rows.size or rows.min() < 0 or rows.max() >= len(y):
                message = f"{called} gives {fold.name} {rows.size} of {len(y)} samples to {part}: empty, or beyond them"
                raise InvalidInput(message)
    return found


def _rows(given: Any) -> NDArray[np.int64]:
    found = np.asarray(given)
    return np.flatnonzero(found) if found.dtype == np.bool_ else found.astype(np.int64).reshape(-1)


# ── several models, one answer ───────────────────────────────────────────────────────────────────────


def averaged(given: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the plain mean of what models predicted."""
    return np.asarray(np.mean(np.stack(given).astype(np.float64), axis=0))


def elected(given: Sequence[NDArray[Any]], told: Sequence[tuple[Any, NDArray[Any]]]) -> NDArray[Any]:
    """Return the label that most models predicted for each sample.

    Parameters
    ----------
    given
        The labels of each model, of one target.
    told
        The classes and the probabilities of each model, nothing where one of them tells none. A tie goes to the label
        of the greatest summed probability, then to the smallest.
    """
    if len(given) == 1:
        return given[0]
    votes = np.stack(given)
    labels = np.unique(votes)
    count = np.stack([(votes == label).sum(axis=0) for label in labels], axis=1)
    likely = np.zeros(count.shape)
    for classes, probabilities in told:
        likely += aligned(classes, probabilities, labels)
    tied = count == count.max(axis=1, keepdims=True)
    return np.asarray(labels[np.argmax(np.where(tied, likely, -np.inf), axis=1)])


def aligned(classes: Any, probabilities: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities with a column for each of ``labels``: 0 for those that a model never saw."""
    found = np.zeros((len(probabilities), len(labels)))
    positions = {label: n for n, label in enumerate(np.asarray(classes).tolist())}
    for k, label in enumerate(labels.tolist()):
        if label in positions:
            found[:, k] = probabilities[:, positions[label]]
    return found


def covered(folds: Sequence[Fold], count: int) -> list[tuple[NDArray[np.int64], list[tuple[int, NDArray[np.int64]]]]]:
    """Return the validated samples, grouped by the folds that validate them, with their places within those folds.

    A sample is validated by one fold, or by several where a splitter repeats itself, or by none.
    """
    place = np.full((len(folds), count), -1, dtype=np.int64)
    for n, fold in enumerate(folds):
        place[n, fold.val] = np.arange(len(fold.val))
    patterns, which = np.unique((place >= 0).T, axis=0, return_inverse=True)
    which = which.reshape(-1)
    found = []
    for k, pattern in enumerate(patterns):
        if pattern.any():
            rows = np.flatnonzero(which == k)
            found.append((rows, [(int(n), place[n, rows]) for n in np.flatnonzero(pattern)]))
    return found
