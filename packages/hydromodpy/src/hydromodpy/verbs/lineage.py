"""``hmp lineage``: from what a user names to the graph of it, and the runs whose inputs have changed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.errors import AmbiguousReference, HmpError, NotFound, PathEscape
from hmp_core.layout import workspace_root
from hmp_core.paths import to_relative
from hydromodpy.verbs.places import here, nothing, projects_around

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hydromodpy.graph import Graph

_GRAPHS = ("tree", "json", "dot")
_LISTS = ("table", "json", "csv")


@click.command()
@click.argument("reference", required=False)
@click.option("-p", "--project", default=None, help="The project; by default those of the workspace around here.")
@click.option("--stale", "only_stale", is_flag=True, help="List the runs whose inputs have changed since.")
@click.option("--everywhere", is_flag=True, help="With --stale: in every registered workspace.")
@click.option(
    "--format",
    "form",
    type=click.Choice(dict.fromkeys((*_GRAPHS, *_LISTS))),
    default=None,
    help=f"A graph as {', '.join(_GRAPHS)}; a list as {', '.join(_LISTS)}.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--dot", "as_dot", is_flag=True, help="The same as --format dot, for Graphviz.")
def lineage(reference: str | None, project: str | None, only_stale: bool, everywhere: bool, **said: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Draw how REFERENCE came to be and what came of it: a run, an input, or a file of the workspace.

    Exit 1 if something could not be asked; with --stale also if there is such a run.
    """
    if only_stale == (reference is not None):
        message = "name a run, an input or a file, or ask for --stale; one of them"
        raise click.UsageError(message)
    if everywhere and not only_stale:
        message = "--everywhere goes with --stale; what came of an input is always looked for everywhere"
        raise click.UsageError(message)
    if only_stale:
        form = _form(_LISTS, **said)
        _stale([] if everywhere and project is None else projects_around(project), everywhere=everywhere, form=form)
    elif reference is not None:
        form = _form(_GRAPHS, **said)
        _draw(_Sought(reference, projects_around(project)).graph(), form)


def _form(allowed: tuple[str, ...], *, form: str | None, as_json: bool, as_dot: bool) -> str:
    wanted = {each for each, on in ((form, form), ("json", as_json), ("dot", as_dot)) if each and on} or {allowed[0]}
    found = wanted.pop()
    if wanted or found not in allowed:
        message = f"this can be told as {', '.join(allowed)}: choose one"
        raise click.UsageError(message)
    return found


def _draw(graph: Graph, form: str) -> None:
    click.echo({"tree": graph.to_text, "json": graph.to_json, "dot": graph.to_dot}[form]())
    _finish(graph.skipped, found=False)


def _finish(skipped: Mapping[str, str], *, found: bool) -> None:
    for place, reason in skipped.items():
        notice(f"{place}: {reason}")
    if skipped or found:
        raise click.exceptions.Exit(1)


# ── what was named ───────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Sought:
    """What a user named: looked for among the runs, then the inputs, then the files."""

    reference: str
    where: list[Path]
    #: why it was not found where it was looked for
    _missed: list[str] = field(default_factory=list)
    #: what could not be looked into
    _skipped: dict[str, str] = field(default_factory=dict)
    _near: list[str] = field(default_factory=list)

    def graph(self) -> Graph:
        """Return the graph of what was named.

        Raises
        ------
        NotFound, AmbiguousReference
            If nothing goes by it, or several things do.
        """
        found = self._of_runs()
        if found is None:
            workspace = workspace_root(self.where[0] if self.where else here())
            found = None if workspace is None else self._of_input(workspace) or self._of_file(workspace)
        if found is None:
            raise self._nothing()
        found.skipped |= self._skipped
        return found

    def _of_runs(self) -> Graph | None:
        found = {}
        for project in self.where:
            try:
                graph = self._of_run(project)
            except HmpError as error:
                if len(self.where) == 1 or isinstance(error, AmbiguousReference):
                    raise
                self._skipped[str(project)] = str(error)
                continue
            if graph is not None:
                found[project.name] = graph
        if len(found) > 1:
            message = f"{self.reference!r} is a run in {', '.join(found)}; say which with --project"
            raise AmbiguousReference(message, reference=self.reference, candidates=list(found))
        return next(iter(found.values()), None)

    def _of_run(self, project: Path) -> Graph | None:
        from hmp_catalog.door import open as open_catalog
        from hydromodpy.lineage import of_run

        with open_catalog(project) as catalog:
            try:
                graph = of_run(catalog[self.reference])
            except NotFound as error:
                self._missed.append(" ".join([str(error), *getattr(error, "__notes__", ())]))
                self._near += error.candidates
                return None
            if catalog.notice:
                graph.skipped[str(project)] = f"the answer is not complete: {catalog.notice}"
            return graph

    def _of_input(self, workspace: Path) -> Graph | None:
        from hmp_cache import InputsNamespace
        from hydromodpy.lineage import of_entry

        with InputsNamespace(workspace, frozen=False) as cache:
            for reference in (self.reference, self._inside(workspace)):
                try:
                    if reference is not None:
                        version = re.fullmatch("[0-9a-f]{64}", reference)
                        return of_entry(cache.artifact(reference) if version else cache[reference])
                except NotFound as error:
                    self._missed.append(str(error))
                    self._near += error.candidates
        return None

    def _of_file(self, workspace: Path) -> Graph | None:
        from hydromodpy.lineage import of_file

        kept = self._inside(workspace)
        return None if kept is None else of_file(workspace / kept, workspace)

    def _inside(self, workspace: Path) -> str | None:
        """Return what was named as a path in the workspace; None if there is no such file."""
        for place in (Path.cwd() / self.reference, workspace / self.reference):
            try:
                if place.exists():
                    return to_relative(place, workspace)
            except (OSError, ValueError, PathEscape):  # no name of a file at all, or one outside
                continue
        return None

    def _nothing(self) -> NotFound:
        if not self._missed:
            return nothing(self.reference)
        told = "; ".join(dict.fromkeys([*self._missed, *(f"{k}: {v}" for k, v in self._skipped.items())]))
        message = f"neither a run nor an input: {told}"
        return NotFound(message, reference=self.reference, candidates=self._near)


# ── what must be run again ───────────────────────────────────────────────────────────────────────────


def _stale(where: list[Path], *, everywhere: bool, form: str) -> None:
    from hydromodpy.bridge import stale

    found = stale(where, everywhere=everywhere)
    rows = [
        {"workspace": each.workspace.name, "project": each.project.name, "sim_id": each.sim_id, "name": each.name}
        | {"because": each.because}
        for each in found
    ]
    emit(rows, ["workspace", "project", "sim_id", "name", "because"], form=form)
    _finish(found.skipped, found=bool(found))
