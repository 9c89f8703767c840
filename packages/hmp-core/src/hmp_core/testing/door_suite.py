"""The judge of doors: how one gets into a scope, and how every kind of bad input is refused.

Subclass it and say how your scope is opened::

    class TestDoor(DoorSuite):
        def create(self, path: Any) -> Any:
            return hmp_catalog.open(path, create=True)

        def open(self, path: Any, **options: Any) -> Any:
            return hmp_catalog.open(path, **options)

        def database(self, path: Path) -> Path:
            return path / "catalog.duckdb"

A door is a context manager with ``close()``, ``sql(query)``, ``table``, ``rebuild()`` and ``notice``.
"""

# ruff: noqa: D102 - a claim is the name of its test

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    HmpError,
    InvalidInput,
    NotWritable,
    PathNotFound,
    SchemaIntegrityError,
    SchemaTooNewError,
    UnsupportedScheme,
)
from hmp_core.testing.children import Child, start

ELSEWHERE = ("s3://bucket/aare", "http://example.org/aare", "https://example.org/aare", "gs://b/a", "S3://B/a", "s3:b")

_NOBODY = 65534

_HOLD = """
    from hmp_core.backends.duckdb import DuckDBBackend
    with DuckDBBackend(path).lease(write=True):
        say("held")
        listen()
"""


class Nobody:
    """An authority that allows nothing."""

    def current_user(self) -> str:
        """Return a name."""
        return "nobody"

    def can_read(self, resource: str) -> bool:
        """Return False."""
        return False

    def can_write(self, resource: str) -> bool:
        """Return False."""
        return False


