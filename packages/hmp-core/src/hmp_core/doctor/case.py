"""One database as it is examined: where it is, what its log holds, and how a finding about it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hmp_core.backends.meanings import rebuild_command
from hmp_core.databases import UNLOGGED, Database
from hmp_core.doctor.findings import Code, Finding
from hmp_core.events.pending import LogFiles
from hmp_core.events.record import Event, Line, decode, is_torn
from hmp_core.layout import internal_folder

#: What the verbs of a scope are called, where it is not what the scope is called.
_VERBS = {"cache": "data", "experiments": "experiment"}


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log as it was read: its events, and the pieces that are none."""

    path: Path
    events: Sequence[Event]
    damaged: Sequence[Line]
    #: how many of its bytes could be told: what follows is cut short, and was never acknowledged
    end: int = 0


@dataclass
class Case:
    """A database that is examined.

    Parameters
    ----------
    database
        Which one.
    start
        Where the user stands.
    wait
        Seconds to wait for it, where somebody else uses it.
    """

    database: Database
    start: Path
    wait: float = 2.0
    #: seconds since 1970
    now: float = field(default_factory=time.time)

    @cached_property
    def path(self) -> Path:
        """Where the database lies, links followed."""
        return Path(os.path.realpath(self.database.path))

    @property
    def home(self) -> Path:
        """The folder of the database."""
        return self.path.parent

    @property
    def internal(self) -> Path:
        """The folder of the database's own files."""
        return internal_folder(self.path)

    @property
    def is_logged(self) -> bool:
        """Whether a log belongs to it: the index and experiments have none."""
        return self.database.component not in UNLOGGED

    @cached_property
    def files(self) -> LogFiles:
        """The files of its log."""
        return LogFiles(self.path)

    @cached_property
    def log(self) -> Sequence[LogFile]:
        """Every file of the log, read once."""
        if not self.is_logged:
            return ()
        return [read_log(path) for path in (*self.files.packed(), *self.files.segments())]

    def read_log_again(self) -> None:
        """Let the log be read again when it is asked for next: others go on working meanwhile."""
        self.__dict__.pop("log", None)

    def finding(self, code: Code, what: str, where: Path | None = None, *, remedy: str = "") -> Finding:
        """Return a finding about the database, or a file of it."""
        component = self.database.component
        verb = _VERBS.get(component, component)
        short = f"`hmp {verb} rebuild`"
        # a workspace has several projects: only the whole command is one that can be typed anywhere
        whole = f"`{rebuild_command(str(self.database.path)) or short.strip('`')}`"
        remedy = (remedy or code.remedy).replace("{verb}", verb).replace(short, whole)
        return code.at(where or self.database.path, what, verb=verb, remedy=remedy)


def read_log(path: Path) -> LogFile:
    """Return a file of the log as it is now."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # packed and removed meanwhile: its events are in a pack
        return LogFile(path, (), ())
    lines = list(decode(data))
    # cut short, the last line was never acknowledged; in a segment it may still be being written
    unfinished = path.parent.name == "pending" and lines and not data.endswith(b"\n")
    if lines and lines[-1].event is None and (is_torn(lines[-1]) or unfinished):
        lines.pop()
    events = [line.event for line in lines if line.event is not None]
    damaged = [line for line in lines if line.event is None]
    return LogFile(path, events, damaged, lines[-1].end if lines else 0)
