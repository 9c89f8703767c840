"""Bringing tables up to date: one file, one transaction, one line in the ledger."""

from hmp_core.migrations.plan import Migration, discover_migrations
from hmp_core.migrations.runner import apply_migrations, require_current

__all__ = ["Migration", "apply_migrations", "discover_migrations", "require_current"]
