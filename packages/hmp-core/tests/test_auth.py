"""Authorities: the local one before the judge, one that allows some things, and the question itself."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import ClassVar

import pytest

from hmp_core.auth import LocalAuthBackend, authorize, get_auth_backend
from hmp_core.errors import AccessDenied, InvalidInput
from hmp_core.events import EventStore
from hmp_core.events.rebuild import rebuild
from hmp_core.protocols import AuthBackend
from hmp_core.testing.auth_suite import AuthSuite
from hmp_core.testing.door_suite import Nobody
from hmp_core.testing.gauges import FOLD, gauges


class Reader:
    """Reads everything, writes nothing but what is its own."""

    def current_user(self) -> str:
        return "rita"

    def can_read(self, resource: str) -> bool:
        return not resource.startswith("secret")

    def can_write(self, resource: str) -> bool:
        return resource == "cache:rita"


class TestLocal(AuthSuite):
    may_read: ClassVar[tuple[str, ...]] = ("index", "cache:aare")
    may_write: ClassVar[tuple[str, ...]] = ("index", "catalog:aare/base")

    @pytest.fixture
    def authority(self) -> AuthBackend:
        return LocalAuthBackend()


class TestReader(AuthSuite):
    """The judge on an authority that refuses, so that its refusals are tried as well."""

    may_read: ClassVar[tuple[str, ...]] = ("index", "cache:aare", "cache:rita")
    may_write: ClassVar[tuple[str, ...]] = ("cache:rita",)
    may_not_read: ClassVar[tuple[str, ...]] = ("secret:aare",)
    may_not_write: ClassVar[tuple[str, ...]] = ("index", "cache:aare", "secret:aare")

    @pytest.fixture
    def authority(self) -> AuthBackend:
        return Reader()


def test_the_user_is_who_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_USER", "emma")
    assert LocalAuthBackend().current_user() == "emma"
    monkeypatch.delenv("HMP_USER")
    assert LocalAuthBackend().current_user() == getpass.getuser()


def test_a_number_without_a_name_is_a_user_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)
    assert LocalAuthBackend().current_user() == "uid:3999999"


def test_the_authority_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(get_auth_backend(), LocalAuthBackend)
    assert isinstance(get_auth_backend("local"), LocalAuthBackend)
    monkeypatch.setenv("HMP_AUTH_BACKEND", "oracle")
    with pytest.raises(InvalidInput, match="oracle"):
        get_auth_backend()


@pytest.mark.parametrize("action", ["read", "write"])
def test_a_refusal_says_who_what_and_where(action: str) -> None:
    with pytest.raises(AccessDenied) as refused:
        authorize(Nobody(), action, "catalog:aare/base")  # type: ignore[arg-type]
    error = refused.value
    assert (error.user, error.action, error.resource) == ("nobody", action, "catalog:aare/base")
    assert all(word in str(error) for word in ("nobody", action, "catalog:aare/base"))
    assert isinstance(error, PermissionError)


def test_a_refusal_adds_no_line_of_its_own(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Who bears the name chooses it: neither the message nor the log must do what it says."""
    name = "eve\nerror: all is well\x1b[2J"
    monkeypatch.setattr(Nobody, "current_user", lambda _: name)
    with pytest.raises(AccessDenied) as refused:
        authorize(Nobody(), "write", "catalog:aare/base")  # type: ignore[arg-type]
    assert refused.value.user == name
    assert str(refused.value).isprintable()
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert caplog.records


def test_every_way_to_change_something_is_asked(folder: Path) -> None:
    reader = gauges(folder, auth=Reader())
    for act in (
        lambda: reader.append("gauge.set", {}),
        lambda: reader.prepare("gauge.set", {}),
        lambda: rebuild(reader.path, FOLD, auth=Reader(), resource="gauges"),
        lambda: gauges(folder.parent / "new", auth=Reader()).prepare_schema(),
    ):
        with pytest.raises(AccessDenied):
            act()
    reader.prepare_schema()  # nothing is to be done: nobody is asked


def test_an_event_is_signed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_USER", "emma")
    store: EventStore = gauges(folder)
    assert store.append("gauge.set", {"gauge": "x", "river": "Aare"}).author == "emma"
    store.close()
