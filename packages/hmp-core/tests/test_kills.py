"""Death at every step: what was acknowledged is never lost, nothing is applied or packed twice, and all opens again.

A child does what a process of a modeller does and reports what was acknowledged; it is killed, as the kernel kills,
at a line of append, seal, fold, pack, rebuild, migration, backup, vacuum or restore. Some forty deaths in an ordinary
run, over a thousand with ``-m soak``.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.backups import list_backups
from hmp_core.errors import CorruptError, DatabaseNotFound
from hmp_core.events import EventStore
from hmp_core.events.pending import LogFiles
from hmp_core.events.rebuild import rebuild
from hmp_core.events.record import decode
from hmp_core.testing.children import run, start
from hmp_core.testing.expected import tables
from hmp_core.testing.faults import spread, steps
from hmp_core.testing.gauges import FOLD, dump, gauges

BEGIN = dedent("""
    from uuid import UUID
    from hmp_core.testing.gauges import FOLD, gauges, survey
    from hmp_core.backups import take_backup
    from hmp_core.events.rebuild import rebuild
    from hmp_core.migrations.runner import migrate
    from hmp_core.upkeep import restore, vacuum
    from hmp_core.durable import write_atomic
    store = gauges(folder)
    def gauge(n): return str(UUID(int=n))
    def ack(*events): say(("ack", [str(event.id) for event in events]))
""")

SCENES = {
    "append": """
        for n in range(10, 13):
            ack(store.append("gauge.set", {"gauge": gauge(n), "river": "Aare"}))
            levels = [store.prepare("level.set", {"gauge": gauge(n), "day": d, "level": 1.0}) for d in range(3)]
            store.commit(levels)
            ack(*levels)
        store.close()
    """,
    "seal": """
        for n in range(20, 22):
            ack(survey(store, gauge(n), "Reuss", [1.0, 2.0, 3.0]))
        with store.reading(): pass
        ack(survey(store, gauge(22), "Reuss", [4.0]))
        store.close()
    """,
    "fold": """
        ack(store.append("gauge.set", {"gauge": gauge(30), "river": "Aare"}))
        store.fold()
        ack(store.append("gauge.named", {"gauge": gauge(30), "name": "x"}))
        ack(store.append("gauge.purged", {"gauge": gauge(2)}))
        ack(store.append("visit.made", {"code": "later", "gauge": gauge(30)}))
        store.fold()
        ack(store.append("observer.set", {"code": "later", "called": "A"}))
        with store.reading(): pass
    """,
    "pack": """
        ack(store.append("gauge.set", {"gauge": gauge(40), "river": "Aare"}))
        store.close()
        store = gauges(folder)
        ack(store.append("gauge.named", {"gauge": gauge(40), "name": "y"}))
        store.close()
    """,
    "rebuild": """
        ack(store.append("gauge.set", {"gauge": gauge(50), "river": "Aare"}))
        rebuild(store.path, FOLD)
        ack(store.append("gauge.named", {"gauge": gauge(50), "name": "z"}))
        store.close()
        rebuild(store.path, FOLD)
    """,
    "migrate": """
        ack(store.append("gauge.set", {"gauge": gauge(60), "river": "Aare"}))
        migrate(store.path, [*store.components, ("more", folder / "more")])
        ack(store.append("gauge.named", {"gauge": gauge(60), "name": "z"}))
        store.close()
    """,
    "backup": """
        take_backup(store.path)
        ack(store.append("gauge.set", {"gauge": gauge(70), "river": "Aare"}))
        with store.reading(): take_backup(store.path)
        store.close()
    """,
    "vacuum": """
        ack(store.append("gauge.set", {"gauge": gauge(80), "river": "Aare"}))
        store.fold()
        vacuum(store.path, store.components)
        ack(store.append("gauge.named", {"gauge": gauge(80), "name": "z"}))
        store.close()
    """,
    "restore": """
        take_backup(store.path)
        ack(store.append("gauge.set", {"gauge": gauge(90), "river": "Aare"}))
        ack(store.append("gauge.purged", {"gauge": gauge(2)}))
        store.close()
        restore(store.path, store.components, fold=FOLD)
        store = gauges(folder)
        ack(store.append("gauge.named", {"gauge": gauge(90), "name": "z"}))
        store.close()
    """,
}

#: A component of its own in the same database, for the scene of migration.
MORE = {
    "0001_a.sql": "CREATE TABLE more (a INTEGER); INSERT INTO more SELECT range FROM range(500);",
    "0002_b.sql": "ALTER TABLE more ADD COLUMN b INTEGER; UPDATE more SET b = a;",
    "0003_c.sql": """
        CREATE INDEX more_by_b ON more (b);
        DROP INDEX gauges_by_name;
        ALTER TABLE gauges ADD COLUMN c INTEGER;
        ALTER TABLE gauges DROP COLUMN c;
        CREATE INDEX gauges_by_name ON gauges (name);
    """,
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a history: a folded database, a pack, a segment of a process that died."""
    home = tmp_path_factory.mktemp("before") / "aare"
    code = BEGIN + dedent("""
    store.prepare_schema()
    for n in range(1, 4):
        store.append("gauge.set", {"gauge": gauge(n), "river": "Limmat"})
        store.commit([store.prepare("level.set", {"gauge": gauge(n), "day": d, "level": d / 3}) for d in range(6)])
        store.append("observer.set", {"code": f"c{n}", "called": "A" if n % 2 else None})
        store.close()
        store = gauges(folder)
    survey(store, gauge(4), "Limmat", [1.0])
    store.append("level.set", {"gauge": gauge(1), "day": 7, "level": 7.0})
    """)
    run(code, folder=home)
    (home / "more").mkdir()
    for name, text in MORE.items():
        (home / "more" / name).write_text(text)
    return home


