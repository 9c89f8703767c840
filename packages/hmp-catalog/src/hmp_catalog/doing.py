"""What is half done: a file for each run that is being moved or purged, so that whoever opens next can finish it.

It lies in ``.hmp/catalog/doing/`` from before the first step until after the last, and holds the event that tells of
the whole. Every step can be made again, so that finishing is making all of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import CorruptError, PathTaken
from hmp_core.events import Event
from hmp_core.events.record import from_dict
from hmp_core.layout import internal_folder


@dataclass(frozen=True, slots=True)
class Doing:
    """Something that is being done to a run: to which, what, the event that tells of it, and the name of its folder."""

    verb: str
    sim_id: str
    folder: str
    event: dict[str, Any]
    #: what a certificate says beyond the event
    more: dict[str, Any] = field(default_factory=dict)

    def told(self) -> Event:
        """Return the event, as it was prepared."""
        return from_dict(self.event)


def begin(database: Path, doing: Doing) -> None:
    """Put on the disk what is about to be done."""
    make_folder(_home(database))
    write_atomic(_file(database, doing), json.dumps(asdict(doing)).encode())


def end(database: Path, doing: Doing) -> None:
    """Say that all of it is done."""
    file = _file(database, doing)
    with translated(file):
        file.unlink(missing_ok=True)
        fsync_folder(file.parent)


def is_half_done(database: Path) -> bool:
    """Return whether there is anything to finish; opens nothing."""
    try:
        with os.scandir(_home(database)) as entries:
            return any(entry.name.endswith(".json") and not entry.name.startswith(".") for entry in entries)
    except FileNotFoundError:
        return False


def half_done(database: Path) -> list[Doing]:
    """Return what was begun and not ended, in the order in which it was.

    Raises
    ------
    CorruptError
        If a file there is none of ours.
    """
    files = [file for file in _home(database).glob("*.json") if not file.name.startswith(".")]
    return sorted(map(_read, files), key=lambda doing: doing.told().stamp())


def _read(file: Path) -> Doing:
    try:
        doing = Doing(**json.loads(file.read_bytes()))
        doing.told()
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        message = f"{file} does not say what is half done ({error}); move it away, and see what `hmp doctor` finds"
        raise CorruptError(message, path=str(file)) from error
    return doing


def _home(database: Path) -> Path:
    return internal_folder(database) / "doing"


def _file(database: Path, doing: Doing) -> Path:
    return _home(database) / f"{doing.sim_id}.json"


def move(folder: Path, to: Path) -> None:
    """Move a folder, if it is still where it was; on the disk when this returns.

    Raises
    ------
    PathTaken
        If something is there already.
    """
    if not folder.exists():
        return
    if to.exists():
        message = f"{to} is there already; look what it is, and move it away"
        raise PathTaken(message, path=str(to))
    make_folder(to.parent)
    with translated(to):
        os.rename(folder, to)
        for home in {folder.parent, to.parent}:
            fsync_folder(home)
