"""What a door is given as ``backend=`` makes the backend of its store; with less than the contract it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import InvalidInput
from hmp_core.protocols.backend import StoreBackend

if TYPE_CHECKING:
    from hmp_core.protocols.backend import BackendFactory


def made_by(factory: BackendFactory, path: Path, **asked: Any) -> StoreBackend:
    """Return the backend that a factory makes for a database file.

    Raises
    ------
    InvalidInput
        If it makes none, or one that does not keep `StoreBackend`.
    """
    if not callable(factory):
        message = f"backend= is {factory!r}, expected what makes a backend, as hmp_core.backends.DuckDBBackend"
        raise InvalidInput(message)
    made = factory(path, **asked)
    if factory is not DuckDBBackend and not isinstance(made, StoreBackend):
        message = (
            f"backend= made a {type(made).__name__}, on which no database with a log can stand; "
            "expected one with every verb of hmp_core.protocols.StoreBackend"
        )
        raise InvalidInput(message)
    return made
