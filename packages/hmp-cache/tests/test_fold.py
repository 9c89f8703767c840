"""What the log means, and that a database made again is the one that was lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry, ValidationFailed
from hmp_cache.fold import TABLES, files, rows
from hmp_core.events import NotYet
from hmp_core.events.pending import LogFiles
from hmp_core.layout import cache_path

Write = Callable[..., Path]
NAMES = [table.name for table in TABLES]
#: what sidecars alone give back: what failed before anything arrived is in the log only
KEPT = ["entries", "artifacts", "provenance", "stations", "coverage", "validation_reports"]


def _rows(data: InputsNamespace, names: list[str] = NAMES) -> dict[str, list[dict[str, Any]]]:
    with data.reading() as backend:
        return {name: backend.query(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in names}


@pytest.fixture
def lived_in(data: InputsNamespace, write: Write, server: Any, reply: Any) -> InputsNamespace:
    """A cache in which every kind of thing has happened."""
    for rows_ in (1, 2, 3):
        text = "time,discharge\n" + "".join(f"2001-01-0{n},1\n" for n in range(1, rows_ + 1))
        data.add(write(content=text), variable="discharge", station="outlet", unit="m3 s-1", license="CC0")
    data.add(write(content="time,discharge\n2001-01-01,1\n"), variable="discharge", station="outlet", unit="m3 s-1")
    data.add(write("dem.txt", "1 2"), variable="dem", source="ign", bbox=(0, 0, 1, 1), crs="EPSG:2154")
    parent = data["q"]
    data.add(write("pet.txt", "1"), variable="pet", parents=[parent], tool="oudin 1", parameters={"a": [1, None]})
    uri = server.on("/p.csv", reply(500, b""), reply(body=b"date,rain\n2001-01-01,1\n", headers={"ETag": '"1"'}))
    data.fetch(uri, variable="precipitation", retry=Retry(attempts=2, first=0.01))
    with pytest.raises(DownloadFailed):
        data.fetch(server.address + "/none", variable="precipitation")
    with pytest.raises(ValidationFailed):
        data.add(write("bad.csv", "<html>"), variable="discharge", station="outlet")
    mine = data.workspace / "data" / "mine.csv"
    mine.write_text("time,level\n2001-01-01,1\n")
    with hmp_cache.DataCatalogDuckDB(cache_path(data.workspace)) as low:
        said = {"date_start": "2001-01-01", "fetch_metadata": {"asked_window": [1, 2]}, "is_custom": True}
        low.register(variable="water_level", source="custom", file_path=mine, station_id="a", **said)
    return data


def test_everything_is_in_the_tables(lived_in: InputsNamespace) -> None:
    counts = {name: len(found) for name, found in _rows(lived_in).items()}
    assert counts == {
        "entries": 5,
        "artifacts": 7,
        "provenance": 8,
        "stations": 2,
        "coverage": 4,
        "api_coverage": 0,
        "failures": 3,
        "validation_reports": 9,
    }


def test_every_row_comes_back_from_sidecars_and_log(lived_in: InputsNamespace) -> None:
    before = _rows(lived_in)
    cache_path(lived_in.workspace).unlink()
    assert not lived_in.rebuild()
    assert _rows(lived_in) == before


def test_every_row_comes_back_from_the_log_alone(lived_in: InputsNamespace) -> None:
    before = _rows(lived_in)
    lived_in.close()
    for path in (lived_in.workspace / "data").rglob("*.hmp.json"):
        path.unlink()
    cache_path(lived_in.workspace).unlink()
    with hmp_cache.open(lived_in.workspace) as again:
        again.rebuild()
        assert _rows(again) == before


def test_what_was_stored_comes_back_from_sidecars_alone(lived_in: InputsNamespace) -> None:
    before = _rows(lived_in, KEPT)
    rejected = [row for row in _rows(lived_in)["failures"] if row["error_type"] == "validation"]
    lived_in.close()
    root = lived_in.workspace / "data"
    shutil.rmtree(root / "events")
    shutil.rmtree(root / ".hmp")
    cache_path(lived_in.workspace).unlink()
    with hmp_cache.open(lived_in.workspace) as again:
        assert _rows(again, KEPT) == before
        assert _rows(again)["failures"] == rejected


def test_a_database_that_was_removed_is_there_again_at_the_next_opening(lived_in: InputsNamespace) -> None:
    before = _rows(lived_in)
    lived_in.close()
    cache_path(lived_in.workspace).unlink()
    with hmp_cache.open(lived_in.workspace) as again:
        assert _rows(again) == before


def test_rebuilding_twice_changes_nothing(lived_in: InputsNamespace) -> None:
    lived_in.rebuild()
    before = _rows(lived_in)
    lived_in.rebuild()
    assert _rows(lived_in) == before


@pytest.mark.parametrize("seed", range(5))
def test_any_order_and_repetition_gives_the_same(lived_in: InputsNamespace, tmp_path: Path, seed: int) -> None:
    expected = _rows(lived_in)
    events = LogFiles(cache_path(lived_in.workspace)).everything().events
    shuffled = random.Random(seed).sample(events * 2, k=2 * len(events))
    cut = len(shuffled) // 3
    with hmp_cache.open(tmp_path / "other", create=True) as other:
        for part in (shuffled[:cut], shuffled[cut:]):
            other.store.commit(part)
            other.store.fold()
        assert _rows(other) == expected


def test_a_sidecar_that_cannot_be_read_is_named(lived_in: InputsNamespace) -> None:
    before = _rows(lived_in)
    broken = lived_in.workspace / "data/discharge/custom/q.csv.hmp.json"
    broken.write_text("{")
    notice = lived_in.rebuild()
    assert notice.rejected == 1
    assert str(broken) in notice.reason
    assert _rows(lived_in) == before


def test_sidecars_tell_what_the_log_tells(lived_in: InputsNamespace) -> None:
    root = lived_in.workspace / "data"
    logged = {e.id: replace(e, writer="", seq=0) for e in LogFiles(cache_path(lived_in.workspace)).everything().events}
    told = list(files(root))
    assert {event.kind for event in told} == {"input.stored", "input.rejected"}
    assert all(logged[event.id] == event for event in told)


def test_what_only_a_newer_hmp_knows_waits(lived_in: InputsNamespace) -> None:
    event = next(files(lived_in.workspace / "data"))
    with pytest.raises(NotYet, match="newer"):
        rows(replace(event, v=2), Path())
    with pytest.raises(NotYet, match=r"input\.teleported"):
        rows(replace(event, kind="input.teleported"), Path())
    lived_in.store.append("input.teleported", {})
    lived_in.find()
    assert lived_in.notice.waiting == 1


def test_rows_are_pure(lived_in: InputsNamespace) -> None:
    event = next(files(lived_in.workspace / "data"))
    assert list(rows(event, Path("/nowhere"))) == list(rows(event, Path("/elsewhere")))


def test_every_table_is_folded(lived_in: InputsNamespace) -> None:
    with hmp_cache.DataCatalogDuckDB(cache_path(lived_in.workspace)) as low:
        assert set(low.table_names()) == set(NAMES)
