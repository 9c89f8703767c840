"""A calibration as a picture: how the objective came down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_catalog.plot.axes import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hmp_catalog.calibration import CalibrationSession


def convergence(session: CalibrationSession, *, ax: Any = None) -> Axes:
    """Draw the objective of each trial, and the best so far; see `CalibrationSession.plot`."""
    import numpy as np

    table = session.table
    values = table["objective_value"].to_numpy().astype(float)
    completed = np.array([status == "completed" for status in table["status"].to_pylist()], dtype=bool)
    values = np.where(completed & np.isfinite(values), values, np.nan)
    numbers = np.arange(1, len(values) + 1)
    drawn = axes(ax)
    drawn.plot(numbers, values, ".", markersize=3, color="0.6", label="trial")
    best = np.fmin.accumulate(values) if len(values) else values
    drawn.plot(numbers, best, drawstyle="steps-post", color="tab:red", label="best so far")
    drawn.set(xlabel="trial", ylabel="objective")
    drawn.legend()
    return drawn
