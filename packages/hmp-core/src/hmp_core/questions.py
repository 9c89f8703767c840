"""A question that somebody wrote in SQL: one, and one that only asks.

The database is attached read-only, but the engine would gladly write elsewhere: ``COPY ... TO``, ``ATTACH``, a table in
memory. What a user hands to ``sql`` passes here first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols import BulkBackend

#: The first word, after blanks, comments and parentheses.
_FIRST = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_ASKING = {"DESCRIBE", "FROM", "SELECT", "SHOW", "SUMMARIZE", "TABLE", "VALUES", "WITH"}


def ask(backend: BulkBackend, query: str, params: Sequence[Any] = ()) -> pa.Table:
    """Return the answer to one question that somebody wrote.

    Raises
    ------
    InvalidInput
        If it is several statements, or one that does something: the engine would do it elsewhere than in the database.
    StatementError
        If the engine does not understand it.
    """
    require_question(backend, query)
    return backend.query(query, params)


def require_question(backend: BulkBackend, query: str) -> None:
    """Return if ``query`` is one question.

    Raises
    ------
    InvalidInput
        If not.
    """
    statements = backend.statements(query)
    first = _FIRST.match(query)
    if len(statements) != 1 or first is None or first[1].upper() not in _ASKING:
        message = f"{query.strip()[:60]!r}: expected one question, beginning with {', '.join(sorted(_ASKING))}"
        raise InvalidInput(message)
