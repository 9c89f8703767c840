"""Pipelines as they are written turned into pipelines as they are trained: every choice made, each step of one kind."""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments import values
from hmp_catalog.experiments.training.cloning import cloned
from hmp_catalog.plain import word
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TRANSFORM, TARGET, SPLIT, BRANCH, SOURCE, MODEL = "transform", "y_processing", "split", "branch", "source", "model"
#: What a mapping among the steps may say, and what it says besides.
_WORDS = {
    TRANSFORM: {"name"},
    TARGET: {"name"},
    SPLIT: {"name"},
    MODEL: {"name"},
    BRANCH: set(),
    SOURCE: set(),
    "_or_": set(),
    "_range_": {"param", "name", MODEL, TRANSFORM, TARGET},
}
#: A mapping with several of them is of the first kind.
_IN_TURN = ("_or_", "_range_", BRANCH, SOURCE, TARGET, TRANSFORM, SPLIT, MODEL)
#: More than this is a mistake.
_MOST = 10_000


@dataclass(frozen=True)
class Step:
    """One step: its kind, its operator, or the steps of each branch or source."""

    kind: str
    operator: Any = None
    name: str | None = None
    inner: tuple[tuple[Step, ...], ...] = ()
    names: tuple[str, ...] = ()

    def described(self, where: str) -> Any:
        """Return the step as it is kept: classes and parameters, no objects."""
        if self.inner or self.kind in (BRANCH, SOURCE):
            lists = [[step.described(f"{where}[{n}]") for step in steps] for n, steps in enumerate(self.inner)]
            return {self.kind: dict(zip(self.names, lists, strict=True)) if self.names else lists}
        found = {self.kind: described(self.operator, where)}
        return found if self.name is None else found | {"name": self.name}


@dataclass(frozen=True)
class Pipeline:
    """A pipeline without choices: what it is called, its steps, and which choices led to it."""

    name: str
    steps: tuple[Step, ...]
    choices: list[dict[str, Any]] = field(default_factory=list)

    def described(self) -> list[Any]:
        """Return the steps as they are kept."""
        return [step.described(f"{self.name}[{n}]") for n, step in enumerate(self.steps)]


def expanded(pipeline: Any) -> list[Pipeline]:
    """Return every pipeline that a description stands for; `hmp_catalog.experiments.training.run` tells of its words.

    Raises
    ------
    InvalidInput
        If a step is none, a choice is empty, or there are more than 10,000 pipelines.
    """
    named: Mapping[Any, Any] = pipeline if isinstance(pipeline, Mapping) else {"": pipeline}
    found: list[Pipeline] = []
    for name, steps in named.items():
        base = word(name, "name of a pipeline") if isinstance(pipeline, Mapping) else ""
        if not isinstance(steps, (list, tuple)) or not steps:
            what = "empty" if isinstance(steps, (list, tuple)) else _article(steps)
            message = f"the pipeline {base} is {what}, expected a list of steps".replace("  ", " ")
            raise InvalidInput(message)
        ways = list(itertools.islice(_ways(steps, base or "pipeline"), _MOST + 1))
        for n, (chosen, choices) in enumerate(ways, 1):
            called = base if base and len(ways) == 1 else f"{base or ''}_{n:04d}".strip("_")
            found.append(Pipeline(called if base else f"{n:04d}_{_title(chosen)}", chosen, choices))
    if not found:
        message = "there is no pipeline to train: the mapping is empty"
        raise InvalidInput(message)
    if len(found) > _MOST:
        message = f"the choices make more than {_MOST} pipelines; make fewer"
        raise InvalidInput(message)
    for each in found:
        _require_whole(each.steps, each.name)
    return found


def _require_whole(steps: Sequence[Step], name: str, split: str = "") -> None:
    """Refuse a pipeline, or a branch, that does not end in its only model, or splits twice."""
    for n, step in enumerate(steps):
        if step.kind == BRANCH:
            for inner in step.inner:
                _require_whole([*inner, *steps[n + 1 :]], name, split)
            return
        if step.kind == MODEL:
            if n + 1 < len(steps):
                message = f"pipeline {name}: {_article(step.operator)} is a model, and not the last step"
                raise InvalidInput(message)
            return
        if step.kind == SPLIT and split:
            message = f"pipeline {name}: {_article(step.operator)} splits again after {split}; one splitter is enough"
            raise InvalidInput(message)
        split = split or (_article(step.operator) if step.kind == SPLIT else "")
    message = f"pipeline {name} has no model: its last step, or that of each branch, must predict"
    raise InvalidInput(message)


