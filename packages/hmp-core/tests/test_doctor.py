"""`hmp doctor`: each thing broken for real and named, nothing said of what is well, and nothing ever changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hmp_core import filesystem
from hmp_core.auth import LocalAuthBackend
from hmp_core.auth.refused import keep
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.doctor import Case, Checks, Finding, Relation, Vocabulary, checks, codes, content, examine, log, machine
from hmp_core.doctor.findings import some, worst
from hmp_core.doctor.holding import quietly
from hmp_core.errors import BusyError, CorruptError
from hmp_core.events import EventStore
from hmp_core.events.record import Event, encode
from hmp_core.identity import uuid7
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.locks import database_lock
from hmp_core.testing.children import start
from hmp_core.testing.gauges import FOLD
from hmp_core.testing.surroundings import in_another_namespace
from hmp_core.testing.traces import differences, trace
from hmp_core.upkeep.unlock import unlock

GAUGES = [f"6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b4{n}" for n in range(6)]
_DAY = 86_400

CHECKS = Checks(
    component="catalog",
    relations=(
        Relation("levels.gauge_id", "gauges.gauge_id"),
        Relation("visits.gauge_id", "gauges.gauge_id", required=False),
        Relation("visits.code", "observers.code"),
    ),
    vocabularies=(Vocabulary("gauges.river", frozenset({"Aare", "Reuss"})),),
)


@pytest.fixture(autouse=True)
def scopes(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """The gauges stand for the catalog, whatever is installed; a test may take them away."""
    known = {("hmp.folds", "catalog"): "hmp_core.testing.gauges:FOLD", ("hmp.folds", "cache"): "none:none"}

    def entry_points(*, group: str, name: str = "") -> EntryPoints:
        return EntryPoints(EntryPoint(n, v, g) for (g, n), v in known.items() if g == group and name in {"", n})

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    monkeypatch.setattr(checks, "entry_points", lambda **_: [SimpleNamespace(load=lambda: CHECKS)])
    return known


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of a project: some gauges with levels, folded and packed."""
    path = catalog_path(init_project(init_workspace(tmp_path_factory.mktemp("made") / "aare").path, "one").path)
    store = _store(path)
    store.prepare_schema()
    for number, gauge in enumerate(GAUGES):
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        store.append("level.set", {"gauge": gauge, "day": number, "level": 1.5})
    store.append("observer.set", {"code": "x", "called": "Ada"})
    store.append("visit.made", {"gauge": GAUGES[0], "code": "x"})
    store.close()
    second = _store(path)
    second.fold()
    second.close()
    return path


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    """A copy of that catalog in its workspace, to spoil."""
    return shutil.copytree(made.parents[2], tmp_path / "aare") / made.relative_to(made.parents[2])


def _store(path: Path) -> EventStore:
    return EventStore(path, FOLD, auth=LocalAuthBackend(), resource="catalog:aare/one")


def _found(database: Path, wait: float = 0.2) -> list[Finding]:
    (looked,) = (each for each in examine(database.parent, wait=wait).databases if each.database.path == database)
    return list(looked.findings)


