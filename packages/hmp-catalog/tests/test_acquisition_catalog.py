"""A session is read: scenario 13, files of every version, odd paths, read-only folders, and runs that go on."""

from __future__ import annotations

import hashlib
import math
import shutil
import sqlite3  # noqa: TID251 - files as earlier versions made them
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hmp_catalog.acquisition import Catalog, Event, Run, RunWriter, SampleMetadata, migrate_beamtime_schema
from hmp_catalog.errors import StoreClosed
from hmp_core.errors import (
    AccessDenied,
    AmbiguousReference,
    CorruptError,
    DatabaseNotFound,
    InvalidInput,
    NotFound,
    SchemaTooNewError,
)

FRAME = np.arange(24, dtype=np.uint16).reshape(4, 6)

KEYS = {"time": {"dtype": "number"}, "seq_num": {"dtype": "integer"}, "level": {"dtype": "number", "units": "m"}}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a session with four runs: they succeeded, failed, were aborted, and succeeded."""
    path = tmp_path_factory.mktemp("session") / "june.db"
    uids = []
    film = SampleMetadata("film", formula="C8H8", tags=["thin", "new"], extra={"mm": 2})
    with RunWriter(path, film) as writer:
        for plan, status in (("scan", "success"), ("scan", "failed"), ("count", "aborted")):
            uids.append(writer.open_run(plan, operator="Ada", metadata={"weather": "rain", "beam": {"keV": 8}}))
            writer.open_stream("baseline", {"temperature": {}})
            writer.write_event({"temperature": 3.5})
            writer.open_stream("primary", KEYS)
            for n in range(3):
                event = writer.write_event({"level": n / 2, "time": 10 + n, "seq_num": 5}, {"level": 100.0 + n})
                writer.write_image(event, "camera", FRAME + n)
            writer.close_run(exit_status=status, reason=None if status == "success" else "it rained")
    with RunWriter(path, SampleMetadata("outlet")) as writer:
        uids.append(writer.open_run("scan", operator="Bea", scan_id=40))
        writer.open_stream("primary", {"level": {}, "note": {}})
        writer.write_event({"level": float("nan"), "note": "first"})
        writer.write_event({"level": float("inf")})
        writer.close_run()
    return path, uids


@pytest.fixture
def catalog(session: tuple[Path, list[str]]) -> Iterator[Catalog]:
    with Catalog(session[0]) as found:
        yield found


@pytest.fixture
def uids(session: tuple[Path, list[str]]) -> list[str]:
    return session[1]


def old_session(path: Path, version: int) -> None:
    """Make a file as an earlier version would: with a run that ended and one that did not, and no frames."""
    with closing(sqlite3.connect(path)) as conn:
        migrate_beamtime_schema(conn, version)
        conn.execute("INSERT INTO samples (name, tags) VALUES ('PS', '[\"a\"]')")
        row = "INSERT INTO runs VALUES (?, 1, 'scan', ?, ?, ?, 2, NULL, '{\"t\": NaN}')"
        conn.execute(row, ["a" * 32, 1.0, 2.0, "success"])
        conn.execute(row, ["b" * 32, 3.0, None, None])
        for uid in "ab":
            conn.execute("INSERT INTO streams VALUES (?, ?, 'primary', '{}', 1.0)", [f"s{uid}", uid * 32])
            conn.execute("INSERT INTO events VALUES (?, ?, 1, 1.0, '{\"x\": NaN}', '{}')", [f"e{uid}", f"s{uid}"])
        conn.commit()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────


def test_recent_runs_come_newest_first(catalog: Catalog, uids: list[str]) -> None:
    assert [run.uid for run in catalog.recent()] == uids[::-1]
    assert [run.uid for run in catalog.recent(2)] == uids[:1:-1]
    assert catalog.recent(0) == []
    assert len(catalog.recent(None)) == len(catalog) == 4


def test_a_run_at_a_glance_says_who_what_when_and_how(catalog: Catalog, uids: list[str]) -> None:
    found = catalog.recent(None)[-1]
    assert (found.uid, found.plan_name, found.sample_name) == (uids[0], "scan", "film")
    assert (found.exit_status, found.scan_id, found.num_events, found.operator) == ("success", 1, 4, "Ada")
    assert found.time_stop is not None
    assert found.time_start <= found.time_stop


def test_a_run_is_had_by_its_uid_and_by_the_beginning_of_it(catalog: Catalog, uids: list[str]) -> None:
    assert catalog[uids[0]].uid == catalog[uids[0][:12]].uid == uids[0]
    assert uids[0] in catalog
    assert uids[0][:12] not in catalog
    assert list(catalog) == uids


@pytest.mark.parametrize("reference", ["", "zz", "%", None, 3])
def test_what_is_no_run_is_a_key_error(catalog: Catalog, reference: str) -> None:
    with pytest.raises(NotFound) as caught:
        catalog[reference]
    assert isinstance(caught.value, KeyError)


def test_a_beginning_of_several_uids_names_them(tmp_path: Path) -> None:
    old_session(tmp_path / "old.db", 2)
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        conn.execute("INSERT INTO runs (uid, plan_name, time_start) VALUES ('ab', 'scan', 1.0)")
        conn.commit()
    catalog = Catalog(tmp_path / "old.db")
    with pytest.raises(AmbiguousReference) as caught:
        catalog["a"]
    assert caught.value.candidates == ["a" * 32, "ab"]
    assert catalog["ab"].uid == "ab"


def test_runs_are_found_by_what_is_known_of_them(catalog: Catalog, uids: list[str]) -> None:
    first, second, third, fourth = uids
    asked = {
        "sample": ({"sample": "outlet"}, [fourth]),
        "plan": ({"plan": "scan"}, [fourth, second, first]),
        "several": ({"plan": ["count", "scan"]}, uids[::-1]),
        "operator": ({"operator": "Ada", "plan": "count"}, [third]),
        "status": ({"status": "failed"}, [second]),
        "running": ({"status": "running"}, []),
        "tag": ({"tag": "thin"}, uids[2::-1]),
        "no tag": ({"tag": "thi"}, []),
        "scan": ({"scan_id": 40}, [fourth]),
        "metadata": ({"weather": "rain"}, uids[2::-1]),
        "deep": ({"beam.keV": 8, "status": "aborted"}, [third]),
        "other": ({"weather": "sun"}, []),
    }
    found = {name: [run.uid for run in catalog.find(**question)] for name, (question, _) in asked.items()}
    assert found == {name: answer for name, (_, answer) in asked.items()}
    assert [run.uid for run in catalog.by_sample("film")] == uids[2::-1]
    assert catalog.by_sample("fil") == []


def test_runs_are_found_by_time_in_seconds_text_and_datetimes(catalog: Catalog, uids: list[str]) -> None:
    third = catalog[uids[2]].time_start
    assert [run.uid for run in catalog.find(since=third)] == uids[:1:-1]
    assert [run.uid for run in catalog.find(until=third)] == uids[1::-1]
    moment = datetime.fromtimestamp(third, UTC) - timedelta(milliseconds=1)  # it has no more than microseconds
    elsewhere = (moment + timedelta(hours=2)).replace(tzinfo=None)
    assert catalog.find(since=elsewhere) == []
    assert len(catalog.find(since="2001-01-01", until=moment.isoformat())) == 2


@pytest.mark.parametrize("asked", [{"status": "succes"}, {"since": "yesterday"}, {"until": True}])
def test_a_filter_of_another_kind_is_refused(catalog: Catalog, asked: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        catalog.find(**asked)  # type: ignore[arg-type]


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_was_said_of_a_run_is_there(catalog: Catalog, uids: list[str]) -> None:
    run = catalog[uids[1]]
    assert (run.plan_name, run.exit_status, run.reason, run.operator) == ("scan", "failed", "it rained", "Ada")
    assert run.metadata == {"weather": "rain", "beam": {"keV": 8}}
    assert run.sample == SampleMetadata("film", formula="C8H8", tags=["thin", "new"], extra={"mm": 2}, id=1)
    assert run.streams == ["baseline", "primary"]
    assert run.data_keys() == KEYS
    assert run.events_by_stream == {"baseline": 1, "primary": 3}
    assert run.fields == ["camera"]
    assert "hmp_catalog" in run.provenance


def test_a_table_has_its_columns_in_order_and_a_key_called_time_survives(catalog: Catalog, uids: list[str]) -> None:
    table = catalog[uids[0]].table()
    assert list(table.columns) == ["seq_num", "time", "level", "data_time", "data_seq_num"]
    assert table["seq_num"].tolist() == [1, 2, 3]
    assert table["data_time"].tolist() == [10, 11, 12]
    assert table["data_seq_num"].tolist() == [5, 5, 5]
    assert table["time"].is_monotonic_increasing


def test_numbers_that_json_does_not_know_survive(catalog: Catalog, uids: list[str]) -> None:
    table = catalog[uids[3]].table()
    assert math.isnan(table["level"][0])
    assert table["level"][1] == math.inf
    assert table["note"][0] == "first"
    assert table["note"].isna().tolist() == [False, True]


def test_timestamps_of_keys_are_there(catalog: Catalog, uids: list[str]) -> None:
    found = catalog[uids[0]].timestamps()
    assert list(found.columns) == ["seq_num", "level"]
    assert found["level"].tolist() == [100.0, 101.0, 102.0]


def test_a_stream_without_events_has_two_columns(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "s.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {"level": {}})
    table = Catalog(tmp_path / "s.db")[uid].table()
    assert list(table.columns) == ["seq_num", "time"]
    assert len(table) == 0


@pytest.mark.parametrize("ask", [Run.table, Run.timestamps, Run.data_keys, Run.events, Run.to_xarray])
def test_an_unknown_stream_is_refused_with_those_there_are(
    catalog: Catalog, uids: list[str], ask: Callable[[Run, str], object]
) -> None:
    with pytest.raises(NotFound, match="baseline, primary"):
        ask(catalog[uids[0]], "primry")


def test_events_know_their_frames_and_their_streams(catalog: Catalog, uids: list[str]) -> None:
    run = catalog[uids[0]]
    events = run.events()
    assert [(event.stream, event.seq_num) for event in events] == [
        ("baseline", 1),
        ("primary", 1),
        ("primary", 2),
        ("primary", 3),
    ]
    images = run.images("camera")
    assert images.seq_nums.tolist() == [1, 2, 3]
    assert set(images.streams) == {events[1].stream_uid}
    assert events[1].data == {"level": 0.0, "time": 10, "seq_num": 5}


def test_more_events_than_are_read_at_a_time_are_all_there(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "s.db", SampleMetadata("a"), flush_events=500) as writer:
        for _ in range(2):
            uid = writer.open_run("scan")
            writer.open_stream("primary", {"n": {}})
            for n in range(2000):
                writer.write_event({"n": n})
            writer.close_run()
    run = Catalog(tmp_path / "s.db")[uid]
    assert [event.data["n"] for event in run.events()] == list(range(2000))
    assert [event.data["n"] for event in run.follow()] == list(range(2000))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_read_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.db"
    old_session(path, version)
    before = digest(path)
    with Catalog(path) as catalog:
        done, left = catalog["a"], catalog["b"]
        assert (done.exit_status, left.exit_status) == ("success", "interrupted")
        assert (done.num_events, left.num_events) == (2, 1)
        assert (done.scan_id, done.reason, done.provenance, done.fields) == (None, None, {}, [])
        assert math.isnan(done.table()["x"][0])
        assert math.isnan(done.metadata["t"])
        assert [run.uid[0] for run in catalog.find(status="interrupted", tag="a")] == ["b"]
        assert catalog.find(scan_id=1) == []
        assert [event.seq_num for event in left.follow()] == [1]
    assert digest(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["old.db"]


def test_a_newer_file_is_refused_and_left(tmp_path: Path) -> None:
    old_session(tmp_path / "new.db", 2)
    with closing(sqlite3.connect(tmp_path / "new.db")) as conn:
        conn.execute("PRAGMA user_version = 9")
    before = digest(tmp_path / "new.db")
    with pytest.raises(SchemaTooNewError, match="newer hmp"):
        Catalog(tmp_path / "new.db")
    assert digest(tmp_path / "new.db") == before


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as conn:
        conn.execute("CREATE TABLE runs (uid TEXT)")
        conn.execute("PRAGMA user_version = 2")
    with closing(sqlite3.connect(tmp_path / "unstamped.db")) as conn:
        conn.execute("CREATE TABLE bookmarks (url TEXT)")
    for name in ("text.db", "other.db", "unstamped.db"):
        with pytest.raises(CorruptError):
            Catalog(tmp_path / name)
    with pytest.raises(DatabaseNotFound, match="no session"):
        Catalog(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize("name", ["a#b.db", "a?mode=rwc.db", "a%41.db", "run 1.2.sqlite", "über.db"])
def test_any_character_may_be_in_a_path(tmp_path: Path, name: str) -> None:
    with RunWriter(tmp_path / name, SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {})
        writer.write_image(writer.write_event({}), "camera", FRAME)
    for path in (tmp_path / name, str(tmp_path / name)):
        with Catalog(path) as catalog:
            assert np.array_equal(catalog[uid].images("camera")[0], FRAME)
    names = {file.name for file in tmp_path.iterdir()}
    assert {n for n in names if ".lock" not in n} == {name, Path(name).with_suffix(".zarr").name}


_ELSEWHO = """
import os, sys
from hmp_catalog.acquisition import Catalog
def read():
    catalog = Catalog(sys.argv[1])
    run = catalog[sys.argv[2]]
    return len(catalog), run.num_events, run.table()["level"].tolist(), run.images("camera")[:, 3, 5].tolist()
