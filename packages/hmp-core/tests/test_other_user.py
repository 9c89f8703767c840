"""Two users and one workspace: they work together, or are told who owns what and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hmp_core.errors import BusyError
from hmp_core.events.store import components
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.locks import database_lock
from hmp_core.migrations.runner import create_database
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import anybodys_folder
from hmp_core.testing.gauges import FOLD, gauges
from hmp_core.testing.surroundings import FRIEND, GROUP, STRANGER, require_root

WORK = """
    from uuid import UUID
    from hmp_core.errors import HmpError
    from hmp_core.testing.gauges import gauges
    from hmp_core.testing.surroundings import become
    become(user, groups=groups, umask=umask)
    store = gauges(folder, timeout=5.0)
    try:
        store.prepare_schema()
        store.append("gauge.set", {"gauge": str(UUID(int=user)), "river": "Aare"})
        appended = ""
    except HmpError as error:
        appended = f"{type(error).__name__}: {error}"
    try:
        with store.reading() as backend:
            found = backend.fetch_all("SELECT count(*) FROM gauges")[0][0]
        told = (found, store.notice.unfolded, store.notice.reason)
    except HmpError as error:
        told = f"{type(error).__name__}: {error}"
    store.close()
    say((appended, told))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of a group, as ``chmod g+rwxs`` makes it."""
    require_root("be another user")
    with anybodys_folder() as folder:
        home = folder / "aare"
        home.mkdir()
        os.chown(home, FRIEND, GROUP)
        home.chmod(0o2775)
        yield home


def _as(user: int, home: Path, umask: int, groups: tuple[int, ...] = (GROUP,)) -> Any:
    ((appended, told),) = run(WORK, folder=home, user=user, groups=groups, umask=umask)
    return appended, told


def test_a_group_that_lets_its_members_write_works_together(shared: Path) -> None:
    for number, user in enumerate((FRIEND, STRANGER, FRIEND, STRANGER)):
        assert _as(user, shared, 0o002) == ("", (min(number + 1, 2), 0, ""))


def test_a_group_whose_members_keep_to_themselves_is_told_what_to_do(shared: Path) -> None:
    """With umask 022 what one makes the other may only read."""
    assert _as(FRIEND, shared, 0o022) == ("", (1, 0, ""))
    appended, told = _as(STRANGER, shared, 0o022)
    assert appended.startswith("NotWritable: ")
    assert "umask 002" in appended
    assert "chmod -R g+rwX" in appended
    assert str(FRIEND) in appended
    assert told == (1, 0, "")
    assert _as(FRIEND, shared, 0o022) == ("", (1, 0, ""))
    for path in shared.rglob("*"):  # the remedy
        path.chmod(path.stat().st_mode | 0o060)
    assert _as(STRANGER, shared, 0o002) == ("", (2, 0, ""))
    assert _as(FRIEND, shared, 0o002) == ("", (2, 0, ""))


def test_who_may_only_read_waits_for_writers_all_the_same(shared: Path) -> None:
    """The lock file is another's; it is locked by whoever may read it."""
    assert _as(FRIEND, shared, 0o022)[0] == ""
    code = """
        from hmp_core.locks import database_lock
        from hmp_core.testing.surroundings import become
        become(user)
        with database_lock(path).hold(1.0):
            say("held")
            listen()
    """
    path = shared / "gauges.duckdb"
    with start(code, path=path, user=STRANGER) as reader:
        assert reader.hear() == "held"
        with pytest.raises(BusyError), database_lock(path).hold(0.05):
            pass
        reader.tell()
        reader.join()
    with database_lock(path).hold(0.5):
        pass


def test_a_stranger_reads_and_is_refused_what_he_would_write(shared: Path) -> None:
    assert _as(FRIEND, shared, 0o022)[0] == ""
    before = {str(p): p.stat().st_mtime_ns for p in shared.rglob("*")}
    appended, told = _as(STRANGER, shared, 0o022, groups=())
    assert appended.startswith("NotWritable: ")
    assert told == (1, 0, "")
    assert {str(p): p.stat().st_mtime_ns for p in shared.rglob("*")} == before


