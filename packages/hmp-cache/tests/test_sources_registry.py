"""Sources are found by their entry points, made with the settings of the workspace, and list what they offer."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hmp_cache
from hmp_cache import InputsNamespace, SourceNotFound
from hmp_cache.cli import group
from hmp_cache.sources import Offer, Request, Source
from hmp_cache.sources.arriving import Arriving
from hmp_cache.sources.offers import chosen
from hmp_cache.sources.registry import Registry
from hmp_core.errors import CorruptError, InvalidInput, NotWritable

SHIPPED = ["custom", "hubeau", "open-meteo", "url", "usgs"]

PLAIN = '''
"""A source."""

from datetime import datetime

from hmp_cache.sources import Offer


class Tides:
    """Tides of a harbour that is not there.

    More is not said.
    """

    name = "tides"

    def __init__(self, *, url="http://tides.invalid", api_key=None):
        self.url, self.key = url, api_key

    def coverage(self):
        return [Offer("water_level", "m", "1h", bbox=(-5, 48, -4, 49), period=(datetime(2000, 1, 1), None))]

    def plan(self, request):
        return []

    def fetch(self, asset, destination):
        pass
'''

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with a source, as an installer leaves it: a module, and its metadata beside it."""
    installed = []

    def _install(code: str, *, name: str = "tides", module: str = "the_tides", kind: str = "Tides") -> Path:
        installed.append(module)
        site = tmp_path / f"site-{module}"
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[hmp.sources]\n{name} = {module}:{kind}\n")
        (site / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))
        return site

    yield _install
    for module in installed:
        sys.modules.pop(module, None)


def settings(data: InputsNamespace, text: str) -> None:
    with (data.workspace / "workspace.toml").open("a") as file:
        file.write(text)


def test_what_is_shipped_is_found_and_keeps_the_protocol() -> None:
    registry = Registry()
    assert registry.names() == SHIPPED
    assert all(isinstance(registry.get(name), Source) for name in SHIPPED)
    assert [one.error for one in registry.listed()] == [None] * len(SHIPPED)


def test_a_source_is_made_once() -> None:
    registry = Registry()
    assert registry.get("usgs") is registry.get("usgs")


def test_what_another_package_brings_is_found(install: Install) -> None:
    install(PLAIN)
    found = Registry().listed("tides")[0]
    assert (found.about, [offer.variable for offer in found.offers]) == (
        "Tides of a harbour that is not there.",
        ["water_level"],
    )


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_workspace_says_where_a_source_is(
    install: Install, data: InputsNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(PLAIN)
    monkeypatch.setenv("TIDES_KEY", "s3cret")
    settings(data, '\n[sources.tides]\nurl = "http://127.0.0.1:9"\napi_key_env = "TIDES_KEY"\n')
    made: Any = Registry.of(data.workspace).get("tides")
    assert (made.url, made.key) == ("http://127.0.0.1:9", "s3cret")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[sources.tides]\napi_key = "s3cret"', "api_key_env"),
        ('[sources.tides]\napi_key_env = "NOT_SET"', "'NOT_SET' of the environment is empty or not set"),
        ("[sources.tides]\napi_key_env = 7", "7 of the environment"),
        ('[sources.tides]\nadress = "http://127.0.0.1"', r"\[sources.tides\] \(adress\).*'adress'"),
    ],
)
def test_settings_that_do_not_suit_a_source_are_refused(
    install: Install, data: InputsNamespace, text: str, words: str
) -> None:
    install(PLAIN)
    settings(data, f"\n{text}\n")
    with pytest.raises(InvalidInput, match=words) as caught:
        Registry.of(data.workspace).get("tides")
    assert "s3cret" not in str(caught.value)
    rows = {row["source"]: row for row in data.offers().to_pylist()}
    assert rows["tides"]["error"] == str(caught.value)
    assert rows["usgs"]["error"] is None


@pytest.mark.parametrize("text", ["sources = 3", "[sources]\nhubeau = 'here'"])
def test_settings_that_are_no_tables_are_refused_and_close_nobodys_data(data: InputsNamespace, text: str) -> None:
    marker = data.workspace / "workspace.toml"
    marker.write_text(f"{text}\n{marker.read_text()}" if "[" not in text else f"{marker.read_text()}\n{text}\n")
    with hmp_cache.open(data.workspace) as again:
        assert again.find() == []
        with pytest.raises(InvalidInput, match="expected a table for each source"):
            again.offers()