read()  # another user may not import what lies in the home of this one
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
print(read())
"""


def test_a_read_only_folder_is_read(session: tuple[Path, list[str]], python: Callable[..., str]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # that of the tests is closed to others
        path = shutil.copytree(session[0].parent, Path(folder) / "session") / session[0].name
        for each in (Path(folder), *Path(folder).rglob("*")):
            each.chmod(0o555 if each.is_dir() else 0o444)
        before = sorted(path.parent.rglob("*"))
        said = python(_ELSEWHO, path, session[1][0])
        assert sorted(path.parent.rglob("*")) == before
        Path(folder).chmod(0o755)
        for each in Path(folder).rglob("*"):
            each.chmod(0o755)
    assert said == "(4, 4, [0.0, 0.5, 1.0], [23, 24, 25])\n"


def test_a_closed_catalog_refuses_and_its_runs_stay(session: tuple[Path, list[str]]) -> None:
    catalog = Catalog(session[0])
    run = catalog[session[1][0]]
    catalog.close()
    with pytest.raises(StoreClosed):
        catalog.recent()
    assert len(run.table()) == 3
    assert run.images("camera")[2, 0, 0] == 2


# ── while somebody writes ────────────────────────────────────────────────────────────────────────────

_WRITES = """
import sys, time
import numpy as np
from hmp_catalog.acquisition import RunWriter, SampleMetadata
with RunWriter(sys.argv[1], SampleMetadata("a")) as writer:
    uid = writer.open_run("scan")
    writer.open_stream("primary", {"n": {}})
    print(uid, flush=True)
    sys.stdin.readline()
    for n in range(int(sys.argv[2])):
        event = writer.write_event({"n": n})
        writer.write_image(event, "camera", np.full((4, 6), n, np.uint16))
        time.sleep(0.002)
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give another process that has opened a run and waits for a line before it writes 150 events and frames."""
    command = [sys.executable, "-c", _WRITES, str(tmp_path / "live.db"), "150"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_two_readers_follow_a_run_to_its_end(tmp_path: Path, elsewhere: subprocess.Popen[str]) -> None:
    assert elsewhere.stdout is not None
    uid = elsewhere.stdout.readline().strip()
    heard: list[list[Event]] = [[], []]

    # from now on, and from the first event: of a run without any it is the same
    following = [Catalog(tmp_path / "live.db")[uid].follow(0.01, backlog=bool(n)) for n in range(2)]
    readers = [threading.Thread(target=heard[n].extend, args=(following[n],)) for n in range(2)]
    run = Catalog(tmp_path / "live.db")[uid]
    assert (run.exit_status, run.num_events, run.time_stop) == ("running", 0, None)
    for reader in readers:
        reader.start()
    elsewhere.communicate("\n\n", timeout=60)
    for reader in readers:
        reader.join(60)
    assert [event.data["n"] for event in heard[1]] == list(range(150))
    assert heard[0] == heard[1]
    assert (run.exit_status, run.num_events) == ("success", 150)


def test_frames_of_a_run_that_goes_on_are_read_and_the_sequence_stays_as_it_was(
    tmp_path: Path, elsewhere: subprocess.Popen[str]
) -> None:
    assert elsewhere.stdout is not None
    assert elsewhere.stdin is not None
    uid = elsewhere.stdout.readline().strip()
    run = Catalog(tmp_path / "live.db")[uid]
    elsewhere.stdin.write("\n")
    elsewhere.stdin.flush()
    seen = []
    for event in run.follow(0.01):
        images = run.images("camera") if "camera" in run.fields else []
        # the frame of the event that came last may still be on its way
        assert len(images) >= event.seq_num - 1
        assert [frame[3, 5] for frame in images[-3:]] == list(range(len(images)))[-3:]
        seen.append(images)
        if event.seq_num == 150:
            break
    assert elsewhere.stdout.readline() == "written\n"
    whole = run.images("camera")[:, 0, 0].tolist()
    elsewhere.communicate("\n", timeout=60)
    # what was open when they were asked for is closed now
    assert whole == [frame[0, 0] for frame in run.images("camera")] == list(range(150))
    assert all(images[:, 0, 0].tolist() == list(range(len(images))) for images in seen[1::29])


def test_a_run_whose_writer_was_killed_is_interrupted_and_readable(
    tmp_path: Path, elsewhere: subprocess.Popen[str]
) -> None:
    assert elsewhere.stdout is not None
    assert elsewhere.stdin is not None
    uid = elsewhere.stdout.readline().strip()
    run = Catalog(tmp_path / "live.db")[uid]
    elsewhere.stdin.write("\n")
    elsewhere.stdin.flush()
    assert elsewhere.stdout.readline() == "written\n"
    images = run.images("camera")
    elsewhere.kill()
    elsewhere.wait(60)
    assert run.exit_status == "interrupted"
    assert [each.uid for each in Catalog(tmp_path / "live.db").find(status="interrupted")] == [run.uid]
    assert len(list(run.follow())) == run.num_events == 150
    assert images[:, 0, 0].tolist() == list(range(150))
    with RunWriter(tmp_path / "live.db", SampleMetadata("a")):
        pass  # it closes what the other left
    assert images[:, 0, 0].tolist() == run.images("camera")[:, 0, 0].tolist() == list(range(150))


def test_a_reader_sees_a_session_that_is_migrated_meanwhile(tmp_path: Path) -> None:
    old_session(tmp_path / "old.db", 1)
    catalog = Catalog(tmp_path / "old.db")
    assert catalog["a"].fields == []
    with RunWriter(tmp_path / "old.db", SampleMetadata("PS")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", {})
        writer.write_image(writer.write_event({}), "camera", FRAME)
        assert catalog[uid].scan_id == 1
        assert catalog[uid].fields == ["camera"]
    assert catalog["b"].exit_status == "interrupted"


@pytest.mark.parametrize("poll", [0, -1, float("nan"), "soon"])
def test_a_poll_that_is_no_time_is_refused(catalog: Catalog, uids: list[str], poll: float) -> None:
    with pytest.raises(InvalidInput):
        catalog[uids[0]].follow(poll)


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────


def test_whoever_may_not_read_is_refused(session: tuple[Path, list[str]]) -> None:
    class Closed:
        def current_user(self) -> str:
            return "bea"

        def can_read(self, resource: str) -> bool:
            return False

        def can_write(self, resource: str) -> bool:
            return True

    with pytest.raises(AccessDenied, match="bea"):
        Catalog(session[0], auth=Closed())
