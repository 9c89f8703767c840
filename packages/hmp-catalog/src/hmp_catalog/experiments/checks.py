"""What `hmp doctor` and `hmp db verify` ask of an experiments store: do rows, files and journals tell the same?"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hmp_catalog.experiments import settling
from hmp_catalog.experiments.journal import CLOSED, Journals
from hmp_catalog.experiments.schema import ARTIFACTS, INTERRUPTED, STATUSES
from hmp_core.doctor import Case, Checks, Code, Finding, Relation, Vocabulary, codes
from hmp_core.doctor.findings import many, some
from hmp_core.errors import PathEscape
from hmp_core.events.record import decode, is_torn
from hmp_core.identity import sha256_file
from hmp_core.paths import from_relative
from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements

_SQL = load_statements("hmp_catalog.experiments", "checks")

LOST = Code(
    "artifact-lost",
    "error",
    "The file of a fitted object is not there: chains that name it cannot be replayed.",
    "put it back from a backup, or save the same object again: the same bytes have the same place",
)
DAMAGED = Code(
    "artifact-damaged",
    "error",
    "The file of a fitted object has another size, or other bytes, than when it was saved.",
    "put it back from a backup; it is never unpickled as it is",
)
STRAY = Code(
    "artifact-stray",
    "info",
    "A file lies among the fitted objects that no row and no journal speaks of.",
    "nothing reads it: move it away",
)
OUTSIDE = Code(
    "artifact-outside",
    "error",
    "A row names a file of a fitted object that would lie outside its folder.",
    "bring the store back from a backup: `hmp db restore`",
)
MISCOUNTED = Code(
    "references-differ",
    "error",
    "What is counted of the chains that name a fitted object is not what they name.",
    "`hmp experiment gc` must not run before it is mended: bring the store back with `hmp db restore`",
)
PENDING = Code(
    "journal-pending",
    "info",
    "Entries of writers are not in the tables yet.",
    "nothing: who reads next puts them there, as does `hmp experiment ls`",
)
SPOILT = Code(
    "journal-damaged",
    "error",
    "A journal of a writer holds bytes that are no entry: their checksum or length is wrong.",
    "what is readable of it is settled, and the rest set aside; compare it with what the training should have kept",
)
INTERRUPTED_RUNS = Code(
    "training-interrupted",
    "info",
    "Runs whose process ended without a word.",
    "nothing: they stay listed as interrupted; train again, or complete them",
)

#: Seconds within which a file may be one that is just being saved.
_BEING_SAVED = 120.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An artefact as the store has it."""

    artifact_id: str
    path: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"{self.artifact_id[:8]} ({self.path})"


@dataclass(frozen=True, slots=True)
class Told:
    """What a store says."""

    artifacts: Sequence[Kept]
    positions: Mapping[str, int]
    #: what is wrong with what chains name, a line each
    miscounted: Sequence[str]
    interrupted: Sequence[str]


def ask(backend: CatalogBackend) -> Told:
    """Return what the files are compared with."""
    return Told(
        [Kept(*row) for row in backend.fetch_all(_SQL["artifacts"].sql)],
        dict(backend.fetch_all(settling.SQL["positions"])),
        [f"{what} {name}" for what, name in backend.fetch_all(_SQL["miscounted"].sql)],
        [run_id[:8] for (run_id,) in backend.fetch_all(_SQL["interrupted"].sql, [INTERRUPTED])],
    )


def look(case: Case, told: Told | None) -> Iterator[Finding]:
    """Yield where rows, files and journals do not tell the same; files are looked at by size alone."""
    saved = list(_journals(case, told))
    yield from (each for each in saved if isinstance(each, Finding))
    if told is None:
        return
    if told.interrupted:
        yield case.finding(INTERRUPTED_RUNS, f"{many(len(told.interrupted), 'run')}: {some(told.interrupted)}")
    if told.miscounted:
        yield case.finding(MISCOUNTED, some(told.miscounted))
    yield from _files(case, told.artifacts, deep=False)
    named = {kept.path for kept in told.artifacts} | {each for each in saved if isinstance(each, str)}
    yield from _strays(case, named)


def deep(case: Case, told: Told | None) -> Iterator[Finding]:
    """Yield what `look` does, with every artefact hashed."""
    if told is not None:
        yield from _files(case, told.artifacts, deep=True)


