"""What `hmp doctor` and `hmp db verify` ask of the files of observations: are they there, and as they were added?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hmp_catalog import bundles, packs
from hmp_core.doctor import Case, Code, Finding
from hmp_core.doctor.findings import some
from hmp_core.errors import CorruptError, InvalidInput

GONE = Code(
    "observations-missing",
    "error",
    "A file of observed values is not there.",
    "put it back from a backup, or add the same values again",
)
CHANGED = Code(
    "observations-changed",
    "error",
    "A file of observed values has another size, or other bytes, than when it was added.",
    "put it back from a backup, or add the same values again",
)
CODES = (GONE, CHANGED)


def look(case: Case, *, deep: bool) -> Iterator[Finding]:
    """Yield the files that the log speaks of and that are not as they were added; they are hashed if ``deep``."""
    gone, changed = [], []
    for said in _added(case):
        try:
            file = bundles.find(case.home, said["path"])
            whole = file is not None and bundles.size(file) == said["size"]
            whole = whole and file is not None and (not deep or packs.sha256(file) == said["sha256"])
        except CorruptError:  # the bundle that it is in
            file, whole = case.home, False
        except (FileNotFoundError, NotADirectoryError, InvalidInput):
            file, whole = None, False
        if file is None:
            gone.append(said["path"])
        elif not whole:
            changed.append(said["path"])
    if gone:
        yield case.finding(GONE, f"{len(gone)} files of observations are missing: {some(gone)}", case.home)
    if changed:
        what = f"{len(changed)} files of observations are not as they were added: {some(changed)}"
        yield case.finding(CHANGED, what, case.home)


def _added(case: Case) -> list[dict[str, Any]]:
    """Return what was added and not withdrawn, each file once."""
    events = [event for log in case.log for event in log.events]
    withdrawn = {e.payload["addition_id"] for e in events if e.kind == "observations.withdrawn"}
    added = [e.payload for e in events if e.kind == "observations.added"]
    return list({said["path"]: said for said in added if said["addition_id"] not in withdrawn}.values())
