"""The shipped sources through the door: what a user types, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from water_services import HASTY, USGS, HubEau, OpenMeteo, Service, says

import hmp_cache
from hmp_cache import InputsNamespace, SourceNotFound
from hmp_cache.errors import NothingThere, PartlyFetched
from hmp_core.errors import InvalidInput

GAUGE = "K003002010"
Opened = Callable[..., InputsNamespace]


@pytest.fixture
def opened(workspace: Path) -> Iterator[Opened]:
    """Open a workspace that knows where a source is."""
    with hmp_cache.open(workspace, create=True):
        pass
    doors = []

    def _opened(name: str, service: Service, **settings: str) -> InputsNamespace:
        said = "".join(f'{key} = "{value}"\n' for key, value in ({"url": service.address} | settings).items())
        with (workspace / "workspace.toml").open("a") as file:
            file.write(f"\n[sources.{name}]\n{said}")
        doors.append(hmp_cache.open(workspace))
        return doors[-1]

    yield _opened
    for door in doors:
        door.close()


@pytest.fixture
def hubeau() -> Iterator[HubEau]:
    with HubEau() as running:
        yield running


@pytest.fixture
def usgs() -> Iterator[USGS]:
    with USGS() as running:
        yield running


@pytest.fixture
def meteo() -> Iterator[OpenMeteo]:
    with OpenMeteo() as running:
        yield running


def asked_days(service: HubEau) -> list[tuple[str, str]]:
    asked = [query for path, query in service.asked if path.endswith("/obs_elab")]
    return [(query["date_debut_obs_elab"], query["date_fin_obs_elab"]) for query in asked]


# ── Hub'Eau ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_gauge_of_france(hubeau: HubEau, opened: Opened) -> None:
    for day in range(1, 32):
        hubeau.daily(f"2020-01-{day:02}", day * 1000.0)
    data = opened("hubeau", hubeau)
    wanted = {"variable": "discharge", "source": "hubeau", "station": GAUGE}
    entry = data.fetch(**wanted, period="2020-01-05/2020-01-10")
    assert (entry.unit, entry.frequency, entry.station_id) == ("m3 s-1", "1D", GAUGE)
    assert entry.path.read_text().splitlines()[:2] == [
        "time,discharge,quality",
        "2020-01-05,5.0,Donnée validée; Bonne",
    ]
    assert asked_days(hubeau) == [("2020-01-05", "2020-01-10")]

    assert data.fetch(**wanted, period="2020-01-06/2020-01-09") == entry
    assert len(asked_days(hubeau)) == 1
    longer = data.fetch(**wanted, period="2020-01-01/2020-01-31")
    assert asked_days(hubeau)[1:] == [("2020-01-01", "2020-01-04"), ("2020-01-11", "2020-01-31")]
    assert longer.read_table().num_rows == 31
    assert longer.id == entry.id


def test_what_is_learnt_on_the_way_is_on_record(hubeau: HubEau, opened: Opened) -> None:
    hubeau.daily("2020-01-05", 1000.0)
    data = opened("hubeau", hubeau)
    data.fetch(variable="discharge", source="hubeau", station=GAUGE, period="2020-01-05/2020-01-05")
    (station,) = data.sql("SELECT name, lat, lon, z FROM stations").to_pylist()
    assert station == {"name": "La Loire à Bas-en-Basset", "lat": 45.3052, "lon": 4.1096, "z": 444.21}
    assert None not in data.offers(source="hubeau").column("recorded_at").to_pylist()
    assert data.latest().license == "https://www.etalab.gouv.fr/licence-ouverte-open-licence/"


def test_real_time_and_daily_means_are_two_inputs(hubeau: HubEau, opened: Opened) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    hubeau.now(now - timedelta(hours=1), 2500.0, "Q")
    hubeau.daily(f"{now - timedelta(days=3):%Y-%m-%d}", 2000.0)
    data = opened("hubeau", hubeau)
    wanted = {"variable": "discharge", "source": "hubeau", "station": GAUGE}
    period = (now - timedelta(days=5), now)
    daily = data.fetch(**wanted, period=period)
    real = data.fetch(**wanted, frequency="real-time", period=period)
    assert daily.id != real.id
    assert real.read_table().column("discharge").to_pylist() == [2.5]


def test_what_a_gauge_sends_late_is_asked_for_an_hour_later(
    hubeau: HubEau, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    hubeau.now(now - timedelta(hours=1), 2500.0, "Q")
    data = opened("hubeau", hubeau)
    wanted = {"variable": "discharge", "source": "hubeau", "station": GAUGE, "frequency": "real-time"}
    data.fetch(**wanted, period=(now - timedelta(days=2), now))
    hubeau.now(now - timedelta(minutes=30), 2600.0, "Q")
    data.fetch(**wanted, period=(now - timedelta(days=2), now))
    assert data.latest().read_table().num_rows == 1
    later = now + timedelta(hours=1, minutes=10)
    monkeypatch.setattr("hmp_cache.obtaining._now", lambda: later)
    entry = data.fetch(**wanted, period=(now - timedelta(days=2), now))
    assert entry.read_table().column("discharge").to_pylist() == [2.5, 2.6]


def test_a_record_of_everything_there_is(hubeau: HubEau, opened: Opened) -> None:
    hubeau.daily("1953-01-01", 1000.0)
    hubeau.daily("2020-01-05", 2000.0)
    data = opened("hubeau", hubeau)
    entry = data.fetch(variable="discharge", source="hubeau", station=GAUGE)
    assert entry.period == (datetime(1953, 1, 1), datetime(2020, 1, 5))
    assert len(asked_days(hubeau)) == 3


def test_a_well(hubeau: HubEau, opened: Opened) -> None:
    hubeau.level("2020-01-01", 12.5, 10.0)
    data = opened("hubeau", hubeau)
    entry = data.fetch(
        variable="groundwater_level", source="hubeau", station="07548X0009/F", period="2020-01-01/2020-02-01"
    )
    assert entry.path.name == "07548X0009_F.csv"
    assert entry.station_id == "07548X0009/F"


def test_a_mistyped_station_is_not_remembered_as_a_gap(hubeau: HubEau, opened: Opened) -> None:
    hubeau.daily("2020-01-05", 1000.0)
    gauges, hubeau.gauges = hubeau.gauges, []
    data = opened("hubeau", hubeau)
    wanted = {"variable": "discharge", "source": "hubeau", "station": GAUGE, "period": "2020-01-05/2020-01-05"}
    with pytest.raises(InvalidInput, match="knows no station"):
        data.fetch(**wanted)
    hubeau.gauges = gauges
    assert data.fetch(**wanted, retry_now=True).read_table().num_rows == 1


# ── USGS ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_river_under_ice(usgs: USGS, opened: Opened) -> None:
    usgs.daily("2020-01-01", "1000")
    usgs.daily("2020-01-02", "-999999", "P", "Ice")
    usgs.daily("2020-01-03", "500", "P")
    data = opened("usgs", usgs)
    entry = data.fetch(variable="discharge", source="usgs", station="01646500", period="2020-01-01/2020-01-03")
    assert [line.split(",")[2] for line in entry.path.read_text().splitlines()[1:]] == ["A", "P Ice", "P"]
    assert entry.read_table().column("discharge").to_pylist()[1] is None


@pytest.mark.parametrize("says_404", [True, False])
def test_what_is_not_there_is_remembered(usgs: USGS, opened: Opened, says_404: bool) -> None:
    usgs.says_404 = says_404
    data = opened("usgs", usgs)
    for _ in range(2):
        with pytest.raises(NothingThere):
            data.fetch(variable="discharge", source="usgs", station="01646500", period="1990-01-01/1990-12-31")
    assert len(usgs.asked) == 1
    assert data.failures().num_rows == 0


# ── Open-Meteo ───────────────────────────────────────────────────────────────────────────────────────


def test_years_that_came_are_kept_and_only_the_others_asked_again(meteo: OpenMeteo, opened: Opened) -> None:
    data = opened("open-meteo", meteo)
    wanted = {"variable": "precipitation", "source": "open-meteo", "station": "48.11,-1.68", "retry": HASTY}
    meteo.faults = [lambda said: said, *[says(503)] * 3]
    with pytest.raises(PartlyFetched):
        data.fetch(**wanted, period="2018-12-30/2020-01-02")
    meteo.asked.clear()
    entry = data.fetch(**wanted, period="2018-12-30/2020-01-02", retry_now=True)
    assert [query["start_date"] for _, query in meteo.asked] == ["2019-01-01", "2020-01-01"]
    assert entry.read_table().num_rows == 369
    assert {row["error_type"] for row in data.failures().to_pylist()} == {"http"}


def test_a_refresh_that_brings_other_numbers_makes_a_version(meteo: OpenMeteo, opened: Opened) -> None:
    data = opened("open-meteo", meteo)
    wanted = {"variable": "air_temperature", "source": "open-meteo", "station": "48.11,-1.68", "retry": HASTY}
    before = data.fetch(**wanted, period="2020-01-01/2020-01-03")
    assert data.fetch(**wanted, period="2020-01-01/2020-01-03", refresh=True).sha256 == before.sha256

    def other(said: Any) -> Any:
        return type(said)(said.body.replace(b"[1.0, ", b"[9.5, "), said.status, said.headers)

    meteo.faults = [other]
    after = data.fetch(**wanted, period="2020-01-01/2020-01-03", refresh=True)
    assert after.read_table().column("air_temperature").to_pylist() == [9.5, 2.0, 3.0]
    assert [one.sha256 for one in data.versions(after)] == [after.sha256, before.sha256]


def test_a_key_is_in_no_file(meteo: OpenMeteo, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METEO_KEY", "s3cretkey")
    data = opened("open-meteo", meteo, api_key_env="METEO_KEY")
    wanted = {"variable": "precipitation", "source": "open-meteo", "station": "48.11,-1.68", "retry": HASTY}
    meteo.faults = [says(503)]
    data.fetch(**wanted, period="2020-01-01/2020-01-03")
    meteo.faults = [says(400, b'{"error": true, "reason": "no"}', Content_Type="application/json")]
    with pytest.raises(hmp_cache.DownloadFailed) as caught:
        data.fetch(**wanted, period="2021-01-01/2021-01-03")
    assert "s3cretkey" not in str(caught.value) + caught.value.uri + str(data.failures().to_pylist())
    data.close()
    assert meteo.asked[0][1]["apikey"] == "s3cretkey"
    written = [path for path in data.workspace.rglob("*") if path.is_file() and b"s3cretkey" in path.read_bytes()]
    assert written == []


# ── none of them ─────────────────────────────────────────────────────────────────────────────────────


def test_a_source_that_nobody_knows(data: InputsNamespace) -> None:
    with pytest.raises(SourceNotFound, match="installed are custom, hubeau"):
        data.fetch(variable="discharge", source="hubo", station="1", period="2020-01-01/2020-01-02")


def test_the_users_own_files_are_not_fetched(data: InputsNamespace) -> None:
    with pytest.raises(InvalidInput, match="hmp data add FILE"):
        data.fetch(variable="discharge", source="custom", station="1", period="2020-01-01/2020-01-02")
