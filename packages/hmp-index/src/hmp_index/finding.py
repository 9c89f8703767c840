"""From the keywords of ``find`` and the words of ``search`` to conditions on the snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from hmp_core.errors import InvalidInput, UnknownFilter
from hmp_core.filters import OPERATORS, Bound, compare, during, split_key, unknown, within
from hmp_index.fold import ACQUISITION, EXPERIMENT, SUMMARY
from hmp_index.search import ranking, words

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

#: What else one may find by; as the catalog of a project understands it.
PLACES = ("tags", "text", "trashed", "period", "period_covers", "bbox")

#: What only the catalog of a project knows.
ELSEWHERE = (
    *("notes", "doi", "parent_sim_id", "config_hash", "error", "storage_basename", "seed", "started_at", "ended_at"),
)

#: What of that is not in the summary that a catalog gives.
_UNSEEN = {"error", "storage_basename"}

_PARAMETER = "param."
_SEVERAL = (list, tuple, set, frozenset)


@dataclass(slots=True)
class Question:
    """Conditions in the making, with the values they are bound to."""

    conditions: list[str] = field(default_factory=list)
    bound: Bound = field(default_factory=Bound)
    #: how well a simulation answers, as an expression; empty if all answer alike
    score: str = ""
    #: whether what is in the trash is asked for: only that, all but that, or (None) both
    trashed: bool | None = False

    def all(self) -> list[str]:
        """Return every condition."""
        trash = [] if self.trashed is None else [f"s.trashed_at IS {'NOT ' if self.trashed else ''}NULL"]
        return [*trash, *self.conditions]


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
            if found[0] == "status" and filters.get("kind") not in {EXPERIMENT, ACQUISITION}:
                _require_kept(key, value)
            asked.conditions.append(_column(key, *found, value, asked.bound))
        elif key == "trashed":
            asked.trashed = _whether(value)
        elif key in PLACES:
            asked.conditions += _special(key, value, labels, asked.bound)
        elif key.startswith(_PARAMETER):
            asked.conditions.append(_parameter(key, value, keys("parameters"), asked.bound))
        else:
            asked.conditions.append(_metric(key, value, keys("metrics"), asked.bound))
    return asked


def is_text(key: str) -> bool:
    """Return whether a filter key compares text, a time or an id."""
    found = split_key(key, COLUMNS)
    return key in PLACES or (found is not None and COLUMNS[found[0]][1] in {"VARCHAR", "UUID", "TIMESTAMP"})


def _column(key: str, name: str, operator: str, value: Any, bound: Bound) -> str:
    expression, kind = COLUMNS[name]
    fitting = _fitting(key, operator, kind, value)
    if name in _IDS:
        fitting = [one and one.lower() for one in fitting] if isinstance(fitting, list) else fitting and fitting.lower()
    return compare(expression, operator, fitting, bound, key)


def _require_kept(key: str, value: Any) -> None:
    """Return if a status is one that the snapshot keeps; of experiments and acquisitions it keeps every one."""
    if "interrupted" in (value if isinstance(value, _SEVERAL) else [value]):
        message = (
            f"{key}={value!r}: whether the process of an open simulation lives is known to its project alone; ask here "
            "for status='running', and `hmp catalog find` there; of experiments and acquisitions it is known here "
            "too: kind='experiment', kind='acquisition'"
        )
        raise InvalidInput(message)


_IDS = {"sim_id", "project_id", "workspace_id"}


def _whether(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        message = f"trashed is {value!r}, expected True (only the trash), False (all but the trash) or None (both)"
        raise InvalidInput(message)
    return value


def _special(key: str, value: Any, labels: Mapping[str, str], bound: Bound) -> list[str]:
    if key == "tags":
        return [_tagged(tag, bound) for tag in _tags(value)]
    if key == "text":
        sought = words(str(value))
        if sought:
            return saying(sought, labels, bound, anywhere=True)
        return ["FALSE"] if str(value).strip() else []
    if key == "bbox":
        return within(_box(value), bound)
    return during(*_period(key, value), bound, covers=key == "period_covers")


def _box(value: Any) -> list[float]:
    sides = value.split(",") if isinstance(value, str) else value
    try:
        found = [float(side) for side in sides]
    except (TypeError, ValueError, OverflowError) as error:
        message = f"bbox is {value!r}, expected four numbers: xmin, ymin, xmax, ymax"
        raise InvalidInput(message) from error
    if not all(map(math.isfinite, found)):
        message = f"bbox is {value!r}, expected four numbers: xmin, ymin, xmax, ymax"
        raise InvalidInput(message)
    return found


def _period(key: str, value: Any) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment of a period: of a pair, as FIRST/LAST, or one moment."""
    asked = value.split("/") if isinstance(value, str) and "/" in value else value
    if isinstance(asked, str) or not isinstance(asked, _SEVERAL):
        asked = (asked, asked)
    try:
        first, last = (None if time in {None, ""} else _moment(time) for time in asked)
        if first is not None and last is not None and first > last:
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        message = f"{key} is {value!r}, expected its first and last time, the earlier one first"
        raise InvalidInput(message) from error
    return first, last


