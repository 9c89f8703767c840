"""The index beside a dictionary: whatever is made, moved, copied, removed, registered or forgotten, they agree."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

import hmp_index
from hmp_core.layout import init_project, init_workspace


class Machines(RuleBasedStateMachine):
    """``folders`` is what lies on the disk, ``lines`` what the index should know."""

    paths = Bundle("paths")

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.index = hmp_index.index(self.home / "state" / "index.duckdb")
        self.folders = {}
        self.lines = []
        self.count = 0

    def new_path(self):
        self.count += 1
        return self.home / f"w{self.count}"

    @initialize(target=paths)
    def begin(self):
        return multiple(self.make(), self.make())

    def make(self):
        path = self.new_path()
        root = init_workspace(path)
        project = init_project(path, "base").path
        self.make_catalog(project)
        self.folders[path] = (root.id, [])
        return path

    @rule(target=paths)
    def another(self):
        return self.make()

    @rule(path=paths)
    def record(self, path):
        if path in self.folders:
            self.count += 1
            self.put(path / "projects" / "base", self.make_sim(f"run {self.count}"))
            self.folders[path][1].append(f"run {self.count}")

    @rule(target=paths, path=paths)
    def copy(self, path):
        if path not in self.folders:
            return multiple()
        new = self.new_path()
        shutil.copytree(path, new)
        self.folders[new] = (self.folders[path][0], list(self.folders[path][1]))
        return new

    @rule(target=paths, path=consumes(paths))
    def move(self, path):
        if path not in self.folders:
            return multiple(path)
        new = self.new_path()
        path.rename(new)
        self.folders[new] = self.folders.pop(path)
        return multiple(new, path)

    @rule(path=paths)
    def remove(self, path):
        if path in self.folders:
            shutil.rmtree(path)
            del self.folders[path]

    @rule(path=paths, by=st.sampled_from([Path, str, Path.as_uri]))
    def register(self, path, by):
        if path not in self.folders:
            return
        self.index.register(by(path))
        own = self.folders[path][0]
        same = [line for line in self.lines if line["own"] == own]
        gone = [line for line in same if not self.holds(line)]
        if any(line["path"] == path for line in same):
            return
        if gone:
            gone[0]["path"] = path
        else:
            self.lines.append({"own": own, "path": path, "names": []})

    @rule(position=st.integers(0, 9))
    def forget(self, position):
        if self.lines:
            line = self.lines.pop(position % len(self.lines))
            assert self.index.forget(line["path"]).path == line["path"]

    def find_again(self):
        """What moved to one place, and is missed by one line, is known by its id."""
        missed = [line for line in self.lines if not self.holds(line)]
        taken = {line["path"] for line in self.lines}
        for line in missed:
            places = [path for path, (own, _) in self.folders.items() if own == line["own"] and path not in taken]
            if len(places) == 1 and [other["own"] for other in missed].count(line["own"]) == 1:
                line["path"] = places[0]

    @rule()
    def refresh(self):
        self.index.refresh()
        self.find_again()

    @rule()
    def prune(self):
        self.find_again()
        gone = {line["path"] for line in self.lines if not self.holds(line)}
        assert {one.path for one in self.index.prune()} == gone
        self.lines = [line for line in self.lines if line["path"] not in gone]

    @rule()
    def lose_the_database_of_what_is_in_reach(self):
        if all(self.holds(line) for line in self.lines):
            (self.home / "state" / "index.duckdb").unlink()

    @rule()
    def rebuild(self):
        self.index.rebuild()

    def holds(self, line):
        return self.folders.get(line["path"], (None,))[0] == line["own"]

    @invariant()
    def agrees(self):
        for line in self.lines:
            if self.holds(line):
                line["names"] = list(self.folders[line["path"]][1])
        expected = [(line["path"], "ok" if self.holds(line) else "unreachable") for line in self.lines]
        assert [(one.path, one.status) for one in self.index.workspaces()] == expected
        assert Counter(hit.name for hit in self.index.find()) == Counter(
            n for line in self.lines for n in line["names"]
        )
        assert bool(self.index.notice.skipped) == any(status != "ok" for _, status in expected)

    def teardown(self):
        self.index.close()
        shutil.rmtree(self.home)


@pytest.mark.parametrize("examples", [12, pytest.param(300, marks=pytest.mark.soak)])
def test_the_index_agrees_with_a_dictionary(library, make_sim, examples):
    """Every step is followed by a look."""

    class Here(Machines):
        make_catalog = staticmethod(library.catalog)
        put = staticmethod(library.put)

    Here.make_sim = staticmethod(make_sim)
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=20, deadline=None))
