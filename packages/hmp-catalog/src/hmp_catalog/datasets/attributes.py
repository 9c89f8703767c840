"""The attributes of a data set or a variable as its user sees them: what says what codes mean is not among them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import containers
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from hmp_catalog.datasets.handle import Handle

#: What hmp says itself, of every variable.
_OWN = frozenset(
    {
        *("_FillValue", "missing_value", "scale_factor", "add_offset", "valid_range", "least_significant_digit"),
        *("grid_mapping", "coordinates", "geometry", "calendar", "dtype", "_Unsigned"),
    }
)


class Attributes(MutableMapping[str, Any]):
    """The attributes of a data set, or of one of its variables: text, numbers, truth, lists and dictionaries of these.

    Parameters
    ----------
    handle : Handle
        The open data set.
    holder : str
        The array that bears them; empty for the data set itself.
    check : callable, optional
        Raises what is wrong with a name and a value.
    """

    def __init__(self, handle: Handle, holder: str = "", check: Callable[[str, Any], None] | None = None) -> None:
        self._handle = handle
        self._holder = holder
        self._check_value = check or (lambda _key, _value: None)

    @property
    def data(self) -> dict[str, Any]:
        """A copy of all of them."""
        with self._handle.reading():
            said, own = self._said(), self._own()
            return {key: copy.deepcopy(value) for key, value in said.items() if not _hidden(key, own)}

    @property
    def writable(self) -> bool:
        """Whether they can be changed."""
        return self._handle.writable

    def set(self, key: str, value: Any) -> None:
        """Give an attribute a value; the same as ``attrs[key] = value``."""
        self[key] = value

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Give several attributes their values, all of them or none."""
        given = dict(other, **more)
        for key, value in given.items():
            self._check_value(key, value)
        self._change(lambda said: said | {key: _plain(key, value) for key, value in given.items()}, *given)

    def clear(self) -> None:
        """Remove all of them."""
        mine = set(self.data)
        self._change(lambda said: {key: value for key, value in said.items() if key not in mine}, *mine)

    def __getitem__(self, key: str) -> Any:
        found = self.data
        if key not in found:
            message = (
                f"{self._holder or self._handle.path}: no attribute {key!r}; there are {', '.join(found) or 'none'}"
            )
            raise NotFound(message, reference=str(key), candidates=list(found))
        return found[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self[key]  # what is not there is told
        self._change(lambda said: {each: value for each, value in said.items() if each != key}, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return repr(self.data)

    # ── the array ────────────────────────────────────────────────────────────────────────────────────

    def _said(self) -> dict[str, Any]:
        if not self._holder:
            return dict(self._handle.group().attrs)
        return self._handle.arrays()[self._holder].attrs.asdict() if self._holder in self._handle.arrays() else {}

    def _own(self) -> frozenset[str]:
        """Return what hmp says itself here."""
        if not self._holder:
            return frozenset()
        said = self._said()
        if containers.mine(said):
            return _OWN | set(containers.RESERVED)
        return _OWN | set(self._handle.cells(self._holder).packing.attributes())

    def _change(self, change: Any, *keys: str) -> None:
        with self._handle.writing() as group:
            own = self._own()
            for key in keys:
                self._check(key, own)
            target = group[self._holder] if self._holder else group
            target.attrs.put(change(self._said()))
            if self._holder:
                self._handle.forget(self._holder)

    def _check(self, key: Any, own: frozenset[str]) -> None:
        if not isinstance(key, str) or not key:
            message = f"attribute {key!r}: expected text for its name"
            raise InvalidInput(message)
        if _hidden(key, own):
            message = f"attribute {key!r} of {self._holder or 'a data set'} says what is stored; hmp writes it itself"
            raise InvalidInput(message)


def _hidden(key: str, own: frozenset[str]) -> bool:
    return key == "hmp" or key.startswith("hmp_") or key in own


def _plain(key: str, value: Any) -> Any:
    """Return a value as JSON has it; numbers and arrays of NumPy are taken too."""
    if hasattr(value, "tolist") and getattr(getattr(value, "dtype", None), "kind", "") in {"b", "i", "u", "f", "U"}:
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(key, each) for each in value]
    if isinstance(value, dict) and all(isinstance(each, str) for each in value):
        return {each: _plain(key, inner) for each, inner in value.items()}
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    message = f"attribute {key!r}: {value!r}; expected text, finite numbers, truth, lists or dictionaries of these"
    raise InvalidInput(message)
