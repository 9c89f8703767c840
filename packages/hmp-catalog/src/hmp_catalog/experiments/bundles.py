"""Chains carried away: ``.n4a`` bundles and ``.n4a.py`` scripts, which predict without the store they come from.

A bundle is a ZIP (see `archives`) of a manifest, the record of the chain, and its artefacts, named by their content;
a script is one Python file (see `script`). The same chain gives the same bytes.

A bundle is code: its artefacts are pickles, and to unpickle is to execute. Hashes show that a bundle is as it was
exported, not that whoever exported it meant well: predict only with bundles that you trust.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hmp_catalog.errors import ArtifactDamaged
from hmp_catalog.experiments import archives, artifacts, provenance, script
from hmp_catalog.experiments.chains import artifacts_of
from hmp_catalog.experiments.replaying import replay
from hmp_catalog.plain import plain
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import CorruptError, InvalidInput, MissingPart
from hmp_core.paths import to_local

BUNDLE, SCRIPT = "n4a", "n4a.py"
FORMATS = (BUNDLE, SCRIPT)

#: What reads an artefact: id -> its row in the store (``content_hash``, ``operator_class``, ``artifact_type``,
#: ``format``), and its bytes.
Read = Callable[[str], tuple[Mapping[str, Any], bytes]]


@dataclass(frozen=True)
class _Artifact:
    """An artefact as it is exported."""

    artifact_id: str
    said: Mapping[str, Any]
    data: bytes
    sha256: str

    @property
    def file(self) -> str:
        return archives.place(self.sha256, self.said["format"])

    def row(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        told = {key: self.said.get(key) for key in ("operator_class", "artifact_type", "format")}
        return {"file": self.file, **plain(told, f"artefact {self.artifact_id}")}


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────


def write(
    chain: Mapping[str, Any],
    read_artifact: Read,
    path: str | Path,
    format: str = BUNDLE,  # noqa: A002 - the word of the doors
    *,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Export a chain with all its artefacts as one file, whole or not at all; a file in its place is replaced.

    Parameters
    ----------
    chain : mapping
        The record of the chain, as `WorkspaceStore.get_chain` gives it.
    read_artifact : callable
        Returns the row of an artefact and its bytes, and raises if they are lost or damaged.
    path : Path
        Where to; ``.n4a``, or ``.n4a.py`` if it is no ``.py``, is added where it is missing, and folders are made.
    format : {"n4a", "n4a.py"}, default "n4a"
        A bundle for `predict` and `Bundle`, or a script that needs no hmp.
    origin : mapping, optional
        What is known of where it was trained: see `provenance.ORIGIN`.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    InvalidInput
        For another format, or a chain or an artefact that cannot be exported.
    NotWritable, StorageError
        If it cannot be written; nothing is left behind.
    """
    target = _target(path, format)
    kept = plain(chain, "chain")
    told = provenance.manifest(kept, origin or {}, archives.VERSION)
    write_to = _write_bundle if format == BUNDLE else _write_script
    make_folder(target.parent)
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(target):
        try:
            with beside.open("xb") as file:
                write_to(file, target.name, told, kept, read_artifact)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
            fsync_folder(target.parent)
        finally:
            beside.unlink(missing_ok=True)
    return target


def _target(path: str | Path, format: str) -> Path:  # noqa: A002 - the word of the doors
    if format not in FORMATS:
        message = f"format is {format!r}, expected {' or '.join(map(repr, FORMATS))}"
        raise InvalidInput(message)
    target = to_local(path)
    if not target.name or target.name == "..":
        message = f"{str(path)!r} names no file to export to"
        raise InvalidInput(message)
    if format == BUNDLE and target.name.endswith(f".{SCRIPT}"):
        message = f"{target} is the name of a script, and a bundle was asked for; say format={SCRIPT!r}"
        raise InvalidInput(message)
    # a script is a script by any name that ends as one
    if target.name.endswith(f".{format}" if format == BUNDLE else ".py"):
        return target
    return target.with_name(f"{target.name.removesuffix(f'.{BUNDLE}')}.{format}")


