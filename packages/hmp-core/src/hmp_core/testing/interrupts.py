"""Where a Ctrl-C strikes: `KeyboardInterrupt` at the n-th line that a process runs of the rooms that write.

The interpreter raises it between any two of its instructions, so also in the midst of what gives something back. What
comes after tells whether the same process can go on working.
"""

from __future__ import annotations

import contextlib
import dis
import os
import sys
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType
from typing import Any

from hmp_core.backends import duckdb
from hmp_core.locks import database_lock, try_flock
from hmp_core.testing.faults import ROOMS

_HOME = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}{os.sep}"


def interrupted(act: Callable[[], Any], at: int) -> tuple[list[str], bool]:
    """Run ``act`` and interrupt it at its step ``at``, counted from 1; 0 never does.

    Returns
    -------
    tuple
        The steps taken, each as ``events/log.py:104 write``, and whether the interrupt came out of ``act``.
    """
    taken: list[str] = []

    def step(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        ours = name.startswith(_HOME) and name[len(_HOME) :].startswith(ROOMS)
        if not ours and name != contextlib.__file__:
            return None
        if event == "line" and frame.f_lasti not in _never(frame.f_code):
            taken.append(f"{os.path.relpath(name, _HOME)}:{frame.f_lineno} {frame.f_code.co_name}")
            if len(taken) == at:
                raise KeyboardInterrupt
        return step

    sys.settrace(step)
    try:
        act()
    except KeyboardInterrupt:
        return taken, True
    finally:
        sys.settrace(None)
    return taken, False


@cache
def _never(code: CodeType) -> frozenset[int]:
    """Return where tracing stops and no signal ever strikes: at a bare ``try:``, and before the end of a ``with``.

    The interpreter looks for signals after calls and jumps backwards, and at the start of a function (CPython 3.11).
    """
    found = list(dis.get_instructions(code))
    never = {each.offset for each in found if each.opname == "NOP"}
    for n in range(len(found) - 2):
        if all(_is_none(each) for each in found[n : n + 3]):
            never |= {found[n].offset, *(each.offset for each in found[max(0, n - 1) : n] if each.opname == "SWAP")}
    return frozenset(never)


def _is_none(instruction: dis.Instruction) -> bool:
    return instruction.opname == "LOAD_CONST" and instruction.argval is None


def left_behind(database: os.PathLike[str]) -> list[str]:
    """Return what this process still has of a database that it should have let go, each as a sentence."""
    found = []
    lock = database_lock(database)  # type: ignore[arg-type]
    if lock.held or lock._thread._is_owned():
        found.append("it counts itself as the holder of the lock")
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(lock.path, os.O_RDONLY)
        if not try_flock(descriptor):
            found.append("the kernel's lock is held")
        os.close(descriptor)
    if duckdb._leases._stack.entries:
        found.append("a lease is open")
    names = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
    cursor = duckdb._instance.cursor()
    found += [f"{name} is attached" for (name,) in cursor.execute(names).fetchall()]
    cursor.close()
    return found
