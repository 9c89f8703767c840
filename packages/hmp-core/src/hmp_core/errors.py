"""Every way hmp can refuse, in one tree grouped by what a caller would do about it.

::

    HmpError                                              1  anything
    ├── mend the call
    │   ├── InvalidInput (ValueError)                     2  a value that cannot be accepted
    │   │   ├── PathEscape                                2  a path that would leave the workspace
    │   │   ├── UnknownFilter                             2  a filter key nobody knows; lists the valid ones
    │   │   ├── PathTaken (FileExistsError)               2  something of the user's lies there already
    │   │   └── SealedError                               2  what is sealed is not rewritten
    │   ├── UnsupportedScheme (NotImplementedError)       2  a URI scheme this door does not open
    │   └── MissingPart (ImportError)                     2  a package or extra that is not installed
    ├── look elsewhere
    │   ├── NotFound (KeyError)                          10  nothing by that reference
    │   │   └── AmbiguousReference                       20  more than one thing by that reference
    │   └── PathNotFound (FileNotFoundError)             10  no such file or folder
    │       └── DatabaseNotFound                         10  no database there yet
    ├── wait, or ask for permission
    │   ├── BusyError (TimeoutError)                     12  somebody else holds the lock; names the holder
    │   ├── AccessDenied (PermissionError)               13  the policy says no
    │   │   └── PolicyUnreadable                         13  nobody can read the policy, so it says no to everything
    │   ├── NotWritable (PermissionError)                13  the file system says no
    │   └── FoldDisabled (RuntimeError)                  13  an immediate answer needs a fold, and folding is off
    ├── upgrade
    │   ├── SchemaTooNewError (RuntimeError)             11  written by a newer hmp
    │   └── MigrationPending (RuntimeError)              11  written by an older hmp
    ├── repair
    │   ├── CorruptError (RuntimeError)                  22  bytes that are not what they should be
    │   │   ├── WalCorrupt                               22  what the engine wrote ahead cannot be replayed
    │   │   └── ArchiveInvalid                           22  an archive or package that is not what its list says
    │   ├── SchemaIntegrityError (RuntimeError)          19  an applied migration was edited
    │   ├── MigrationDiscoveryError (ValueError)         19  misnamed, missing or duplicate migration files
    │   ├── MigrationExecutionError (RuntimeError)       19  a migration failed and was rolled back
    │   └── StatementError (RuntimeError)                 1  the engine refused a statement
    └── make room
        └── StorageError (OSError)                        5  the disk refused to keep what was written

The number is the exit code of the command line. Each error is also the builtin a user would catch (in
parentheses), carries its data as attributes, and pickles.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HmpError(Exception):
    """Anything hmp refuses. ``message`` says what, where, got, expected and the remedy."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self._data = data
        for name, value in data.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self._data))


def _rebuild(kind: type[HmpError], message: str, data: dict[str, Any]) -> HmpError:
    return kind(message, **data)


# ── mend the call ────────────────────────────────────────────────────────────────────────────────────


class InvalidInput(HmpError, ValueError):
    """A value that cannot be accepted; nothing was changed."""

    exit_code = 2


class PathEscape(InvalidInput):
    """A path that is absolute, contains ``..`` or follows a link out of its workspace."""

    path: str


class UnknownFilter(InvalidInput):
    """A filter key nobody knows; ``valid`` lists those that are known."""

    key: str
    valid: list[str]


class SealedError(InvalidInput):
    """What is sealed is not rewritten: record a new run instead."""


class PathTaken(InvalidInput, FileExistsError):
    """Something is at ``path`` already; it was left as it is."""

    path: str


class UnsupportedScheme(HmpError, NotImplementedError):
    """A URI whose scheme this door does not open; nothing was created."""

    exit_code = 2
    uri: str


class MissingPart(HmpError, ImportError):
    """A package or an extra that is not installed; ``install`` is what to install."""

    exit_code = 2
    install: str


# ── look elsewhere ───────────────────────────────────────────────────────────────────────────────────


class NotFound(HmpError, KeyError):
    """Nothing goes by that reference; ``reference`` and close ``candidates`` are attached."""

    exit_code = 10
    reference: str
    candidates: list[str]


class AmbiguousReference(NotFound):
    """More than one thing goes by that reference; ``candidates`` lists them."""

    exit_code = 20


class PathNotFound(HmpError, FileNotFoundError):
    """No such file or folder; nothing was created."""

    exit_code = 10
    path: str


class DatabaseNotFound(PathNotFound):
    """No database there yet; the message says which verb makes one."""


# ── wait, or ask for permission ──────────────────────────────────────────────────────────────────────


class BusyError(HmpError, TimeoutError):
    """The lock was not free in time; ``holder`` says who held it, ``waited`` for how many seconds."""

    exit_code = 12
    path: str
    holder: str
    waited: float


class AccessDenied(HmpError, PermissionError):
    """The policy refuses this user; ``user``, ``action`` and ``resource`` say what was asked."""

    exit_code = 13
    user: str
    action: str
    resource: str


class PolicyUnreadable(AccessDenied):
    """The policy at ``path`` is missing or malformed: nobody is allowed anything until it is mended."""

    path: str


class NotWritable(HmpError, PermissionError):
    """The file system refuses to write there; nothing was changed."""

    exit_code = 13
    path: str


class FoldDisabled(HmpError, RuntimeError):
    """The question needs an immediate answer from the database, and folding is switched off here."""

    exit_code = 13


# ── upgrade ──────────────────────────────────────────────────────────────────────────────────────────


class SchemaTooNewError(HmpError, RuntimeError):
    """The database was written by a newer hmp: upgrade this one."""

    exit_code = 11
    path: str
    found: int
    known: int


class MigrationPending(HmpError, RuntimeError):
    """The database is older than this hmp and migrating is switched off or not this verb's business."""

    exit_code = 11
    path: str
    found: int
    known: int


# ── repair ───────────────────────────────────────────────────────────────────────────────────────────


class CorruptError(HmpError, RuntimeError):
    """Bytes that are not what they should be; the file was left as it is."""

    exit_code = 22
    path: str


class WalCorrupt(CorruptError):
    """The WAL beside a database cannot be replayed, ``wal`` is where it lies; what it held is in files and log too."""

    wal: str


class ArchiveInvalid(CorruptError):
    """An archive or a package is damaged, cut short, or not what its list says; nothing was taken from it."""


class SchemaIntegrityError(HmpError, RuntimeError):
    """A migration file that was already applied has been edited since."""

    exit_code = 19


class MigrationDiscoveryError(HmpError, ValueError):
    """Migration files that are misnamed, duplicate, or do not count up from 0001."""

    exit_code = 19


class MigrationExecutionError(HmpError, RuntimeError):
    """A migration failed; the database is as it was, and ``backup`` says where a copy of it lies, if there is one."""

    exit_code = 19
    path: str
    backup: str


class StatementError(HmpError, RuntimeError):
    """The engine refused a statement; the transaction was rolled back."""

    exit_code = 1


# ── make room ────────────────────────────────────────────────────────────────────────────────────────


class StorageError(HmpError, OSError):
    """The disk refused to keep what was written; nothing was acknowledged."""

    exit_code = 5
    path: str
