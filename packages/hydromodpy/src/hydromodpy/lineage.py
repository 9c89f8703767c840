"""How a run or an input came to be and what came of it, as a graph: runs, versions of inputs, files, sources.

Edges point from cause to effect. What a run consumed is what it recorded, also where the cache knows nothing of it any
more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_core.databases import Database
from hmp_core.errors import PathNotFound
from hmp_core.identity import sha256_path
from hmp_core.layout import cache_path
from hmp_core.paths import from_relative, to_relative
from hydromodpy.bridge import uses_of
from hydromodpy.consumers import Asker
from hydromodpy.graph import Graph, Node
from hydromodpy.origins import trace, upstream
from hydromodpy.reading import CacheReader
from hydromodpy.records import Consumed, Upstream, Use, Version

if TYPE_CHECKING:
    from hmp_cache import Entry
    from hmp_catalog import Run
    from hmp_core.protocols import AuthBackend


def of_run(run: Run) -> Graph:
    """Return the lineage of a run: its inputs, what they were derived from, their sources, and the run it goes on from.

    What came of it are the runs that go on from it.
    """
    found = upstream(run)
    graph = Graph.of(Node(f"run:{run.sim_id}", "run", f"{run.name or run.sim_id[:8]} ({run.solver})", run.status))
    for one in found.inputs:
        graph.link(graph.add(_consumed(one)), graph.root)
    _origins(graph, found.versions.values(), found)
    _relatives(graph, run)
    graph.skipped |= {str(run.workspace): found.notice} if found.notice else {}
    return graph


def of_entry(entry: Entry, auth: AuthBackend | None = None) -> Graph:
    """Return the lineage of a version of an input: where it came from, what was made of it, and the runs that used it.

    Of an entry, as the cache gives it, that is the current version; runs that used a former one are there too.
    """
    auth = entry.auth if auth is None else auth
    asker = Asker(entry.workspace, auth)
    with CacheReader(entry.workspace, auth) as cache:
        versions = trace({str(entry.artifact_id)}, cache)
        root = versions.get(str(entry.artifact_id))
        state = root.state if root else entry.state
        graph = Graph.of(_input(entry, state))
        _origins(graph, versions.values(), Upstream((), versions))
        _descendants(graph, entry, asker, cache)
        asker.note(entry.workspace, cache.lack)
    graph.skipped |= asker.skipped
    return graph


def of_file(path: Path, workspace: Path, auth: AuthBackend | None = None) -> Graph:
    """Return the lineage of a file of a workspace that is no input of its cache: the runs that consumed it.

    Raises
    ------
    PathNotFound, PathEscape, AccessDenied
        If it is not there, lies outside the workspace, or may not be read.
    """
    Database("cache", cache_path(workspace)).authorize("read", auth)
    kept = to_relative(path, workspace)
    if not from_relative(kept, workspace).exists():
        message = f"{path}: no such file"
        raise PathNotFound(message, path=str(path))
    sha256 = sha256_path(path)
    graph = Graph.of(Node(f"file:{kept}", "file", kept, "current", sha256))
    asker = Asker(workspace, auth)
    for home in asker.workspaces(everywhere=True):
        for each in asker.consumers(home, {sha256}, paths={kept} if home == workspace else ()):
            if not each.is_trashed and (each.entry_id is None or each.sha256 == sha256):
                use = Use(*each[:5], each.sha256, current=each.sha256 == sha256)
                graph.link(graph.root, graph.add(_run(use, workspace)))
    graph.skipped |= asker.skipped
    return graph


# ── upstream ─────────────────────────────────────────────────────────────────────────────────────────


def _origins(graph: Graph, versions: Iterable[Version], known: Upstream) -> None:
    """Add where each version came from: its parents, and its sources."""
    for version in versions:
        here = graph.add(_version(version))
        for uri in dict.fromkeys(each.uri for each in version.obtained if each.uri):
            graph.link(graph.add(Node(f"source:{uri}", "source", uri)), here)
        for parent in version.parents:
            there = known.versions.get(parent.artifact_id)
            graph.link(graph.add(_version(there) if there else _unknown(parent.artifact_id, parent.sha256)), here)


def _id(artifact: object) -> str:
    """Return the id of a version; two inputs may have the same bytes, and are two."""
    return f"artifact:{artifact}"


def _label(entry: Entry) -> str:
    return f"{entry.variable} from {entry.source} ({entry.relative_path})"


def _input(entry: Entry, state: str) -> Node:
    return Node(_id(entry.artifact_id), "input", _label(entry), state, entry.sha256)


def _version(version: Version) -> Node:
    return _input(version.entry, version.state)


def _unknown(artifact: str, sha256: str | None) -> Node:
    """Return a parent of which the cache knows nothing but that it was named."""
    label = f"an input that is not known here ({artifact[:8]})"
    return Node(_id(artifact), "input", label, "missing", sha256 or "")


def _consumed(one: Consumed) -> Node:
    if one.entry_id is None and one.version is None:
        return Node(f"file:{one.path}", "file", one.path, one.state, one.sha256)
    artifact = one.artifact_id if one.version is None else one.version.artifact_id
    # without either, as an earlier version of hmp may have left it, the entry and its bytes
    name = _id(artifact or f"{one.entry_id}/{one.sha256}")
    return Node(name, "input", f"{one.variable} from {one.source} ({one.path})", one.state, one.sha256)


# ── runs that go on from runs ────────────────────────────────────────────────────────────────────────


def _relatives(graph: Graph, run: Run) -> None:
    """Add the runs that a run goes on from, and those that go on from it, however far."""
    asker = Asker(run.workspace, run.auth)
    table = asker.read(run.project, lambda backend: backend.query(_RELATED))
    graph.skipped |= asker.skipped
    known = {} if table is None else {row["sim_id"]: row for row in table.to_pylist()}
    one, seen = known.get(run.sim_id), {run.sim_id}
    while one is not None and one["parent"] is not None and one["parent"] not in seen:
        seen.add(one["parent"])
        graph.link(graph.add(_relative(known.get(one["parent"]), one["parent"])), f"run:{one['sim_id']}")
        one = known.get(one["parent"])
    children: dict[str, list[str]] = {}
    for row in known.values():
        children.setdefault(row["parent"], []).append(row["sim_id"])
    waiting = [run.sim_id]
    for parent in waiting:  # grows while it is gone through
        for child in children.get(parent, ()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                graph.link(f"run:{parent}", graph.add(_relative(known[child], child)))


_RELATED = (
    "SELECT CAST(sim_id AS VARCHAR) AS sim_id, CAST(parent_sim_id AS VARCHAR) AS parent, name, solver, status, "
    "CAST(owner AS VARCHAR) AS owner, trashed_at IS NOT NULL AS is_trashed FROM simulations "
    "WHERE parent_sim_id IS NOT NULL OR sim_id IN (SELECT parent_sim_id FROM simulations) ORDER BY created_at, sim_id"
)


def _relative(row: dict[str, Any] | None, sim_id: str) -> Node:
    from hmp_catalog.queries import state

    if row is None:
        return Node(f"run:{sim_id}", "run", sim_id[:8], "not in this catalog")
    told = state(row["status"], row["owner"]) + (", in the trash" if row["is_trashed"] else "")
    return Node(f"run:{sim_id}", "run", f"{row['name'] or sim_id[:8]} ({row['solver']})", told)


# ── downstream ───────────────────────────────────────────────────────────────────────────────────────


def _descendants(graph: Graph, entry: Entry, asker: Asker, cache: CacheReader) -> None:
    """Add what was made of any version of an entry, at first or second hand, and the runs that used any of it."""
    children = _children(cache)
    made = _made_of(str(entry.id), children)
    entries = {str(each.id): each for each in cache.versions({"id": sorted({str(entry.id), *made})})[1]}
    here = {str(entry.id): graph.root}
    for identity in made:
        if identity in entries:
            one = entries[identity]
            here[identity] = graph.add(_input(one, one.state))
    for cause, effects in children.items():
        for effect in effects & here.keys():
            if cause in here and effect != str(entry.id):
                graph.link(here[cause], here[effect])
    asked = [entries.get(identity, entry) for identity in here]
    for identity, uses in uses_of(asked, cache, asker).items():
        for use in uses:
            graph.link(here[str(identity)], graph.add(_run(use, entry.workspace)))


def _run(use: Use, home: Path) -> Node:
    place = "" if use.workspace == home else f"{use.workspace.name}/"
    label = f"{use.name or use.sim_id[:8]} in {place}{use.project.name}"
    state = use.status if use.current else f"{use.status}, consumed an older version"
    return Node(f"run:{use.sim_id}", "run", label, state)


def _children(cache: CacheReader) -> dict[str, set[str]]:
    """Return entry id -> the entries of which some version was made of some version of it."""
    owners = {}
    sql = "SELECT CAST(id AS VARCHAR) AS id, CAST(entry_id AS VARCHAR) AS entry FROM artifacts"
    told = "SELECT CAST(entry_id AS VARCHAR) AS child, CAST(parents AS VARCHAR) AS parents FROM provenance "
    rows = cache.sql(f"{told}WHERE parents IS NOT NULL")
    if rows:
        owners = {row["id"]: row["entry"] for row in cache.sql(sql)}
    found: dict[str, set[str]] = {}
    for row in rows:
        for said in json.loads(row["parents"]) or []:
            artifact = str(UUID(said["artifact_id"] if isinstance(said, dict) else said))
            if artifact in owners:
                found.setdefault(owners[artifact], set()).add(row["child"])
    return found


def _made_of(entry: str, children: dict[str, set[str]]) -> list[str]:
    """Return the entries that were made of one, the nearest first; a circle ends where it began."""
    found = [entry]
    for each in found:  # grows while it is gone through
        found += sorted(children.get(each, set()) - set(found))
    return found[1:]
