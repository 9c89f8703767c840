"""``hmp acquisition``: measuring sessions from the command line."""

from __future__ import annotations

import click

from hmp_catalog.verbs.acquisition import ask, keep


@click.group()
def group() -> None:
    """Measuring sessions: list, show, follow, check, clear, export."""


for _room in (ask, keep):
    for _verb in vars(_room).values():
        if isinstance(_verb, click.Command):
            group.add_command(_verb)
