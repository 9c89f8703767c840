"""A finding: how bad, of which kind, where, what is so, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]

#: Worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

#: The exit code of a command whose worst finding is so bad: 22 means "repair", 1 "something needs attention".
EXIT_CODES: dict[Severity, int] = {"error": 22, "warning": 1, "info": 0}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that somebody who looks after a workspace should know."""

    severity: Severity
    #: its kind, as "log-damaged"; see `Code`
    code: str
    #: the file or folder it is about
    where: Path
    what: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self) | {"where": str(self.where)}


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding; the manual lists them all.

    Parameters
    ----------
    name
        Lower case, with hyphens.
    severity
        ``error``: something is lost or damaged, or will go wrong; ``warning``: somebody should look; ``info``: good
        to know.
    meaning
        One sentence, for the manual.
    remedy
        What to do; ``{verb}`` stands for the verb of the scope: ``catalog``, ``data``, ``index``.
    """

    name: str
    severity: Severity
    meaning: str
    remedy: str

    def at(self, where: Path, what: str, *, verb: str = "", remedy: str = "") -> Finding:
        """Return a finding of this kind."""
        return Finding(self.severity, self.name, where, what, (remedy or self.remedy).replace("{verb}", verb))


def worst(findings: Iterable[Finding]) -> Severity | None:
    """Return the worst severity among some findings; None if there is none."""
    found = {finding.severity for finding in findings}
    return next((severity for severity in SEVERITIES if severity in found), None)


def some(names: Iterable[object], most: int = 5) -> str:
    """Return up to ``most`` names in a line, and how many more there are."""
    listed = [str(name) for name in names]
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


def many(count: int, noun: str) -> str:
    """Return a number with what is counted: ``1 segment``, ``2 segments``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
