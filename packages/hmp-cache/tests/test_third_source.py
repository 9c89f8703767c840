"""A source that somebody else brings is one module and an entry point: `plugin/`, which the how-to shows, installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from water_services import Said, Service, fetched, says

from hmp_cache import DownloadFailed
from hmp_cache.sources import Request, Source, Station
from hmp_cache.sources.registry import Registry
from hmp_cache.testing.source_suite import SourceSuite
from hmp_core.layout import init_workspace

PLUGIN = Path(__file__).with_name("plugin")
HMP = "from hmp_core.cli.main import main; main()"
Run = Callable[..., subprocess.CompletedProcess[str]]


class Office(Service):
    """The service of a canton: a gauge, some days."""

    def answer(self, path: str, query: dict[str, str]) -> Said:
        if path != "/gauges/2135/discharge" or query.keys() - {"from", "to", "api_key"}:
            return Said(b"no such gauge", 404)
        first, last = query.get("from", ""), query.get("to", "9999")
        days = [[f"2020-01-{day:02}", day + 0.5 if day != 3 else None] for day in range(1, 32)]
        values = [[day, value] for day, value in days if first <= str(day) <= last]
        return Said.json({"name": "Bern", "lat": 46.93, "lon": 7.45, "values": values})


@pytest.fixture
def office() -> Iterator[Office]:
    with Office() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package as an installer does, and unpack its wheel where packages are."""
    folder = tmp_path_factory.mktemp("canton")
    source = shutil.copytree(PLUGIN, folder / "hmp-canton", ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(site: Path, office: Office, workspace: Path) -> Run:
    """Run Python where the package is installed, in a workspace that says where the office is."""
    init_workspace(workspace)
    with (workspace / "workspace.toml").open("a") as file:
        file.write(f'\n[sources.canton]\nurl = "{office.address}"\napi_key_env = "CANTON_KEY"\n')
    environment = os.environ | {"PYTHONPATH": str(site), "CANTON_KEY": "s3cret"}

    def _run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", *words]
        return subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, check=False)

    return _run


def _json(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_is_as_short_as_the_page_says() -> None:
    lines = [line for file in PLUGIN.glob("*.*") for line in file.read_text().splitlines() if line.strip()]
    assert len((PLUGIN / "hmp_canton.py").read_text().splitlines()) <= 40
    assert len(lines) <= 60


def test_it_is_there_once_it_is_installed(run: Run, office: Office) -> None:
    """The three commands of the page, the first of which is `site`."""
    rows = _json(run("-c", HMP, "data", "sources", "--json"))
    assert {row["source"] for row in rows} == {"canton", "custom", "hubeau", "open-meteo", "url", "usgs"}
    (offer,) = [row for row in rows if row["source"] == "canton"]
    assert (offer["variable"], offer["unit"], offer["country"], offer["error"]) == ("discharge", "m3 s-1", "CH", None)
    words = "--variable discharge --source canton --station 2135 --period 2020-01-01/2020-01-31 --json"
    (entry,) = _json(run("-c", HMP, "data", "fetch", *words.split()))
    assert (entry["unit"], entry["frequency"], entry["station_id"]) == ("m3 s-1", "1D", "2135")
    assert Path(entry["path"]).read_text().splitlines()[:2] == ["time,discharge", "2020-01-01,1.5"]
    assert office.asked[0][1]["api_key"] == "s3cret"


class TestCanton(SourceSuite):
    @pytest.fixture
    def source(self, site: Path, office: Office, monkeypatch: pytest.MonkeyPatch) -> Source:
        monkeypatch.syspath_prepend(str(site))
        return Registry({"canton": {"url": office.address}}).get("canton")

    @pytest.fixture
    def answered(self) -> Request:
        return Request("discharge", station="2135", period=(datetime(2020, 1, 2), datetime(2020, 1, 4)))


def test_it_fetches(site: Path, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("CANTON_KEY", "s3cret")
    canton = Registry({"canton": {"url": office.address, "api_key_env": "CANTON_KEY"}}).get("canton")
    period = (datetime(2020, 1, 2), datetime(2020, 1, 4))
    found = fetched(canton, Request("discharge", station="2135", period=period))
    assert found.values == {"2020-01-02": 2.5, "2020-01-03": None, "2020-01-04": 4.5}
    assert found.stations == [Station("canton", "2135", "discharge", "Bern", 46.93, 7.45)]
    assert office.asked[0][1] == {"from": "2020-01-02", "to": "2020-01-04", "api_key": "s3cret"}
    assert "s3cret" not in str(found.answers)
    nothing = fetched(canton, Request("discharge", station="2136", period=period))
    assert [table.num_rows for table in nothing.tables] == [0]
    office.faults = [says(200, b'{"values": 7}')] * 3
    with pytest.raises(DownloadFailed, match="not as the service documents it"):
        fetched(canton, Request("discharge", station="2135", period=period))
