"""Open-Meteo's archive, asked over a real server on loopback that answers as its documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from water_services import OpenMeteo as Service
from water_services import cut, fetched, says

from hmp_cache import DownloadFailed
from hmp_cache.sources import Offer, Request, Source, Station
from hmp_cache.sources.open_meteo import OpenMeteo
from hmp_core.errors import InvalidInput

RENNES = "48.11,-1.68"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def meteo(service: Service) -> OpenMeteo:
    return OpenMeteo(url=service.address)


def asked(**other: Any) -> Request:
    period = (datetime(2020, 1, 1), datetime(2020, 1, 3))
    return Request(**({"variable": "precipitation", "station": RENNES, "period": period} | other))


def test_it_is_a_source(meteo: OpenMeteo) -> None:
    assert isinstance(meteo, Source)


@pytest.mark.parametrize("offer", OpenMeteo().coverage(), ids=lambda offer: f"{offer.variable} {offer.frequency}")
def test_everything_that_is_offered_is_to_be_had(meteo: OpenMeteo, offer: Offer) -> None:
    request = asked(variable=offer.variable, frequency=offer.frequency, unit=offer.unit)
    assert len(fetched(meteo, request).listed) == (72 if offer.frequency == "1h" else 3)


def test_a_day_begins_at_midnight_utc(meteo: OpenMeteo, service: Service) -> None:
    found = fetched(meteo, asked())
    assert found.values == {"2020-01-01": 1.0, "2020-01-02": 2.0, "2020-01-03": 3.0}
    assert service.asked[0][1]["timezone"] == "GMT"
    assert found.stations == [Station("open-meteo", RENNES, "precipitation", None, 48.1, -1.7, 38.0)]


def test_hours_are_told_by_the_frequency(meteo: OpenMeteo) -> None:
    found = fetched(meteo, asked(frequency="1h"))
    assert found.values["2020-01-03T13:00"] == 3.13


def test_megajoules_of_a_day_are_watts(meteo: OpenMeteo) -> None:
    found = fetched(meteo, asked(variable="radiation"))
    assert found.values["2020-01-01"] == pytest.approx(1e6 / 86_400)


def test_a_year_is_one_question(meteo: OpenMeteo, service: Service) -> None:
    found = fetched(meteo, asked(period=(datetime(2018, 12, 30), datetime(2020, 1, 2, 12))))
    assert [(query["start_date"], query["end_date"]) for _, query in service.asked] == [
        ("2018-12-30", "2018-12-31"),
        ("2019-01-01", "2019-12-31"),
        ("2020-01-01", "2020-01-02"),
    ]
    assert len(found.values) == len(found.listed) == 369


def test_the_centre_stands_for_an_extent(meteo: OpenMeteo, service: Service) -> None:
    found = fetched(meteo, asked(station=None, bbox=(-2.0, 48.0, -1.0, 48.5), crs="EPSG:4326"))
    assert {key: service.asked[0][1][key] for key in ("latitude", "longitude")} == {
        "latitude": "48.25",
        "longitude": "-1.5",
    }
    assert (len(found.listed), found.stations) == (3, [])


def test_what_the_archive_has_not_yet_is_left_out(meteo: OpenMeteo, service: Service) -> None:
    service.until = date(2020, 1, 3)
    assert list(fetched(meteo, asked()).values) == ["2020-01-01", "2020-01-02"]
    service.until = date(2019, 1, 3)
    assert [table.num_rows for table in fetched(meteo, asked()).tables] == [0]


def test_the_future_and_the_time_before_1940_are_not_asked_for(meteo: OpenMeteo) -> None:
    now = datetime.now()
    assert meteo.plan(asked(period=(now + timedelta(days=2), now + timedelta(days=9)))) == []
    assert meteo.plan(asked(period=(datetime(1900, 1, 1), datetime(1939, 12, 31)))) == []
    around = meteo.plan(asked(period=(datetime(1900, 1, 1), datetime(1940, 1, 2))))
    assert [asset.period for asset in around] == [(datetime(1940, 1, 1), datetime(1940, 1, 2))]
    assert len(fetched(meteo, asked(period=(now - timedelta(days=9), now + timedelta(days=9)))).listed) in {3, 4, 5}


def test_the_key_of_a_customer_is_used_and_not_on_record(service: Service) -> None:
    found = fetched(OpenMeteo(url=service.address, api_key="s3cret"), asked())
    assert service.asked[0][1]["apikey"] == "s3cret"
    assert "s3cret" not in str(found.answers)
    assert "apikey" not in str(OpenMeteo(url=service.address, api_key="s3cret").plan(asked()))


@pytest.mark.parametrize(
    "wrong",
    [{"station": None}, {"station": "Rennes"}, {"station": "48.11"}, {"station": "91,0"}, {"station": "nan,0"},
     {"bbox": (0, 0, 1, 1)}, {"station": None, "bbox": (300_000, 6e6, 400_000, 7e6), "crs": "EPSG:2154"},
     {"station": None, "bbox": (300_000, 6e6, 400_000, 7e6)}, {"unit": "inch"}, {"variable": "discharge"}],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_before_anybody_is_asked(meteo: OpenMeteo, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        meteo.plan(asked(**wrong))


LIMIT = b'{"reason":"Minutely API request limit exceeded. Please try again in one minute.","error":true}'


@pytest.mark.parametrize("fault", [says(429, LIMIT, Content_Type="application/json"), says(500), cut])
def test_what_may_pass_is_tried_again(service: Service, meteo: OpenMeteo, fault: Any) -> None:
    service.faults = [fault, fault]
    found = fetched(meteo, asked())
    assert (len(found.failures), len(found.listed)) == (2, 3)


def test_why_it_refuses_is_said(service: Service, meteo: OpenMeteo) -> None:
    service.faults = [says(400, b'{"error":true,"reason":"No data is available"}', Content_Type="application/json")]
    with pytest.raises(DownloadFailed, match=r"400 Bad Request .*No data is available") as caught:
        fetched(meteo, asked())
    assert caught.value.reason == "http"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LIMIT, "it refuses: Minutely API request limit exceeded"),
        (b"<html><title>502</title>", "web page"),
        (b'{"daily_units": {"precipitation_sum": "inch"}, "daily": {}}', "comes in 'inch', expected 'mm'"),
        (b'{"daily_units": {"precipitation_sum": "mm"}, "daily": {"time": ["2020-01-01"], "precipitation_sum": []}}',
         "zip"),
        (b"[]", "AttributeError"),
        (b"null", "that is no answer"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_not_taken_for_one(service: Service, meteo: OpenMeteo, body: bytes, words: str) -> None:
    service.faults = [says(200, body)] * 3
    with pytest.raises(DownloadFailed, match=words) as caught:
        fetched(meteo, asked())
    assert caught.value.reason == "content"


def test_a_unit_that_changed_is_noticed(service: Service, meteo: OpenMeteo) -> None:
    service.units["precipitation_sum"] = "inch"
    with pytest.raises(DownloadFailed, match="comes in 'inch'"):
        fetched(meteo, asked())
