"""What predictions are worth: measures of numbers and of labels, and in which direction they are better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

REGRESSION, CLASSIFICATION = "regression", "classification"
#: Measures of each task; the first ranks unless another is named.
METRICS = {REGRESSION: ("rmse", "mae", "r2"), CLASSIFICATION: ("accuracy", "balanced_accuracy")}
#: Of these, less is better.
_LESS = frozenset({"rmse", "mae"})


def metric_of(metric: str | None, task: str) -> str:
    """Return the measure that ranks.

    Raises
    ------
    InvalidInput
        If it is none of the task's.
    """
    if metric is None:
        return METRICS[task][0]
    if metric not in METRICS[task]:
        message = f"metric is {metric!r}, expected one of {', '.join(METRICS[task])} for {task}"
        raise InvalidInput(message)
    return metric


def require_known(metric: str | None) -> None:
    """Refuse a measure that no task has.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    known = [name for names in METRICS.values() for name in names]
    if metric is not None and metric not in known:
        message = f"metric is {metric!r}, expected one of {', '.join(known)}"
        raise InvalidInput(message)


def is_lower_better(metric: str) -> bool:
    """Return whether less of a measure is better."""
    return metric in _LESS


def scores(observed: NDArray[Any] | None, predicted: NDArray[Any], task: str) -> dict[str, float | None]:
    """Return every measure of a task, None where it cannot be measured.

    Regression: the root of the mean squared error, the mean absolute error, and 1 minus the squared errors over the
    squares about the mean of what was observed, which hydrologists know as the efficiency of Nash and Sutcliffe (1970,
    https://doi.org/10.1016/0022-1694(70)90255-6); of several targets, its mean. Classification: the share of right
    labels, and the mean over the observed classes of the share of each that was recognised.

    Parameters
    ----------
    observed, predicted
        Of the same shape; nothing is measured where nothing was observed.

    Examples
    --------
    >>> import numpy as np
    >>> scores(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]), "regression")["r2"]
    0.5
    """
    if observed is None or not len(observed):
        return dict.fromkeys(METRICS[task])
    there, here = (np.asarray(v).reshape(len(v), -1) for v in (observed, predicted))
    found = _of_numbers(there, here) if task == REGRESSION else _of_labels(there, here)
    return {name: value if value is not None and math.isfinite(value) else None for name, value in found.items()}


def _of_numbers(observed: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float | None]:
    there = observed.astype(np.float64)
    errors = predicted.astype(np.float64) - there
    about = ((there - there.mean(axis=0)) ** 2).sum(axis=0)
    explained = 1 - (errors**2).sum(axis=0) / about if (about > 0).all() else None
    return {
        "rmse": float(np.sqrt((errors**2).mean())),
        "mae": float(np.abs(errors).mean()),
        "r2": None if explained is None else float(explained.mean()),
    }


def _of_labels(observed: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float | None]:
    right = observed == predicted
    recalls = [
        np.mean([right[observed[:, k] == label, k].mean() for label in np.unique(observed[:, k])])
        for k in range(observed.shape[1])
    ]
    return {"accuracy": float(right.mean()), "balanced_accuracy": float(np.mean(recalls))}
