"""What the event model of Bluesky calls things: types, keys, statuses, and what a start document has room for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hmp_catalog.acquisition.events import free
from hmp_catalog.acquisition.records import ABORTED, SUCCESS
from hmp_catalog.acquisition.values import kept

#: The types that the model knows.
_DTYPES = frozenset({"string", "number", "array", "boolean", "integer"})

#: Kind of a NumPy type -> the type of one value.
_OF_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string", "S": "string"}

_DTYPE_NUMPY = re.compile(r"[|<>][tbiufcmMOSUV][0-9]+")
_EXTERNAL = re.compile(r"[A-Z]+:?")

#: What a key is said to have, and of which type that must be.
_TYPED: dict[str, tuple[type, ...]] = {
    "units": (str, type(None)),
    "precision": (int, type(None)),
    "object_name": (str,),
    "source": (str,),
}

#: What a start document has of its own: others' words under these names are kept apart.
_TEXTS = frozenset({"owner", "group", "project", "data_session"})
_RESERVED = frozenset({"uid", "time", "plan_name", "scan_id", "sample", "operator", "data_type", "hints"})
_RESERVED |= {"projections", "data_groups", "metadata_json"}

_ENDS = {SUCCESS: "success", ABORTED: "abort", "abort": "abort"}


def exit_status(status: str) -> str:
    """Return how a run ended: ``success``, ``abort``, else ``fail``."""
    return _ENDS.get(status, "fail")


def metadata(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as a start document has room for them; what has none there is text under ``metadata_json``."""
    fitting = {key: value for key, value in said.items() if _fits(key, value)}
    others = {key: value for key, value in said.items() if key not in fitting}
    return fitting | ({"metadata_json": json.dumps(kept(others, "metadata"))} if others else {})


def _fits(key: str, value: Any) -> bool:
    if key in _TEXTS:
        return isinstance(value, str)
    return key not in _RESERVED and _is_plain(key) and _has_plain_keys(value)


def _is_plain(key: Any) -> bool:
    return isinstance(key, str) and key != "" and not {".", "/"} & set(key)


def _has_plain_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _has_plain_keys(each) for key, each in value.items())
    return not isinstance(value, (list, tuple)) or all(_has_plain_keys(each) for each in value)


def plain_name(key: str) -> str:
    """Return a name as the model allows it, without dots and slashes.

    Examples
    --------
    >>> plain_name("motor/x.y")
    'motor_x_y'
    """
    return re.sub(r"[./]", "_", key) or "_"


def names(fields: Iterable[str], keys: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of fields and of keys in documents: no two are the same."""
    taken: set[str] = set()
    found: list[dict[str, str]] = [{}, {}]
    for into, originals in zip(found, (fields, keys), strict=True):
        for original in originals:
            into[original] = free(plain_name(original), taken)
            taken.add(into[original])
    return found[0], found[1]


def sample(said: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a sample; what it has no room for there is text under ``extra_json``."""
    if _has_plain_keys(said):
        return said
    return said | {"extra": {}, "extra_json": json.dumps(kept(said["extra"], "extra"))}


def data_key(about: Any, sample: Any) -> dict[str, Any]:
    """Return the description of a key whose values are in the events.

    Parameters
    ----------
    about
        What its stream says of it.
    sample
        One of its values, if there is any: it says what the stream does not.
    """
    said = dict(about) if isinstance(about, Mapping) else {}
    found = _kept_words(said)
    shape = said.get("shape")
    known = isinstance(shape, (list, tuple)) and all(_is_size(size) for size in shape)
    found["shape"] = list(shape or ()) if known else _shape(sample)
    found["dtype"] = _dtype(said.get("dtype"), found["shape"], sample)
    precise = said.get("dtype_numpy") or _numpy(said.get("dtype"))
    if isinstance(precise, str) and _DTYPE_NUMPY.match(precise):
        found["dtype_numpy"] = precise
    return found


def frame_key(about: Any, shape: tuple[int, int], dtype: str) -> dict[str, Any]:
    """Return the description of a key whose values are frames."""
    found = _kept_words(dict(about) if isinstance(about, Mapping) else {})
    return found | {
        "dtype": "array",
        "dtype_numpy": dtype,
        "shape": list(shape),
        "dims": ["y", "x"],
        "external": "STREAM:",
    }


def _kept_words(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a key; what is of another type than the model has goes by another name."""
    of_ours = {"dtype", "dtype_numpy", "shape", "external", "dims"}
    found: dict[str, Any] = {"source": "hmp"}
    for name, value in said.items():
        if name in of_ours:
            continue
        fits = isinstance(value, _TYPED[name]) if name in _TYPED else name not in {"choices", "limits"}
        fits = fits or (name == "choices" and isinstance(value, list) and all(isinstance(one, str) for one in value))
        found[name if fits and not isinstance(value, bool) else f"declared_{name}"] = value
    odd = {name: found.pop(name) for name in list(found) if not (_is_plain(name) and _has_plain_keys(found[name]))}
    if odd:
        found["declared_json"] = json.dumps(kept(odd, "data_keys"))
    external = said.get("external")
    if isinstance(external, str) and _EXTERNAL.match(external):
        found["external"] = external
    return found


def _dtype(said: Any, shape: list[Any], sample: Any) -> str:
    if isinstance(said, str) and said in _DTYPES:
        return said
    if shape:
        return "array"
    precise = _numpy(said) or np.asarray("" if sample is None else sample).dtype.str
    return _OF_KINDS.get(np.dtype(precise).kind, "string")


def _numpy(said: Any) -> str | None:
    """Return the precise type that is meant; None for a word of the model, which means none."""
    if not isinstance(said, str) or said in _DTYPES:
        return None
    try:
        return np.dtype(said).str
    except (TypeError, ValueError, SyntaxError):
        return None


def _shape(sample: Any) -> list[int | None]:
    """Return the shape of a value; of lists of several lengths only the first size is known."""
    if not isinstance(sample, list):
        return []
    try:
        return list(np.asarray(sample).shape)
    except ValueError:
        return [None]


def _is_size(size: Any) -> bool:
    return size is None or (isinstance(size, int) and not isinstance(size, bool))