def _exported(chain: Mapping[str, Any], read: Read) -> Iterator[_Artifact]:
    """Yield the artefacts of a chain, each read when it is asked for."""
    for artifact_id in dict.fromkeys(artifacts_of(chain)):
        said, data = read(artifact_id)
        sha256 = hashlib.sha256(data).hexdigest()
        if said.get("format") not in artifacts.EXTENSIONS:
            message = (
                f"artefact {artifact_id} is kept as {said.get('format')!r}, expected {', '.join(artifacts.EXTENSIONS)}"
            )
            raise InvalidInput(message)
        if sha256 != said.get("content_hash", sha256):
            message = f"artefact {artifact_id} has other bytes than were saved; restore it before it is exported"
            raise ArtifactDamaged(message, path=artifact_id, artifact_id=artifact_id)
        yield _Artifact(artifact_id, said, data, sha256)


def _write_bundle(file: BinaryIO, _: str, told: dict[str, Any], chain: dict[str, Any], read: Read) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        files, rows = {}, {}
        for one in _exported(chain, read):
            rows[one.artifact_id] = one.row()
            if one.file not in files:
                files[one.file] = archives.put(archive, one.file, one.data)
        files[archives.CHAIN] = archives.put(archive, archives.CHAIN, archives.document(chain))
        archives.put(archive, archives.MANIFEST, archives.document(told | {"artifacts": rows, "files": files}))


def _write_script(file: BinaryIO, name: str, told: dict[str, Any], chain: dict[str, Any], read: Read) -> None:
    embedded = (script.Embedded(one.artifact_id, one.said["format"], one.data) for one in _exported(chain, read))
    for piece in script.pieces(name, told, chain, embedded):
        file.write(piece.encode())


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────


class Bundle:
    """A chain in a ``.n4a`` file, ready to predict.

    A bundle is code that is executed when it predicts: open only what you trust. What it was when it was exported it is
    still: every byte is held to its SHA-256 when the bundle is opened, and again before anything is unpickled.

    Parameters
    ----------
    path : Path
        The file; `Bundle.open` checks it.
    manifest, chain : mapping
        What it says.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], chain: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.chain = chain
        self._loaded: dict[str, object] = {}

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Return a bundle, all of which has been checked and nothing unpickled.

        Raises
        ------
        PathNotFound
            If there is no such file.
        ArchiveInvalid
            If it is no bundle, damaged, cut short, or holds more or less than its manifest says.
        SchemaTooNewError
            If a newer hmp wrote it.
        """
        place = to_local(path)
        with archives.opened(place) as archive:
            manifest, chain = archives.checked(archive, place)
        return cls(place, manifest, chain)

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, model_class={self.manifest.get('model_class')!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Bundle.open, (self.path,))

    def predict(self, X: Any, wavelengths: Any = None) -> Any:  # noqa: N803 - the word of the field
        """Return what the chain predicts; the same numbers as in the store it comes from, to the last bit.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The samples, or a list of such where the chain has several sources; it is not changed.
        wavelengths : array of shape (n_features,), optional
            For transformers that ask for them.

        Returns
        -------
        numpy.ndarray
            In the units of the targets, or labels; one a sample, or a row a sample where there are several targets.

        Raises
        ------
        ReplayError
            If the chain cannot be replayed as it was trained.
        ArchiveInvalid
            If the file was changed since it was opened.
        MissingPart, CorruptError
            If a package of its estimators is not installed, or one of a version that cannot read them.
        """
        return replay(self.chain, self.load, X, wavelengths=wavelengths)

    def load(self, artifact_id: str) -> object:
        """Return a fitted object of the chain; see `predict` for what may be raised."""
        if artifact_id not in self._loaded:
            self._loaded[artifact_id] = self._unpickled(artifact_id)
        return self._loaded[artifact_id]

    def _unpickled(self, artifact_id: str) -> object:
        row = self.manifest["artifacts"].get(artifact_id)
        if row is None:
            raise archives.invalid(self.path, f"it has no artefact {artifact_id!r:.80}")
        with archives.opened(self.path) as archive:
            data = archive.read(row["file"])
        if hashlib.sha256(data).hexdigest() != self.manifest["files"][row["file"]]["sha256"]:
            raise archives.invalid(self.path, "it was changed since it was opened")
        try:
            return artifacts.load(data, row["format"])
        except (MissingPart, CorruptError) as error:
            exported_with = ", ".join(f"{name} {version}" for name, version in self.manifest["versions"].items())
            error.message = f"{self.path}: {error.message}; it was exported with {exported_with}"
            raise
