"""``hydromodpy.core.migrations.runner``: see `hmp_core.migrations.runner`."""

from hmp_core.migrations.runner import apply_migrations

__all__ = ["apply_migrations"]
