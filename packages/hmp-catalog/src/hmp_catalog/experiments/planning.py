"""What a stored chain says: its own steps in order, which artefact each of them applies, and which models answer.

Its text is part of exported scripts, where hmp is not installed: see `replaying`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

try:
    from hmp_catalog.errors import ReplayError
except ImportError:

    class ReplayError(RuntimeError):  # type: ignore[no-redef]
        """A chain that cannot be replayed as it was trained; ``step`` says where, nothing was predicted."""

        def __init__(self, message: str = "", *, step: int | None = None) -> None:
            super().__init__(message)
            self.message = message
            self.step = step


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Kinds of step (``operator_type``).
TARGET, MODEL, AUGMENTED, SPLITTER = "y_processing", "model", "feature_augmentation", "splitter"
#: Among the artefacts of ``shared_artifacts``: step -> source -> its artefacts.
SOURCE_MAP = "_source_map"
#: The model that was trained on all folds: it answers alone.
_FINAL = ("fold_final", "final")
#: No index of a step, a branch or a source is.
_TOO_GREAT = 1 << 63


class Step(NamedTuple):
    """An entry of a chain's ``steps``, and its place in the list."""

    at: int
    idx: int
    operator: str
    kind: str
    params: Any
    ids: tuple[str, ...]
    stateless: bool
    branch: tuple[int, ...]
    source: int | None


class Action(NamedTuple):
    """A step with the artefacts that it applies, to the matrix of one source or to all of them."""

    step: Step
    ids: tuple[str, ...]
    source: int | None


def plan(chain: Mapping[str, Any]) -> tuple[list[Action], Step, list[str]]:
    """Return what is applied before the model, in order, the step of the model, and its artefacts.

    Raises
    ------
    ReplayError
        If the record is no chain, or does not say which artefact belongs to which step.
    """
    if not isinstance(chain, dict):
        raise refused(None, f"the chain is a {type(chain).__name__}, expected the record of one")
    entries, model_idx = chain.get("steps"), _index(chain.get("model_step_idx"), None, "model_step_idx")
    if not isinstance(entries, (list, tuple)):
        raise refused(None, f"steps is a {type(entries).__name__}, expected a list of steps")
    steps = [_step(e, n) for n, e in enumerate(entries)]
    branch = _branch(chain.get("branch_path"), None)
    only = _index(chain.get("source_index"), None, "source_index of the chain")
    own = [s for s in steps if branch[: len(s.branch)] == s.branch]
    last = next((s for s in own if s.idx == model_idx and _reads(s, only)), None)
    if last is None:
        raise refused(None, f"the chain has no model: none of its steps is its model_step_idx, {shown(model_idx)}")
    _check_order(steps, own, last, branch)
    before = [s for s in own if s.at < last.at]
    shared, sources = _shared(chain, steps)
    # an artefact that only entries of other branches name is not ours
    others = {(s.idx, i) for s in steps for i in s.ids} - {(s.idx, i) for s in own for i in s.ids}
    actions: list[Action] = []
    for idx, alike in _by_index(before).items():
        given = tuple(i for i in _ids(shared.get(str(idx)), alike[0]) if (idx, i) not in others)
        by_source = _mapping(sources.get(str(idx)), SOURCE_MAP, alike[0])
        if by_source:
            actions += _by_source(alike, given, by_source, only)
        else:
            assigned = _assigned(alike, given, branched=bool(branch))
            actions += [Action(s, ids, s.source if only is None else None) for s, ids in assigned if _reads(s, only)]
    return sorted(actions, key=lambda a: a.step.at), last, _models(chain, own, last, shared)


