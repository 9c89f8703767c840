"""Whatever the step, and however a record was asked for in parts: what there is of a period is there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hmp_cache
from hmp_cache import NothingThere, chronicle
from hmp_cache.sources import Asset, Destination, Offer, Request

FIRST = datetime(2020, 2, 28)
MINUTES = 4 * 24 * 60
#: Frequency -> minutes from one value to the next; None: as they come.
STEPS = {"1D": 1440, "12h": 720, "6h": 360, "1h": 60, "15min": 15, "real-time": None}

minutes = st.integers(0, MINUTES - 1)
periods = st.lists(st.tuples(minutes, minutes).map(sorted), min_size=1, max_size=6)


class Record:
    """A record in memory."""

    name = "record"

    def __init__(self, frequency: str, moments: list[datetime]) -> None:
        self.frequency = frequency
        self.moments = moments

    def coverage(self) -> Sequence[Offer]:
        return [Offer("discharge", "m3 s-1", self.frequency)]

    def plan(self, request: Request) -> Sequence[Asset]:
        return [Asset("memory://record", "q.csv", request.period)]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        start, end = asset.period or (None, None)
        assert start is not None
        assert end is not None
        there = [moment for moment in self.moments if start <= moment <= end]
        times = pa.array(there, pa.timestamp("us"))
        destination.rows(pa.table({"time": times, "value": pa.array([1.0] * len(there), pa.float64())}))


def _moment(minute: int) -> datetime:
    return FIRST + timedelta(minutes=minute)


@pytest.mark.parametrize("frequency", STEPS)
@settings(max_examples=2, deadline=None)
@given(asked=periods, offset=st.integers(0, 59), scattered=st.lists(minutes, max_size=20), data=st.data())
def test_what_there_is_of_a_period_is_there(
    frequency: str, asked: list[list[int]], offset: int, scattered: list[int], data: st.DataObject
) -> None:
    step = STEPS[frequency]
    regular = [] if step is None else list(range(offset, MINUTES, step))
    left_out = set(data.draw(st.lists(st.sampled_from(regular), max_size=5))) if regular else set()
    moments = sorted({_moment(n) for n in (regular or scattered) if n not in left_out})
    source = Record(frequency, moments)
    with tempfile.TemporaryDirectory() as folder, hmp_cache.open(Path(folder) / "ws", create=True) as cache:
        for first, last in asked:
            period = (_moment(first), _moment(last))
            there = {moment for moment in moments if period[0] <= moment <= period[1]}
            try:
                entry = cache.fetch(variable="discharge", source=source, station="K1", period=period)
            except NothingThere:
                assert not there
            else:
                rows = chronicle.decoded(entry.path.read_bytes()).keys()
                assert there <= rows <= set(moments)
