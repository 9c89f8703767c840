"""``hmp data``: the inputs of a workspace from the command line."""

from __future__ import annotations

import click

from hmp_cache.verbs import ask, carry, fate, keep, obtain
from hmp_cache.verbs.words import FROZEN


@click.group()
@click.option("--frozen", is_flag=True, help="Only what hydromodpy.lock names, in exactly those bytes; write nothing.")
@click.pass_context
def group(context: click.Context, frozen: bool) -> None:  # noqa: FBT001
    """The input cache of a workspace: add, fetch, find."""
    context.meta[FROZEN] = True if frozen else None


for _room in (obtain, ask, keep, fate, carry):
    for _verb in vars(_room).values():
        if isinstance(_verb, click.Command):
            group.add_command(_verb)
