"""Two containers on one folder: locks exclude, nobody is taken for dead, and the events of both are all there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.errors import BusyError
from hmp_core.locks import Owner, database_lock, this_process
from hmp_core.testing.gauges import dump, gauges
from hmp_core.testing.surroundings import in_another_namespace

BEGIN = """
import json, os, sys
from pathlib import Path
from uuid import UUID
from hmp_core.errors import BusyError
from hmp_core.locks import Owner, database_lock, this_process
from hmp_core.testing.gauges import gauges
home = Path(sys.argv[1])
def say(value): print(json.dumps(value), flush=True)
def listen(): return sys.stdin.readline().strip()
"""


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process elsewhere that does what it is told."""
    code = (
        BEGIN
        + """
store = gauges(home, timeout=0.2)
say(this_process().as_dict())
while order := listen():
    if order.startswith("append"):
        store.append("gauge.set", {"gauge": str(UUID(int=int(order.split()[1]))), "river": "Aare"})
        say("done")
    if order == "read":
        with store.reading() as backend:
            say(backend.fetch_all("SELECT count(*) FROM gauges")[0][0])
    if order == "hold":
        with database_lock(store.path).hold(5.0):
            say("held")
            listen()
        say("released")
    if order == "try":
        try:
            with database_lock(store.path).hold(0.1):
                say("got it")
        except BusyError as error:
            say(str(error))
    if order.startswith("{"):
        say(Owner(**json.loads(order)).is_dead())
store.close()
"""
    )
    with in_another_namespace(code, str(folder)) as process:
        yield process
        process.kill()


def _ask(process: subprocess.Popen[str], order: str) -> object:
    assert process.stdin is not None
    assert process.stdout is not None
    if order:
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return json.loads(line)


def test_locks_exclude_and_owners_are_not_taken_for_dead(folder: Path, other: subprocess.Popen[str]) -> None:
    there = Owner(**_ask(other, ""))  # type: ignore[arg-type]
    assert there.pid != other.pid, "it counts processes from one"
    assert there.is_dead() is None
    assert _ask(other, json.dumps(this_process().as_dict())) is None
    lock = database_lock(folder / "gauges.duckdb")
    assert _ask(other, "hold") == "held"
    with pytest.raises(BusyError, match=f"process {there.pid} on .* since"), lock.hold(0.1):
        pass
    assert _ask(other, "x") == "released"
    with lock.hold(1.0):
        assert f"process {this_process().pid} on" in str(_ask(other, "try"))
    assert _ask(other, "try") == "got it"


def test_the_events_of_both_are_all_there(folder: Path, other: subprocess.Popen[str]) -> None:
    _ask(other, "")
    store = gauges(folder)
    for number in range(1, 20, 2):
        store.append("gauge.set", {"gauge": str(UUID(int=number)), "river": "Reuss"})
        assert _ask(other, f"append {number + 1}") == "done"
        if number % 5 == 0:
            assert _ask(other, "read") == number + 1
    assert len(dump(store)["gauges"]) == 20
    assert len(store.files.segments()) == 2, "the segment of the other was taken for left"
    store.close()
    assert _ask(other, "read") == 20
