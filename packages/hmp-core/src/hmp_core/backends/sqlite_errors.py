"""Errors that are also those of the engine: for functions that work on a connection of the caller's own."""

from __future__ import annotations

import sqlite3

from hmp_core.errors import CorruptError


class MalformedDatabase(CorruptError, sqlite3.DatabaseError):
    """The file at ``path`` is no database of SQLite, or is damaged; it was left as it is."""
