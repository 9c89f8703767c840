"""Several downloads at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry, ValidationFailed
from hmp_cache.cli import group
from hmp_cache.hosts import HostTurns
from hmp_cache.progress import Step
from hmp_core.errors import BusyError, InvalidInput, NotWritable, PathNotFound, UnsupportedScheme
from hmp_core.identity import sha256_bytes
from hmp_core.layout import init_workspace

HASTY = Retry(attempts=2, first=0.01, longest=0.02, stalled=2.0)


def _day(n: int) -> bytes:
    return b"time,discharge\n2001-01-01,%d\n" % n


def _many(server: Any, reply: Any, count: int, **said: Any) -> list[str]:
    return [server.on(f"/{n}.csv", reply(body=_day(n), **said)) for n in range(count)]


def _stored(data: InputsNamespace) -> dict[str, bytes]:
    return {entry.name: entry.path.read_bytes() for entry in data.find()}


def test_all_come_in_the_order_they_were_asked_for(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 20)
    found = data.fetch_many(uris, variable="discharge")
    assert [f.entry.uri for f in found if f.entry] == uris
    assert _stored(data) == {str(n): _day(n) for n in range(20)}
    assert data.check() == data.find()
    assert list((data.workspace / "data" / ".incoming").iterdir()) == []


def test_what_is_there_is_not_asked_for(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 5)
    first = data.fetch_many(uris, variable="discharge")
    assert data.fetch_many(uris, variable="discharge") == first
    assert len(server.asked) == 5


def test_one_that_fails_stops_no_other(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 4)
    bad = [
        server.on("/gone.csv", reply(404, b"")),
        "s3://bucket/q.csv",
        "no uri",
        server.on("/backwards.csv", reply(body=b"time,discharge\n2001-01-02,1\n2001-01-01,1\n")),
        {"uri": uris[0], "variable": "../.."},
        {"uri": uris[0], "nonsense": 1},
        {"uri": (data.workspace / "none.csv").as_uri()},
    ]
    found = data.fetch_many([*uris[:2], *bad, *uris[2:]], variable="discharge", retry=HASTY)
    assert [f.entry is not None for f in found] == [True] * 2 + [False] * len(bad) + [True] * 2
    kinds = [type(f.error) for f in found if f.error]
    expected = [DownloadFailed, UnsupportedScheme, InvalidInput, ValidationFailed, InvalidInput, InvalidInput]
    assert kinds == [*expected, PathNotFound]
    assert len(_stored(data)) == 4


def test_each_may_say_what_it_is(data: InputsNamespace, server: Any, reply: Any) -> None:
    asked = [{"uri": uri, "station": f"S{n}"} for n, uri in enumerate(_many(server, reply, 3))]
    found = data.fetch_many(
        [*asked, {"uri": asked[0]["uri"], "variable": "stage"}], variable="discharge", unit="m3 s-1"
    )
    entries = [f.entry for f in found if f.entry]
    assert [(e.variable, e.station_id) for e in entries] == [
        ("discharge", "S0"), ("discharge", "S1"), ("discharge", "S2"), ("stage", None),
    ]  # fmt: skip
    assert {e.unit for e in entries} == {"m3 s-1"}


def test_the_same_thing_is_fetched_once(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(drip=(5, 0.02)))
    found = data.fetch_many([uri] * 6, variable="discharge", at_once=6)
    assert len({f.entry for f in found}) == 1
    assert len(server.asked) == 1


FETCH = """
import sys, hmp_cache
data = hmp_cache.open(sys.argv[1])
found = data.fetch_many(sys.argv[2:], variable="discharge", at_once=4)
assert all(f.entry for f in found), [f.error for f in found]
data.close()
"""


def test_two_processes_download_once(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 12, drip=(6, 0.02))
    command = [sys.executable, "-c", FETCH, str(data.workspace), *uris]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert len(server.asked) == 12
    assert len(data.find()) == 12


# ── how many of one host ─────────────────────────────────────────────────────────────────────────────


def test_a_host_is_asked_four_things_at_once(data: InputsNamespace, server: Any, reply: Any) -> None:
    data.fetch_many(_many(server, reply, 12, drip=(6, 0.02)), variable="discharge", at_once=12)
    assert server.most_at_once == 4


def test_two_processes_share_the_turns_of_a_host(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 16, drip=(6, 0.03))
    children = [
        subprocess.Popen([sys.executable, "-c", FETCH, str(data.workspace), *half]) for half in (uris[:8], uris[8:])
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    assert server.most_at_once <= 4


def test_a_turn_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    turns = HostTurns(tmp_path, at_once=1, patience=0.1)
    others = HostTurns(tmp_path, at_once=1, patience=0.1)
    with turns.turn("example.org"):
        with others.turn("example.com"):
            pass
        for late, who in ((turns, "other threads"), (others, "other processes")):
            with pytest.raises(BusyError, match=who), late.turn("example.org"):
                pass
    with others.turn("example.org"):
        pass


def test_a_pause_holds_for_all_threads() -> None:
    turns = HostTurns()
    turns.pause("example.org", 0.3)
    began = time.monotonic()
    with turns.turn("example.org"):
        assert time.monotonic() - began >= 0.29
    with turns.turn("example.com"):
        assert time.monotonic() - began < 0.4


def test_a_host_without_turns() -> None:
    with pytest.raises(InvalidInput):
        HostTurns(at_once=0)


def test_the_turns_of_a_dead_process_are_free(tmp_path: Path) -> None:
    code = "import sys, os, pathlib; from hmp_cache.hosts import HostTurns\n"
    code += "HostTurns(pathlib.Path(sys.argv[1]), at_once=1).turn('example.org').__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with HostTurns(tmp_path, at_once=1, patience=0.1).turn("example.org"):
        pass


def test_a_connection_is_used_again(data: InputsNamespace, server: Any, reply: Any) -> None:
    for uri in _many(server, reply, 5, keep=True):
        data.fetch(uri, variable="discharge")
    assert len(server.connections) == 1


# ── while they run ───────────────────────────────────────────────────────────────────────────────────


def test_each_step_is_told(data: InputsNamespace, server: Any, reply: Any) -> None:
    steps: list[Step] = []
    uris = [uri + "?token=secret" for uri in _many(server, reply, 3)]
    for n in range(3):
        server.on(f"/{n}.csv?token=secret", reply(body=_day(n)))
    data.fetch_many(uris, variable="discharge", progress=steps.append)
    assert {step.uri.rpartition("?")[2] for step in steps} == {"token=..."}
    assert {(step.bytes, step.total, step.of) for step in steps} == {(len(_day(0)), len(_day(0)), 3)}


def test_bars_are_for_terminals(data: InputsNamespace, server: Any, reply: Any, capfd: Any) -> None:
    data.fetch_many(_many(server, reply, 2), variable="discharge", progress=True)
    assert capfd.readouterr() == ("", "")


BARS = """
import sys, hmp_cache
data = hmp_cache.open(sys.argv[1])
data.fetch(sys.argv[2], variable="tile", progress=True)
data.fetch_many(sys.argv[2:], variable="tile", progress=True, refresh=True)
data.close()
"""


def test_bars_on_a_terminal(data: InputsNamespace, server: Any, reply: Any) -> None:
    import pty

    uris = [server.on(f"/{n}.bin", reply(body=bytes(6 << 20), drip=(1 << 20, 0.02))) for n in range(2)]
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", BARS, str(data.workspace), *uris], stderr=theirs)
    import os

    os.close(theirs)
    told = b""
    try:
        while block := os.read(ours, 65536):
            told += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    assert b"0.bin" in told
    assert b"of 2" in told


def test_one_stops_them_all(data: InputsNamespace, server: Any, reply: Any) -> None:
    """As Ctrl-C does: what is under way ends at its next byte, and what has not begun does not."""
    uris = _many(server, reply, 12, drip=(3, 0.05))

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        data.fetch_many(uris, variable="discharge", at_once=2, progress=stop)
    assert time.monotonic() - began < 5
    assert len(server.asked) < 12
    assert data.find() == []
    assert len(data.fetch_many(uris[:2], variable="discharge")) == 2


@pytest.mark.parametrize("at_once", [0, -1])
def test_none_at_a_time(data: InputsNamespace, at_once: int) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        data.fetch_many([], variable="discharge", at_once=at_once)


def test_nothing_is_asked_for_where_nothing_may_be_written(data: InputsNamespace, server: Any, reply: Any) -> None:
    with hmp_cache.open(data.workspace, read_only=True) as other, pytest.raises(NotWritable):
        other.fetch_many(_many(server, reply, 2), variable="discharge")
    assert server.asked == []


def test_what_became_of_it_is_plain_values(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = [*_many(server, reply, 1), server.on("/gone.csv?apikey=s3cret", reply(404, b""))]
    for _ in range(2):
        found = [f.as_dict() for f in data.fetch_many(uris, variable="discharge")]
    text = json.dumps(found, default=str)
    assert "s3cret" not in text
    assert [f["error"] and f["error"]["type"] for f in found] == [None, "RetryLater"]
    assert found[1]["error"]["reason"] == "http"
    assert found[0]["entry"]["name"] == "0"


# ── together ─────────────────────────────────────────────────────────────────────────────────────────


def test_those_that_arrive_together_are_stored_one_by_one_where_they_are_known(
    data: InputsNamespace, server: Any, reply: Any
) -> None:
    """New versions, the same bytes again, and new inputs, all in one folder at the same time."""
    data.fetch_many(_many(server, reply, 6), variable="discharge")
    for n in range(3):
        server.on(f"/{n}.csv", reply(body=_day(n + 100)))
    uris = [f"{server.address}/{n}.csv" for n in range(6)]
    new = [server.on(f"/new/{n}.csv", reply(body=_day(n))) for n in range(6)]
    found = data.fetch_many([*uris, *new], variable="discharge", refresh=True, at_once=12)
    assert all(f.entry for f in found), [f.error for f in found]
    assert [len(data.versions(f.entry)) for f in found[:6] if f.entry] == [2, 2, 2, 1, 1, 1]
    assert len(data.find()) == 12
    assert len({entry.path for entry in data.find()}) == 12
    assert data.check() == data.find()


def test_a_thread_that_waits_too_long_for_the_folder_says_so(data: InputsNamespace, server: Any, reply: Any) -> None:
    uris = _many(server, reply, 4)
    with hmp_cache.open(data.workspace, timeout=0.2) as hurried:
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with data._rooms.intake.holding("discharge", "url"):
                held.set()
                done.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        found = hurried.fetch_many(uris, variable="discharge")
        done.set()
        holder.join()
    assert {type(f.error) for f in found} == {BusyError}


def test_a_child_of_a_fork_asks_by_itself(data: InputsNamespace, server: Any, reply: Any) -> None:
    import os

    uris = _many(server, reply, 2, keep=True)
    data.fetch(uris[0], variable="discharge")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with hmp_cache.open(data.workspace) as other:
                code = 0 if other.fetch(uris[1], variable="discharge").size == len(_day(1)) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len(server.connections) == 2


# ── as it is typed ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    init_workspace(workspace)
    monkeypatch.chdir(workspace)
    return lambda *words, said=None: CliRunner().invoke(group, ["fetch", *map(str, words)], input=said)


def test_requests_are_read_from_a_file(run: Callable[..., Result], server: Any, reply: Any, workspace: Path) -> None:
    one, two, three = _many(server, reply, 3)
    gone = server.on("/gone.csv", reply(404, b""))
    listed = workspace / "requests.jsonl"
    rows = [{"uri": one, "variable": "discharge"}, {"uri": gone, "variable": "stage"}]
    listed.write_text("# those of today\n\n" + "\n".join(map(json.dumps, rows)) + f"\n{two}\n")
    done = run("--from", listed, three, "--variable", "runoff", "--json")
    assert done.exit_code == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    told = {each["request"]["uri"]: each["entry"] and each["entry"]["variable"] for each in found}
    assert told == {one: "discharge", gone: None, two: "runoff", three: "runoff"}
    assert [each["error"]["reason"] for each in found if each["error"]] == ["http"]


def test_several_are_named_on_the_line(run: Callable[..., Result], server: Any, reply: Any) -> None:
    done = run(*_many(server, reply, 3), "--variable", "discharge", "--at-once", 2)
    assert done.exit_code == 0
    assert sorted(line.split()[1] for line in done.stdout.splitlines()) == [
        f"data/discharge/url/{n}.csv" for n in range(3)
    ]


def test_what_failed_is_told_beside_the_rest(run: Callable[..., Result], server: Any, reply: Any) -> None:
    uris = [*_many(server, reply, 1), server.on("/gone.csv", reply(404, b""))]
    for _ in range(2):
        done = run(*uris, "--variable", "discharge")
        assert (done.exit_code, len(done.stdout.splitlines())) == (1, 1)
    assert "is not asked for again before" in done.stderr
    server.on("/gone.csv", reply())
    assert run(*uris, "--variable", "discharge", "--retry-now").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said", "told"),
    [
        (["--from", "-", "--variable", "q"], '{"uri"', "line 1 of the requests is no JSON"),
        (["--from", "-", "--variable", "q"], "[1]", "expected a JSON object or a URI"),
        (["http://127.0.0.1/q.csv"], None, "give --variable"),
        (["http://127.0.0.1/q.csv", "--variable", "q", "--sha256", "12"], None, "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_asked(run: Callable[..., Result], words: list[str], said: str | None, told: str) -> None:
    found = run(*words, said=said)
    assert isinstance(found.exception, InvalidInput)
    assert told in str(found.exception)


def test_the_hash_that_is_known(run: Callable[..., Result], server: Any, reply: Any) -> None:
    (uri,) = _many(server, reply, 1)
    wrong, right = "0" * 64, sha256_bytes(_day(0))
    assert isinstance(run(uri, "--variable", "q", "--sha256", wrong).exception, DownloadFailed)
    assert run(uri, "--variable", "q", "--sha256", right.upper(), "--retry-now").exit_code == 0
    assert run(uri, "--variable", "q", "--full").exit_code == 0
    assert len(server.asked) == 2
