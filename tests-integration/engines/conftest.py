"""What only ``nox -s tests-duckdb2`` can offer: an interpreter with the other DuckDB."""

from __future__ import annotations

import os

import pytest

#: Names an interpreter in whose environment hmp stands on another DuckDB than here.
OTHER = "OTHER_DUCKDB_PYTHON"


@pytest.fixture(scope="session")
def other_python() -> str:
    """The interpreter with the other DuckDB."""
    if OTHER not in os.environ:
        pytest.skip(f"{OTHER} names no interpreter with another DuckDB: nox -s tests-duckdb2")
    return os.environ[OTHER]
