"""Values that an experiments store keeps as JSON: those of `hmp_catalog.plain`, estimators, classes and functions."""

from __future__ import annotations

from typing import Any


def kept(value: Any, where: str) -> Any:
    """Return ``value`` as JSON keeps it."""
    raise NotImplementedError
