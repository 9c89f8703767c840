"""What a writer that died left: its open shards are closed, its runs are called interrupted; nothing acknowledged goes.

State of a run: ``running`` from its row on, ended by one update. Whoever takes the session for writing knows that
nobody else writes: a run that has not ended then never will.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from typing import Any

from hmp_catalog.acquisition.fields import Ranges, placed_of
from hmp_catalog.acquisition.records import INTERRUPTED
from hmp_catalog.acquisition.session import SQL, Session, array_of
from hmp_catalog.acquisition.stack import PER_SHARD, Kind, described, recover, shard_file
from hmp_catalog.errors import LostFrames
from hmp_core.durable import translated, write_atomic

_log = logging.getLogger(__name__)

_REASON = "its writer ended without a word"
_OPEN = re.compile(r"\.open-\d+")


def interrupt_dead_runs(session: Session) -> list[str]:
    """Close what dead writers left of the runs of a session that is open for writing, and return these runs."""
    found = [row[0] for row in session.backend.fetch_all(SQL["unended_runs"])]
    for uid in found:
        _close_fields(session, uid)
        counts = session.backend.fetch_all(SQL["counts"], [uid])
        last = max((row[2] for row in counts if row[2] is not None), default=time.time())
        by_stream = {name: count for name, count, _ in counts}
        ended = [last, INTERRUPTED, _REASON, sum(by_stream.values()), json.dumps(by_stream), uid]
        with session.backend.transaction():
            session.backend.execute(SQL["end_run"], ended)
    return found


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
    except LostFrames as error:
        # they were acknowledged: `verify` goes on naming them, and nothing else waits for them
        _log.error("run %s, field %s: %s", uid, name, error)
        return
    with session.backend.transaction():
        ranges.write(session.backend, uid, name, kind)


def _drop_tails(session: Session, uid: str) -> None:
    """Remove shards of which nothing was acknowledged, and let arrays end where the last acknowledged frame does."""
    run = session.zarr / "runs" / uid
    for file in run.glob("*/zarr.json"):
        folder = file.parent
        (stop,) = session.backend.fetch_one(
            "SELECT coalesce(max(stop), 0) FROM frames WHERE zarr_group = $1", [array_of(uid, folder.name)]
        ) or (0,)
        waits = session.backend.fetch_one(
            "SELECT count(*) FROM frames_open WHERE run_uid = $1 AND field_name = $2", [uid, folder.name]
        )
        if waits != (0,):
            continue  # its frames are lost for now: nothing of it is removed
        beyond = shard_file(folder, -(-stop // PER_SHARD))
        with translated(folder):
            for left in [*(p for p in folder.iterdir() if _OPEN.fullmatch(p.name)), beyond]:
                left.unlink(missing_ok=True)
        said = json.loads(file.read_bytes())
        if said["shape"][0] != stop:
            write_atomic(file, json.dumps(described(stop, Kind.read(folder)), indent=2).encode())
