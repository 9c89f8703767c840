"""Which host folds: the one that the workspace names, unless the environment decides."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import FoldDisabled, InvalidInput, MigrationPending
from hmp_core.events import EventStore
from hmp_core.events import host as hosts
from hmp_core.events.host import fold_host, is_this, why_not_fold
from hmp_core.events.rebuild import rebuild
from hmp_core.events.store import components
from hmp_core.layout import catalog_path, init_project, init_workspace
from hmp_core.migrations.runner import migrate
from hmp_core.testing.gauges import FOLD

GAUGE = "6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The catalog of a project of a workspace, with the tables of the gauges."""
    path = catalog_path(init_project(init_workspace(tmp_path / "aare").path, "one").path)
    _store(path).prepare_schema()
    return path


def _store(path: Path) -> EventStore:
    return EventStore(path, FOLD, auth=LocalAuthBackend(), resource="x")


def _say(database: Path, text: str) -> None:
    marker = database.parents[2] / "workspace.toml"
    head = marker.read_text().partition("[fold]")[0]
    marker.write_text(f"{head}{text}")


def _name(database: Path, host: str) -> None:
    _say(database, f'[fold]\nhost = "{host}"\n')


def test_where_nothing_is_said_everybody_folds(database: Path) -> None:
    assert why_not_fold(database) == ""
    assert fold_host(database.parent) is None


def test_another_host_appends_and_reads_what_was_folded(database: Path) -> None:
    _name(database, "node1")
    writer = _store(database)
    writer.append("gauge.set", {"gauge": GAUGE, "river": "Aare"})
    writer.close()
    reader = _store(database)
    with reader.reading() as backend:
        assert backend.fetch_all("SELECT * FROM gauges") == []
    assert reader.notice.unfolded == 1
    assert "workspace.toml says that node1 folds" in str(reader.notice)
    with pytest.raises(FoldDisabled, match="node1"), reader.immediate():
        pass
    with pytest.raises(FoldDisabled, match="node1"):
        rebuild(database, FOLD)
    with pytest.raises(FoldDisabled, match="node1"):
        reader.fold()
    reader.close()


def test_another_host_does_not_upgrade(database: Path) -> None:
    """An upgrade puts another file in the place of the one that the named host may have open."""
    for table in FOLD.tables:
        DuckDBBackend(database).execute(f"DROP TABLE {table.name}")
    DuckDBBackend(database).execute("DELETE FROM schema_migrations WHERE component = 'gauges'")
    _name(database, "node1")
    before = database.stat().st_ino
    for requested in (False, True):
        with pytest.raises(MigrationPending, match=r"not here: .* node1 folds"):
            migrate(database, components(FOLD), requested=requested)
    assert database.stat().st_ino == before
    _name(database, socket.gethostname())
    migrate(database, components(FOLD))
    assert database.stat().st_ino != before


def test_the_named_host_folds(database: Path) -> None:
    _name(database, socket.gethostname())
    store = _store(database)
    store.append("gauge.set", {"gauge": GAUGE, "river": "Aare"})
    with store.reading() as backend:
        assert backend.fetch_all("SELECT river FROM gauges") == [("Aare",)]
    store.close()


def test_what_is_said_counts_from_then_on(database: Path) -> None:
    """The answer is remembered, and asked again when the file changes."""
    assert why_not_fold(database) == ""
    _name(database, "node1")
    assert "node1" in why_not_fold(database)
    _name(database, "node2")
    assert "node2" in why_not_fold(database)
    (database.parents[2] / "workspace.toml").unlink()
    assert why_not_fold(database) == ""


@pytest.mark.parametrize(("variable", "may"), [("never", False), ("Always", True), ("", False)])
def test_the_environment_wins(database: Path, variable: str, may: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _name(database, "node1")
    monkeypatch.setenv("HMP_FOLD", variable)
    assert (why_not_fold(database) == "") is may
    _name(database, socket.gethostname())
    assert (why_not_fold(database) == "") is (variable != "never")


@pytest.mark.parametrize("variable", ["no", "0", "sometimes", "never "])
def test_a_word_that_says_nothing_of_folding_is_refused(
    database: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMP_FOLD", variable)
    with pytest.raises(InvalidInput, match=r"HMP_FOLD is .*'never'.*'always'"):
        why_not_fold(database)
    with pytest.raises(InvalidInput, match="HMP_FOLD"), _store(database).reading():
        pass


@pytest.mark.parametrize("text", ["[fold]\nhost = 3\n", "[fold\n", "fold = 7\n", "[fold]\nhost = ['a', 'b']\n"])
def test_what_cannot_be_understood_keeps_everybody_from_folding(database: Path, text: str) -> None:
    _say(database, text)
    assert "workspace.toml" in why_not_fold(database)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("node1", "node1", True),
        ("node1", "NODE1", True),
        ("node1.cluster.org", "node1", True),
        ("node1", "node1.cluster.org", True),
        ("node1.cluster.org", "node1.other.org", False),
        ("node1", "node10", False),
    ],
)
def test_a_host_goes_by_its_name_with_or_without_the_domain(
    ours: str, theirs: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: ours)
    assert is_this(theirs) is same


def test_asking_is_cheap(database: Path) -> None:
    """Every reading asks: it must cost microseconds (measured 30), not a file that is read and parsed."""
    _name(database, "node1")
    why_not_fold(database)
    reads = []
    original, hosts._read = hosts._read, lambda marker: reads.append(marker) or original(marker)
    try:
        began = time.perf_counter()
        for _ in range(1000):
            why_not_fold(database)
        assert time.perf_counter() - began < 1.0
    finally:
        hosts._read = original
    assert reads == []


def test_links_are_followed(database: Path, tmp_path: Path) -> None:
    _name(database, "node1")
    link = tmp_path / "elsewhere"
    os.symlink(database.parent, link)
    assert "node1" in why_not_fold(link / database.name)


@pytest.mark.parametrize("text", ["", 'name = "aare"\n', 'id = "7"\n'])
def test_a_marker_without_an_id_lets_nobody_fold(database: Path, text: str) -> None:
    """An emptied file says nothing of a host: that is no leave for everybody."""
    _name(database, "node1")
    (database.parents[2] / "workspace.toml").write_text(text)
    assert "who folds is not known" in why_not_fold(database)
