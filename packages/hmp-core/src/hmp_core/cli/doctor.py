"""``hmp doctor``: what is wrong, where, and what to do about it; nothing is changed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from hmp_core.cli.each import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hmp_core.doctor.examine import Looked, Report
    from hmp_core.doctor.findings import Finding


@click.command()
@click.argument("path", default=".", required=False)
@click.option(
    "--wait", default=2.0, show_default=True, callback=seconds, help="Seconds to wait for a database that is in use."
)
@click.option("--json", "as_json", is_flag=True, help="One finding a line, as JSON.")
def command(path: str, wait: float, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Examine the databases around PATH and this machine, and say what is wrong and what to do about it.

    Leaves with 0 if there is nothing above info, with 1 after warnings, with 22 after errors.
    """
    from hmp_core.doctor.examine import examine
    from hmp_core.doctor.findings import EXIT_CODES, worst

    report = examine(path, wait=wait)
    if as_json:
        for finding in report.findings:
            print(json.dumps(finding.as_dict(), ensure_ascii=False))
    else:
        print("\n".join(_page(report)))
    if (found := worst(report.findings)) and EXIT_CODES[found]:
        raise click.exceptions.Exit(EXIT_CODES[found])


def _page(report: Report) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [f"this machine: {versions}", *_told(report.machine)]
    for looked in report.databases:
        lines += ["", _title(looked), *_told(looked.findings, looked.database.path)]
    return [*lines, "", _verdict(report)]


def _title(looked: Looked) -> str:
    return f"{looked.database.component}: {looked.database.path}"


def _told(findings: Sequence[Finding], about: Path | None = None) -> list[str]:
    if not findings:
        return ["  nothing to say"]
    lines = []
    for finding in findings:
        lines.append(f"  {finding.severity:<8}{finding.code}: {finding.what}")
        if finding.where != about:  # the title says it
            lines.append(f"          at {finding.where}")
        if finding.severity != "info":
            lines.append(f"          remedy: {finding.remedy}")
    return lines


def _verdict(report: Report) -> str:
    counts = {s: sum(f.severity == s for f in report.findings) for s in ("error", "warning", "info")}
    looked = [each.database.component for each in report.databases if os.path.exists(each.database.path)]
    named = ", ".join(f"{looked.count(c)} {c}" for c in dict.fromkeys(looked)) or "no database is there"
    if not counts["error"] and not counts["warning"]:
        return f"all is well; looked at: {named}, their logs and files, and this machine"
    said = ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items() if count)
    return f"{said}; looked at: {named}"
