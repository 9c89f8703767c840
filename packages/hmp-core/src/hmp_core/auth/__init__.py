"""Who keeps the promise of `AuthBackend`, and where it is asked."""

from hmp_core.auth.gate import authorize, get_auth_backend
from hmp_core.auth.local import LocalAuthBackend

__all__ = ["LocalAuthBackend", "authorize", "get_auth_backend"]
