"""What may only be read: it answers and says what the answer lacks, writing is refused, and nothing is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.errors import NotWritable
from hmp_core.events.rebuild import rebuild
from hmp_core.migrations.runner import apply_migrations
from hmp_core.testing.children import run
from hmp_core.testing.door_suite import anybodys_folder, closed_to_writers
from hmp_core.testing.gauges import FOLD, MIGRATIONS, gauges
from hmp_core.testing.surroundings import STRANGER, read_only_medium, require_root


def _gauge(number: int) -> dict[str, Any]:
    return {"gauge": str(UUID(int=number)), "river": "Aare"}


@pytest.fixture(params=["with a lock file", "without"])
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one gauge folded and two that are not."""
    with anybodys_folder() as folder:
        store = gauges(folder / "aare")
        store.prepare_schema()
        store.append("gauge.set", _gauge(1))
        store.fold()
        for number in (2, 3):
            store.append("gauge.set", _gauge(number))
        with monkeypatch.context() as patch:
            patch.setenv("HMP_FOLD", "never")
            store.close()
        if request.param == "without":
            for end in (".lock", ".lock.json"):
                (folder / "aare" / f"gauges.duckdb{end}").unlink()
        yield folder / "aare"


def _snapshot(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() if p.is_file() else b"" for p in sorted(home.rglob("*"))}


def _refused(home: Path) -> None:
    store = gauges(home)
    for act in (
        lambda: store.append("gauge.set", _gauge(4)),
        store.fold,
        lambda: rebuild(store.path, FOLD),
        lambda: apply_migrations(home / "other.duckdb", MIGRATIONS, component="gauges"),
        lambda: gauges(home / "other").prepare_schema(),
    ):
        with pytest.raises(NotWritable) as refused:
            act()
        assert isinstance(refused.value, PermissionError)


def test_a_medium_that_may_only_be_read(home: Path) -> None:
    with read_only_medium(home) as medium:
        before = _snapshot(home)
        for read_only in (True, False):
            store = gauges(medium, read_only=read_only)
            with store.reading() as backend:
                assert backend.fetch_all("SELECT count(*) FROM gauges") == [(1,)]
            assert store.notice.unfolded == 2
            assert store.notice.reason
            store.close()
        _refused(medium)
        assert _snapshot(home) == before


def test_a_folder_that_may_only_be_read(home: Path) -> None:
    require_root("be another user")
    before = _snapshot(home)
    closed_to_writers(home)
    code = """
        from hmp_core.errors import HmpError, NotWritable
        from hmp_core.events.rebuild import rebuild
        from hmp_core.testing.gauges import FOLD, gauges
        from hmp_core.testing.surroundings import become
        become(user)
        for read_only in (True, False):
            store = gauges(folder, read_only=read_only)
            with store.reading() as backend:
                say((backend.fetch_all("SELECT count(*) FROM gauges")[0][0], store.notice.unfolded))
            store.close()
        store = gauges(folder)
        gauge = {"gauge": "00000000-0000-0000-0000-000000000004", "river": "Aare"}
        for act in (lambda: store.append("gauge.set", gauge), store.fold, lambda: rebuild(store.path, FOLD)):
            try:
                act()
                say("done")
            except NotWritable:
                say("refused")
    """
    assert run(code, folder=home, user=STRANGER) == [(1, 2), (1, 2), *["refused"] * 3]
    assert _snapshot(home) == before


def test_a_file_that_may_be_written_in_a_folder_that_may_not(home: Path) -> None:
    """The engine could open it, but no WAL can lie beside it: nothing is folded, and the answer says so."""
    require_root("be another user")
    closed_to_writers(home)
    for path in home.glob("gauges.duckdb*"):
        path.chmod(0o666)
    code = """
        from hmp_core.testing.gauges import gauges
        from hmp_core.testing.surroundings import become
        become(user)
        for _ in range(2):
            store = gauges(folder)
            with store.reading() as backend:
                found = backend.fetch_all("SELECT count(*) FROM gauges")[0][0]
            say(found + store.notice.unfolded)
    """
    assert run(code, folder=home, user=STRANGER) == [3, 3]
