"""The judge of migrations: asked of the folder of every scope.

::

    class TestMigrations(MigrationSuite):
        folder = Path(hmp_catalog.__file__).parent / "sql" / "migrations"
"""

# ruff: noqa: D102 - a claim is the name of its test

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import (
    HmpError,
    MigrationDiscoveryError,
    MigrationExecutionError,
    MigrationPending,
    SchemaIntegrityError,
    SchemaTooNewError,
)
from hmp_core.migrations import apply_migrations, discover_migrations, require_current

#: What DuckDB and PostgreSQL do not share, and what a schema of ours does not use.
_FOREIGN = re.compile(r"\b(PIVOT|QUALIFY|TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE)\b|\bMAP\s*[({]", re.IGNORECASE)

_EXTRA = "CREATE TABLE hmp_suite_extra (a INTEGER);"


class MigrationSuite:
    """Asks a folder of migrations for everything that the runner promises of it."""

    #: the folder that is judged
    folder: ClassVar[Path]
    #: its component in the ledger
    component: ClassVar[str] = "judged"

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        """Return a database with every migration of the folder applied."""
        self.apply(tmp_path / "database.duckdb")
        return tmp_path / "database.duckdb"

    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        """Return a copy of the folder, to be spoiled."""
        return Path(shutil.copytree(self.folder, tmp_path / "migrations"))

    def apply(self, database: Path, folder: Path | None = None) -> int:
        """Apply a folder to a database."""
        return apply_migrations(database, folder or self.folder, component=self.component)

    def read(self, database: Path, folder: Path | None = None) -> None:
        """Do what a reader does first: see whether it knows the schema."""
        require_current(DuckDBBackend(database), [(self.component, folder or self.folder)])

    @property
    def newest(self) -> int:
        """The number of the last migration."""
        return len(discover_migrations(self.folder))

    # ── the files ────────────────────────────────────────────────────────────────────────────────────

    def test_files_count_up_from_one(self) -> None:
        assert [m.version for m in discover_migrations(self.folder)] == list(range(1, self.newest + 1))
        assert self.newest > 0

    def test_sql_is_what_engines_share(self) -> None:
        found = {
            m.path.name: _FOREIGN.findall(re.sub(r"--.*|'[^']*'", "", m.sql)) for m in discover_migrations(self.folder)
        }
        assert {name: words for name, words in found.items() if words} == {}

    # ── a new database ───────────────────────────────────────────────────────────────────────────────

    def test_a_new_database_has_every_step_in_its_ledger(self, database: Path) -> None:
        rows = _ask(database, "SELECT version, checksum FROM schema_migrations WHERE component = $1", [self.component])
        assert sorted(rows) == [(m.version, m.checksum) for m in discover_migrations(self.folder)]
        self.read(database)

    def test_again_changes_nothing(self, database: Path) -> None:
        before = database.read_bytes()
        assert self.apply(database) == self.newest
        assert database.read_bytes() == before

    def test_nothing_lies_beside_a_new_database(self, database: Path) -> None:
        names = {path.name for path in database.parent.iterdir()} - {database.name}
        assert names <= {f"{database.name}.lock", f"{database.name}.lock.json"}

    def test_values_come_from_events_and_not_from_defaults(self, database: Path) -> None:
        """A default that is computed would differ after a rebuild, and cannot always be replayed after a crash."""
        volatile = _ask(
            database,
            "SELECT table_name, column_name, column_default FROM information_schema.columns "
            "WHERE table_catalog = current_database() AND column_default LIKE '%(%' "
            "AND upper(column_default) NOT LIKE 'CAST(%'",
        )
        assert volatile == []

    def test_no_constraint_but_the_id(self, database: Path) -> None:
        """No foreign key (DuckDB cannot live with them) and nothing else that could refuse an acknowledged fact."""
        found = _ask(
            database,
            "SELECT DISTINCT table_name, constraint_type FROM information_schema.table_constraints "
            "WHERE table_catalog = current_database() AND constraint_type IN ('FOREIGN KEY', 'UNIQUE')",
        )
        assert found == []

    def test_times_are_utc_without_a_zone(self, database: Path) -> None:
        zoned = _ask(
            database,
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_catalog = current_database() AND data_type LIKE '%TIME ZONE%'",
        )
        assert zoned == []

    # ── what is refused ──────────────────────────────────────────────────────────────────────────────

    def test_an_edited_migration_is_refused(self, database: Path, copy: Path) -> None:
        first = sorted(copy.glob("*.sql"))[0]
        first.write_text(first.read_text(encoding="utf-8") + "\n-- a second thought\n", encoding="utf-8")
        for verb in (self.apply, self.read):
            _refused(SchemaIntegrityError, partial(verb, database, copy), database)

    def test_a_newer_database_is_refused(self, database: Path, copy: Path) -> None:
        (copy / f"{self.newest + 1:04d}_of_tomorrow.sql").write_text(_EXTRA)
        self.apply(database, copy)
        for verb in (self.apply, self.read):
            error = _refused(SchemaTooNewError, partial(verb, database), database)
            assert (error.found, error.known) == (self.newest + 1, self.newest)

    def test_an_older_database_is_not_read(self, database: Path, copy: Path) -> None:
        (copy / f"{self.newest + 1:04d}_of_tomorrow.sql").write_text(_EXTRA)
        _refused(MigrationPending, lambda: self.read(database, copy), database)

    @pytest.mark.parametrize("off", ["0", "false", "NO", "off"])
    def test_migrating_can_be_switched_off(
        self, database: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, off: str
    ) -> None:
        (copy / f"{self.newest + 1:04d}_of_tomorrow.sql").write_text(_EXTRA)
        monkeypatch.setenv("HMP_AUTO_MIGRATE", off)
        _refused(MigrationPending, lambda: self.apply(database, copy), database)

    def test_a_failing_step_is_rolled_back_as_a_whole(self, database: Path, copy: Path) -> None:
        bad = f"{_EXTRA} INSERT INTO hmp_suite_extra VALUES ('not a number');"
        (copy / f"{self.newest + 1:04d}_fails.sql").write_text(bad)
        with pytest.raises(MigrationExecutionError):
            self.apply(database, copy)
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'hmp_suite_extra'"
        assert _ask(database, tables) == [(0,)]
        assert self.apply(database) == self.newest

    @pytest.mark.parametrize("name", ["{after}_leaves_a_gap.sql", "0001_is_taken.sql", "next.sql", "{next}_Loud.sql"])
    def test_misnamed_files_are_refused_before_anything_is_touched(self, database: Path, copy: Path, name: str) -> None:
        (copy / name.format(after=f"{self.newest + 2:04d}", next=f"{self.newest + 1:04d}")).write_text(_EXTRA)
        _refused(MigrationDiscoveryError, lambda: self.apply(database, copy), database)
        elsewhere = database.parent / "elsewhere" / "database.duckdb"
        with pytest.raises(MigrationDiscoveryError):
            self.apply(elsewhere, copy)
        assert not elsewhere.parent.exists()


def _ask(database: Path, sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    return DuckDBBackend(database).fetch_all(sql, params or [])


def _refused(kind: type[HmpError], act: Callable[[], Any], database: Path) -> Any:
    """Return the error of a refusal that changed not a byte."""
    before = database.read_bytes()
    with pytest.raises(kind) as refused:
        act()
    assert database.read_bytes() == before
    return refused.value
