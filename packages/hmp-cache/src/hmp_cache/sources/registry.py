"""Which sources there are: those shipped and those of other packages, with what a workspace says of each.

A source is found by its entry point (group ``hmp.sources``). One that cannot be imported is named with its error, and
the others go on working.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock
from typing import Any

from hmp_cache.errors import SourceNotFound
from hmp_cache.sources.mistakes import THEIRS
from hmp_cache.sources.offers import Listed
from hmp_cache.sources.protocol import Offer, Source
from hmp_core.errors import CorruptError, HmpError, InvalidInput
from hmp_core.layout import WORKSPACE_MARKER

GROUP = "hmp.sources"


@dataclass(slots=True)
class Registry:
    """The sources of a workspace.

    Parameters
    ----------
    settings
        By source, what its instance is made with; ``api_key_env`` names the variable of the environment that holds the
        key, and arrives as ``api_key``.
    """

    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _made: dict[str, Source] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, workspace: Path) -> Registry:
        """Return the sources, with the settings in ``workspace.toml`` (``[sources.<name>]``).

        Raises
        ------
        InvalidInput
            If ``sources`` is not a table of tables there.
        CorruptError
            If the file cannot be read.
        """
        return cls(_settings(workspace / WORKSPACE_MARKER))

    def names(self) -> list[str]:
        """Return what the installed sources are called."""
        return sorted(_points())

    def get(self, name: str) -> Source:
        """Return a source.

        Raises
        ------
        SourceNotFound
            If nobody goes by that name, or its package cannot be imported.
        InvalidInput
            If its settings do not suit it, or it is no source.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def listed(self, name: str | None = None) -> list[Listed]:
        """Return what each source offers, or only the one called ``name``; one that cannot be used with its error.

        Raises
        ------
        SourceNotFound
            If none is called ``name``.
        """
        points = _points()
        if name is not None and name not in points:
            raise _unknown(name, points)
        absent = [] if name is not None else sorted(self.settings.keys() - points.keys())
        chosen = sorted(points) if name is None else [name]
        missing = "it has settings in workspace.toml and is not installed"
        return [self._listed(one) for one in chosen] + [Listed(one, error=missing) for one in absent]

    def _listed(self, name: str) -> Listed:
        try:
            source = self.get(name)
            offers = tuple(source.coverage())
            if strange := [offer for offer in offers if not isinstance(offer, Offer)]:
                message = f"coverage() gave {strange[0]!r}, expected hmp_cache.sources.Offer"
                raise InvalidInput(message)
        except HmpError as error:
            return Listed(name, error=str(error))
        except THEIRS as error:
            return Listed(name, error=f"coverage() failed: {type(error).__name__}: {error}")
        return Listed(name, (type(source).__doc__ or "").strip().partition("\n")[0], offers)

    def _make(self, name: str) -> Source:
        points = _points()
        if name not in points:
            raise _unknown(name, points)
        kind = _loaded(points[name], sorted(points))
        where = points[name][0].value
        said = self._keyed(name)
        try:
            made = kind(**said)
        except HmpError:
            raise
        except THEIRS as error:
            given = ", ".join(sorted(said)) or "none"
            message = f"source {name!r} cannot be made with the settings [sources.{name}] ({given}): {error}"
            raise InvalidInput(message) from error
        if not isinstance(made, Source):
            message = f"{where} gave {type(made).__name__}, expected name, coverage, plan and fetch"
            raise InvalidInput(message)
        if made.name != name:
            message = f"{where} calls itself {made.name!r}, its entry point calls it {name!r}"
            raise InvalidInput(message)
        return made

    def _keyed(self, name: str) -> dict[str, Any]:
        """Return the settings of a source with the key itself in place of where it is kept."""
        said = dict(self.settings.get(name, {}))
        if "api_key" in said:
            message = (
                f"[sources.{name}] holds an api_key, and {WORKSPACE_MARKER} is copied and shared; put the key into a "
                'variable of the environment and name that: api_key_env = "NAME"'
            )
            raise InvalidInput(message)
        variable = said.pop("api_key_env", None)
        if variable is not None:
            if not isinstance(variable, str) or not os.environ.get(variable):
                message = (
                    f"[sources.{name}] api_key_env: the variable {variable!r} of the environment is empty or not set"
                )
                raise InvalidInput(message)
            said["api_key"] = os.environ[variable]
        return said


def _points() -> dict[str, list[EntryPoint]]:
    """Return the entry points by name: one each, unless two packages give the same name to different things."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, {})[point.value] = point
    return {name: list(points.values()) for name, points in found.items()}


def _loaded(points: list[EntryPoint], known: list[str]) -> Any:
    point, *others = points
    if others:
        values = " and ".join(one.value for one in points)
        message = f"several packages bring a source {point.name!r} ({values}); remove all but one of them"
        raise SourceNotFound(message, source=point.name, known=known)
    try:
        return point.load()
    except THEIRS as error:
        package = point.dist.name if point.dist else point.value
        message = (
            f"source {point.name!r} of {package} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        )
        raise SourceNotFound(message, source=point.name, known=known) from error


def _unknown(name: str, known: Iterable[str]) -> SourceNotFound:
    message = f"no source is called {name!r}; installed are {', '.join(sorted(known))}; see `hmp data sources`"
    return SourceNotFound(message, source=name, known=sorted(known))


def _settings(file: Path) -> dict[str, dict[str, Any]]:
    try:
        said = tomllib.loads(file.read_bytes().decode()).get("sources", {})
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read: {error}"
        raise CorruptError(message, path=str(file)) from error
    if not isinstance(said, dict) or not all(isinstance(settings, dict) for settings in said.values()):
        message = f"{file}: sources: expected a table for each source, as [sources.hubeau]"
        raise InvalidInput(message)
    return said
