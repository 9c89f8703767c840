"""The question every append and every lease asks before anything else happens."""

from __future__ import annotations

import logging
import os
from typing import Literal

from hmp_core.auth.local import LocalAuthBackend
from hmp_core.errors import AccessDenied, InvalidInput
from hmp_core.protocols.auth import AuthBackend

_log = logging.getLogger(__name__)


def authorize(auth: AuthBackend, action: Literal["read", "write"], resource: str) -> None:
    """Return if the current user may do ``action`` on ``resource``.

    Raises
    ------
    AccessDenied
        If not; the refusal is logged.
    """
    allowed = auth.can_write(resource) if action == "write" else auth.can_read(resource)
    if allowed:
        return
    user = auth.current_user()
    message = f"{user} may not {action} {resource}; ask whoever keeps the policy of this workspace"
    _log.warning("refused: %s", message)
    raise AccessDenied(message, user=user, action=action, resource=resource)


def get_auth_backend(name: str | None = None) -> AuthBackend:
    """Return the authority called ``name``, else the one ``HMP_AUTH_BACKEND`` names, else the local one.

    Raises
    ------
    InvalidInput
        If nobody goes by that name.
    """
    wanted = name or os.environ.get("HMP_AUTH_BACKEND") or "local"
    if wanted == "local":
        return LocalAuthBackend()
    message = f"auth backend {wanted!r} is not known; expected 'local' (see HMP_AUTH_BACKEND)"
    raise InvalidInput(message)
