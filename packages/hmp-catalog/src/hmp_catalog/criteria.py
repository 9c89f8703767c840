"""From what a user asks of simulations to SQL conditions: columns, tags, words, metrics, parameters, status.

Each value is checked here, so that a question that makes no sense is refused as one, and not by the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from hmp_catalog.facts import STATUSES, json_text
from hmp_catalog.plain import moment, numbers, period_text, real, time_text
from hmp_core.errors import InvalidInput
from hmp_core.filters import OPERATORS, Bound, compare, condition, during, split_key, unknown, within
from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements

_SQL = load_statements("hmp_catalog")

TEXTS = (
    "sim_id",
    "name",
    "project",
    "solver",
    "status",
    "flow_regime",
    "mesh_topology",
    "study_area_name",
    "scientific_objective",
    "description",
    "contact_email",
    "principal_id",
    "notes",
    "doi",
    "parent_sim_id",
    "config_hash",
    "error",
    "storage_basename",
)
NUMBERS = ("seed", "bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax", "duration_s")
TIMES = ("period_start", "period_end", "created_at", "started_at", "ended_at", "updated_at", "trashed_at")

_UUIDS = {"sim_id", "parent_sim_id"}
_WORDS = ("name", "description", "scientific_objective", "study_area_name", "notes")
_PARAMETER = re.compile(rf"^param\.(?P<name>.+?)(?:_(?P<suffix>{'|'.join(OPERATORS)}))?$")
#: What stands for any of several values.
SEVERAL = (list, tuple, set, frozenset)


def column(name: str) -> str:
    """Return the SQL expression of a column of a simulation ``s``; ids as text."""
    return f"CAST(s.{name} AS VARCHAR)" if name in _UUIDS else f"s.{name}"


def conditions(
    backend: CatalogBackend, filters: Mapping[str, Any], bound: Bound
) -> tuple[list[str], list[Callable[[str], bool]]]:
    """Return what simulations ``s`` must fulfil: in SQL, and of the state of open ones, which only a process knows.

    Raises
    ------
    UnknownFilter
        For a key nobody knows; lists the valid ones.
    InvalidInput
        For a value that cannot be compared so.
    """
    wanted, states = list[str](), list[Callable[[str], bool]]()
    for key, value in filters.items():
        if found := split_key(key, ["status"]):
            test, state = _state(found[1], value, bound)
            wanted.append(test)
            states.append(state)
        elif found := split_key(key, [*TEXTS, *NUMBERS, *TIMES]):
            kept = _each(value, lambda one, name=found[0]: _typed(name, one))  # type: ignore[misc]
            wanted.append(compare(column(found[0]), found[1], kept, bound, key))
        else:
            wanted += _special(backend, key, value, bound)
    return wanted, states


def is_text(key: str) -> bool:
    """Return whether a filter key compares text."""
    return key in {"tags", "text", "period", "period_covers", "bbox"} or split_key(key, TEXTS) is not None


def parameter_of(key: str) -> str | None:
    """Return the parameter that a filter key compares, or None."""
    match = _PARAMETER.match(key)
    return match["name"] if match else None


def _special(backend: CatalogBackend, key: str, value: Any, bound: Bound) -> list[str]:
    if key == "tags":
        return [_tagged(str(tag), bound) for tag in (value if isinstance(value, SEVERAL) else [value])]
    if key == "text":
        return [_says(word, bound) for word in str(value).split()]
    if key in {"period", "period_covers"}:
        return _during(key, value, bound)
    if key == "bbox":
        return _within(value, bound)
    if match := _PARAMETER.match(key):
        return [_parameter(match["name"], OPERATORS.get(match["suffix"] or "", "="), value, bound, key)]
    found = _of_metric(backend, key)
    if found is None:
        metrics = [row[0] for row in backend.fetch_all(_SQL["metric_names"].sql)]
        places = ["tags", "text", "trashed", "period", "period_covers", "bbox", "param.NAME"]
        raise unknown(key, [*TEXTS, *NUMBERS, *TIMES, *places, *metrics])
    return [_metric(found[0], found[1], value, bound, key)]


def _of_metric(backend: CatalogBackend, key: str) -> tuple[str, str] | None:
    """Return (metric, operator) of a key; a million values are not looked through for their names."""
    name, _, suffix = key.rpartition("_")
    for metric, operator in ((key, "="), (name, OPERATORS.get(suffix, ""))):
        if metric and operator and backend.fetch_all(_SQL["has_metric"].sql, [metric]):
            return metric, operator
    return None


# ── when and where ───────────────────────────────────────────────────────────────────────────────────


def _during(key: str, value: Any, bound: Bound) -> list[str]:
    """Return that the period of a run overlaps the one asked for, or covers the whole of it."""
    asked = value.split("/") if isinstance(value, str) and "/" in value else value
    if isinstance(asked, str) or not isinstance(asked, SEVERAL):
        asked = (asked, asked)
    first, last = (moment(time) for time in period_text([time or None for time in asked], key) or (None, None))
    return during(first, last, bound, covers=key == "period_covers")


def _within(value: Any, bound: Bound) -> list[str]:
    """Return that the extent of a run has a point in common with the one asked for, in the run's own coordinates."""
    asked = value.split(",") if isinstance(value, str) else value
    box = numbers(asked if not isinstance(value, str) else _floats(asked), 4, "bbox")
    return within(box or (), bound)


