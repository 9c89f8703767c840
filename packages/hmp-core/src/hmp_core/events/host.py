"""Which host folds the databases of a workspace, where not every one may: the others append, and read what is folded.

``workspace.toml`` names it::

    [fold]
    host = "node1"

``HMP_FOLD`` wins over it: ``never`` forbids this process to fold, ``always`` lets it.
"""

from __future__ import annotations

import os
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hmp_core.errors import InvalidInput
from hmp_core.layout import WORKSPACE_MARKER, marker_remedy, root_id


@dataclass(frozen=True, slots=True)
class _Said:
    """What a marker says, as it was when it was read."""

    marker: str
    mark: tuple[int, int, int]
    host: str
    trouble: str


#: Folder -> what the marker above it said: a question costs a `stat`.
_known: dict[str, _Said] = {}


def why_not_fold(database: Path | None = None) -> str:
    """Return why this process may not fold ``database``; empty if it may.

    Without a database only the environment is asked.

    Raises
    ------
    InvalidInput
        If ``HMP_FOLD`` is neither ``never`` nor ``always`` nor empty: who wrote ``no`` did not mean "fold".
    """
    wanted = os.environ.get("HMP_FOLD", "")
    match wanted.lower():
        case "never":
            return "HMP_FOLD=never"
        case "always":
            return ""
        case "":
            pass
        case _:
            message = f"HMP_FOLD is {wanted!r}; expected 'never' (this process does not fold), 'always', or nothing"
            raise InvalidInput(message)
    said = _above(database.parent) if database is not None else None
    if said is None:
        return ""
    if said.trouble:
        return said.trouble
    if not said.host or is_this(said.host):
        return ""
    return f"{said.marker} says that {said.host} folds, and this is {socket.gethostname()}"


def is_decided(folder: Path) -> bool:
    """Return whether the environment or the workspace around ``folder`` says who folds there."""
    if os.environ.get("HMP_FOLD", "").lower() in {"never", "always"}:
        return True
    said = _above(folder)
    return said is not None and bool(said.host)


def fold_host(folder: Path) -> str | None:
    """Return the host that the workspace around ``folder`` names; None if it names none."""
    said = _above(folder)
    return said.host or None if said is not None else None


def is_this(host: str) -> bool:
    """Return whether this machine goes by ``host``: in full, or without the domain where either has none."""
    ours, theirs = socket.gethostname().lower(), host.lower()
    if "." in ours and "." in theirs:
        return ours == theirs
    return ours.partition(".")[0] == theirs.partition(".")[0]


def _above(folder: Path) -> _Said | None:
    real = os.path.realpath(folder)
    known = _known.get(real)
    if known is not None and _mark(known.marker) == known.mark:
        return known
    marker = next((m for p in (real, *map(str, Path(real).parents)) if _mark(m := _marker(p))), None)
    if marker is None:
        _known.pop(real, None)
        return None
    _known[real] = _read(marker)
    return _known[real]


def _marker(folder: str) -> str:
    return os.path.join(folder, WORKSPACE_MARKER)


def _mark(marker: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(marker)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(marker: str) -> _Said:
    mark = _mark(marker) or (0, 0, 0)
    try:
        said = tomllib.loads(Path(marker).read_bytes().decode())
        root_id(said)
        host = said.get("fold", {}).get("host", "")
    except (OSError, ValueError, AttributeError) as error:
        # who may fold is not known: a fold can wait, two at once cannot be undone
        remedy = marker_remedy(Path(marker)) if isinstance(error, ValueError) else "mend it"
        return _Said(marker, mark, "", f"{marker} cannot be read ({error}), so that who folds is not known; {remedy}")
    if not isinstance(host, str):
        return _Said(marker, mark, "", f'{marker}: [fold] host is {host!r}, expected a name as "node1"')
    return _Said(marker, mark, host, "")


def folding_is_off(database: Path | None = None) -> bool:
    """Return whether this process may not fold ``database``."""
    return bool(why_not_fold(database))
