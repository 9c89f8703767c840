"""`LazyImageSequence`: the frames of a field as one sequence, of which only is read what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.acquisition import shards
from hmp_catalog.acquisition.frames import Frames
from hmp_catalog.errors import NoSuchCell
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Frames that are read at a time where one goes through all of them.
_AT_ONCE = 16


class LazyImageSequence:
    """The frames of a field of a run, as they were when it was asked for: (frame, height, width).

    It is indexed as an array is: with whole numbers, slices, lists of numbers or truth along the frames, and further
    along the rows and columns of what was read. It can be pickled, and stays when the catalog is closed.

    Parameters
    ----------
    frames : Frames
        Where they are; `Run.images` knows.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    @property
    def field(self) -> str:
        """The field they are of."""
        return self._frames.field

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many frames, and the height and width of each."""
        return (len(self), *self._frames.shape)

    @property
    def ndim(self) -> int:
        """3."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""
        return self._frames.dtype

    @property
    def folder(self) -> Path:
        """The folder of their array, which is plain Zarr where no run writes to it."""
        return self._frames.folder

    @property
    def positions(self) -> NDArray[np.int64]:
        """The place of each frame in its array."""
        return self._frames.positions.copy()

    @property
    def seq_nums(self) -> NDArray[np.int64]:
        """Of which event each frame is: its number in its stream."""
        return self._frames.seq_nums.copy()

    @property
    def streams(self) -> list[str]:
        """Of which stream the event of each frame is: its uid."""
        return list(self._frames.streams)

    def of_stream(self, uid: str) -> LazyImageSequence:
        """Return the frames of the events of one stream, by its uid."""
        return LazyImageSequence(self._frames.of_stream(uid))

    def __len__(self) -> int:
        return len(self._frames.positions)

    def __getitem__(self, item: Any) -> Any:
        """Return a frame (height, width), or several (count, height, width).

        Raises
        ------
        NoSuchCell
            If there is no such frame (an ``IndexError``).
        InvalidInput
            If it is nothing that frames are chosen with.
        LostFrames
            If one of them is not there, or not what was written; the run, the field and the frame are named.
        """
        first, *rest = item if isinstance(item, tuple) and item else (item,)
        chosen = self._chosen(first)
        found = shards.read(self._frames, chosen.reshape(-1))
        several = (slice(None),) if chosen.ndim else (0,)
        if first is Ellipsis and rest:
            several, rest = (Ellipsis,), list(rest)
        return found[(*several, *rest)]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - NumPy's own
        if copy is False:
            message = f"the frames of {self.field} are on the disk: there is no array of them without a copy"
            raise InvalidInput(message)
        found: NDArray[Any] = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.field}: {len(self)} frames of {self._frames.shape} {self.dtype}>"

    def _chosen(self, item: Any) -> NDArray[np.int64]:
        """Return the numbers of the frames that are asked for; an array of no dimension for a single one."""
        if isinstance(item, (bool, np.bool_, str, bytes)) or item is None:
            raise self._no_index(item)
        try:
            found = np.arange(len(self))[item if not isinstance(item, list) or item else slice(0)]
        except (IndexError, TypeError, ValueError) as error:
            if isinstance(item, (int, np.integer)):
                message = f"{self.field} has {len(self)} frames, there is no frame {item}"
                raise NoSuchCell(message, index=int(item), axis=0, size=len(self)) from error
            raise self._no_index(item) from error
        chosen: NDArray[np.int64] = np.asarray(found)
        if chosen.ndim > 1:
            raise self._no_index(item)
        return chosen

    def _no_index(self, item: Any) -> InvalidInput:
        message = (
            f"{self.field}: frames are chosen with whole numbers from 0 to {len(self) - 1}, slices or lists of them, "
            f"not with {item!r}"
        )
        return InvalidInput(message)