class DoorSuite:
    """Asks a door for everything that all doors promise."""

    def create(self, path: Any) -> Any:
        """Make what the door opens, and open it."""
        message = "say in the subclass: create"
        raise pytest.UsageError(message)

    def open(self, path: Any, **options: Any) -> Any:
        """Open what is there; ``options`` are ``read_only``, ``timeout`` and ``auth``."""
        message = "say in the subclass: open"
        raise pytest.UsageError(message)

    def database(self, path: Path) -> Path:
        """Return where the database lies."""
        message = "say in the subclass: database"
        raise pytest.UsageError(message)

    def rows(self, door: Any) -> Any:
        """Return what a door answers, for comparison."""
        return door.table.to_pylist()

    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        """Return the path of something that was made and closed."""
        self.create(tmp_path / "aare").close()
        return tmp_path / "aare"

    # ── ways in ──────────────────────────────────────────────────────────────────────────────────────

    def test_what_was_made_can_be_opened(self, made: Path) -> None:
        with self.open(made) as door:
            assert self.rows(door) == []
            assert not door.notice

    @pytest.mark.parametrize("spelling", ["text", "path", "upath", "uri", "relative", "link", "upath uri"])
    def test_every_spelling_leads_to_the_same_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
    ) -> None:
        upath = pytest.importorskip("upath").UPath
        place = tmp_path / "the Aare %41 é"
        self.create(place).close()
        before = set(tmp_path.rglob("*"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link").symlink_to(place)
        spelled = {
            "text": str(place),
            "path": place,
            "upath": upath(place),
            "uri": place.as_uri(),
            "upath uri": upath(place.as_uri()),
            "relative": place.name,
            "link": tmp_path / "link",
        }[spelling]
        with self.open(spelled) as door:
            assert self.rows(door) == []
        (tmp_path / "link").unlink()
        assert set(tmp_path.rglob("*")) == before

    def test_a_file_uri_makes_it_where_it_says(self, tmp_path: Path) -> None:
        self.create((tmp_path / "a b").as_uri()).close()
        assert self.database(tmp_path / "a b").is_file()

    # ── bad input ────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("options", [{}, {"read_only": True}], ids=["write", "read"])
    def test_a_missing_path_is_named_and_not_made(self, tmp_path: Path, options: dict[str, Any]) -> None:
        with pytest.raises(PathNotFound, match="nowhere") as refused:
            self.open(tmp_path / "nowhere" / "at all", **options)
        assert isinstance(refused.value, FileNotFoundError)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("uri", ELSEWHERE)
    def test_other_schemes_are_refused_before_anything_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for way in (self.open, self.create):
            with pytest.raises(UnsupportedScheme, match=r"bucket|example|gs:|s3:|S3:") as refused:
                way(uri)
            assert isinstance(refused.value, NotImplementedError)
            assert refused.value.uri == uri
        with pytest.raises(UnsupportedScheme):
            self.create(Path("s3://bucket/aare"))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("path", ["", "a\0b", "file:relative", "file:///a%00b", 5, None])
    def test_what_is_no_path_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any) -> None:
        monkeypatch.chdir(tmp_path)
        if path is None and self._none_means_something():
            pytest.skip("this door has a place of its own")
        for way in (self.open, self.create):
            with pytest.raises(InvalidInput):
                way(path)
        assert list(tmp_path.iterdir()) == []

    def _none_means_something(self) -> bool:
        return False

    def test_a_path_below_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("of the user")
        with pytest.raises(NotWritable) as refused:
            self.create(tmp_path / "file" / "aare")
        assert isinstance(refused.value, PermissionError)
        with pytest.raises((NotWritable, PathNotFound)):
            self.open(tmp_path / "file" / "aare")
        assert (tmp_path / "file").read_text() == "of the user"

    def test_an_unwritable_folder_is_refused(self) -> None:
        with anybodys_folder() as folder:
            folder.chmod(0o555)
            with unprivileged(), pytest.raises(NotWritable):
                self.create(folder / "aare")
            folder.chmod(0o755)
            assert list(folder.iterdir()) == []

    def test_a_folder_that_may_only_be_read_is_read(self) -> None:
        with anybodys_folder() as folder:
            self.create(folder / "aare").close()
            closed_to_writers(folder)
            with unprivileged(), self.open(folder / "aare", read_only=True) as door:
                assert self.rows(door) == []

    @pytest.mark.parametrize("content", [b"", b"not a database", b"x" * 100_000], ids=["empty", "short", "long"])
    def test_what_is_no_database_is_left_as_it_is(self, made: Path, content: bytes) -> None:
        database = self.database(made)
        database.write_bytes(content)
        for options in ({}, {"read_only": True}):
            with pytest.raises(CorruptError, match=database.name):
                self.open(made, **options)
        assert database.read_bytes() == content

    @pytest.mark.parametrize("share", [0.001, 0.02, 0.2, 0.6])
    def test_a_truncated_database_is_left_as_it_is(self, made: Path, share: float) -> None:
        database = self.database(made)
        kept = database.read_bytes()[: int(database.stat().st_size * share)]
        database.write_bytes(kept)
        with pytest.raises(CorruptError, match=database.name), self.open(made, read_only=True) as door:
            self.rows(door)
        assert database.read_bytes() == kept

    def test_a_database_of_tomorrow_is_refused(self, made: Path) -> None:
        self._rewrite(
            made,
            "INSERT INTO schema_migrations SELECT component, max(version) + 1, 'tomorrow', 'x', max(applied_at) "
            "FROM schema_migrations GROUP BY component",
        )
        self._both_ways_refuse(made, SchemaTooNewError)

    def test_an_edited_migration_is_refused(self, made: Path) -> None:
        self._rewrite(made, "UPDATE schema_migrations SET checksum = 'of another text'")
        self._both_ways_refuse(made, SchemaIntegrityError)

    def _rewrite(self, path: Path, sql: str) -> None:
        DuckDBBackend(self.database(path)).execute(sql)

    def _both_ways_refuse(self, path: Path, kind: type[HmpError]) -> None:
        before = self.database(path).read_bytes()
        for options in ({}, {"read_only": True}):
            with pytest.raises(kind):
                self.open(path, **options)
        assert self.database(path).read_bytes() == before

    def test_who_holds_the_lock_is_named_in_time(self, made: Path) -> None:
        with _holder(self.database(made)) as holder:
            began = time.monotonic()
            with pytest.raises(BusyError, match=str(holder.pid)) as refused, self.open(made, timeout=0.3) as door:
                self.rows(door)
            assert 0.2 <= time.monotonic() - began < 5
            assert isinstance(refused.value, TimeoutError)
            holder.tell()
            holder.join()
        with self.open(made, timeout=5.0) as door:
            assert self.rows(door) == []

    def test_who_may_not_read_is_refused(self, made: Path) -> None:
        with pytest.raises(AccessDenied), self.open(made, auth=Nobody()) as door:
            self.rows(door)

    # ── while it is open ─────────────────────────────────────────────────────────────────────────────

    def test_it_may_be_opened_twice(self, made: Path) -> None:
        with self.open(made) as one, self.open(made) as two, self.open(made, read_only=True) as three:
            assert self.rows(one) == self.rows(two) == self.rows(three) == []

    def test_an_open_door_keeps_nobody_out(self, made: Path) -> None:
        """A notebook that was left open holds no lock."""
        with self.open(made) as door:
            self.rows(door)
            with _holder(self.database(made)):
                pass
            assert self.rows(door) == []

    def test_a_question_cannot_change_anything(self, made: Path) -> None:
        with self.open(made) as door:
            for sql in ("DROP TABLE schema_migrations", "DELETE FROM schema_migrations"):
                with pytest.raises(HmpError):
                    door.sql(sql)
            assert door.sql("SELECT count(*) AS n FROM schema_migrations").to_pylist()[0]["n"] > 0

    def test_a_closed_door_says_so(self, made: Path) -> None:
        with self.open(made) as door:
            pass
        door.close()  # closing twice is allowed
        with pytest.raises(InvalidInput, match="closed"):
            self.rows(door)
        with pytest.raises(InvalidInput, match="closed"):
            door.sql("SELECT 1")

    def test_rebuilding_gives_the_same(self, made: Path) -> None:
        with self.open(made) as door:
            before = self.rows(door)
            door.rebuild()
            assert self.rows(door) == before


@contextlib.contextmanager
def _holder(database: Path) -> Iterator[Child]:
    """Let another process hold the database for the block."""
    with start(_HOLD, path=database) as child:
        assert child.hear() == "held"
        yield child


@contextlib.contextmanager
def anybodys_folder() -> Iterator[Path]:
    """Give a folder that every user of the machine may enter, which the folders of pytest are not."""
    folder = Path(tempfile.mkdtemp()).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
            path.chmod(0o755)
        shutil.rmtree(folder)


def closed_to_writers(folder: Path) -> None:
    """Take the right to write from a folder and everything in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for the block if we are root, whom no permission keeps out."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(_NOBODY)
    except PermissionError:
        pytest.skip("this root may not be anybody else")
    try:
        yield
    finally:
        os.seteuid(0)