def _title(steps: Sequence[Step]) -> str:
    """Return what the models of a pipeline are called."""
    models = [step for step in _flat(steps) if step.kind == MODEL]
    return "+".join(dict.fromkeys(s.name or type(s.operator).__name__ for s in models))[:60] or "pipeline"


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for each in step.inner:
            yield from _flat(each)


# ── choices ──────────────────────────────────────────────────────────────────────────────────────────

_Way = tuple[tuple[Step, ...], list[dict[str, Any]]]


def _ways(steps: Sequence[Any], where: str) -> Iterator[_Way]:
    """Yield every way through the choices of some steps, with the choices that were made."""
    each = [list(_ways_of(step, f"{where}[{n}]")) for n, step in enumerate(steps)]
    for way in itertools.product(*each):
        yield tuple(s for some, _ in way for s in some), [c for _, choices in way for c in choices]


def _ways_of(step: Any, where: str) -> Iterator[_Way]:
    if not isinstance(step, Mapping):
        yield _plain(step, where), []
        return
    kind = next(
        (each for each in ("_or_", "_range_", BRANCH, SOURCE, TARGET, TRANSFORM, SPLIT, MODEL) if each in step), ""
    )
    if not kind or set(step) - _WORDS[kind] - {kind}:
        message = f"{where} has the keys {', '.join(map(str, step))}, expected one of {', '.join(_WORDS)}"
        kept = set(step) in ({"class"}, {"class", "params"}, {"function"})
        raise InvalidInput(message + "; PipelineLibrary.build makes operators of what is kept" * kept)
    if kind == "_or_":
        yield from _alternatives(step[kind], where)
    elif kind == "_range_":
        yield from _range(step, where)
    elif kind in (BRANCH, SOURCE):
        yield from _inner(kind, step[kind], where)
    elif isinstance(step[kind], Mapping):
        for (inner,), choices in _ways_of(step[kind], where):
            yield (_renamed(inner, kind, step.get("name")),), choices
    else:
        several = step[kind] if kind != MODEL and isinstance(step[kind], (list, tuple)) else [step[kind]]
        yield tuple(_one(kind, each, step.get("name"), where) for each in several), []


def _renamed(step: Step, kind: str, name: str | None) -> Step:
    return Step(kind, step.operator, name or step.name)


def _alternatives(options: Any, where: str) -> Iterator[_Way]:
    if not isinstance(options, (list, tuple)) or not options:
        message = f"_or_ of {where} is {_article(options)}, expected a list of alternatives"
        raise InvalidInput(message)
    for n, option in enumerate(options):
        inner = option if isinstance(option, (list, tuple)) else [option]
        for steps, choices in _ways(inner, f"{where}._or_[{n}]"):
            told = [step.described(where) for step in steps]
            yield steps, [{"_or_": n, "chosen": told[0] if len(told) == 1 else told or None}, *choices]


def _range(step: Mapping[str, Any], where: str) -> Iterator[_Way]:
    kinds = [kind for kind in (MODEL, TRANSFORM, TARGET) if kind in step]
    limits, parameter = step["_range_"], step.get("param")
    if len(kinds) != 1 or not isinstance(parameter, str):
        message = f"{where} needs a param, and a model, transform or y_processing that has it, beside _range_"
        raise InvalidInput(message)
    for value in _numbers(limits, where):
        operator = _operator(step[kinds[0]], where)
        if not (hasattr(operator, "set_params") and parameter in operator.get_params()):
            message = f"{where}: {type(operator).__name__} has no parameter {parameter!r}"
            raise InvalidInput(message)
        operator.set_params(**{parameter: value})
        # what tells them apart where models are listed
        told = f"{type(operator).__name__}({parameter}={value})" if kinds[0] == MODEL else None
        made = Step(kinds[0], operator, _named(step.get("name"), where) or told)
        yield (made,), [{"_range_": list(limits), "param": parameter, "value": value}]


def _numbers(limits: Any, where: str) -> list[Any]:
    """Return the numbers from start to stop, both among them."""
    given = limits if isinstance(limits, (list, tuple)) else ()
    kinds_fit = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in given)
    start, stop, step = [*given, 1][:3] if len(given) in (2, 3) and kinds_fit else (0, 0, 0)
    count = int((stop - start) / step + 1e-9) + 1 if step and (stop - start) / step >= 0 else 0
    if not 0 < count <= _MOST:
        message = f"_range_ of {where} is {limits!r:.80}, expected [start, stop] or [start, stop, step] that meet"
        raise InvalidInput(message)
    return [start + n * step for n in range(count)]


