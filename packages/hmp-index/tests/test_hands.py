"""A workspace that does not answer, by a real hang: a marker that is a pipe into which nobody writes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import datetime

import pytest

import hmp_index
from hmp_core.layout import read_root
from hmp_index import hands
from hmp_index.hands import look_at_all
from hmp_index.roster import Listed

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")

AT = datetime(2026, 1, 1)


def line_of(workspace):
    return Listed(read_root(workspace, "workspace.toml").id, workspace, workspace.name, AT)


@pytest.fixture
def hang():
    """Return a function that lets a workspace hang, until the test ends or `answer` is called."""
    pipes = {}

    def begin(workspace):
        marker = workspace / "workspace.toml"
        pipes[workspace] = marker.read_bytes()
        marker.unlink()
        os.mkfifo(marker)

    def answer(workspace):
        content = pipes.pop(workspace)
        marker = workspace / "workspace.toml"
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # nobody waits
                pipe = os.open(marker, os.O_WRONLY | os.O_NONBLOCK)
                stack.callback(os.close, pipe)
                stack.callback(os.write, pipe, content)
            marker.with_name("new").write_bytes(content)
            os.replace(marker.with_name("new"), marker)  # whoever looks again finds a file

    begin.answer = answer
    yield begin
    for workspace in list(pipes):
        answer(workspace)
    for hand in [one for one in threading.enumerate() if one.name == "hmp-index-look"]:
        hand.join(5.0)
        assert not hand.is_alive()


@pytest.fixture
def lines(machine):
    return [line_of(machine.workspace(f"w{n:02d}", "base")) for n in range(20)]


def took(act):
    began = time.monotonic()
    return act(), time.monotonic() - began


def test_everything_is_looked_at_in_the_order_of_the_list(lines):
    assert [(seen.line, seen.status) for seen in look_at_all(lines)] == [(line, "ok") for line in lines]
    assert look_at_all([]) == []


def test_one_that_hangs_is_unreachable_and_holds_nobody(lines, hang):
    hang(lines[3].path)
    seen, seconds = took(lambda: look_at_all(lines, 0.5))
    assert [one.line.label for one in seen if one.status != "ok"] == ["w03"]
    assert (seen[3].status, seen[3].gone) == ("unreachable", False)
    assert "did not answer within 0.5 s" in seen[3].detail
    assert 0.5 <= seconds < 5.0


def test_while_it_hangs_nobody_waits_for_it_again(lines, hang):
    hang(lines[0].path)
    look_at_all(lines, 0.3)
    threads = threading.active_count()
    seen, seconds = took(lambda: look_at_all(lines, 30.0))
    assert ([one.status for one in seen].count("unreachable"), threading.active_count()) == (1, threads)
    assert seconds < 15.0


def test_when_it_answers_again_it_is_looked_at_again(lines, hang):
    hang(lines[0].path)
    look_at_all(lines, 0.3)
    hang.answer(lines[0].path)
    deadline = time.monotonic() + 10.0
    while look_at_all(lines, 5.0)[0].status != "ok":
        assert time.monotonic() < deadline


def test_what_lies_on_a_mount_that_does_not_answer_is_not_tried_one_by_one(machine, lines, hang, monkeypatch):
    """Forty on it and sixteen hands: three rounds of waiting, if each were tried."""
    dead = [line_of(machine.workspace(f"dead/w{n:02d}")) for n in range(40)]
    for line in dead:
        hang(line.path)
    monkeypatch.setattr(hands, "_mounts", lambda: [machine.root / "dead", hands._ROOT])
    seen, seconds = took(lambda: look_at_all([*dead, *lines], 2.0))
    assert [one.status for one in seen] == ["unreachable"] * 40 + ["ok"] * 20
    assert seconds < 4.0
    assert took(lambda: look_at_all(dead, 30.0))[1] < 15.0


def test_others_on_the_same_disk_are_not_given_up_with_it(lines, hang, monkeypatch):
    monkeypatch.setattr(hands, "_mounts", lambda: [hands._ROOT])
    for line in lines[:18]:
        hang(line.path)
    assert [one.status for one in look_at_all(lines, 0.3)] == ["unreachable"] * 18 + ["ok"] * 2


def test_what_goes_wrong_in_a_hand_is_raised(lines, monkeypatch):
    def broken(line):
        message = f"cannot look at {line.label}"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(hands, "look", broken)
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    with pytest.raises(ZeroDivisionError, match="cannot look at w"):
        look_at_all(lines)


def test_an_answer_names_what_hangs_and_keeps_its_snapshot(machine, make_sim, hang, monkeypatch):
    monkeypatch.setattr(hands, "PATIENCE", 0.3)
    with hmp_index.index() as index:
        for name in ("aare", "fulda"):
            index.register(machine.workspace(name, "base", sims=[make_sim(name)]))
        hang(machine.root / "aare")
        assert sorted(hit.name for hit in index.find()) == ["aare", "fulda"]
        assert [(one.workspace, one.status) for one in index.notice.skipped] == [("aare", "unreachable")]
        assert index.prune(dry_run=True) == []
        hang.answer(machine.root / "aare")
        deadline = time.monotonic() + 10.0
        while index.refresh():
            assert time.monotonic() < deadline
