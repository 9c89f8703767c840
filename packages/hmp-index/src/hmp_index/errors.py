"""What only the machine index can refuse; the tree is in `hmp_core.errors`."""

from __future__ import annotations

from hmp_core.errors import CorruptError, InvalidInput


class OtherWorkspace(InvalidInput):
    """The folder holds another workspace than the one that was meant; ``expected`` and ``found`` are their ids."""

    path: str
    expected: str
    found: str


class WorkspaceListCorrupt(CorruptError):
    """``workspaces.toml``, the home of the list of workspaces, cannot be read; it was left as it is."""