def _inner(kind: str, lists: Any, where: str) -> Iterator[_Way]:
    named = isinstance(lists, Mapping)
    given = list(lists.values()) if named else lists
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(s, (list, tuple)) for s in given):
        message = f"{kind} of {where} is {_article(lists)}, expected a list of lists of steps"
        raise InvalidInput(message)
    names = tuple(word(name, f"name of a {kind}") for name in lists) if named else ()
    for way in itertools.product(*(list(_ways(steps, f"{where}.{kind}[{n}]")) for n, steps in enumerate(given))):
        yield (Step(kind, inner=tuple(steps for steps, _ in way), names=names),), [c for _, cs in way for c in cs]


# ── single steps ─────────────────────────────────────────────────────────────────────────────────────


def _plain(step: Any, where: str) -> tuple[Step, ...]:
    if step is None:
        return ()
    found = _operator(step, where)
    if _predicts(found):
        kind = MODEL
    elif hasattr(found, "transform") or isinstance(found, _FUNCTIONS):
        kind = TRANSFORM
    elif hasattr(found, "split"):
        kind = SPLIT
    else:
        message = f"{where} is {_article(step)}, which neither transforms, splits nor predicts"
        raise InvalidInput(message)
    return (Step(kind, found),)


#: Functions of X need no fit. numpy's own are of a type of theirs.
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type(__import__("numpy").log))


def _one(kind: str, operator: Any, name: Any, where: str) -> Step:
    found = _operator(operator, where)
    verb = {MODEL: "predict", TRANSFORM: "transform", TARGET: "inverse_transform", SPLIT: "split"}[kind]
    fits = (kind == TRANSFORM and isinstance(found, _FUNCTIONS)) or (kind == MODEL and _predicts(found))
    if not (fits or hasattr(found, verb)):
        message = f"{kind} of {where} is {_article(operator)}, which has no {verb}"
        raise InvalidInput(message)
    return Step(kind, found, _named(name, where))


def _predicts(operator: Any) -> bool:
    """Return whether an operator predicts; a stack of models only has the method once it is fitted."""
    return hasattr(operator, "predict") or (hasattr(type(operator), "predict") and task_of(operator) is not None)


def task_of(operator: Any) -> str | None:
    """Return ``"regressor"``, ``"classifier"`` or another word of scikit-learn, None of what says nothing."""
    tags = operator.__sklearn_tags__() if hasattr(operator, "__sklearn_tags__") else None
    found: str | None = getattr(tags, "estimator_type", getattr(operator, "_estimator_type", None))
    return found


def _named(name: Any, where: str) -> str | None:
    return None if name is None else word(name, f"name of {where}")


def _operator(given: Any, where: str) -> Any:
    """Return an operator of this run's own; a class stands for one with its default parameters."""
    if isinstance(given, _FUNCTIONS):
        return given
    if isinstance(given, (str, int, float, list, tuple, Mapping)) or given is None:
        message = f"{where} is {_article(given)}, expected an object that transforms, splits or predicts"
        raise InvalidInput(message)
    try:
        return given() if isinstance(given, type) else cloned(given)
    except TypeError as error:
        message = f"{where}: {_article(given)} cannot be made anew: {error}"
        raise InvalidInput(message) from error


def described(operator: Any, where: str) -> Any:
    """Return an operator as it is kept: its class, and the parameters it was made with.

    Raises
    ------
    InvalidInput
        If a parameter cannot be kept; ``where`` says of which step.
    """
    if hasattr(operator, "get_params") or isinstance(operator, (type, *_FUNCTIONS)):
        return values.kept(operator, where)
    return {"class": class_of(operator), "params": values.kept(parameters(operator), where)}


def parameters(operator: Any) -> dict[str, Any]:
    """Return what an operator was made with: ``get_params``, else attributes named as its constructor's arguments."""
    if hasattr(operator, "get_params"):
        return dict(operator.get_params(deep=False))
    arguments = inspect.signature(type(operator)).parameters
    return {name: getattr(operator, name) for name in arguments if hasattr(operator, name)}


def class_of(operator: Any) -> str:
    """Return the full name of an operator's class, or of a function."""
    if isinstance(operator, _FUNCTIONS):
        return (
            f"{getattr(operator, '__module__', None) or 'numpy'}.{getattr(operator, '__qualname__', operator.__name__)}"
        )
    return f"{type(operator).__module__}.{type(operator).__qualname__}"


def _article(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
