"""A store that somebody else wrote becomes a data set with versions: its files are linked, links take their places.

``zarr.json`` goes first and comes back last: in between a plain reader finds no data set, rather than a part of one,
and hmp reads the version, which is the same. Each step can be taken again.
"""

from __future__ import annotations

import os
from pathlib import Path

from hmp_catalog.datasets.history.holding import hold
from hmp_catalog.datasets.history.layout import CURRENT, HIDDEN, ROOT, Layout, points_here, switch_to
from hmp_catalog.datasets.history.trees import link, link_tree, remove_tree
from hmp_core.durable import fsync_folder


def link_plain(layout: Layout, target: Path) -> None:
    """Link what a plain reader sees into a new tree: the groups and arrays, none of the user's other files."""
    os.mkdir(target)
    for name in os.listdir(layout.root):
        place = layout.root / name
        if name != HIDDEN and (place / ROOT).is_file():
            link_tree(place, target / name)
    link(layout.root / ROOT, target / ROOT)


def take_over(layout: Layout, work: Path) -> None:
    """Make what somebody else wrote the next version, and links of the files they wrote; the lock of commits is held.

    ``work`` is a folder of the caller.
    """
    tree, number = work / "taken", layout.next()
    remove_tree(tree)
    link_plain(layout, tree)
    names = os.listdir(tree)
    current = layout.hidden / CURRENT
    if current.is_dir() and not current.is_symlink():  # a copy that followed the links
        layout.bury(current)
    held = hold(layout.lock(number), alone=False)
    switch = switch_to(number, work)
    os.rename(tree, layout.version(number))
    os.replace(switch, current)
    fsync_folder(layout.hidden)
    (layout.root / ROOT).unlink()
    _replace_by_links(layout, names)
    if held is not None:
        held.release()


def mend(layout: Layout) -> None:
    """Finish a taking over whose process died; the lock of commits is held."""
    if layout.switched() is not None and not os.path.lexists(layout.root / ROOT):
        _replace_by_links(layout, os.listdir(layout.hidden / CURRENT))


def _replace_by_links(layout: Layout, names: list[str]) -> None:
    for name in names:
        place = layout.root / name
        if os.path.lexists(place) and not points_here(place, name):
            layout.bury(place)
    layout.add_links([name for name in names if name != ROOT])
    layout.add_links([ROOT])


def instead(path: Path) -> str:
    """Return what is at a path where a data set was expected, and what makes one of it."""
    if not os.path.lexists(path):
        return "no data set there; open it with flag 'c' or 'n' to make one"
    if not path.is_dir():
        return "a file, and a data set is a folder; netcdf4_to_dataset makes one of netCDF"
    names = sorted(name for name in os.listdir(path) if not Layout(path).is_ours(name))
    if {".zgroup", ".zmetadata", ".zarray"} & set(names):
        return "a store of Zarr v2, and a data set is one of v3; from_xarray(xarray.open_zarr(...), ...) makes one"
    if names:
        return f"a folder with something else in it ({', '.join(names[:3])}), and no data set; choose another path"
    return "no data set there; open it with flag 'c' or 'n' to make one"
