"""Files that a run keeps a copy of, under ``artifacts/`` in its folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hmp_catalog.plain import word
from hmp_catalog.records import FileRecord
from hmp_core.durable import translated
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.identity import refuse_database, sha256_file
from hmp_core.paths import to_local


def keep(folder: Path, path: Any, name: str | None) -> FileRecord:
    """Copy a file into a run folder, flushed to disk; see `Recorder.artifact`."""
    source = to_local(path)
    if not source.is_file():
        message = f"{source}: no such file"
        raise PathNotFound(message, path=str(source))
    refuse_database(source)
    home = folder / "artifacts"
    target = home / word(source.name if name is None else name, "name of the artifact")
    if target.parent != home or target.name in {"", ".", ".."} or target.exists():
        message = f"artifact {target.name!r} is not a plain new file name of this run"
        raise InvalidInput(message)
    with translated(target):
        home.mkdir(exist_ok=True)
        try:
            _copy(source, target)
        except BaseException:
            target.unlink(missing_ok=True)  # half a copy is none
            raise
    relative = target.relative_to(folder).as_posix()
    return FileRecord(relative, target.stat().st_size, sha256_file(target), "artifact")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
