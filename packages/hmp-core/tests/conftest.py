"""What the tests of hmp-core stand on: an environment of their own, and the river gauges to work on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hmp_core.events import EventStore
from hmp_core.testing.gauges import gauges

# a package of somebody else, as if it were installed
sys.path.append(str(Path(__file__).with_name("plugin")))


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "state"))
    for name in ("HMP_USER", "HMP_FOLD", "HMP_AUTO_MIGRATE", "HMP_AUTH_BACKEND", "HMP_AUTH_POLICY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty database of gauges."""
    home = tmp_path / "aare"
    store = gauges(home)
    store.prepare_schema()
    store.close()
    return home


@pytest.fixture
def store(folder: Path) -> Iterator[EventStore]:
    """The store of the gauges in that folder."""
    store = gauges(folder)
    yield store
    store.close()