def _codes(findings: Iterable[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def _one(database: Path, code: Any) -> Finding:
    """Return the finding of a kind; there must be just one."""
    (finding,) = (finding for finding in _found(database) if finding.code == code.name)
    return finding


def _pack(database: Path) -> Path:
    (pack,) = (database.parent / "events").glob("*.log")
    return pack


# ── what is well ─────────────────────────────────────────────────────────────────────────────────────


def test_of_what_is_well_nothing_above_info_is_said(database: Path) -> None:
    report = examine(database.parent)
    # a session of the tests runs on a DuckDB that hmp is not made for
    assert worst(finding for finding in report.findings if finding.code != codes.ENGINE.name) == "info"
    assert [each.database.component for each in report.databases] == ["index", "cache", "catalog"]
    assert {"python", "hmp-core", "duckdb", "sqlite"} <= report.versions.keys()


def test_looking_leaves_no_trace(database: Path) -> None:
    """No fold, no lock file where there is none, no note that another had signed rewritten."""
    writer = _store(database)
    writer.append("gauge.set", {"gauge": GAUGES[0], "river": "Reuss"})
    for lock in ("keep", "remove"):
        if lock == "remove":
            for end in (".lock", ".lock.json"):
                database.with_name(database.name + end).unlink()
        before = trace(database.parents[2])
        assert _one(database, codes.UNFOLDED)
        assert differences(before, trace(database.parents[2])) == []
    writer.close()


def test_whoever_may_only_read_is_answered(database: Path) -> None:
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    code = """
        import os
        from hmp_core.doctor import examine
        examine(project)  # another user may not import what lies in the home of this one
        os.setgid(65534); os.setuid(65534)
        if not os.access(project, os.R_OK):
            say(None)
        else:
            *_, catalog = examine(project).databases
            say([(f.code, f.severity) for f in catalog.findings])
    """
    # the folder of the tests is closed to others
    with tempfile.TemporaryDirectory() as folder:
        workspace = shutil.copytree(database.parents[2], Path(folder) / "aare")
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        shut = workspace / "projects" / "one" / "catalog.duckdb"
        said = []
        for mode in (0o644, 0o600):
            shut.chmod(mode)
            before = trace(workspace)
            with start(code, project=str(shut.parent)) as child:
                said.append(child.hear())
            assert differences(before, trace(workspace)) == []
    if None in said:
        pytest.skip("other users cannot come to the folder for temporary files")
    readable, closed = map(set, said)
    assert ("not-writable", "warning") in readable
    assert "error" not in {severity for _, severity in readable}
    assert ("not-readable", "error") in closed


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def _foreign(path: Path) -> None:
    path.unlink()
    DuckDBBackend(path, create=True).execute("CREATE TABLE recipes (a INTEGER)")


def _newer(path: Path) -> None:
    DuckDBBackend(path).execute("UPDATE schema_migrations SET version = 9 WHERE component = 'gauges'")


def _edited(path: Path) -> None:
    DuckDBBackend(path).execute("UPDATE schema_migrations SET checksum = 'other' WHERE component = 'gauges'")


def _older(path: Path) -> None:
    DuckDBBackend(path).execute("DELETE FROM schema_migrations WHERE component = 'gauges'")


def _broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing"))


def _wal(path: Path) -> None:
    """Leave what a killed process had committed, with a bit turned."""
    code = """
        import os
        from pathlib import Path
        from hmp_core.backends import DuckDBBackend
        backend = DuckDBBackend(Path(path))
        with backend.lease(write=True):
            backend.execute("UPDATE gauges SET river = 'Aaaaaaaaare'")
            os.kill(os.getpid(), 9)
    """
    with start(code, path=str(path)) as child:
        child.join()
    wal = path.with_name(f"{path.name}.wal")
    data = bytearray(wal.read_bytes())
    data[data.index(b"Aaaaaaaaare")] ^= 4
    wal.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_cut, codes.DAMAGED),
        (_garbage, codes.DAMAGED),
        (_empty, codes.EMPTY),
        (_foreign, codes.FOREIGN),
        (_newer, codes.NEWER),
        (_older, codes.OLDER),
        (_edited, codes.EDITED),
        (Path.unlink, codes.MISSING),
        (_broken_link, codes.BROKEN_LINK),
        (_wal, codes.WAL_DAMAGED),
    ],
)
def test_a_spoilt_database_is_named(database: Path, spoil: Callable[[Path], None], code: Any) -> None:
    spoil(database)
    before = trace(database.parent)
    found = _found(database)
    assert [f.code for f in found if f.severity == code.severity] == [code.name]
    assert differences(before, trace(database.parent)) == []
    for finding in found:
        assert finding.remedy
        assert "{" not in finding.remedy


def test_a_database_that_is_not_there_yet_is_no_trouble(database: Path) -> None:
    shutil.rmtree(database.parent / "events")
    shutil.rmtree(database.parent / ".hmp")
    database.unlink()
    assert _codes(_found(database)) == {"database-absent"}


