"""The question every append and every lease asks before anything else happens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from hmp_core.auth import refused
from hmp_core.errors import AccessDenied, HmpError
from hmp_core.protocols.auth import AuthBackend

_log = logging.getLogger(__name__)


def authorize(
    auth: AuthBackend,
    action: Literal["read", "write"],
    resource: str,
    *,
    database: Path | None = None,
    what: str = "",
) -> None:
    """Return if the current user may do ``action`` on ``resource``.

    Parameters
    ----------
    auth
        Who is asked.
    action, resource
        For what.
    database
        The database that is concerned: a refused write is kept beside it, see `hmp_core.auth.refused`.
    what
        What was about to be done, for the record.

    Raises
    ------
    AccessDenied
        If not; the refusal is logged, that of a write is also on record.
    PolicyUnreadable
        If the authority cannot read its policy: then nobody may do anything.
    """
    try:
        # anything but True is a refusal, whatever an authority of somebody else returns
        allowed = (auth.can_write(resource) if action == "write" else auth.can_read(resource)) is True
    except HmpError as error:
        _on_record(auth, action, resource, database, f"{what}: {error}" if what else str(error))
        raise
    if allowed:
        return
    user = _on_record(auth, action, resource, database, what)
    message = f"{_shown(user)} may not {action} {_shown(resource)}; ask whoever keeps the policy of this workspace"
    raise AccessDenied(message, user=user, action=action, resource=resource)


def _on_record(auth: AuthBackend, action: str, resource: str, database: Path | None, what: str) -> str:
    """Say that a user was refused, and return who it is."""
    user = auth.current_user()
    doing = f" ({what})" if what else ""
    _log.warning("refused: %s may not %s %s%s", _shown(user), action, _shown(resource), doing)
    if action == "write" and database is not None:
        refused.keep(database, user=user, action=action, resource=resource, what=what)
    return user


def _shown(name: str) -> str:
    """Return a name as it is; one that would command a terminal, or add a line to a log, in quotes and written out."""
    return name if name.isprintable() else repr(name)
