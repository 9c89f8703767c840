"""How one gets in, and every way in which one does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    MigrationPending,
    NotWritable,
    PathNotFound,
    SchemaIntegrityError,
    SchemaTooNewError,
    UnsupportedScheme,
)
from hmp_core.layout import cache_path, init_workspace
from hmp_core.migrations.runner import migrate
from hmp_core.testing.door_suite import Nobody

Write = Callable[..., Path]


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture
def closed(workspace: Path) -> Path:
    """A workspace with a cache that nobody has open."""
    hmp_cache.open(workspace, create=True).close()
    return workspace


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_workspace_works(workspace: Path) -> None:
    with InputsNamespace(init_workspace(workspace).path) as data:
        assert data.find() == []


def test_every_backend_is_made_by_what_the_door_was_given(
    workspace: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the database is made, folded, asked or rebuilt."""
    made: list[Path] = []
    asked: list[Path] = []
    init = DuckDBBackend.__init__

    def noted(self: DuckDBBackend, path: Path, **options: Any) -> None:
        made.append(path)
        init(self, path, **options)

    def backend(path: Path, **options: Any) -> DuckDBBackend:
        asked.append(path)
        return DuckDBBackend(path, **options)

    monkeypatch.setattr(DuckDBBackend, "__init__", noted)
    with hmp_cache.open(workspace, create=True, backend=backend) as data:
        entry = data.add(write("dem.txt"), variable="dem")
        assert data.find(variable="dem") == [entry]
        assert not data.rebuild()
        assert data.find(variable="dem") == [entry]
    assert len(set(asked)) > 1
    assert made == asked


def test_create_makes_a_workspace(workspace: Path) -> None:
    with hmp_cache.open(workspace, create=True):
        assert (workspace / "workspace.toml").is_file()
        assert cache_path(workspace).is_file()


@pytest.mark.parametrize("form", [str, Path, lambda p: p.as_uri(), lambda p: str(p) + "/", os.path.relpath])
def test_ways_to_name_a_workspace(closed: Path, form: Callable[[Path], object]) -> None:
    with hmp_cache.open(form(closed)) as data:  # type: ignore[arg-type]
        assert data.workspace == closed.resolve()


def test_a_upath_names_a_workspace(closed: Path) -> None:
    from upath import UPath

    with hmp_cache.open(UPath(closed)) as data:
        assert data.workspace == closed


def test_a_link_names_a_workspace(closed: Path, tmp_path: Path, write: Write) -> None:
    (tmp_path / "link").symlink_to(closed)
    with hmp_cache.open(tmp_path / "link") as data:
        entry = data.add(write(), variable="discharge")
    with hmp_cache.open(closed) as data:
        assert data.find() == [entry]


def test_opening_twice_applies_nothing_twice(closed: Path) -> None:
    with hmp_cache.open(closed) as data:
        query = "SELECT version FROM schema_migrations WHERE component = 'cache' ORDER BY version"
        assert data.sql(query).to_pylist() == [{"version": 1}, {"version": 2}]


def test_reading_only_changes_nothing(closed: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in closed.rglob("*.duckdb")}
    with hmp_cache.open(closed, read_only=True) as data:
        assert data.find() == []
    assert {p: p.stat().st_mtime_ns for p in closed.rglob("*.duckdb")} == before


def test_eight_processes_open_a_new_workspace_at_once(workspace: Path) -> None:
    init_workspace(workspace)
    script = "import sys, hmp_cache; hmp_cache.open(sys.argv[1]).close()"
    ways = [subprocess.Popen([sys.executable, "-c", script, str(workspace)]) for _ in range(8)]
    assert [way.wait() for way in ways] == [0] * 8
    with hmp_cache.open(workspace) as data:
        assert data.sql("SELECT version FROM schema_migrations WHERE component = 'cache'").num_rows == 2