def test_a_marker_that_cannot_be_read_is_told(database: Path) -> None:
    workspace, project = database.parents[2] / "workspace.toml", database.parent / "project.toml"
    project.write_text("name = 7")
    found = {finding.where for finding in examine(database.parent).findings if finding.code == codes.BAD_MARKER.name}
    assert found == {project}
    for text in ('name = "aare"', "["):  # what it says of who may do what is not known either
        workspace.write_text(text)
        assert str(workspace) in _one(database, codes.POLICY).what


def test_links_are_told(database: Path, tmp_path: Path) -> None:
    os.link(database, database.with_name("other.duckdb"))
    assert "other.duckdb" in _one(database, codes.HARD_LINKED).what
    database.with_name("other.duckdb").unlink()
    elsewhere = tmp_path / "elsewhere.duckdb"
    shutil.move(database, elsewhere)
    database.symlink_to(elsewhere)
    assert str(elsewhere) in _one(database, codes.LINKED).what


def test_what_others_left_beside_it_is_told(database: Path) -> None:
    aside = database.with_name(f"{database.name}.wal.corrupt-20260101T000000000000")
    aside.write_bytes(b"x")
    assert _one(database, codes.WAL_ASIDE).where == aside
    for name in (f".{database.name}.1a2b3c4d.new", f".{database.name}.1a2b3c4d.rebuilt.wal"):
        left = database.with_name(name)
        left.write_bytes(b"x")
        assert "leftover" not in _codes(_found(database)), "it may still be being made"
        os.utime(left, (time.time() - 3600,) * 2)
        assert name in _one(database, codes.LEFTOVER).what
        left.unlink()
    wal = database.with_name(f"{database.name}.wal")
    wal.write_bytes(b"x")
    database.unlink()
    assert _one(database, codes.WAL_ALONE).where == wal


def test_other_owners_are_told(database: Path) -> None:
    if os.geteuid():
        pytest.skip("giving a file away needs root")
    os.chown(database, 65534, 65534)
    assert database.name in _one(database, codes.OWNERS).what


# ── the lock ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def holder(database: Path) -> Iterator[Any]:
    """Another process that holds the lock."""
    code = """
        from pathlib import Path
        from hmp_core.locks import database_lock
        with database_lock(Path(path)).hold():
            say("held")
            listen()
    """
    with start(code, path=str(database)) as child:
        assert child.hear() == "held"
        yield child


def _sign(database: Path, **changes: object) -> None:
    note = database.with_name(f"{database.name}.lock.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | changes))


def test_who_holds_the_lock_is_named_and_waited_for_no_longer_than_said(database: Path, holder: Any) -> None:
    began = time.monotonic()
    found = {finding.code: finding for finding in _found(database, wait=0.3)}
    assert time.monotonic() - began < 5
    assert {"lock-held", "database-busy"} <= found.keys()
    assert f"process {holder.pid}" in found["lock-held"].what
    assert "which lives" in found["lock-held"].what
    holder.kill()
    assert not _codes(_found(database)) & {"lock-held", "lock-held-long", "database-busy"}


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"host": "elsewhere"}, codes.HELD, "another host"),
        ({"namespace": "pid:[1]"}, codes.HELD, "pid namespace"),
        ({"boot": "another"}, codes.HELD_LONG, "has ended"),
        ({"since": time.time() - 3600}, codes.HELD_LONG, "which lives"),
        ({"pid": None, "since": "never"}, codes.HELD_LONG, "no note"),
    ],
)
def test_a_holder_that_is_not_plain_to_see(database: Path, holder: Any, changes: Any, code: Any, said: str) -> None:
    _sign(database, **changes)
    assert said in _one(database, code).what


