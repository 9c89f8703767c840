"""Which runs of a session are asked for: conditions in SQL, and what only Python can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.records import ENDS, INTERRUPTED, RUNNING, RunSummary
from hmp_catalog.acquisition.values import loaded
from hmp_catalog.plain import real, time_text, whole
from hmp_core.errors import AmbiguousReference, InvalidInput, NotFound
from hmp_core.filters import Bound, condition

if TYPE_CHECKING:
    from hmp_catalog.acquisition.reading import Reading

    Row = dict[str, Any]

_NEWEST = " ORDER BY time_start DESC, place DESC"

#: Filter -> the column that it is about.
_COLUMNS = {"sample": "sample_name", "plan": "plan_name", "operator": "operator", "scan_id": "scan_id"}


def newest(reading: Reading, count: int | None) -> list[RunSummary]:
    """Return the newest runs, newest first.

    Raises
    ------
    InvalidInput
        If ``count`` is no number of runs.
    """
    most = whole(count, "n")
    if most is not None and most < 0:
        message = f"n is {most}, expected 0 or more; None gives all"
        raise InvalidInput(message)
    bound = Bound()
    limit = "" if most is None else f" LIMIT {bound.add(most)}"
    return [summary(row) for row in reading.runs(_NEWEST + limit, bound.values)]


def matching(reading: Reading, asked: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[RunSummary]:
    """Return the runs that fit, newest first; see `Catalog.find`.

    Raises
    ------
    InvalidInput
        If a filter is of another kind.
    """
    bound = Bound()
    wanted = [
        condition(column, "=", asked[name], bound) for name, column in _COLUMNS.items() if asked[name] is not None
    ]
    for name, operator in (("since", ">="), ("until", "<")):
        if asked[name] is not None:
            wanted.append(f"time_start {operator} {bound.add(seconds(asked[name], name))}")
    fits = [_tagged(asked["tag"])] if asked["tag"] is not None else []
    if asked["status"] is not None:
        wanted.append(_standing(reading, asked["status"], bound))
        fits.append(lambda row: row["status"] == asked["status"])
    fits += [_said(name, value) for name, value in metadata.items()]
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = reading.runs(where + _NEWEST, bound.values)
    return [summary(row) for row in rows if all(fit(row) for fit in fits)]


def summary(row: Row) -> RunSummary:
    """Return a run at a glance."""
    taken = ("uid", "plan_name", "time_start", "sample_name", "time_stop", "scan_id", "num_events", "operator")
    return RunSummary(exit_status=row["status"], **{name: row[name] for name in taken})


def resolved(reading: Reading, reference: Any) -> str:
    """Return the uid of the run that a uid, or the beginning of one, stands for.

    Raises
    ------
    NotFound
        If there is none.
    AmbiguousReference
        If several begin so.
    """
    asked = reference if isinstance(reference, str) else ""
    found = [uid for (uid,) in reading.ask("one_run", [asked]) if asked]
    found = found or [uid for (uid,) in reading.ask("uids_between", [asked, asked + chr(0x10FFFF)]) if asked]
    if len(found) > 1:
        message = f"several runs begin with {asked!r}: {', '.join(found)}; give more of the uid"
        raise AmbiguousReference(message, reference=asked, candidates=found)
    if not found:
        message = f"{reading.path} has no run {reference!r}; expected a uid, or the beginning of one"
        raise NotFound(message, reference=str(reference), candidates=[])
    return str(found[0])


def seconds(value: Any, where: str) -> float:
    """Return a time as seconds since 1970: of a number of them, of ISO 8601 text, or a date; without a zone it is UTC.

    Raises
    ------
    InvalidInput
        If it is not a time.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return real(value, where)
    said = time_text(value, where)
    return datetime.fromisoformat(str(said)).replace(tzinfo=UTC).timestamp()


def _standing(reading: Reading, status: Any, bound: Bound) -> str:
    """Return the condition that a run may stand so; whether the writer of one that has not ended lives, comes later."""
    known = [*ENDS, INTERRUPTED, RUNNING]
    if status not in known and (status,) not in reading.ask("statuses"):
        message = f"status is {status!r}, expected one of {', '.join(known)}"
        raise InvalidInput(message)
    return f"(exit_status = {bound.add(status)} OR exit_status IS NULL)"


def _tagged(tag: Any) -> Callable[[Row], bool]:
    return lambda row: tag in (loaded(row["tags"], "tags of a sample") or [])


def _said(name: str, value: Any) -> Callable[[Row], bool]:
    def fits(row: Row) -> bool:
        found = loaded(row["metadata"], f"metadata of run {row['uid']}") or {}
        return any(each == value for each in _under(found, name))

    return fits


def _under(found: Any, name: str) -> list[Any]:
    """Return what stands under a key, or under a path of keys with dots."""
    if not isinstance(found, Mapping):
        return []
    if name in found:
        return [found[name]]
    head, dot, rest = name.partition(".")
    return _under(found.get(head), rest) if dot else []
