"""``hmp db verify``: everything that is there is read, and compared with what it should be; nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.each import AS_JSON, WHERE, seconds, there
from hmp_core.cli.show import emit, notice
from hmp_core.databases import Database, databases
from hmp_core.durable import refusal
from hmp_core.errors import HmpError

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = ["component", "path", "state", "where", "what"]


@click.command()
@WHERE
@click.option("--deep", is_flag=True, help="Also fold the log from zero and compare every row; hash every file.")
@click.option(
    "--wait", default=30.0, show_default=True, callback=seconds, help="Seconds to wait for a database that is in use."
)
@AS_JSON
def verify(path: str, deep: bool, wait: float, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Read every block, line and backup of the databases around PATH, and compare them with what they should be."""
    from hmp_core.paths import to_local

    rows: list[dict[str, Any]] = []
    code = 0
    for found in databases(path):
        known = {"component": found.component, "path": str(found.path)}
        try:
            told, worst = _verified(found, to_local(path), wait, deep=deep)
        except (HmpError, OSError) as error:
            ours = error if isinstance(error, HmpError) else refusal(error)
            notice(f"{found.path}: {type(ours).__name__}: {ours}")
            told, worst = [{"state": type(ours).__name__, "what": str(ours)}], ours.exit_code
        rows += [known | row for row in told]
        code = max(code, worst)
    emit(rows, _COLUMNS, as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)


def _verified(found: Database, start: Path, wait: float, *, deep: bool) -> tuple[list[dict[str, Any]], int]:
    """Return what is to be shown of a database, and the exit code that goes with it."""
    from hmp_core.doctor import file
    from hmp_core.doctor.case import Case
    from hmp_core.doctor.findings import EXIT_CODES, worst
    from hmp_core.doctor.verify import verify as verified

    found.authorize("read")
    case, read = Case(found, start, wait), ""
    if there(found.path):
        found.settle(wait)
        verdict = verified(case, deep=deep)
        findings, read = verdict.findings, verdict.read
    else:
        findings = list(file.look(case))
    told = [f for f in findings if f.severity != "info"]
    if not told:
        return [{"state": "sound", "what": read}] if read else [], 0
    severity = worst(told)
    rows = [{"state": finding.code, "where": str(finding.where), "what": finding.what} for finding in told]
    return rows, EXIT_CODES[severity] if severity else 0