def test_importing_it_is_cheap() -> None:
    script = (
        "import sys, hmp_cache, hmp_cache.cli\n"
        "print([m for m in ('duckdb', 'pyarrow', 'httpx', 'pandas', 'numpy', 'rich', 'upath') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_works_without_what_scientists_hold(closed: Path, write: Write) -> None:
    """A download node has no numpy, pandas, xarray or zarr."""
    script = """
import sys
for name in ("numpy", "pandas", "xarray", "zarr"):
    sys.modules[name] = None
import hmp_cache
with hmp_cache.open(sys.argv[1]) as data:
    entry = data.add(sys.argv[2], variable="discharge", station="outlet", unit="m3 s-1")
    assert data["q"] == entry and data.table.num_rows == 1
    assert entry.read_table().num_rows == 2
    assert data.check()[0].state == "current"
    data.rebuild()
    try:
        data.frame
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed), str(write())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "install hmp-cache[frame]" in done.stdout


# ── not in ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["nowhere", "nowhere/deeper"])
def test_a_missing_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathNotFound, match="is not a workspace"):
        hmp_cache.open(tmp_path / name)
    assert _files(tmp_path) == []


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match=r"no workspace.toml"):
        hmp_cache.open(tmp_path)
    assert _files(tmp_path) == []


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotWritable):
        hmp_cache.open(tmp_path / "file", create=True)
    with pytest.raises(PathNotFound):
        hmp_cache.open(tmp_path / "file")


@pytest.mark.parametrize("uri", ["s3://bucket/ws", "http://example.org/ws", "file://elsewhere/ws"])
@pytest.mark.parametrize("create", [True, False])
def test_other_schemes(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, create: bool) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedScheme, match=uri):
        hmp_cache.open(uri, create=create)
    assert _files(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to")
def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(NotWritable):
        hmp_cache.open("/proc/self/ws", create=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workspace_one_may_only_read(closed: Path, write: Write) -> None:
    with hmp_cache.open(closed) as data:
        entry = data.add(write(), variable="discharge")
        data.store.fold()
    for folder in (closed, *(p for p in closed.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    try:
        with hmp_cache.open(closed, read_only=True) as data:
            assert data.find() == [entry]
    finally:
        for folder in (closed, *(p for p in closed.rglob("*") if p.is_dir())):
            folder.chmod(0o755)


def test_no_database_to_read(workspace: Path) -> None:
    init_workspace(workspace)
    before = _files(workspace)
    with pytest.raises(DatabaseNotFound, match=r"no data/cache\.duckdb"):
        hmp_cache.open(workspace, read_only=True)
    assert _files(workspace) == before


@pytest.mark.parametrize("content", [b"", b"not a database", os.urandom(20_000)])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database(closed: Path, content: bytes, *, read_only: bool) -> None:
    cache_path(closed).write_bytes(content)
    with pytest.raises(CorruptError, match="rebuild"):
        hmp_cache.open(closed, read_only=read_only)
    assert cache_path(closed).read_bytes() == content


@pytest.mark.parametrize("left", [0.1, 0.5])
def test_a_truncated_database(closed: Path, left: float) -> None:
    whole = cache_path(closed).read_bytes()
    part = whole[: int(len(whole) * left)]
    cache_path(closed).write_bytes(part)
    with pytest.raises(CorruptError):
        hmp_cache.open(closed)
    assert cache_path(closed).read_bytes() == part


def test_a_marker_that_cannot_be_read(closed: Path) -> None:
    (closed / "workspace.toml").write_text("id = 7")
    with pytest.raises(CorruptError, match=r"workspace.toml"):
        hmp_cache.open(closed)


@contextmanager
def _migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the code know other migrations than it has."""
    import shutil
    from dataclasses import replace

    from hmp_cache import opening
    from hmp_cache.fold import FOLD

    folder = tmp_path / "migrations"
    shutil.copytree(FOLD.migrations, folder)
    yield folder
    monkeypatch.setattr(opening, "FOLD", replace(FOLD, migrations=folder))


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_of_a_newer_version(
    closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, read_only: bool
) -> None:
    with _migrations(tmp_path, monkeypatch) as folder:
        (folder / "0003_more.sql").write_text("CREATE TABLE more (x INTEGER);")
    migrate(cache_path(closed), [("cache", folder)])
    monkeypatch.undo()
    with pytest.raises(SchemaTooNewError, match="has schema version 3, this hmp knows up to 2"):
        hmp_cache.open(closed, read_only=read_only)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_changed_migration(closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, read_only: bool) -> None:
    with _migrations(tmp_path, monkeypatch) as folder:
        file = next(folder.glob("0001*"))
        file.write_text(file.read_text() + "\n-- a word more")
    with pytest.raises(SchemaIntegrityError, match="was edited"):
        hmp_cache.open(closed, read_only=read_only)


def test_a_migration_that_waits(closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _migrations(tmp_path, monkeypatch) as folder:
        (folder / "0003_more.sql").write_text("CREATE TABLE more (x INTEGER);")
    monkeypatch.setenv("HMP_AUTO_MIGRATE", "0")
    before = cache_path(closed).read_bytes()
    for read_only in (True, False):
        with pytest.raises(MigrationPending, match="hmp db upgrade"):
            hmp_cache.open(closed, read_only=read_only)
    assert cache_path(closed).read_bytes() == before
    monkeypatch.delenv("HMP_AUTO_MIGRATE")
    with hmp_cache.open(closed) as data:
        assert data.sql("SELECT * FROM more").num_rows == 0


_HOLD = """
import sys, time
from pathlib import Path
from hmp_core.locks import database_lock
with database_lock(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_database_that_another_process_holds(closed: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(cache_path(closed))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"held by process {holder.pid}"):
            hmp_cache.open(closed, timeout=0.2)
        holder.stdin.write("\n")


def test_a_folder_that_another_process_writes(closed: Path, write: Write) -> None:
    lock = closed / "data" / ".hmp" / "cache" / "locks" / "discharge.custom"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with hmp_cache.open(closed, timeout=0.2) as data:
            with pytest.raises(BusyError, match=f"data/discharge/custom is in the hands of process {holder.pid}"):
                data.add(write(), variable="discharge")
            assert data.add(write("p.csv", "time,rain\n2001-01-01,1\n"), variable="precipitation").state == "current"
            holder.stdin.write("\n")
            holder.stdin.flush()
            holder.wait()
            assert data.add(write(), variable="discharge").state == "current"


class _Blind:
    def current_user(self) -> str:
        return "eve"

    def can_read(self, resource: str) -> bool:
        return False

    def can_write(self, resource: str) -> bool:
        return False


def test_who_may_not_read(closed: Path) -> None:
    with pytest.raises(AccessDenied, match="eve may not read cache:fulda"):
        hmp_cache.open(closed, auth=_Blind(), read_only=True)


def test_where_folding_is_off_adding_works_and_reading_says_what_it_lacks(
    closed: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with hmp_cache.open(closed) as data:
        first = data.add(write(), variable="discharge", station="a")
        assert data.find() == []
        assert data.notice.unfolded == 1
        again = data.add(write("another.csv", "time,q\n2001-01-01,7\n"), variable="discharge", station="a")
        assert again.relative_path == first.relative_path
    monkeypatch.delenv("HMP_FOLD")
    with hmp_cache.open(closed) as data:
        assert data.find() == [again]
        assert not data.notice


def test_the_events_are_json_a_person_can_read(closed: Path, write: Write) -> None:
    with hmp_cache.open(closed) as data:
        data.add(write(), variable="discharge")
    data.close()
    (line,) = (closed / "data" / "events").glob("*.log")
    event = json.loads(line.read_bytes().split(b" ", 2)[2])
    assert (event["kind"], event["author"]) == ("input.stored", "ada")


def test_a_refused_reader_is_not_said_to_make_anything(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    hmp_cache.open(workspace, create=True).close()
    with pytest.raises(AccessDenied):
        hmp_cache.open(workspace, auth=Nobody())  # type: ignore[arg-type]
    told = [record.getMessage() for record in caplog.records]
    assert any("nobody may not read cache:" in line for line in told)
    assert not any("make the" in line for line in told)
