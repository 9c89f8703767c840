"""How the engine of a process is set up before anything is attached to it."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


def config() -> dict[str, Any]:
    """Return what DuckDB must know when it is started."""
    return {
        # an extension that is looked for in vain costs 0.5 to 3.8 s
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": _spill(),
    }


def _spill() -> str:
    """Return where what does not fit into memory goes: not into the folder that the user happens to be in."""
    try:
        return str(Path(tempfile.gettempdir()) / f"hmp-{secrets.token_hex(8)}")
    except FileNotFoundError:
        return ""  # no disk of this machine has room for a byte; then all must fit into memory


#: What it is told once it runs; the second is silently ignored when it starts (1.5.6).
STATEMENTS = (
    "SET GLOBAL TimeZone = 'UTC'",
    # each checkpoint tries it on whole row groups of text: at 80,000 rows 270 ms a lease, without it 27 ms, and half
    # as much again on the disk (measured on 1.5.6)
    "SET GLOBAL disabled_compression_methods = 'dict_fsst'",
)

#: Read by DuckDB 1.5 and 2.x alike; blocks of 16 KiB make a small catalog ten times smaller (measured).
_CREATE_OPTIONS = "TYPE duckdb, STORAGE_VERSION 'v1.5.0', BLOCK_SIZE 16384"


def entering(path: Path, alias: str, *, write: bool, new: bool, left: bool) -> Iterator[str]:
    """Yield what attaches a database file, or makes it; ``left`` tells that a dead process left something to replay."""
    options = (_CREATE_OPTIONS if new else "TYPE duckdb") + ("" if write else ", READ_ONLY")
    literal = str(path).replace("'", "''")
    yield f"ATTACH '{literal}' AS {alias} ({options})"
    yield f"USE {alias}"
    if left:
        # a detach after a replay wrote the rows and not their index entries: lookups missed them (1.5.6)
        yield f"CHECKPOINT {alias}"


#: Seconds between two tries to attach what was detached a moment ago.
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def run(execute: Callable[[str], Any], statements: Iterable[str], error: type[Exception]) -> None:
    """Run statements; one that meets a database which this process has just detached is tried again.

    While other threads ask other databases, the engine lets go of what was detached a moment later (1.5.6: once in
    4,000 leases of sixteen threads on three databases).
    """
    for statement in statements:
        for pause in (*_PAUSES, None):
            try:
                execute(statement)
                break
            except error as refused:
                if pause is None or "already attached by database" not in str(refused):
                    raise
                time.sleep(pause)


@contextlib.contextmanager
def no_checkpoint(connection: Any) -> Iterator[None]:
    """Let a file be detached as it is: a checkpoint would remove the WAL at its path, which may be another's by now."""
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    try:
        yield
    finally:
        connection.execute("PRAGMA enable_checkpoint_on_shutdown")
