"""Who is asking, and may they: the promise every authority keeps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class AuthBackend(Protocol):
    """Tells who the user is and what they may do.

    Resources are ``index``, ``cache:<workspace>`` and ``catalog:<workspace>/<project>``, with the names of the folders,
    links followed. What others have logged is folded on behalf of whoever reads: that is no write of the reader's.

    A package registers its authority under the entry point group ``hmp.auth``, as a callable without arguments.

    Note for implementers
    ---------------------
    The three methods may be called from any thread and thousands of times a second: answer from memory.
    Return a bool: anything but True is a refusal. Raise only if the policy itself cannot be read, an `HmpError` then:
    it is a refusal too. An authority that pickles travels with a catalog to a worker.
    """

    def current_user(self) -> str:
        """Return the name that goes on record as the author of what this process does."""
        ...

    def can_read(self, resource: str) -> bool:
        """Return whether the current user may read ``resource``."""
        ...

    def can_write(self, resource: str) -> bool:
        """Return whether the current user may change ``resource``."""
        ...
