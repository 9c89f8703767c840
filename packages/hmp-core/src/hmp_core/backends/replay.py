"""What a process that died had committed and not yet written into its database: the next to open it replays that."""

from __future__ import annotations

from pathlib import Path


def is_left(database: Path) -> bool:
    """Return whether something will be replayed."""
    try:
        return database.with_name(f"{database.name}.wal").stat().st_size > 0
    except OSError:
        return False
