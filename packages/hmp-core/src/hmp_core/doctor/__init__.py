"""What is wrong, and what to do about it: `hmp doctor` and `hmp db verify`. Nothing here changes anything.

::

    findings.py    a finding, and the kind of finding it is
    codes.py       the kinds that the core knows
    case.py        one database as it is examined
    checks.py      what a scope adds: its relations, its vocabularies, its files
    examine.py     everything that can be found from a folder
    file.py        the database file and what lies beside it
    holding.py     who holds the lock
    log.py         segments, packs and the clocks of events
    backups.py     how many backups there are, and whether each opens
    refusals.py    writes that the policy has refused
    content.py     what the database says: ledger, waiting events, rows without parents
    machine.py     versions, file systems, free space, the clock of this machine
    verify.py      every block, every line, every row
"""

from __future__ import annotations

from hmp_core.doctor.case import Case
from hmp_core.doctor.checks import Checks, Relation, Vocabulary
from hmp_core.doctor.examine import Report, examine
from hmp_core.doctor.findings import Code, Finding

__all__ = ["Case", "Checks", "Code", "Finding", "Relation", "Report", "Vocabulary", "examine"]
