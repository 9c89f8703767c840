"""A disk that fills up while runs are sealed: whoever was told that a run is on record finds it, whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import hmp_catalog
from hmp_core.errors import HmpError, StorageError
from hmp_core.layout import init_project, init_workspace
from hmp_core.testing.surroundings import fill, small_disk


@pytest.fixture
def home() -> Iterator[Path]:
    """A project on a small disk, with one run in it."""
    with small_disk("10m") as disk:
        project = init_project(init_workspace(disk / "workspace").path, "aare").path
        with hmp_catalog.open(project, create=True) as cat:
            _record(cat, "first")
        yield project


def _record(cat: hmp_catalog.SimulationCatalog, name: str) -> None:
    chance = np.random.default_rng(1)
    times = [datetime(2020, 1, 1) + timedelta(days=n) for n in range(366)]
    with cat.record(solver="gr4j", name=name, parameters={"x1": 320.0}) as rec:
        rec.metric("nse", 0.83, station="outlet", variable="discharge")
        rec.timeseries("discharge", dict(zip(times, chance.random(len(times)), strict=True)), station="outlet")
        rec.field("head", chance.random((4, 30, 30)), dims=("time", "y", "x"), time=times[:4])


def _recorded(project: Path, leaving: int) -> set[str]:
    """Fill the disk, record until it is full, and return what was acknowledged."""
    fill(project.parents[2], leaving=leaving)
    acknowledged = {"first"}
    with hmp_catalog.open(project) as cat:
        for number in range(20):
            try:
                _record(cat, f"run {number}")
            except HmpError as error:
                assert isinstance(error, StorageError), error  # noqa: PT017 - it may succeed
                assert "space" in str(error)  # noqa: PT017
                break
            except OSError as error:
                pytest.fail(f"not an error of hmp: {error!r}")
            acknowledged.add(f"run {number}")
        (project.parents[2] / "ballast").unlink()
    return acknowledged


@pytest.mark.parametrize("leaving", [0, 4_096, 12_288, 30_000, 60_000, 100_000, 160_000])
def test_in_the_midst_of_a_seal(home: Path, leaving: int) -> None:
    acknowledged = _recorded(home, leaving)
    with hmp_catalog.open(home) as cat:
        completed = cat.find(status="completed")
        assert acknowledged <= {run.name for run in completed}
        for run in completed:
            assert run.metrics["nse"] == 0.83
            assert len(run.timeseries("discharge")) == 366
            assert run.dataset()["head"].shape == (4, 30, 30)
        before = sorted(str(run.sim_id) for run in completed)
        _record(cat, "later")
    with contextlib.closing(hmp_catalog.open(home)) as cat:
        cat.rebuild()
        assert sorted(str(run.sim_id) for run in cat.find(status="completed", name="later")) != []
        assert set(before) <= {str(run.sim_id) for run in cat.find(status="completed")}


def test_what_a_full_disk_does_is_in_the_log_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each fold met the same trouble, and said so."""
    with hmp_catalog.open(home) as cat:
        run = cat["first"].tag("before")
        fill(home.parents[2], leaving=120_000)
        for number in range(1000):
            with contextlib.suppress(StorageError):
                run.tag(f"tag {number}")
            if number % 100 == 0:
                assert len(cat.find()) == 1
        assert cat.notice.unfolded
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said
    # an attached database has another name each time
    causes = [re.sub(r"hmp\d+", "", each) for each in said]
    assert len(causes) == len(set(causes)), "\n".join(said)
