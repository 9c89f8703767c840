"""How you get in: from a workspace to its `InputsNamespace`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hmp_cache.inputs import InputsNamespace
from hmp_core.locks import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols import AuthBackend, BackendFactory


def open(  # noqa: A001 - the documented name of the door
    path: str | Path | UPath,
    *,
    create: bool = False,
    read_only: bool = False,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    frozen: bool | None = None,
    backend: BackendFactory | None = None,
) -> InputsNamespace:
    """Open the input cache of a workspace.

    Parameters
    ----------
    path
        The workspace folder.
    create
        Make it a workspace if it is none.
    read_only
        Refuse every write.
    auth
        Who is asked for the right to read and write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for locks: of the database, of a folder another process writes, of an input it fetches.
    frozen
        Answer only with what ``hydromodpy.lock`` names, in exactly those bytes, and write nothing; anything else is
        `FrozenDataError`. By default as ``HMP_FROZEN`` says.
    backend
        Makes what opens the database file, an adapter that keeps `hmp_core.protocols.StoreBackend`; by default
        `hmp_core.backends.DuckDBBackend`.

    Raises
    ------
    PathNotFound, DatabaseNotFound
        If there is nothing (a ``FileNotFoundError``); nothing is created.
    UnsupportedScheme, NotWritable, CorruptError, SchemaTooNewError, BusyError
        See `hmp_core.errors`.

    Examples
    --------
    >>> import tempfile
    >>> with open(tempfile.mkdtemp() + "/fulda", create=True) as data:
    ...     data.find()
    []
    """
    return InputsNamespace(
        path, create=create, read_only=read_only, auth=auth, timeout=timeout, frozen=frozen, backend=backend
    )
