"""The inputs of a workspace and a dictionary, side by side."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

import hmp_cache
from hmp_core.identity import sha256_bytes

stations = st.sampled_from(["a", "b", "c"])
contents = st.integers(0, 4).map(lambda n: f"time,discharge\n2001-01-01,{n}\n".encode())
file_names = st.sampled_from(["q.csv", "r.csv"])


class Inputs(RuleBasedStateMachine):
    """What is added, harmed, checked and rebuilt; the dictionary knows what there must be."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hmp-model-"))
        self.data = hmp_cache.open(self.folder / "ws", create=True)
        self.current: dict[UUID, bytes] = {}
        self.ever: dict[UUID, set[bytes]] = {}
        self.state: dict[UUID, str] = {}
        #: bytes that were overwritten before they were kept
        self.lost: set[tuple[UUID, bytes]] = set()

    entries = Bundle("entries")

    @rule(target=entries, station=stations, content=contents, name=file_names)
    def add(self, station: str, content: bytes, name: str) -> UUID:
        (self.folder / name).write_bytes(content)
        entry = self.data.add(self.folder / name, variable="discharge", station=station, unit="m3 s-1")
        former = self.current.get(entry.id)
        if former is not None and former != content and self.state[entry.id] != "current":
            self.lost.add((entry.id, former))
        self.lost.discard((entry.id, content))
        self.current[entry.id] = content
        self.ever.setdefault(entry.id, set()).add(content)
        self.state[entry.id] = "current"
        assert entry.sha256 == sha256_bytes(content)
        return entry.id

    @rule(identity=entries)
    def remove_the_file(self, identity: UUID) -> None:
        (self.folder / "ws" / self.data[identity].relative_path).unlink(missing_ok=True)
        self.state[identity] = "missing"

    @rule(identity=entries)
    def change_the_file(self, identity: UUID) -> None:
        path = self.folder / "ws" / self.data[identity].relative_path
        if self.state[identity] != "missing":
            path.unlink()  # a user's editor writes a new file; what is linked elsewhere stays
            path.write_bytes(b"something else altogether")
            self.state[identity] = "modified"

    @rule()
    def rebuild(self) -> None:
        assert not self.data.rebuild()

    @rule()
    def open_again(self) -> None:
        self.data.close()
        self.data = hmp_cache.open(self.folder / "ws")

    @rule()
    def lose_the_database(self) -> None:
        self.data.close()
        (self.folder / "ws" / "data" / "cache.duckdb").unlink()
        self.data = hmp_cache.open(self.folder / "ws")

    @invariant()
    def there_is_what_there_must_be(self) -> None:
        found = self.data.check()
        assert {e.id: e.sha256 for e in found} == {i: sha256_bytes(c) for i, c in self.current.items()}
        assert {e.id: e.state for e in found} == self.state

    @invariant()
    def every_version_is_reachable_unless_it_was_harmed(self) -> None:
        kept = {content for identity in self.ever for content in self._reachable(identity)}
        for identity, contents_ in self.ever.items():
            versions = {v.sha256: v for v in self.data.versions(identity)}
            assert versions.keys() == {sha256_bytes(c) for c in contents_}
            for content in self._reachable(identity):
                with versions[sha256_bytes(content)].open() as file:
                    assert file.read() == content
        for content in kept:
            assert self.data.artifact_path(sha256_bytes(content)).read_bytes() == content

    def _reachable(self, identity: UUID) -> set[bytes]:
        """Return the versions that must be there: not those whose file was harmed while they were current."""
        gone = {c for i, c in self.lost if i == identity}
        if self.state[identity] != "current":
            gone.add(self.current[identity])
        return self.ever[identity] - gone

    def teardown(self) -> None:
        self.data.close()
        shutil.rmtree(self.folder)


TestInputs = Inputs.TestCase
TestInputs.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
