"""Which predictions are best: by one score, among all or in each group; what has no score comes last both ways.

The same ranking is said to a frame that is in memory and, for stores of very many predictions, to SQL.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from hmp_catalog.experiments.filtering import exactly, whole
from hmp_catalog.experiments.schema import SCORES
from hmp_catalog.plain import one_of
from hmp_core.backends.identifiers import identifier

if TYPE_CHECKING:
    import polars as pl

    from hmp_core.filters import Bound

#: The columns that predictions may be grouped by: those that say of what kind they are.
GROUPS = (
    "pipeline_id",
    "chain_id",
    "dataset_name",
    "model_name",
    "model_class",
    "fold_id",
    "partition",
    "metric",
    "task_type",
    "preprocessings",
    "branch_id",
    "branch_name",
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is asked of the best predictions.

    Equal scores are in the order of ``created_at``, then of ``prediction_id``; NULL and NaN are no scores and come
    last. With groups, the ``n`` best of each, in the order of the groups (those without one last), then of the ranks.

    Parameters
    ----------
    n : int
        How many.
    metric : str
        The score they are ranked by, one of `SCORES`.
    ascending : bool
        Whether less is better.
    partition, dataset_name : str, optional
        What the columns equal; None asks for nothing.
    group_by : str, optional
        One of `GROUPS`.

    Raises
    ------
    InvalidInput
        If one of them is of another kind.

    Examples
    --------
    >>> import polars
    >>> from datetime import datetime
    >>> rows = {
    ...     "prediction_id": ["a", "b", "c"],
    ...     "partition": ["val", "val", "val"],
    ...     "val_score": [0.3, None, 0.1],
    ...     "created_at": [datetime(2026, 1, 1)] * 3,
    ... }
    >>> Ranking(2).of_frame(polars.DataFrame(rows))["prediction_id"].to_list()
    ['c', 'a']
    """

    n: int
    metric: str = "val_score"
    ascending: bool = True
    partition: str | None = "val"
    dataset_name: str | None = None
    group_by: str | None = None

    def __post_init__(self) -> None:
        whole(self.n, "n")
        exactly(self.partition, "partition")
        exactly(self.dataset_name, "dataset_name")
        one_of(self.metric, SCORES, "metric")
        if self.group_by is not None:
            one_of(self.group_by, GROUPS, "group_by")

    def of_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the best of a frame of all predictions."""
        scores = frame[self.metric].fill_nan(None).alias(_SCORE)
        wanted = [frame[name] == value for name, value in self._equal()]
        if self.group_by is None:
            wanted += self._good_enough(scores, wanted)
        # the columns that rank, and nothing of the others until it is known which rows are wanted
        rows = frame.select("created_at", "prediction_id", *self._groups()).with_row_index(_ROW).with_columns(scores)
        if wanted:
            rows = rows.filter(reduce(operator.and_, wanted))
        falling = [False] * len(self._groups()) + [not self.ascending, False, False]
        order = [*self._groups(), _SCORE, "created_at", "prediction_id"]
        rows, n = rows.sort(order, descending=falling, nulls_last=True), min(whole(self.n, "n"), rows.height)
        if not n:
            return frame.clear()  # of none, a group gives one row of NULLs (polars 2.1)
        chosen = rows.head(n) if self.group_by is None else rows.group_by(self.group_by, maintain_order=True).head(n)
        return frame[chosen[_ROW]]

    def _good_enough(self, scores: pl.Series, wanted: list[pl.Series]) -> list[pl.Series]:
        """Return which scores are among the ``n`` best, or equal to the last of them: no others need be sorted."""
        known = scores.filter(reduce(operator.and_, wanted)) if wanted else scores
        if not 0 < self.n <= known.len() - known.null_count():
            return []
        if self.ascending:
            return [scores <= known.bottom_k(self.n).max()]
        return [scores >= known.top_k(self.n).min()]

    def _equal(self) -> list[tuple[str, str]]:
        asked = (("partition", self.partition), ("dataset_name", self.dataset_name))
        return [(name, value) for name, value in asked if value is not None]

    def _groups(self) -> list[str]:
        return [] if self.group_by is None else [self.group_by]

    def statement(self, select: str, bound: Bound) -> str:
        """Return the statement that answers the same.

        Parameters
        ----------
        select : str
            What selects all predictions.
        bound : Bound
            The values of the statement.
        """
        fits = [f"{identifier(name)} = {bound.add(value)}" for name, value in self._equal()]
        where = f" WHERE {' AND '.join(fits)}" if fits else ""
        way = "ASC" if self.ascending else "DESC"
        score = f"nullif({identifier(self.metric)}, CAST('NaN' AS DOUBLE PRECISION))"
        order = f"{score} {way} NULLS LAST, created_at, prediction_id"
        n = bound.add(whole(self.n, "n"))
        if self.group_by is None:
            return f"{select}{where} ORDER BY {order} LIMIT {n}"
        group = identifier(self.group_by)
        ranked = f"row_number() OVER (PARTITION BY {group} ORDER BY {order}) AS {_ROW}"
        chosen = f"SELECT prediction_id AS {_ID}, {ranked} FROM predictions{where}"
        return (
            f"{select} JOIN ({chosen}) ON prediction_id = {_ID} WHERE {_ROW} <= {n} ORDER BY {group} NULLS LAST, {_ROW}"
        )


#: Columns of ours beside those of the frame.
_ROW, _SCORE, _ID = "_row", "_score", "_id"
