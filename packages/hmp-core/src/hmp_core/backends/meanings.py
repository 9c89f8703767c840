"""What the engine says and what it means.

DuckDB gives no error codes, so kinds and texts of its exceptions are read here, and only here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hmp_core.durable import right_to_write
from hmp_core.errors import (
    BusyError,
    CorruptError,
    DatabaseNotFound,
    HmpError,
    NotWritable,
    SchemaTooNewError,
    StatementError,
    StorageError,
    WalCorrupt,
)

#: Kinds of exceptions that speak of files; all others speak of a statement. 2.0 tells of a wrong checksum by ``Error``.
_OF_FILES = {"IOException", "SerializationException", "TransactionException", "Error"}
_FATAL = {"FatalException", "InternalException"}

_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_HELD = ("Could not set lock on file", "Unique file handle conflict", "already attached by database")
_FORBIDDEN = ("Permission denied", "Read-only file system", "Operation not permitted")
_GONE = ("database does not exist", "No such file or directory")
_DAMAGED = (
    "Corrupt database file",
    "computed checksum",
    "not a valid DuckDB database file",
    "replaying WAL",
    "WAL does not match",
    "does not match the expected",
    "Failed to deserialize",
    "Serialization Error",
)
#: These may as well speak of a file that a statement names.
_DAMAGED_IF_OURS = ("Could not read enough bytes", "Input/output error", "Is a directory")

#: The engine, on the WAL of the file that is attached.
_OF_WAL = ("replaying WAL", "replaying checkpoint WAL", "This WAL was created for")
#: What it could not get while replaying says nothing about the WAL.
_SCARCE = ("Out of Memory", "INTERRUPT", "Interrupted")

#: Name of a database -> the verb that brings it back, and how that verb is told where.
_REMEDIES = {
    "catalog.duckdb": "hmp catalog rebuild --project {project}",
    "cache.duckdb": "hmp data rebuild --workspace {workspace}",
    "index.duckdb": "hmp index rebuild",
    "store.duckdb": "hmp db restore {database}",
}

#: Every other lease of the process hears this after one of them met a fatal error.
_AFTERMATH = "has been invalidated because of a previous fatal error"


def meaning(error: Exception, where: str, *, opening: bool = False) -> HmpError:
    """Return the error of hmp that stands for an exception of the engine.

    Parameters
    ----------
    error
        What the engine raised.
    where
        The database file that was being used.
    opening
        Whether it was being attached: then every text speaks of it.
    """
    text = str(error).partition("\n\nStack Trace")[0].strip()
    kind = type(error).__name__
    if _AFTERMATH in text.partition("Original error")[0]:
        message = f"{where}: the engine gave up because of damage it met in this process; try again ({text})"
        return StatementError(message)
    if opening and _says(text, _OF_WAL) and not _says(text, (*_FULL, *_FORBIDDEN, *_HELD, *_SCARCE)):
        return _unplayable(where, text)
    if kind in _FATAL:
        return _corrupt(where, text)
    if opening or kind in _OF_FILES:
        return _of_file(where, text, opening=opening)
    return _statement(where, text)


def _of_file(where: str, text: str, *, opening: bool) -> HmpError:
    ours = opening or where in text
    if _says(text, _FULL):
        message = f"{where} could not be written; free some space and try again ({text})"
        return StorageError(message, path=where)
    if opening and _says(text, _HELD):
        return _busy(where, text)
    if opening and (found := re.search(r"version number (\d+), but .*?(\d+)\b\D*$", text)):
        return _newer(where, int(found[1]), int(found[2]))
    if ours and (said := next((snippet for snippet in _FORBIDDEN if snippet in text), "")):
        message = f"{where} may not be opened: {said}; {right_to_write(Path(where))}"
        return NotWritable(message, path=where)
    if opening and _says(text, _GONE):  # it was there when its lock was taken
        message = f"{where} is not there any more ({text})"
        return DatabaseNotFound(message, path=where)
    if _says(text, _DAMAGED) or (ours and _says(text, _DAMAGED_IF_OURS)):
        return _corrupt(where, text)
    return _statement(where, text)


def _says(text: str, snippets: tuple[str, ...]) -> bool:
    return any(snippet in text for snippet in snippets)


def _statement(where: str, text: str) -> StatementError:
    message = f"{where}: {text}"
    return StatementError(message)


def _corrupt(where: str, text: str) -> CorruptError:
    message = f"{where} is damaged or not a database; it was left as it is: {remedy(where)} ({text})"
    return CorruptError(message, path=where)


def _unplayable(where: str, text: str) -> WalCorrupt:
    wal = f"{where}.wal"
    message = (
        f"{wal} cannot be replayed; it was left as it is: open the database where it may be written and folded, "
        f"and the WAL is set aside and what it held made anew from the files; or {remedy(where)} ({text})"
    )
    return WalCorrupt(message, path=where, wal=wal)


def remedy(database: str) -> str:
    """Return what to do about a database that is damaged: the very command, where its scope is known by its name."""
    said = rebuild_command(database)
    if said.startswith("hmp db restore"):  # its own home: no files tell what it held
        return f"bring it back from a backup with `{said}`"
    return f"rebuild it from its files with {f'`{said}`' if said else 'the `rebuild` verb of its scope'}"


def rebuild_command(database: str) -> str:
    """Return the command that makes a database anew, wherever it is typed; empty where its name tells no scope.

    What cannot be made from files comes back from a backup.
    """
    path = Path(database)
    said = _REMEDIES.get(path.name, "")
    places = {"database": path, "project": path.parent, "workspace": path.parent.parent}
    return said.format(**{name: shlex.quote(str(place)) for name, place in places.items()})


def _busy(where: str, text: str) -> BusyError:
    holder = text.partition("held in ")[2].split(". See")[0] or "another part of this process"
    message = f"{where} is open elsewhere without hmp's lock file (held in {holder}); close it there and try again"
    return BusyError(message, path=where, holder=holder, waited=0.0)


def _newer(where: str, found: int, known: int) -> SchemaTooNewError:
    message = (
        f"{where} was written in file format {found}, this DuckDB reads up to {known}: "
        "it was written by a newer hmp; upgrade this one"
    )
    return SchemaTooNewError(message, path=where, found=found, known=known)
