"""The clock: it never goes back, whatever the wall clock, other machines, threads or a fork do."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_core.events.clock import FARTHEST, Clock, clock
from hmp_core.testing.children import run

#: A century in microseconds: further ahead than any wall clock of today.
_CENTURY = 100 * 366 * 86_400 * 1_000_000


def test_it_tells_the_microseconds_of_the_wall_clock() -> None:
    before = time.time_ns() // 1000
    told = Clock().tick()
    assert before <= told <= time.time_ns() // 1000


def test_what_is_no_time_does_not_set_the_clock() -> None:
    """One such event, and all that this process wrote later could not be read."""
    mine = Clock()
    mine.observe((1 << 63) - 1)
    assert mine.tick() < FARTHEST


def test_no_number_is_given_twice() -> None:
    """Ticks come faster than microseconds pass."""
    mine = Clock()
    told = [mine.tick() for _ in range(20_000)]
    assert all(one < next_ for one, next_ in pairwise(told))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.none() | st.integers(0, FARTHEST), max_size=30))
def test_what_comes_later_is_greater_than_all_seen(steps: list[int | None]) -> None:
    """None ticks, a number is seen in somebody else's event."""
    mine, greatest = Clock(), 0
    for seen in steps:
        if seen is None:
            told = mine.tick()
            assert told > greatest
            greatest = told
        else:
            mine.observe(seen)
            greatest = max(greatest, seen)
    assert mine.tick() > greatest


def test_a_clock_that_saw_the_future_goes_on_by_ones() -> None:
    """Until the wall clock has caught up, its numbers are not of now but in order."""
    mine = Clock()
    ahead = time.time_ns() // 1000 + _CENTURY
    mine.observe(ahead)
    assert [mine.tick() for _ in range(3)] == [ahead + 1, ahead + 2, ahead + 3]


@pytest.mark.parametrize("seen", [0, -1, 1])
def test_what_is_long_past_changes_nothing(seen: int) -> None:
    mine = Clock()
    told = mine.tick()
    mine.observe(seen)
    before = time.time_ns() // 1000
    assert told < mine.tick() <= max(before, told) + 1_000_000


@pytest.fixture
def _restless() -> Iterator[None]:
    """Threads take turns after every few steps, not every few milliseconds."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_restless")
def test_threads_share_it() -> None:
    mine = Clock()

    def ticks(count: int) -> list[int]:
        return [mine.tick() for _ in range(count)]

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(ticks, [2000] * 4))
    assert all(one < next_ for each in told for one, next_ in pairwise(each))
    assert len({number for each in told for number in each}) == 8000


def test_a_process_has_one() -> None:
    before = clock.tick()
    log = import_module("hmp_core.events.log")

    assert log.clock is clock
    assert clock.tick() > before


def test_a_fork_while_a_thread_ticks_does_not_hang() -> None:
    """The child has its own lock, free, and goes on from what its parent had seen."""
    code = """
        import os, signal
        from hmp_core.events.clock import clock
        clock.observe(ahead)
        clock._guard.acquire()  # as a thread of the parent might, at that moment
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            os.write(writes, str(clock.tick()).encode())
            os._exit(0)
        os.close(writes)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        say(int(os.read(reads, 32) or 0))
    """
    ahead = time.time_ns() // 1000 + _CENTURY
    assert run(code, ahead=ahead) == [0, ahead + 1]
