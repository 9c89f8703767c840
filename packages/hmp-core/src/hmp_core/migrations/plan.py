"""Pure: which migration files there are, which are still to be applied, or why we refuse."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hmp_core.errors import MigrationDiscoveryError, SchemaIntegrityError, SchemaTooNewError

_NAME = re.compile(r"^(\d{4})_([a-z0-9][a-z0-9_]*)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a schema: a file ``NNNN_slug.sql``."""

    version: int
    slug: str
    path: Path
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file's text, as 64 hex digits."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def discover_migrations(folder: Path) -> list[Migration]:
    """Return the migrations of a folder in order.

    Raises
    ------
    MigrationDiscoveryError
        If the folder is missing, a name is malformed, a number is used twice, one is missing, or a file is no text.
    """
    if not folder.is_dir():
        message = f"{folder}: no such folder of migrations"
        raise MigrationDiscoveryError(message)
    found: dict[int, Migration] = {}
    for file in sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ".sql"):
        match = _NAME.match(file.name)
        if match is None:
            message = f"{file}: expected a name like 0002_add_column.sql (four digits, underscore, lower case)"
            raise MigrationDiscoveryError(message)
        version = int(match[1])
        if version in found:
            message = f"{file}: number {version:04d} is already taken by {found[version].path.name}"
            raise MigrationDiscoveryError(message)
        found[version] = Migration(version, match[2], file, _text(file))
    for expected, version in enumerate(found, 1):
        if version != expected:
            message = f"{folder}: migrations count up from 0001 without a gap; {expected:04d} is missing"
            raise MigrationDiscoveryError(message)
    return list(found.values())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read as UTF-8 text: {error}"
        raise MigrationDiscoveryError(message) from error


def pending(migrations: list[Migration], applied: Mapping[int, str], *, where: str) -> list[Migration]:
    """Return what is still to be applied, given version -> checksum of what was.

    Raises
    ------
    SchemaTooNewError
        If the database has had migrations that this code does not know.
    SchemaIntegrityError
        If an applied file was edited since, or the record of what was applied has a gap.
    """
    known = len(migrations)
    newest = max(applied, default=0)
    if newest > known:
        message = (
            f"{where} has schema version {newest}, this hmp knows up to {known}: "
            "it was written by a newer hmp; upgrade this one"
        )
        raise SchemaTooNewError(message, path=where, found=newest, known=known)
    if len(applied) != newest:
        message = f"{where}: its ledger lists {sorted(applied)}, expected every migration from 1 to {newest}"
        raise SchemaIntegrityError(message)
    for migration in migrations:
        checksum = applied.get(migration.version)
        if checksum is not None and checksum != migration.checksum:
            message = (
                f"{migration.path.name} was edited after it was applied to {where}: SHA-256 is "
                f"{migration.checksum[:12]}, the ledger has {checksum[:12]}; restore the file, and put the "
                "change into a new migration"
            )
            raise SchemaIntegrityError(message)
    return [m for m in migrations if m.version not in applied]
