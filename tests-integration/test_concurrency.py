"""Many at once, each scenario under its number: readers and writers, eight writers, kills, copies of what lives."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import hmp_catalog
from hmp_core.backends import DuckDBBackend
from hmp_core.backups import take_backup
from hmp_core.errors import BusyError, InvalidInput
from hmp_core.identity import sha256_file, sha256_tree
from hmp_core.layout import catalog_path
from hmp_core.testing.children import start
from test_killed_writers import Writer, race

#: Of scenario 18. Seconds that a registration of one of eight writers may wait for the others; and how much longer than
#: the fastest the slowest takes for all of its own.
LONGEST_WAIT, LONGEST_SHARE = 5.0, 3.0

HOLD = """
    from hmp_core.backends import DuckDBBackend
    with DuckDBBackend(path).lease(write=True):
        say("held")
        listen()
"""

#: A second writer that minds no lock file: only the lock of the engine keeps it out.
INTRUDE = """
    from hmp_core.backends import DuckDBBackend
    with DuckDBBackend(path).lease(write=True, unlocked=True):
        say("in")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with hmp_catalog.open(tmp_path / "aare", create=True) as cat, cat.record("gr4j", name="base") as rec:
        rec.metric("nse", 0.8)
    return tmp_path / "aare"


def test_17_a_reader_while_a_writer_holds_the_catalog(project: Path) -> None:
    """It fails within the time it was given, with an error that names the holder, or it succeeds."""
    with hmp_catalog.open(project, timeout=0.3) as cat, start(HOLD, path=catalog_path(project)) as writer:
        assert writer.hear() == "held"
        questions: list[Callable[[], object]] = [
            cat.find,
            lambda: cat["base"].metrics,
            lambda: cat.sql("SELECT 1"),
            lambda: hmp_catalog.open(project, timeout=0.3),
        ]
        for ask in questions:
            began = time.monotonic()
            with pytest.raises(BusyError, match=f"process {writer.pid} on"):
                ask()
            assert 0.2 < time.monotonic() - began < 5.0
        writer.tell()
        writer.join()
    with hmp_catalog.open(project, timeout=5.0) as cat:
        assert cat["base"].metrics == {"nse": 0.8}


def test_18_eight_writers_of_fifty_registrations(project: Path) -> None:
    """Nothing is lost, nothing is there twice, and nobody waits longer than is stated above."""
    writers = [Writer(project, 50, n) for n in range(8)]
    moments: list[list[float]] = []
    began = time.monotonic()
    for writer in writers:
        moments.append(_timed(writer))
        writer.go()
    assert [writer.wait() for writer in writers] == [0] * 8
    assert time.monotonic() - began < 60.0
    acknowledged = [sim for writer in writers for sim in writer.acknowledged]
    assert len(acknowledged) == len(set(acknowledged)) == 400
    with hmp_catalog.open(project) as cat:
        found = {run.sim_id: run.name for run in cat.find(status="completed", solver="gr4j") if run.name != "base"}
    assert found.keys() == set(acknowledged)
    assert Counter(found.values()) == {f"w{n}": 50 for n in range(8)}
    waits = [later - sooner for each in moments for sooner, later in itertools.pairwise(each)]
    assert max(waits) < LONGEST_WAIT
    shares = [each[-1] - each[0] for each in moments]
    assert max(shares) < LONGEST_SHARE * max(min(shares), 0.5), shares


def _timed(writer: Writer) -> list[float]:
    """Let a writer note when each of its runs was acknowledged."""
    moments: list[float] = []

    class Timed(list[str]):
        def append(self, sim: str) -> None:
            moments.append(time.monotonic())
            super().append(sim)

    writer.acknowledged = Timed()
    return moments


def test_19_writers_killed_in_the_midst_of_it(tmp_path: Path) -> None:
    """At every step in `test_kills` and `test_killed`; here four of eight that record at once."""
    race(tmp_path / "project", 8, seed=19)


def test_20_a_copy_of_a_live_database_never_releases_its_lock(project: Path) -> None:
    path = catalog_path(project)
    backend = DuckDBBackend(path)
    with backend.lease(write=True):
        kept = take_backup(path)
        for read in (lambda: sha256_file(path), lambda: sha256_tree(project)):
            with pytest.raises(InvalidInput, match="never read as a file"):
                read()
        with pytest.raises(AssertionError, match="BusyError"), start(INTRUDE, path=path) as intruder:
            intruder.hear()
    assert kept.is_file()
    with start(INTRUDE, path=path) as intruder:
        assert intruder.hear() == "in", "the probe finds nothing, ever"
