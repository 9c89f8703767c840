"""From the keywords of ``find`` and the words of ``search`` to conditions on the snapshot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from hmp_core.errors import InvalidInput
from hmp_core.filters import OPERATORS, Bound, condition, split_key, unknown
from hmp_index.fold import SUMMARY
from hmp_index.search import words

#: What one may find by -> how it is read, and as what it is compared.
COLUMNS: Mapping[str, tuple[str, str]] = {
    **{name: (f"s.{name}", kind) for name, kind in SUMMARY.items()},
    "sim_id": ("CAST(s.sim_id AS VARCHAR)", "VARCHAR"),
    "project": ("s.project", "VARCHAR"),
    "project_id": ("CAST(s.project_id AS VARCHAR)", "VARCHAR"),
    "workspace": ("w.label", "VARCHAR"),
    "workspace_id": ("CAST(s.workspace_id AS VARCHAR)", "VARCHAR"),
}

#: Metrics that one may ask for before anybody has recorded them.
USUAL = ("nse", "kge", "r2", "rmse", "mae", "mse", "bias", "pbias")

_PARAMETER = "param."


@dataclass(slots=True)
class Question:
    """Conditions in the making, with the values they are bound to."""

    conditions: list[str] = field(default_factory=list)
    bound: Bound = field(default_factory=Bound)


def question(filters: Mapping[str, Any], keys: Callable[[str], Sequence[str]], labels: Mapping[str, str]) -> Question:
    """Return the conditions that the keywords of ``find`` ask for.

    Parameters
    ----------
    keys
        Tells what the "metrics" or the "parameters" of the snapshot are called; asked only if need be.
    labels
        Id of a workspace -> its label.

    Raises
    ------
    UnknownFilter
        For a key that nothing goes by; lists the valid ones.
    InvalidInput
        For a value that cannot be compared so.
    """
    asked = Question()
    for key, value in filters.items():
        if found := split_key(key, COLUMNS):
            expression, kind = COLUMNS[found[0]]
            asked.conditions.append(condition(expression, found[1], _fitting(key, found[1], kind, value), asked.bound))
        elif key == "tags":
            asked.conditions += [_tagged(tag, asked.bound) for tag in _tags(value)]
        elif key == "text":
            sought = words(str(value))
            asked.conditions += saying(sought, labels, asked.bound, anywhere=True) if sought else ["FALSE"]
        elif key.startswith(_PARAMETER):
            asked.conditions.append(_parameter(key, value, keys("parameters"), asked.bound))
        else:
            asked.conditions.append(_metric(key, value, keys("metrics"), asked.bound))
    return asked


def search(sought: Iterable[str], labels: Mapping[str, str]) -> Question:
    """Return the conditions that a search for some folded words asks for."""
    asked = Question()
    asked.conditions += saying(sought, labels, asked.bound)
    return asked


def saying(sought: Iterable[str], labels: Mapping[str, str], bound: Bound, *, anywhere: bool = False) -> list[str]:
    """Return the conditions that every word stands in a text of the simulation or in the label of its workspace.

    Parameters
    ----------
    sought
        Folded words, as `hmp_index.search.words` gives them: letters and digits only.
    anywhere
        Also inside a word; else where a word begins.
    """
    blank = "" if anywhere else " "
    told = {identity: "".join(f" {word}" for word in words(label)) for identity, label in labels.items()}
    conditions = []
    for word in sought:
        homes = [identity for identity, text in told.items() if f"{blank}{word}" in text]
        here = f"s.search_text LIKE {bound.add(f'%{blank}{word}%')}"
        marks = ", ".join(f"CAST({bound.add(identity)} AS UUID)" for identity in homes)
        conditions.append(f"({here} OR s.workspace_id IN ({marks}))" if homes else here)
    return conditions


def _tags(value: Any) -> list[str]:
    tags = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else None
    if tags is None or not all(isinstance(tag, str) for tag in tags):
        message = f"tags={value!r}: expected a tag, or a list of tags that must all be there"
        raise InvalidInput(message)
    return tags


def _tagged(tag: str, bound: Bound) -> str:
    return f"list_contains(from_json(s.tags, '[\"VARCHAR\"]'), {bound.add(tag)})"


def _metric(key: str, value: Any, known: Sequence[str], bound: Bound) -> str:
    """Return the condition on a metric, at any station unless one is named; NaN is not there at all."""
    names = {name: [name] for name in (*USUAL, *known)}
    for name in known:
        names.setdefault(plain := _plain(name), [])
        if name not in names[plain]:
            names[plain].append(name)
    found = split_key(key, names)
    if found is None:
        raise unknown(key, [*COLUMNS, "tags", "text", "param.NAME", *names])
    fitting = _fitting(key, found[1], "DOUBLE PRECISION", value)
    return _any(names[found[0]], "metrics", found[1], fitting, bound)


def _plain(name: str) -> str:
    """Return the bare name of a metric: ``nse`` of ``discharge.nse@upper``."""
    return name.partition("@")[0].rpartition(".")[2]


def _parameter(key: str, value: Any, known: Sequence[str], bound: Bound) -> str:
    """Return the condition on a parameter, in any zone unless one is named; one that nobody has fits nothing."""
    names = {name: [name] for name in known}
    for name in known:
        plain = name.partition("::")[0]
        names.setdefault(plain, [])
        if name not in names[plain]:
            names[plain].append(name)
    wanted = key.removeprefix(_PARAMETER)
    if not wanted:
        raise unknown(key, [*COLUMNS, "tags", "text", *(f"param.{name}" for name in names)])
    name, operator = split_key(wanted, names) or split_key(wanted, [_without_suffix(wanted)]) or (wanted, "=")
    words_ = isinstance(value, str) and not _is_number(value)
    fitting = value if words_ else _fitting(key, operator, "DOUBLE PRECISION", value)
    return _any(names.get(name, [name]), "parameters", operator, fitting, bound, text=words_)


def _without_suffix(key: str) -> str:
    name, _, suffix = key.rpartition("_")
    return name if name and suffix in OPERATORS else key


def _any(names: Sequence[str], column: str, operator: str, value: Any, bound: Bound, *, text: bool = False) -> str:
    tests = []
    for name in names:
        kept = f"json_extract_string(s.{column}, {bound.add(_path(name))})"
        tests.append(condition(kept if text else f"TRY_CAST({kept} AS DOUBLE PRECISION)", operator, value, bound))
    return f"({(' AND ' if value is None and operator == '=' else ' OR ').join(tests)})"


def _path(name: str) -> str:
    """Return the JSON path of a key, whatever it is called."""
    inside = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{inside}"'


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def _fitting(key: str, operator: str, kind: str, value: Any) -> Any:
    """Return a value as it can be compared with a column of that kind."""
    if operator == OPERATORS["like"] and kind != "VARCHAR":
        message = f"{key}={value!r}: _like compares text; for a number or a time use _gt, _gte, _lt, _lte, _ne"
        raise InvalidInput(message)
    if value is None:
        return None
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_fitting(key, operator, kind, one) for one in value]
    try:
        return _KINDS[kind](value)
    except (ValueError, TypeError) as error:
        expected = {"VARCHAR": "text", "TIMESTAMP": "a time, as 2024-05-31"}.get(kind, "a number")
        message = f"{key}={value!r}: expected {expected}"
        raise InvalidInput(message) from error


def _text(value: Any) -> str:
    if isinstance(value, (bytes, Mapping)):
        raise TypeError
    return str(value)


def _moment(value: Any) -> datetime:
    """Return a time in UTC without a zone; a naive one is taken as UTC, a day as its midnight."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    raise TypeError


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) is not None


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "VARCHAR": _text,
    "UUID": _text,
    "INTEGER": float,
    "DOUBLE PRECISION": float,
    "TIMESTAMP": _moment,
}
