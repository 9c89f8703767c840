"""What an adapter is tried with: values that are easily changed, names that are none, and what interrupts a block."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any
from uuid import UUID

#: What must not pass as a name.
NOT_NAMES = ("", "a b", 'a"b', "a;b", "1a", "é", "a.b", "a--", "a" * 64)

#: Declared type -> its type in Arrow, which the scopes rely on.
ARROW = {
    "UUID": "string",
    "TIMESTAMP": "timestamp[us]",
    "BOOLEAN": "bool",
    "DATE": "date32[day]",
    "JSON": "string",
    "DOUBLE": "double",
    "BIGINT": "int64",
    "VARCHAR": "string",
    "BLOB": "binary",
}

#: Values that are easily changed on their way into a file and back.
KINDS: list[tuple[str, Any]] = [
    ("UUID", UUID("01890a5d-ac96-774b-bcce-b302099a8057")),
    ("TIMESTAMP", datetime(2001, 2, 3, 4, 5, 6, 789)),
    ("TIMESTAMP", datetime(1, 1, 1)),
    ("TIMESTAMP", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("BOOLEAN", True),
    ("BOOLEAN", False),
    ("DATE", date(2024, 2, 29)),
    ("JSON", '{"nse": [1.0, 0.1], "big": 123456789012345678901234567890}'),
    ("JSON", "1.0"),
    ("JSON", "123456789012345678901234567890"),
    ("DOUBLE", math.inf),
    ("DOUBLE", -math.inf),
    ("DOUBLE", math.nan),
    ("DOUBLE", -0.0),
    ("BIGINT", 2**63 - 1),
    ("BIGINT", -(2**63)),
    ("VARCHAR", "a\0b"),
    ("VARCHAR", "01"),
    ("BLOB", b"\0\xff"),
]

#: What interrupts a block, and is no `Exception` for the most part.
INTERRUPTS = (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit)
