"""A folder that came from elsewhere without a part of itself: told apart before missing files are read as empty cells.

Archives that keep no links (``shutil.make_archive`` to zip) hold ``zarr.json`` and empty folders beside the versions.
"""

from __future__ import annotations

import os

from hmp_catalog.datasets.history import documents
from hmp_catalog.datasets.history.layout import CURRENT, HIDDEN, ROOT, Layout, points_here
from hmp_core.errors import CorruptError


def refuse_broken(layout: Layout) -> None:
    """Refuse a copy that lost its links or its hidden folder, rather than take it for empty or for nothing.

    Raises
    ------
    CorruptError
        If what is said to be there is not.
    """
    why = _lost(layout)
    if why is not None:
        message = f"{layout.root} {why}"
        raise CorruptError(message, path=str(layout.root))


def _lost(layout: Layout) -> str | None:
    """Return what is missing and what helps; a commit that is under way, or died, is missing nothing."""
    root, found = layout.root / ROOT, layout.numbers()  # before `current`, which is there before the first of them
    if points_here(root, ROOT):
        if not layout.hidden.is_dir():
            return f"is a copy without the hidden folder {HIDDEN}; copy that one too"
        if found and not os.path.lexists(layout.hidden / CURRENT):
            return (
                f"has no link {HIDDEN}/{CURRENT}, and versions {found}; restore it from what it was copied from (the "
                f"data are in {layout.version(found[-1])}; 'ln -s {layout.version(found[-1]).name} current' beside it)"
            )
        if _leads_nowhere(layout):
            said = os.readlink(layout.hidden / CURRENT)
            return (
                f"has no version {said} in {HIDDEN}, which is the current one; restore it from what it was copied from"
            )
    elif found and not os.path.lexists(root) and layout.switched() is None:  # links come before the version
        return f"is a copy without its symbolic links; {_instead(layout)}"
    elif root.is_file() and not root.is_symlink():
        gone = [name for name in documents.listed(layout.root) if not (layout.root / name / ROOT).is_file()]
        if gone:
            return f"says that there is {', '.join(gone[:3])}, whose zarr.json is not there; {_instead(layout)}"
    return None


def _leads_nowhere(layout: Layout) -> bool:
    there = (layout.hidden / CURRENT).is_symlink() and not layout.never_committed()
    return there and layout.switched() is None


def _instead(layout: Layout) -> str:
    found = layout.numbers()
    where = f" (the data are in {layout.version(found[-1])})" if found else ""
    return f"copy it again, with its links (cp -a, tar) or what they lead to (cp -rL, zip -r){where}"
