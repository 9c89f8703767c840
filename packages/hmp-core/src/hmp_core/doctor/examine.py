"""Everything that can be found from a folder: each database with what lies around it, and the machine itself."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database, databases
from hmp_core.doctor import backups, codes, content, file, holding, log, machine, refusals
from hmp_core.doctor.case import Case
from hmp_core.doctor.checks import Checks, checks_of
from hmp_core.doctor.findings import SEVERITIES, Code, Finding
from hmp_core.durable import refusal
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    HmpError,
    MigrationPending,
    MissingPart,
    NotWritable,
    PolicyUnreadable,
    SchemaIntegrityError,
    SchemaTooNewError,
    WalCorrupt,
)
from hmp_core.paths import to_local

#: What an error says about a database, most special first.
_MEANINGS: tuple[tuple[type[HmpError], Code], ...] = (
    (BusyError, codes.BUSY),
    (WalCorrupt, codes.WAL_DAMAGED),
    (CorruptError, codes.DAMAGED),
    (SchemaTooNewError, codes.NEWER),
    (SchemaIntegrityError, codes.EDITED),
    (MigrationPending, codes.OLDER),
    (PolicyUnreadable, codes.POLICY),
    (AccessDenied, codes.DENIED),
    (NotWritable, codes.NOT_READABLE),
    (MissingPart, codes.SCOPE_MISSING),
)


@dataclass(frozen=True, slots=True)
class Looked:
    """A database that was examined, and what was found about it, worst first."""

    database: Database
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and what was looked at."""

    versions: dict[str, str] = field(default_factory=dict)
    #: of the machine, and of the file systems
    machine: tuple[Finding, ...] = ()
    databases: tuple[Looked, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return [*self.machine, *(finding for looked in self.databases for finding in looked.findings)]


def examine(path: str | Path, *, wait: float = 2.0) -> Report:
    """Return what is wrong with the databases found from ``path``, and with the machine; nothing is changed.

    Parameters
    ----------
    path
        A workspace, a project, or anything in one.
    wait
        Seconds to wait for a database that somebody uses.

    Raises
    ------
    PathNotFound
        If there is no such folder.
    """
    now = time.time()
    start = to_local(path)
    cases = [Case(found, start, wait, now) for found in databases(str(path))]
    looked = tuple(Looked(case.database, _ordered(_database(case))) for case in cases)
    around = _ordered([*machine.look(start, now), *machine.grounds(cases)])
    return Report(machine.versions(), around, looked)


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, each once, worst first: what is shut is met by several checks."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity)))


def _database(case: Case) -> list[Finding]:
    try:
        case.database.authorize("read")
    except HmpError as error:  # what one may not read is not looked into either, nor what lies around it
        return [from_error(case, error)]
    if shut := _shut(case):
        return [shut]
    found: list[Finding] = []
    for look in (file.look, holding.look, log.look, backups.look, refusals.look):
        _carefully(case, found, look)
    checks = Checks(case.database.component)
    try:
        checks = checks_of(case.database.component)
    except MissingPart as error:
        found.append(from_error(case, error))
    told: Any = None

    def ask(case: Case) -> tuple[()]:
        nonlocal told
        with reading(case) as backend:
            told = content.ask(case, backend, checks, found)
        return ()

    if file.is_there(case):
        _carefully(case, found, ask)
    _carefully(case, found, lambda case: checks.look(case, told))
    return found


def _shut(case: Case) -> Finding | None:
    """Return what is to be said of a folder that this user may not look into: of what is in it, nothing is known."""
    try:
        os.lstat(case.path)
    except PermissionError as error:
        return case.finding(codes.NOT_READABLE, str(refusal(error)), case.home)
    except OSError:
        return None  # what else is wrong with it, the checks say
    return None


@contextlib.contextmanager
def reading(case: Case) -> Iterator[DuckDBBackend]:
    """Hold a lease that reads and leaves no trace.

    Raises
    ------
    BusyError
        If somebody else holds the database for longer than the case waits.
    CorruptError, NotWritable, AccessDenied
        If it cannot be read.
    """
    backend = case.database.backend()
    with holding.quietly(case.path, case.wait), backend.lease(write=False, unlocked=True, timeout=case.wait):
        yield backend


def _carefully(case: Case, found: list[Finding], look: Callable[[Case], Iterable[Finding]]) -> None:
    """Take what a check finds; what keeps it from being made is a finding too, and keeps no other check out."""
    try:
        found.extend(look(case))
    except HmpError as error:
        found.append(from_error(case, error))
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else None
        shut = isinstance(error, PermissionError)
        found.append(case.finding(codes.NOT_READABLE if shut else codes.FAILED, error.strerror or str(error), where))


def from_error(case: Case, error: HmpError) -> Finding:
    """Return the finding that an error stands for."""
    code = next((code for kind, code in _MEANINGS if isinstance(error, kind)), codes.FAILED)
    return case.finding(code, str(error))
