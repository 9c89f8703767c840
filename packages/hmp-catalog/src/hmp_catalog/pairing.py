"""What was simulated beside what was observed: the pairs that a measure of fit is computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]


def pairs(simulated: ArrayLike, observed: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the pairs in which both values are there, in their order.

    Parameters
    ----------
    simulated, observed : array_like, shape (n,)
        Values in the same unit. Masked values count as NaN.

    Returns
    -------
    tuple of ndarray, shape (m,), m <= n
        Simulated and observed values of the pairs without NaN.

    Raises
    ------
    InvalidInput
        Shapes differ, more than one dimension, not numbers, infinite values, two pandas or
        xarray objects whose indexes differ, or not one pair.

    Examples
    --------
    >>> pairs([1.0, 2.0, 3.0], [1.5, float("nan"), 2.5])
    (array([1., 3.]), array([1.5, 2.5]))
    """
    import numpy as np

    _refuse_other_index(simulated, observed)
    s, o = _floats("simulated", simulated), _floats("observed", observed)
    if s.shape != o.shape or s.ndim != 1:
        message = (
            f"simulated has shape {s.shape}, observed {o.shape}: expected two one-dimensional series of the "
            "same length; select one point and the common period first"
        )
        raise InvalidInput(message)
    present = ~(np.isnan(s) | np.isnan(o))
    if not present.any():
        message = (
            f"none of the {s.size} positions has both a simulated and an observed value: "
            "check that the two series cover the same period"
        )
        raise InvalidInput(message)
    return s[present], o[present]


def common(simulated: pa.Table, observed: pa.Table) -> tuple[FloatArray, FloatArray, tuple[Any, Any]]:
    """Return the values of two series at the times that both have, and the first and last of these.

    Parameters
    ----------
    simulated, observed : pyarrow.Table
        One series each, in long form (see `hmp_catalog.tables.timeseries_table`).

    Raises
    ------
    InvalidInput
        If they are in different units, or have no time in common.
    """
    import numpy as np

    units = [table["unit"][0].as_py() or "" for table in (simulated, observed)]
    if all(units) and units[0] != units[1]:
        message = f"simulated is in {units[0]!r}, observed in {units[1]!r}: convert one of them"
        raise InvalidInput(message)
    there, here = (table["time"].to_numpy() for table in (simulated, observed))
    times, left, right = np.intersect1d(there, here, assume_unique=True, return_indices=True)
    if not times.size:
        message = (
            f"simulated from {there[0]} to {there[-1]} and observed from {here[0]} to {here[-1]} have no time in "
            "common: check the period and the hour of daily values"
        )
        raise InvalidInput(message)
    found = simulated["value"].to_numpy()[left], observed["value"].to_numpy()[right]
    return (*found, (times[0].item(), times[-1].item()))


def _floats(side: str, values: ArrayLike) -> FloatArray:
    import numpy as np

    try:
        array: FloatArray = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    except (TypeError, ValueError) as error:
        message = f"{side} is not a series of numbers: {error}"
        raise InvalidInput(message) from error
    infinite = int(np.isinf(array).sum())
    if infinite:
        message = f"{side} has {infinite} infinite of {array.size} values: use NaN for a missing value"
        raise InvalidInput(message)
    return array


def _refuse_other_index(simulated: ArrayLike, observed: ArrayLike) -> None:
    # Pairing by position would compare different days without a word.
    here, there = _labels(simulated), _labels(observed)
    if here is not None and there is not None and not here.equals(there):
        message = (
            f"simulated ({len(here)} values) and observed ({len(there)} values) have different indexes: "
            "align them to their common dates first, or pass arrays"
        )
        raise InvalidInput(message)


def _labels(values: Any) -> Any:
    """Return the index of a pandas or one-dimensional xarray object, None for anything else."""
    if not hasattr(values, "to_numpy"):
        return None
    if hasattr(values, "dims"):
        return values.indexes.get(values.dims[0]) if len(values.dims) == 1 else None
    return getattr(values, "index", None)
