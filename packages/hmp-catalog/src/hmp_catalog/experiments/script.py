"""A chain as one Python file, ``.n4a.py``: its artefacts, the text that replays it, and a command line.

What runs in it are the rooms of `replaying` and `standalone`, as they stand here, without what they import from hmp.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import pprint
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, NamedTuple

#: The rooms whose text a script consists of, in this order.
ROOMS = ("planning", "operators", "answering", "replaying", "standalone")

_HEAD = '''\
#!/usr/bin/env python3
"""Predict with a chain of preprocessing and model that was trained and exported by hmp.

    python {name} input.csv [output.csv]

or, in Python, ``predict(X)`` and ``predict_from_file("input.csv", "output.csv", delimiter=",")``.

It needs numpy, joblib and the packages of the estimators; ``ABOUT`` says of which versions. Unpickling executes code:
run this file only if you trust where it comes from.
"""

from __future__ import annotations
'''
_TAIL = """
if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
"""
_WIDTH = 116


class Embedded(NamedTuple):
    """An artefact of a script."""

    artifact_id: str
    format: str
    data: bytes


def pieces(
    name: str, about: Mapping[str, Any], chain: Mapping[str, Any], artifacts: Iterable[Embedded]
) -> Iterator[str]:
    """Yield the text of a script, piece by piece.

    Parameters
    ----------
    name : str
        What the file is called, for the line that says how to run it.
    about, chain : mapping
        Plain values: where the chain comes from, and the chain.
    artifacts : iterable of Embedded
        What is embedded; each is asked for when it is written.
    """
    yield _HEAD.format(name=name if name.isprintable() and not set(name) & {"\\", '"'} else "script.py")
    for room in ROOMS:
        yield f"\n{body(room)}\n"
    yield f"\nABOUT.update(\n{_literal(about)}\n)\nCHAIN.update(\n{_literal(chain)}\n)\n"
    for one in artifacts:
        sha256 = hashlib.sha256(one.data).hexdigest()
        yield f"ARTIFACTS[{one.artifact_id!r}] = ({one.format!r}, {sha256!r}, "
        yield f'"""\n{_wrapped(one.data)}\n""")\n'
    yield f"\n{_TAIL}"


def body(room: str) -> str:
    """Return the text of a room without its docstring and what it imports from ``__future__`` and hmp."""
    text = resources.files(__package__).joinpath(f"{room}.py").read_text(encoding="utf-8")
    kept = text.splitlines()
    for node in reversed(ast.parse(text).body):
        if _left_out(node):
            kept[node.lineno - 1 : node.end_lineno] = _instead(node, kept)
    return "\n".join(kept).strip("\n")


def _left_out(node: ast.stmt) -> bool:
    """Return whether a statement is the docstring of a room, or imports what a script does not have."""
    if isinstance(node, ast.Try):
        return _left_out(node.body[0])
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" or (node.module or "").startswith("hmp_")
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _instead(node: ast.stmt, text: list[str]) -> list[str]:
    """Return the lines in the place of a statement: where an import may fail, those for when it does."""
    if not isinstance(node, ast.Try):
        return []
    inside = node.handlers[0].body
    return textwrap.dedent("\n".join(text[inside[0].lineno - 1 : inside[-1].end_lineno])).splitlines()


def _literal(value: Mapping[str, Any]) -> str:
    return pprint.pformat(dict(value), width=_WIDTH, sort_dicts=False)


def _wrapped(data: bytes) -> str:
    text = base64.b64encode(data).decode("ascii")
    return "\n".join(text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH))
