"""All that a run came from: the versions that it consumed, what those were made of, and where those came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hydromodpy.fates import fates_in, opened, recorded_by
from hydromodpy.reading import AT_ONCE, CacheReader
from hydromodpy.records import Obtained, Parent, Recorded, Upstream, Version

if TYPE_CHECKING:
    from hmp_catalog import Run

#: Levels of parents that are asked for one by one: 10 ms each, and a series that grows day by day has hundreds; then
#: all versions are asked for, which takes 0.1 s a 10,000.
_DEEP = 8

_FACTS = (
    "SELECT CAST(a.id AS VARCHAR) AS artifact_id, CAST(a.entry_id AS VARCHAR) AS entry_id, a.sha256, a.path, "
    "e.variable, e.source, p.id IS NOT NULL AS is_told, p.uri, CAST(p.request AS VARCHAR) AS request, p.license, "
    "p.etag, p.last_modified, p.fetched_at, p.tool_name, p.tool_version, CAST(p.parents AS VARCHAR) AS parents, "
    "CAST(p.parameters_json AS VARCHAR) AS parameters, p.recorded_at "
    "FROM artifacts a JOIN entries e ON e.id = a.entry_id LEFT JOIN provenance p ON p.artifact_id = a.id"
)


def upstream(run: Run) -> Upstream:
    """Return what a run consumed, and every version that its inputs were made of, however far back.

    What the cache does not know any more is told as the run recorded it: hash, path, source and licence.
    """
    recorded = recorded_by(run)
    if not recorded:
        return Upstream((), {})
    with opened(run.workspace, run.auth) as cache:
        return upstream_in(run.workspace, recorded, cache)


def upstream_in(workspace: Path, recorded: Sequence[Recorded], cache: CacheReader | None) -> Upstream:
    """Return what became of inputs, and all that they came from, from a cache that is open."""
    found = fates_in(workspace, list(dict.fromkeys(recorded)), cache)
    consumed = tuple(found[one] for one in recorded)
    known = {str(each.version.artifact_id) for each in consumed if each.version is not None}
    return Upstream(consumed, trace(known, cache) if cache is not None else {}, cache.lack if cache is not None else "")


def trace(artifacts: Iterable[str], cache: CacheReader) -> dict[str, Version]:
    """Return artifact id -> version, of these and of all that they were made of; a circle ends where it began."""
    artifacts = set(artifacts)
    known: dict[str, list[dict[str, Any]]] = {}
    waiting, level = artifacts, 0
    while waiting:
        level += 1
        everything = len(waiting) > AT_ONCE or level > _DEEP
        known |= _told(cache, set() if everything else waiting)
        parents = {each.artifact_id for one in waiting & known.keys() for each in _parents(known[one])}
        waiting = set() if everything else parents - known.keys()
    known = _reached(known, artifacts)
    became = fates_in(cache.workspace, [_recorded(rows[0]) for rows in known.values()], cache)
    found = {}
    for artifact, rows in known.items():
        fate = became[_recorded(rows[0])]
        if fate.version is not None:
            current = fate.entry is not None and str(fate.entry.artifact_id) == artifact
            told = tuple(_obtained(row) for row in rows if row["is_told"])
            found[artifact] = Version(fate.version, fate.state, current, told, _parents(rows))
    return found


def _reached(known: dict[str, list[dict[str, Any]]], artifacts: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Return what is known of these versions and of all that they were made of."""
    found: dict[str, list[dict[str, Any]]] = {}
    waiting = sorted(artifacts & known.keys())
    while waiting:
        one = waiting.pop()
        found[one] = known[one]
        parents = (each.artifact_id for each in _parents(known[one]))
        waiting += [each for each in parents if each in known and each not in found]
    return found


def _told(cache: CacheReader, artifacts: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Return artifact id -> what is on record of it, newest first; of all, if none is named."""
    values = sorted(artifacts)
    marks = ", ".join(f"CAST(${n} AS UUID)" for n in range(1, len(values) + 1))
    where = f" WHERE a.id IN ({marks})" if values else ""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in cache.sql(f"{_FACTS}{where} ORDER BY p.recorded_at DESC, p.id", values):
        found.setdefault(row["artifact_id"], []).append(row)
    return found


def _recorded(row: Mapping[str, Any]) -> Recorded:
    named = (row[key] for key in ("variable", "source", "sha256", "path", "entry_id", "artifact_id"))
    return Recorded(*named)


def _obtained(row: Mapping[str, Any]) -> Obtained:
    said = {name: row[name] for name in Obtained.__dataclass_fields__}
    return Obtained(**said | {name: json.loads(row[name] or "null") for name in ("request", "parameters")})


def _parents(rows: Sequence[Mapping[str, Any]]) -> tuple[Parent, ...]:
    """Return the parents that any record names, each once."""
    found: dict[str, Parent] = {}
    for row in rows:
        for said in json.loads(row["parents"] or "[]"):
            told = said if isinstance(said, dict) else {"artifact_id": said}
            parent = Parent(str(UUID(told["artifact_id"])), told.get("sha256"), told.get("variable"))
            found.setdefault(parent.artifact_id, parent)
    return tuple(found.values())
