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
from hmp_core.backups import list_backups, take_backup
from hmp_core.copying import contents
from hmp_core.errors import (
    BusyError,
    HmpError,
    MigrationDiscoveryError,
    MigrationExecutionError,
    MigrationPending,
    SchemaIntegrityError,
    SchemaTooNewError,
)
from hmp_core.migrations import apply_migrations, discover_migrations, require_current
from hmp_core.testing.children import Child, run, start

#: What DuckDB and PostgreSQL do not share, and what a schema of ours does not use.
_FOREIGN = re.compile(r"\b(PIVOT|QUALIFY|TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE)\b|\bMAP\s*[({]", re.IGNORECASE)

_EXTRA = "CREATE TABLE hmp_suite_extra (a INTEGER);"

_FAILS = "INSERT INTO hmp_suite_extra VALUES ('not a number');"

_APPLY = """
    from hmp_core.migrations import apply_migrations
    say(); listen()
    say(apply_migrations(database, folder, component=component))
"""


class MigrationSuite:
    """Asks a folder of migrations for everything that the runner promises of it."""

    #: the folder that is judged
    folder: ClassVar[Path]
    #: its component in the ledger
    component: ClassVar[str] = "judged"

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        """Return a database with every migration of the folder applied."""
        path = tmp_path / "judged" / "database.duckdb"
        self.apply(path)
        return path

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

    def test_a_failing_step_leaves_the_database_as_it_was(self, database: Path, copy: Path) -> None:
        """Scenario 12: also where a step before it succeeded; a backup is kept, and the lock is free."""
        (copy / f"{self.newest + 1:04d}_succeeds.sql").write_text(_EXTRA)
        (copy / f"{self.newest + 2:04d}_fails.sql").write_text(f"CREATE TABLE hmp_suite_more (a INTEGER); {_FAILS}")
        parts = contents(DuckDBBackend(database))
        error = _refused(MigrationExecutionError, lambda: self.apply(database, copy), database)
        (backup,) = list_backups(database)
        assert error.backup == str(backup.path)
        assert error.backup in str(error)
        assert contents(DuckDBBackend(backup.path)) == parts
        assert self._elsewhere(database) == self.newest

    def test_a_first_step_that_fails_leaves_no_database(self, tmp_path: Path, copy: Path) -> None:
        (copy / f"{self.newest + 1:04d}_fails.sql").write_text(_EXTRA + _FAILS)
        with pytest.raises(MigrationExecutionError):
            self.apply(tmp_path / "new.duckdb", copy)
        assert not (tmp_path / "new.duckdb").exists()

    @pytest.mark.parametrize("name", ["{after}_leaves_a_gap.sql", "0001_is_taken.sql", "next.sql", "{next}_Loud.sql"])
    def test_misnamed_files_are_refused_before_anything_is_touched(self, database: Path, copy: Path, name: str) -> None:
        (copy / name.format(after=f"{self.newest + 2:04d}", next=f"{self.newest + 1:04d}")).write_text(_EXTRA)
        _refused(MigrationDiscoveryError, lambda: self.apply(database, copy), database)
        elsewhere = database.parent / "elsewhere" / "database.duckdb"
        with pytest.raises(MigrationDiscoveryError):
            self.apply(elsewhere, copy)
        assert not elsewhere.parent.exists()

    # ── backups ──────────────────────────────────────────────────────────────────────────────────────

    def test_a_backup_holds_every_table_index_and_view(self, database: Path) -> None:
        taken = take_backup(database)
        assert contents(DuckDBBackend(taken)) == contents(DuckDBBackend(database))
        self.read(taken)

    def test_the_newest_five_backups_are_kept(self, database: Path, copy: Path) -> None:
        """Scenario 15: after six migrations, each of which took one."""
        for n in range(1, 7):
            (copy / f"{self.newest + n:04d}_more.sql").write_text(_EXTRA.replace("extra", f"extra_{n}"))
            self.apply(database, copy)
        kept = [backup.reason for backup in list_backups(database)]
        assert kept == [f"before-{self.newest + n:04d}" for n in range(6, 1, -1)]

    def test_making_a_database_takes_no_backup(self, database: Path) -> None:
        assert self.apply(database) == self.newest
        assert list_backups(database) == []

    # ── several processes ────────────────────────────────────────────────────────────────────────────

    def test_a_lock_held_elsewhere_is_not_waited_for_without_end(self, database: Path, copy: Path) -> None:
        """Scenario 15."""
        (copy / f"{self.newest + 1:04d}_of_tomorrow.sql").write_text(_EXTRA)
        code = """
            from hmp_core.locks import database_lock
            with database_lock(database).hold(): say(); listen()
        """
        with start(code, database=database) as holder:
            holder.hear()
            with pytest.raises(BusyError, match=str(holder.pid)):
                apply_migrations(database, copy, component=self.component, lock_timeout=0.1)
        assert list_backups(database) == []

    def test_eight_processes_make_it_at_once(self, tmp_path: Path) -> None:
        """Scenario 16: all succeed, each step is in the ledger once."""
        self._all_at_once(8, tmp_path / "new" / "database.duckdb", self.folder)
        rows = _ask(tmp_path / "new" / "database.duckdb", "SELECT version FROM schema_migrations ORDER BY version")
        assert rows == [(n,) for n in range(1, self.newest + 1)]

    def test_six_processes_upgrade_it_once(self, database: Path, copy: Path) -> None:
        (copy / f"{self.newest + 1:04d}_of_tomorrow.sql").write_text(_EXTRA)
        self._all_at_once(6, database, copy)
        assert len(list_backups(database)) == 1
        assert _ask(database, "SELECT count(*) FROM schema_migrations") == [(self.newest + 1,)]

    def _all_at_once(self, count: int, database: Path, folder: Path) -> None:
        children = [start(_APPLY, database=database, folder=folder, component=self.component) for _ in range(count)]
        expected = len(discover_migrations(folder))
        for child in children:
            child.hear()
        for child in children:
            child.tell()
        assert [_said(child) for child in children] == [expected] * count

    def _elsewhere(self, database: Path) -> int:
        """Return what another process makes of the database; it must not find it locked."""
        code = "from hmp_core.migrations import apply_migrations\n"
        code += "say(apply_migrations(database, folder, component=component, lock_timeout=1.0))"
        (said,) = run(code, database=database, folder=self.folder, component=self.component)
        return int(said)


def _said(child: Child) -> Any:
    with child:
        said = child.hear()
        assert child.join() == 0
        return said


def _ask(database: Path, sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    return DuckDBBackend(database).fetch_all(sql, params or [])


def _refused(kind: type[HmpError], act: Callable[[], Any], database: Path) -> Any:
    """Return the error of a refusal that changed not a byte."""
    before = database.read_bytes()
    with pytest.raises(kind) as refused:
        act()
    assert database.read_bytes() == before
    return refused.value
