"""What a writer that died left: its open shards are closed, its runs are called interrupted; nothing acknowledged goes.

State of a run: ``running`` from its row on, ended by one update. Whoever takes the session for writing knows that
nobody else writes: a run that has not ended then never will.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from pathlib import Path
from typing import Any

from hmp_catalog.acquisition.fields import Ranges, placed_of
from hmp_catalog.acquisition.records import INTERRUPTED
from hmp_catalog.acquisition.session import SQL, Session, array_of
from hmp_catalog.acquisition.stack import Kind, described, length, recover, shard_file
from hmp_core.durable import translated, write_atomic
from hmp_core.errors import CorruptError

_log = logging.getLogger(__name__)

_REASON = "its writer ended without a word"
#: Shards that were never closed, and what a process that died in the midst of `write_atomic` left.
_LEFT = re.compile(r"\.open-\d+|\.zarr\.json\.[0-9a-f]+\.tmp")


def interrupt_dead_runs(session: Session) -> list[str]:
    """Close what dead writers left of the runs of a session that is open for writing, and return these runs."""
    found = session.backend.fetch_all(SQL["unended_runs"])
    for uid, began, owner in found:
        if owner is not None:  # else an earlier version wrote it, whose frames are complete files
            _close_fields(session, uid)
        counts = session.backend.fetch_all(SQL["counts"], [uid])
        last = max((row[2] for row in counts if row[2] is not None), default=began)
        by_stream = {name: count for name, count, _ in counts}
        ended = [last, INTERRUPTED, _REASON, sum(by_stream.values()), json.dumps(by_stream), uid]
        with session.backend.transaction():
            session.backend.execute(SQL["end_run"], ended)
    return [row[0] for row in found]


def _close_fields(session: Session, uid: str) -> None:
    rows = session.backend.fetch_all(SQL["open_frames"], [uid])
    for name, group in itertools.groupby(rows, key=lambda row: str(row[0])):
        _close_field(session, uid, name, [row[1:] for row in group])
    _drop_tails(session, uid)


def _close_field(session: Session, uid: str, name: str, rows: list[tuple[Any, ...]]) -> None:
    folder = session.zarr / array_of(uid, name)
    try:
        kind = Kind.read(folder)
        ranges = Ranges()
        for row, frame in zip(rows, recover(folder, kind, placed_of(rows)), strict=True):
            ranges.add(row[0], row[4], row[5], frame.data)
    except CorruptError as error:
        # they were acknowledged: `verify` goes on naming them, and nothing else waits for them
        _log.error("run %s, field %s: %s", uid, name, error)
        return
    with session.backend.transaction():
        ranges.write(session.backend, uid, name, kind)


def _drop_tails(session: Session, uid: str) -> None:
    """Remove shards of which nothing was acknowledged, and let arrays end where the last acknowledged frame does."""
    run = session.zarr / "runs" / uid
    if not run.is_dir():
        return
    with translated(run):
        for place in sorted(run.iterdir()):
            if place.is_dir():
                _drop_tail(session, uid, place)
            elif _LEFT.fullmatch(place.name):
                place.unlink(missing_ok=True)


def _drop_tail(session: Session, uid: str, folder: Path) -> None:
    if session.backend.fetch_one(SQL["frames_waiting"], [uid, folder.name]) != (0,):
        return  # its frames are lost for now: nothing of it is removed
    (stop,) = session.backend.fetch_one(SQL["frames_end"], [array_of(uid, folder.name)]) or (0,)
    for left in folder.iterdir():
        if _LEFT.fullmatch(left.name):
            left.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
        return
    try:
        kind, count = Kind.read(folder), length(folder)
    except CorruptError as error:
        _log.error("run %s, field %s: %s", uid, folder.name, error)
        return
    shard_file(folder, -(-stop // kind.per_shard)).unlink(missing_ok=True)
    if count != stop:
        write_atomic(folder / "zarr.json", json.dumps(described(stop, kind, folder.name), indent=2).encode())
