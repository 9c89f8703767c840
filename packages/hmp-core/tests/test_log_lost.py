"""A log that was cut, deleted or replaced by an older copy: what it has lost stays known until it is back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.backups import take_backup
from hmp_core.events.pending import LogFiles
from hmp_core.events.rebuild import lost_files, rebuild
from hmp_core.events.store import EventStore, components
from hmp_core.testing.gauges import FOLD, dump, gauges
from hmp_core.upkeep import restore


def _say(home: Path, *numbers: int) -> EventStore:
    """Let a process say something, leave, and another one fold and pack it."""
    store = gauges(home)
    for number in numbers:
        store.append("gauge.set", {"gauge": str(UUID(int=number)), "river": "Aare"})
    store.close()
    with gauges(home).reading():
        return store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "aare"
    gauges(folder).prepare_schema()
    _say(folder, 1, 2, 3)
    return folder


def _pack(home: Path) -> Path:
    (pack,) = LogFiles(home / "gauges.duckdb").packed()
    return pack


def _cut(home: Path) -> None:
    pack = _pack(home)
    pack.write_bytes(b"".join(pack.read_bytes().splitlines(keepends=True)[:-1]))


def _tear(home: Path) -> None:
    pack = _pack(home)
    pack.write_bytes(pack.read_bytes()[:-40])


def _delete(home: Path) -> None:
    _pack(home).unlink()


@pytest.mark.parametrize("lose", [_cut, _tear, _delete])
@pytest.mark.parametrize("later", [(), (4,), (4, 5, 6, 7, 8, 9)])
def test_what_the_log_lost_is_known_until_a_rebuild(
    home: Path, lose: Callable[[Path], None], later: tuple[int, ...]
) -> None:
    """Neither a reading nor writes that make the pack longer than it was let it be forgotten."""
    name = _pack(home).name
    before = dump(gauges(home))
    lose(home)
    _say(home, *later)
    gauges(home).fold()
    _say(home, *later)
    assert lost_files(home / "gauges.duckdb") == [name]
    assert len(dump(gauges(home))["gauges"]) == len(before["gauges"]) + len(later)
    notice = rebuild(home / "gauges.duckdb", FOLD)
    assert notice.lost == 1
    assert name in notice.reason
    assert rebuild(home / "gauges.duckdb", FOLD).lost == 0, "a loss that was told and accepted is not told again"


def test_it_is_forgotten_once_the_log_is_back(home: Path, tmp_path: Path) -> None:
    pack = _pack(home)
    kept = shutil.copy(pack, tmp_path / "kept")
    _cut(home)
    gauges(home).fold()
    assert lost_files(home / "gauges.duckdb") == [pack.name]
    shutil.copy(kept, pack)
    gauges(home).fold()
    _say(home, 4)
    assert lost_files(home / "gauges.duckdb") == []
    rows = dump(gauges(home))
    assert rebuild(home / "gauges.duckdb", FOLD).lost == 0
    assert dump(gauges(home)) == rows


def test_yesterdays_copy_of_a_pack_does_not_pass_for_todays(home: Path, tmp_path: Path) -> None:
    kept = shutil.copy(_pack(home), tmp_path / "kept")
    _say(home, 4)
    shutil.copy(kept, _pack(home))
    for number in range(5, 8):
        _say(home, number)
    assert lost_files(home / "gauges.duckdb") == [_pack(home).name]


@pytest.mark.parametrize("gone", [False, True])
def test_what_a_restored_backup_alone_knows_is_named(home: Path, *, gone: bool) -> None:
    """The backup gives the rows back; a rebuild would take them away again."""
    database, name = home / "gauges.duckdb", _pack(home).name
    before = dump(gauges(home))
    take_backup(database)
    _delete(home)
    if gone:
        database.unlink()
    restored = restore(database, components(FOLD), fold=FOLD)
    assert (restored.notice.lost, dump(gauges(home))) == (1, before)
    assert f"{name}; what they told is in this database alone" in restored.notice.reason
    _say(home, 4)
    assert lost_files(database) == [name]
    assert rebuild(database, FOLD).lost == 1
