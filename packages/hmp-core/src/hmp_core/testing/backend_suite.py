"""The judge of database adapters: what `CatalogBackend` and `BulkBackend` promise, asked of a real one.

A new adapter's test file is a subclass with one fixture::

    class TestMyBackend(BackendSuite):
        @pytest.fixture
        def make(self) -> MakeBackend:
            return lambda path, **options: MyBackend(path, **options)
"""

# ruff: noqa: D102, PT012 - a claim is the name of its test, and blocks under `raises` are what is judged

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol

import pytest

from hmp_core.errors import CorruptError, DatabaseNotFound, InvalidInput, NotWritable, StatementError
from hmp_core.protocols import BulkBackend, CatalogBackend
from hmp_core.testing.backend_values import ARROW, INTERRUPTS, KINDS, NOT_NAMES


class MakeBackend(Protocol):
    """Makes an adapter on a file."""

    def __call__(
        self, path: Path, *, create: bool = False, read_only: bool = False, timeout: float = 30.0
    ) -> CatalogBackend:
        """Return a backend on the database ``path``, which ``create`` makes at the first write."""
        ...


class BackendSuite:
    """Asks an adapter for everything that the protocol promises; `make` is the only thing to supply."""

    @pytest.fixture
    def make(self) -> MakeBackend:
        """Return what makes a backend."""
        message = "give the suite a fixture `make` that returns what makes a backend"
        raise pytest.UsageError(message)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Return where the database of a test lies."""
        return tmp_path / "it's a database.duckdb"

    @pytest.fixture
    def backend(self, make: MakeBackend, path: Path) -> Iterator[CatalogBackend]:
        """Return a backend with an empty table of gauges."""
        backend = make(path, create=True)
        backend.execute("CREATE TABLE gauges (code VARCHAR PRIMARY KEY, river VARCHAR, area DOUBLE, gauged INTEGER)")
        yield backend
        backend.close()

    # ── the eight verbs ──────────────────────────────────────────────────────────────────────────────

    def test_keeps_the_protocol(self, backend: CatalogBackend) -> None:
        assert isinstance(backend, CatalogBackend)

    def test_execute_changes_and_query_tells(self, backend: CatalogBackend) -> None:
        backend.execute("INSERT INTO gauges VALUES ($1, $2, $3, $4)", ["brugg", "Aare", 11726.0, 1916])
        assert backend.query("SELECT * FROM gauges").to_pylist() == [
            {"code": "brugg", "river": "Aare", "area": 11726.0, "gauged": 1916}
        ]

    def test_query_answers_in_arrow_even_when_empty(self, backend: CatalogBackend) -> None:
        found = backend.query("SELECT code, area FROM gauges")
        assert type(found).__module__.startswith("pyarrow")
        assert (found.column_names, found.num_rows) == (["code", "area"], 0)

    def test_fetch_one_gives_the_first_row_or_none(self, backend: CatalogBackend) -> None:
        assert backend.fetch_one("SELECT code FROM gauges") is None
        _fill(backend)
        assert backend.fetch_one("SELECT code, area FROM gauges ORDER BY code") == ("bern", 2945.0)

    def test_fetch_all_gives_tuples(self, backend: CatalogBackend) -> None:
        assert backend.fetch_all("SELECT code FROM gauges") == []
        _fill(backend)
        assert backend.fetch_all("SELECT code FROM gauges ORDER BY code") == [("bern",), ("brugg",)]

    @pytest.mark.parametrize(
        "value", ["", "O'Hara", "'; DROP TABLE gauges; --", "Großer Bach\n\\", "$1", "NULL", None], ids=repr
    )
    def test_text_is_bound_as_it_is(self, backend: CatalogBackend, value: str | None) -> None:
        backend.insert("gauges", {"code": "x", "river": value})
        assert backend.fetch_all("SELECT river FROM gauges") == [(value,)]
        if value is not None:
            assert backend.fetch_one("SELECT code FROM gauges WHERE river = $1", [value]) == ("x",)

    @pytest.mark.parametrize("value", [0.1, -0.0, 1e300, 5e-324, 123456789.123456789, None])
    def test_numbers_are_bound_to_the_last_bit(self, backend: CatalogBackend, value: float | None) -> None:
        backend.insert("gauges", {"code": "x", "area": value})
        assert repr(backend.fetch_all("SELECT area FROM gauges")[0][0]) == repr(value)

    @pytest.mark.parametrize(("kind", "value"), KINDS, ids=[f"{kind} {value!r}" for kind, value in KINDS])
    def test_a_value_comes_back_as_what_it_was(self, backend: CatalogBackend, kind: str, value: Any) -> None:
        backend.execute(f"CREATE TABLE kept (id INTEGER, v {kind})")
        backend.execute("INSERT INTO kept VALUES ($1, $2), (2, NULL)", [1, value])
        found = backend.fetch_all("SELECT v FROM kept ORDER BY id")
        assert repr(found) == repr([(value,), (None,)])
        if kind != "JSON":  # what is equal in JSON is a question of its own
            assert backend.fetch_all("SELECT id FROM kept WHERE v = $1", [value]) == [(1,)]

    def test_arrow_knows_the_types_also_where_nothing_is(self, backend: CatalogBackend) -> None:
        columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(ARROW))
        backend.execute(f"CREATE TABLE kept ({columns})")
        found = backend.query("SELECT * FROM kept")
        assert [str(field.type) for field in found.schema] == list(ARROW.values())

    def test_a_time_with_a_zone_is_kept_in_utc(self, backend: CatalogBackend) -> None:
        backend.execute("CREATE TABLE kept (v TIMESTAMP)")
        noon = datetime(2001, 2, 3, 12, tzinfo=timezone(timedelta(hours=2)))
        backend.insert("kept", {"v": noon})
        assert backend.fetch_all("SELECT v FROM kept") == [(datetime(2001, 2, 3, 10),)]

    def test_times_are_in_order(self, backend: CatalogBackend) -> None:
        backend.execute("CREATE TABLE kept (v TIMESTAMP)")
        moments = [datetime(999, 1, 1), datetime(2001, 2, 3), datetime(2001, 2, 3, 0, 0, 0, 5), datetime(2001, 2, 3, 1)]
        for moment in reversed(moments):
            backend.insert("kept", {"v": moment})
        assert [v for (v,) in backend.fetch_all("SELECT v FROM kept ORDER BY v")] == moments
        assert backend.fetch_all("SELECT count(*) FROM kept WHERE v > $1", [moments[1]]) == [(2,)]

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 2**200])
    def test_an_integer_that_does_not_fit_is_refused(self, backend: CatalogBackend, value: int) -> None:
        """And never becomes a number with fewer digits."""
        backend.execute("CREATE TABLE kept (v BIGINT)")
        with pytest.raises(StatementError):
            backend.insert("kept", {"v": value})
        assert backend.fetch_all("SELECT v FROM kept") == []

    def test_parameters_go_by_their_number(self, backend: CatalogBackend) -> None:
        _fill(backend)
        found = backend.fetch_all("SELECT code FROM gauges WHERE area > $2 AND river = $1", ["Aare", 5000.0])
        assert found == [("brugg",)]

    @pytest.mark.parametrize("values", [[], ["Aare"], ["Aare", 1.0, 2.0]])
    def test_every_parameter_has_its_value(self, backend: CatalogBackend, values: list[Any]) -> None:
        with pytest.raises(StatementError):
            backend.fetch_all("SELECT code FROM gauges WHERE river = $1 AND area > $2", values)

    def test_a_parameter_may_be_used_twice(self, backend: CatalogBackend) -> None:
        _fill(backend)
        found = backend.fetch_all(
            "SELECT code FROM gauges WHERE river = $1 AND area > $2 AND river = $1", ["Aare", 5000]
        )
        assert found == [("brugg",)]

    def test_results_are_complete_before_a_verb_returns(self, backend: CatalogBackend) -> None:
        _fill(backend)
        before = backend.query("SELECT code FROM gauges ORDER BY code")
        backend.execute("DELETE FROM gauges")
        assert before.column("code").to_pylist() == ["bern", "brugg"]

    def test_what_one_backend_wrote_another_reads(self, backend: CatalogBackend, make: MakeBackend, path: Path) -> None:
        _fill(backend)
        assert make(path).fetch_all("SELECT count(*) FROM gauges") == [(2,)]

    # ── identifiers, insert, upsert ──────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("name", NOT_NAMES)
    def test_names_are_validated(self, backend: CatalogBackend, name: str) -> None:
        with pytest.raises(InvalidInput):
            backend.insert(name, {"code": "x"})
        with pytest.raises(InvalidInput):
            backend.insert("gauges", {name: "x"})
        with pytest.raises(InvalidInput):
            backend.upsert("gauges", {"code": "x", name: 1}, key=["code"])
        assert backend.fetch_all("SELECT * FROM gauges") == []

    def test_a_row_has_columns(self, backend: CatalogBackend) -> None:
        with pytest.raises(InvalidInput):
            backend.insert("gauges", {})

    def test_upsert_adds_and_replaces_what_it_names(self, backend: CatalogBackend) -> None:
        backend.upsert("gauges", {"code": "brugg", "river": "Aare", "area": 1.0}, key=["code"])
        backend.upsert("gauges", {"code": "brugg", "area": 2.0}, key=["code"])
        assert backend.fetch_all("SELECT code, river, area FROM gauges") == [("brugg", "Aare", 2.0)]

    def test_upsert_of_a_key_alone_keeps_the_row(self, backend: CatalogBackend) -> None:
        _fill(backend)
        backend.upsert("gauges", {"code": "brugg"}, key=["code"])
        assert backend.fetch_one("SELECT river FROM gauges WHERE code = 'brugg'") == ("Aare",)

    @pytest.mark.parametrize("key", [[], ["area"]])
    def test_upsert_needs_its_key(self, backend: CatalogBackend, key: list[str]) -> None:
        with pytest.raises(InvalidInput):
            backend.upsert("gauges", {"code": "x"}, key=key)

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────

    def test_a_transaction_commits_at_its_end(self, backend: CatalogBackend) -> None:
        with backend.transaction():
            _fill(backend)
            assert backend.fetch_one("SELECT count(*) FROM gauges") == (2,)
        assert backend.fetch_one("SELECT count(*) FROM gauges") == (2,)

    @pytest.mark.parametrize("interrupt", INTERRUPTS)
    def test_a_transaction_rolls_back_on_whatever_ends_it(
        self, backend: CatalogBackend, interrupt: type[BaseException]
    ) -> None:
        with pytest.raises(interrupt), backend.transaction():
            _fill(backend)
            raise interrupt
        assert backend.fetch_all("SELECT * FROM gauges") == []
        _fill(backend)  # and the next unit of work is not affected

    def test_a_refused_statement_rolls_the_transaction_back(self, backend: CatalogBackend) -> None:
        with pytest.raises(StatementError), backend.transaction():
            _fill(backend)
            _fill(backend)  # the keys are taken
        assert backend.fetch_all("SELECT * FROM gauges") == []

    def test_transactions_do_not_nest(self, backend: CatalogBackend) -> None:
        with pytest.raises(InvalidInput), backend.transaction():
            _fill(backend)
            with backend.transaction():
                pass
        assert backend.fetch_all("SELECT * FROM gauges") == []

    def test_tables_roll_back_too(self, backend: CatalogBackend) -> None:
        with pytest.raises(ValueError), backend.transaction():  # noqa: PT011 - ours, raised below
            backend.execute("CREATE TABLE levels (level INTEGER)")
            raise ValueError
        with pytest.raises(StatementError):
            backend.query("SELECT * FROM levels")

    # ── threads ──────────────────────────────────────────────────────────────────────────────────────

    def test_threads_share_a_backend(self, backend: CatalogBackend) -> None:
        def work(name: int) -> None:
            for n in range(20):
                backend.insert("gauges", {"code": f"{name}-{n}", "gauged": name})
                mine = backend.fetch_all("SELECT DISTINCT gauged FROM gauges WHERE gauged = $1", [name])
                assert mine == [(name,)]

        _in_threads(work, 2)
        assert backend.fetch_one("SELECT count(*) FROM gauges") == (40,)

    def test_a_transaction_of_one_thread_is_not_that_of_another(self, backend: CatalogBackend) -> None:
        def work(name: int) -> None:
            for _ in range(10):
                with backend.transaction():
                    found = backend.fetch_one("SELECT count(*) FROM gauges")
                    assert found is not None
                    backend.insert("gauges", {"code": f"{name}-{found[0]}", "gauged": found[0]})

        _in_threads(work, 2)
        assert backend.fetch_all("SELECT gauged FROM gauges ORDER BY gauged") == [(n,) for n in range(20)]

    # ── what is refused ──────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("verb", ["execute", "query", "fetch_one", "fetch_all", "insert", "upsert", "transaction"])
    def test_a_closed_backend_refuses_every_verb(self, backend: CatalogBackend, verb: str) -> None:
        backend.close()
        backend.close()  # closing twice is allowed
        with pytest.raises(InvalidInput), _doing(backend, verb):
            pass

    @pytest.mark.parametrize("verb", ["execute", "insert", "upsert", "transaction"])
    def test_a_read_only_backend_refuses_to_write(
        self, backend: CatalogBackend, make: MakeBackend, path: Path, verb: str
    ) -> None:
        reader = make(path, read_only=True)
        with pytest.raises(NotWritable), _doing(reader, verb):
            pass
        assert reader.fetch_all("SELECT * FROM gauges") == []

    @pytest.mark.parametrize(
        "sql", ["SELECT * FROM nowhere", "SELEC 1", "SELECT $1", "", "INSERT INTO gauges VALUES (1)"]
    )
    def test_a_wrong_statement_is_a_statement_error(self, backend: CatalogBackend, sql: str) -> None:
        with pytest.raises((StatementError, InvalidInput)):
            backend.query(sql)
        assert backend.fetch_all("SELECT * FROM gauges") == []

    def test_a_missing_database_is_not_made(self, make: MakeBackend, path: Path) -> None:
        with pytest.raises(DatabaseNotFound):
            make(path).query("SELECT 1")
        with pytest.raises(DatabaseNotFound):
            make(path).execute("CREATE TABLE t (a INTEGER)")
        with pytest.raises(DatabaseNotFound):
            make(path.parent / "nowhere" / "x.duckdb", create=True).execute("CREATE TABLE t (a INTEGER)")
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("content", [b"", b"not a database", b"x" * 100_000])
    def test_what_is_no_database_is_left_as_it_is(self, make: MakeBackend, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        for read_only in (True, False):
            with pytest.raises(CorruptError):
                make(path, read_only=read_only).query("SELECT 1")
        with pytest.raises(CorruptError):
            make(path).execute("CREATE TABLE t (a INTEGER)")
        assert path.read_bytes() == content

    # ── in bulk ──────────────────────────────────────────────────────────────────────────────────────

    @pytest.fixture
    def bulk(self, backend: CatalogBackend) -> BulkBackend:
        """Return the backend if it keeps the second contract too."""
        if not isinstance(backend, BulkBackend):
            pytest.skip("this adapter does not load in bulk")
        return backend

    def test_a_lease_holds_over_several_verbs(self, bulk: BulkBackend, path: Path) -> None:
        with bulk.lease(write=True), bulk.lease(write=False):
            _fill(bulk)
            assert bulk.fetch_one("SELECT count(*) FROM gauges") == (2,)
        assert bulk.path.name == path.name

    def test_a_write_inside_a_block_that_reads_is_refused(self, bulk: BulkBackend) -> None:
        with bulk.lease(write=False):
            with pytest.raises(InvalidInput):
                _fill(bulk)
            with pytest.raises(InvalidInput), bulk.lease(write=True):
                pass
            assert bulk.fetch_all("SELECT * FROM gauges") == []

    @pytest.mark.parametrize("rows", [0, 1, 5000])
    def test_staged_rows_can_be_selected(self, bulk: BulkBackend, rows: int) -> None:
        table = _arrow(rows)
        with bulk.transaction(), bulk.staged("incoming", table):
            bulk.execute("INSERT INTO gauges (code, area) SELECT code, area FROM incoming")
            assert bulk.fetch_one("SELECT count(*) FROM incoming i JOIN incoming j ON i.code = j.code") == (rows,)
        assert bulk.fetch_one("SELECT count(*), coalesce(sum(area), 0) FROM gauges") == (rows, rows * (rows - 1) / 2)

    def test_staged_rows_are_gone_after_the_block(self, bulk: BulkBackend) -> None:
        with bulk.lease(write=False):
            with bulk.staged("incoming", _arrow(1)):
                pass
            with pytest.raises(StatementError):
                bulk.query("SELECT * FROM incoming")

    def test_rows_are_staged_within_a_lease_under_a_proper_name(self, bulk: BulkBackend) -> None:
        with pytest.raises(InvalidInput), bulk.staged("incoming", _arrow(1)):
            pass
        with bulk.lease(write=False), pytest.raises(InvalidInput), bulk.staged("a b", _arrow(1)):
            pass

    def test_a_script_is_taken_apart(self, bulk: BulkBackend) -> None:
        script = "CREATE TABLE a (t VARCHAR); -- one; two\nINSERT INTO a VALUES ('x;y');\n\nSELECT 1"
        found = bulk.statements(script)
        assert len(found) == 3
        assert "x;y" in found[1]


def _fill(backend: CatalogBackend) -> None:
    backend.insert("gauges", {"code": "brugg", "river": "Aare", "area": 11726.0})
    backend.insert("gauges", {"code": "bern", "river": "Aare", "area": 2945.0})


def _arrow(rows: int) -> Any:
    import pyarrow as pa

    columns = {"code": [f"g{n}" for n in range(rows)], "area": [float(n) for n in range(rows)]}
    return pa.table(columns, schema=pa.schema([("code", pa.string()), ("area", pa.float64())]))


def _doing(backend: CatalogBackend, verb: str) -> AbstractContextManager[Any]:
    """Do one thing with a backend; the block of a transaction is entered."""
    match verb:
        case "execute":
            backend.execute("DELETE FROM gauges")
        case "insert":
            backend.insert("gauges", {"code": "x"})
        case "upsert":
            backend.upsert("gauges", {"code": "x"}, key=["code"])
        case "transaction":
            return backend.transaction()
        case _:
            getattr(backend, verb)("SELECT 1")
    return nullcontext()


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Run ``work`` in threads and raise what any of them raised."""
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, name) for name in range(count)]:
            done.result()
