"""The judge of authorities: what `AuthBackend` promises, and that a refusal holds where it is asked.

Subclass it, supply the authority, and say what its user may and may not do::

    class TestMyAuthority(AuthSuite):
        may_write = ("catalog:aare/base",)
        may_not_write = ("catalog:reuss/base",)

        @pytest.fixture
        def authority(self, tmp_path: Path) -> AuthBackend:
            return MyAuthority(...)
"""

# ruff: noqa: D102 - a claim is the name of its test

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hmp_core.auth import LocalAuthBackend, refusals
from hmp_core.auth.refused import NAME
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import AccessDenied
from hmp_core.events import EventStore
from hmp_core.events.log import EventLog
from hmp_core.events.rebuild import rebuild
from hmp_core.layout import internal_folder
from hmp_core.migrations.runner import migrate
from hmp_core.protocols import AuthBackend
from hmp_core.testing.gauges import FOLD
from hmp_core.testing.traces import differences, trace

_GAUGE = {"gauge": "6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42", "river": "Aare"}


class AuthSuite:
    """Asks an authority for everything that the protocol promises."""

    #: resources whose answer is known
    may_read: ClassVar[tuple[str, ...]] = ()
    may_write: ClassVar[tuple[str, ...]] = ()
    may_not_read: ClassVar[tuple[str, ...]] = ()
    may_not_write: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def authority(self) -> AuthBackend:
        """Return the authority that is judged."""
        message = "give the suite a fixture `authority`"
        raise pytest.UsageError(message)

    def test_keeps_the_protocol(self, authority: AuthBackend) -> None:
        assert isinstance(authority, AuthBackend)

    def test_knows_who_asks(self, authority: AuthBackend) -> None:
        user = authority.current_user()
        assert isinstance(user, str)
        assert user.strip() == user != ""
        assert authority.current_user() == user

    def test_answers_yes_or_no(self, authority: AuthBackend) -> None:
        """Also about what it never heard of."""
        for resource in (*self._known(), "index", "cache:nowhere", "catalog:nowhere/at all", ""):
            assert authority.can_read(resource) in {True, False}
            assert isinstance(authority.can_write(resource), bool)

    def test_says_what_is_expected(self, authority: AuthBackend) -> None:
        assert [r for r in self.may_read if not authority.can_read(r)] == []
        assert [r for r in self.may_write if not authority.can_write(r)] == []
        assert [r for r in self.may_not_read if authority.can_read(r)] == []
        assert [r for r in self.may_not_write if authority.can_write(r)] == []

    def test_answers_threads_alike(self, authority: AuthBackend) -> None:
        questions = [*self._known(), "index"] * 250
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(authority.can_write, questions))
        assert answers == [authority.can_write(resource) for resource in questions]

    def test_answers_a_thousand_times_a_second(self, authority: AuthBackend) -> None:
        """Every lease and every append asks; an authority that looks things up elsewhere would be felt."""
        questions = [*self._known(), "catalog:nowhere/at all"]
        began = time.perf_counter()
        for number in range(500):
            authority.can_read(questions[number % len(questions)])
            authority.can_write(questions[number % len(questions)])
        assert time.perf_counter() - began < 1.0

    def test_travels_to_a_worker(self, authority: AuthBackend) -> None:
        """A catalog that is handed to another process takes its authority with it."""
        again = pickle.loads(pickle.dumps(authority))
        assert [again.can_write(r) for r in self._known()] == [authority.can_write(r) for r in self._known()]

    def test_what_may_be_written_is_written(self, authority: AuthBackend, tmp_path: Path) -> None:
        for number, resource in enumerate(self.may_write):
            store = _store(tmp_path / str(number), authority, resource)
            assert store.append("gauge.set", _GAUGE).author == authority.current_user()
            store.close()
            assert refusals(store.path) == []

    # ── where it is asked ────────────────────────────────────────────────────────────────────────────

    def test_a_refused_write_leaves_nothing_but_its_record(
        self, authority: AuthBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number, resource in enumerate(self.may_not_write):
            store = _store(tmp_path / str(number), authority, resource)
            before = trace(tmp_path)
            for write in _writes(store, authority, resource):
                with caplog.at_level(logging.WARNING), pytest.raises(AccessDenied) as refused:
                    write()
                assert differences(before, trace(tmp_path)) == []
                assert pickle.loads(pickle.dumps(refused.value)).resource == resource
                assert resource in caplog.text, "a refused write is in the log"
            kept = refusals(store.path)
            assert len(kept) == len(_writes(store, authority, resource)), "a refused write is on record, once"
            assert {(one.user, one.action, one.resource) for one in kept} == {
                (authority.current_user(), "write", resource)
            }
            assert all(one.what for one in kept)

    def test_refusals_of_many_threads_are_each_on_record(self, authority: AuthBackend, tmp_path: Path) -> None:
        for number, resource in enumerate(self.may_not_write[:1]):
            store = _store(tmp_path / str(number), authority, resource)

            def write(which: int, store: EventStore = store) -> None:
                with pytest.raises(AccessDenied):
                    store.append(f"gauge.set{which}", _GAUGE)

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(write, range(40)))
            assert sorted(one.what for one in refusals(store.path)) == sorted(f"record gauge.set{n}" for n in range(40))

    def test_a_refusal_holds_where_it_cannot_be_recorded(
        self, authority: AuthBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number, resource in enumerate(self.may_not_write):
            store = _store(tmp_path / str(number), authority, resource)
            (internal_folder(store.path) / NAME).mkdir(parents=True)
            with caplog.at_level(logging.ERROR), pytest.raises(AccessDenied):
                store.append("gauge.set", _GAUGE)
            assert "could not be kept" in caplog.text

    def test_a_refused_reader_takes_no_lock(self, authority: AuthBackend, tmp_path: Path) -> None:
        for number, resource in enumerate(self.may_not_read):
            store = _store(tmp_path / str(number), authority, resource)
            before = trace(tmp_path)
            for read in _reads(store, authority, resource):
                with pytest.raises(AccessDenied):
                    read()
            assert differences(before, trace(tmp_path)) == []

    def test_a_refused_reader_learns_nothing(self, authority: AuthBackend, tmp_path: Path) -> None:
        for number, resource in enumerate(self.may_not_read):
            store = _store(tmp_path / str(number), authority, resource)
            with pytest.raises(AccessDenied) as refused, store.reading():
                pass
            assert (refused.value.action, refused.value.user) == ("read", authority.current_user())

    def test_who_may_only_read_sees_what_others_append(self, authority: AuthBackend, tmp_path: Path) -> None:
        """Folding writes on behalf of whoever reads: it needs no right to write."""
        for number, resource in enumerate(set(self.may_read) & set(self.may_not_write)):
            folder = tmp_path / str(number)
            reader = _store(folder, authority, resource)
            writer = _store(folder, LocalAuthBackend(), resource)
            writer.append("gauge.set", _GAUGE)
            with reader.reading() as backend:
                assert backend.fetch_one("SELECT count(*) FROM gauges") == (1,)
            writer.close()

    def _known(self) -> tuple[str, ...]:
        return (*self.may_read, *self.may_write, *self.may_not_read, *self.may_not_write)


def _backend(store: EventStore, authority: AuthBackend, resource: str) -> DuckDBBackend:
    return DuckDBBackend(store.path, auth=authority, resource=resource)


def _reads(store: EventStore, authority: AuthBackend, resource: str) -> list[Callable[[], object]]:
    """Return every way to look into the database of a store."""
    backend = _backend(store, authority, resource)
    return [
        lambda: store.reading().__enter__(),
        lambda: store.immediate().__enter__(),
        store.prepare_schema,
        store.fold,
        lambda: backend.lease(write=False).__enter__(),
        lambda: backend.fetch_all("SELECT * FROM gauges"),
    ]


def _writes(store: EventStore, authority: AuthBackend, resource: str) -> list[Callable[[], object]]:
    """Return every way to change the database of a store."""
    backend = _backend(store, authority, resource)
    asked: dict[str, Any] = {"auth": authority, "resource": resource}
    return [
        lambda: store.append("gauge.set", _GAUGE),
        lambda: store.prepare("gauge.set", _GAUGE),
        lambda: store.immediate().__enter__(),
        lambda: backend.lease(write=True).__enter__(),
        lambda: backend.execute("DELETE FROM gauges"),
        lambda: backend.insert("gauges", {"river": "Aare"}),
        lambda: backend.transaction().__enter__(),
        lambda: migrate(store.path, store.components, requested=True, **asked),
        lambda: rebuild(store.path, store.fold_spec, **asked),
        lambda: EventLog(store.path, "gauges", **asked).append("gauge.set", _GAUGE),
    ]


def _store(folder: Path, authority: AuthBackend, resource: str) -> EventStore:
    """Return a store whose database somebody with all rights has made."""
    database = folder / "gauges.duckdb"
    if not database.exists():
        EventStore(database, FOLD, auth=LocalAuthBackend(), resource=resource).prepare_schema()
    return EventStore(database, FOLD, auth=authority, resource=resource)