def test_the_lock_is_taken_quietly(database: Path) -> None:
    """Who holds it so keeps writers out, and a writer keeps it waiting."""
    code = """
        from pathlib import Path
        from hmp_core.locks import database_lock
        from hmp_core.errors import BusyError
        try:
            with database_lock(Path(path)).hold(0.1):
                say("taken")
        except BusyError:
            say("busy")
    """
    with quietly(database, 1.0), start(code, path=str(database)) as child:
        assert child.hear() == "busy"
    with start(code, path=str(database)) as child:
        assert child.hear() == "taken"


def test_a_lock_of_this_very_thread_is_not_waited_for(database: Path) -> None:
    with database_lock(database).hold():
        assert "database-busy" not in _codes(_found(database))


def test_waiting_for_the_lock_ends_in_an_error_that_names_the_holder(database: Path, holder: Any) -> None:
    with pytest.raises(BusyError, match=f"process {holder.pid}"), quietly(database, 0.1):
        pass


# ── the log ──────────────────────────────────────────────────────────────────────────────────────────


def test_segments_are_counted_with_their_owners(database: Path) -> None:
    ours = _store(database)
    ours.append("gauge.set", {"gauge": GAUGES[0], "river": "Reuss"})
    other = database.parent / ".hmp" / "catalog" / "pending" / f"{uuid7()}.log"
    other.write_bytes(_line(writer=other.stem))
    assert "2 segments" in _one(database, codes.PENDING).what
    assert "1 in use, 1 left" in _one(database, codes.PENDING).what
    assert "2 acknowledged events" in _one(database, codes.UNFOLDED).what
    assert "log-left" not in _codes(_found(database))
    os.utime(other, (time.time() - 2 * _DAY,) * 2)
    assert other.name in _one(database, codes.LEFT).what
    ours.close()


def _line(*, writer: str, seq: int = 1, clock: float = 0.0, at: float = 0.0, kind: str = "gauge.set") -> bytes:
    """Return a line of a log; ``clock`` and ``at`` are seconds from now."""
    now = time.time()
    said = {"gauge": GAUGES[1], "river": "Aare"}
    times = (int((now + clock) * 1e6), int((now + at) * 1e6))
    return encode(Event(uuid7(), "gauges", 1, kind, *times, "ada", said).placed(writer, seq))


def _segment(database: Path, *lines: dict[str, Any]) -> Path:
    path = database.parent / ".hmp" / "catalog" / "pending" / f"{uuid7()}.log"
    path.write_bytes(b"".join(_line(writer=path.stem, seq=n, **said) for n, said in enumerate(lines, 1)))
    return path


def test_what_waits_is_told_by_its_reason(database: Path) -> None:
    store = _store(database)
    store.append("gauge.painted", {})
    for gauge in ("a" * 8, "b" * 8):
        store.append("level.set", {"gauge": f"{gauge}-5f0a-5c39-9d5e-6a7d3c1e8b42", "day": 1, "level": 1.0})
    store.fold()
    store.close()
    said = [finding.what for finding in _found(database) if finding.code == codes.WAITING.name]
    assert said == ["2 events waiting: gauges ... is not known yet", "1 event waiting: gauge.painted v1 is not known"]


def test_what_was_set_aside_is_told(database: Path) -> None:
    path = _segment(database, {}, {}, {})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert _one(database, codes.LOG_DAMAGED).where == path
    store = _store(database)
    store.fold()
    store.close()
    found = _found(database)
    assert _one(database, codes.REJECTED)
    assert "log-gap" not in _codes(found), "what was set aside is said once"


