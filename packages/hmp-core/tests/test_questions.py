"""What may be asked in SQL, and what is refused because it does something."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import InvalidInput, StatementError
from hmp_core.questions import ask


@pytest.fixture
def backend(tmp_path: Path) -> DuckDBBackend:
    made = DuckDBBackend(tmp_path / "q.duckdb", create=True)
    with made.transaction():
        made.execute("CREATE TABLE t (a INTEGER)")
        made.execute("INSERT INTO t VALUES (1), (2)")
    return made


@pytest.mark.parametrize(
    "question",
    [
        "SELECT a FROM t",
        "  -- why\n select a from t",
        "/* a */ (SELECT a FROM t)",
        "WITH x AS (SELECT a FROM t) SELECT a FROM x",
        "FROM t",
        "TABLE t",
    ],
)
def test_a_question_is_answered(backend: DuckDBBackend, question: str) -> None:
    assert ask(backend, question).to_pydict() == {"a": [1, 2]}


def test_values_are_bound(backend: DuckDBBackend) -> None:
    assert ask(backend, "SELECT a FROM t WHERE a > $1", [1]).to_pydict() == {"a": [2]}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM t",
        "COPY t TO 'out.csv'",
        "ATTACH ':memory:' AS m",
        "CREATE TABLE memory.x AS SELECT 1",
        "SELECT 1; DELETE FROM t",
        "PRAGMA database_list",
        "",
    ],
)
def test_what_does_something_is_refused(
    backend: DuckDBBackend, statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="expected one question"):
        ask(backend, statement)
    assert not (tmp_path / "out.csv").exists()
    assert backend.fetch_one("SELECT count(*) FROM t") == (2,)


def test_what_the_engine_does_not_understand_is_an_error_of_ours(backend: DuckDBBackend) -> None:
    with pytest.raises(StatementError):
        ask(backend, "SELECT nothing FROM t")
