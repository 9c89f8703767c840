"""``hmp catalog``: the simulations of a project from the command line."""

from __future__ import annotations

import click

from hmp_catalog.verbs import ask, calibrate, carry, flow, keep, observe, oversee, record, watch


@click.group()
def group() -> None:
    """The simulations of a project: list, show, find, tag, keep."""


for _room in (record, ask, observe, calibrate, flow, carry, keep, oversee, watch):
    for _name, _verb in vars(_room).items():
        if isinstance(_verb, click.Command) and not _name.startswith("_"):  # those are verbs of a group of their own
            group.add_command(_verb)
