"""The judge of sources, asked of those that are shipped and of the one that the how-to shows; and it can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from water_services import USGS as UsgsService
from water_services import HubEau as HubEauService
from water_services import OpenMeteo as OpenMeteoService

from hmp_cache.sources import Request, Source
from hmp_cache.sources.hubeau import HubEau
from hmp_cache.sources.open_meteo import OpenMeteo
from hmp_cache.sources.usgs import USGS
from hmp_cache.testing.source_suite import SourceSuite

JANUARY = (datetime(2020, 1, 1), datetime(2020, 1, 31, 23, 59, 59))


class TestHubEauDays(SourceSuite):
    @pytest.fixture
    def source(self) -> Iterator[Source]:
        with HubEauService(page=3) as service:
            for day in range(1, 32):
                service.daily(f"2020-01-{day:02}", day * 1000.0)
            yield HubEau(url=service.address)

    @pytest.fixture
    def answered(self) -> Request:
        return Request("discharge", station="K003002010", period=JANUARY)


class TestHubEauWells(SourceSuite):
    @pytest.fixture
    def source(self) -> Iterator[Source]:
        with HubEauService(page=3) as service:
            for hour in range(24):
                service.hourly(datetime(2020, 1, 5, hour), 12.5)
            yield HubEau(url=service.address)

    @pytest.fixture
    def answered(self) -> Request:
        return Request("groundwater_level", station="BSS001VZGZ", frequency="1h", period=JANUARY)


class TestUSGS(SourceSuite):
    @pytest.fixture
    def source(self) -> Iterator[Source]:
        with UsgsService() as service:
            service.daily("2020-01-05", "10")
            service.daily("2020-01-06", "-999999", "Ice")
            yield USGS(url=service.address)

    @pytest.fixture
    def answered(self) -> Request:
        return Request("discharge", station="01646500", period=JANUARY)


class TestOpenMeteo(SourceSuite):
    @pytest.fixture
    def source(self) -> Iterator[Source]:
        with OpenMeteoService() as service:
            yield OpenMeteo(url=service.address, api_key="s3cret")

    @pytest.fixture
    def answered(self) -> Request:
        return Request("precipitation", station="48.11,-1.68", period=(datetime(2018, 12, 30), datetime(2019, 1, 2)))


# ── the judge can fail ───────────────────────────────────────────────────────────────────────────────

WRONG = """
import pytest
from water_services import USGS as Service

from hmp_cache.sources import Asset, Offer, Request
from hmp_cache.sources.usgs import USGS
from hmp_cache.testing.source_suite import SourceSuite


def wrong(**parts):
    class TestWrong(SourceSuite):
        @pytest.fixture
        def source(self):
            return type("Wrong", (USGS,), {"__doc__": "A source.", **parts})()

        @pytest.fixture
        def answered(self):
            return Request("discharge", station="01646500")

    return TestWrong


def one(uri):
    return lambda self, request: [Asset(uri, "q.csv")]


class TestNothingSupplied(SourceSuite):
    pass


TestCountry = wrong(coverage=lambda self: [Offer("discharge", country="France")])
TestBox = wrong(coverage=lambda self: [Offer("discharge", bbox=(5, 45, 4, 46))])
TestTwice = wrong(coverage=lambda self: [Offer("discharge"), Offer("discharge")])
TestName = wrong(name="a/b")
TestSilent = wrong(__doc__="")
TestKeyed = wrong(plan=one("http://127.0.0.1/?api_key=s3cret"))
TestTakesAll = wrong(plan=one("http://127.0.0.1/"))
TestMute = wrong(plan=one("x"), fetch=lambda *_: None)
TestTrusting = wrong(plan=one("x"), fetch=lambda self, asset, destination: destination.json("x")["value"])
"""

FOUND = {
    "TestCountry": "test_offers_are_as_they_should_be",
    "TestBox": "test_offers_are_as_they_should_be",
    "TestTwice": "test_offers_can_be_told_apart",
    "TestName": "test_keeps_the_protocol",
    "TestSilent": "test_says_what_it_is",
    "TestKeyed": "test_plans_pieces_without_asking",
    "TestTakesAll": "test_what_it_does_not_offer_is_refused[wrong0]",
    "TestMute": "test_nothing_is_an_answer",
    "TestTrusting": "test_what_is_no_answer_is_a_failed_download[{}]",
    "TestNothingSupplied": "test_keeps_the_protocol",
}


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """Each fault fails the claim that it breaks, and a suite without a source says what it needs."""
    (tmp_path / "test_wrong.py").write_text(WRONG)
    services = str(Path(__file__).with_name("services"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rfE",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": services}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    for name, claim in FOUND.items():
        assert re.search(rf"^(FAILED|ERROR) test_wrong.py::{name}::{re.escape(claim)}", done.stdout, re.MULTILINE), (
            done.stdout
        )
    assert "give the suite a fixture `source`" in done.stdout
    assert "TestCountry::test_keeps_the_protocol" not in done.stdout
