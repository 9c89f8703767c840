"""The graph from upstream to results: runs, the versions of inputs they consumed, and where those came from.

Edges point from cause to effect. Drawn as a tree of text, as JSON, or as DOT for Graphviz.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hydromodpy.bridge import input_entries, is_kept, used_by

if TYPE_CHECKING:
    from hmp_cache import Entry, InputsNamespace
    from hmp_catalog import Run

Direction = Literal["upstream", "downstream"]

_SHAPES = {"run": "box", "input": "ellipse", "file": "ellipse", "source": "cds"}


@dataclass(frozen=True, slots=True)
class Node:
    """A thing in the graph."""

    id: str
    #: run, input (a version of a cache entry), file (outside the cache), source (upstream)
    kind: str
    label: str
    state: str = ""
    sha256: str = ""


@dataclass(slots=True)
class Graph:
    """Nodes by id, and edges from cause to effect, from one root."""

    root: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    #: what could not be asked, and why
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, node: Node) -> str:
        """Add a node, once."""
        self.nodes.setdefault(node.id, node)
        return node.id

    def link(self, cause: str, effect: str) -> None:
        """Add an edge, once."""
        if (cause, effect) not in self.edges:
            self.edges.append((cause, effect))

    def neighbours(self, node: str, direction: Direction) -> list[str]:
        """Return the causes or the effects of a node."""
        if direction == "upstream":
            return [cause for cause, effect in self.edges if effect == node]
        return [effect for cause, effect in self.edges if cause == node]

    def to_text(self) -> str:
        """Return the graph as a tree, causes below effects and the other way round."""
        lines = [_title(self.nodes[self.root])]
        upstream = self.neighbours(self.root, "upstream")
        downstream = self.neighbours(self.root, "downstream")
        if upstream:
            lines.append("consumed" if self.nodes[self.root].kind == "run" else "came from")
            lines += self._branches(self.root, "upstream", "", {self.root})
        if downstream:
            lines.append("used by")
            lines += self._branches(self.root, "downstream", "", {self.root})
        return "\n".join(lines)

    def _branches(self, node: str, direction: Direction, indent: str, seen: set[str]) -> list[str]:
        lines = []
        following = [n for n in self.neighbours(node, direction) if n not in seen]
        for position, one in enumerate(following, 1):
            last = position == len(following)
            lines.append(f"{indent}{'└── ' if last else '├── '}{_title(self.nodes[one])}")
            lines += self._branches(one, direction, indent + ("    " if last else "│   "), seen | {one})
        return lines

    def to_json(self) -> str:
        """Return the graph as JSON: root, nodes, edges, skipped."""
        content = {
            "root": self.root,
            "nodes": [asdict(node) for node in self.nodes.values()],
            "edges": [{"from": cause, "to": effect} for cause, effect in self.edges],
            "skipped": self.skipped,
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    def to_dot(self) -> str:
        """Return the graph in the language of Graphviz."""
        lines = ["digraph lineage {", "  rankdir=LR;"]
        for node in self.nodes.values():
            label = json.dumps(f"{node.label}\n{node.state}".strip(), ensure_ascii=False)
            lines.append(f"  {json.dumps(node.id)} [label={label}, shape={_SHAPES[node.kind]}];")
        lines += [f"  {json.dumps(cause)} -> {json.dumps(effect)};" for cause, effect in self.edges]
        return "\n".join([*lines, "}"])


def _title(node: Node) -> str:
    state = f" [{node.state}]" if node.state else ""
    digest = f" sha256:{node.sha256[:12]}" if node.sha256 else ""
    return f"{node.kind} {node.label}{digest}{state}"


def of_run(run: Run) -> Graph:
    """Return the lineage of a run: its inputs, what they were derived from, and their sources upstream."""
    root = Node(f"run:{run.sim_id}", "run", f"{run.name or run.sim_id[:8]} ({run.solver})", run.status)
    graph = Graph(root.id)
    graph.add(root)
    from hmp_cache import InputsNamespace
    from hmp_core.layout import cache_path

    consumed = input_entries(run)
    if not cache_path(run.workspace).exists():
        for one in consumed:
            node = graph.add(Node(f"file:{one.path}", "file", one.path, one.state, one.sha256))
            graph.link(node, root.id)
        return graph
    with InputsNamespace(run.workspace, auth=run.auth) as cache:
        for one in consumed:
            kind = "file" if one.entry is None else "input"
            label = one.path if one.entry is None else f"{one.variable} from {one.source} ({one.path})"
            node = graph.add(Node(f"artifact:{one.sha256}", kind, label, one.state, one.sha256))
            graph.link(node, root.id)
            if one.entry is not None:
                _origins(graph, cache, one.sha256)
    return graph


def of_entry(entry: Entry, cache: InputsNamespace) -> Graph:
    """Return the lineage of an entry: where it came from, and the runs that used any version of it."""
    label = f"{entry.variable} from {entry.source} ({entry.relative_path})"
    root = Node(f"artifact:{entry.sha256}", "input", label, entry.state, entry.sha256)
    graph = Graph(root.id)
    graph.add(root)
    _origins(graph, cache, entry.sha256)
    _descendants(graph, cache, entry)
    return graph


def _origins(graph: Graph, cache: InputsNamespace, sha256: str) -> None:
    here = f"artifact:{sha256}"
    for origin in _provenance(cache, "a.sha256 = $1", [sha256]):
        if origin["uri"]:
            graph.link(graph.add(Node(f"source:{origin['uri']}", "source", origin["uri"])), here)
        for parent in _parents(origin):
            known = _artifact(cache, parent)
            if known is None:
                continue
            graph.link(graph.add(known), here)
            _origins(graph, cache, known.sha256)


def _descendants(graph: Graph, cache: InputsNamespace, entry: Entry) -> None:
    here = f"artifact:{entry.sha256}"
    uses = used_by(entry)
    graph.skipped |= uses.skipped
    for use in uses:
        label = f"{use.name or use.sim_id[:8]} in {use.project.name}"
        state = use.status if use.current else f"{use.status}, consumed an older version"
        graph.link(here, graph.add(Node(f"run:{use.sim_id}", "run", label, state)))
    for origin in _provenance(cache, "CAST(p.parents AS VARCHAR) LIKE $1", [f"%{entry.sha256}%"]):
        child = _artifact(cache, origin["sha256"])
        if child is None or child.id in graph.nodes:
            continue
        graph.link(here, graph.add(child))
        derived = cache[origin["entry_id"]]
        if derived.sha256 == child.sha256:
            _descendants(graph, cache, derived)


def _provenance(cache: InputsNamespace, condition: str, values: list[Any]) -> list[dict[str, Any]]:
    sql = (
        "SELECT a.sha256, CAST(a.entry_id AS VARCHAR) AS entry_id, p.uri, CAST(p.parents AS VARCHAR) AS parents "
        f"FROM provenance p JOIN artifacts a ON a.id = p.artifact_id WHERE {condition}"
    )
    return list(cache.sql(sql, values).to_pylist())


def _parents(origin: dict[str, Any]) -> list[str]:
    """Return the SHA-256 of each parent."""
    found = json.loads(origin["parents"] or "[]")
    return [str(p["sha256"] if isinstance(p, dict) else p) for p in found]


def _artifact(cache: InputsNamespace, sha256: str) -> Node | None:
    sql = (
        "SELECT e.variable, e.source, a.path, e.sha256 AS now FROM artifacts a JOIN entries e ON e.id = a.entry_id "
        "WHERE a.sha256 = $1"
    )
    rows = cache.sql(sql, [sha256]).to_pylist()
    if not rows:
        return None
    row = rows[0]
    there, gone = ("current", "missing") if row["now"] == sha256 else ("superseded", "purged")
    state = there if is_kept(cache, sha256) else gone
    label = f"{row['variable']} from {row['source']} ({row['path']})"
    return Node(f"artifact:{sha256}", "input", label, state, sha256)
