"""From the keywords of ``find`` to a WHERE clause: the same language at every door.

``solver="gr4j"`` compares for equality, a list means any of these, None means missing; the suffixes ``_gt``, ``_gte``,
``_lt``, ``_lte``, ``_ne`` and ``_like`` compare otherwise. An unknown key is refused with the list of the known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hmp_core.errors import InvalidInput, UnknownFilter

OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "ne": "<>", "like": "ILIKE"}

_SIDES = 4


class Bound:
    """Values of a statement in the making: each gets the next ``$n``."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """Bind ``value`` and return its mark."""
        self.values.append(value)
        return f"${len(self.values)}"


def split_key(key: str, known: Iterable[str]) -> tuple[str, str] | None:
    """Return (name, operator) of a filter key whose name is ``known``, or None."""
    names = set(known)
    if key in names:
        return key, "="
    name, _, suffix = key.rpartition("_")
    if name in names and suffix in OPERATORS:
        return name, OPERATORS[suffix]
    return None


def condition(expression: str, operator: str, value: Any, bound: Bound) -> str:
    """Return the SQL condition that ``expression`` (already validated) stands in relation to ``value``.

    A list means any of its values (with ``<>``: none of them); None among them means missing.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        return _any_of(expression, operator, list(value), bound)
    if value is None:
        return f"{expression} IS NULL" if operator == "=" else f"{expression} IS NOT NULL"
    return f"{expression} {operator} {bound.add(value)}"


def _any_of(expression: str, operator: str, values: list[Any], bound: Bound) -> str:
    marks = ", ".join(bound.add(value) for value in values if value is not None)
    if operator == "=":
        parts = [f"{expression} IN ({marks})"] if marks else []
        parts += [f"{expression} IS NULL"] if None in values else []
        return f"({' OR '.join(parts)})" if len(parts) > 1 else "".join(parts) or "FALSE"
    parts = [f"{expression} NOT IN ({marks})"] if marks else []
    parts += [f"{expression} IS NOT NULL"] if None in values else []
    return " AND ".join(parts) or "TRUE"


def compare(expression: str, operator: str, value: Any, bound: Bound, key: str) -> str:
    """Return a condition that also answers for what is missing: it differs from any value.

    Raises
    ------
    InvalidInput
        For a list or None where one value is compared, and for a pattern that is no text.
    """
    several = isinstance(value, (list, tuple, set, frozenset))
    if operator not in {"=", "<>"} and (value is None or several):
        message = f"{key} is compared with one value, not with {'None' if value is None else 'several'}"
        raise InvalidInput(message)
    if operator == "ILIKE" and not isinstance(value, str):
        message = f"{key}: a pattern is text, as 'base%'; numbers and times are compared with _gt, _lt, ..."
        raise InvalidInput(message)
    if value is None or operator not in {"=", "<>"}:
        return condition(expression, operator, value, bound)
    values = [one for one in (value if several else [value]) if one is not None]
    tests = [condition(expression, "=", values, bound)] if values else []
    if several and None in value:
        tests.append(f"{expression} IS NULL")
    found = " OR ".join(tests) or "FALSE"
    return f"({found})" if operator == "=" else f"NOT coalesce(({found}), FALSE)"


def during(first: Any, last: Any, bound: Bound, *, covers: bool = False) -> list[str]:
    """Return that the period of a row ``s`` overlaps the one asked for, or covers the whole of it.

    Of a row whose end was not said only what is before its beginning is known to be outside.

    Parameters
    ----------
    first, last
        Times in UTC without a zone; None leaves that end open.
    """
    known = ["(s.period_start IS NOT NULL OR s.period_end IS NOT NULL)"]
    known += [] if first is None else [f"coalesce(s.period_end >= {bound.add(first)}, TRUE)"]
    known += [] if last is None else [f"coalesce(s.period_start <= {bound.add(last)}, TRUE)"]
    if covers:
        known += [] if first is None else [f"s.period_start <= {bound.add(first)}"]
        known += [] if last is None else [f"s.period_end >= {bound.add(last)}"]
    return known


def within(box: Sequence[float], bound: Bound) -> list[str]:
    """Return that the extent of a row ``s`` has a point in common with (xmin, ymin, xmax, ymax), its own coordinates.

    Raises
    ------
    InvalidInput
        If the box is none.
    """
    if len(box) != _SIDES or box[0] > box[2] or box[1] > box[3]:
        message = f"bbox is {tuple(box)!r}, expected (xmin, ymin, xmax, ymax)"
        raise InvalidInput(message)
    pairs = (("xmax", ">=", 0), ("ymax", ">=", 1), ("xmin", "<=", 2), ("ymin", "<=", 3))
    return [f"s.bbox_{side} {sign} {bound.add(box[n])}" for side, sign, n in pairs]


def where(filters: Mapping[str, Any], columns: Mapping[str, str], bound: Bound) -> list[str]:
    """Return the conditions that ``filters`` ask for.

    Parameters
    ----------
    filters
        What the user wrote.
    columns
        Filter name -> SQL expression; our own text, never a user's.

    Raises
    ------
    UnknownFilter
        For a key that is not in ``columns``, with or without a suffix.
    InvalidInput
        For a list or None where one value is compared.
    """
    conditions = []
    for key, value in filters.items():
        found = split_key(key, columns)
        if found is None:
            raise unknown(key, columns)
        if found[1] not in {"=", "<>"} and (value is None or isinstance(value, (list, tuple, set, frozenset))):
            message = f"{key} compares with one value, got {value!r}"
            raise InvalidInput(message)
        conditions.append(condition(columns[found[0]], found[1], value, bound))
    return conditions


def unknown(key: str, known: Iterable[str]) -> UnknownFilter:
    """Return the error for a filter key nobody knows, with the nearest ones first."""
    valid = sorted(known)
    near = difflib.get_close_matches(key, valid, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    message = (
        f"{key!r} is not something to find by{hint or '.'} Valid keys: {', '.join(valid)}; "
        "each also with _gt, _gte, _lt, _lte, _ne, _like"
    )
    return UnknownFilter(message, key=key, valid=valid)