def test_a_marker_that_cannot_be_read_says_so(data: InputsNamespace) -> None:
    (data.workspace / "workspace.toml").write_text("[sources")
    with pytest.raises(CorruptError, match=r"workspace.toml cannot be read"):
        Registry.of(data.workspace)


def test_settings_of_a_source_that_is_not_installed_are_noticed(data: InputsNamespace) -> None:
    settings(data, '\n[sources.hubaeu]\nurl = "http://127.0.0.1:9"\n')
    rows = {row["source"]: row for row in data.offers().to_pylist()}
    assert rows["hubaeu"]["error"] == "it has settings in workspace.toml and is not installed"


# ── what is wrong with a source ──────────────────────────────────────────────────────────────────────


def test_who_is_not_there(data: InputsNamespace) -> None:
    with pytest.raises(SourceNotFound, match="no source is called 'hubo'; installed are custom, hubeau") as caught:
        data.offers(source="hubo")
    assert (caught.value.source, caught.value.known) == ("hubo", SHIPPED)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(SourceNotFound):
        Registry().get("hubo")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_module", "cannot be loaded from the_tides:Tides: ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('no license')", "RuntimeError: no license"),
        ("", "AttributeError"),
        ("Tides = dict", "gave dict, expected name, coverage, plan and fetch"),
        (PLAIN.replace('"tides"', '"ebb"'), "calls itself 'ebb', its entry point calls it 'tides'"),
        (PLAIN.replace("return [", "return ['tide'] or ["), "coverage.. gave 'tide', expected hmp_cache.sources.Offer"),
        (PLAIN.replace("return [", "return 7 or ["), "coverage.. failed: TypeError"),
        (PLAIN.replace("return [Offer", "raise OSError(5)  # "), "coverage.. failed: OSError"),
        (PLAIN.replace("self.url, self.key = url, api_key", "raise OSError('no disk')"), "no disk"),
    ],
)
def test_a_source_that_cannot_be_used_is_named_and_the_others_go_on(
    install: Install, data: InputsNamespace, code: str, words: str
) -> None:
    install(code)
    rows = data.offers().to_pylist()
    broken = [row for row in rows if row["error"]]
    assert [row["source"] for row in broken] == ["tides"]
    assert [row["source"] for row in data.offers(variable="discharge").to_pylist() if row["error"]] == ["tides"]
    assert {row["source"] for row in rows} == {*SHIPPED, "tides"}
    assert re.search(words, broken[0]["error"])


def test_a_name_that_two_packages_give_is_that_of_neither(install: Install) -> None:
    install(PLAIN)
    install(PLAIN, module="other_tides")
    with pytest.raises(SourceNotFound, match="several packages bring a source 'tides'"):
        Registry().get("tides")
    assert [one.name for one in Registry().listed() if one.error] == ["tides"]


def test_a_package_that_is_found_twice_is_one(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(shutil.copytree(install(PLAIN), tmp_path / "again")))
    assert Registry().get("tides").name == "tides"


# ── offers ───────────────────────────────────────────────────────────────────────────────────────────


def test_offers_are_listed_by_source_and_variable(data: InputsNamespace) -> None:
    assert set(data.offers(source="usgs").column("source").to_pylist()) == {"usgs"}
    found = data.offers(variable="precipitation").to_pylist()
    assert [(row["source"], row["frequency"]) for row in found] == [
        ("open-meteo", "1D"),
        ("open-meteo", "1h"),
        ("usgs", "1D"),
    ]
    assert data.offers(variable="snow").num_rows == 0


def test_who_offers_nothing_by_itself_is_listed(data: InputsNamespace) -> None:
    rows = {row["source"]: row for row in data.offers().to_pylist()}
    assert rows["custom"]["description"] == "The user's own files: `hmp data add` brings them in."
    assert rows["url"]["variable"] is None


