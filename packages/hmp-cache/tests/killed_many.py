"""Kill a process that stores many inputs together between any two lines, and look at what it left.

Run by ``test_kills.py``: ``python killed_many.py FOLDER SCENARIO POINTS``; see ``killed.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import killed
from killed import _in_child, _visible

import hmp_cache
from hmp_core.identity import sha256_bytes

killed.ROOMS.update({"adding.py", "batch.py", "flushing.py", "importing.py", "merging.py", "succession.py"})

NUMBER = 3
SAID = {"variable": "discharge"}


def _text(number: int, version: int) -> str:
    return f"time,discharge\n2001-01-01,{number}\n2001-01-02,{version}\n"


def _files(desk: Path, version: int) -> list[Path]:
    desk.mkdir(parents=True, exist_ok=True)
    found = [desk / f"s{n}.csv" for n in range(NUMBER)]
    for n, path in enumerate(found):
        path.write_text(_text(n, version))
    return found


def _prepare(folder: Path, scenario: str) -> None:
    """Make the workspace that is worked in, and for an import the archive, whose history is another."""
    _files(folder / "desk", 2)
    with hmp_cache.open(folder / "origin", create=True) as origin:
        origin.add_many(_files(folder / "oldest", 0), **SAID)
        with hmp_cache.open(folder / "base", create=True) as data:
            if scenario == "merge":
                data.add_many(_files(folder / "older", 1), **SAID)
        origin.add_many(folder.joinpath("desk").iterdir(), **SAID)
        origin.archive(folder / "all.hmpdata")


def _act(data: hmp_cache.InputsNamespace, folder: Path, scenario: str) -> None:
    if scenario == "many":
        data.add_many(sorted((folder / "desk").iterdir()), **SAID)
    else:
        data.import_archive(folder / "all.hmpdata")


def _expected(scenario: str) -> list[int]:
    return {"many": [2], "import": [2, 0], "merge": [2, 1, 0]}[scenario]


def _judge(workspace: Path, folder: Path, scenario: str, answered: bool) -> None:
    with hmp_cache.open(workspace) as data:
        for entry in data.check():
            assert entry.state == "current", entry
            assert sha256_bytes(entry.path.read_bytes()) == entry.sha256
        if answered:
            _look(data, scenario)
        elif scenario == "merge":
            for n in range(NUMBER):  # what was there before is not lost
                assert data.artifact_path(sha256_bytes(_text(n, 1).encode())).read_text() == _text(n, 1)
        _act(data, folder, scenario)  # whoever comes after finishes or repeats what the dead one began
        _look(data, scenario)
        left = _visible(workspace / "data" / ".incoming")
        assert left == [], left
    killed._make_again(workspace)


def _look(data: hmp_cache.InputsNamespace, scenario: str) -> None:
    found = {entry.name: entry for entry in data.find()}
    assert sorted(found) == [f"s{n}" for n in range(NUMBER)], found
    for n in range(NUMBER):
        versions = data.versions(found[f"s{n}"])
        assert [v.path.read_text() for v in versions] == [_text(n, v) for v in _expected(scenario)], versions
        assert [v.state for v in versions] == ["current", "superseded", "superseded"][: len(versions)], versions


def main(folder: Path, scenario: str, points: int) -> None:
    """Kill a process that stores many inputs together."""
    assert _in_child(lambda: _prepare(folder, scenario)) == 0
    killed.kill(
        folder,
        folder / "base",
        lambda data: _act(data, folder, scenario),
        lambda workspace, answered: _judge(workspace, folder, scenario, answered),
        points,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