@pytest.mark.parametrize("where", [30, -30, 500])
def test_a_flipped_bit_in_a_pack_is_found(database: Path, where: int) -> None:
    pack = _pack(database)
    data = bytearray(pack.read_bytes())
    data[where] ^= 4
    pack.write_bytes(data)
    assert _one(database, codes.LOG_DAMAGED).where == pack


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a pack of a few events, to be spoilt again and again."""
    path = catalog_path(init_project(init_workspace(tmp_path_factory.mktemp("packed") / "aare").path, "one").path)
    store = _store(path)
    store.prepare_schema()
    for gauge in GAUGES[:2]:
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
    store.close()
    second = _store(path)
    second.fold()
    second.close()
    return path


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(place=0.999999, bit=0)
@example(place=0.51, bit=0)
def test_any_flipped_bit_of_a_pack_that_was_read_is_found(packed: Path, place: float, bit: int) -> None:
    """Also in the head of the last line, which then looks like one that was cut short."""
    pack = _pack(packed)
    whole = pack.read_bytes()
    spoilt = bytearray(whole)
    spoilt[int(place * len(whole))] ^= 1 << bit
    pack.write_bytes(spoilt)
    try:
        with DuckDBBackend(packed).lease(write=False, unlocked=True):
            found = [*log.damage(_case(packed)), *content._folded(_case(packed), DuckDBBackend(packed))]
    finally:
        pack.write_bytes(whole)
    assert codes.LOG_DAMAGED.name in {finding.code for finding in found}


def _case(database: Path) -> Case:
    return Case(Database("catalog", database), database.parent)


def test_a_line_that_was_taken_out_is_missed(database: Path) -> None:
    pack = _pack(database)
    lines = pack.read_bytes().splitlines(keepends=True)
    pack.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert "the lines 4 are missing" in _one(database, codes.GAP).what
    assert pack.name in _one(database, codes.LOST).what


def test_a_pack_that_is_gone_is_missed(database: Path) -> None:
    pack = _pack(database)
    pack.unlink()
    assert _one(database, codes.LOST).severity == "error"
    assert pack.name in _one(database, codes.LOST).what


def test_a_tail_that_was_never_acknowledged_is_no_damage(database: Path) -> None:
    path = _segment(database, {}, {})
    os.truncate(path, path.stat().st_size - 7)
    assert not _codes(_found(database)) & {"log-damaged", "log-gap"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"clock": 7200.0, "at": 7200.0}, codes.AHEAD),
        ({"clock": 7200.0}, codes.AHEAD),
        ({"clock": -10.0, "at": -7200.0}, codes.BEHIND),
        ({"clock": 10.0, "at": -10.0}, None),
    ],
)
def test_clocks_that_jumped_are_told(database: Path, said: dict[str, float], code: Any) -> None:
    _segment(database, said)
    found = _codes(_found(database)) & {"clock-ahead", "clock-behind"}
    assert found == ({code.name} if code else set())


# ── what the database says ───────────────────────────────────────────────────────────────────────────


def test_rows_without_parents_are_named(database: Path) -> None:
    DuckDBBackend(database).execute("DELETE FROM gauges")
    finding = _one(database, codes.ORPHAN_ROWS)
    assert finding.what == (
        f"6 rows of levels.gauge_id name no row of gauges.gauge_id: {', '.join(GAUGES[:5])} and 1 more"
    )
    assert "visits.gauge_id" in _one(database, codes.ELSEWHERE).what


def test_a_parent_that_was_purged_or_deleted_is_not_missed(database: Path) -> None:
    store = _store(database)
    store.append("gauge.purged", {"gauge": GAUGES[0]})
    store.append("observer.set", {"code": "x", "called": None})
    store.append("visit.made", {"gauge": GAUGES[1], "code": "x"})
    store.fold()
    store.close()
    assert not _codes(_found(database)) & {"parent-missing", "parent-elsewhere"}
    backend = DuckDBBackend(database)
    backend.execute(f"INSERT INTO visits VALUES ('{GAUGES[5]}', '{GAUGES[0]}', 'x', '1')")
    assert not _codes(_found(database)) & {"parent-missing", "parent-elsewhere"}, "it need not be there"
    backend.execute(f"INSERT INTO levels VALUES ('{GAUGES[0]}', '2020-01-01', 1.0, NULL, '1')")
    assert "levels.gauge_id" in _one(database, codes.ORPHAN_ROWS).what, "a purge takes all that is required"


def test_words_that_nobody_knows_are_told(database: Path) -> None:
    DuckDBBackend(database).execute(f"UPDATE gauges SET river = 'Styx' WHERE gauge_id = '{GAUGES[0]}'")
    assert "'Styx'; known are Aare, Reuss" in _one(database, codes.UNKNOWN_VALUE).what


def test_backups_are_opened(database: Path) -> None:
    assert _one(database, codes.NO_BACKUP)
    folder = database.parent / ".hmp" / "catalog" / "backups"
    from hmp_core.backups import take_backup

    good = take_backup(database)
    assert "1 backup, the newest 0.0 days old" in _one(database, codes.BACKUPS).what
    assert "backup-damaged" not in _codes(_found(database))
    bad = good.with_name(good.name.replace("asked", "spoilt"))
    bad.write_bytes(good.read_bytes()[:5000])
    assert _one(database, codes.BACKUP_DAMAGED).where == bad
    assert sorted(path.name for path in folder.iterdir()) == sorted([good.name, bad.name]), "nothing was made beside"


def test_refused_writes_are_told(database: Path) -> None:
    for user in ("eve", "mallory", "eve"):
        keep(database, user=user, action="write", resource="x", what="run.opened")
    assert "3 writes by eve, mallory" in _one(database, codes.REFUSED).what


def test_who_may_not_read_is_told_so(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody(LocalAuthBackend):
        def can_read(self, resource: str) -> bool:
            return False

    monkeypatch.setattr(Database, "auth", lambda self: Nobody())
    assert _one(database, codes.DENIED)


def test_a_scope_that_is_not_installed_is_told(database: Path, scopes: dict[tuple[str, str], str]) -> None:
    scopes.clear()
    assert "hmp-catalog" in _one(database, codes.SCOPE_MISSING).what


def test_a_check_that_cannot_be_made_keeps_no_other_out(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(case: Case, told: Any) -> Iterable[Finding]:
        raise OSError(5, "Input/output error", str(database.parent / "simulations"))

    spoilt = Checks(CHECKS.component, relations=CHECKS.relations, look=fail)
    monkeypatch.setattr(checks, "entry_points", lambda **_: [SimpleNamespace(load=lambda: spoilt)])
    DuckDBBackend(database).execute("DELETE FROM gauges")
    assert {"check-failed", "parent-missing"} <= _codes(_found(database))
    assert _one(database, codes.FAILED).where == database.parent / "simulations"


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that everything lies on a file system of some type."""

    def mount(kind: str, options: str = "rw") -> None:
        (tmp_path / "mountinfo").write_text(f"36 35 0:99 / / {options} - {kind} server:/export rw\n")
        monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "mountinfo")

    return mount