# ── journals ─────────────────────────────────────────────────────────────────────────────────────────


def _journals(case: Case, told: Told | None) -> Iterator[Finding | str]:
    """Yield what is to be said of the journals, and the paths of the artefacts that they speak of."""
    pending = 0
    for path in Journals(case.path).paths():
        try:
            lines = list(decode(path.read_bytes()))
        except FileNotFoundError:  # settled and removed meanwhile
            continue
        if lines and (is_torn(lines[-1]) or lines[-1].event is None):
            lines.pop()  # under way, or never acknowledged
        known = told.positions.get(path.name, 0) if told is not None else 0
        for line in lines:
            if line.event is None:
                yield case.finding(SPOILT, f"{len(line.raw)} bytes at {line.start}", path)
                continue
            pending += line.end > known and line.event.kind != CLOSED
            if "artifact_path" in line.event.payload:
                yield str(line.event.payload["artifact_path"])
    if pending:
        yield case.finding(PENDING, f"entries that wait: {pending}", Journals(case.path).folder)
    kept = sorted((case.internal / "rejected").glob("*.raw"))
    if kept:
        yield case.finding(
            codes.REJECTED, f"{many(len(kept), 'piece')} set aside: {some(p.name for p in kept)}", kept[0]
        )


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


def _files(case: Case, artifacts: Sequence[Kept], *, deep: bool) -> Iterator[Finding]:
    home = case.home / ARTIFACTS
    lost, damaged = list[Kept](), list[Kept]()
    for kept in artifacts:
        try:
            path = from_relative(kept.path, home)
            found = os.stat(path)
        except PathEscape as error:
            yield case.finding(OUTSIDE, str(error), home)
        except (FileNotFoundError, NotADirectoryError):
            lost.append(kept)
        else:
            if found.st_size != kept.size or (deep and sha256_file(path) != kept.sha256):
                damaged.append(kept)
    if lost:
        yield case.finding(LOST, f"{many(len(lost), 'file')} not there: {some(lost)}", home / lost[0].path)
    if damaged:
        what = f"not as saved: {some(damaged)}"
        yield case.finding(DAMAGED, what, home / damaged[0].path)


def _strays(case: Case, named: Collection[str]) -> Iterator[Finding]:
    home = case.home / ARTIFACTS
    strange = [
        path
        for path in sorted(home.glob("*/*"))
        if path.relative_to(home).as_posix() not in named and _age(path) > _BEING_SAVED
    ]
    if strange:
        yield case.finding(STRAY, f"no row names {some(path.relative_to(home) for path in strange)}", strange[0])


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


CHECKS = Checks(
    component="experiments",
    codes=(LOST, DAMAGED, STRAY, OUTSIDE, MISCOUNTED, PENDING, SPOILT, INTERRUPTED_RUNS),
    relations=(
        Relation("pipelines.run_id", "runs.run_id"),
        Relation("chains.pipeline_id", "pipelines.pipeline_id"),
        Relation("predictions.pipeline_id", "pipelines.pipeline_id"),
        Relation("predictions.chain_id", "chains.chain_id"),
        Relation("prediction_arrays.prediction_id", "predictions.prediction_id"),
        Relation("logs.pipeline_id", "pipelines.pipeline_id"),
    ),
    vocabularies=(
        Vocabulary("runs.status", STATUSES),
        Vocabulary("pipelines.status", STATUSES),
        Vocabulary("chains.fold_strategy", frozenset({"per_fold", "shared"})),
        Vocabulary("artifacts.format", frozenset({"joblib", "pickle", "cloudpickle"})),
    ),
    outside={
        "runs.run_id": "its own key",
        "pipelines.pipeline_id": "its own key",
        "chains.chain_id": "its own key",
        "predictions.prediction_id": "its own key",
        "predictions.fold_id": "a fold of the pipeline, `avg` or `final`",
        "predictions.branch_id": "a branch of the pipeline",
        "artifacts.artifact_id": "its own key: it follows from the content",
        "logs.log_id": "its own key",
    },
    ask=ask,
    look=look,
    deep=deep,
    remains=lambda case: [path for path in Journals(case.path).paths() if path.stat().st_size],
)
