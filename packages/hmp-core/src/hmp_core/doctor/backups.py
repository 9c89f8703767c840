"""The backups of a database: how many there are, how old the newest is, and whether each can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backups import list_backups
from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Finding, many
from hmp_core.errors import CorruptError, HmpError, SchemaTooNewError
from hmp_core.migrations import ledger


def look(case: Case) -> Iterator[Finding]:
    """Yield what is to be said of the backups."""
    kept = list_backups(case.path)
    if kept:
        days = max(0.0, case.now - kept[0].taken_at.timestamp()) / 86_400
        what = f"{many(len(kept), 'backup')}, the newest {days:.1f} days old"
        yield case.finding(codes.BACKUPS, what, kept[0].path.parent)
    elif case.database.component in {"catalog", "experiments"} and case.path.exists():
        yield case.finding(codes.NO_BACKUP, "there is no backup yet")
    for path in all_of(case):
        yield from opened(case, path)


def all_of(case: Case) -> list[Path]:
    """Return where the backups lie, newest first."""
    return [backup.path for backup in list_backups(case.path)]


def opened(case: Case, path: Path) -> Iterator[Finding]:
    """Yield why a backup cannot be opened, if it cannot; nobody writes it, so that it needs no lock."""
    backend = DuckDBBackend(path)
    try:
        with backend.lease(write=False, unlocked=True, timeout=case.wait):
            if ledger.strangers(backend) or not ledger.everything(backend):
                yield case.finding(codes.BACKUP_DAMAGED, "it holds no ledger of hmp", path)
    except (CorruptError, SchemaTooNewError) as error:
        yield case.finding(codes.BACKUP_DAMAGED, str(error), path)
    except HmpError as error:
        yield case.finding(codes.FAILED, str(error), path)
