"""Files that stay where their owner has them: registered in place, found again, never copied, moved or changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.arrival import Arrival
from hmp_cache.labels import Label, checked_parameters
from hmp_cache.opening import Rooms
from hmp_cache.shelf import Shelf
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.identity import sha256_file
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath


def register(
    rooms: Rooms,
    file_path: str | Path | UPath,
    label: Label,
    *,
    is_custom: bool,
    expected: tuple[float | None, str | None],
    metadata: Mapping[str, Any] | None,
) -> UUID:
    """Make a file where it is the current version of its input; see `DataCatalogDuckDB.register`.

    Parameters
    ----------
    expected
        Modification time and SHA-256 that the caller believes the file to have.
    """
    rooms.may_write(f"register {file_path}")
    path = rooms.user_file(_in_workspace(rooms.shelf, file_path))
    kept = rooms.shelf.relative(path)
    checked_parameters("fetch_metadata", metadata)
    sha256 = sha256_file(path)
    _compare(path, sha256, expected)
    arrival = Arrival(
        label, path.name, stand_in=kept, uri=kept, is_custom=is_custom, metadata=dict(metadata) if metadata else None
    )
    return UUID(rooms.intake.register(path, sha256, arrival).payload["entry"]["id"])


def _in_workspace(shelf: Shelf, file_path: str | Path | UPath) -> Path:
    """Return a path; one that is relative is meant from the workspace."""
    if isinstance(file_path, (str, Path)) and "://" not in str(file_path) and not Path(file_path).is_absolute():
        return shelf.workspace / file_path
    return to_local(file_path)


def _compare(path: Path, sha256: str, expected: tuple[float | None, str | None]) -> None:
    mtime, believed = expected
    if believed is not None and str(believed).lower() != sha256:
        message = f"{path} has SHA-256 {sha256}, not {believed}"
        raise InvalidInput(message)
    found = path.stat().st_mtime
    if mtime is not None and abs(found - float(mtime)) > 1.0:
        message = f"{path} was modified at {found:.3f} (seconds since 1970), not at {float(mtime):.3f}"
        raise InvalidInput(message)


def resolve_path(shelf: Shelf, file_path: str | Path, variable: str | None) -> Path:
    """Return where a file lies that is named by its kept path, or by its mere name and its variable.

    Raises
    ------
    PathNotFound
        If it is in none of the places it could be in; they are listed.
    InvalidInput
        If several sources of the variable have a file of that name.
    """
    first = _in_workspace(shelf, file_path)
    if first.exists():
        shelf.relative(first)  # what leads out of the workspace is refused
        return first
    home = shelf.data / variable if variable else None
    found = sorted(p for p in (home / file_path, *home.glob(f"[!.]*/{file_path}")) if p.is_file()) if home else []
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(shelf.relative, found))
        message = f"{file_path} could be {len(found)} files of {variable}: {listed}; give its path"
        raise InvalidInput(message)
    message = f"{file_path}: not at {first}" + (f" nor in {home}" if home else "")
    raise PathNotFound(message, path=str(first))
