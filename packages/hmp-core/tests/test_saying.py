"""What goes wrong again and again is said once."""

from __future__ import annotations

import logging

import pytest

from hmp_core import saying

_log = logging.getLogger("hmp_core.test")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_same_is_said_once_and_another_cause_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    for path in ("a", "a", "b", "a"):
        saying.once(_log, "%s is full", path)
    assert said(caplog) == ["a is full", "b is full"]


def test_it_is_said_again_after_a_while(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    saying.once(_log, "%s is full", "the disk of tests")
    monkeypatch.setattr(saying, "_AGAIN", 0.0)
    saying.once(_log, "%s is full", "the disk of tests")
    assert len(said(caplog)) == 2


def test_causes_without_end_take_no_memory_without_end() -> None:
    for number in range(3 * saying._MOST):
        saying.once(_log, "%d", number)
    assert len(saying._said) <= saying._MOST
