"""From what a user types to one simulation: UUID, hex prefix, name, ``@latest``, ``@best:nse``.

A name means the newest finished run of that name. A prefix has at least four hex digits. ``@latest~2`` is the third
newest finished run; one whose time lies in the future comes last, for a clock was wrong. ``@best:nse`` and
``@worst:rmse@outlet`` rank finished runs by a metric's own direction; ``@running`` is the newest run that is still
open. The station "outlet" is also where a metric was measured that says nothing of a station.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_catalog import queries
from hmp_catalog.errors import AmbiguousSimulation, SimulationNotFound
from hmp_catalog.ranking import ranking
from hmp_core.protocols import CatalogBackend

if TYPE_CHECKING:
    from hmp_core.events import EventStore

_SHORTEST = 4
_LISTED = 10
#: Nobody counts further back.
_MANY = 10**9


@dataclass(frozen=True, slots=True)
class Known:
    """What a reference is resolved against: one simulation."""

    sim_id: str
    name: str | None
    status: str


def resolve(backend: CatalogBackend, reference: str, *, trashed: bool = False) -> str:
    """Return the id of the simulation that ``reference`` means; with ``trashed``, of those in the trash.

    Raises
    ------
    SimulationNotFound
        If there is none; the nearest names are listed.
    AmbiguousSimulation
        If a prefix fits several, or fits one while another simulation has it as its name.
    UnrankedMetric
        For ``@best`` or ``@worst`` of a metric without a direction.
    """
    text = str(reference).strip()
    if text.startswith("@") and not trashed:
        return _special(backend, text)
    known = _meant(backend, text, str(reference), trashed=trashed)
    exact = _as_uuid(text)
    if exact is not None and any(k.sim_id == exact for k in known):
        return exact
    named = [k for k in known if k.name in {text, reference}]
    prefixed = _prefixed(text, known)
    candidates = {k.sim_id: k for k in [*prefixed, *_newest_finished(named)]}
    if len(candidates) == 1:
        return next(iter(candidates))
    if candidates:
        raise _ambiguous(text, list(candidates.values()))
    if not trashed and any(_fits(text, one) for one in _meant(backend, text, text, trashed=True)):
        message = f"{text!r} is in the trash; `hmp catalog restore` brings it back"
        raise SimulationNotFound(message, reference=text, candidates=[])
    if trashed and any(_fits(text, one) for one in _meant(backend, text, text, trashed=False)):
        message = f"{text!r} is not in the trash"
        raise SimulationNotFound(message, reference=text, candidates=[])
    raise _missing(text, [Known(*row) for row in queries.names(backend, trashed=trashed)])


def resolve_in(store: EventStore, backend: CatalogBackend, reference: str) -> str:
    """Return what `resolve` does; its error says so if not all of the log of ``store`` could be asked."""
    try:
        return resolve(backend, reference)
    except SimulationNotFound as error:
        if store.notice:
            # what was acknowledged may be in the log alone: a disk is full, or another host folds
            error.add_note(f"this answer is not complete: {store.notice}")
        raise


def _meant(backend: CatalogBackend, text: str, reference: str, *, trashed: bool) -> list[Known]:
    """Return the few of perhaps 100,000 simulations that a text may mean."""
    head = (_as_uuid(text) or text).replace("-", "").lower()
    head = head if len(head) >= _SHORTEST and re.fullmatch(r"[0-9a-f]+", head) else ""
    return [Known(*row) for row in queries.names_like(backend, [text, reference], head, trashed=trashed)]


def known_id(backend: CatalogBackend, reference: str, *, trashed: bool | None = None) -> str:
    """Return the id of a simulation that is there, in the trash, or was purged (by its whole id)."""
    if trashed is not None:
        return resolve(backend, reference, trashed=trashed)
    exact = _as_uuid(str(reference).strip())
    if exact is not None and queries.is_taken(backend, exact):
        return exact
    try:
        return resolve(backend, reference)
    except AmbiguousSimulation:
        raise
    except SimulationNotFound as error:
        try:
            return resolve(backend, reference, trashed=True)
        except AmbiguousSimulation:
            raise
        except SimulationNotFound:
            raise error from None


def _fits(text: str, one: Known) -> bool:
    return one.name == text or one.sim_id == _as_uuid(text) or bool(_prefixed(text, [one]))


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _prefixed(text: str, known: Sequence[Known]) -> list[Known]:
    digits = text.replace("-", "").lower()
    if len(digits) < _SHORTEST or not re.fullmatch(r"[0-9a-f]+", digits):
        return []
    return [k for k in known if k.sim_id.replace("-", "").startswith(digits)]


def _newest_finished(named: Sequence[Known]) -> list[Known]:
    """Return the run that a name means; ``known`` comes newest first."""
    finished = [k for k in named if k.status == "completed"]
    return (finished or list(named))[:1]


def _special(backend: CatalogBackend, text: str) -> str:
    if match := re.fullmatch(r"@latest(?:~(\d+))?", text):
        number = int(match[1] or 0)
        return _nth(queries.latest(backend, min(number, _MANY) + 1), number, text)
    if match := re.fullmatch(r"@(best|worst):([A-Za-z_]\w*)(?:@(.+))?", text):
        ranked = ranking(backend, match[2], station=match[3])
        return _nth([row[0] for row in ranked], 0 if match[1] == "best" else len(ranked) - 1, text)
    if text == "@running":
        return _nth(queries.running(backend), 0, text)
    message = (
        f"{text!r} is not a reference; those with @ are @latest, @latest~N, @best:METRIC[@STATION], "
        "@worst:METRIC[@STATION], @running"
    )
    raise SimulationNotFound(message, reference=text, candidates=[])


def _nth(found: Sequence[Any], position: int, text: str) -> str:
    if 0 <= position < len(found):
        return str(found[position])
    message = f"{text}: there is no such simulation here" + (f", only {len(found)}" if found else "")
    raise SimulationNotFound(message, reference=text, candidates=[])


def _ambiguous(text: str, candidates: Sequence[Known]) -> AmbiguousSimulation:
    listed = [f"{k.sim_id} ({k.name or 'no name'}, {k.status})" for k in candidates[:_LISTED]]
    message = f"{text!r} could be {len(candidates)} simulations; give more digits: {'; '.join(listed)}"
    return AmbiguousSimulation(message, reference=text, candidates=[k.sim_id for k in candidates])


def _missing(text: str, known: Sequence[Known]) -> SimulationNotFound:
    names = sorted({k.name for k in known if k.name})
    near = difflib.get_close_matches(text, names, n=3)
    if len(text) < _SHORTEST and not near:
        hint = f"; a prefix of an id has at least {_SHORTEST} hex digits"
    else:
        hint = f"; the nearest are {', '.join(near)}" if near else f"; this catalog has {len(known)}"
    message = f"no simulation goes by {text!r}{hint}"
    return SimulationNotFound(message, reference=text, candidates=near)