_counted: dict[str, list[str]] = {}


def _steps(scene: str, before: Path, tmp_path: Path) -> list[str]:
    if scene not in _counted:
        home = shutil.copytree(before, tmp_path / "counted")
        _counted[scene] = steps(BEGIN + dedent(SCENES[scene]), folder=home)
    return _counted[scene]


def _logged(home: Path) -> list[str]:
    """Return the id of every event in the log, as often as it is there."""
    files = LogFiles(home / "gauges.duckdb")
    lines = [line for path in (*files.packed(), *files.segments()) for line in decode(path.read_bytes())]
    return [str(line.event.id) for line in lines if line.event is not None]


def _acknowledged(said: list[Any]) -> set[str]:
    return {
        identity
        for word, ids in (each for each in said if isinstance(each, tuple))
        if word == "ack"
        for identity in ids
    }


def _opened(home: Path) -> EventStore:
    store = gauges(home)
    try:
        with store.reading():
            pass
    except (DatabaseNotFound, CorruptError):
        rebuild(store.path, FOLD)
    return store


def _check(home: Path, said: list[Any], where: str) -> None:
    """All that must hold, whatever happened."""
    logged_before = set(_logged(home))
    store = _opened(home)
    rows = dump(store)
    _check_files(home, where)
    assert _acknowledged(said) <= set(_logged(home)), f"acknowledged and lost: {where}"
    assert logged_before <= set(_logged(home)), f"logged and lost: {where}"
    assert not store.notice.unfolded, where
    assert not store.notice.rejected, where
    _check_rows(home, rows, where)
    store.close()
    settled = gauges(home)
    assert dump(settled) == rows, f"folding once more changes something: {where}"
    twice = {identity: n for identity, n in Counter(_logged(home)).items() if n > 1}
    assert twice == {}, f"in the log more than once: {where}"
    assert settled.files.segments() == [], f"not packed: {where}"
    rebuild(settled.path, FOLD)
    assert dump(settled) == rows, f"rebuilt is not what was folded: {where}"
    assert settled.path.stat().st_nlink == 1, f"it goes by two names: {where}"
    beside = {path.name for path in home.iterdir()} - {f"gauges.duckdb{end}" for end in ("", ".lock", ".lock.json")}
    assert beside <= {".hmp", "events", "surveys", "more"}, f"litter: {where}"


