"""What was read at one moment, and the events of a stream as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.values import loaded

if TYPE_CHECKING:
    import pandas as pd

#: The columns that every table has.
SEQ, TIME = "seq_num", "time"


@dataclass(frozen=True)
class Event:
    """What was read at one moment: key -> value, and key -> when it was read, in seconds since 1970 (UTC)."""

    uid: str
    stream: str
    stream_uid: str
    seq_num: int
    time: float
    data: dict[str, Any]
    timestamps: dict[str, float]


def free(key: str, taken: Iterable[str]) -> str:
    """Return the name that a key has where some are taken.

    Examples
    --------
    >>> free("level", ["time"]), free("time", ["time", "data_time"])
    ('level', 'data_data_time')
    """
    names = set(taken)
    while key in names:
        key = f"data_{key}"
    return key


def table(rows: Sequence[tuple[int, float, str, str | None]], where: str) -> pd.DataFrame:
    """Return events as a table: ``seq_num``, ``time``, then their keys in the order in which they first came."""
    found = [(seq, moment, loaded(data, where) or {}) for seq, moment, data, _ in rows]
    return _frame(found, timed=True)


def timestamps(rows: Sequence[tuple[int, float, str, str | None]], where: str) -> pd.DataFrame:
    """Return when each key of each event was read: ``seq_num``, then the keys; seconds since 1970."""
    found = [(seq, moment, loaded(said, where) or {}) for seq, moment, _, said in rows]
    return _frame(found, timed=False)


def _frame(found: Sequence[tuple[int, float, dict[str, Any]]], *, timed: bool) -> pd.DataFrame:
    import pandas as pd

    head = {SEQ: [seq for seq, *_ in found]} | ({TIME: [moment for _, moment, _ in found]} if timed else {})
    columns: dict[str, Any] = {
        name: pd.Series(values, dtype="int64" if name == SEQ else "float64") for name, values in head.items()
    }
    keys = dict.fromkeys(key for *_, data in found for key in data)
    for key in keys:
        name = free(key, {SEQ, TIME} | columns.keys() | (keys.keys() - {key}) if key in (SEQ, TIME) else ())
        columns[name] = pd.Series([data.get(key, float("nan")) for *_, data in found])
    return pd.DataFrame(columns)