def test_offers_are_put_on_record_where_they_changed(data: InputsNamespace) -> None:
    assert set(data.offers().column("recorded_at").to_pylist()) == {None}
    recorded = data.offers(source="usgs", record=True)
    assert None not in recorded.column("recorded_at").to_pylist()
    assert data.sql("SELECT DISTINCT source FROM api_coverage").to_pylist() == [{"source": "usgs"}]
    assert data.offers(source="usgs", record=True).equals(recorded)
    data.offers(record=True)
    kept = data.sql("SELECT variable, unit, frequency, bbox_xmin, period_start FROM api_coverage WHERE source = 'usgs'")
    offered = data.offers(source="usgs").select(kept.column_names)
    assert sorted(map(str, kept.to_pylist())) == sorted(map(str, offered.to_pylist()))


def test_what_is_on_record_is_there_again_after_a_rebuild(data: InputsNamespace) -> None:
    before = data.offers(record=True)
    data.rebuild()
    assert data.offers().equals(before)


def test_what_a_source_offered_that_is_gone_is_still_told(install: Install, data: InputsNamespace) -> None:
    site = install(PLAIN)
    data.offers(source="tides", record=True)
    shutil.rmtree(site)
    (row,) = data.offers(source="tides").to_pylist()
    assert (row["variable"], row["unit"], row["error"]) == (
        "water_level",
        "m",
        "as it was recorded: the source is not installed here",
    )
    assert [row["source"] for row in data.offers().to_pylist() if row["error"]] == ["tides"]


def test_a_read_only_cache_records_nothing(data: InputsNamespace) -> None:
    with hmp_cache.open(data.workspace, read_only=True) as looked_at:
        assert looked_at.offers(source="usgs").num_rows == 4
        with pytest.raises(NotWritable):
            looked_at.offers(record=True)


def test_the_command_lists_sources(data: InputsNamespace, install: Install) -> None:
    shown = CliRunner().invoke(group, ["sources", "-w", str(data.workspace), "--json", "--variable", "discharge"])
    rows = [json.loads(line) for line in shown.output.splitlines()]
    assert (shown.exit_code, {row["source"] for row in rows}) == (0, {"hubeau", "usgs"})
    install("import no_such_module")
    shown = CliRunner().invoke(group, ["sources", "-w", str(data.workspace)])
    assert shown.exit_code == 1
    assert "note: tides: source 'tides' of the_tides cannot be loaded" in shown.stderr
    assert "1851-01-01" in shown.stdout


# ── which offer ──────────────────────────────────────────────────────────────────────────────────────

DAILY = Offer("discharge", "m3 s-1", "1D")
HOURLY = replace(DAILY, frequency="1h")


@pytest.mark.parametrize(
    ("request_", "offer"),
    [
        (Request("discharge"), DAILY),
        (Request("discharge", frequency="1h"), HOURLY),
        (Request("discharge", unit="m3 s-1"), DAILY),
    ],
)
def test_an_offer_answers_a_request(request_: Request, offer: Offer) -> None:
    assert chosen("tides", [DAILY, HOURLY], request_) == offer


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("snow"), "does not offer 'snow'; it offers discharge"),
        (Request("discharge", frequency="1M"), "expected '1D', '1h'"),
        (Request("discharge", unit="l s-1"), "delivers discharge in 'm3 s-1', not in 'l s-1'"),
    ],
)
def test_a_request_that_no_offer_answers_is_refused(request_: Request, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        chosen("tides", [DAILY, HOURLY], request_)


# ── those that are no service ────────────────────────────────────────────────────────────────────────


def test_the_users_own_files_are_added_and_not_fetched() -> None:
    with pytest.raises(InvalidInput, match="hmp data add FILE --variable dem"):
        Registry().get("custom").plan(Request("dem"))


def test_a_url_is_one_file() -> None:
    source = Registry().get("url")
    with pytest.raises(InvalidInput, match="needs an address"):
        source.plan(Request("dem"))
    (asset,) = source.plan(Request("dem", parameters={"uri": "https://example.org/a/dem.tif?v=2"}))
    assert (asset.uri, asset.file_name) == ("https://example.org/a/dem.tif?v=2", "dem.tif")

    def unasked(*_: Any, **__: Any) -> Any:
        raise AssertionError

    arriving = Arriving(unasked)
    source.fetch(asset, arriving)
    assert arriving.file_uri == asset.uri