def _check_files(home: Path, where: str) -> None:
    """The database has a whole schema, and so has each of its backups."""
    database = home / "gauges.duckdb"
    for path in (database, *(backup.path for backup in list_backups(database))):
        backend = DuckDBBackend(path)
        with backend.lease(write=False, unlocked=True):
            assert backend.fetch_all("SELECT count(*) FROM gauges WHERE river = 'Limmat'")[0][0] in {3, 4}, where
            more = backend.fetch_all("SELECT version FROM schema_migrations WHERE component = 'more' ORDER BY version")
            assert len(more) in {0, *range(3, 99)}, f"neither old nor new: {where}"
            if more:
                assert backend.fetch_all("SELECT count(*), sum(b) FROM more") == [(500, 124750)], where


def _check_rows(home: Path, rows: dict[str, list[tuple[Any, ...]]], where: str) -> None:
    """What the log says is what the tables hold, and nothing else but sealed surveys."""
    files = LogFiles(home / "gauges.duckdb")
    events = files.everything().events
    expected, _ = tables(event for event in events if event.kind != "survey.sealed")
    surveyed = {UUID(path.stem) for path in (home / "surveys").glob("*.json")}
    purged = {UUID(event.payload["gauge"]) for event in events if event.kind == "gauge.purged"}
    for table, listed in rows.items():
        told = [row for row in listed if row[0] not in surveyed]
        assert told == [row for row in expected[table] if row[0] not in surveyed], f"{table}: {where}"
    assert {row[0] for row in rows["gauges"]} & surveyed == surveyed - purged, f"a sealed file is not told: {where}"


def _die(scene: str, before: Path, home: Path, number: int, where: str) -> None:
    shutil.copytree(before, home)
    with start(BEGIN + dedent(SCENES[scene]), folder=home, die_at=number) as child:
        said = child.rest()
        assert child.join() == -9, where
    assert (home / "gauges.duckdb").exists(), f"the database is gone: {where}"
    _check(home, said, where)
    shutil.rmtree(home)


def test_a_process_that_lives_leaves_all_of_it(before: Path, tmp_path: Path) -> None:
    """The check itself, where nobody dies; it must find what every scene does."""
    for scene, code in SCENES.items():
        home = shutil.copytree(before, tmp_path / scene)
        said = run(BEGIN + dedent(code), folder=home)
        assert _acknowledged(said)
        _check(home, said, scene)


@pytest.mark.parametrize("death", range(4))
@pytest.mark.parametrize("scene", SCENES)
def test_death_at_a_step(before: Path, tmp_path: Path, scene: str, death: int) -> None:
    taken = _steps(scene, before, tmp_path)
    number = spread(taken, 4, seed=len(scene))[death]
    _die(scene, before, tmp_path / "aare", number, f"{scene} at step {number}, {taken[number - 1]}")


def test_while_one_database_takes_the_place_of_another_there_is_always_one(before: Path, tmp_path: Path) -> None:
    """At every line between the two."""
    taken = _steps("rebuild", before, tmp_path)
    last = {
        place: number
        for number, place in enumerate(taken, 1)
        if place.endswith((" set_aside", " take_place", " refold_into"))
    }
    assert len(last) > 20
    for place, number in last.items():
        home = shutil.copytree(before, tmp_path / "aare")
        with start(BEGIN + dedent(SCENES["rebuild"]), folder=home, die_at=number) as child:
            assert child.join() == -9
        assert (home / "gauges.duckdb").exists(), place
        with gauges(home).reading() as backend:
            assert backend.fetch_all("SELECT count(*) FROM gauges WHERE river = 'Limmat'") == [(4,)], place
        shutil.rmtree(home)


#: The same for all workers of one run, and another in the next.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(time.time_ns()))
PARTS = 8


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scene", SCENES)
def test_death_at_every_step(before: Path, tmp_path: Path, scene: str, part: int) -> None:
    """At every place that is passed, and at a hundred further moments."""
    taken = _steps(scene, before, tmp_path)
    for number in spread(taken, len(set(taken)) + 100, seed=crc32(RUN.encode()))[part::PARTS]:
        _die(scene, before, tmp_path / "aare", number, f"{scene} at step {number}, {taken[number - 1]}, run {RUN}")


