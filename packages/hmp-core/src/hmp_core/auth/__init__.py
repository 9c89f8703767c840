"""Who keeps the promise of `AuthBackend`, and where it is asked."""

from hmp_core.auth.choice import get_auth_backend
from hmp_core.auth.gate import authorize
from hmp_core.auth.local import LocalAuthBackend
from hmp_core.auth.policy import PolicyAuthBackend
from hmp_core.auth.refused import Refusal, refusals

__all__ = ["LocalAuthBackend", "PolicyAuthBackend", "Refusal", "authorize", "get_auth_backend", "refusals"]
