"""``hydromodpy.core.auth``: see `hmp_core.auth` and `hmp_core.protocols`."""

from hmp_core.auth import LocalAuthBackend, PolicyAuthBackend, get_auth_backend
from hmp_core.protocols import AuthBackend

__all__ = ["AuthBackend", "LocalAuthBackend", "PolicyAuthBackend", "get_auth_backend"]
