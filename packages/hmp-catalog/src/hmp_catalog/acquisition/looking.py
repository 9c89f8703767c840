"""A session at one moment, as whoever looks after it sees it: what it says it has, and what lies beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.records import INTERRUPTED
from hmp_catalog.acquisition.session import ATTRIBUTE, STORE_ID, array_of
from hmp_catalog.acquisition.stack import Placed
from hmp_core.durable import refusal

#: What is lost or not what it was; what nobody needs, which `gc` removes; and what ended without a word.
LOST = ("lost-store", "foreign-store", "lost-array", "lost-frames", "damaged-frames", "damaged-database", "lost-events")
ORPHANS = ("orphan-run", "orphan-array", "orphan-tail")
UNCLOSED = "unclosed-run"

_UID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Finding:
    """Something about a session that somebody should know.

    Parameters
    ----------
    code
        Its kind: one of `LOST`, `ORPHANS`, or ``unclosed-run``.
    where
        The file or folder.
    what
        In a sentence.
    run, field, frames
        What it is about; ``frames`` are numbers in the array.
    """

    code: str
    where: Path
    what: str
    run: str | None = None
    field: str | None = None
    frames: tuple[int, ...] = ()

    @property
    def is_loss(self) -> bool:
        """Whether something is lost or damaged."""
        return self.code in LOST

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self) | {"where": str(self.where), "frames": list(self.frames)}


@dataclass
class Array:
    """The frames that a session says a field of a run has; ``count`` is where the last of them ends."""

    run: str
    field: str
    folder: Path
    ranges: list[tuple[int, int, str]] = dataclasses.field(default_factory=list)
    opened: list[Placed] = dataclasses.field(default_factory=list)
    kind: tuple[tuple[int, int], str] | None = None
    refs: int = 0

    @property
    def count(self) -> int:
        """How many frames lie in closed shards."""
        return max([self.refs, *(stop for _, stop, _ in self.ranges)])


@dataclass
class Looked:
    """A session at one moment: what lay in its Zarr group just before, and what its file says."""

    reading: Reading
    folders: dict[str, list[str]]
    runs: dict[str, str]
    arrays: dict[tuple[str, str], Array]
    store_id: str | None
    holes: list[tuple[Any, ...]]
    whole: str
    #: the runs of dead writers that nobody closed; those of older versions are never closed
    unended: list[str]


def look(reading: Reading, *, deep: bool = False) -> Looked:
    """Return what a session is at one moment.

    What lies there is listed first: a run has its row before it has its folder.

    Raises
    ------
    NotWritable
        If its folders are closed to this user.
    """
    folders = _listed(reading.zarr / "runs")
    with reading.snapshot():
        found = reading.runs()
        runs = {run["uid"]: run["status"] for run in found}
        dead = [run["uid"] for run in found if run["exit_status"] is None and run["status"] == INTERRUPTED]
        unended = dead if reading.knows_ranges else []
        said = dict(reading.ask("identity"))
        holes = reading.ask("holes")
        whole = "; ".join(str(row[0]) for row in reading.ask("whole")) if deep else "ok"
        arrays = _arrays(reading)
    return Looked(reading, folders, runs, arrays, said.get(STORE_ID), holes, whole, unended)


def _listed(runs: Path) -> dict[str, list[str]]:
    found = {}
    for name in _folders(runs):
        if _UID.fullmatch(name):
            found[name] = _folders(runs / name)
    return found


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise refusal(error) from error


def _arrays(reading: Reading) -> dict[tuple[str, str], Array]:
    found: dict[tuple[str, str], Array] = {}

    def array(run: str, name: str) -> Array:
        return found.setdefault((run, name), Array(run, name, reading.zarr / array_of(run, name)))

    for run, name, start, stop, height, width, dtype, sha256 in reading.ask("all_ranges"):
        one = array(run, name)
        one.ranges.append((start, stop, sha256))
        one.kind = ((height, width), dtype)
    for run, name, *placed in reading.ask("all_open"):
        array(run, name).opened.append(Placed(*placed))
    for run, name, group, count in reading.ask("all_refs"):
        one = array(run, name)
        one.refs = count
        one.folder = reading.zarr / group
    return found


def store_id_of(store: Path) -> str | None:
    """Return which session a Zarr group says it is of; None where it says nothing."""
    try:
        found = json.loads((store / "zarr.json").read_bytes())
        said: str | None = found["attributes"].get(ATTRIBUTE)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # it does not say, which is found where its arrays are
    return said


def length_of(folder: Path) -> int | None:
    """Return how many frames an array says it has; None where it is not there, or cannot be read."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return int(json.loads((folder / "zarr.json").read_bytes())["shape"][0])
    return None
