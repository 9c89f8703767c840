"""A disk that is full: what was acknowledged stays, nothing is half there, and with some space all works again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.errors import HmpError, NotWritable, StorageError
from hmp_core.events import EventStore
from hmp_core.events.rebuild import rebuild
from hmp_core.migrations.runner import apply_migrations
from hmp_core.testing.children import run
from hmp_core.testing.gauges import FOLD, MIGRATIONS, dump, gauges
from hmp_core.testing.surroundings import fill, small_disk


def _gauge(number: int, remarks: str = "") -> dict[str, Any]:
    return {"gauge": str(UUID(int=number)), "river": f"Aare{remarks}"}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder on a small disk, with a database and one gauge in it."""
    with small_disk("6m") as disk:
        store = gauges(disk / "aare")
        store.prepare_schema()
        store.append("gauge.set", _gauge(1))
        store.fold()
        store.close()
        yield disk / "aare"


def _works_again(home: Path, acknowledged: set[int]) -> None:
    """All that was acknowledged is in the answer, more can be added, and a rebuilt database is the same."""
    (home.parent / "ballast").unlink(missing_ok=True)
    with contextlib.closing(gauges(home)) as store:
        store.append("gauge.set", _gauge(9999))
        rows = dump(store)
        assert not store.notice
        found = {UUID(str(row[0])).int for row in rows["gauges"]}
        assert acknowledged | {9999} <= found
    rebuild(store.path, FOLD)
    with contextlib.closing(gauges(home)) as again:
        assert dump(again) == rows
    litter = {path.name for path in home.iterdir()} - {f"gauges.duckdb{end}" for end in ("", ".lock", ".lock.json")}
    assert litter <= {".hmp", "events"}


def _until_full(store: EventStore, acknowledged: set[int], *, remarks: str = "x" * 3000) -> HmpError:
    for number in range(2, 5000):
        try:
            store.append("gauge.set", _gauge(number, remarks))
        except HmpError as error:
            return error
        acknowledged.add(number)
    raise AssertionError


@pytest.mark.parametrize("leaving", [0, 100, 4096, 20_000, 70_000])
def test_in_the_midst_of_append(home: Path, leaving: int) -> None:
    acknowledged = {1}
    fill(home.parent, leaving=leaving)
    with contextlib.closing(gauges(home)) as store:
        error = _until_full(store, acknowledged)
        assert isinstance(error, StorageError)
        assert "space" in str(error)
        with pytest.raises(StorageError):
            store.append("gauge.set", _gauge(5001, "x" * 9000))
        (home.parent / "ballast").unlink()
        store.append("gauge.set", _gauge(6000))
    _works_again(home, acknowledged | {6000})


@pytest.mark.parametrize("leaving", [0, 8192, 40_000, 100_000])
def test_in_the_midst_of_a_fold(home: Path, leaving: int) -> None:
    """The answer comes from the last fold and says what it lacks; asked to fold, it says why it cannot."""
    acknowledged = {1}
    with contextlib.closing(gauges(home)) as store:
        for number in range(2, 120):
            store.append("gauge.set", _gauge(number, "y" * 2000))
            acknowledged.add(number)
        fill(home.parent, leaving=leaving)
        try:
            with store.reading() as backend:
                count = backend.fetch_all("SELECT count(*) FROM gauges")[0][0]
            assert count + store.notice.unfolded == len(acknowledged)
            assert count in {1, len(acknowledged)}, "half a fold is seen"
        except StorageError:
            pass  # not even a lease that reads can be had
        try:
            store.fold()
        except HmpError as error:
            assert isinstance(error, StorageError), error  # noqa: PT017 - it may succeed
    _works_again(home, acknowledged)


@pytest.mark.parametrize("leaving", [0, 16_384, 150_000, 400_000, 700_000])
def test_in_the_midst_of_a_rebuild(home: Path, leaving: int) -> None:
    store = gauges(home)
    before = dump(store)
    store.close()
    fill(home.parent, leaving=leaving)
    try:
        rebuild(store.path, FOLD)
    except HmpError as error:
        assert isinstance(error, StorageError), error  # noqa: PT017
    with contextlib.closing(gauges(home, read_only=True)) as reader:
        assert dump(reader) == before
    _works_again(home, {1})


@pytest.mark.parametrize("leaving", [0, 16_384, 150_000, 400_000, 700_000])
def test_in_the_midst_of_a_migration(home: Path, leaving: int, tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    for file in MIGRATIONS.glob("*.sql"):
        (migrations / file.name).write_bytes(file.read_bytes())
    number = len(list(migrations.iterdir())) + 1
    more = migrations / f"{number:04d}_more.sql"
    more.write_text("CREATE TABLE more AS SELECT i, md5(i::VARCHAR) AS s FROM range(20000) r(i);")
    store = gauges(home)
    before = dump(store)
    store.close()
    fill(home.parent, leaving=leaving)
    with contextlib.suppress(StorageError):
        apply_migrations(store.path, migrations, component="gauges")
    (home.parent / "ballast").unlink()
    assert apply_migrations(store.path, migrations, component="gauges") == number
    more.unlink()
    rebuild(store.path, FOLD)
    with contextlib.closing(gauges(home)) as again:
        assert dump(again) == before


def test_a_database_is_not_half_made(home: Path) -> None:
    fill(home.parent, leaving=50_000)
    other = home.parent / "rhine"
    with pytest.raises((StorageError, NotWritable)):
        gauges(other).prepare_schema()
    assert not (other / "gauges.duckdb").exists()
    (home.parent / "ballast").unlink()
    gauges(other).prepare_schema()


@pytest.mark.parametrize("room", [300, 5_000, 60_000])
def test_a_file_that_may_not_grow(tmp_path: Path, room: int) -> None:
    """As under a quota: EFBIG (RLIMIT_FSIZE) where nothing can be mounted."""
    code = """
        import resource, signal
        from uuid import UUID
        from hmp_core.errors import StorageError
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        store.prepare_schema()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        acknowledged = []
        for number in range(1, 200):
            try:
                gauge = str(UUID(int=number))
                store.append("gauge.set", {"gauge": gauge, "river": "A" * (400 if number % 3 else 200_000)})
                acknowledged.append(gauge)
            except StorageError:
                pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with store.reading() as backend:
            found = {str(row[0]) for row in backend.fetch_all("SELECT gauge_id FROM gauges")}
        assert found >= set(acknowledged), len(found)
        say(len(acknowledged))
    """
    run(code, folder=tmp_path / "aare", room=room)
