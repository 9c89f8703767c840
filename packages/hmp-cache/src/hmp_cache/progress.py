"""Telling how far downloads are: bars on a terminal, nothing elsewhere, or whatever the caller makes of each step."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hmp_cache.addresses import file_name, public

#: Bytes of a download below which a bar would be gone before it is seen.
_LONG = 4 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """How far one download is."""

    #: as it is kept: without what lets somebody in
    uri: str
    bytes: int
    #: None where the server does not say
    total: int | None = None
    #: of several downloads: how many are done, one way or the other, and of how many
    done: int = 0
    of: int = 1


#: What is told of each step; it may be told from several threads at once.
Progress = Callable[[Step], None]


@contextlib.contextmanager
def shown(progress: bool | Progress | None) -> Iterator[Progress | None]:  # noqa: FBT001 - also what a user passes
    """Give what is to be told of each step.

    Parameters
    ----------
    progress
        True: bars on the terminal, if there is one; a function: that function; False or None: nothing.
    """
    if callable(progress):
        yield progress
    elif progress and sys.stderr.isatty():
        with _Bars() as bars:
            yield bars.step
    else:
        yield None


@contextlib.contextmanager
def telling(uri: str, progress: bool | Progress | None) -> Iterator[Callable[[int, int | None], None] | None]:  # noqa: FBT001
    """Give what one download tells: how many bytes are there, and of how many; see `shown`."""
    with shown(progress) as told:
        address = public(str(uri))
        yield None if told is None else lambda count, total: told(Step(address, count, total))


class _Bars:
    """A bar for each long download, and one for all where there are several."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, Any] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def step(self, step: Step) -> None:
        """See `Progress`."""
        with self._guard:
            if step.of > 1:
                self._of_all(step)
            task = self._tasks.get(step.uri)
            if task is None and (step.total or step.bytes) > _LONG and step.bytes != step.total:
                task = self._tasks[step.uri] = self._bars.add_task(file_name(step.uri), total=step.total)
            if task is not None:
                self._bars.update(task, completed=step.bytes, visible=step.bytes != step.total)

    def _of_all(self, step: Step) -> None:
        if "" not in self._tasks:
            self._tasks[""] = self._bars.add_task("", total=None)
        self._bars.update(self._tasks[""], description=f"{step.done} of {step.of}", total=None)
