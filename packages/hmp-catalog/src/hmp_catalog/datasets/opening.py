"""How a data set is opened or begun, what its root says, and how variables leave it."""

from __future__ import annotations

import functools
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets import growing, kinds
from hmp_catalog.datasets.axes import keeping
from hmp_catalog.datasets.handle import ABOUT, Handle
from hmp_catalog.datasets.history.versions import Session, Versions
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import zarr

#: The form of the store, for those who come later.
FORMAT = 1

COMPRESSIONS = ("zstd_shuffle", "zstd", "lz4_shuffle", "lz4")

FLAGS = ("r", "w", "c", "n")

CONVENTIONS = "CF-1.11"


@dataclass(frozen=True)
class About:
    """What is said of a data set when it is made.

    Raises
    ------
    InvalidInput
        A type, a compression or a level that there is not.
    """

    dataset_type: str = "grid"
    compression: str = "zstd_shuffle"
    compression_level: int | None = None

    def __post_init__(self) -> None:
        kinds.kind(self.dataset_type)
        if self.compression not in COMPRESSIONS:
            message = f"compression={self.compression!r}; expected one of {', '.join(COMPRESSIONS)}"
            raise InvalidInput(message)
        level = self.compression_level
        if level is not None and (isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= 9):
            message = f"compression_level={level!r}; expected 1 to 9"
            raise InvalidInput(message)

    def attributes(self) -> dict[str, Any]:
        """Return what the root of a new data set says."""
        said: dict[str, Any] = {"Conventions": CONVENTIONS, **kinds.kind(self.dataset_type).attributes}
        return said | {ABOUT: {"format": FORMAT, **asdict(self)}}


def opened(
    path: str | os.PathLike[str],
    flag: str = "r",
    new: About | None = None,
    *,
    version: int | None = None,
    keep: int = 0,
    timeout: float = 30.0,
) -> Handle:
    """Open a data set; the parameters are those of `open_dataset`."""
    if flag not in FLAGS:
        message = f"flag={flag!r}; expected r (read), w (write), c (write, make if there is none) or n (make anew)"
        raise InvalidInput(message)
    versions = Versions(Path(path), keep=keep, timeout=timeout)
    if flag == "r":
        return _checked(Handle(versions, versions.snapshot(version)))
    if version is not None:
        message = f"version={version}: only the current version is written to; leave it out, or read with flag 'r'"
        raise InvalidInput(message)
    session = versions.session(create=flag != "w", empty=flag == "n")
    try:
        begin = functools.partial(_begin, session, new or About())
        if not session.folder.is_dir():
            begin()
        return _checked(Handle(versions, session, begin))
    except BaseException:
        session.close()
        raise


def _begin(session: Session, new: About) -> None:
    import zarr

    with session.writing():
        zarr.create_group(session.store, attributes=new.attributes())


def _checked(handle: Handle) -> Handle:
    """Refuse what was written by a later hmp in another form."""
    found = handle.about.get("format", FORMAT)
    if not isinstance(found, int) or found > FORMAT:
        handle.close()
        message = f"{handle.path}: written in form {found}, and this hmp knows {FORMAT}; upgrade it"
        raise InvalidInput(message)
    return handle


def delete(handle: Handle, name: str) -> None:
    """Remove a variable.

    Raises
    ------
    NotFound
        If there is none of that name.
    InvalidInput
        A coordinate that data variables are along.
    """
    with handle.reshaping() as begin:
        found = handle.contents()
        members: tuple[str, ...] = (name,)
        if name in found.coords:
            keeper = keeping.keeper(handle, name)
            used = [cells.name for cells, _ in growing.along(handle, keeper)]
            if used:
                message = f"{name} cannot be removed: {', '.join(used)} is along it; remove that first"
                raise InvalidInput(message)
            members = keeper.members
        elif name not in found.data_vars:
            raise handle.missing(name)
        _remove(begin(), members)


def _remove(group: zarr.Group, names: tuple[str, ...]) -> None:
    for name in names:
        del group[name]
