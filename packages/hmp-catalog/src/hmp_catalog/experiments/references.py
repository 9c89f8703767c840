"""From what a user types to one run, pipeline, chain or prediction: an id, the head of one, or a name.

The head of an id has at least four hex digits. A name is that of a run or of a pipeline, and means the newest. Where a
chain is wanted, a prediction means its chain, and a run or a pipeline the only one that it has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from hmp_catalog.errors import ExperimentNotFound
from hmp_core.errors import AmbiguousReference

if TYPE_CHECKING:
    from hmp_core.protocols import StoreBackend

_SHORTEST = 4
_LISTED = 10

#: Kind -> its table, its key, and what it is called there.
KINDS = {
    "run": ("runs", "run_id", "name"),
    "pipeline": ("pipelines", "pipeline_id", "name"),
    "chain": ("chains", "chain_id", "model_class"),
    "prediction": ("predictions", "prediction_id", "model_name"),
}
_NAMED = ("run", "pipeline")

#: The chains that something of a kind means.
_CHAINS = {
    "run": "SELECT c.chain_id FROM chains c JOIN pipelines p ON p.pipeline_id = c.pipeline_id WHERE p.run_id = $1",
    "pipeline": "SELECT chain_id FROM chains WHERE pipeline_id = $1",
    "chain": "SELECT chain_id FROM chains WHERE chain_id = $1",
    "prediction": "SELECT chain_id FROM predictions WHERE prediction_id = $1 AND chain_id IS NOT NULL",
}


class Meant(NamedTuple):
    """What a reference means."""

    kind: str
    identity: str
    name: str


def resolve(backend: StoreBackend, reference: str, kinds: Sequence[str] = tuple(KINDS)) -> Meant:
    """Return what ``reference`` means, among these kinds.

    Raises
    ------
    ExperimentNotFound
        If there is nothing of that id, head of an id, or name.
    AmbiguousReference
        If it could be several: ``candidates`` lists their ids.
    """
    text = str(reference).strip()
    found = [each for kind in kinds for each in _by_id(backend, kind, text)]
    if not any(each.identity == text for each in found):
        found += [each for kind in kinds if kind in _NAMED for each in _by_name(backend, kind, text)]
    if len(found) == 1:
        return found[0]
    if found:
        _ambiguous(text, found)
    wanted = ", ".join(kinds[:-1]) + " or " + kinds[-1] if len(kinds) > 1 else kinds[0]
    hint = f"; the head of an id has at least {_SHORTEST} hex digits" if len(text) < _SHORTEST else ""
    message = f"no {wanted} goes by {text!r}{hint}; `hmp experiment ls` and `hmp experiment top` list what there is"
    raise ExperimentNotFound(message, reference=text, candidates=[])


def chain_of(backend: StoreBackend, reference: str) -> str:
    """Return the id of the chain that ``reference`` means.

    Raises
    ------
    ExperimentNotFound
        If it is nothing, or has no chain.
    AmbiguousReference
        If it has several: ``candidates`` lists them.
    """
    meant = resolve(backend, reference)
    chains = [row[0] for row in backend.fetch_all(_CHAINS[meant.kind], [meant.identity])]
    if not chains:
        message = f"the {meant.kind} {meant.name} ({meant.identity}) has no chain; nothing was trained to the end in it"
        raise ExperimentNotFound(message, reference=reference, candidates=[])
    if len(chains) > 1:
        message = f"the {meant.kind} {meant.name!r} has {len(chains)} chains; name one: {', '.join(chains[:_LISTED])}"
        raise AmbiguousReference(message, reference=reference, candidates=chains)
    return str(chains[0])


def _by_id(backend: StoreBackend, kind: str, text: str) -> list[Meant]:
    digits = text.replace("-", "").lower()
    if len(digits) < _SHORTEST or not re.fullmatch(r"[0-9a-f]+", digits):
        return []
    table, key, name = KINDS[kind]
    sql = f"SELECT {key}, {name} FROM {table} WHERE replace({key}, '-', '') LIKE $1 ORDER BY created_at DESC"
    return [Meant(kind, *row) for row in backend.fetch_all(sql, [f"{digits}%"])]


def _by_name(backend: StoreBackend, kind: str, text: str) -> list[Meant]:
    table, key, name = KINDS[kind]
    sql = f"SELECT {key}, {name} FROM {table} WHERE {name} = $1 ORDER BY created_at DESC LIMIT 1"
    return [Meant(kind, *row) for row in backend.fetch_all(sql, [text])]


def _ambiguous(text: str, found: Sequence[Meant]) -> NoReturn:
    listed = "; ".join(f"{each.identity} ({each.kind} {each.name})" for each in found[:_LISTED])
    message = f"{text!r} could be {len(found)} things; give more digits: {listed}"
    raise AmbiguousReference(message, reference=text, candidates=[each.identity for each in found])