REPLACE = """
    from hmp_core.errors import NotWritable
    from hmp_core.events.rebuild import rebuild
    from hmp_core.events.store import components
    from hmp_core.testing.gauges import FOLD, gauges
    from hmp_core.testing.surroundings import become
    from hmp_core.upkeep.vacuum import vacuum
    become(user, groups=(), umask=0o022)
    path = gauges(folder).path
    for act in (lambda: vacuum(path, components(FOLD)), lambda: rebuild(path, FOLD)):
        try:
            act()
            say("done")
        except NotWritable as error:
            say(str(error))
"""


def test_a_stranger_who_would_replace_the_database_is_told_whose_it_is(shared: Path) -> None:
    assert _as(FRIEND, shared, 0o022)[0] == ""
    for told in run(REPLACE, folder=shared, user=STRANGER):
        assert " belongs to " in told
        assert "its owner runs" in told
        assert "IO Error" not in told


def test_a_sticky_folder(shared: Path) -> None:
    """Everybody writes and nobody removes what is another's: what is folded stays in both places, and counts once."""
    shared.chmod(0o3777)
    for number, user in enumerate((FRIEND, STRANGER, FRIEND)):
        assert _as(user, shared, 0o000) == ("", (min(number + 1, 2), 0, ""))
    for path in [p for p in shared.rglob("*") if p.is_dir()]:
        path.chmod(0o3777)
    for user in (STRANGER, FRIEND, STRANGER):
        assert _as(user, shared, 0o000) == ("", (2, 0, ""))
    store = gauges(shared)
    with store.reading() as backend:
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(2,)]
    assert not store.notice


def _two_projects(shared: Path) -> tuple[Path, Path, Path]:
    """Make a workspace with two projects, of which one is closed to others."""
    root = init_workspace(shared / "fulda").path
    one, two = (catalog_path(init_project(root, name).path) for name in ("one", "two"))
    for path in (one, two):
        create_database(path, components(FOLD))
    one.parent.chmod(0o700)
    return root, one, two


@pytest.mark.parametrize("verb", ["refused", "unlock", "status"])
def test_a_project_that_is_closed_is_told_by_the_command(shared: Path, verb: str) -> None:
    root, one, two = _two_projects(shared)
    code = """
        import contextlib, io, os
        from hmp_core.cli import main
        from hmp_core.testing.surroundings import become
        os.environ["HMP_STATE_HOME"] = str(folder / "no-index")

        def told():
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                return main.main(["db", verb, str(folder)]), out.getvalue(), err.getvalue()

        told()  # another user may not be able to import anything
        become(user)
        say(told())
    """
    ((status, out, err),) = run(code, folder=root, user=STRANGER, verb=verb)
    assert status == 13, err
    assert f"{one.parent} belongs to " in (out if verb == "status" else err)
    assert verb == "refused" or str(two) in out, "the others are told of"


def test_the_doctor_looks_at_what_is_not_closed(shared: Path) -> None:
    root, one, two = _two_projects(shared)
    code = """
        from hmp_core.cli.doctor import _page
        from hmp_core.doctor import examine
        from hmp_core.testing.surroundings import become
        examine(folder)
        become(user)
        report = examine(folder)
        assert _page(report)[-1].endswith("looked at: 1 catalog")
        say([(str(each.database.path), [f.code for f in each.findings]) for each in report.databases])
    """
    ((*_, closed, other),) = run(code, folder=root, user=STRANGER)
    assert closed == (str(one), ["not-readable"])
    assert other[0] == str(two)
    assert "not-readable" not in other[1]


def test_a_note_that_may_not_be_removed_stays(shared: Path) -> None:
    database = shared / "gauges.duckdb"
    leave = """
        import os
        from hmp_core.locks import database_lock
        with database_lock(path).hold(1.0):
            os._exit(0)
    """
    run(leave, path=database)
    shared.chmod(0o755)
    code = """
        from hmp_core.testing.surroundings import become
        from hmp_core.upkeep.unlock import unlock
        become(user)
        say(unlock(path, None))
    """
    (said,) = run(code, path=database, user=STRANGER)
    assert said.startswith("free; the note of process ")
    assert "stays (Permission denied)" in said