def _floats(words: Any) -> list[Any]:
    try:
        return [float(word) for word in words]
    except ValueError as error:
        message = f"bbox is {','.join(words)!r}, expected four numbers: xmin,ymin,xmax,ymax"
        raise InvalidInput(message) from error


# ── tags, words, metrics, parameters, status ─────────────────────────────────────────────────────────


def _tagged(tag: str, bound: Bound) -> str:
    return f"s.sim_id IN (SELECT t.sim_id FROM tags t WHERE t.tag = {bound.add(tag)})"


def _says(word: str, bound: Bound) -> str:
    mark = bound.add("%" + re.sub(r"([\\%_])", r"\\\1", word) + "%")
    return "(" + " OR ".join(f"coalesce(s.{t}, '') ILIKE {mark} ESCAPE '\\'" for t in _WORDS) + ")"


def _metric(name: str, operator: str, value: Any, bound: Bound, key: str) -> str:
    # NaN is greater than any number in SQL, and is no answer to "greater than"
    known = f"m.metric_name = {bound.add(name)} AND m.value <> CAST('NaN' AS DOUBLE)"
    if value is None and operator in {"=", "<>"}:
        return f"s.sim_id {'NOT ' if operator == '=' else ''}IN (SELECT m.sim_id FROM metrics m WHERE {known})"
    kept = _each(value, lambda one: real(one, key))
    # a subquery for each row (EXISTS) takes three times as long: 10,000 runs, DuckDB 1.5.6
    test = compare("m.value", operator, kept, bound, key)
    return f"s.sim_id IN (SELECT m.sim_id FROM metrics m WHERE {known} AND {test})"


def _parameter(name: str, operator: str, value: Any, bound: Bound, key: str) -> str:
    known = f"p.param_name = {bound.add(name)}"
    if value is None and operator in {"=", "<>"}:
        said = f"IN (SELECT p.sim_id FROM parameters p WHERE {known} AND p.text_value IS DISTINCT FROM 'null')"
        return f"s.sim_id NOT {said}" if operator == "=" else f"s.sim_id {said}"
    values = list(value) if isinstance(value, SEVERAL) else [value]
    if all(isinstance(one, (str, bool)) for one in values):
        # what is not a number is kept as JSON; a pattern is looked for between its quotes
        kept = _each(value, json_text)
        test = compare("p.text_value", operator, kept, bound, key)
    else:
        kept = _each(value, lambda one: real(one, key))
        test = f"p.value <> CAST('NaN' AS DOUBLE) AND {compare('p.value', operator, kept, bound, key)}"
    return f"s.sim_id IN (SELECT p.sim_id FROM parameters p WHERE {known} AND {test})"


#: An open run is one or the other, which its process alone knows.
_OPEN = {"running", "interrupted"}


def _state(operator: str, value: Any, bound: Bound) -> tuple[str, Callable[[str], bool]]:
    if operator not in {"=", "<>"}:
        message = "a status is compared with status= or status_ne="
        raise InvalidInput(message)
    wanted = {str(one) for one in (value if isinstance(value, SEVERAL) else [value])}
    if unknown := sorted(wanted - set(STATUSES)):
        message = f"there is no status {', '.join(map(repr, unknown))}; a simulation is {', '.join(STATUSES)}"
        raise InvalidInput(message)
    if operator == "=":
        kept = wanted - _OPEN | ({"running"} if wanted & _OPEN else set())
        return condition("s.status", "=", sorted(kept), bound), lambda status: status in wanted
    return condition("s.status", "<>", sorted(wanted - _OPEN), bound), lambda status: status not in wanted


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def _each(value: Any, kept: Callable[[Any], Any]) -> Any:
    if isinstance(value, SEVERAL):
        return [None if one is None else kept(one) for one in value]
    return None if value is None else kept(value)


def _typed(name: str, value: Any) -> Any:
    if name in NUMBERS:
        return real(value, name) if not isinstance(value, int) else value
    if name in TIMES:
        return moment(time_text(value, name))
    return str(value).lower() if isinstance(value, UUID) or name in _UUIDS else str(value)
