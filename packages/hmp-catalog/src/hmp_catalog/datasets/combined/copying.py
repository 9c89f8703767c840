"""A data set, or a part of it, becomes another one; and what it keeps of its own past is let go.

Where nothing is cut the files are taken as they are: linked, for a data set never changes a file in place, or copied
where that cannot be, or fetched. A part is written by blocks of codes, which are not decoded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.datasets.axes import keeping
from hmp_catalog.datasets.blockwise.rechunking import checked_mem
from hmp_catalog.datasets.combined.filling import all_or_nothing, attributes, create, fill, new
from hmp_catalog.datasets.combined.inputs import Input, opened
from hmp_catalog.datasets.combined.overlaying import MAX_MEM
from hmp_catalog.datasets.dataset import Dataset, DatasetView
from hmp_catalog.datasets.history import layout
from hmp_catalog.datasets.history.layout import HIDDEN
from hmp_catalog.datasets.history.trees import inventory
from hmp_catalog.datasets.remote import stubs
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import zarr


def copy(
    source: Dataset | DatasetView,
    path: str | os.PathLike[str],
    include_data_vars: Sequence[str] | None = None,
    exclude_data_vars: Sequence[str] | None = None,
    *,
    max_mem: int = MAX_MEM,
) -> Dataset:
    """Make a data set of another, or of a part of it, and return it, committed and open for writing.

    Parameters
    ----------
    source : Dataset or DatasetView
        What is copied, with what its session did so far.
    path : str or Path
        The folder of the copy.
    include_data_vars, exclude_data_vars : sequence of str, optional
        The data variables that are taken, or not; with them only the coordinates that they are along.
    max_mem : int
        Bytes that may be in memory at a time, as long as one chunk fits.

    Raises
    ------
    InvalidInput
        Variables that are not there.
    PathTaken
        If there is something at the path.
    """
    checked_mem(max_mem)
    with opened([source], None, include_data_vars, exclude_data_vars) as (taken,):
        target = new(Path(path), source)
        with all_or_nothing(target):
            if isinstance(source, Dataset):
                _take_files(target, source, taken)
            else:
                create(target, [taken])
                fill(target, [taken], {}, "last", max_mem)
                target.attrs.update(attributes(source))
    return target


def _take_files(target: Dataset, source: Dataset, taken: Input) -> None:
    """Take the arrays of the variables, and those that serve them, as they are."""
    with source.handle.reading(), target.handle.writing() as group:
        said = source.handle.group()
        group.attrs.update(dict(said.attrs))
        for name in _arrays(source, taken):
            _take_folder(_folder(said) / name, _folder(group) / name)
    target.handle.forget()


def _arrays(source: Dataset, taken: Input) -> list[str]:
    """Return all arrays but those of variables and coordinates that are not taken."""
    left = set(source.data_var_names) - set(taken.variables)
    for name in set(source.coord_names) - set(taken.coords):
        left.update(keeping.keeper(source.handle, name).members)
    return [name for name in source.handle.arrays() if name not in left]


def _folder(group: zarr.Group) -> Path:
    return Path(group.store.root)


def _take_folder(source: Path, target: Path) -> None:
    # what others wrote without hmp they may change in place
    ours, home = HIDDEN in source.parts, layout.home(source)
    for name in inventory(source):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        behind = stubs.read(source / name) if home is not None else None
        if home is not None and behind is not None:
            place.write_bytes(Fetcher(home).read(behind))
        else:
            _take(source / name, place, link=ours)


def _take(source: Path, target: Path, *, link: bool) -> None:
    if link:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    shutil.copyfile(source, target)


# ── its past ─────────────────────────────────────────────────────────────────────────────────────────


def prune(source: Dataset, timestamp: str | datetime | None = None) -> int:
    """Remove old versions that nobody reads, and what sessions left behind whose process died; return how many.

    What the data set is now stays, whatever its age.

    Parameters
    ----------
    source : Dataset
        Open for writing.
    timestamp : str or datetime, optional
        With a time zone. Only versions that were committed before it are removed; all but those that
        ``keep_versions`` keeps, if not given.

    Raises
    ------
    InvalidInput
        A moment without a time zone, or a data set that is open for reading only.
    BusyError
        If a commit took longer than the timeout.
    """
    if not source.writable or not source.is_open:
        message = f"{source.file_path} is open for reading only, or closed; open it with flag 'w'"
        raise InvalidInput(message)
    return source.handle.versions.clear(None if timestamp is None else _seconds(timestamp))


def _seconds(timestamp: str | datetime) -> float:
    try:
        found = datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else timestamp
        if found.tzinfo is not None:
            return found.timestamp()
    except (ValueError, AttributeError, TypeError) as error:
        message = f"timestamp={timestamp!r}; expected a moment as 2001-02-28T06:00:00Z"
        raise InvalidInput(message) from error
    message = f"timestamp={timestamp!r} has no time zone; say 2001-02-28T06:00:00Z, for example"
    raise InvalidInput(message)
