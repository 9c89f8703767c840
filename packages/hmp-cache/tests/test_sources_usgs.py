"""USGS daily values, asked over a real server on loopback that answers as its documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from water_services import USGS as Service
from water_services import cut, fetched, says

from hmp_cache import DownloadFailed
from hmp_cache.sources import Request, Source, Station
from hmp_cache.sources.usgs import USGS
from hmp_core.errors import InvalidInput

SITE = "01646500"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def usgs(service: Service) -> USGS:
    return USGS(url=service.address)


def asked(**other: Any) -> Request:
    period = (datetime(2020, 1, 1), datetime(2020, 1, 31))
    return Request(**({"variable": "discharge", "station": SITE, "period": period} | other))


def test_it_is_a_source(usgs: USGS) -> None:
    assert isinstance(usgs, Source)
    assert [(offer.variable, offer.unit) for offer in usgs.coverage()] == [
        ("discharge", "m3 s-1"),
        ("water_level", "m"),
        ("groundwater_depth", "m"),
        ("precipitation", "mm d-1"),
    ]


def test_discharge_comes_in_cubic_metres_with_its_qualifiers(service: Service, usgs: USGS) -> None:
    service.daily("2019-12-31", "1")
    service.daily("2020-01-01", "1000", "A", "e")
    service.daily("2020-01-02", "-999999", "P", "Ice")
    service.daily("2020-01-31", "0")
    service.daily("2020-02-01", "1")
    found = fetched(usgs, asked())
    assert found.values == {"2020-01-01": pytest.approx(28.316846592), "2020-01-02": None, "2020-01-31": 0.0}
    assert [row["quality"] for row in found.listed] == ["A e", "P Ice", "A"]
    assert found.stations == [
        Station(
            "usgs", SITE, "discharge", "POTOMAC RIVER NEAR WASH, DC LITTLE FALLS PUMP STA", 38.94977778, -77.12763889
        )
    ]


@pytest.mark.parametrize(
    ("variable", "code", "statistic", "value"),
    [
        ("water_level", "00065", "00003", 3.048),
        ("groundwater_depth", "72019", "00003", 3.048),
        ("precipitation", "00045", "00006", 254.0),
    ],
)
def test_feet_and_inches(service: Service, usgs: USGS, variable: str, code: str, statistic: str, value: float) -> None:
    service.daily("2020-01-01", "10", code=code, statistic=statistic)
    service.daily("2020-01-01", "99", code=code, statistic="00001")
    assert fetched(usgs, asked(variable=variable)).values == {"2020-01-01": pytest.approx(value)}


def test_without_a_period_the_whole_record_comes_not_only_its_newest_value(service: Service, usgs: USGS) -> None:
    service.daily("1930-03-01", "10")
    service.daily("2026-03-01", "10")
    assert len(fetched(usgs, asked(period=None)).listed) == 2


@pytest.mark.parametrize("says_404", [True, False])
def test_nothing_is_an_answer_however_it_is_said(service: Service, usgs: USGS, says_404: bool) -> None:
    service.says_404 = says_404
    service.daily("2019-01-01", "10")
    found = fetched(usgs, asked())
    assert [table.num_rows for table in found.tables] == [0]
    assert (found.failures, found.stations) == ([], [])


def test_before_there_was_a_survey_there_is_nothing_to_ask(usgs: USGS) -> None:
    assert usgs.plan(asked(period=(datetime(1700, 1, 1), datetime(1800, 1, 1)))) == []


def test_of_several_sensors_the_user_says_which(service: Service, usgs: USGS) -> None:
    service.daily("2020-01-01", "10", method=1)
    service.daily("2020-01-01", "20", method=2)
    with pytest.raises(InvalidInput, match=r"has several sensors; .* 1 \(\[sensor 1\]\); 2 "):
        fetched(usgs, asked())
    assert fetched(usgs, asked(parameters={"method": 2})).values == {"2020-01-01": pytest.approx(0.56633693)}
    assert fetched(usgs, asked(parameters={"method": "7"})).values == {}


def test_a_sensor_without_values_then_does_not_count(service: Service, usgs: USGS) -> None:
    service.daily("2020-01-01", "10", method=1)
    service.daily("1999-01-01", "20", method=2)
    assert list(fetched(usgs, asked()).values) == ["2020-01-01"]


@pytest.mark.parametrize(
    "wrong",
    [{"station": None}, {"station": "Potomac"}, {"bbox": (0, 0, 1, 1), "station": None}, {"unit": "ft3 s-1"},
     {"frequency": "15min"}, {"variable": "snow"}],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_before_anybody_is_asked(usgs: USGS, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        usgs.plan(asked(**wrong))


@pytest.mark.parametrize("fault", [says(429, Retry_After="0"), says(500), cut])
def test_what_may_pass_is_tried_again(service: Service, usgs: USGS, fault: Any) -> None:
    service.daily("2020-01-01", "1000")
    service.faults = [fault, fault]
    found = fetched(usgs, asked())
    assert (len(found.failures), list(found.values)) == (2, ["2020-01-01"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title>Down for maintenance</title>", "web page"),
        (b"agency_cd\tsite_no\n5s\t15s\n", "expected JSON"),
        (b'{"value": {}}', "KeyError: 'timeSeries'"),
        (b'{"value": {"timeSeries": [{"sourceInfo": {}}]}}', "KeyError"),
        (b"[]", "TypeError"),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(service: Service, usgs: USGS, body: bytes, words: str) -> None:
    service.faults = [says(200, body)] * 3
    with pytest.raises(DownloadFailed, match=words) as caught:
        fetched(usgs, asked())
    assert caught.value.reason == "content"


def test_a_refusal_is_one(service: Service, usgs: USGS) -> None:
    service.faults = [says(403, b"blocked")]
    with pytest.raises(DownloadFailed) as caught:
        fetched(usgs, asked())
    assert (caught.value.reason, caught.value.status) == ("http", 403)
