"""What the bridge answers with: inputs that runs consumed and what became of them, and runs that consumed inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

if TYPE_CHECKING:
    from hmp_cache import Entry

State = Literal["current", "superseded", "purged", "missing", "modified"]

T = TypeVar("T")


class Recorded(NamedTuple):
    """What a run recorded of an input that it consumed."""

    variable: str
    source: str
    sha256: str
    #: POSIX, relative to the workspace
    path: str
    #: None for a file that was no input of the cache
    entry_id: str | None = None
    artifact_id: str | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Consumed:
    """An input that a run consumed, and what has become of it."""

    variable: str
    source: str
    #: of the bytes that the run consumed
    sha256: str
    #: where they were, relative to the workspace
    path: str
    state: State
    #: the entry as the cache has it now; None for a plain file, or where the cache does not know it any more
    entry: Entry | None
    #: the version that the run consumed, as the cache has it: uri, license, size, where its bytes lie now
    version: Entry | None = None
    #: what the run recorded, which stays when the cache forgets
    entry_id: str | None = None
    artifact_id: str | None = None
    license: str | None = None


class Inputs(list[Consumed]):
    """What a run consumed; ``notice`` says what the answer of the cache lacks, and is empty where it is complete."""

    notice: str = ""


class InputsOfRuns(dict[str, Inputs]):
    """Run id -> what the run consumed; ``notice`` says what the answer lacks."""

    notice: str = ""


@dataclass(frozen=True, slots=True)
class Obtained:
    """How a version of an input was obtained, or confirmed; times are UTC without a zone."""

    uri: str | None
    request: Mapping[str, Any] | None
    license: str | None
    etag: str | None
    last_modified: str | None
    fetched_at: datetime | None
    tool_name: str | None
    tool_version: str | None
    parameters: Mapping[str, Any] | None
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Parent:
    """What a derived version says of one that it was made of; the cache may not know that one (any more)."""

    artifact_id: str
    sha256: str | None = None
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an input: what became of it, how it was obtained, and what it was made of."""

    entry: Entry
    state: State
    #: whether it is the version that the entry has now
    current: bool
    #: newest first; several where it was confirmed since
    obtained: tuple[Obtained, ...]
    parents: tuple[Parent, ...]

    @property
    def outdated(self) -> bool:
        """Whether there is something newer, or its file was changed: what was made of it should be made again."""
        return not self.current or self.state == "modified"


@dataclass(frozen=True, slots=True)
class Upstream:
    """All that a run, or an input, came from, as far as it is known."""

    #: what the run consumed, in the order of `hmp_catalog.Run.provenance`
    inputs: tuple[Consumed, ...]
    #: artifact id -> each version that was consumed, and each that one was made of, however far back
    versions: Mapping[str, Version]
    #: what the answer of the cache lacks; empty where it is complete
    notice: str = ""

    def of(self, consumed: Consumed) -> Version | None:
        """Return the version that an input was; None for a plain file, or where the cache does not know it."""
        return None if consumed.version is None else self.versions.get(str(consumed.version.artifact_id))

    def parents(self, version: Version) -> list[Version]:
        """Return the versions that one was made of, without those that the cache does not know."""
        return [self.versions[each.artifact_id] for each in version.parents if each.artifact_id in self.versions]

    def ancestors(self, version: Version) -> list[Version]:
        """Return the versions that one was made of, at first or second hand, the nearest first; each once."""
        found: dict[str, Version] = {}
        waiting = self.parents(version)
        for each in waiting:  # grows while it is gone through; no version comes twice, so that a circle ends
            if found.setdefault(str(each.entry.artifact_id), each) is each:
                waiting += [one for one in self.parents(each) if str(one.entry.artifact_id) not in found]
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Use:
    """A run that consumed an entry."""

    workspace: Path
    project: Path
    sim_id: str
    name: str | None
    status: str
    #: of the version that it consumed
    sha256: str
    #: whether that is the version that the entry has now
    current: bool


@dataclass(frozen=True, slots=True)
class Outdated:
    """A finished run whose inputs are no longer what they were."""

    workspace: Path
    project: Path
    sim_id: str
    name: str | None
    #: the inputs that are not current
    changed: tuple[Consumed, ...]
    #: inputs that are current, with the versions they were made of that are not
    outdated: tuple[tuple[Consumed, tuple[Version, ...]], ...] = ()

    @property
    def because(self) -> str:
        """Why, in words."""
        said = [f"{each.variable or each.path} is {each.state}" for each in self.changed]
        for each, made_of in self.outdated:
            said += [f"{each.variable or each.path} was made of {v.entry.name}, which is {v.state}" for v in made_of]
        return "; ".join(said)


class Answers(Sequence[T]):
    """What was found, and what could not be asked: place -> reason, in ``skipped``."""

    def __init__(self, found: Sequence[T], skipped: Mapping[str, str]) -> None:
        self._found = list(found)
        self.skipped = dict(skipped)

    def __repr__(self) -> str:
        asked = f", {len(self.skipped)} places could not be asked" if self.skipped else ""
        return f"<{type(self).__name__}: {len(self)} runs{asked}>"

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[T]:
        return iter(self._found)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._found[index]


class Uses(Answers[Use]):
    """The runs that consumed an entry, and the places that could not be asked, with the reason."""


class Stale(Answers[Outdated]):
    """The finished runs whose inputs have since changed, and the places that could not be asked, with the reason."""