def _of_machine(database: Path) -> dict[str, Finding]:
    return {finding.code: finding for finding in examine(database.parent).machine}


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("ext4", "rw", None),
        ("nfs4", "rw", codes.NETWORK),
        ("ext4", "ro", codes.READ_ONLY),
        ("tmpfs", "rw", codes.VOLATILE),
    ],
)
def test_the_file_system_is_told_once(
    database: Path, mounted: Callable[..., None], kind: str, options: str, code: Any
) -> None:
    mounted(kind, options)
    found = [finding for finding in examine(database.parent).machine if finding.code.startswith("filesystem")]
    assert [finding.code for finding in found] == ([code.name] if code else [])


def test_a_network_whose_host_is_named_is_no_trouble(
    database: Path, mounted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted("nfs4")
    marker = database.parents[2] / "workspace.toml"
    before = marker.read_text()
    marker.write_text(f'{before}[fold]\nhost = "node1"\n')
    assert "node1 folds" in _of_machine(database)["filesystem-one-host"].what
    marker.write_text(f"{before}[fold]\nhost = 7\n")
    assert _of_machine(database)["fold-host-unreadable"].where == marker
    marker.write_text(before)
    monkeypatch.setenv("HMP_FOLD", "never")
    assert "filesystem-one-host" in _of_machine(database)


def test_little_room_is_told(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=50 << 20))
    assert "50 MiB are free" in _of_machine(database)["space-low"].what


