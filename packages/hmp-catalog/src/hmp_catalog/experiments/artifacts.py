"""Fitted objects as files: serialised, named by their content, written whole or not at all, checked when read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class Content:
    """An object as bytes."""

    data: bytes
    sha256: str
    extension: str


def serialised(obj: Any, format: str) -> Content:  # noqa: A002 - the word of the doors
    """Return an object as bytes."""
    raise NotImplementedError


def load(data: bytes, format: str) -> Any:  # noqa: A002 - the word of the doors
    """Return the object that was serialised."""
    raise NotImplementedError


class ArtifactFiles:
    """The files of a store's artefacts, under ``artifacts/`` in its folder."""

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def put(self, content: Content) -> str:
        """Keep the bytes of an object, not yet flushed, and return where, relative to ``artifacts/``."""
        raise NotImplementedError

    def sync(self) -> None:
        """Flush what was put and not yet flushed."""
        raise NotImplementedError

    def sync_these(self, relatives: Iterable[str]) -> None:
        """Flush these files, whoever put them."""
        raise NotImplementedError

    def read(self, relative: str, sha256: str, artifact_id: str) -> bytes:
        """Return the bytes of an artefact, checked."""
        raise NotImplementedError

    def path(self, relative: str) -> Path:
        """Return where the file of an artefact lies."""
        raise NotImplementedError

    def remove(self, relative: str) -> bool:
        """Remove a file, and its folder when that is empty; False if it was not there."""
        raise NotImplementedError

    def saving(self) -> AbstractContextManager[None]:
        """Keep `clearing` out for the block: from the look for a file until its journal entry."""
        raise NotImplementedError

    def clearing(self, timeout: float) -> AbstractContextManager[None]:
        """Keep everybody's `saving` out for the block."""
        raise NotImplementedError
