"""Several that want the same simulation at once: one does the work, the rest get its run; nobody waits for the dead."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

import hmp_catalog
from hmp_catalog import claims
from hmp_core.errors import BusyError, InvalidInput

#: Simulates when told to; the work ends when it is told so. The last word is how: "wait", "run", "fail".
SIMULATE = """
import sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
def work(rec):
    print("working", rec.sim_id, flush=True)
    word = sys.stdin.readline().strip()
    if word == "fail":
        raise SystemExit("it did not converge")
    rec.metric("nse", 0.8)
run = cat.simulate("gr4j", work, parameters={"x1": 320.0}, if_running=sys.argv[2], wait=30)
print("run", run.sim_id, flush=True)
cat.close()
"""


def said(process) -> list[str]:
    return process.stdout.readline().split()


def tell(process, word="go") -> None:
    process.stdin.write(word + "\n")
    process.stdin.flush()


def claimed(project) -> list[str]:
    return [path.name for path in (project / ".hmp" / "catalog" / claims.FOLDER).glob("*")]


@pytest.fixture
def first(spawn, project):
    """Return a process that is running a simulation."""
    with spawn(SIMULATE, project, "wait") as (process,):
        tell(process)
        assert [said(process)[0], said(process)[0]] == ["ready", "working"]
        yield process


def ask(cat, done, **how):
    """Simulate the same here."""

    def work(rec):
        done.append(rec.sim_id)
        rec.metric("nse", 0.8)

    return cat.simulate("gr4j", work, parameters={"x1": 320.0}, **how)


@pytest.fixture
def waiting(project):
    """Return a function that simulates the same in a thread, from a catalog of its own, and waits with it a little."""
    asking = threading.Event()

    def there(done, how):
        with hmp_catalog.open(project) as cat:
            asking.set()
            return ask(cat, done, **how).sim_id

    def asked(done, **how):
        found = pool.submit(there, done, how)
        assert asking.wait(20)
        time.sleep(0.5)
        assert not found.done()
        return found

    with ThreadPoolExecutor(1) as pool:
        yield asked


def test_of_two_processes_one_does_the_work(spawn, project, cat):
    with spawn(SIMULATE, project, "wait", count=2) as processes:
        assert [said(process) for process in processes] == [["ready"], ["ready"]]
        for process in processes:
            tell(process)
        time.sleep(0.5)
        for process in processes:  # to whoever works
            tell(process)
        told = [process.communicate()[0].split() for process in processes]
    (worked,) = [words for words in told if "working" in words]
    assert sorted(told, key=len) == [["run", worked[1]], ["working", worked[1], "run", worked[1]]]
    assert [run.sim_id for run in cat.find()] == [worked[1]]
    assert claimed(project) == []


def test_whoever_waits_gets_the_run(first, cat, project, waiting):
    done: list[str] = []
    found = waiting(done, wait=30)
    tell(first)
    assert said(first) == ["run", found.result(timeout=30)]
    assert done == []
    assert len(cat) == 1
    assert claimed(project) == []


def test_a_process_that_is_killed_is_not_waited_for(first, cat, project, waiting):
    done: list[str] = []
    found = waiting(done, wait=30)
    began = time.monotonic()
    first.send_signal(signal.SIGKILL)
    assert [found.result(timeout=30)] == done
    assert time.monotonic() - began < 10
    assert sorted(run.status for run in cat) == ["completed", "interrupted"]
    assert claimed(project) == []


def test_a_claim_of_the_dead_keeps_nobody(first, cat, project):
    """Killed before anybody asked: its file is there."""
    first.kill()
    first.wait()
    assert len(claimed(project)) == 1
    done: list[str] = []
    assert [ask(cat, done, if_running="fail").sim_id] == done
    assert claimed(project) == []


def test_work_that_fails_is_done_by_who_waits(first, cat, waiting):
    done: list[str] = []
    found = waiting(done, wait=30)
    tell(first, "fail")
    assert [found.result(timeout=30)] == done
    assert sorted(run.status for run in cat) == ["aborted", "completed"]


@pytest.mark.parametrize("how", [{"if_running": "fail"}, {"wait": 0}, {"wait": 0.3}], ids=str)
def test_who_does_not_wait_is_told_who_runs_it(first, cat, how):
    done: list[str] = []
    with pytest.raises(BusyError, match=f"process {first.pid} on .*if_running='run'") as caught:
        ask(cat, done, **how)
    assert caught.value.holder.startswith(f"process {first.pid} on")
    assert caught.value.waited >= how.get("wait", 0)
    assert done == []
    assert len(cat) == 1


def test_what_one_waits_for_is_said(first, cat, caplog):
    with pytest.raises(BusyError):
        ask(cat, [], wait=1.3)
    assert [record.getMessage() for record in caplog.records if "the same simulation" in record.getMessage()] == [
        f"process {first.pid} on {os.uname().nodename} (run {cat['@running'].sim_id[:8]}) is running the same "
        "simulation; waiting for it, 1.3 s at most"
    ]


def test_it_may_be_run_beside(first, cat):
    done: list[str] = []
    assert [ask(cat, done, if_running="run").sim_id] == done
    tell(first)
    assert said(first)[0] == "run"
    assert len(cat) == 2


def test_another_simulation_is_not_waited_for(first, cat):
    assert cat.simulate("gr4j", lambda rec: rec.metric("nse", 1.0), parameters={"x1": 321.0}, wait=0).metrics


def test_a_thread_does_not_wait_for_itself(cat):
    """A cell of a notebook that is run again, after it failed outside a block."""
    forgotten = cat.record("gr4j", reuse=True, parameters={"x1": 320.0})
    done: list[str] = []
    assert [ask(cat, done, wait=60).sim_id] == done
    forgotten.seal()
    with hmp_catalog.open(cat.path) as again:
        assert ask(again, done, wait=0).status == "completed"


def test_the_child_of_a_fork_holds_no_claim(project, cat):
    code = """
    import os, sys, time, hmp_catalog
    cat = hmp_catalog.open(sys.argv[1])
    rec = cat.record("gr4j", reuse=True, parameters={"x1": 320.0})
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    print(pid, flush=True)
    time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", dedent(code), str(project)], stdout=subprocess.PIPE, text=True) as one:
        child = int(one.stdout.readline())
        try:
            one.kill()
            one.wait()
            done: list[str] = []
            assert [ask(cat, done, wait=5).sim_id] == done
        finally:
            os.kill(child, signal.SIGKILL)


