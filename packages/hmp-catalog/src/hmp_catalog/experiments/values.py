"""Values that an experiments store keeps as JSON: those of `hmp_catalog.plain`, estimators, classes and functions."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final

from hmp_catalog.plain import dumps, plain
from hmp_core.errors import InvalidInput

#: Deeper than this is a mistake, or refers to itself; plain says so.
_DEEPEST: Final = 100
#: Where functions live that do not say where: ufuncs.
_OF_ARRAYS: Final = ("numpy", "scipy.special")
#: What an estimator may raise that does not know its own parameters.
_UNKNOWING = (TypeError, ValueError, AttributeError, LookupError, RuntimeError)


def kept(value: Any, where: str) -> Any:
    """Return ``value`` as JSON keeps it: as `hmp_catalog.plain.plain` does, and by name what is code.

    An estimator (it has ``get_params``) or a splitter (it has ``get_n_splits``) becomes ``{"class": ..., "params":
    {...}}``, a class ``{"class": "module.Class"}``, a function ``{"function": "module.name"}``.

    Parameters
    ----------
    value : object
        Numbers, text, times, paths, mappings, sequences, sets and arrays of them, and the above.
    where : str
        What it is, for the message of an error.

    Raises
    ------
    InvalidInput
        For anything else, and for code that no name leads to: a lambda, what is defined in a function.

    Examples
    --------
    >>> import statistics
    >>> kept({"reduce": statistics.median, "scale": (1, float("nan"))}, "config")
    {'reduce': {'function': 'statistics.median'}, 'scale': [1, 'nan']}
    """
    return _kept(value, where, 0)


def _kept(value: Any, where: str, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float)) or depth > _DEEPEST:
        return plain(value, where, depth)
    if isinstance(value, Mapping):
        return _mapping(value, where, depth)
    if isinstance(value, (list, tuple)):
        return [_kept(each, f"{where}[{n}]", depth + 1) for n, each in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_kept(each, where, depth + 1) for each in value), key=dumps)
    if isinstance(value, PurePath):
        return plain(value.as_posix(), where)
    if (code := _code(value, where, depth)) is not None:
        return code
    if getattr(getattr(value, "dtype", None), "kind", "") == "O":
        return _kept(value.tolist(), where, depth + 1)
    return plain(value, where, depth)


def _mapping(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    found = {}
    for key, each in value.items():
        name = key if type(key) is str else _key(key, where)
        found[plain(name, where)] = _kept(each, f"{where}.{name}", depth + 1)
    # keys that are the same as text are for plain to refuse
    return found if len(found) == len(value) else plain(value, where, depth)


def _key(key: Any, where: str) -> str:
    """Return a key as text: of what has no plain form it would be an address."""
    if isinstance(key, type) or isinstance(plain(key, f"a key of {where}"), (list, dict)):
        message = f"{where} has a key that is a {type(key).__name__}: a key of {where} is text or a number"
        raise InvalidInput(message)
    return str(key)


# ── code ─────────────────────────────────────────────────────────────────────────────────────────────


def _code(value: Any, where: str, depth: int) -> dict[str, Any] | None:
    """Return how an estimator, a class or a function is kept; None for what is no code."""
    if isinstance(value, type):
        return {"class": _name(value, where)}
    if (parameters := _parameters(value, where)) is not None:
        return {"class": _name(type(value), where), "params": _mapping(parameters, where, depth + 1)}
    if callable(value) and hasattr(value, "__name__"):
        return {"function": _name(value, where)}
    return None


def _parameters(value: Any, where: str) -> Mapping[str, Any] | None:
    """Return what an estimator or a splitter was made with; None for what is neither."""
    try:
        if callable(getattr(value, "get_params", None)):
            return dict(value.get_params(deep=False))
        if callable(getattr(value, "get_n_splits", None)):
            return _arguments(value)
    except _UNKNOWING as error:
        message = f"{where} is a {type(value).__name__} that does not tell its parameters: {error}"
        raise InvalidInput(message) from error
    return None


def _arguments(splitter: Any) -> dict[str, Any]:
    """Return the arguments of the constructor, which scikit-learn keeps as attributes of the same names.

    Repeated splitters keep those of the splitter that they repeat in ``cvargs``.
    """
    more = getattr(splitter, "cvargs", {})
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(type(splitter)).parameters.values()
    names = [each.name for each in parameters if each.kind in named]
    return {name: more[name] if name in more else getattr(splitter, name) for name in names}


def _name(code: Callable[..., Any], where: str) -> str:
    """Return the name that a class or function is imported by, with its module."""
    name = str(getattr(code, "__qualname__", None) or getattr(code, "__name__", ""))
    for module in (getattr(code, "__module__", None) or "", *_OF_ARRAYS):
        if _leads_to(code, module, name):
            return f"{module}.{name}"
    message = (
        f"{where} is {name!r} of {getattr(code, '__module__', None)}, which cannot be imported by that name; "
        "define it at the top of a module"
    )
    raise InvalidInput(message)


def _leads_to(code: Any, module: str, name: str) -> bool:
    try:
        return operator.attrgetter(name)(sys.modules[module]) is code
    except (AttributeError, KeyError):
        return False
