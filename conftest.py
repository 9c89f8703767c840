"""What every test of the house stands on: honest marks, no deadlines, a folder for docstring examples."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

MARKS = ("notimpl", "notyet", "never")

# two busy cores make any deadline a coin toss; a hang is cut by the timeout of the test
# the ordinary run must stay under a quarter of an hour: more examples are for the long one
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("soak", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the state of whoever runs the tests out of them: whoever opens a workspace leaves word of it there."""
    if "HMP_STATE_HOME" not in os.environ:
        kept = tempfile.TemporaryDirectory(prefix="hmp-state-")
        os.environ["HMP_STATE_HOME"] = kept.name
        config.add_cleanup(kept.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make every honest mark a strict xfail: the day the claim holds, the mark must go."""
    for item in items:
        for mark in (mark for name in MARKS for mark in item.iter_markers(name)):
            reason = mark.kwargs.get("reason") or " ".join(map(str, mark.args))
            if not reason:
                message = f"{item.nodeid}: @pytest.mark.{mark.name} needs a reason"
                raise pytest.UsageError(message)
            item.add_marker(pytest.mark.xfail(reason=f"{mark.name}: {reason}", strict=True))


@pytest.fixture(autouse=True)
def _docstring_examples_lie_elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run each docstring example in an empty folder, on a machine of its own."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.chdir(tmp_path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what a worker counted, where tests run side by side."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deaths"] = dict(_deaths())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the workers counted."""
    _elsewhere.update(getattr(node, "workeroutput", {}).get("deaths", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many processes were killed: what a reliability figure is worth depends on it."""
    deaths = _deaths() + _elsewhere
    if deaths:
        terminalreporter.section("processes killed by SIGKILL")
        for test, count in sorted(deaths.items()):
            terminalreporter.line(f"{count:6d}  {test}")
        terminalreporter.line(f"{deaths.total():6d}  in all")


_elsewhere: Counter[str] = Counter()


def _deaths() -> Counter[str]:
    children = sys.modules.get("hmp_core.testing.children")
    return Counter(children.deaths) if children is not None else Counter()
