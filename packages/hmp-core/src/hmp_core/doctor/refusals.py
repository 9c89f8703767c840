"""The writes to a database that the policy has refused, told together."""

from __future__ import annotations

from collections.abc import Iterator

from hmp_core.auth.refused import refusals
from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Finding, some


def look(case: Case) -> Iterator[Finding]:
    """Yield how many writes were refused, to whom, and when last."""
    refused = refusals(case.path)
    if refused:
        users = some(sorted({one.user for one in refused}))
        last = f"{refused[-1].at:%Y-%m-%d %H:%M} UTC"
        yield case.finding(codes.REFUSED, f"{len(refused)} writes by {users}, the last at {last}")
