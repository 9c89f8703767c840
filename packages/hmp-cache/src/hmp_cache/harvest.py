"""What came of the windows that were asked for: rows where there are some, and where there are none."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hmp_cache import chronicle, windows
from hmp_cache.addresses import public
from hmp_cache.chronicle import Rows
from hmp_cache.sources.arriving import Arriving
from hmp_cache.sources.protocol import Asset, Station
from hmp_cache.windows import Step, Window

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache.http import Answer


@dataclass(frozen=True, slots=True)
class Sheaves:
    """What came, sorted out."""

    rows: Rows
    #: parts that have rows, and how many
    held: list[tuple[Window, int]]
    #: parts in which the source has nothing
    empty: list[Window]
    #: windows of which everything is known now: what was held of them makes way
    replaced: list[Window]

    def now_held(self, before: list[Window]) -> list[Window]:
        """Return what is held now of a series of which ``before`` was."""
        return windows.union([*windows.difference(before, self.replaced), *(window for window, _ in self.held)])


@dataclass(slots=True)
class Harvest:
    """What came so far, asset by asset."""

    step: Step
    tables: list[pa.Table] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    stations: dict[Station, None] = field(default_factory=dict)
    #: what is known now, whatever it is
    answered: list[Window] = field(default_factory=list)
    #: assets that are files, and where those lie
    files: list[tuple[Asset, str]] = field(default_factory=list)

    def take(self, asset: Asset, arriving: Arriving, gap: Window, now: datetime) -> None:
        """Take what came of one asset of a gap."""
        self.answers += arriving.answers
        self.stations |= dict.fromkeys(arriving.stations)
        if arriving.file_uri is not None:
            self.files.append((asset, arriving.file_uri))
            return
        self.tables += arriving.tables
        if asset.period is not None:
            part = self.step.whole(windows.opened(asset.period, now))
            self.answered += windows.common([part], [gap])

    def sorted_out(self) -> Sheaves:
        """Return the rows of what is known, and where there are none.

        A window without a single number is empty, whatever is said of its quality.
        """
        known = windows.union(self.answered)
        rows = chronicle.rows_of(self.tables, known)
        moments = sorted(rows)
        found = Sheaves({}, [], [], [])
        for window in known:
            there = moments[bisect_left(moments, window[0]) : bisect_left(moments, window[1])]
            if all(rows[moment][0] is None for moment in there):
                found.empty.append(window)
                continue
            part = self.step.whole((there[0], there[-1] + timedelta(microseconds=1)))
            found.held.append((part, len(there)))
            found.empty.extend(windows.difference([window], [part]))
            found.replaced.append(window)
            found.rows.update((moment, rows[moment]) for moment in there)
        return found

    def told(self) -> list[dict[str, Any]]:
        """Return what is kept of the answers: from where, and which bytes."""
        return [{"uri": public(a.uri), "sha256": a.sha256, "size": a.size} for a in self.answers]
