"""``hmp data``: the inputs of a workspace from the command line."""

from __future__ import annotations

import click

from hmp_cache.verbs import ask, carry, keep, obtain


@click.group()
def group() -> None:
    """The input cache of a workspace: add, fetch, find."""


for _room in (obtain, ask, keep, carry):
    for _verb in vars(_room).values():
        if isinstance(_verb, click.Command):
            group.add_command(_verb)
