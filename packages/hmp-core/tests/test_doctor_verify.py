"""`hmp db verify`: a flipped bit, a changed row, a missing index are found; what is sound is called so."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backups import take_backup
from hmp_core.databases import Database
from hmp_core.doctor import Case, Checks, Code, Finding, checks, codes
from hmp_core.doctor.verify import Verdict, verify
from hmp_core.errors import BusyError, CorruptError, HmpError, MigrationPending, SchemaIntegrityError
from hmp_core.events import EventStore
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.testing.children import start
from hmp_core.testing.gauges import FOLD, survey
from hmp_core.testing.traces import differences, trace

GAUGES = [f"6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b4{n}" for n in range(6)]
DEEP = Code("bytes-differ", "error", "For these tests.", "none")


def _deep(case: Case, told: Any) -> Iterator[Finding]:
    if (case.home / "spoilt").exists():
        yield case.finding(DEEP, f"{told} was told")


@pytest.fixture(autouse=True)
def scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauges stand for the catalog."""

    def entry_points(*, group: str, name: str = "") -> EntryPoints:
        known = EntryPoint("catalog", "hmp_core.testing.gauges:FOLD", "hmp.folds")
        return EntryPoints([known] if (group, name) == ("hmp.folds", "catalog") else [])

    declared = Checks("catalog", codes=(DEEP,), ask=lambda backend: "something", deep=_deep)
    monkeypatch.setattr(metadata, "entry_points", entry_points)
    monkeypatch.setattr(checks, "entry_points", lambda **_: [SimpleNamespace(load=lambda: declared)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog that was told all that the gauges can be told, in a workspace."""
    path = catalog_path(init_project(init_workspace(tmp_path_factory.mktemp("made") / "aare").path, "one").path)
    store = _store(path)
    store.prepare_schema()
    for number, gauge in enumerate(GAUGES):
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        store.append("gauge.named", {"gauge": gauge, "name": f"n{number}"})
        store.append("level.set", {"gauge": gauge, "day": number, "level": 1.5, "remarks": {"a": [1, None]}})
    store.append("observer.set", {"code": "x", "called": "Ada"})
    store.append("observer.set", {"code": "y", "called": "Eve"})
    store.append("observer.set", {"code": "y", "called": None})
    store.append("level.set", {"gauge": GAUGES[0].replace("6", "7"), "day": 1, "level": 1.0})
    store.append("gauge.purged", {"gauge": GAUGES[5]})
    survey(store, GAUGES[4], "Reuss", [0.1, 0.2])
    store.close()
    _settle(path)
    return path


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return shutil.copytree(made.parents[2], tmp_path / "aare") / made.relative_to(made.parents[2])


def _store(path: Path) -> EventStore:
    return EventStore(path, FOLD, auth=LocalAuthBackend(), resource="catalog:aare/one")


def _settle(path: Path) -> None:
    store = _store(path)
    store.fold()
    store.close()


def _verdict(path: Path, *, deep: bool = True, wait: float = 2.0) -> Verdict:
    return verify(Case(Database("catalog", path), path.parent, wait), deep=deep)


def _worse(path: Path, *, deep: bool = True) -> list[Finding]:
    """Return what was found above info, but for the event that waits for its gauge."""
    found = _verdict(path, deep=deep).findings
    return [f for f in found if f.severity != "info" and f.code != codes.WAITING.name]


def test_what_is_sound_is_called_so_and_is_not_changed(database: Path) -> None:
    take_backup(database)
    before = trace(database.parents[2])
    assert _worse(database) == []
    assert "24 events" in _verdict(database).read
    assert differences(before, trace(database.parents[2])) == []


def test_a_rebuilt_database_is_sound(database: Path) -> None:
    from hmp_core.events.rebuild import rebuild

    rebuild(database, FOLD)
    assert _worse(database) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"UPDATE gauges SET river = 'Styx' WHERE gauge_id = '{GAUGES[1]}'", f"1 rows of gauges differ: {GAUGES[1]}"),
        (f"DELETE FROM levels WHERE gauge_id = '{GAUGES[1]}'", "1 rows of levels are missing"),
        ("INSERT INTO observers VALUES ('z', 'Zoe', '1')", "1 rows of observers should not be there: z"),
        ("DELETE FROM _hmp_waiting", "1 rows of the events that wait are missing"),
    ],
)
def test_rows_that_nobody_told_are_found(database: Path, statement: str, said: str) -> None:
    DuckDBBackend(database).execute(statement)
    assert _worse(database, deep=False) == []
    (finding,) = _worse(database)
    assert finding.code == codes.ROWS_DIFFER.name
    assert said in finding.what


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE levels ADD COLUMN depth DOUBLE", ["is not expected: column levels.depth (DOUBLE)"]),
        ("CREATE INDEX i ON levels (level)", ["is not expected: index i"]),
        ("CREATE VIEW v AS SELECT 1 AS a", ["is not expected: column v.a (INTEGER), view v"]),
        ("DROP TABLE visits", ["is missing: column visits._stamp"]),
        (
            "ALTER TABLE visits ALTER code TYPE TEXT[] USING [code]",
            [
                "is missing: column visits.code (VARCHAR NOT NULL)",
                "is not expected: column visits.code (VARCHAR[] NOT NULL)",
            ],
        ),
    ],
)
def test_a_schema_that_no_migration_made_is_found(database: Path, statement: str, said: list[str]) -> None:
    DuckDBBackend(database).execute(statement)
    found = [finding for finding in _worse(database) if finding.code == codes.SCHEMA_DIFFERS.name]
    assert [finding.what.startswith(text) for finding, text in zip(found, said, strict=True)] == [True] * len(said)


def test_a_key_that_is_there_twice_is_found(database: Path) -> None:
    backend = DuckDBBackend(database)
    backend.execute("CREATE TABLE other AS SELECT * FROM observers UNION ALL SELECT * FROM observers")
    backend.execute("DROP TABLE observers")
    backend.execute("ALTER TABLE other RENAME TO observers")
    assert {f.code for f in _worse(database)} == {codes.KEY_TWICE.name, codes.SCHEMA_DIFFERS.name}


def test_what_is_appended_meanwhile_is_no_difference(database: Path) -> None:
    """A living writer has more in its segment than was folded: rows are compared as far as they go."""
    writer = _store(database)
    writer.append("observer.set", {"code": "z", "called": "Zoe"})
    writer.append("observer.set", {"code": "x", "called": "Adah"})
    survey(writer, GAUGES[3], "Linth", [7.0])
    assert _worse(database) == []
    writer.close()
    assert [f.code for f in _worse(database)] in ([], [codes.NOT_COMPARED.name])
    _settle(database)
    assert _worse(database) == []


def test_where_a_fold_would_find_more_rows_are_not_compared(database: Path) -> None:
    with start(
        """
        import os
        from pathlib import Path
        from hmp_core.auth import LocalAuthBackend
        from hmp_core.events import EventStore
        from hmp_core.testing.gauges import FOLD
        store = EventStore(Path(path), FOLD, auth=LocalAuthBackend(), resource="x")
        store.append("observer.set", {"code": "z", "called": "Zoe"})
        os._exit(0)
        """,
        path=str(database),
    ) as child:
        child.join()
    assert [f.code for f in _worse(database)] == [codes.NOT_COMPARED.name]
    _settle(database)
    assert _worse(database) == []


def test_a_flipped_bit_of_a_backup_or_a_pack_is_found(database: Path) -> None:
    backup = take_backup(database)
    os.truncate(backup, 5000)
    (pack,) = (database.parent / "events").glob("*.log")
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    codes_found = [finding.code for finding in _worse(database, deep=False)]
    assert codes_found == [codes.LOG_DAMAGED.name, codes.BACKUP_DAMAGED.name]


def test_the_scope_looks_at_its_files_when_asked_to_look_deep(database: Path) -> None:
    (database.parent / "spoilt").touch()
    assert _worse(database, deep=False) == []
    assert [(f.code, f.what) for f in _worse(database)] == [("bytes-differ", "something was told")]


def _older(path: Path) -> None:
    DuckDBBackend(path).execute("DELETE FROM schema_migrations WHERE component = 'gauges'")


def _edited(path: Path) -> None:
    DuckDBBackend(path).execute("UPDATE schema_migrations SET checksum = 'x'")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("spoil", "error"), [(_older, MigrationPending), (_edited, SchemaIntegrityError), (_cut, CorruptError)]
)
def test_what_cannot_be_read_is_an_error(database: Path, spoil: Callable[[Path], None], error: type[HmpError]) -> None:
    spoil(database)
    with pytest.raises(error):
        _verdict(database)


def test_a_database_in_use_is_waited_for_no_longer_than_said(database: Path) -> None:
    code = """
        from pathlib import Path
        from hmp_core.locks import database_lock
        with database_lock(Path(path)).hold():
            say("held")
            listen()
    """
    with start(code, path=str(database)) as child:
        child.hear()
        with pytest.raises(BusyError, match=f"process {child.pid}"):
            _verdict(database, wait=0.1)


def _flips(database: Path, count: int, seed: int) -> list[tuple[int, str]]:
    """Turn single bits all over the file, one after another, and return where, and what was said of each."""
    whole = database.read_bytes()
    chance = random.Random(seed)
    told = []
    for _ in range(count):
        at = chance.randrange(len(whole))
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << chance.randrange(8)
        database.write_bytes(spoilt)
        try:
            found = _worse(database)
        except HmpError as error:
            told.append((at, type(error).__name__))
        else:
            told.append((at, found[0].code if found else ""))
        assert database.read_bytes() == bytes(spoilt), "it was left as it is"
    database.write_bytes(whole)
    return told


def test_a_flipped_bit_is_found_or_changes_nothing(database: Path) -> None:
    """Blocks that are in use carry a checksum; what is not found lies where nothing is kept."""
    _held_to_be_sound(database, _flips(database, 16, seed=1))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(database: Path) -> None:
    _held_to_be_sound(database, _flips(database, 800, seed=2))


def _held_to_be_sound(database: Path, told: list[tuple[int, str]]) -> None:
    """Whatever was called sound had every row: `deep` has compared them all."""
    assert {said for _, said in told} - {""} <= {"CorruptError", "SchemaTooNewError"}
    assert sum(bool(said) for _, said in told) > len(told) / 4
    assert _worse(database) == []
