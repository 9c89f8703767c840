"""Files over an extent, from a source: a larger one answers, and makes smaller ones needless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from upstream import Grids, Upstream, day

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_cache.retries import Retry
from hmp_cache.sources import Asset

SMALL, LARGE, ASIDE = (1, 1, 2, 2), (0, 0, 9, 9), (8, 8, 12, 12)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    publisher = Upstream()
    yield publisher
    publisher.close()


@pytest.fixture
def grids(upstream: Upstream) -> Grids:
    return Grids(upstream.address)


def _fetch(
    data: InputsNamespace,
    upstream: Upstream,
    source: Any,
    bbox: Any,
    period: str = "2010-01-01/2010-12-31",
    **more: Any,
) -> hmp_cache.Entry:
    box = "_".join(map(str, bbox))
    first, last = (moment.replace("-", "") for moment in period.split("/"))
    path = f"/{box}_{first}_{last}.json"
    upstream.files[path] = f'{{"of": "{path}"}}'.encode()
    said = {"variable": "precipitation", "source": source, "bbox": bbox, "period": period, "crs": "EPSG:4326"} | more
    return data.fetch(**said, retry=Retry(attempts=1))


def test_a_file_is_an_input_of_its_extent_and_period(data: InputsNamespace, upstream: Upstream, grids: Grids) -> None:
    entry = _fetch(data, upstream, grids, SMALL)
    assert (entry.bbox, entry.crs, entry.frequency, entry.unit) == (SMALL, "EPSG:4326", "1D", "mm d-1")
    assert entry.period == (day("2010-01-01"), day("2010-12-31T23:59:59.999999"))
    assert [entry.path.read_bytes()] == list(upstream.files.values())


@pytest.mark.parametrize(("bbox", "period"), [(SMALL, "2010-01-01/2010-12-31"), (LARGE, "2010-03-01/2010-04-30")])
def test_what_is_covered_is_not_asked_for(
    data: InputsNamespace, upstream: Upstream, grids: Grids, bbox: Any, period: str
) -> None:
    larger = _fetch(data, upstream, grids, LARGE)
    upstream.asked.clear()
    assert _fetch(data, upstream, grids, bbox, period) == larger
    assert upstream.asked == []


@pytest.mark.parametrize(
    "other",
    [{"bbox": ASIDE}, {"period": "2010-06-01/2011-01-01"}, {"crs": "EPSG:2154"}, {"crs": None}, {"refresh": True}],
    ids=["extent", "period", "crs", "no crs", "refresh"],
)
def test_what_is_not_covered_is(data: InputsNamespace, upstream: Upstream, grids: Grids, other: dict[str, Any]) -> None:
    _fetch(data, upstream, grids, LARGE)
    upstream.asked.clear()
    _fetch(data, upstream, grids, **({"bbox": LARGE} | other))
    assert len(upstream.asked) == 1


def test_a_grid_that_was_harmed_is_no_answer(data: InputsNamespace, upstream: Upstream, grids: Grids) -> None:
    _fetch(data, upstream, grids, LARGE).path.write_text("{}")
    upstream.asked.clear()
    _fetch(data, upstream, grids, SMALL)
    assert len(upstream.asked) == 1


def test_a_larger_grid_makes_smaller_ones_needless(data: InputsNamespace, upstream: Upstream, grids: Grids) -> None:
    """Their record, their sidecar and, until they are pruned, their bytes stay."""
    small = _fetch(data, upstream, grids, SMALL)
    aside = _fetch(data, upstream, grids, ASIDE)
    large = _fetch(data, upstream, grids, LARGE)
    assert {entry.id for entry in data.find()} == {large.id, aside.id}
    assert small.path.exists()
    assert small.path.with_name(f"{small.path.name}.hmp.json").exists()
    assert data.artifact(small.sha256).id == small.id
    data.rebuild()
    assert {entry.id for entry in data.find()} == {large.id, aside.id}
    (removed,) = [e for e in data.store.files.everything().events if e.kind == "input.removed"]
    assert removed.payload["why"] == f"subsumed by {large.id}"


def test_what_a_user_added_is_never_subsumed(
    data: InputsNamespace, upstream: Upstream, grids: Grids, write: Any
) -> None:
    said = {"variable": "precipitation", "source": "grids", "crs": "EPSG:4326", "frequency": "1D", "unit": "mm d-1"}
    mine = data.add(write("g.json", "{}"), bbox=SMALL, period="2010-01-01/2010-12-31", **said)
    large = _fetch(data, upstream, grids, LARGE)
    assert {entry.id for entry in data.find()} == {mine.id, large.id}
    assert _fetch(data, upstream, grids, SMALL).id == large.id


def test_several_files_are_several_inputs(data: InputsNamespace, upstream: Upstream) -> None:
    class Yearly(Grids):
        def plan(self, request: Any) -> Any:
            years = [(day(f"{year}-01-01"), day(f"{year}-12-31")) for year in (2010, 2011)]
            return [Asset(f"{upstream.address}/{y[0]:%Y}.json", "g.json", y) for y in years]

    upstream.files |= {"/2010.json": b'{"y": 2010}', "/2011.json": b'{"y": 2011}'}
    entry = _fetch(data, upstream, Yearly(upstream.address), SMALL, "2010-01-01/2011-12-31")
    assert entry.period == (day("2010-01-01"), day("2010-12-31"))
    assert len(data.find(variable="precipitation")) == 2
