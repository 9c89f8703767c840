"""Another backend in the place of hmp's own, wherever a catalog is opened; who goes round it is caught."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from cold_backend import ColdBackend

import hmp_catalog
from hmp_catalog.rebuilding import rebuild_catalog
from hmp_core.backends import DuckDBBackend

#: They look at files from outside, without a catalog.
_OUTSIDE = ("hmp_core.doctor", "hmp_core.cli")


def everywhere() -> None:
    """Let the doors of the catalog open with the other backend by default, in this process."""
    for door in (hmp_catalog.open, hmp_catalog.SimulationCatalog.__init__, rebuild_catalog):
        assert "backend" in door.__kwdefaults__
        door.__kwdefaults__["backend"] = ColdBackend
    for verb in ("lease", "statements"):
        setattr(DuckDBBackend, verb, _not_from_a_catalog(getattr(DuckDBBackend, verb)))


def _not_from_a_catalog(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def asked(backend: DuckDBBackend, *args: Any, **options: Any) -> Any:
        names = _callers()
        who = next((name for name in names if name.startswith(("hmp_catalog.", *_OUTSIDE))), "")
        assert not who.startswith("hmp_catalog."), f"{who} opens {backend.path} beside its backend, by {names[0]}"
        return verb(backend, *args, **options)

    return asked


def _callers() -> list[str]:
    """Return the modules that are being run, innermost first."""
    names, frame = [], sys._getframe(2)
    while frame is not None:
        names.append(frame.f_globals.get("__name__", ""))
        frame = frame.f_back  # type: ignore[assignment]
    return names
