"""The table that remembers which migration was applied when, by component."""

from __future__ import annotations

from datetime import UTC, datetime

from hmp_core.errors import SchemaIntegrityError
from hmp_core.migrations.plan import Migration
from hmp_core.protocols.backend import CatalogBackend

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    component VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    slug VARCHAR NOT NULL,
    checksum VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL,
    PRIMARY KEY (component, version)
)
"""


def prepare(backend: CatalogBackend) -> None:
    """Make the ledger if it is not there."""
    backend.execute(_CREATE)


def applied(backend: CatalogBackend, component: str) -> dict[int, str]:
    """Return version -> checksum of what was applied; empty where there is no ledger. Never writes."""
    return everything(backend).get(component, {})


def everything(backend: CatalogBackend) -> dict[str, dict[int, str]]:
    """Return component -> version -> checksum of all that was applied. Never writes."""
    # other threads may have other databases attached to the same engine: theirs are not meant
    exists = backend.fetch_one(
        "SELECT 1 FROM information_schema.tables "
        "WHERE table_name = 'schema_migrations' AND table_catalog = current_database()"
    )
    found: dict[str, dict[int, str]] = {}
    if exists is not None:
        for component, version, checksum in backend.fetch_all(
            "SELECT component, version, checksum FROM schema_migrations"
        ):
            found.setdefault(component, {})[version] = checksum
    return found


def is_bare(backend: CatalogBackend) -> bool:
    """Return whether nothing at all is in the database yet. Never writes."""
    sql = "SELECT 1 FROM information_schema.tables WHERE table_catalog = current_database()"
    return backend.fetch_one(sql) is None


def strangers(backend: CatalogBackend) -> list[str]:
    """Return the tables of a database that has no ledger: it is somebody else's. Never writes."""
    rows = backend.fetch_all(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database() ORDER BY table_name"
    )
    names = [name for (name,) in rows]
    return [] if "schema_migrations" in names else names


def require_ours(backend: CatalogBackend, *, where: str) -> None:
    """Return if the database is one of hmp, or has nothing in it yet. Never writes.

    Raises
    ------
    SchemaIntegrityError
        If it is a database of something else.
    """
    if found := strangers(backend):
        message = (
            f"{where} is a database of something else: it holds {', '.join(found[:5])} and no ledger of hmp; "
            "it was left as it is, move it away"
        )
        raise SchemaIntegrityError(message)


def record(backend: CatalogBackend, component: str, migration: Migration) -> None:
    """Remember that ``migration`` was applied, in the caller's transaction."""
    row = {
        "component": component,
        "version": migration.version,
        "slug": migration.slug,
        "checksum": migration.checksum,
        "applied_at": datetime.now(UTC).replace(tzinfo=None),
    }
    backend.insert("schema_migrations", row)
