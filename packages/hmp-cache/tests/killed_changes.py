"""Kill a process that lets bytes go or brings them back between any two lines, and look at what it left.

Run by ``test_kills.py`` as ``killed.py`` is: ``python killed_changes.py FOLDER SCENARIO POINTS``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import killed
from killed import NEW, OLD, SAID

import hmp_cache
from hmp_cache.purging import purge
from hmp_core.identity import sha256_bytes

killed.ROOMS |= {"changes.py", "purging.py", "removing.py", "restoring.py", "queries.py"}
FETCHED = {**SAID, "source": "url"}


def _source(workspace: Path) -> Path:
    return workspace.parent / "desk" / "q.csv"


def _prepare(base: Path, scenario: str) -> None:
    """An input in two versions; for a restore, both purged, and another input that has the bytes of the former."""
    source = _source(base)
    with hmp_cache.open(base, create=True) as data:
        for content in (OLD, NEW):
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(content)
            data.fetch(source.as_uri(), refresh=True, **FETCHED)
        if scenario == "restore":
            _purge(data)
            own = source.with_name("twin.csv")
            own.write_bytes(OLD)
            data.add(own, variable="discharge", station="twin")


def _purge(data: hmp_cache.InputsNamespace) -> None:
    for version in data.versions("q"):
        assert isinstance(purge(data._rooms, version, "to make room"), int)


def _act(scenario: str, data: hmp_cache.InputsNamespace) -> None:
    if scenario == "purge":
        _purge(data)
    elif scenario == "remove":
        data.remove("q", apply=True)
    else:
        for sha256 in (sha256_bytes(NEW), sha256_bytes(OLD)):
            version = next(v for v in data.versions("q") if v.sha256 == sha256)
            data.restore(version)


def _judge(workspace: Path, scenario: str, answered: bool) -> None:
    with hmp_cache.open(workspace) as data:
        found = data.find(station="outlet")
        assert [e.name for e in found] == ([] if scenario == "remove" and answered else ["q"]) or not answered
        if answered and scenario == "purge":
            assert [v.state for v in data.versions("q")] == ["purged", "purged"]
        if answered and scenario == "restore":
            assert [v.state for v in data.versions("q")] == ["current", "superseded"]
        _look(data)
    killed._make_again(workspace)
    with hmp_cache.open(workspace) as data:
        _look(data)
        if not data.find(station="outlet"):
            data.fetch(_source(workspace).as_uri(), **FETCHED)
        entry = data.restore("q")
        assert entry.path.read_bytes() == NEW
        assert data.check(station="outlet") == [entry]
        data.add(_source(workspace), variable="discharge", station="next")
        left = killed._visible(data.workspace / "data" / ".incoming")
        assert left == [], left


def _look(data: hmp_cache.InputsNamespace) -> None:
    """What a record says of its bytes is so."""
    kept = {path.name for path in (data.workspace / "data" / ".versions").glob("*")}
    home = data.workspace / "data" / "discharge" / "url"
    for version in (v for found in data.find(station="outlet") for v in data.versions(found)):
        there = (home / "q.csv").exists() if version.sha256 == sha256_bytes(NEW) else version.sha256 in kept
        assert (version.state == "purged") != there, version
        if there:
            with version.open() as file:
                assert sha256_bytes(file.read()) == version.sha256
    if not data.find(station="outlet"):
        assert not (home / "q.csv").exists()
        assert sha256_bytes(OLD) not in kept
    assert (home / "q.csv.hmp.json").exists()


def main(folder: Path, scenario: str, points: int) -> None:
    """Kill a process that does what ``scenario`` says."""
    base = folder / "base"
    assert killed._in_child(lambda: _prepare(base, scenario)) == 0
    killed.kill(
        folder,
        base,
        lambda data: _act(scenario, data),
        lambda workspace, answered: _judge(workspace, scenario, answered),
        points,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
