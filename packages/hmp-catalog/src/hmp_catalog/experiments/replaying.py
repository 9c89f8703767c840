"""A trained chain on new data: every step as it was trained, the models' answers averaged or voted on.

This file stands alone: its text is part of exported scripts, where hmp may not be installed. It needs Python and numpy,
and what the fitted objects need. Keep it so: no import of hmp but that of the error, no dataclass (a text that is run
by `exec` has no module in which one could look up its annotations).
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
    from collections.abc import Callable, Iterator, Mapping, Sequence

    _Array = np.ndarray[Any, Any]

#: What fitted objects raise when data do not fit them, or they are not fitted.
_REFUSALS = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
#: Kinds of step (``operator_type``).
_TARGET, _MODEL, _AUGMENTED = "y_processing", "model", "feature_augmentation"
#: The model that was trained on all folds: it answers alone.
_FINAL = ("fold_final", "final")
#: Parameters nested deeper than this refer to themselves.
_DEEPEST = 50


class _Step(NamedTuple):
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


class _Action(NamedTuple):
    """A step with the artefacts that it applies, to the matrix of one source or to all of them."""

    step: _Step
    ids: tuple[str, ...]
    source: int | None


def replay(
    chain: Mapping[str, Any],
    load: Callable[[str], Any],
    X: Any,  # noqa: N803 - the seed's word
    wavelengths: Any = None,
) -> np.ndarray[Any, Any]:
    """Return what a chain predicts for ``X``: the steps as they were trained, then the model.

    Parameters
    ----------
    chain
        The record that `WorkspaceStore.get_chain` gives.
    load
        Returns the fitted object of an artefact id; what it raises for one that is gone passes unchanged.
    X
        Matrix of samples by features, or a list of them, one a source. It is not modified.
    wavelengths
        Given to the operators that take an argument of that name; for several sources it may be a list of arrays.

    Returns
    -------
    numpy.ndarray
        Regression: the plain mean of the fold models in the units of the training target, float64, samples or
        samples by targets. Classification: the label most fold models vote for, in their dtype; a tie goes to
        the greatest summed probability where every model tells it, then to the smallest label. The model under
        ``fold_final`` or ``final`` answers alone.

    Raises
    ------
    ReplayError
        If the chain is not one, misses an artefact, or an operator refuses the data; ``step`` says where.

    Examples
    --------
    >>> class Mean:
    ...     def predict(self, X):
    ...         return X.mean(axis=1)
    >>> chain = {
    ...     "steps": [
    ...         {"step_idx": 1, "operator_class": "numpy.log1p", "params": None, "stateless": True},
    ...         {"step_idx": 2, "operator_class": "Mean", "stateless": False},
    ...     ],
    ...     "model_step_idx": 2,
    ...     "fold_artifacts": {"fold_0": "a"},
    ... }
    >>> replay(chain, {"a": Mean()}.__getitem__, [[0.0, 0.0], [0.0, np.e - 1]])
    array([0. , 0.5])
    """
    actions, last, models = _plan(chain)
    only = chain.get("source_index")
    matrix = _Matrix(X, wavelengths, sourced=any(a.source is not None for a in actions), only=only)
    targets: list[tuple[_Step, Any]] = []
    for alike in _together(actions):
        forward: list[Any] = []
        for action in alike:
            for operator in _operators(action, load):
                if action.step.kind == _TARGET or _of_targets(operator):
                    targets.append((action.step, operator))
                else:
                    forward.append(operator)
        if forward:
            matrix.transform(alike[0], forward)
    found = [_model(last, artifact, load(artifact)) for artifact in models]
    with _named(last):
        return _answer(last, found, matrix, targets)


# ── the plan: which artefact is applied where, before anything is loaded ─────────────────────────────


def _plan(chain: Mapping[str, Any]) -> tuple[list[_Action], _Step, list[str]]:
    if not isinstance(chain, dict):
        raise _refused(None, f"the chain is a {type(chain).__name__}, expected the record of one")
    entries, model_idx = chain.get("steps"), _index(chain.get("model_step_idx"), None, "model_step_idx")
    if not isinstance(entries, (list, tuple)):
        raise _refused(None, f"steps is a {type(entries).__name__}, expected a list of steps")
    steps = [_step(e, n) for n, e in enumerate(entries)]
    branch = _branch(chain.get("branch_path"), None)
    only = _index(chain.get("source_index"), None, "source_index of the chain")
    own = [s for s in steps if branch[: len(s.branch)] == s.branch and (only is None or s.source in (None, only))]
    last = next((s for s in own if s.idx == model_idx), None)
    if last is None:
        raise _refused(None, f"the chain has no model: none of its steps is its model_step_idx, {_shown(model_idx)}")
    _check_order(steps, own, last, branch)
    shared = _mapping(chain.get("shared_artifacts"), "shared_artifacts")
    others = {(s.idx, i) for s in steps if s not in own for i in s.ids} - {(s.idx, i) for s in own for i in s.ids}
    actions: list[_Action] = []
    for idx in dict.fromkeys(s.idx for s in own if s.at < last.at):
        alike = [s for s in own if s.idx == idx]
        given = tuple(i for i in _ids(shared.get(str(idx)), alike[0]) if (idx, i) not in others)
        by_source = _mapping(_mapping(shared.get("_source_map"), "_source_map").get(str(idx)), "_source_map", alike[0])
        if by_source:
            actions += _by_source(alike, given, by_source, only)
        else:
            source = {s.at: None if only is not None else s.source for s in alike}
            actions += [_Action(s, i, source[s.at]) for s, i in _assigned(alike, given, branched=bool(branch))]
    return sorted(actions, key=lambda a: a.step.at), last, _models(chain, own, last, shared)


def _step(entry: Any, at: int) -> _Step:
    if not isinstance(entry, dict):
        raise _refused(None, f"steps[{at}] is a {type(entry).__name__}, expected the description of a step")
    idx = _index(entry.get("step_idx"), None, f"step_idx of steps[{at}]")
    operator, kind = entry.get("operator_class"), entry.get("operator_type") or ""
    if idx is None or not isinstance(operator, str) or not operator.strip() or not isinstance(kind, str):
        message = "a step needs a step_idx, and text as operator_class and operator_type"
        raise _refused(None, f"steps[{at}] has {_shown(idx)}, {_shown(operator)}, {_shown(kind)}: {message}", idx)
    found = _Step(at, idx, operator, kind, None, (), stateless=False, branch=(), source=None)
    params, stateless = entry.get("params"), entry.get("stateless", False)
    if not isinstance(stateless, bool):
        raise _refused(found, f"stateless is {_shown(stateless)}, expected True or False")
    ids, one = _ids(entry.get("artifact_ids"), found), entry.get("artifact_id")
    return found._replace(
        params=params,
        ids=ids if one in ids or one is None else (*ids, *_ids(one, found)),
        stateless=stateless,
        branch=_branch(entry.get("branch_path"), found),
        source=_index(entry.get("source_index"), found, "source_index"),
    )


def _check_order(steps: list[_Step], own: list[_Step], last: _Step, branch: tuple[int, ...]) -> None:
    for step in steps:
        if step.at < last.at and len(step.branch) > len(branch) and step.branch[: len(branch)] == branch:
            raise _refused(step, f"it stands in branch {list(step.branch)}, which the chain does not follow")
    for step in own:
        if step.idx == last.idx and step.kind not in ("", _MODEL):
            raise _refused(step, f"it is of the type {_shown(step.kind)}, and stands where the model does")
        if step.idx != last.idx and step.kind == _MODEL and step.at < last.at:
            raise _refused(step, f"it is a model, and the model of the chain is step {_shown(last.idx)}")
        if step.at > last.at and (step.idx < last.idx or step.kind == _TARGET):
            raise _refused(step, f"it comes after the model, step {_shown(last.idx)}")


def _by_source(
    alike: list[_Step], given: tuple[str, ...], by_source: Mapping[str, Any], only: int | None
) -> Iterator[_Action]:
    mapped = {k: _ids(v, alike[0]) for k, v in by_source.items()}
    loose = set(given) - {i for ids in mapped.values() for i in ids}
    if loose:
        raise _refused(alike[0], f"_source_map gives artefact {_shown(min(loose))} to none of the sources")
    for name, ids in mapped.items():
        if not re.fullmatch("[0-9]{1,9}", name):
            raise _refused(alike[0], f"_source_map has the source {_shown(name)}, expected a whole number")
        if only in (None, int(name)):
            here = [s for s in alike if s.source in (None, int(name))]
            if ids and not here:
                raise _refused(alike[0], f"_source_map names source {name}, and no entry of the step is for it")
            source = int(name) if only is None else None
            mine = [s._replace(ids=tuple(i for i in s.ids if i in ids)) for s in here]
            yield from (_Action(s, i, source) for s, i in _assigned(mine, ids, branched=False))


def _assigned(alike: list[_Step], given: tuple[str, ...], *, branched: bool) -> list[tuple[_Step, tuple[str, ...]]]:
    """Return the entries of one step that have something to do, each with its artefacts.

    What ``shared_artifacts`` gives the step goes to the entries that name it, then in order to those that name none.
    Without it each entry has its own; no artefact is applied for two entries of the same branch.
    """
    takes: dict[int, list[str]] = {s.at: [] for s in alike}
    if not given:
        seen: set[tuple[tuple[int, ...], str]] = set()
        for s in alike:
            takes[s.at] = [i for i in s.ids if (s.branch, i) not in seen]
            seen |= {(s.branch, i) for i in s.ids}
        return [(s, tuple(takes[s.at])) for s in alike if takes[s.at] or not s.ids]
    if len(alike) == 1 and set(alike[0].ids) <= set(given):
        return [(alike[0], given)]
    left = list(given)
    for s in alike:
        for i in s.ids:
            if i in left:
                left.remove(i)
                takes[s.at].append(i)
            elif i not in given and not branched:
                raise _refused(s, f"it names artefact {_shown(i)}, and shared_artifacts gives it others")
    return _spread(alike, takes, left, branched=branched)


def _spread(
    alike: list[_Step], takes: dict[int, list[str]], left: list[str], *, branched: bool
) -> list[tuple[_Step, tuple[str, ...]]]:
    """Give the artefacts that no entry names to the entries that name none."""
    bare = [s for s in alike if not s.ids]
    needy = [s for s in bare if not s.stateless]
    one_each = next((group for group in (needy, bare) if len(group) == len(left)), None)
    if one_each is not None:
        for s, i in zip(one_each, left, strict=True):
            takes[s.at].append(i)
    elif left and (len(bare) == 1 or bare == needy != []):
        takes[bare[0].at] += left
    elif left:
        raise _refused(alike[0], f"which of its entries artefact {_shown(left[0])} belongs to is not said")
    served = {s.operator for s in alike if takes[s.at]}
    # entries without an artefact of their own: another branch's, or a repetition of one that was served
    idle = [s for s in needy if not takes[s.at] and (branched or s.operator in served or len(left) > len(needy))]
    return [(s, tuple(takes[s.at])) for s in alike if takes[s.at] or (not s.ids and s not in idle)]


def _models(chain: Mapping[str, Any], own: list[_Step], last: _Step, shared: Mapping[str, Any]) -> list[str]:
    """Return the artefacts that answer, in the order of their folds."""
    folds = _mapping(chain.get("fold_artifacts"), "fold_artifacts", last)
    for fold, found in folds.items():
        if not isinstance(found, str) or not found:
            raise _refused(last, f"fold_artifacts[{_shown(fold)}] is {_shown(found)}, expected the id of an artefact")
    given = _ids(shared.get(str(last.idx)), last)
    if folds:
        loose = set(given) - set(folds.values())
        if loose:
            raise _refused(last, f"artefact {_shown(min(loose))} of the model is none of its folds")
        final = next((f for f in _FINAL if f in folds), None)
        return [folds[f] for f in ([final] if final else sorted(folds, key=_in_order))]
    found = given or tuple(dict.fromkeys(i for s in own if s.idx == last.idx for i in s.ids))
    if not found:
        raise _refused(last, "no artefact of the model is known: fold_artifacts is empty")
    return list(found)


def _in_order(fold: str) -> list[Any]:
    """Return what sorts fold_2 before fold_10."""
    parts = re.split("([0-9]+)", fold)
    return [(len(p.lstrip("0")), p.lstrip("0")) if n % 2 else p for n, p in enumerate(parts)] + [fold]


def _ids(value: Any, step: _Step) -> tuple[str, ...]:
    found = () if value is None else (value,) if isinstance(value, str) else value
    if isinstance(found, (list, tuple)) and all(isinstance(i, str) and i for i in found):
        return tuple(found)
    raise _refused(step, f"its artefact is {_shown(value)}, expected an id or a list of them")


def _index(value: Any, step: _Step | None, where: str) -> int | None:
    if value is None or (type(value) is int and value >= 0):
        return value
    raise _refused(step, f"{where} is {_shown(value)}, expected a whole number")


def _branch(value: Any, step: _Step | None) -> tuple[int, ...]:
    if value is None or (isinstance(value, (list, tuple)) and all(type(b) is int for b in value)):
        return tuple(value or ())
    raise _refused(step, f"branch_path is {_shown(value)}, expected a list of whole numbers")


def _mapping(value: Any, where: str, step: _Step | None = None) -> Mapping[str, Any]:
    if value is None or (isinstance(value, dict) and all(isinstance(k, str) for k in value)):
        return value or {}
    raise _refused(step, f"{where} is {_shown(value)}, expected a mapping of text")


# ── the operators ────────────────────────────────────────────────────────────────────────────────────


def _together(actions: list[_Action]) -> Iterator[list[_Action]]:
    """Yield what is applied to the same matrix: augmenting entries of one step, anything else alone."""
    alike: list[_Action] = []
    for action in actions:
        same = alike and action.step.kind == alike[0].step.kind == _AUGMENTED
        if not (same and (action.step.idx, action.source) == (alike[0].step.idx, alike[0].source)):
            if alike:
                yield alike
            alike = []
        alike.append(action)
    if alike:
        yield alike


def _operators(action: _Action, load: Callable[[str], Any]) -> list[Any]:
    if not action.ids:
        return _made(action.step)
    found = [load(i) for i in action.ids]
    for artifact, operator in zip(action.ids, found, strict=True):
        if isinstance(operator, type) or not (_can(operator, "transform") or _can(operator, "split")):
            raise _refused(
                action.step, f"artefact {_shown(artifact)} is {_article(operator)}, which transforms nothing"
            )
    return [o for o in found if _can(o, "transform")]


def _made(step: _Step) -> list[Any]:
    """Return the operator of a step that keeps nothing, made anew; none for one that only splits."""
    try:
        found = _imported(step.operator)
        splits = isinstance(found, type) and hasattr(found, "split") and not hasattr(found, "transform")
    except _REFUSALS as error:
        if step.stateless:
            message = f"it keeps no state, and cannot be imported by the name {_shown(step.operator)}: {error}"
            raise _refused(step, message) from error
        splits = False
    if splits:
        return []
    if not step.stateless:
        raise _refused(step, "it has no artefact, and is not stateless: it cannot be applied as it was trained")
    with _named(step):
        params = _revived({} if step.params is None else step.params)
        if not isinstance(params, dict):
            raise _refused(step, f"its params are {_article(params)}, expected a mapping of names to values")
        if isinstance(found, type):
            if not hasattr(found, "transform"):
                raise _refused(step, "it is a class that transforms nothing")
            return [found(**params)]
        if not callable(found):
            raise _refused(step, f"it is {_article(found)}, neither a class nor a function")
        return [functools.partial(found, **params)]


def _imported(name: str) -> Any:
    parts = name.split(".")
    if len(parts) < 2 or len(parts) > _DEEPEST:
        message = "expected module.name"
        raise ValueError(message)
    for n in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[n:], found)
    message = f"no module {parts[0]!r:.80}"
    raise ImportError(message)


def _revived(value: Any, depth: int = 0) -> Any:
    """Return parameters as they were before JSON kept them: operators, classes, functions, NaN and infinities."""
    if depth > _DEEPEST:
        message = "its params are nested too deep, or refer to themselves"
        raise ValueError(message)
    if isinstance(value, list):
        return [_revived(v, depth + 1) for v in value]
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if not isinstance(value, dict):
        return value
    name = value.get("function", value.get("class"))
    if not isinstance(name, str) or value.keys() not in ({"function"}, {"class"}, {"class", "params"}):
        return {k: _revived(v, depth + 1) for k, v in value.items()}
    found = _imported(name)
    return found(**_revived(value["params"], depth + 1)) if "params" in value else found


def _of_targets(operator: Any) -> bool:
    """Return whether what it transforms are targets: its argument is called y, as that of a LabelEncoder is."""
    return next(iter(_arguments(getattr(operator, "transform", operator))), "") == "y"


def _arguments(call: Any) -> list[str]:
    try:
        return list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # compiled functions tell nothing of theirs
        return []


def _can(operator: Any, verb: str) -> bool:
    return callable(getattr(operator, verb, None))


# ── the matrix ───────────────────────────────────────────────────────────────────────────────────────


class _Matrix:
    """What the steps have made of X so far: one matrix, or one for each source until something needs them joined."""

    def __init__(self, x: Any, wavelengths: Any, *, sourced: bool, only: int | None) -> None:
        several = isinstance(x, (list, tuple)) and (
            sourced or only is not None or (len(x) > 0 and all(getattr(part, "ndim", 0) == 2 for part in x))
        )
        if sourced and not several:
            raise _refused(
                None, f"the chain was trained on several sources: X is {_article(x)}, expected a list of matrices"
            )
        if several and only is not None:
            if only >= len(x):
                raise _refused(None, f"the chain was trained on source {_shown(only)}, and X has {len(x)} sources")
            x, wavelengths, several = x[only], _nth(wavelengths, only, len(x)), False
        self._parts = [_own_copy(part) for part in x] if several else [_own_copy(x)]
        self._wavelengths, self._apart = wavelengths, several
        self.rows = int(self._parts[0].shape[0]) if self._parts else 0
        if any(p.shape[0] != self.rows for p in self._parts):
            raise _refused(
                None, f"the sources have {[int(p.shape[0]) for p in self._parts]} samples, expected the same of each"
            )

    def transform(self, action: _Action, operators: Sequence[Any]) -> None:
        """Apply the operators of a step, one after the other, or side by side if it augments."""
        step, at = action.step, action.source
        if at is None:
            self.joined()
        elif not self._apart or at >= len(self._parts):
            state = f"X has {len(self._parts)} of them" if self._apart else "an earlier step joined them"
            raise _refused(step, f"it is for source {_shown(at)}, and {state}")
        at = at or 0
        wavelengths = _nth(self._wavelengths, at, len(self._parts)) if self._apart else self._wavelengths
        with _named(step):
            before = self._parts[at]
            if step.kind == _AUGMENTED:
                made = [self._applied(o, _copied(before), wavelengths, step) for o in operators]
                self._parts[at] = _beside([before, *made])
            else:
                for operator in operators:
                    self._parts[at] = self._applied(operator, self._parts[at], wavelengths, step)

    def _applied(self, operator: Any, x: Any, wavelengths: Any, step: _Step) -> Any:
        call = getattr(operator, "transform", operator)
        named = wavelengths is not None and "wavelengths" in _arguments(call)
        found = call(x, wavelengths=_copied(wavelengths)) if named else call(x)
        found = found if hasattr(found, "shape") else np.asarray(found)
        if found.shape[:1] != (self.rows,):
            raise _refused(step, f"it made {found.shape} of {self.rows} samples")
        return found

    def joined(self) -> Any:
        """Return one matrix: the sources side by side."""
        if self._apart:
            self._parts, self._apart = [_beside(self._parts)], False
        return self._parts[0]


def _own_copy(x: Any) -> Any:
    if hasattr(x, "iloc") or hasattr(x, "tocsr"):  # data frames and sparse matrices stay what they are
        return x.copy()
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise _refused(None, "X is masked: put values, or NaN, where it is")
    try:
        # always in the same order: sums over other orders differ in the last bit
        found = np.array(x, order="C")
    except (TypeError, ValueError) as error:
        raise _refused(None, f"X is {_article(x)} that is no matrix: {error}") from error
    if found.ndim == 0:
        raise _refused(None, f"X is {_article(x)}, expected a matrix of samples by features")
    return found


def _copied(x: Any) -> Any:
    return x.copy(order="K") if isinstance(x, np.ndarray) else x.copy() if hasattr(x, "copy") else np.array(x)


def _beside(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.hstack([_dense(p) for p in parts])


def _dense(values: Any) -> _Array:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _nth(wavelengths: Any, at: int, count: int) -> Any:
    """Return the wavelengths of a source, where each has its own."""
    each = isinstance(wavelengths, (list, tuple)) and len(wavelengths) == count and all(map(np.ndim, wavelengths))
    return wavelengths[at] if each else wavelengths


# ── the answer ───────────────────────────────────────────────────────────────────────────────────────


def _answer(step: _Step, models: list[Any], matrix: _Matrix, targets: list[tuple[_Step, Any]]) -> _Array:
    x, rows = matrix.joined(), matrix.rows
    # a model may work in place: the next one gets its own
    given = [_prediction(step, m, _copied(x), rows) for m in models]
    labelled = [hasattr(m, "classes_") for m in models]
    if all(labelled):
        return _originals(_vote(step, models, given, x), targets)
    if any(labelled):
        raise _refused(step, "some of its fold models tell classes and some do not")
    given = [_originals(p, targets) for p in given]
    kinds = {p.dtype.kind for p in given}
    if kinds <= set("fiu") and ("f" in kinds or all(map(_regresses, models))):
        _check_alike(step, given)
        return np.mean(np.stack(given).astype(np.float64), axis=0)
    return _vote(step, [], given, x)


def _model(step: _Step, artifact: str, found: Any) -> Any:
    if isinstance(found, type) or not _can(found, "predict"):
        raise _refused(step, f"artefact {_shown(artifact)} is {_article(found)}, which predicts nothing")
    return found


def _regresses(model: Any) -> bool:
    tags = model.__sklearn_tags__() if hasattr(model, "__sklearn_tags__") else None
    return getattr(tags, "estimator_type", getattr(model, "_estimator_type", None)) == "regressor"


def _prediction(step: _Step, model: Any, x: Any, rows: int) -> _Array:
    with _named(step):
        found = _flat(_dense(model.predict(x)))
    if found.shape[:1] != (rows,):
        raise _refused(step, f"it predicted {found.shape} for {rows} samples")
    if found.dtype.kind not in "fiubOSU":
        raise _refused(step, f"it predicted {found.dtype}, expected numbers or labels")
    return found


def _flat(values: _Array) -> _Array:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _originals(values: _Array, targets: list[tuple[_Step, Any]]) -> _Array:
    """Return predictions as the targets were before they were processed: last processed, first undone."""
    for step, operator in reversed(targets):
        if not _can(operator, "inverse_transform"):
            raise _refused(step, f"it is {_article(operator)}, which cannot be undone: it has no inverse_transform")
        with _named(step):
            column = values.ndim == 1 and not _of_targets(operator)
            values = _flat(_dense(operator.inverse_transform(values.reshape(-1, 1) if column else values)))
    return values


def _check_alike(step: _Step, given: list[Any]) -> None:
    found = {p.shape for p in given}
    if len(found) > 1:
        raise _refused(step, f"its fold models predicted shapes that differ: {sorted(found)}")


def _vote(step: _Step, models: list[Any], given: list[_Array], x: Any) -> _Array:
    _check_alike(step, given)
    if len({"O" if p.dtype.kind in "OSU" else p.dtype.kind for p in given}) > 1:
        raise _refused(step, f"its fold models predicted labels that differ in kind: {[str(p.dtype) for p in given]}")
    if len(given) == 1:
        return given[0]
    with _named(step):
        votes = np.stack(given)
        told = [m.predict_proba(_copied(x)) for m in models if _can(m, "predict_proba")]
        told = told if len(told) == len(given) else []
        if votes.ndim == 2:
            return _elected(votes, [(m.classes_, p) for m, p in zip(models, told, strict=False)])
        columns = range(votes.shape[2])
        each = [
            [(m.classes_[k], p[k]) for m, p in zip(models, told, strict=False) if isinstance(p, list)] for k in columns
        ]
        return np.stack([_elected(votes[:, :, k], each[k]) for k in columns], axis=1)


def _elected(votes: _Array, told: list[tuple[Any, Any]]) -> _Array:
    """Return the label of most votes for each sample, of votes of folds by samples."""
    labels, codes = np.unique(votes, return_inverse=True)
    codes = codes.reshape(votes.shape)
    count = np.stack([(codes == k).sum(axis=0) for k in range(len(labels))], axis=1)
    likely = np.zeros(count.shape)
    for classes, proba in told:
        for k, label in enumerate(labels):
            at = np.flatnonzero(np.asarray(classes) == label)
            likely[:, k] += proba[:, at[0]] if at.size else 0.0
    tied = count == count.max(axis=1, keepdims=True)
    return labels[np.argmax(np.where(tied, np.nan_to_num(likely), -np.inf), axis=1)]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _named(step: _Step) -> Iterator[None]:
    """Turn what an operator raises into an error that names its step."""
    try:
        yield
    except ReplayError:
        raise
    except _REFUSALS as error:
        raise _refused(step, f"{type(error).__name__}: {error}") from error


def _refused(step: _Step | None, message: str, idx: int | None = None) -> ReplayError:
    if step is None:
        return ReplayError(message, step=idx)
    return ReplayError(f"step {_shown(step.idx)}, {step.operator[:80]}: {message}", step=step.idx)


def _article(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    if isinstance(value, (str, bool, float, type(None))):
        return f"{value!r:.80}"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 256 else "a whole number too great to show"
    return _article(value)
