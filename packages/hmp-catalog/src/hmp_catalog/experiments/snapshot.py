"""All predictions of a store in memory, for as long as its files look unchanged: the best of 5,000 take 0.4 ms.

A writer says nothing to readers of other processes, so the files are looked at before each answer. The first question
after they changed goes to the engine, which answers it sooner (6 ms) than it could load them all (8 ms); the second
loads them. Files that changed less than 50 ms before they were read may change once more and look the same, since
clocks of file systems tick: what was read from them is not kept (git calls such entries of its index racily clean).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hmp_catalog.experiments import queries
from hmp_catalog.experiments.filtering import Filters
from hmp_catalog.experiments.ranking import Ranking
from hmp_core.events.segment import SUFFIX
from hmp_core.layout import internal_folder

if TYPE_CHECKING:
    import polars as pl

    from hmp_core.protocols import StoreBackend

#: More predictions are not kept in memory (200,000 are 70 MB): each question goes to the engine.
MOST = 200_000

#: Nanoseconds in which a clock of a file system surely ticks.
_RACY_NS = 50_000_000


class Settled(Protocol):
    """What a snapshot is taken of (`hmp_catalog.experiments.keeper.Keeper`)."""

    @property
    def database(self) -> Path:
        """The database file; journals lie in its own folder."""
        ...

    def authorize(self, action: Literal["read", "write"]) -> None:
        """Refuse whoever may not."""
        ...

    def reading(self) -> AbstractContextManager[StoreBackend]:
        """Hold a lease, with all that was written before in the tables."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """How the files of a store look."""

    #: inode, size and times of the database and of what the engine wrote ahead
    files: tuple[tuple[int, ...] | None, ...]
    #: journal -> size: they only grow
    journals: dict[str, int]

    def is_still(self, earlier: Look) -> bool:
        """Return whether nothing was written since; a journal that is gone is in the tables."""
        return self.files == earlier.files and self.journals.items() <= earlier.journals.items()


class _Kept:
    """All predictions, and how the files looked when they were read."""

    def __init__(self, look: Look, rows: pl.DataFrame) -> None:
        self.look, self.rows = look, rows

    @cached_property
    def newest_first(self) -> pl.DataFrame:
        """The rows as they are listed: ranking does without, and sorting takes 0.6 ms."""
        return queries.newest_first(self.rows)


class Snapshot:
    """The predictions of a store. Threads may share it; a pickled one is empty.

    Parameters
    ----------
    keeper : Settled
        What keeps the store.
    """

    def __init__(self, keeper: Settled) -> None:
        self._keeper = keeper
        self._kept: _Kept | None = None
        self._asked: Look | None = None
        self._wal = Path(f"{keeper.database}.wal")
        self._journals = internal_folder(keeper.database) / "pending"

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self._keeper,)

    def forget(self) -> None:
        """Give the memory back."""
        self._kept = self._asked = None

    def predictions(self, **filters: Any) -> pl.DataFrame:
        """Return the predictions that fit, newest first: see `Filters`.

        Raises
        ------
        UnknownFilter, InvalidInput
            If a filter has another name, or is of another kind.
        """
        wanted = Filters.of(filters)
        if wanted.run_id is None:
            return self._answer(
                lambda kept: wanted.of_frame(kept.newest_first), lambda backend: queries.matching(backend, wanted)
            )
        # of which run a prediction is, its pipeline says
        self._keeper.authorize("read")
        with self._keeper.reading() as backend:
            return queries.matching(backend, wanted)

    def top(
        self,
        n: int,
        metric: str = "val_score",
        ascending: bool = True,  # noqa: FBT001, FBT002 - as `WorkspaceStore.top_predictions`
        partition: str | None = "val",
        dataset_name: str | None = None,
        group_by: str | None = None,
    ) -> pl.DataFrame:
        """Return the best predictions: see `Ranking`.

        Raises
        ------
        InvalidInput
            If ``n`` is no number of rows, ``metric`` no score, or ``group_by`` no category.
        """
        wanted = Ranking(n, metric, ascending, partition, dataset_name, group_by)
        return self._answer(lambda kept: wanted.of_frame(kept.rows), lambda backend: queries.top(backend, wanted))

    def _answer(
        self, of_memory: Callable[[_Kept], pl.DataFrame], of_backend: Callable[[StoreBackend], pl.DataFrame]
    ) -> pl.DataFrame:
        self._keeper.authorize("read")
        queries.require_frames()
        # journals are looked at before they are settled: what comes meanwhile may not be in the tables
        kept, journals = self._kept, self._sizes()
        if kept is not None and Look(self._stats(), journals).is_still(kept.look):
            return of_memory(kept)
        self._kept = None
        with self._keeper.reading() as backend:
            look = Look(self._stats(), journals)
            # inside a transaction there may be what never comes to be
            if not backend.only_reads or not self._is_worth_it(look) or queries.count_predictions(backend) > MOST:
                return of_backend(backend)
            kept = self._kept = _Kept(look, queries.all_predictions(backend))
        return of_memory(kept)

    def _is_worth_it(self, look: Look) -> bool:
        """Return whether what is read now will do for the next question, and one came already since files changed."""
        before, self._asked = self._asked, look
        newest = max((max(file[2:]) for file in look.files if file is not None), default=0)
        return before is not None and look.is_still(before) and time.time_ns() - newest > _RACY_NS

    def _stats(self) -> tuple[tuple[int, ...] | None, ...]:
        return _stat(self._keeper.database), _stat(self._wal)

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        try:
            with os.scandir(self._journals) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIX) and (stat := _stat(entry.path)) is not None:
                        sizes[entry.name] = stat[1]
        except (FileNotFoundError, NotADirectoryError):
            pass  # nobody has written yet
        return sizes


def _stat(path: Path | str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