def _shared(chain: Mapping[str, Any], steps: list[Step]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the artefacts of steps, and those of steps by source."""
    shared = _mapping(chain.get("shared_artifacts"), "shared_artifacts")
    sources = _mapping(shared.get(SOURCE_MAP), SOURCE_MAP)
    for unknown in {*shared, *sources} - {SOURCE_MAP, *(str(s.idx) for s in steps)}:
        raise refused(None, f"shared_artifacts has something of step {shown(unknown)}, which the chain does not have")
    return shared, sources


def _reads(step: Step, only: int | None) -> bool:
    """Return whether a step is for the one source that a chain reads."""
    return only is None or step.source in (None, only)


def _by_index(steps: list[Step]) -> dict[int, list[Step]]:
    found: dict[int, list[Step]] = {}
    for step in steps:
        found.setdefault(step.idx, []).append(step)
    return found


def _step(entry: Any, at: int) -> Step:
    if not isinstance(entry, dict):
        raise refused(None, f"steps[{at}] is a {type(entry).__name__}, expected the description of a step")
    idx = _index(entry.get("step_idx"), None, f"step_idx of steps[{at}]")
    operator, kind = entry.get("operator_class"), entry.get("operator_type") or ""
    kind = TARGET if operator == TARGET and not kind else kind
    if idx is None or not isinstance(operator, str) or not operator.strip() or not isinstance(kind, str):
        message = "a step needs a step_idx, and text as operator_class and operator_type"
        raise refused(None, f"steps[{at}] has {shown(idx)}, {shown(operator)}, {shown(kind)}: {message}", idx)
    found = Step(at, idx, operator, kind, None, (), stateless=False, branch=(), source=None)
    params, stateless = entry.get("params"), entry.get("stateless") or False
    if not isinstance(stateless, bool):
        raise refused(found, f"stateless is {shown(stateless)}, expected True or False")
    ids, one = _ids(entry.get("artifact_ids"), found), entry.get("artifact_id")
    return found._replace(
        params=params,
        ids=ids if one in ids or one is None else (*ids, *_ids(one, found)),
        stateless=stateless,
        branch=_branch(entry.get("branch_path"), found),
        source=_index(entry.get("source_index"), found, "source_index"),
    )


def _check_order(steps: list[Step], own: list[Step], last: Step, branch: tuple[int, ...]) -> None:
    for step in steps:
        if step.at < last.at and len(step.branch) > len(branch) and step.branch[: len(branch)] == branch:
            raise refused(step, f"it stands in branch {list(step.branch)}, which the chain does not follow")
    for step in own:
        if step.idx == last.idx and step.kind not in ("", MODEL):
            raise refused(step, f"it is of the type {shown(step.kind)}, and stands where the model does")
        if step.idx != last.idx and step.kind == MODEL and step.at < last.at:
            raise refused(step, f"it is a model, and the model of the chain is step {shown(last.idx)}")
        if step.at > last.at and (step.idx < last.idx or step.kind == TARGET):
            raise refused(step, f"it comes after the model, step {shown(last.idx)}")


def _by_source(
    alike: list[Step], given: tuple[str, ...], by_source: Mapping[str, Any], only: int | None
) -> Iterator[Action]:
    mapped = {k: _ids(v, alike[0]) for k, v in by_source.items()}
    known = {i for ids in mapped.values() for i in ids}
    apart = [s for s in alike if s.source is not None and str(s.source) not in mapped]
    for s in alike:
        for i in {*given, *(() if s in apart else s.ids)} - known - {i for other in apart for i in other.ids}:
            raise refused(s, f"{SOURCE_MAP} gives artefact {shown(i)} to none of the sources")
    for name, ids in mapped.items():
        if not re.fullmatch("0|[1-9][0-9]{0,8}", name):
            raise refused(alike[0], f"{SOURCE_MAP} has the source {shown(name)}, expected a whole number")
        here = [s._replace(ids=tuple(i for i in s.ids if i in ids)) for s in alike if _for_source(s, int(name), ids)]
        if ids and not here:
            raise refused(alike[0], f"{SOURCE_MAP} names source {name}, and no entry of the step is for it")
        if only in (None, int(name)):
            yield from (
                Action(s, i, int(name) if only is None else None) for s, i in _assigned(here, ids, branched=False)
            )
    for s, ids in _assigned(apart, (), branched=False):
        if _reads(s, only):
            yield Action(s, ids, s.source if only is None else None)


def _for_source(step: Step, source: int, ids: tuple[str, ...]) -> bool:
    """Return whether an entry does something with a source that has these artefacts."""
    named = any(i in ids for i in step.ids) if step.ids else bool(ids) or step.stateless
    return step.source in (None, source) and named


def _assigned(alike: list[Step], given: tuple[str, ...], *, branched: bool) -> list[tuple[Step, tuple[str, ...]]]:
    """Return the entries of one step that have something to do, each with its artefacts.

    What ``shared_artifacts`` gives the step goes to the entries that name it, then in order to those that name none.
    Without it each entry has its own; no artefact is applied for two entries of the same branch.
    """
    takes: dict[int, list[str]] = {s.at: [] for s in alike}
    taken: set[tuple[tuple[int, ...], int | None, str]] = set()
    if not given:
        for s in alike:
            takes[s.at] = [i for i in s.ids if (s.branch, s.source, i) not in taken]
            taken |= {(s.branch, s.source, i) for i in s.ids}
        return [(s, tuple(takes[s.at])) for s in alike if takes[s.at] or not s.ids]
    if len(alike) == 1 and set(alike[0].ids) <= set(given):
        return [(alike[0], given)]
    left = list(given)
    for s in alike:
        for i in s.ids:
            if i in left or (i in given and (s.branch, s.source, i) not in taken):
                if i in left:
                    left.remove(i)
                takes[s.at].append(i)
            elif i not in given and not branched:
                raise refused(s, f"it names artefact {shown(i)}, and shared_artifacts gives it others")
        taken |= {(s.branch, s.source, i) for i in s.ids}
    return _spread(alike, takes, left, branched=branched)


def _spread(
    alike: list[Step], takes: dict[int, list[str]], left: list[str], *, branched: bool
) -> list[tuple[Step, tuple[str, ...]]]:
    """Give the artefacts that no entry names to the entries that name none."""
    bare = [s for s in alike if not s.ids]
    needy = [s for s in bare if not s.stateless]
    one_each = next((group for group in (needy, bare) if len(group) == len(left)), None)
    if one_each is not None:
        for s, i in zip(one_each, left, strict=True):
            takes[s.at].append(i)
    elif left and bare and (len(bare) == 1 or (bare == needy and len({s.source for s in bare}) == 1)):
        takes[bare[0].at] += left
    elif left:
        raise refused(alike[0], f"which of its entries artefact {shown(left[0])} belongs to is not said")
    served = {(s.operator, s.source) for s in alike if takes[s.at]}
    # entries without an artefact of their own: another branch's, a repetition, or the first took all there are
    enough = branched or len(left) > len(needy)
    idle = [s for s in needy if not takes[s.at] and (enough or (s.operator, s.source) in served)]
    return [(s, tuple(takes[s.at])) for s in alike if takes[s.at] or (not s.ids and s not in idle)]


def _models(chain: Mapping[str, Any], own: list[Step], last: Step, shared: Mapping[str, Any]) -> list[str]:
    """Return the artefacts that answer, in the order of their folds."""
    folds = {}
    for fold, found in _mapping(chain.get("fold_artifacts"), "fold_artifacts", last).items():
        ids = _ids(found, last)
        if len(ids) != 1:
            raise refused(last, f"fold_artifacts[{shown(fold)}] is {shown(found)}, expected the id of an artefact")
        folds[fold] = ids[0]
    given = _ids(shared.get(str(last.idx)), last)
    if folds:
        loose = set(given) - set(folds.values())
        if loose:
            message = (
                f"artefact {shown(min(loose))} of the model is none of its folds; is step {shown(last.idx)} the model?"
            )
            raise refused(last, message)
        final = next((f for f in _FINAL if f in folds), None)
        return [folds[f] for f in ([final] if final else sorted(folds, key=_in_order))]
    found = given or tuple(dict.fromkeys(i for s in own if s.idx == last.idx for i in s.ids))
    if not found:
        raise refused(last, "no artefact of the model is known: fold_artifacts is empty")
    return list(found)


def _in_order(fold: str) -> list[Any]:
    """Return what sorts fold_2 before fold_10."""
    parts = re.split("([0-9]+)", fold)
    return [(len(p.lstrip("0")), p.lstrip("0")) if n % 2 else p for n, p in enumerate(parts)] + [fold]


def _ids(value: Any, step: Step) -> tuple[str, ...]:
    found = () if value is None else (value,) if isinstance(value, str) else value
    if isinstance(found, (list, tuple)) and all(isinstance(i, str) and i for i in found):
        return tuple(found)
    raise refused(step, f"its artefact is {shown(value)}, expected an id or a list of them")


def _index(value: Any, step: Step | None, where: str) -> int | None:
    if value is None or (type(value) is int and 0 <= value < _TOO_GREAT):
        return value
    raise refused(step, f"{where} is {shown(value)}, expected a whole number")


def _branch(value: Any, step: Step | None) -> tuple[int, ...]:
    if value is None or (
        isinstance(value, (list, tuple)) and all(type(b) is int and 0 <= b < _TOO_GREAT for b in value)
    ):
        return tuple(value or ())
    raise refused(step, f"branch_path is {shown(value)}, expected a list of whole numbers")


def _mapping(value: Any, where: str, step: Step | None = None) -> Mapping[str, Any]:
    if value is None or (isinstance(value, dict) and all(isinstance(k, str) for k in value)):
        return value or {}
    raise refused(step, f"{where} is {shown(value)}, expected a mapping of text")


def refused(step: Step | None, message: str, idx: int | None = None) -> ReplayError:
    """Return the error that says which step cannot be replayed, and why."""
    if step is None:
        return ReplayError(message, step=idx)
    return ReplayError(f"step {shown(step.idx)}, {step.operator[:80]}: {message}", step=step.idx)


def article(value: Any) -> str:
    """Return what a value is, in a sentence."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """Return a value as a message shows it: never long, never the insides of an object."""
    if isinstance(value, (str, bool, float, type(None))):
        return f"{value!r:.80}"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 256 else "a whole number too great to show"
    return article(value)
