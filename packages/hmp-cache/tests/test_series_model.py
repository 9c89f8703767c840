"""A publisher that changes, the door, and a dictionary of what must be known, side by side."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from upstream import Rivers, Upstream

import hmp_cache
from hmp_cache import chronicle, obtaining
from hmp_cache.errors import NothingThere

FIRST = datetime(2020, 2, 20)
#: 2020-02-20 to 2020-03-20, with the day that leap years have
SPAN = 30
numbers = st.integers(0, SPAN - 1)
spans = st.tuples(numbers, numbers).map(lambda pair: range(min(pair), max(pair) + 1))
values = st.sampled_from([0.1, 2.0, 1e-7, 33.25])


def _moment(day: int) -> datetime:
    return FIRST + timedelta(days=day)


def _parts(listed: Iterable[int]) -> list[list[int]]:
    """Return days as runs of days."""
    found: list[list[int]] = []
    for day in sorted(listed):
        if found and found[-1][-1] == day - 1:
            found[-1].append(day)
        else:
            found.append([day])
    return found


class Series(RuleBasedStateMachine):
    """What is published, asked, asked again, forgotten and lost."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hmp-series-"))
        self.now = datetime(2026, 1, 1)
        self._clock, obtaining._now = obtaining._now, lambda: self.now
        self.data = hmp_cache.open(self.folder / "ws", create=True)
        self.upstream = Upstream()
        self.upstream.rows["K1"] = {}
        self.source = Rivers(self.upstream.address)
        #: what must be held: day -> value, and of which days everything is known
        self.rows: dict[int, float] = {}
        self.held: set[int] = set()
        #: what the source did not have -> until when that is remembered
        self.empty: dict[int, datetime] = {}

    @rule(days=spans, value=values)
    def publish(self, days: range, value: float) -> None:
        self.upstream.rows["K1"] |= {_moment(day): (value, None) for day in days}

    @rule(days=spans)
    def withdraw(self, days: range) -> None:
        for day in days:
            self.upstream.rows["K1"].pop(_moment(day), None)

    @rule(days=spans)
    def fetch(self, days: range) -> None:
        missing = [d for d in days if d not in self.held and self.empty.get(d, self.now) <= self.now]
        self._ask(days, _parts(missing), refresh=False)

    @rule(days=spans)
    def refresh(self, days: range) -> None:
        self._ask(days, [list(days)], refresh=True)

    def _ask(self, days: range, gaps: list[list[int]], *, refresh: bool) -> None:
        self.upstream.asked.clear()
        for gap in gaps:
            self._answer(gap)
        period = (_moment(days[0]).date(), _moment(days[-1]).date())
        try:
            entry = self.data.fetch(
                variable="discharge", source=self.source, station="K1", period=period, refresh=refresh
            )
        except NothingThere:
            assert not self.held & set(days)
        else:
            assert self.held & set(days)
            assert chronicle.decoded(entry.path.read_bytes()) == {_moment(d): (v, None) for d, v in self.rows.items()}
        asked = [(start[:10], end[:10]) for _, start, end in self.upstream.asked]
        assert asked == [(str(_moment(gap[0]).date()), str(_moment(gap[-1]).date())) for gap in gaps]

    def _answer(self, gap: list[int]) -> None:
        there = {
            day: self.upstream.rows["K1"][_moment(day)][0] for day in gap if _moment(day) in self.upstream.rows["K1"]
        }
        for day in gap:
            if there:
                self.rows.pop(day, None)
                self.held.discard(day)
            if there and min(there) <= day <= max(there):
                self.held.add(day)
            elif day not in self.held:
                self.empty[day] = self.now + timedelta(days=30)
        self.rows |= there  # type: ignore[arg-type]

    @rule(weeks=st.integers(1, 5))
    def wait(self, weeks: int) -> None:
        self.now += timedelta(weeks=weeks)

    @rule()
    def rebuild(self) -> None:
        assert not self.data.rebuild()

    @rule()
    def lose_the_database(self) -> None:
        self.data.close()
        (self.folder / "ws" / "data" / "cache.duckdb").unlink(missing_ok=True)
        self.data = hmp_cache.open(self.folder / "ws")

    @rule()
    def lose_the_log_too(self) -> None:
        """What is held is in the sidecar; that there was nothing is forgotten, and asked again."""
        self.data.close()
        for gone in ("events", ".hmp"):
            shutil.rmtree(self.folder / "ws" / "data" / gone, ignore_errors=True)
        (self.folder / "ws" / "data" / "cache.duckdb").unlink(missing_ok=True)
        self.data = hmp_cache.open(self.folder / "ws")
        self.empty.clear()

    @invariant()
    def the_gaps_are_what_is_not_known(self) -> None:
        period = (_moment(0).date(), _moment(SPAN - 1).date())
        found = self.data.gaps(variable="discharge", source=self.source, station="K1", period=period)
        missing = [d for d in range(SPAN) if d not in self.held and self.empty.get(d, self.now) <= self.now]
        expected = [(_moment(gap[0]), _moment(gap[-1] + 1) - timedelta(microseconds=1)) for gap in _parts(missing)]
        assert found == expected

    def teardown(self) -> None:
        obtaining._now = self._clock
        self.data.close()
        self.upstream.close()
        shutil.rmtree(self.folder)


TestSeries = Series.TestCase
TestSeries.settings = settings(max_examples=4, stateful_step_count=12, deadline=None)
