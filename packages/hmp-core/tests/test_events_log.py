"""The log: what is acknowledged is on the disk, by whatever thread, process or child of a fork."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.errors import InvalidInput, PathNotFound, StorageError
from hmp_core.events import Event, EventLog
from hmp_core.events.clock import Clock, clock
from hmp_core.events.log import _writers
from hmp_core.events.record import decode
from hmp_core.testing.children import run


def _log(folder: Path) -> EventLog:
    return EventLog(folder / "gauges.duckdb", "gauges", auth=LocalAuthBackend(), resource="gauges")


def _written(folder: Path) -> list[Event]:
    found = [decode(path.read_bytes()) for path in sorted((folder / ".hmp/gauges/pending").glob("*.log"))]
    return [line.event for lines in found for line in lines if line.event is not None]


def test_an_event_is_on_the_disk_when_it_is_acknowledged(tmp_path: Path) -> None:
    log = _log(tmp_path)
    event = log.append("gauge.set", {"river": "Aare"})
    (written,) = _written(tmp_path)
    assert (written.id, written.clock, written.payload) == (event.id, event.clock, {"river": "Aare"})
    assert (written.component, written.kind, written.v) == ("gauges", "gauge.set", 1)
    assert written.author == LocalAuthBackend().current_user()
    log.close()


def test_events_are_numbered_in_their_segment(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.append("a", {})
    log.commit([log.prepare("b", {}), log.prepare("c", {})])
    assert [(e.kind, e.seq) for e in _written(tmp_path)] == [("a", 1), ("b", 2), ("c", 3)]
    assert {e.writer for e in _written(tmp_path)} == {next((tmp_path / ".hmp/gauges/pending").glob("*.log")).stem}
    log.close()


def test_what_is_prepared_has_not_happened(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.prepare("a", {})
    assert not (tmp_path / ".hmp").exists()
    log.commit([])
    assert not (tmp_path / ".hmp").exists()
    log.close()


def test_clocks_of_events_go_up_and_ids_with_them(tmp_path: Path) -> None:
    log = _log(tmp_path)
    events = [log.prepare("a", {}) for _ in range(200)]
    assert [e.clock for e in events] == sorted({e.clock for e in events})
    assert all(e.id.int >> 80 == e.clock // 1000 for e in events)
    log.close()


@pytest.mark.parametrize("payload", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}, {"a": {1, 2}}])
def test_facts_that_json_does_not_know_are_refused_at_once(tmp_path: Path, payload: dict[str, Any]) -> None:
    log = _log(tmp_path)
    with pytest.raises(InvalidInput, match=r"gauge\.set"):
        log.append("gauge.set", payload)
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(InvalidInput):
        log.append("gauge.set", endless)
    assert _written(tmp_path) == []
    log.append("gauge.set", {})
    assert [e.seq for e in _written(tmp_path)] == [1]
    log.close()


def test_threads_write_whole_lines_to_one_segment(tmp_path: Path) -> None:
    log = _log(tmp_path)
    acknowledged: list[Event] = []

    def work(name: int) -> None:
        for n in range(50):
            acknowledged.append(log.append("level.set", {"thread": name, "n": n, "text": "x" * 300}))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = _written(tmp_path)
    assert {e.id for e in written} == {e.id for e in acknowledged}
    assert [e.seq for e in written] == list(range(1, 201))
    log.close()


def test_doors_of_a_process_share_a_segment(tmp_path: Path) -> None:
    one, two = _log(tmp_path), _log(tmp_path)
    one.append("a", {})
    two.append("b", {})
    one.close()
    two.append("c", {})
    assert [e.seq for e in _written(tmp_path)] == [1, 2, 3]
    two.close()
    with pytest.raises(InvalidInput, match="closed"):
        two.append("d", {})
    assert _writers[str(tmp_path / ".hmp/gauges/pending")].segment is None


def test_many_doors_opened_and_closed_at_once_keep_count(tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(60):
            log = _log(tmp_path)
            log.append("a", {})
            log.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_written(tmp_path)) == 240
    assert _writers[str(tmp_path / ".hmp/gauges/pending")].users == 0


def test_a_child_of_a_fork_writes_its_own(tmp_path: Path) -> None:
    code = """
        import os
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        store.append("a", {"by": "parent"})
        if (child := os.fork()) == 0:
            store.append("a", {"by": "child"})
            raise SystemExit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.append("a", {"by": "parent"})
    """
    run(code, folder=tmp_path)
    by = {(e.writer, e.seq, e.payload["by"]) for e in _written(tmp_path)}
    assert sorted((seq, who) for _, seq, who in by) == [(1, "child"), (1, "parent"), (2, "parent")]
    assert len({writer for writer, _, _ in by}) == 2
    assert len({e.id for e in _written(tmp_path)}) == 3


def test_a_removed_segment_is_replaced_by_another(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.append("a", {})
    for path in (tmp_path / ".hmp/gauges/pending").iterdir():
        path.unlink()
    log.append("b", {})
    assert [e.kind for e in _written(tmp_path)] == ["b"]
    log.close()


def test_a_removed_folder_is_made_again_but_not_its_home(tmp_path: Path) -> None:
    home = tmp_path / "aare"
    home.mkdir()
    log = _log(home)
    log.append("a", {})
    for path in sorted((home / ".hmp").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    log.append("b", {})
    assert [e.kind for e in _written(home)] == ["b"]
    home.rename(tmp_path / "moved")
    with pytest.raises(PathNotFound, match="aare"):
        log.append("c", {})
    assert not home.exists()
    log.close()


def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """After a short write the segment is abandoned: its torn end is never written after."""
    code = """
        import resource
        from hmp_core.errors import StorageError
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        say(str(store.append("a", {"n": 0}).id))
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
        for n in range(1, 4):
            try:
                say(str(store.append("a", {"n": n, "text": "x" * 1000}).id))
            except StorageError:
                say("full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        say(str(store.append("a", {"n": 4, "text": "x" * 1000}).id))
    """
    first, *refused, last = run(code, folder=tmp_path)
    assert refused == ["full"] * 3
    written = sorted(_written(tmp_path), key=lambda e: e.clock)
    assert [str(e.id) for e in written] == [first, last]
    assert written[0].writer != written[1].writer
    for path in (tmp_path / ".hmp/gauges/pending").glob("*.log"):
        assert [line.event is None for line in decode(path.read_bytes())] in ([False], [False, True], [True]), path


def test_what_the_disk_refuses_twice_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the writer is interrupted between writing and flushing: that segment is given up."""
    log = _log(tmp_path)
    log.append("a", {})
    monkeypatch.setattr("os.fsync", _fails(OSError(5, "Input/output error")))
    with pytest.raises(StorageError):
        log.append("b", {})
    monkeypatch.setattr("os.fsync", _fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        log.append("c", {})
    monkeypatch.undo()
    log.append("d", {})
    writers = {e.kind: e.writer for e in _written(tmp_path)}
    assert writers["a"] != writers["d"]
    log.close()


def _fails(error: BaseException) -> Any:
    def fail(descriptor: int) -> None:
        raise error

    return fail


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────


def test_the_clock_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Clock()
    first = ours.tick()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert ours.tick() == first + 1
    ours.observe(first + 1000)
    assert ours.tick() == first + 1001
    ours.observe(5)
    assert ours.tick() == first + 1002


def test_threads_share_the_clock() -> None:
    ticks: list[int] = []
    threads = [threading.Thread(target=lambda: ticks.extend(clock.tick() for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ticks)) == 2000