def search(sought: Sequence[str], labels: Mapping[str, str]) -> Question:
    """Return the conditions that a search for some folded words asks for."""
    asked = Question()
    asked.conditions += saying(sought, labels, asked.bound)
    asked.score = ranking(sought, labels, asked.bound)
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
        raise _unknown(key, ["param.NAME", *names])
    asked = _Asked(key, found[1], _fitting(key, found[1], "DOUBLE PRECISION", value))
    return _any(names[found[0]], "metrics", asked, bound)


def _unknown(key: str, names: Iterable[str]) -> UnknownFilter:
    """Return the error for a key that nothing here goes by; it says so if the catalog of a project knows it."""
    valid = [*COLUMNS, *PLACES, *names]
    if found := split_key(key, ELSEWHERE):
        message = (
            f"the snapshot of the index does not have {found[0]}: ask the catalog of the project (`hmp catalog find`)"
        )
        if found[0] not in _UNSEEN:
            message += ", or all of them at once (`hmp index sql --live`)"
        return UnknownFilter(message, key=key, valid=sorted(valid))
    return unknown(key, valid)


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
        raise _unknown(key, (f"param.{name}" for name in names))
    name, operator = split_key(wanted, names) or split_key(wanted, [_without_suffix(wanted)]) or (wanted, "=")
    values = [one for one in (value if isinstance(value, _SEVERAL) else [value]) if one is not None]
    said = bool(values) and all(isinstance(one, (str, bool)) for one in values)
    fitting = _said(value) if said else _fitting(key, operator, "DOUBLE PRECISION", value)
    asked = _Asked(key, operator, fitting)
    return _any(names.get(name, [name]), "parameters", asked, bound, text=said)


def _said(value: Any) -> Any:
    """Return words as `_any` compares them: text has a mark that ``true`` and numbers do not have."""
    if isinstance(value, _SEVERAL):
        return [_said(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else value if value is None else f'"{value}'


def _without_suffix(key: str) -> str:
    name, _, suffix = key.rpartition("_")
    return name if name and suffix in OPERATORS else key


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a value: the key as it was written, how it is compared, and with what."""

    key: str
    operator: str
    value: Any


def _any(names: Sequence[str], column: str, asked: _Asked, bound: Bound, *, text: bool = False) -> str:
    """Return the condition that one of several values fulfils what is asked; one that is missing fulfils nothing."""
    tests, sought = list[str](), asked.value is not None or asked.operator not in {"=", "<>"}
    for name in names:
        place = f"s.{column}, {bound.add(_path(name))}"
        kept, kind = f"json_extract_string({place})", f"json_type({place})"
        if not sought:
            tests.append(compare(kept, asked.operator, None, bound, asked.key))
            continue
        if text:  # a number without a point was written as such, and is compared as text
            read = f"CASE {kind} WHEN 'VARCHAR' THEN '\"' || {kept} WHEN 'DOUBLE' THEN NULL ELSE {kept} END"
        else:
            read = (
                f"CASE WHEN {kind} <> 'VARCHAR' OR {kept} IN {_ENDLESS} THEN TRY_CAST({kept} AS DOUBLE PRECISION) END"
            )
        test = compare(f"({read})", asked.operator, asked.value, bound, asked.key)
        there = f"{kind} IS NOT NULL" if text else f"({read}) IS NOT NULL"
        tests.append(f"({there} AND {test})" if asked.operator in {"=", "<>"} else test)
    return f"({(' OR ' if sought or asked.operator == '<>' else ' AND ').join(tests)})"


#: Numbers that JSON has words for.
_ENDLESS = "('Infinity', '-Infinity')"


def _path(name: str) -> str:
    """Return the JSON pointer of a key, whatever it is called (RFC 6901); of a JSON path ``*`` would be any key."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def _fitting(key: str, operator: str, kind: str, value: Any) -> Any:
    """Return a value as it can be compared with a column of that kind."""
    if operator == OPERATORS["like"] and kind != "VARCHAR":
        message = f"{key}={value!r}: _like compares text; for a number or a time use _gt, _gte, _lt, _lte, _ne"
        raise InvalidInput(message)
    if value is None:
        return None
    if isinstance(value, _SEVERAL):
        return [_fitting(key, operator, kind, one) for one in value]
    try:
        return _KINDS[kind](value)
    except (ValueError, TypeError, OverflowError) as error:
        expected = {"VARCHAR": "text", "TIMESTAMP": "a time, as 2024-05-31"}.get(kind, "a number")
        message = f"{key}={value!r}: expected {expected}"
        raise InvalidInput(message) from error


def _text(value: Any) -> str:
    if isinstance(value, (bytes, Mapping)):
        raise TypeError
    return str(value)


def _moment(value: Any) -> datetime:
    """Return a time in UTC without a zone; a naive one is taken as UTC, a day as its midnight."""
    if type(value).__name__ == "datetime64":  # numpy is not imported for this
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    raise TypeError


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "VARCHAR": _text,
    "UUID": _text,
    "INTEGER": float,
    "DOUBLE PRECISION": float,
    "TIMESTAMP": _moment,
}
