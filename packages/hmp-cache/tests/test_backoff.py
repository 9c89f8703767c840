"""When an input may be asked for again that could not be had."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache import InputsNamespace, RetryLater
from hmp_cache.backoff import Backoff, Setback, next_retry

NOON = datetime(2001, 1, 1, 12)
DAY = timedelta(hours=24)


@given(st.integers(1, 10_000), st.booleans(), st.one_of(st.none(), st.floats(0, 1e12)))
def test_a_wait_is_never_shorter_than_was_asked_nor_endless(attempts: int, hopeless: bool, asked: float | None) -> None:
    wait = next_retry(attempts, NOON, hopeless=hopeless, asked=asked) - NOON
    assert timedelta(minutes=1) <= wait <= timedelta(days=7)
    assert wait >= timedelta(seconds=min(asked or 0, 7 * 86400))
    assert wait >= DAY or not hopeless


@given(st.integers(1, 50))
def test_waits_grow(attempts: int) -> None:
    one, next_one = (next_retry(n, NOON, hopeless=False) - NOON for n in (attempts, attempts + 1))
    assert one <= next_one <= timedelta(hours=6)


def test_what_never_failed_is_not_waited_for(data: InputsNamespace) -> None:
    entry = uuid4()
    backoff = Backoff(data.store)
    backoff.require(entry, "uri")
    assert backoff.last(entry) is None


def test_what_this_process_met_counts_at_once(data: InputsNamespace) -> None:
    entry, backoff = uuid4(), Backoff(data.store)
    failed = Setback("http", "404 Not Found", 404, 2, NOON + DAY)
    backoff.require(entry, "uri")  # the database has been asked
    backoff.failed(entry, failed)
    with pytest.raises(
        RetryLater, match=r"failed 2 times in a row, last with http: 404 Not Found.*2001-01-02 12:00:00"
    ):
        backoff.require(entry, "uri", now=NOON)
    backoff.require(entry, "uri", now=NOON + DAY)
    assert backoff.last(entry) == failed
    backoff.obtained(entry)
    backoff.require(entry, "uri", now=NOON)


def test_the_database_is_asked_once_in_a_while(data: InputsNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    backoff, looks = Backoff(data.store), []
    reading = data.store.reading
    monkeypatch.setattr(data.store, "reading", lambda: looks.append(1) or reading())
    for _ in range(50):
        backoff.require(uuid4(), "uri")
    assert len(looks) == 1


def _failed(data: InputsNamespace, **said: Any) -> None:
    failure = {
        "entry_id": None, "variable": "q", "source": "url", "source_ref": "u", "error_type": "http", "message": "500",
        "status": 500, "attempts": 1, "next_retry": None, "request": {},
    }  # fmt: skip
    data.store.append("input.failed", {"failure": failure | said})


def test_failures_of_an_older_hmp_make_nobody_wait(data: InputsNamespace) -> None:
    entry = uuid4()
    _failed(data, entry_id=str(entry))
    _failed(data)
    assert Backoff(data.store).last(entry) is None


def test_the_newest_failure_counts(data: InputsNamespace) -> None:
    entry = uuid4()
    for attempts in (1, 2, 3):
        _failed(data, entry_id=str(entry), attempts=attempts, next_retry=f"2001-01-0{attempts}T00:00:00")
        _failed(data, entry_id=str(entry), message="an attempt in between")
    found = Backoff(data.store).last(entry)
    assert found == Setback("http", "500", 500, 3, datetime(2001, 1, 3))
