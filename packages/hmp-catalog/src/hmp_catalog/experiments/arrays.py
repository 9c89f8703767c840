"""The dense arrays of a prediction: checked, flattened, and put back into their shapes and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of one prediction as their columns keep them: flat, in row-major order."""

    prediction_id: str
    y_true: NDArray[np.float64] | None
    y_pred: NDArray[np.float64] | None
    y_proba: NDArray[np.float64] | None = None
    sample_indices: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    #: of what has not one dimension
    y_true_shape: tuple[int, ...] | None = None
    y_pred_shape: tuple[int, ...] | None = None
    y_proba_shape: tuple[int, ...] | None = None
    #: labels that are text; y_true and y_pred are positions in them
    classes: tuple[str, ...] | None = None


def arrays(
    prediction_id: str, y_true: Any, y_pred: Any, y_proba: Any = None, sample_indices: Any = None, weights: Any = None
) -> Arrays:
    """Return the arrays of a prediction as they are kept."""
    raise NotImplementedError


def to_payload(found: Arrays) -> dict[str, Any]:
    """Return arrays as JSON keeps them."""
    raise NotImplementedError


def from_payload(payload: Mapping[str, Any]) -> Arrays:
    """Return the arrays that `to_payload` gave."""
    raise NotImplementedError


def to_table(rows: Sequence[Arrays]) -> pa.Table:
    """Return arrays as rows of ``prediction_arrays``."""
    raise NotImplementedError


def from_row(row: Mapping[str, Any]) -> dict[str, NDArray[Any] | None]:
    """Return the arrays of a row of ``prediction_arrays``, with their shapes and labels."""
    raise NotImplementedError
