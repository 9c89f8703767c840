"""A graph from causes to effects, and how it is drawn: a tree of text, JSON, or DOT for Graphviz."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hmp_core.cli.show import plain

Direction = Literal["upstream", "downstream"]

_SHAPES = {"run": "box", "input": "ellipse", "file": "note", "source": "cylinder"}


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
    #: what could not be asked, and why
    skipped: dict[str, str] = field(default_factory=dict)
    _effects: dict[str, dict[str, None]] = field(default_factory=dict)
    _causes: dict[str, dict[str, None]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Node) -> Graph:
        """Return a graph of one node."""
        return cls(root.id, {root.id: root})

    @property
    def edges(self) -> list[tuple[str, str]]:
        """From cause to effect."""
        return [(cause, effect) for cause, effects in self._effects.items() for effect in effects]

    def add(self, node: Node) -> str:
        """Add a node, once."""
        self.nodes.setdefault(node.id, node)
        return node.id

    def link(self, cause: str, effect: str) -> None:
        """Add an edge, once."""
        self._effects.setdefault(cause, {})[effect] = None
        self._causes.setdefault(effect, {})[cause] = None

    def neighbours(self, node: str, direction: Direction) -> list[str]:
        """Return the causes or the effects of a node."""
        return list((self._causes if direction == "upstream" else self._effects).get(node, ()))

    # ── drawn ────────────────────────────────────────────────────────────────────────────────────────

    def to_text(self) -> str:
        """Return the graph as a tree: what the root came from, and what came of it."""
        lines = [_title(self.nodes[self.root])]
        for direction, said in (("upstream", self._said_of_causes), ("downstream", "used by")):
            branches = list(self._branches(direction))  # type: ignore[arg-type]
            lines += [said, *branches] if branches else []
        return "\n".join(lines)

    @property
    def _said_of_causes(self) -> str:
        kinds = {self.nodes[cause].kind for cause in self.neighbours(self.root, "upstream")}
        return "consumed" if self.nodes[self.root].kind == "run" and "run" not in kinds else "came from"

    def _branches(self, direction: Direction) -> Iterator[str]:
        """Yield the lines of a tree; what hangs below a node is drawn once, so that circles and diamonds end."""
        drawn = {self.root}
        waiting = self._hanging(self.root, direction, "")
        while waiting:
            node, indent, branch, deeper = waiting.pop()
            below = self._hanging(node, direction, deeper)
            again = " (as above)" if below and node in drawn else ""
            yield f"{indent}{branch}{_title(self.nodes[node])}{again}"
            waiting += [] if node in drawn else below
            drawn.add(node)

    def _hanging(self, node: str, direction: Direction, indent: str) -> list[tuple[str, str, str, str]]:
        """Return what hangs below a node, the last first: node, indent, branch, indent of what hangs below that."""
        following = self.neighbours(node, direction)
        found = [(one, indent, "├── ", f"{indent}│   ") for one in following[:-1]]
        found += [(one, indent, "└── ", f"{indent}    ") for one in following[-1:]]
        return found[::-1]

    def as_dict(self) -> dict[str, Any]:
        """Return the graph as plain values: root, nodes, edges, skipped."""
        return {
            "root": self.root,
            "nodes": [asdict(node) for node in self.nodes.values()],
            "edges": [{"from": cause, "to": effect} for cause, effect in self.edges],
            "skipped": self.skipped,
        }

    def to_json(self) -> str:
        """Return the graph as JSON (see `as_dict`)."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1)

    def to_dot(self) -> str:
        """Return the graph in the language of Graphviz."""
        lines = ["digraph lineage {", "  rankdir=LR;"]
        for node in self.nodes.values():
            label = r"\n".join(_quotable(each) for each in (node.label, node.state) if each)
            style = ", style=bold" if node.id == self.root else ""
            lines.append(f'  "{_quotable(node.id)}" [label="{label}", shape={_SHAPES[node.kind]}{style}];')
        lines += [f'  "{_quotable(cause)}" -> "{_quotable(effect)}";' for cause, effect in self.edges]
        return "\n".join([*lines, "}"])


def _title(node: Node) -> str:
    state = f" [{node.state}]" if node.state else ""
    digest = f" sha256:{node.sha256[:12]}" if node.sha256 else ""
    return plain(f"{node.kind} {node.label}{digest}{state}")


def _quotable(text: str) -> str:
    """Return text as it stands between quotes in DOT: no line ends there, and Graphviz makes nothing of it."""
    return plain(text).replace("\\", "\\\\").replace('"', '\\"')
