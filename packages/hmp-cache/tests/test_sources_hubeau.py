"""Hub'Eau, asked over a real server on loopback that answers as its documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from water_services import HubEau as Service
from water_services import cut, fetched, says

from hmp_cache import DownloadFailed
from hmp_cache.sources import Request, Source, Station
from hmp_cache.sources.hubeau import HubEau
from hmp_core.errors import InvalidInput

GAUGE = "K003002010"
WELL = "07548X0009/F"
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def hubeau(service: Service) -> HubEau:
    return HubEau(url=service.address)


def days(first: str, last: str) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(first), datetime.fromisoformat(last)


def daily(**other: Any) -> Request:
    return Request(**({"variable": "discharge", "station": GAUGE} | other))


def test_it_is_a_source(hubeau: HubEau) -> None:
    assert isinstance(hubeau, Source)
    assert {(offer.variable, offer.frequency) for offer in hubeau.coverage()} == {
        ("discharge", "1D"),
        ("discharge", "real-time"),
        ("water_level", "real-time"),
        ("groundwater_level", "1D"),
        ("groundwater_level", "1h"),
        ("groundwater_depth", "1D"),
        ("groundwater_depth", "1h"),
    }


# ── rivers ───────────────────────────────────────────────────────────────────────────────────────────


def test_daily_discharge_comes_in_cubic_metres_with_its_quality(service: Service, hubeau: HubEau) -> None:
    service.daily("2019-12-31", 1.0)
    service.daily("2020-01-01", 28858.0)
    service.daily("2020-01-02", None, libelle_qualification="Non qualifiée")
    service.daily("2020-01-03", 316.0)
    service.daily("2020-01-04", 1.0)
    service.daily("2020-01-01", 9.0, grandeur_hydro_elab="QmM")
    found = fetched(hubeau, daily(period=days("2020-01-01", "2020-01-03")))
    assert found.values == {"2020-01-01": 28.858, "2020-01-02": None, "2020-01-03": 0.316}
    assert [row["quality"] for row in found.listed] == [
        "Donnée validée; Bonne",
        "Donnée validée; Non qualifiée",
        "Donnée validée; Bonne",
    ]


def test_what_is_known_of_a_gauge_is_told_and_asked_for_once(service: Service, hubeau: HubEau) -> None:
    expected = Station("hubeau", GAUGE, "discharge", "La Loire à Bas-en-Basset", 45.3052, 4.1096, 444.21)
    for _ in range(2):
        assert fetched(hubeau, daily(period=days("2020-01-01", "2020-01-03"))).stations == [expected]
    assert [path for path, _ in service.asked].count("/v2/hydrometrie/referentiel/stations") == 1


def test_an_altitude_in_millimetres_is_none(service: Service, hubeau: HubEau) -> None:
    service.gauges = [service.gauges[0] | {"altitude_ref_alti_station": 13318.0}]
    assert fetched(hubeau, daily(period=days("2020-01-01", "2020-01-03"))).stations[0].z is None


def test_every_page_is_read_though_each_but_the_last_is_a_206(service: Service, hubeau: HubEau) -> None:
    service.page = 7
    for day in range(1, 31):
        service.daily(f"2020-06-{day:02}", day * 1000.0)
    found = fetched(hubeau, daily(period=days("2020-06-01", "2020-06-30")))
    assert list(found.values.values()) == [float(day) for day in range(1, 31)]
    pages = [answer for answer in found.answers if "obs_elab" in answer.uri]
    assert [answer.status for answer in pages] == [206, 206, 206, 206, 200]
    assert found.failures == []


def test_links_that_say_another_scheme_or_host_are_followed_where_the_service_is(service: Service) -> None:
    service.page, service.scheme = 2, "https"
    for day in range(1, 6):
        service.daily(f"2020-06-{day:02}", day * 1000.0)
    assert len(fetched(HubEau(url=service.address + "/"), daily(period=days("2020-06-01", "2020-06-30"))).listed) == 5


def test_a_record_of_a_century_is_asked_for_in_pieces_that_can_be_had(service: Service, hubeau: HubEau) -> None:
    first = datetime(1950, 1, 1)
    for n in range(27_000):
        service.daily(f"{first + timedelta(days=n):%Y-%m-%d}", 1000.0)
    found = fetched(hubeau, daily())
    assert len(found.listed) == 27_000
    assert found.listed[-1]["time"] == first + timedelta(days=26_999)
    pieces = hubeau.plan(daily())
    assert pieces[0].period == (datetime(1900, 1, 1), datetime(1949, 12, 20))
    assert [one.period[0] - timedelta(days=1) for one in pieces[1:] if one.period] == [
        one.period[1] for one in pieces[:-1] if one.period
    ]


def test_a_site_is_its_own_rows(service: Service, hubeau: HubEau) -> None:
    service.daily("2020-01-01", 7000.0, station=None)
    service.daily("2020-01-01", 1000.0, station="K003002010")
    service.daily("2020-01-01", 2000.0, station="K003002011")
    found = fetched(hubeau, daily(station="K0030020", period=days("2020-01-01", "2020-01-02")))
    assert found.values == {"2020-01-01": 7.0}
    assert found.stations[0].name == "La Loire à Bas-en-Basset"


def test_a_site_without_rows_is_its_only_gauge(service: Service, hubeau: HubEau) -> None:
    service.daily("2020-01-01", 1000.0)
    found = fetched(hubeau, daily(station="K0030020", period=days("2020-01-01", "2020-01-02")))
    assert found.values == {"2020-01-01": 1.0}


def test_gauges_of_a_site_are_not_mixed(service: Service, hubeau: HubEau) -> None:
    service.daily("2020-01-01", 1000.0, station="K003002010")
    service.daily("2020-01-02", 2000.0, station="K003002011")
    with pytest.raises(InvalidInput, match="ask for one of K003002010, K003002011"):
        fetched(hubeau, daily(station="K0030020", period=days("2020-01-01", "2020-01-02")))


def test_stage_comes_in_metres_also_below_the_gauges_zero(service: Service, hubeau: HubEau) -> None:
    service.now(NOW - timedelta(minutes=10), 491.0)
    service.now(NOW - timedelta(minutes=5), -255.0)
    service.now(NOW - timedelta(minutes=5), 70_000.0, "Q")
    found = fetched(hubeau, daily(variable="water_level", period=(NOW - timedelta(days=2), NOW)))
    assert [row["value"] for row in found.listed] == [0.491, -0.255]
    assert [row["time"] for row in found.listed] == [NOW - timedelta(minutes=10), NOW - timedelta(minutes=5)]
    assert found.listed[0]["quality"] == "Brute; Non qualifiée"


def test_discharge_in_real_time_is_asked_for_by_its_frequency(service: Service, hubeau: HubEau) -> None:
    service.now(NOW - timedelta(minutes=5), 70_642.0, "Q")
    found = fetched(hubeau, daily(frequency="real-time"))
    assert [row["value"] for row in found.listed] == [70.642]


def test_real_time_reaches_a_month_back_and_more_is_not_asked_for(service: Service, hubeau: HubEau) -> None:
    service.now(NOW - timedelta(days=20), 70_642.0, "Q")
    found = fetched(hubeau, daily(frequency="real-time", period=(NOW - timedelta(days=400), NOW)))
    assert len(found.listed) == 1
    assert "date_debut_obs" not in service.asked[-1][1]
    assert hubeau.plan(daily(frequency="real-time", period=days("2020-01-01", "2020-12-31"))) == []


def test_real_time_pages_on_beyond_what_one_question_gives_elsewhere(service: Service, hubeau: HubEau) -> None:
    for n in range(21_000):
        service.now(NOW - timedelta(minutes=n), 1000.0, "Q")
    assert len(fetched(hubeau, daily(frequency="real-time")).listed) == 21_000


# ── groundwater ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("station", [WELL, "BSS001VZGZ"])
def test_levels_and_depths_of_a_well(service: Service, hubeau: HubEau, station: str) -> None:
    service.level("2020-01-01", 12.5, 10.0)
    service.level("2020-01-02", None, None)
    period = days("2020-01-01", "2020-12-31")
    found = fetched(hubeau, Request("groundwater_level", station=station, period=period))
    assert found.values == {"2020-01-01": 12.5, "2020-01-02": None}
    assert found.listed[0]["quality"] == "Donnée contrôlée niveau 2; Correcte"
    assert found.stations == [
        Station("hubeau", station, "groundwater_level", "Forage de Saint-Loubès", 44.92, -0.43, 22.5)
    ]
    depths = fetched(hubeau, Request("groundwater_depth", station=station, period=period))
    assert depths.values == {"2020-01-01": 10.0, "2020-01-02": None}


def test_hourly_levels_have_no_quality(service: Service, hubeau: HubEau) -> None:
    service.hourly(datetime(2026, 1, 1, 22), 12.5)
    service.hourly(datetime(2026, 1, 1, 23), 12.25)
    request = Request("groundwater_level", station=WELL, frequency="1h", period=days("2026-01-01", "2026-01-01"))
    found = fetched(hubeau, request)
    assert found.values == {"2026-01-01T22:00": 12.5, "2026-01-01T23:00": 12.25}
    assert found.tables[0].column_names == ["time", "value"]


def test_more_than_can_be_had_of_one_question_is_asked_for_in_halves(service: Service, hubeau: HubEau) -> None:
    first = datetime(2025, 1, 1)
    for n in range(45_000):
        service.hourly(first + timedelta(minutes=10 * n), 12.5)
    request = Request("groundwater_level", station=WELL, frequency="1h", period=(first, datetime(2026, 1, 1)))
    found = fetched(hubeau, request)
    assert {row["time"] for row in found.listed} == {first + timedelta(minutes=10 * n) for n in range(45_000)}


# ── nothing, and what goes wrong ─────────────────────────────────────────────────────────────────────


def test_no_rows_are_an_answer(hubeau: HubEau) -> None:
    found = fetched(hubeau, daily(period=days("2020-01-01", "2020-01-02")))
    assert [table.num_rows for table in found.tables] == [0]


def test_a_station_that_nobody_knows_is_a_mistake_and_not_a_gap(hubeau: HubEau) -> None:
    with pytest.raises(InvalidInput, match="hubeau knows no station 'K003002099'"):
        fetched(hubeau, daily(station="K003002099", period=days("2020-01-01", "2020-01-02")))


@pytest.mark.parametrize(
    "asked",
    [
        {"station": None},
        {"station": "K*"},
        {"station": "K003002010,K003002011"},
        {"station": WELL},
        {"bbox": (4.0, 45.0, 5.0, 46.0), "station": None},
        {"variable": "air_temperature"},
        {"frequency": "1h"},
        {"unit": "l s-1"},
        {"variable": "groundwater_level"},
    ],
)
def test_what_cannot_be_answered_is_refused_before_anybody_is_asked(hubeau: HubEau, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        hubeau.plan(daily(**asked))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (says(429, b"", Retry_After="0"), "http"),
        (says(500, b"oh"), "http"),
        (says(503, b""), "http"),
        (cut, "truncated"),
    ],
)
def test_what_may_pass_is_tried_again(service: Service, hubeau: HubEau, fault: Any, reason: str) -> None:
    service.daily("2020-01-01", 1000.0)
    service.faults = [fault, fault, lambda said: said, fault]
    found = fetched(hubeau, daily(period=days("2020-01-01", "2020-01-02")))
    assert found.values == {"2020-01-01": 1.0}
    assert [failure.reason for failure in found.failures] == [reason] * 3


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (says(200, b"<html><title>Maintenance</title>", Content_Type="text/html"), "content", "web page"),
        (says(200, b"", Content_Type="application/json"), "content", "empty body"),
        (says(200, b"time,discharge\n2020-01-01,1\n", Content_Type="text/csv"), "content", "expected JSON"),
        (says(200, b'{"donnees": []}'), "content", "not as the service documents it: KeyError"),
        (says(200, b"[]"), "content", "not as the service documents it"),
        (says(200, b'{"count": 3, "data": [], "next": null}'), "truncated", "0 rows came of 3"),
        (says(200, b'{"count": 1, "data": [{}], "next": null}'), "content", "KeyError"),
        (says(304), "content", "304"),
        (says(400, b'{"message": "date invalide"}', Content_Type="application/json"), "http", "date invalide"),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(
    service: Service, hubeau: HubEau, fault: Any, reason: str, words: str
) -> None:
    service.faults = [lambda said: said, fault, fault, fault]
    with pytest.raises(DownloadFailed, match=words) as caught:
        fetched(hubeau, daily(period=days("2020-01-01", "2020-01-02")))
    assert caught.value.reason == reason


def test_a_link_that_leads_in_a_circle_is_left(service: Service, hubeau: HubEau) -> None:
    round_and_round = (
        f'{{"count": 9, "data": [], "next": "{service.address}/v2/hydrometrie/obs_elab?code_entite={GAUGE}"}}'
    )
    service.faults = [lambda said: said] + [says(206, round_and_round.encode())] * 3
    with pytest.raises(DownloadFailed, match="leads back"):
        fetched(hubeau, daily(period=days("2020-01-01", "2020-01-02")))
