"""Operators made anew: what the caller gave is never fitted, and each fold fits a model of its own."""

from __future__ import annotations

import copy
import types
from typing import Any


def cloned(operator: Any) -> Any:
    """Return an unfitted operator with the same parameters; one that tells none of its parameters is copied whole.

    Examples
    --------
    >>> class Shift:
    ...     def __init__(self, by=0):
    ...         self.by = by
    ...     def get_params(self, deep=True):
    ...         return {"by": self.by}
    >>> given = Shift(by=2)
    >>> given.offset_ = 7.0
    >>> made = cloned(given)
    >>> made.by, hasattr(made, "offset_")
    (2, False)
    """
    if isinstance(operator, type):
        return operator
    if type(operator) in (list, tuple):
        return type(operator)(cloned(each) for each in operator)
    if type(operator) is dict:
        return {name: cloned(each) for name, each in operator.items()}
    if not hasattr(operator, "get_params"):
        return copy.deepcopy(operator)
    return type(operator)(**{name: cloned(value) for name, value in operator.get_params(deep=False).items()})


def seeded(operator: Any, random_state: int | None) -> Any:
    """Return a clone of which every ``random_state`` that was left open is ``random_state``."""
    made = cloned(operator)
    if random_state is None:
        return made
    if hasattr(made, "get_params") and hasattr(made, "set_params"):
        names = [n for n, v in made.get_params().items() if n.rpartition("__")[2] == "random_state" and v is None]
        return made.set_params(**dict.fromkeys(sorted(names), random_state)) if names else made
    # a splitter has no parameters to set, and refuses a state it would not use
    if getattr(made, "random_state", 0) is None and getattr(made, "shuffle", True):
        made.random_state = random_state
    return made


def is_of_script(operator: Any) -> bool:
    """Return whether an operator, or a parameter of it, is defined in the script that runs: none other has it."""
    params = operator.get_params() if hasattr(operator, "get_params") and not isinstance(operator, type) else {}
    return any(_module(each) == "__main__" for each in (operator, *params.values()))


def _module(value: Any) -> Any:
    named = value if isinstance(value, (type, types.FunctionType)) else type(value)
    return getattr(named, "__module__", None)
