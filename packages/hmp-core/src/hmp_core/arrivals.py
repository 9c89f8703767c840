"""Word for the machine index: a workspace was made or opened to work in, and this is where it lies.

The scopes do not know the index, nor wait for it: a small file in ``arrivals`` beside it says where a workspace is, and
the index takes it in when it is next asked. Best effort: whoever opens a workspace never fails for it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hmp_core.errors import HmpError
from hmp_core.identity import sha256_bytes
from hmp_core.layout import state_home, workspace_root

_log = logging.getLogger(__name__)

FOLDER = "arrivals"

#: Longer than any path; what is larger was not written here.
_LARGEST = 65536
_OFF = {"0", "false", "no", "off"}


class _Told:
    """What this process has said: of where, and to which state folder; and whether it had to say that it could not."""

    def __init__(self) -> None:
        self.places: set[tuple[str, str]] = set()
        self.complained = False


_told = _Told()


def announce(place: Path) -> None:
    """Leave word that the workspace at or above ``place`` is in use; once a process and workspace.

    Nothing is said where there is no workspace, or with ``HMP_AUTO_REGISTER_WORKSPACE=0``. What goes wrong is logged.
    The first time costs some 0.1 ms (a file of a line, not flushed: a lost one is written again by the next process),
    any other time next to nothing.
    """
    if os.environ.get("HMP_AUTO_REGISTER_WORKSPACE", "1").strip().lower() in _OFF:
        return
    key = (os.environ.get("HMP_STATE_HOME", ""), str(place))
    if key in _told.places:
        return
    root = workspace_root(place)
    if root is None:
        return
    _told.places.add(key)
    try:
        _write(state_home() / FOLDER, os.path.realpath(root))
    except (OSError, ValueError, HmpError) as error:  # HMP_STATE_HOME may name what can be no place
        complain = _log.debug if _told.complained else _log.warning
        _told.complained = True
        complain("%s was not announced to the machine index: %s", root, error)


def tell_again() -> None:
    """Let this process leave word of every workspace once more, since one was taken off the list."""
    _told.places.clear()


def _write(folder: Path, path: str) -> None:
    said = json.dumps({"path": path}).encode()
    name = f"{sha256_bytes(os.fsencode(path))[:16]}.json"
    file = os.path.join(folder, name)
    if _is_said(file, said):
        return
    beside = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        _put(beside, said)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        _put(beside, said)
    os.replace(beside, file)


def _put(file: str, said: bytes) -> None:
    with open(file, "xb", buffering=0) as stream:
        stream.write(said)


def _is_said(file: str, said: bytes) -> bool:
    try:
        with open(file, "rb", buffering=0) as stream:
            return stream.read(_LARGEST) == said
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Arrival:
    """Word that was left."""

    file: Path
    #: where the workspace was; None where the file says nothing that can be understood
    path: Path | None


def waiting(home: Path) -> Sequence[Arrival]:
    """Return the word that was left in a state folder, in the order of its files; it is not taken away.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    try:
        with os.scandir(home / FOLDER) as entries:
            files = sorted(entry.path for entry in entries if entry.name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Arrival(Path(file), _said(Path(file))) for file in files]


def _said(file: Path) -> Path | None:
    try:
        with file.open("rb") as stream:
            told = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError) as error:  # the latter where brackets go too deep
        _log.info("%s says nothing: %s", file, error)
        return None
    path = told.get("path") if isinstance(told, Mapping) else None
    return Path(path) if isinstance(path, str) and os.path.isabs(path) else None
