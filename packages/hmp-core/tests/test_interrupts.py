"""Ctrl-C at every line: the lock is free, no transaction is open, and the same process goes on working."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from textwrap import dedent

import pytest

from hmp_core.locks import database_lock
from hmp_core.testing.children import run, start

SETTING = dedent("""
    import gc, os, random, sys
    from uuid import UUID
    from hmp_core.backends import DuckDBBackend
    from hmp_core.errors import BusyError
    from hmp_core.events.rebuild import rebuild
    from hmp_core.locks import database_lock
    from hmp_core.testing.gauges import FOLD, gauges
    from hmp_core.testing.interrupts import interrupted, left_behind
    store = gauges(folder)
    path = store.path
    plain = DuckDBBackend(path, timeout=5.0)
    acknowledged, n = set(), 0
    def append():
        global n
        n += 1
        gauge = str(UUID(int=n))
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        acknowledged.add(gauge)
    def fold():
        append()
        store.fold()
    def read():
        append()
        with store.reading() as backend:
            backend.fetch_all("SELECT count(*) FROM gauges")
    def lease():
        with plain.lease(write=True):
            plain.execute("CREATE OR REPLACE TEMP TABLE mine AS SELECT 1 AS a")
            with plain.lease(write=False):
                plain.fetch_all("SELECT 1")
    def transaction():
        with plain.transaction():
            plain.execute("UPDATE _hmp_clock SET seen = seen")
    def within_a_lease():
        # the interrupt is caught within the lease, and the lease goes on
        with plain.lease(write=True):
            try:
                transaction()
            except KeyboardInterrupt:
                pass
            assert not plain._leased(write=True).__enter__().in_transaction
            transaction()
    def remake():
        append()
        rebuild(path, FOLD)
    def close():
        global store
        append()
        former, store = store, gauges(folder)
        former.close()
    def wait():
        # somebody else has it for the first tries
        other = os.open(str(path) + ".lock", os.O_RDWR)
        import fcntl
        fcntl.flock(other, fcntl.LOCK_EX)
        try:
            with database_lock(path).hold(0.02):
                assert False
        except BusyError:
            pass
        finally:
            os.close(other)
    def attempt(act, at):
        taken, raised = interrupted(act, at)
        gc.collect()
        where = taken[at - 1] if 0 < at <= len(taken) else "nowhere"
        left = left_behind(path)
        assert not left, (act.__name__, at, where, left)
        return taken, where
    def check(where):
        fold()
        rows = plain.fetch_all("SELECT CAST(gauge_id AS VARCHAR) FROM gauges")
        assert acknowledged <= {row[0] for row in rows}, where
        left = left_behind(path)
        assert not left, (where, left)
""")

SCENES = ("append", "fold", "read", "lease", "transaction", "within_a_lease", "remake", "close", "wait")

SAMPLE = SETTING + dedent("""
    act = globals()[scene]
    append(); fold(); act()
    # in the midst of everything, each place at least once where there is time
    places = {}
    for number, place in enumerate(attempt(act, 0)[0], 1):
        places.setdefault(place, []).append(number)
    chance = random.Random(seed)
    chosen = [chance.choice(numbers) for numbers in places.values()]
    if count < len(chosen):
        chosen = chance.sample(chosen, count)
    for at in chosen:
        taken, where = attempt(act, at)
        check((scene, at, where, seed))
    say(len(chosen))
""")


@pytest.mark.parametrize("scene", SCENES)
def test_ctrl_c_at_some_lines(folder: Path, scene: str) -> None:
    (tried,) = run(SAMPLE, folder=folder, scene=scene, seed=len(scene), count=12)
    assert tried > 10


@pytest.mark.soak
@pytest.mark.parametrize("scene", SCENES)
def test_ctrl_c_at_every_line(folder: Path, scene: str) -> None:
    for _ in range(3):
        run(SAMPLE, folder=folder, scene=scene, seed=time.time_ns(), count=10_000, timeout=1200.0)


# ── as the kernel does it ────────────────────────────────────────────────────────────────────────────

ENDLESS = SETTING + dedent("""
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts = 0
    def everything():
        while True:
            append(); read(); transaction(); lease()
    for _ in range(count):
        try:
            say("working")
            everything()
        except KeyboardInterrupt:
            interrupts += 1
        gc.collect()
        check(interrupts)
    say(interrupts)
""")


def _signalled(folder: Path, count: int) -> None:
    chance = random.Random()
    with start(ENDLESS, folder=folder, count=count) as child:
        for _ in range(count):
            assert child.hear() == "working"
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(child.pid, signal.SIGINT)
        assert child.hear() == count
        assert child.join() == 0


def test_ctrl_c_at_any_moment(folder: Path) -> None:
    _signalled(folder, 15)


@pytest.mark.soak
def test_ctrl_c_at_many_moments(folder: Path) -> None:
    _signalled(folder, 500)


def test_who_waits_for_a_lock_is_interrupted_at_once(folder: Path) -> None:
    code = SETTING + dedent("""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("waiting")
        try:
            with database_lock(path).hold(30.0):
                pass
        except KeyboardInterrupt:
            say("interrupted")
        listen()
        check("after")
        say("works")
    """)
    with start(code, folder=folder) as child:
        with database_lock(folder / "gauges.duckdb").hold():
            assert child.hear() == "waiting"
            time.sleep(0.1)
            began = time.monotonic()
            os.kill(child.pid, signal.SIGINT)
            assert child.hear() == "interrupted"
            assert time.monotonic() - began < 5.0
        child.tell()
        assert child.hear() == "works"
