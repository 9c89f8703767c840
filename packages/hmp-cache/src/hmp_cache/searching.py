"""From what a user asks inputs for to the one statement that finds them: few rows at the price of few.

What is compared with the rows of `entries` and `artifacts` is asked first; where the bytes came from is looked up for
those that are left. Done the other way round, a single input among 100,000 took 150 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hmp_cache.labels import checked_bbox, checked_moment, checked_period
from hmp_core.errors import InvalidInput
from hmp_core.filters import Bound, split_key, where
from hmp_core.statements import load_statements

_TEXTS = (
    "id", "name", "variable", "source", "station_id", "crs", "frequency", "unit", "source_unit", "sha256",
    "relative_path", "media_type", "uri", "license", "artifact_id",
)  # fmt: skip
_NUMBERS = ("size", "bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")
_MOMENTS = ("date_start", "date_end", "created_at", "stored_at")
_FLAGS = ("is_custom",)

_COLUMNS = (
    "id, name, variable, source, station_id, bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax, crs, date_start, date_end, "
    "frequency, unit, source_unit, is_custom, sha256, size, relative_path, media_type, uri, license, state, "
    "artifact_id, created_at, stored_at, file_mtime, file_mtime_ns, file_inode"
)

#: What inputs are found by -> the column of the statement ``versions``. Not the state: only `check` knows it.
FILTERS = {name: name for name in (*_TEXTS, *_NUMBERS, *_MOMENTS, *_FLAGS)} | {"station": "station_id"}

#: Columns that are known only once it was looked up where the bytes came from.
_ORIGIN = {"uri", "license"}
#: Columns of text that are kept as numbers: comparing those is ten times as quick.
_IDS = {"id": "entry_uuid", "artifact_id": "artifact_uuid"}


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked of the versions of inputs: conditions, and the values that they are bound to."""

    bound: Bound
    #: of the statement ``versions``, and of what the statement ``origins`` adds
    conditions: tuple[str, ...]
    origin: tuple[str, ...]

    @classmethod
    def of(cls, filters: Mapping[str, Any], listed: str) -> Search:
        """Return what ``filters`` ask of the versions that are ``listed`` (a condition of our own).

        Raises
        ------
        UnknownFilter, InvalidInput
            See `queries.find`.
        """
        bound = Bound()
        ids = {key: value for key, value in filters.items() if key in _IDS and _are_ids(value)}
        plain = {key: value for key, value in filters.items() if key not in {"period", "bbox", *ids}}
        typed = {key: _each(key, value, _reader(key)) for key, value in plain.items()}
        late = {key: value for key, value in typed.items() if (split_key(key, FILTERS) or ("",))[0] in _ORIGIN}
        early = {key: value for key, value in typed.items() if key not in late}
        conditions = [listed, *where(early, FILTERS, bound)]
        conditions += _covering(filters.get("period"), filters.get("bbox"), bound)
        for key, value in ids.items():
            values = [value] if isinstance(value, (str, UUID)) else value
            marks = ", ".join(f"CAST({bound.add(str(UUID(str(each))))} AS UUID)" for each in values)
            conditions.append(f"{_IDS[key]} IN ({marks})")
        return cls(bound, tuple(conditions), tuple(where(late, FILTERS, bound)))

    def sql(self, order: str, page: str = "") -> str:
        """Return the statement; ``order`` and ``page`` (its LIMIT) are our own text."""
        asked = f" WHERE {' AND '.join(self.origin)}" if self.origin else ""
        # of a page the origin is looked up for what is on it, unless the origin decides what is on it
        early = f" ORDER BY {order} {page}" if page and not asked else ""
        return (
            f"WITH hit AS (SELECT * FROM ({_sql('versions')}) AS v WHERE {' AND '.join(self.conditions)}{early}), "
            f"found AS ({_sql('origins')}) SELECT {_COLUMNS} FROM found{asked} ORDER BY {order}"
            f"{'' if early else ' ' + page}"
        )


def _sql(name: str) -> str:
    return load_statements("hmp_cache")[name].sql


def _are_ids(value: Any) -> bool:
    """Return whether a value is an id, or some ids; anything else is compared as text."""
    values = [value] if isinstance(value, (str, UUID)) else value
    if not isinstance(values, (list, tuple, set, frozenset)) or not values:
        return False
    try:
        return all(str(UUID(str(each))) == str(each).lower() for each in values)
    except ValueError:
        return False


def _covering(period: Any, bbox: Any, bound: Bound) -> list[str]:
    """Return the conditions that an input covers a period and an extent."""
    conditions = []
    start, end = checked_period(period) or (None, None)
    if start is not None:
        conditions.append(f"date_start <= {bound.add(start)}")
    if end is not None:
        conditions.append(f"date_end >= {bound.add(end)}")
    box = checked_bbox(bbox)
    if box is not None:
        xmin, ymin, xmax, ymax = (bound.add(v) for v in box)
        conditions += [f"bbox_xmin <= {xmin}", f"bbox_ymin <= {ymin}", f"bbox_xmax >= {xmax}", f"bbox_ymax >= {ymax}"]
    return conditions


def _reader(key: str) -> Callable[[str, Any], Any]:
    found = split_key(key, FILTERS)
    column = FILTERS[found[0]] if found else ""
    if column in _NUMBERS:
        return _number
    if column in _MOMENTS:
        return checked_moment
    return _flag if column in _FLAGS else _plain


def _each(key: str, value: Any, reader: Callable[[str, Any], Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple, set, frozenset)):
        return [reader(key, v) for v in value]
    return reader(key, value)


def _number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        message = f"{key} is {value!r}, expected a number"
        raise InvalidInput(message) from None


def _flag(key: str, value: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = known.get(str(value).lower())
    if found is None:
        message = f"{key} is {value!r}, expected true or false"
        raise InvalidInput(message)
    return found


def _plain(key: str, value: Any) -> str:
    if isinstance(value, (str, UUID, int)):
        return str(value)
    message = f"{key} is {value!r}, expected text, got {type(value).__name__}"
    raise InvalidInput(message)
