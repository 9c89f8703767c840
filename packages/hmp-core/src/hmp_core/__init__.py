"""What the hmp scopes share: errors, paths, locks, backends, migrations, the event log and its fold.

The map: `errors` (every way to refuse), `paths` and `layout` (where things are), `identity` (what they are called),
`durable` (files whole or absent), `locks`, `protocols` (what is promised), `backends` and `auth` (who keeps it),
`migrations`, `events` (append, fold, rebuild), `statements` and `filters` (SQL from files and keywords), `cli` (the
`hmp` command), `testing` (the judges). Engines are imported where they are used, never here.
"""

from hmp_core.errors import HmpError
from hmp_core.layout import init_project, init_workspace
from hmp_core.paths import to_local
from hmp_core.protocols import AuthBackend, BulkBackend, CatalogBackend

__all__ = [
    "AuthBackend",
    "BulkBackend",
    "CatalogBackend",
    "HmpError",
    "__version__",
    "init_project",
    "init_workspace",
    "to_local",
]

__version__ = "0.1.0"
