"""``hmp catalog watch``: what is running now."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.words import PROJECT, form, identity, reading
from hmp_core.cli.show import emit, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from rich.table import Table


@click.command()
@PROJECT
@click.option("--once", is_flag=True, help="Say what is running now, and stop.")
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds between looks."
)
@form
def watch(project: str | None, once: bool, interval: float, form: str) -> None:  # noqa: FBT001 - a flag of the line
    """Watch the simulations that are running: how long, and since when silent; Ctrl-C stops it.

    Those whose process has died are shown as interrupted.
    """
    from hmp_catalog.watch import COLUMNS

    if once or form != "table":
        rows = [row | {"sim_id": identity(row["sim_id"], form)} for row in _rows(project)]
        emit(rows, COLUMNS, form=form)
        return
    from rich.live import Live

    with _interruptible() as stopped, Live(_table(_rows(project)), auto_refresh=False) as live:
        while not stopped.wait(interval):
            live.update(_table(_rows(project)), refresh=True)
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Give what tells that Ctrl-C was pressed, also where Python drops the exception, as in a destructor."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        signal.default_int_handler(number, frame)

    former = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, former)


def _rows(project: str | None) -> list[dict[str, Any]]:
    from hmp_catalog.watch import open_runs

    with reading(project) as catalog:
        return open_runs(catalog)


def _table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    names = ("id", "name", "solver", "status", "running for", "silent for", "where")
    table = Table(*names, title=f"{len(rows)} open simulations", box=None)
    for row in rows:
        cells = (
            row["sim_id"][:8],
            row["name"] or "",
            row["solver"],
            row["status"],
            _span(row["age_s"]),
            _span(row["silent_s"]),
            f"{row['pid']} on {row['host']}",
        )
        style = "red" if row["status"] == "interrupted" else ""
        # a name like "[red]" is a name
        table.add_row(*(Text(plain(str(cell))) for cell in cells), style=style)
    return table


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
