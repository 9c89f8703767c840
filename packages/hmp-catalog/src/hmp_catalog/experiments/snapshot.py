"""All predictions of a store in memory, for as long as its files look unchanged: the best of 5,000 take 0.4 ms.

A writer says nothing to readers of other processes, so the files are looked at before each answer. The first question
after they changed goes to the engine, which answers it sooner (6 ms) than it could load them all (8 ms); the second
loads them. What this store itself wrote since is added in memory: to settle it would take 20 ms, and who trains asks
for the best so far after each pipeline. Files that changed less than 50 ms before they were read may change once more
and look the same, since clocks of file systems tick: what was read from them is not kept (git calls such entries of its
index racily clean).
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

    from hmp_catalog.experiments.journal import Pages
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

    def pending(self) -> Pages | None:
        """Return what this store wrote that is not in the tables, None where there is nothing."""
        ...

    def reading(self) -> AbstractContextManager[StoreBackend]:
        """Hold a lease, with all that was written before in the tables."""
        ...

    def tables(self) -> AbstractContextManager[StoreBackend]:
        """Hold a lease on the tables as they are."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """How the files of a store look."""

    #: inode, size and times of the database and of what the engine wrote ahead
    files: tuple[tuple[int, ...] | None, ...]
    #: journal of another writer -> size: they only grow
    journals: dict[str, int]

    def is_still(self, earlier: Look) -> bool:
        """Return whether nothing was written since; a journal that is gone is in the tables."""
        return self.files == earlier.files and self.journals.items() <= earlier.journals.items()


class _Kept:
    """All predictions, how the files looked when they were read, and how much of the own journal is among them."""

    def __init__(self, look: Look, rows: pl.DataFrame, position: int = 0) -> None:
        self.look, self.rows, self.position = look, rows, position

    @cached_property
    def newest_first(self) -> pl.DataFrame:
        """The rows as they are listed: ranking does without, and sorting takes 0.6 ms."""
        return queries.newest_first(self.rows)

    def with_pending(self, pages: Pages | None) -> _Kept:
        """Return these predictions and those that this store wrote since."""
        entries = [each for each in pages.entries if each.end > self.position] if pages is not None else []
        said = [each.facts for each in entries if each.kind == "prediction.saved"]
        if not said:
            return self
        rows = queries.rows_of(said, self.rows.schema)
        return _Kept(self.look, self.rows.vstack(rows), entries[-1].end)


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
        #: the journal of this store, as far as it is known
        self._own = ""
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
        # what is pending and in journals is looked at first: what comes meanwhile may not be in the tables
        pending = self._keeper.pending()
        journals = self._sizes(besides=pending.name if pending is not None else self._own)
        look, kept = Look(self._stats(), journals), self._kept
        if kept is None or not look.is_still(kept.look):
            kept = self._loaded(look) if self._is_worth_it(look) else None
        if kept is None:
            return self._asked_for(of_backend, journals)
        self._own = pending.name if pending is not None else self._own
        kept = self._kept = kept.with_pending(pending)
        return of_memory(kept)

    def _is_worth_it(self, look: Look) -> bool:
        """Return whether what is read now will do for the next question, and one came already since files changed."""
        newest = max((max(file[2:]) for file in look.files if file is not None), default=0)
        return self._asked is not None and look.is_still(self._asked) and time.time_ns() - newest > _RACY_NS

    def _loaded(self, look: Look) -> _Kept | None:
        with self._keeper.tables() as backend:
            # inside a transaction there may be what never comes to be
            if not backend.only_reads or self._stats() != look.files:
                return None
            return _Kept(look, queries.all_predictions(backend))

    def _asked_for(self, of_backend: Callable[[StoreBackend], pl.DataFrame], journals: dict[str, int]) -> pl.DataFrame:
        self._kept = None
        with self._keeper.reading() as backend:
            few = backend.only_reads and queries.count_predictions(backend) <= MOST
            self._asked = Look(self._stats(), journals) if few else None
            return of_backend(backend)

    def _stats(self) -> tuple[tuple[int, ...] | None, ...]:
        return _stat(self._keeper.database), _stat(self._wal)

    def _sizes(self, *, besides: str) -> dict[str, int]:
        sizes = {}
        try:
            with os.scandir(self._journals) as entries:
                for entry in entries:
                    if (
                        entry.name.endswith(SUFFIX)
                        and entry.name != besides
                        and (stat := _stat(entry.path)) is not None
                    ):
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
