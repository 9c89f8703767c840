"""``hmp experiment``: the training runs of a folder and their templates from the command line."""

from __future__ import annotations

import click

from hmp_catalog.verbs.experiments import ask, keep, shelve


@click.group()
def group() -> None:
    """Training runs: list, rank, show, export, replay, and the templates of pipelines."""


for _room in (ask, keep, shelve):
    for _name, _verb in vars(_room).items():
        if isinstance(_verb, click.Command) and not _name.startswith("_"):  # those are verbs of a group of their own
            group.add_command(_verb)
