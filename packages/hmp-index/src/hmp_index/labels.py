"""What people call a workspace, noted in the workspace itself: it comes back where the whole list was lost.

The home of labels is ``workspaces.toml``; the note is a copy, in ``<workspace>/.hmp/label.json``, that travels with the
folder. Nothing depends on it, and where it cannot be written that is logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from hmp_core.databases import Database
from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import HmpError
from hmp_core.layout import cache_path
from hmp_index.roster import Listed

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

_log = logging.getLogger(__name__)

#: Longer than any label; what is larger was not written here.
_LARGEST = 65536


def note(line: Listed, auth: AuthBackend | None) -> None:
    """Note in a workspace what it is called, if its authority lets this user write there; never raises.

    Parameters
    ----------
    auth
        Who is asked; None for whom the workspace or the environment names.
    """
    cache = Database("cache", cache_path(line.path))
    try:
        if (cache.auth() if auth is None else auth).can_write(cache.resource) is not True:
            _log.info("%s: its label is not noted there, which this user may not write", line.path)
            return
        make_folder(_file(line.path).parent)
        write_atomic(_file(line.path), json.dumps({"label": line.label, "of": str(line.id)}).encode())
    except (HmpError, OSError) as error:
        _log.info("%s: its label is not noted there: %s", line.path, error)


def noted(line: Listed, *, copied: bool) -> str | None:
    """Return what a workspace says that it is called, None if it says nothing.

    Parameters
    ----------
    copied
        Whether it is a copy: then only what was noted of the copy itself counts, for the note came along.
    """
    try:
        with _file(line.path).open("rb") as stream:
            told = json.loads(stream.read(_LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        _log.info("%s says nothing: %s", _file(line.path), error)
        return None
    if not isinstance(told, Mapping) or (copied and told.get("of") != str(line.id)):
        return None
    label = told.get("label")
    return label if is_label(label) else None


def is_label(label: object) -> TypeGuard[str]:
    """Return whether a workspace can be called so: by text with something to see, which a file can hold."""
    if not isinstance(label, str) or not label.strip():
        return False
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True


def _file(workspace: Path) -> Path:
    return workspace / ".hmp" / "label.json"
