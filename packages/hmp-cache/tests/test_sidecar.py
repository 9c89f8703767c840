"""The sidecar of an input: everything its rows hold, in a file beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hmp_cache import InputsNamespace, sidecar
from hmp_core.errors import CorruptError, SchemaTooNewError

Write = Callable[..., Path]


def _stored(data: InputsNamespace, write: Write) -> Path:
    return sidecar.path_of(data.add(write(), variable="discharge", station="outlet").path)


def test_it_lies_beside_its_file(data: InputsNamespace, write: Write) -> None:
    assert _stored(data, write).relative_to(data.workspace).as_posix() == "data/discharge/custom/q.csv.hmp.json"


def test_a_person_can_read_it(data: InputsNamespace, write: Write) -> None:
    said = json.loads(_stored(data, write).read_text())
    assert said["schema"] == 1
    assert said["entry"]["variable"] == "discharge"
    assert said["events"][0]["payload"]["artifact"]["path"] == "data/discharge/custom/q.csv"


def test_it_holds_every_version(data: InputsNamespace, write: Write) -> None:
    path = _stored(data, write)
    data.add(write(content="time,discharge\n2001-01-01,2\n"), variable="discharge", station="outlet")
    found = sidecar.read(path)
    assert found is not None
    assert [event.payload["artifact"]["size"] for event in found.events] == [45, 28]


def test_reading_gives_what_was_written(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    found = sidecar.read(_stored(data, write))
    assert found is not None
    sidecar.write(tmp_path / "again.hmp.json", found)
    assert sidecar.read(tmp_path / "again.hmp.json") == found


def test_the_same_event_is_held_once(data: InputsNamespace, write: Write) -> None:
    found = sidecar.read(_stored(data, write))
    assert found is not None
    assert found.with_event(found.events[0]) is found


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_told_and_nobody_waits_for_it(
    data: InputsNamespace, write: Callable[..., Path], make: Callable[[Path], None]
) -> None:
    path = _stored(data, write)
    path.unlink()
    make(path)
    with pytest.raises(CorruptError, match="it is no file"):
        sidecar.read(path)
    assert "it is no file" in data.rebuild().reason
    assert len(data.find()) == 1  # the log knows it


def test_no_file_is_no_sidecar(tmp_path: Path) -> None:
    assert sidecar.read(tmp_path / "none.hmp.json") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 1, "entry": {"id": "x"}, "events": [1]}', "\x00", "[" * 9999],
)
def test_what_cannot_be_read_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "q.csv.hmp.json"
    path.write_text(content)
    with pytest.raises(CorruptError, match="left as it is"):
        sidecar.read(path)
    assert path.read_text() == content


def test_a_newer_one_says_so(data: InputsNamespace, write: Write) -> None:
    path = _stored(data, write)
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(SchemaTooNewError, match="upgrade hmp-cache"):
        sidecar.read(path)


def test_none_of_the_cache_is_taken_for_a_sidecar(data: InputsNamespace, write: Write) -> None:
    path = _stored(data, write)
    for folder in (".versions", ".hmp/cache", "discharge"):
        (data.workspace / "data" / folder).mkdir(parents=True, exist_ok=True)
        (data.workspace / "data" / folder / "x.hmp.json").write_text("{}")
    assert list(sidecar.every(data.workspace / "data")) == [path]


def test_one_that_was_changed_is_not_believed(data, write):
    """Nothing else would tell, where the log is lost."""
    path = _stored(data, write)
    whole = path.read_text()
    path.write_text(whole.replace('"discharge"', '"recharge"', 1))
    with pytest.raises(CorruptError, match="not as it was written"):
        sidecar.read(path)
    path.write_text(whole)
    assert sidecar.read(path) is not None


def test_one_without_a_checksum_is_read(data, write):
    """Of an earlier form, or written by hand."""
    path = _stored(data, write)
    said = json.loads(path.read_text())
    before = sidecar.read(path)
    del said["checksum"]
    path.write_text(json.dumps(said))
    assert sidecar.read(path) == before
