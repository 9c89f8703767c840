"""How often and how patiently a download is tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache.retries import Retry, retry_after
from hmp_core.errors import InvalidInput


def test_a_date_to_wait_for() -> None:
    now = datetime(2001, 1, 1, tzinfo=UTC)
    assert retry_after(format_datetime(now + timedelta(seconds=90)), now) == 90.0
    assert retry_after(format_datetime(now - timedelta(seconds=90)), now) == 0.0


@pytest.mark.parametrize("value", [None, "soon", "-1", "", "1.5.7", "\u00b2"])
def test_what_says_nothing_about_waiting(value: str | None) -> None:
    assert retry_after(value) is None


@given(st.integers(1, 60))
def test_waits_grow_and_stay_bounded(attempt: int) -> None:
    policy = Retry(first=0.5, longest=30.0)
    full = min(30.0, 0.5 * 2 ** (attempt - 1))
    assert full / 2 <= policy.wait(attempt, None) <= full


@pytest.mark.parametrize("words", [{"attempts": 0}, {"first": -1.0}, {"stalled": 0.0}])
def test_ways_not_to_try(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Retry(**words)
