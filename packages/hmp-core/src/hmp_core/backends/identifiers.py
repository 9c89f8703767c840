"""Names that may stand in a statement: the only text that is ever built into SQL."""

from __future__ import annotations

import re

from hmp_core.errors import InvalidInput

_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")


def identifier(name: str) -> str:
    """Return ``name`` quoted for a statement.

    Raises
    ------
    InvalidInput
        If it holds anything but letters, digits and underscores.

    Examples
    --------
    >>> identifier("sim_id")
    '"sim_id"'
    """
    if not _NAME.match(name):
        message = f"{name!r} is not a table or column name: expected letters, digits and underscores"
        raise InvalidInput(message)
    return f'"{name}"'


def insert_statement(table: str, columns: list[str]) -> str:
    """Return the statement that adds one row with ``columns``."""
    if not columns:
        message = f"a row of {table} needs at least one column"
        raise InvalidInput(message)
    names = ", ".join(map(identifier, columns))
    marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {identifier(table)} ({names}) VALUES ({marks})"


def upsert_statement(table: str, columns: list[str], key: list[str]) -> str:
    """Return the statement that adds one row, or replaces what is not ``key``."""
    missing = [k for k in key if k not in columns]
    if missing or not key:
        message = f"an upsert into {table} needs its key: missing {missing or 'key columns'}"
        raise InvalidInput(message)
    others = [c for c in columns if c not in key]
    target = ", ".join(map(identifier, key))
    if not others:
        return f"{insert_statement(table, columns)} ON CONFLICT ({target}) DO NOTHING"
    sets = ", ".join(f"{identifier(c)} = excluded.{identifier(c)}" for c in others)
    return f"{insert_statement(table, columns)} ON CONFLICT ({target}) DO UPDATE SET {sets}"
