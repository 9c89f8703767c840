"""From what a user types to one input: id, at least four digits of it, name, path, or a variable there is once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hmp_cache import queries
from hmp_cache.errors import AmbiguousEntry, EntryNotFound
from hmp_core.protocols import CatalogBackend

_SHORTEST = 4
_LISTED = 10
#: How many of the newest inputs are compared with what was mistyped: comparing 100,000 takes seconds.
_HINTS = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An input that a reference may mean."""

    id: str
    name: str
    path: str


def resolve(backend: CatalogBackend, reference: str | UUID) -> str:
    """Return the id of the input that ``reference`` means.

    A full id is that input. Otherwise everything that fits counts: digits at the beginning of an id, a name, a path
    relative to the workspace; and where nothing does, a variable.

    Raises
    ------
    EntryNotFound
        If there is none; the nearest names are listed.
    AmbiguousEntry
        If there are several.
    """
    text = str(reference).strip()
    identity = _as_uuid(text)
    found = [Candidate(*row) for row in queries.fitting(backend, identity or text, _digits(identity or text))]
    exact = [c for c in found if c.id == identity]
    fitting = exact or found or [Candidate(*row) for row in queries.of_variable(backend, text)]
    if len(fitting) == 1:
        return fitting[0].id
    if fitting:
        raise _ambiguous(text, fitting)
    raise _missing(text, queries.names(backend, _HINTS))


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _digits(text: str) -> str:
    """Return the digits that an id may begin with; empty if ``text`` is none or too short."""
    digits = text.replace("-", "").lower()
    return digits if _SHORTEST <= len(digits) <= 32 and re.fullmatch(r"[0-9a-f]+", digits) else ""


def _ambiguous(text: str, fitting: Sequence[Candidate]) -> AmbiguousEntry:
    listed = "; ".join(f"{c.id[:8]} ({c.name}, {c.path})" for c in fitting[:_LISTED])
    message = f"{text!r} could be {len(fitting)} inputs; give an id or a path: {listed}"
    return AmbiguousEntry(message, reference=text, candidates=[c.id for c in fitting])


def _missing(text: str, names: Sequence[str]) -> EntryNotFound:
    near = difflib.get_close_matches(text, names, n=3)
    hint = f"; the nearest are {', '.join(near)}" if near else "; `hmp data ls` lists them"
    message = f"no input goes by {text!r}{hint}"
    return EntryNotFound(message, reference=text, candidates=near)
