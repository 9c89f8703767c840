"""Sidecars, markers and the database of a cache, cut, overwritten or with a bit turned: right, refused or named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_cache.opening import rebuild_cache
from hmp_core.errors import CorruptError, HmpError, PathNotFound
from hmp_core.layout import cache_path
from hmp_core.testing.children import start
from hmp_core.testing.damage import spoilt

Write = Callable[..., Path]


@pytest.fixture
def stocked(data: InputsNamespace, write: Write) -> Path:
    """A workspace with three inputs, one of them of two versions, and its cache closed."""
    for name in ("a", "b", "c"):
        data.add(write(f"{name}.csv"), variable="discharge", station=name, unit="m3 s-1", license="CC0")
    data.add(write("a.csv", "time,discharge\n2001-01-01,2.5\n"), variable="discharge", station="a", unit="m3 s-1")
    data.close()
    return data.workspace


def _entries(workspace: Path) -> dict[str, dict[str, Any]]:
    with hmp_cache.open(workspace) as data:
        return {entry.name: entry.as_dict() for entry in data.find()}


def _sidecar(workspace: Path) -> Path:
    return workspace / "data/discharge/custom/a.csv.hmp.json"


def _judge_sidecars(stocked: Path, *, count: int, seed: int, logged: bool) -> None:
    right = _entries(stocked)
    if not logged:
        shutil.rmtree(stocked / "data" / "events")
    whole = _sidecar(stocked).read_bytes()
    for how, content in spoilt(whole, count=count, seed=seed):
        _sidecar(stocked).write_bytes(content)
        notice = rebuild_cache(stocked)
        assert _sidecar(stocked).read_bytes() == content, how
        found = _entries(stocked)
        if logged:
            assert found == right, how
        elif found != right:
            assert found == {name: entry for name, entry in right.items() if name != "a"}, how
            assert notice.rejected, how
        if notice.rejected:
            assert str(_sidecar(stocked)) in notice.reason, how


@pytest.mark.parametrize("logged", [True, False], ids=["beside its log", "alone"])
def test_a_spoilt_sidecar_is_named_and_never_half_believed(stocked: Path, logged: bool) -> None:
    """With the log every row comes back; from sidecars alone, every row of the others."""
    _judge_sidecars(stocked, count=1, seed=1, logged=logged)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("logged", [True, False], ids=["beside its log", "alone"])
def test_a_sidecar_spoilt_anywhere_is_named(stocked: Path, logged: bool) -> None:
    _judge_sidecars(stocked, count=100, seed=2, logged=logged)


def _judge_markers(stocked: Path, *, count: int, seed: int) -> None:
    right = _entries(stocked)
    marker = stocked / "workspace.toml"
    for how, content in spoilt(marker.read_bytes(), count=count, seed=seed):
        marker.write_bytes(content)
        try:
            said: Any = _entries(stocked)
        except (CorruptError, PathNotFound) as error:
            said = str(error)
        # another name, or another id, says nothing about the inputs; the index tells of it
        assert said == right or str(marker) in said, how
        assert marker.read_bytes() == content, how


def test_a_spoilt_marker_is_refused_by_name(stocked: Path) -> None:
    _judge_markers(stocked, count=6, seed=3)


_OPEN = """
    import hmp_cache
    from hmp_core.errors import HmpError
    for content in contents:
        database.write_bytes(content)
        try:
            with hmp_cache.open(workspace) as data:
                say({entry.name: entry.as_dict() for entry in data.find()})
        except HmpError as error:
            say(error)
"""


def test_a_spoilt_database_is_right_or_says_how_it_is_rebuilt(stocked: Path) -> None:
    right, database = _entries(stocked), cache_path(stocked)
    cases = list(spoilt(database.read_bytes(), count=4, seed=4))
    refused = 0
    with start(_OPEN, database=database, workspace=stocked, contents=[content for _, content in cases]) as child:
        for (how, _), answer in zip(cases, child.rest(), strict=True):
            if isinstance(answer, HmpError):
                refused += 1
                assert isinstance(answer, CorruptError), (how, answer)
                assert f"`hmp data rebuild --workspace {stocked}`" in str(answer)
            else:
                assert answer == right, how
    assert refused > 5
    assert not rebuild_cache(stocked)
    assert _entries(stocked) == right
