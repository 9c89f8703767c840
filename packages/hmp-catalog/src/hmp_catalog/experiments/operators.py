"""The operators of a step: the objects that were fitted, or made anew from their class and parameters.

Its text is part of exported scripts, where hmp is not installed: see `replaying`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hmp_catalog.errors import ReplayError
from hmp_catalog.experiments.planning import SPLITTER, TARGET, Action, Step, article, refused, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What fitted objects raise when data do not fit them, or they are not fitted.
_REFUSALS = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
#: Where the splitters are that are kept by their class alone, as ``KFold``.
_SPLITTERS = "sklearn.model_selection"
#: Parameters nested deeper than this refer to themselves.
_DEEPEST = 50


def operators_of(action: Action, load: Callable[[str], Any]) -> list[Any]:
    """Return what a step applies, in order; nothing of a step that only splits."""
    if not action.ids:
        return _made(action.step)
    found = [load(i) for i in action.ids]
    verbs = ("transform", "split", *(("inverse_transform",) if action.step.kind == TARGET else ()))
    for artifact, operator in zip(action.ids, found, strict=True):
        works = isinstance(operator, types.FunctionType) or any(can(operator, verb) for verb in verbs)
        if isinstance(operator, type) or not works:
            raise refused(action.step, f"artefact {shown(artifact)} is {article(operator)}, which transforms nothing")
    return [o for o in found if isinstance(o, types.FunctionType) or can(o, "transform") or can(o, "inverse_transform")]


def _made(step: Step) -> list[Any]:
    """Return the operator of a step that keeps nothing, made anew; none for one that only splits."""
    if step.kind == SPLITTER or ("." not in step.operator and _splits(f"{_SPLITTERS}.{step.operator}")):
        return []
    if _splits(step.operator):
        return []
    if not step.stateless:
        raise refused(step, "it has no artefact, and is not stateless: it cannot be applied as it was trained")
    try:
        found = _imported(step.operator)
    except _REFUSALS as error:
        message = (
            f"it keeps no state, and cannot be imported by the name {shown(step.operator)}: {error}; "
            "say the whole name, as package.module.Class, or save the object and name its artefact"
        )
        raise refused(step, message) from error
    with named(step):
        params = _revived({} if step.params is None else step.params)
        if not isinstance(params, dict):
            raise refused(step, f"its params are {article(params)}, expected a mapping of names to values")
        if isinstance(found, type):
            if not hasattr(found, "transform"):
                raise refused(step, "it is a class that transforms nothing")
            return [found(**fitting(found, params))]
        if not callable(found):
            raise refused(step, f"it is {article(found)}, neither a class nor a function")
        return [functools.partial(found, **fitting(found, params))]


def _splits(name: str) -> bool:
    """Return whether a name is that of a class that makes folds, and changes nothing."""
    try:
        found = _imported(name)
    except _REFUSALS:
        return False
    return isinstance(found, type) and hasattr(found, "split") and not hasattr(found, "transform")


def _imported(name: str) -> Any:
    parts = name.split(".")
    if len(parts) < 2 or len(parts) > _DEEPEST:
        message = "it tells no module"
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
    return found(**fitting(found, _revived(value["params"], depth + 1))) if "params" in value else found


def fitting(call: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters that JSON kept as they were given: of a tuple it makes a list, which many classes refuse."""
    try:
        defaults = {name: each.default for name, each in inspect.signature(call).parameters.items()}
    except (TypeError, ValueError):  # compiled functions tell nothing of theirs
        return dict(params)
    tuples = {name for name, value in params.items() if isinstance(value, list) and type(defaults.get(name)) is tuple}
    return {name: tuple(value) if name in tuples else value for name, value in params.items()}


def of_targets(operator: Any) -> bool:
    """Return whether what it transforms are targets: its argument is called y, as that of a LabelEncoder is."""
    return next(iter(arguments(getattr(operator, "transform", operator))), "") == "y"


def arguments(call: Any) -> list[str]:
    """Return the names of what a callable takes."""
    try:
        return list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # compiled functions tell nothing of theirs
        return []


def can(operator: Any, verb: str) -> bool:
    """Return whether an object has a method."""
    return callable(getattr(operator, verb, None))


@contextmanager
def named(step: Step) -> Iterator[None]:
    """Turn what an operator raises into an error that names its step."""
    try:
        yield
    except ReplayError:
        raise
    except _REFUSALS as error:
        raise refused(step, f"{type(error).__name__}: {str(error)[:1000]}") from error
