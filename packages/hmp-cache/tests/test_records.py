"""What goes through the door: frozen, comparable, picklable."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import Entry, InputsNamespace
from hmp_core.errors import InvalidInput, MissingPart
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]


@pytest.fixture
def entry(data: InputsNamespace, write: Write) -> Entry:
    return data.add(write(), variable="discharge", station="outlet", unit="m3 s-1")


def test_an_entry_is_frozen(entry: Entry) -> None:
    with pytest.raises(FrozenInstanceError):
        entry.name = "other"  # type: ignore[misc]


def test_an_entry_pickles(entry: Entry) -> None:
    again = pickle.loads(pickle.dumps(entry))
    assert again == entry
    assert again.path == entry.path


def test_an_entry_is_a_key(entry: Entry, data: InputsNamespace) -> None:
    assert {entry: 1}[data["q"]] == 1


def test_an_entry_says_the_same_in_a_copy_of_the_workspace(entry: Entry, tmp_path: Path) -> None:
    assert replace(entry, workspace=tmp_path) == entry


def test_what_it_says_is_plain(entry: Entry) -> None:
    said = json.loads(json.dumps(entry.as_dict()))
    assert said["period"] == ["2001-01-01T00:00:00", "2001-01-02T00:00:00"]
    assert said["path"] == str(entry.path)


def test_it_opens_its_bytes(entry: Entry) -> None:
    with entry.open() as file:
        assert sha256_bytes(file.read()) == entry.sha256


def test_it_opens_its_own_version_while_others_come(entry: Entry, data: InputsNamespace, write: Write) -> None:
    """A reader that holds an entry never gets the bytes of another version."""
    stop = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not stop.is_set():
            with entry.open() as file:
                seen.add(sha256_bytes(file.read()))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        text = f"time,discharge\n2001-01-01,1.4\n2001-01-02,{n % 10}.3\n"
        data.add(write(content=text), variable="discharge", station="outlet", unit="m3 s-1")
    stop.set()
    reader.join()
    assert seen == {entry.sha256}


def test_times_come_as_times(entry: Entry) -> None:
    assert str(entry.read_table().schema.field("time").type) == "timestamp[us]"


def test_a_frame_is_indexed_by_time(entry: Entry) -> None:
    pytest.importorskip("pandas")
    frame = entry.read_frame()
    assert frame.index.name == "time"
    assert list(frame["discharge"]) == [1.4, 1.3]


def test_what_is_no_table_is_not_read_as_one(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(InvalidInput, match="not read as a table"):
        data.add(write("x.bin", b"1"), variable="anything").read_table()


def test_who_used_it_is_known_to_the_umbrella(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Point:
        def load(self) -> Callable[..., str]:
            return lambda entry, **options: asked.append((entry, options)) or "the runs"

    def points(**wanted: str) -> list[Point]:
        assert wanted == {"group": "hmp.bridge", "name": "used_by"}
        return [Point()]

    monkeypatch.setattr(metadata, "entry_points", points)
    assert entry.used_by(version="current") == "the runs"
    assert asked == [(entry, {"version": "current"})]


def test_without_the_umbrella_nobody_knows(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda **wanted: [])
    with pytest.raises(MissingPart, match="install hmp-hydromodpy"):
        entry.used_by()


def test_errors_pickle_with_what_they_carry() -> None:
    error = hmp_cache.DownloadFailed("no", uri="http://x", reason="http", status=404, attempts=1)
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.reason, str(again)) == (404, "http", "no")
    assert isinstance(again, ConnectionError)


BUILTINS = {
    "EntryNotFound": KeyError,
    "AmbiguousEntry": KeyError,
    "ArtifactGone": FileNotFoundError,
    "ValidationFailed": ValueError,
    "DownloadFailed": ConnectionError,
}


@pytest.mark.parametrize("kind", BUILTINS)
def test_errors_are_what_a_user_would_catch(kind: str) -> None:
    assert issubclass(getattr(hmp_cache, kind), BUILTINS[kind])
