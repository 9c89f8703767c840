"""How regular a series is: whether its times keep the step, and what share of its values is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from hmp_cache.windows import Step

if TYPE_CHECKING:
    import pyarrow as pa

#: The share of missing values from which on it is worth a remark.
MISSING = 0.1
#: Rows below which nothing is said of a step.
_FEW = 10
#: Months and years are not all as long.
_CALENDAR = timedelta(days=28)


def remarks(
    moments: pa.ChunkedArray, columns: dict[str, pa.ChunkedArray], frequency: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what is worth a remark as (check, message).

    Parameters
    ----------
    moments
        Of the rows, in order, each once.
    columns
        The values, by name.
    frequency
        What the step is said to be, as "1D"; by default it is the one that most rows keep.
    """
    if len(moments) < _FEW:
        return
    step = Step.of(frequency).length or _usual(moments)
    expected = len(moments)
    if step and step < _CALENDAR:
        expected, uneven = _against(moments, step)
        if uneven:
            yield "step", f"{uneven} of {len(moments) - 1} steps are no multiple of {step}"
            expected = len(moments)
    absent = expected - len(moments)
    for name, column in columns.items():
        share = (absent + column.null_count) / expected
        if share > MISSING:
            counted = f"{column.null_count} empty, {absent} left out"
            yield "missing", f"{share:.0%} of the values of column {name} are missing ({counted})"


def _usual(moments: pa.ChunkedArray) -> timedelta:
    """Return the step that more than half of the rows keep; nothing if there is none."""
    import pyarrow.compute as pc

    steps = pc.value_counts(_steps(moments))
    most = max(steps.to_pylist(), key=lambda found: found["counts"])
    return timedelta(microseconds=most["values"]) if most["counts"] * 2 > len(moments) else timedelta(0)


def _against(moments: pa.ChunkedArray, step: timedelta) -> tuple[int, int]:
    """Return how many rows there would be without a gap, and how many steps are none of that length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    length = step // timedelta(microseconds=1)
    steps = _steps(moments)
    even = pc.multiply(pc.divide(steps, pa.scalar(length, pa.int64())), pa.scalar(length, pa.int64()))
    uneven: int = pc.sum(pc.not_equal(even, steps)).as_py() or 0
    span: int = pc.sum(steps).as_py() or 0
    return span // length + 1, uneven


def _steps(moments: pa.ChunkedArray) -> pa.Array:
    """Return the microseconds from each row to the next."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counted = moments.cast(pa.timestamp("us")).cast(pa.int64()).combine_chunks()
    return pc.subtract(counted[1:], counted[:-1])
