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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.errors import AccessDenied
from hmp_core.events import EventStore
from hmp_core.protocols import AuthBackend
from hmp_core.testing.gauges import FOLD

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
        raise NotImplementedError(message)

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

    def test_what_may_be_written_is_written(self, authority: AuthBackend, tmp_path: Path) -> None:
        for number, resource in enumerate(self.may_write):
            store = _store(tmp_path / str(number), authority, resource)
            assert store.append("gauge.set", _GAUGE).author == authority.current_user()
            store.close()

    def test_a_refused_append_leaves_nothing(
        self, authority: AuthBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number, resource in enumerate(self.may_not_write):
            store = _store(tmp_path / str(number), authority, resource)
            before = sorted(tmp_path.rglob("*"))
            with caplog.at_level(logging.WARNING), pytest.raises(AccessDenied) as refused:
                store.append("gauge.set", _GAUGE)
            assert sorted(tmp_path.rglob("*")) == before
            assert pickle.loads(pickle.dumps(refused.value)).resource == resource
            assert resource in caplog.text, "a refused write is on record"

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


def _store(folder: Path, authority: AuthBackend, resource: str) -> EventStore:
    """Return a store whose database somebody with all rights has made."""
    database = folder / "gauges.duckdb"
    if not database.exists():
        EventStore(database, FOLD, auth=LocalAuthBackend(), resource=resource).prepare_schema()
    return EventStore(database, FOLD, auth=authority, resource=resource)
