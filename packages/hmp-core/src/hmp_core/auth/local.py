"""The authority of a single-user machine: it knows who you are and allows everything."""

from __future__ import annotations

import getpass
import os


class LocalAuthBackend:
    """Allows everything; the user is ``HMP_USER``, else the one the operating system names.

    Examples
    --------
    >>> LocalAuthBackend().can_write("index")
    True
    """

    def current_user(self) -> str:
        """Return ``HMP_USER``, else the login name, else ``uid:<number>`` where the uid has no name."""
        named = os.environ.get("HMP_USER")
        if named:
            return named
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a container may run as a number without a name
            return f"uid:{os.getuid()}"

    def can_read(self, resource: str) -> bool:
        """Return True."""
        return True

    def can_write(self, resource: str) -> bool:
        """Return True."""
        return True