# ── within the engine ────────────────────────────────────────────────────────────────────────────────

WORK = BEGIN + dedent("""
    say("begin")
    n = 100
    while True:
        n += 1
        made = [store.prepare("gauge.set", {"gauge": gauge(n), "river": "Aare"})]
        level = {"gauge": gauge(n), "level": 1.0, "remarks": "x" * 200}
        made += [store.prepare("level.set", {**level, "day": d}) for d in range(20)]
        store.commit(made)
        ack(*made)
        if n % 3 == 0:
            with store.reading() as backend:
                backend.fetch_all("SELECT count(*) FROM levels")
""")


def _die_within(before: Path, home: Path, delay: float) -> None:
    shutil.copytree(before, home)
    with start(WORK, folder=home) as one, start(WORK.replace("n = 100", "n = 100000"), folder=home) as two:
        assert one.hear() == two.hear() == "begin"
        time.sleep(delay)
        said = [*_killed(one), *_killed(two)]
    _check(home, said, f"two writers killed after {delay:.3f} s")
    shutil.rmtree(home)


UPKEEP = BEGIN + dedent("""
    say("begin")
    n = 1000
    while True:
        n += 1
        ack(store.append("gauge.set", {"gauge": gauge(n), "river": "Aare"}))
        take_backup(store.path)
        (folder / "more" / f"{n - 997:04d}_d.sql").write_text(f"CREATE TABLE more_{n} AS SELECT * FROM more;")
        migrate(store.path, [*store.components, ("more", folder / "more")])
        vacuum(store.path, store.components)
        restore(store.path, store.components, fold=FOLD)
""")


def _die_tending(before: Path, home: Path, delay: float) -> None:
    shutil.copytree(before, home)
    with start(UPKEEP, folder=home) as one:
        assert one.hear() == "begin"
        time.sleep(delay)
        said = _killed(one)
    for later in sorted((home / "more").glob("*_d.sql")):
        later.unlink()
    _check(home, said, f"killed after {delay:.3f} s of backup, migration, vacuum and restore")
    shutil.rmtree(home)


def _killed(child: Any) -> list[Any]:
    child.kill()
    return list(child.rest())


@pytest.mark.parametrize("delay", [0.05, 0.13, 0.31])
def test_death_at_any_moment(before: Path, tmp_path: Path, delay: float) -> None:
    """Also within the engine, in the midst of a commit or a checkpoint."""
    _die_within(before, tmp_path / "aare", delay)


@pytest.mark.parametrize("delay", [0.12, 0.41])
def test_death_at_any_moment_of_upkeep(before: Path, tmp_path: Path, delay: float) -> None:
    _die_tending(before, tmp_path / "aare", delay)


@pytest.mark.soak
def test_death_at_many_moments_of_upkeep(before: Path, tmp_path: Path) -> None:
    chance = random.Random()
    for _ in range(100):
        _die_tending(before, tmp_path / "aare", chance.uniform(0.02, 1.5))


@pytest.mark.soak
def test_death_at_many_moments(before: Path, tmp_path: Path) -> None:
    chance = random.Random()
    for _ in range(100):
        _die_within(before, tmp_path / "aare", chance.uniform(0.01, 0.8))


@pytest.mark.soak
def test_one_death_after_another(before: Path, tmp_path: Path) -> None:
    """The same folder, again and again: what one death left the next one meets."""
    home = shutil.copytree(before, tmp_path / "aare")
    chance = random.Random()
    acknowledged: set[str] = set()
    for _ in range(150):
        scene = chance.choice(list(SCENES))
        number = chance.randrange(1, len(_steps(scene, before, tmp_path)))
        with start(BEGIN + dedent(SCENES[scene]), folder=home, die_at=number) as child:
            acknowledged |= _acknowledged(child.rest())
    store = _opened(home)
    rows = dump(store)
    assert acknowledged <= set(_logged(home))
    _check_rows(home, rows, "after 150 deaths")
    store.close()
    rebuild(store.path, FOLD)
    assert dump(gauges(home)) == rows
