"""The group of all verbs: those of the installed scopes, and a hint for the others."""

from __future__ import annotations

from importlib.metadata import EntryPoints, entry_points

import click

from hmp_core.errors import MissingPart

#: What to install for a verb that is not there.
_HOME = {
    "acquisition": "hmp-catalog",
    "db": "hmp-core",
    "doctor": "hmp-core",
    "index": "hmp-index",
    "data": "hmp-cache",
    "catalog": "hmp-catalog",
    "demo": "hmp-hydromodpy",
    "experiment": "hmp-catalog",
    "init": "hmp-hydromodpy",
    "lineage": "hmp-hydromodpy",
}

_SUMMARY = {
    "acquisition": "Measuring sessions: list, show, follow, check, clear, export.",
    "db": "The databases: their state, upgrades, backups, checks and locks.",
    "doctor": "What is wrong with the databases and this machine, and what to do.",
    "index": "The machine index: find workspaces and simulations anywhere.",
    "data": "The input cache of a workspace: add, fetch, find.",
    "catalog": "The simulations of a project: list, show, find, tag.",
    "experiment": "Training runs: list, rank, show, export, replay, and the templates of pipelines.",
    "demo": "Calibrate a real catchment, from download to lineage.",
    "init": "Make a folder a workspace.",
    "lineage": "From a result back to the input bytes, and forward.",
}


def _points() -> EntryPoints:
    return entry_points(group="hmp.verbs")


class Verbs(click.Group):
    """Loads a verb's module when the verb is used, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs, installed or not."""
        return sorted({*_HOME, *(point.name for point in _points())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb, or one that says what to install."""
        for point in _points():
            if point.name == cmd_name:
                command: click.Command = point.load()
                return command
        return _absent(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        installed = {point.name for point in _points()}
        rows = [
            (name, _SUMMARY.get(name, "") + ("" if name in installed else f"  (install {_HOME[name]})"))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _absent(name: str) -> click.Command | None:
    package = _HOME.get(name)
    if package is None:
        return None
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}

    @click.command(name, context_settings=settings, add_help_option=False)
    def absent() -> None:
        message = f"`hmp {name}` is not installed here: install {package}"
        raise MissingPart(message, install=package)

    return absent


hmp = Verbs(
    name="hmp",
    help="Keep what a catchment modeller must not lose: inputs, simulations, and how one led to the other.",
    params=[click.Option(["--version"], is_flag=True, help="Show the installed packages and exit.")],
    no_args_is_help=True,
)