def test_an_engine_that_hmp_is_not_made_for_is_an_error(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = machine.version
    monkeypatch.setattr(machine, "version", lambda name: "2.0.0" if name == "duckdb" else original(name))
    finding = _of_machine(database)["engine-unsupported"]
    assert finding.severity == "error"
    assert "found 2.0.0" in finding.what


def test_packages_that_do_not_fit_are_told(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = machine.version
    monkeypatch.setattr(machine, "version", lambda name: "0.0.1" if name == "platformdirs" else original(name))
    assert "needs platformdirs>=4.3, found 0.0.1" in _of_machine(database)["versions-mismatch"].what


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ("1.5.5", ">=1.5.5,<2", True),
        ("1.5.4", ">=1.5.5,<2", False),
        ("2", ">=1.5.5,<2", False),
        ("2.0.0rc1", "<2", False),
        ("1.10.0", ">=1.9", True),
        ("1.4.2", "~=1.4.1", True),
        ("1.5.0", "~=1.4.1", False),
        ("1.4", "==1.4.0", True),
        ("1.4.7", "==1.4.*", True),
        ("1.5", "!=1.4.*", True),
        ("3", ">2,<=3", True),
        ("1", "", True),
        ("1", "===1", True),
    ],
)
def test_ranges_of_versions(found: str, wanted: str, fits: bool) -> None:
    assert machine.fits(found, wanted) is fits


def test_a_clock_that_cannot_be_right_is_told(tmp_path: Path) -> None:
    assert [finding.code for finding in machine.look(tmp_path, 1000.0)] == ["clock-implausible"]
    assert list(machine.look(tmp_path, time.time())) == []


# ── findings ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_finding_is_provoked_by_a_test() -> None:
    """A kind that no test has seen is a promise that nobody keeps."""
    text = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_doctor*.py")))
    named = {getattr(codes, name).name for name in re.findall(r"codes\.([A-Z_]+)\b", text) if name != "ALL"}
    literal = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text))
    assert {code.name for code in codes.ALL} - named - literal == set()


def test_names_of_kinds_are_one_of_a_kind() -> None:
    names = [code.name for code in codes.ALL]
    assert len(names) == len(set(names))
    assert all(code.meaning.endswith(".") and code.remedy for code in codes.ALL)


def test_few_are_named_and_the_rest_counted() -> None:
    assert some([]) == ""
    assert some("abcde") == "a, b, c, d, e"
    assert some("abcdefg") == "a, b, c, d, e and 2 more"


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a pipe"), (os.mkdir, "a folder")])
def test_what_is_no_file_is_refused_before_an_engine_waits_for_it(
    database: Path, make: Callable[[Path], None], kind: str
) -> None:
    database.unlink()
    make(database)
    for write in (False, True):
        with pytest.raises(CorruptError, match=kind), DuckDBBackend(database).lease(write=write):
            pass
    told = [finding for finding in _found(database) if finding.severity == "error"]
    assert [finding.code for finding in told] == [codes.FOREIGN.name]
    assert kind in told[0].what


def test_the_remedy_is_a_command_that_can_be_typed_anywhere(database: Path) -> None:
    _garbage(database)
    assert _one(database, codes.DAMAGED).remedy == f"rebuild it: `hmp catalog rebuild --project {database.parent}`"


def test_a_holder_in_another_pid_namespace_is_the_one_that_unlock_names(database: Path) -> None:
    """The lock is free of it in a moment: until then both say that it lives, and by which number."""
    code = """
import sys
from pathlib import Path
from hmp_core.locks import database_lock
with database_lock(Path(sys.argv[1])).hold(5.0):
    print("held", flush=True)
    sys.stdin.readline()
"""
    with in_another_namespace(code, str(database)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = _one(database, codes.HELD).what
        with pytest.raises(BusyError) as refused:
            unlock(database, FOLD)
        holder.kill()
    (number,) = re.findall(r"which lives: end process (\d+)", str(refused.value))
    assert f"in another container or pid namespace, which lives: here it is process {number}" in said
