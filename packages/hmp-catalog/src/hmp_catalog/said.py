"""What is said of a run while it is being made, in the form in which its manifest keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hmp_catalog.environment import capture, solver_facts
from hmp_catalog.facts import parameter_facts
from hmp_catalog.inputs import as_inputs, describe
from hmp_catalog.plain import plain, word
from hmp_catalog.records import RunSpec, tag_names
from hmp_core.errors import InvalidInput, NotFound


class Said:
    """The words of one run; nothing of it is on the disk before the run is sealed.

    Parameters
    ----------
    spec
        What was known when it began.
    project, workspace
        Where it is recorded.
    """

    def __init__(self, spec: RunSpec, project: Path, workspace: Path) -> None:
        self.spec = spec
        self._workspace = workspace
        self.parameters: dict[tuple[str, str], dict[str, Any]] = {}
        self.metrics: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.tags: dict[str, None] = dict.fromkeys(spec.tags)
        self._items = as_inputs(spec.inputs)
        self._inputs = describe(self._items, workspace)
        self._tracked: list[dict[str, Any]] = []
        self.environment = capture(project) | solver_facts(spec, workspace)

    def restate(self, **about: Any) -> None:
        """Say anew what was said when the run began, as ``crs="EPSG:2154"``."""
        self.spec = replace(self.spec, **about)

    def reset_parameter(self, name: str, value: Any, *, unit: str | None, zone: str) -> None:
        """Set a parameter that was set before."""
        if (name, zone) not in self.parameters:
            known = sorted(each for each, _ in self.parameters)
            message = f"there is no parameter {name!r} in zone {zone!r}; there is {', '.join(known) or 'none'}"
            raise NotFound(message, reference=str(name), candidates=known)
        unit = self.parameters[name, zone]["unit"] if unit is None else unit
        self.parameters[name, zone] = parameter_facts(name, value, unit=unit, zone=zone)

    def retag(self, tag: str, *, on: bool) -> bool:
        """Add a tag or take one away; return whether that changed anything."""
        (name,) = tag_names([tag])
        had = name in self.tags
        if on:
            self.tags[name] = None
        else:
            self.tags.pop(name, None)
        return had != on

    def correct_environment(self, facts: Mapping[str, Any]) -> None:
        """Say something of the environment that was captured otherwise, or not at all."""
        known = self.environment
        if unknown := sorted(facts.keys() - known.keys()):
            message = f"the environment of a run has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            raise InvalidInput(message)
        known.update(plain(facts, "environment"))

    # ── files ────────────────────────────────────────────────────────────────────────────────────────

    def consume(self, *items: Any) -> None:
        """Say what the run consumed."""
        inputs = [*self._items, *items]
        self._inputs = describe(inputs, self._workspace)
        self._items = inputs

    def track(self, files: Any, role: str) -> None:
        """Say which files belong to the run besides its inputs."""
        if word(role, "role") == "input":
            message = "role is 'input': what a run consumed is said with input(), or write_provenance()"
            raise InvalidInput(message)
        new = [facts | {"role": role} for facts in describe(as_inputs(files), self._workspace)]
        known = {(facts["role"], facts["path"]): facts for facts in [*self._tracked, *new]}
        self._tracked = list(known.values())

    def untrack(self, path: Any, role: str) -> None:
        """Take back that a file belongs to the run."""
        text = str(path)
        there = [facts for facts in self._tracked if facts["role"] == role]
        wanted = [facts for facts in there if text in {facts["path"], str(self._workspace / facts["path"])}]
        if not wanted:
            known = [facts["path"] for facts in there]
            message = f"{text} is not tracked as {role!r}; there is {', '.join(known) or 'nothing'}"
            raise NotFound(message, reference=text, candidates=known)
        self._tracked = [facts for facts in self._tracked if facts not in wanted]

    def ordered(self) -> list[dict[str, Any]]:
        """Return the parameters by name and zone, in whichever order they were said."""
        return [self.parameters[key] for key in sorted(self.parameters)]

    def files(self) -> list[dict[str, Any]]:
        """Return what the run consumed, and what belongs to it besides."""
        return self._inputs + self._tracked
