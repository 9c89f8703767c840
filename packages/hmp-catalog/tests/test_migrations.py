"""The migrations of the project catalog, and backups of its real tables, before the judge of all scopes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import hmp_catalog
from hmp_core.testing.migration_suite import MigrationSuite


class TestMigrations(MigrationSuite):
    folder: ClassVar[Path] = Path(hmp_catalog.__file__).parent / "sql" / "migrations"
    component: ClassVar[str] = "catalog"
