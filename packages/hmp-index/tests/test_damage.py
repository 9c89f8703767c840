"""The index, its WAL and its list, cut, overwritten or with a bit turned: it mends itself, or names what is wrong."""

from __future__ import annotations

import signal

import pytest

import hmp_index
from hmp_core.errors import CorruptError, HmpError
from hmp_core.testing.children import start
from hmp_core.testing.damage import spoilt

#: Commits and is killed before the checkpoint.
KILLED = """
    import os
    from hmp_core.backends import DuckDBBackend
    backend = DuckDBBackend(path)
    with backend.lease(write=True):
        backend.execute("UPDATE projects SET mark = 'to be looked into'")
        backend.execute("UPDATE simulations_cache SET search_text = search_text || ' more'")
        os.kill(os.getpid(), 9)
"""

#: Makes the index anew, and dies before the line of that number in the rooms that put one in the place of another.
REBUILDS = """
    import os, signal, sys
    import hmp_index
    from hmp_core import replacing
    from hmp_index import book, queries
    rooms, left = {room.__file__ for room in (replacing, book, queries)}, at

    def traced(frame, event, argument):
        global left
        if frame.f_code.co_filename not in rooms:
            return None
        left -= event == "line"
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return traced

    with hmp_index.index(path) as index:
        sys.settrace(traced)
        index.rebuild()
        sys.settrace(None)
    say(at - left)
"""


@pytest.fixture
def filled(machine, make_sim):
    """An index of two workspaces with two simulations each, closed."""
    runs = [make_sim("base", {"nse": 0.8}, {"x1": 320.0}, ["paper"]), make_sim("wet", {"nse": 0.6})]
    with hmp_index.index() as index:
        for name in ("aare", "fulda"):
            index.register(machine.workspace(name, "one", sims=runs))
    return machine


def _answers(machine):
    with hmp_index.index(machine.database) as index:
        return {(hit.workspace, hit.name, str(hit.metrics), str(hit.tags)) for hit in index.find()}, index.notice


@pytest.fixture
def right(filled):
    found, notice = _answers(filled)
    assert len(found) == 4
    assert not notice
    return found


# ── the database ─────────────────────────────────────────────────────────────────────────────────────


def _judge_index(filled, right, *, count, seed):
    whole = filled.database.read_bytes()
    for how, content in spoilt(whole, count=count, seed=seed):
        filled.database.write_bytes(content)
        found, notice = _answers(filled)
        assert found == right, how
        assert not notice.skipped, how
        if notice:
            assert "set aside" in str(notice), how
            kept = sorted((filled.state / ".hmp/index/replaced").iterdir())[-1]
            assert kept.read_bytes() == content, how


def test_a_spoilt_index_mends_itself(filled, right):
    _judge_index(filled, right, count=3, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_index_spoilt_anywhere_mends_itself(filled, right):
    _judge_index(filled, right, count=150, seed=2)


def test_who_only_reads_is_told_the_verb(filled, right):
    filled.database.write_bytes(b"not a database")
    with pytest.raises(CorruptError, match="`hmp index rebuild`"):
        hmp_index.index(filled.database, read_only=True)
    assert filled.database.read_bytes() == b"not a database"


# ── its WAL ──────────────────────────────────────────────────────────────────────────────────────────


def _wal(machine):
    return machine.database.with_name("index.duckdb.wal")


def _killed(machine):
    with start(KILLED, path=machine.database) as child:
        child.join()
    return _wal(machine).read_bytes()


def _aside(machine):
    return [path.read_bytes() for path in sorted(machine.state.glob("index.duckdb.wal.corrupt-*"))]


def test_a_spoilt_wal_is_kept_and_the_workspaces_are_read_anew(filled, right):
    whole = filled.database.read_bytes()
    data = _killed(filled)
    kept = 0
    for how, content in spoilt(data, count=4, seed=3):
        filled.database.write_bytes(whole)
        _wal(filled).write_bytes(content)
        found, notice = _answers(filled)
        assert found == right, how
        if notice:
            kept += 1
            assert "could not be replayed" in str(notice), how
            assert content in _aside(filled), how
    assert kept == len(_aside(filled)) > 3


def test_a_workspace_out_of_reach_keeps_its_snapshot(filled, right):
    """It is in the last checkpoint, and nowhere else."""
    data = _killed(filled)
    _wal(filled).write_bytes(data.replace(b"looked", b"cooked"))
    (filled.root / "aare").rename(filled.root / "elsewhere")
    found, notice = _answers(filled)
    assert found == right
    assert [one.workspace for one in notice.skipped] == ["aare"]
    assert len(_aside(filled)) == 1


def test_who_only_reads_leaves_the_wal(filled, right):
    data = _killed(filled).replace(b"looked", b"cooked")
    _wal(filled).write_bytes(data)
    with pytest.raises(CorruptError, match=r"index\.duckdb\.wal"):
        hmp_index.index(filled.database, read_only=True)
    assert _wal(filled).read_bytes() == data


def test_a_rebuild_keeps_the_wal_too(filled, right):
    with hmp_index.index(filled.database) as index:
        data = _killed(filled).replace(b"looked", b"cooked")
        _wal(filled).write_bytes(data)
        assert not index.rebuild().skipped
    assert _aside(filled) == [data]
    assert _answers(filled)[0] == right


def test_a_rebuild_that_is_killed_loses_no_snapshot(filled, right):
    """Of the workspace that is out of reach, the index has all there is."""
    away = filled.root / "off" / "the" / "shelf"
    away.mkdir(parents=True)
    (filled.root / "aare").rename(away / "aare")
    with start(REBUILDS, path=str(filled.database), at=1_000_000) as child:
        lines = child.hear()
    assert lines > 40
    for at in range(1, lines - lines // 6, lines // 12):  # a few lines less where a folder is there already
        with start(REBUILDS, path=str(filled.database), at=at) as child:
            assert child.join() == -signal.SIGKILL
        found, notice = _answers(filled)
        assert found == right, at
        assert [one.workspace for one in notice.skipped] == ["aare"]
    with hmp_index.index(filled.database) as index:
        index.rebuild()
    assert not list(filled.state.glob("*.new*"))


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_spoilt_list_is_refused_by_name_or_told(filled, right):
    """What is no list is refused; one that leads elsewhere leaves a workspace out of reach, which is said."""
    whole = filled.list.read_bytes()
    refused = 0
    for how, content in spoilt(whole, count=14, seed=4):
        filled.list.write_bytes(content)
        try:
            found, notice = _answers(filled)
        except HmpError as error:
            refused += 1
            assert "workspaces.toml" in str(error), (how, error)  # noqa: PT017 - either will do
        else:
            same = {row[1:] for row in found} == {row[1:] for row in right}  # a label may be another
            assert same or notice.skipped or how.startswith("cut"), how
        assert filled.list.read_bytes() == content, how
    assert refused > 10
    filled.list.write_bytes(whole)
    assert _answers(filled)[0] == right
