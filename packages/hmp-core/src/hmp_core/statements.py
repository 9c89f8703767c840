"""Named SQL statements, read from a scope's ``queries.sql``: what we ask, each with its name and a sentence.

A statement begins with ``-- name: <name>``, the comment lines that follow describe it, and it lasts until the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

_NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$")


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement."""

    name: str
    description: str
    sql: str


@cache
def load_statements(package: str, file: str = "queries") -> dict[str, Statement]:
    """Return the statements of ``<package>/sql/<file>.sql`` by name.

    Raises
    ------
    ValueError
        If a name is used twice, or a statement has no description or no text.
    """
    # a package of ours is a folder; importlib.resources would cost 30 ms at every start
    home = Path(str(import_module(package).__file__)).parent
    return parse((home / "sql" / f"{file}.sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Statement]:
    """Return the statements of a text by name (see `load_statements`)."""
    found: dict[str, Statement] = {}
    name: str | None = None
    words: list[str] = []
    lines: list[str] = []
    for line in [*text.splitlines(), "-- name: end"]:
        match = _NAME.match(line)
        if match is None:
            if line.startswith("--") and not lines:
                words.append(line.lstrip("- ").strip())
            elif line.strip():
                lines.append(line)
            continue
        if name is not None:
            if name in found or not any(words) or not lines:
                message = f"statement {name!r} is named twice, has no description, or is empty"
                raise ValueError(message)
            found[name] = Statement(name, " ".join(words), "\n".join(lines).rstrip().rstrip(";"))
        name, words, lines = match[1], [], []
    return found
