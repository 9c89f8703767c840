"""What was read, as JSON keeps it: valid for every reader, and back again to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hmp_catalog.plain import plain
from hmp_core.errors import CorruptError, InvalidInput

#: The one key of what stands for a number that JSON does not know.
_FLOAT = "$float"


def dumped(value: Any, where: str) -> str:
    """Return a value as JSON text.

    Raises
    ------
    InvalidInput
        If it has no such form; ``where`` says which.
    """
    try:
        return json.dumps(kept(value, where), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        message = f"{where} is nested too deep, or refers to itself"
        raise InvalidInput(message) from error


def kept(value: Any, where: str) -> Any:
    """Return a value as JSON knows it; a number that JSON does not know as ``{"$float": "nan"}``.

    Raises
    ------
    InvalidInput
        If it has no such form; ``where`` says which.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if kind in {int, str, bool} or value is None:
        return plain(value, where)
    if isinstance(value, Mapping):
        if set(value) == {_FLOAT}:
            message = f"{where} has the one key {_FLOAT}, which stands for a number here; give it another"
            raise InvalidInput(message)
        found = {plain(str(name), where): kept(each, f"{where}.{name}") for name, each in value.items()}
        if len(found) != len(value):
            message = f"{where} has keys that are the same as text; give each its own name"
            raise InvalidInput(message)
        return found
    if isinstance(value, (list, tuple)):
        return [kept(each, f"{where}[{n}]") for n, each in enumerate(value)]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        found = value.tolist()
        return kept(float(found) if type(found) is type(value) else found, where)  # a long double gives itself
    return plain(value, where)


def loaded(text: str | None, where: str) -> Any:
    """Return what `dumped` was given; None for no text. What older writers left, as a bare ``NaN``, is read too.

    Raises
    ------
    CorruptError
        If it is no JSON.
    """
    if text is None:
        return None
    try:
        return json.loads(text, object_hook=_restored)
    except (ValueError, RecursionError) as error:
        message = f"{where} is no JSON: {error}"
        raise CorruptError(message, path=where) from error


def _restored(found: dict[str, Any]) -> Any:
    if len(found) == 1 and isinstance(found.get(_FLOAT), str):
        return float(found[_FLOAT])
    return found
