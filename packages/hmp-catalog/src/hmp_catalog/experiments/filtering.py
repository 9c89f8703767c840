"""Which predictions are asked for: filters that were checked, said to SQL and to a frame alike."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments.libraries import polars
from hmp_catalog.plain import shown
from hmp_catalog.plain import whole as integer
from hmp_core.errors import InvalidInput, UnknownFilter
from hmp_core.filters import Bound

if TYPE_CHECKING:
    import polars as pl

#: More than any table has rows; the engine counts no further.
_MOST = 1 << 62


def whole(value: Any, where: str) -> int:
    """Return a number of rows.

    Raises
    ------
    InvalidInput
        If it is not a whole number, or negative.
    """
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = -1
    if found < 0:
        message = f"{where} is {shown(value)}, expected a whole number, 0 or more"
        raise InvalidInput(message)
    return min(found, _MOST)


def exactly(value: Any, where: str) -> str | None:
    """Return the text that a column shall equal; None asks for nothing.

    Raises
    ------
    InvalidInput
        If it is not text.
    """
    if value is not None and not (isinstance(value, str) and _is_unicode(value)):
        message = f"{where} is {shown(value)}, expected text"
        raise InvalidInput(message)
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def limited(limit: Any, offset: Any, bound: Bound) -> str:
    """Return which of the rows are wanted; an offset does without a limit.

    Raises
    ------
    InvalidInput
        If either is no number of rows.
    """
    first, most = whole(offset, "offset"), None if limit is None else whole(limit, "limit")
    said = "" if most is None else f" LIMIT {bound.add(most)}"
    return f"{said} OFFSET {bound.add(first)}" if first else said


@dataclass(frozen=True, slots=True)
class Filters:
    """What predictions must be, all of it at once; None asks for nothing.

    Parameters
    ----------
    dataset_name, partition, fold_id, pipeline_id, run_id : str, optional
        What the column equals.
    model_class : str, optional
        What the column equals, where ``%`` stands for any characters.
    branch_id : int, optional
        What the column equals.
    limit, offset : int
        How many of them, and how many of the newest to leave out.

    Raises
    ------
    InvalidInput
        If one of them is of another kind.
    """

    dataset_name: str | None = None
    model_class: str | None = None
    partition: str | None = None
    fold_id: str | None = None
    branch_id: int | None = None
    pipeline_id: str | None = None
    run_id: str | None = None
    limit: int | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        for name in (*_EQUAL, "model_class", "run_id"):
            exactly(getattr(self, name), name)
        integer(self.branch_id, "branch_id")
        whole(self.offset, "offset")
        if self.limit is not None:
            whole(self.limit, "limit")

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Filters:
        """Return the filters that somebody wrote.

        Raises
        ------
        UnknownFilter
            For a name that is none of them.
        InvalidInput
            If one of them is of another kind.
        """
        known = [each.name for each in fields(cls)]
        for name in asked:
            if name not in known:
                message = f"{name!r} is not something to find predictions by; valid: {', '.join(known)}"
                raise UnknownFilter(message, key=name, valid=known)
        return cls(**asked)

    @property
    def is_partial(self) -> bool:
        """Whether only some of the rows that fit are wanted."""
        return self.limit is not None or bool(self.offset)

    def conditions(self, bound: Bound) -> list[str]:
        """Return the conditions of a statement about ``predictions``."""
        wanted = [(name, getattr(self, name)) for name in (*_EQUAL, "branch_id")]
        said = [f'"{name}" = {bound.add(_plain(value))}' for name, value in wanted if value is not None]
        if self.model_class is not None:
            # only % has a meaning here: the _ of a name is itself
            pattern = re.sub(r"([\\_])", r"\\\1", self.model_class)
            said.append(f"model_class LIKE {bound.add(pattern)} ESCAPE '\\'")
        if self.run_id is not None:
            said.append(f"pipeline_id IN (SELECT pipeline_id FROM pipelines WHERE run_id = {bound.add(self.run_id)})")
        return said

    def of_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a frame of predictions, newest first, that fit; it does not say of which run they are."""
        pl = polars()
        wanted = [(name, getattr(self, name)) for name in (*_EQUAL, "branch_id")]
        fits = [pl.col(name) == _plain(value) for name, value in wanted if value is not None]
        if self.model_class is not None:
            classes = frame["model_class"].unique().to_list()
            fits.append(pl.col("model_class").is_in([name for name in classes if _is_like(name, self.model_class)]))
        rows = frame.filter(*fits) if fits else frame.clone()
        first = min(self.offset, rows.height)
        return rows.slice(first, None if self.limit is None else min(self.limit, rows.height))


_EQUAL = ("dataset_name", "partition", "fold_id", "pipeline_id")


def _plain(value: Any) -> Any:
    """Return a number that came from numpy as one that every library knows."""
    return value if isinstance(value, str) else operator.index(value)


def _is_like(name: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("%"))), name, re.DOTALL) is not None