def test_gc_clears_claims_of_the_dead_and_of_nobody_else(first, cat, project):
    (file,) = (project / ".hmp" / "catalog" / claims.FOLDER).glob("*")
    os.utime(file, (1, 1))
    assert [each.path for each in cat.gc(apply=True) if each.kind == "temporary"] == []
    first.kill()
    first.wait()
    assert [each.path for each in cat.gc(apply=True) if each.kind == "temporary"] == [str(file.relative_to(project))]
    assert claimed(project) == []


@pytest.mark.parametrize(
    "how",
    [{"if_running": "never"}, {"wait": -1}, {"wait": "long"}, {"wait": float("nan")}, {"reuse": False, "wait": 3}],
    ids=str,
)
def test_what_is_no_way_to_wait_is_refused(cat, how):
    with pytest.raises(InvalidInput, match=r"wait|reuse=True"):
        cat.record("gr4j", **({"reuse": True} | how))
    assert len(cat) == 0


def test_many_threads_do_the_work_once(project):
    done: list[str] = []
    begin = threading.Barrier(6)

    def one(_):
        with hmp_catalog.open(project) as cat:
            begin.wait()
            return cat.simulate("gr4j", lambda rec: (done.append(rec.sim_id), time.sleep(0.5)), wait=60).sim_id

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(6))) == set(done)
    assert len(done) == 1


def test_a_simulation_that_was_begun_and_dropped_keeps_nobody_waiting(cat, project):
    """Its process may live for days, and will not seal it any more: a notebook whose cell was interrupted."""
    begun = cat.record("gr4j", parameters={"x1": 320.0}, reuse=True)
    assert claimed(project)
    with pytest.raises(BusyError), hmp_catalog.open(project) as other, ThreadPoolExecutor(1) as pool:
        pool.submit(ask, other, [], if_running="fail").result()
    del begun
    gc.collect()
    assert claimed(project) == []
    with hmp_catalog.open(project) as other, ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask, other, [], if_running="fail").result().metrics == {"nse": 0.8}
