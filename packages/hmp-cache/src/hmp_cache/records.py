"""What goes through the door of the cache: plain, frozen, comparable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from hmp_cache import formats, tabular
from hmp_cache.addresses import public
from hmp_cache.errors import ArtifactGone
from hmp_cache.signature import Bytes, Signature
from hmp_core.databases import Database
from hmp_core.errors import CorruptError, HmpError, MissingPart, PathEscape
from hmp_core.layout import cache_path
from hmp_core.paths import from_relative

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hmp_core.protocols import AuthBackend

#: Where superseded versions lie, relative to the workspace; see `hmp_cache.shelf`.
_VERSIONS = "data/.versions"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of an input: what it is, and which bytes.

    Two entries are equal if they say the same, also in two copies of a workspace. An entry pickles.

    Examples
    --------
    >>> import tempfile, hmp_cache
    >>> workspace = Path(tempfile.mkdtemp())
    >>> _ = (workspace / "q.csv").write_text("time,discharge\\n2001-01-01,1.4\\n")
    >>> data = hmp_cache.open(workspace, create=True)
    >>> entry = data.add(workspace / "q.csv", variable="discharge", station="outlet", unit="m3 s-1")
    >>> entry.relative_path, entry.read_table().num_rows
    ('data/discharge/custom/q.csv', 1)
    """

    id: UUID
    #: what people call it; two entries may share it
    name: str
    variable: str
    source: str
    station_id: str | None
    #: xmin, ymin, xmax, ymax
    bbox: tuple[float, float, float, float] | None
    crs: str | None
    #: first and last moment, as stated, else as found in the data; UTC without a zone
    period: tuple[datetime | None, datetime | None] | None
    frequency: str | None
    unit: str | None
    #: of these bytes
    sha256: str
    #: bytes
    size: int
    #: where these bytes lie, POSIX, relative to the workspace
    relative_path: str
    artifact_id: UUID
    #: current, superseded, purged, missing; after `check` also modified
    state: str
    #: when the entry came to be, and this version of it; UTC without a zone
    created_at: datetime
    stored_at: datetime
    #: the user's own file
    is_custom: bool = True
    source_unit: str | None = None
    #: where the bytes came from
    uri: str | None = None
    license: str | None = None
    media_type: str | None = None
    #: the workspace at hand; no part of what an entry says
    workspace: Path = field(default=Path(), compare=False, repr=False)
    #: how the file of the current version looks from outside: tells at a glance whether it is this version
    signature: Signature = field(default=Signature(0, 0.0), compare=False, repr=False)
    #: who was given at the door; None where the workspace or the environment names the authority
    auth: AuthBackend | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """Where these bytes lie on this machine, also after a newer version took their place."""
        where = from_relative(self.relative_path, self.workspace)
        return self._kept if self._kept.exists() and not self._bytes.unchanged(where) else where

    @property
    def _kept(self) -> Path:
        """Where these bytes lie once they are superseded."""
        return from_relative(f"{_VERSIONS}/{self.sha256}", self.workspace)

    @property
    def _bytes(self) -> Bytes:
        return Bytes(self.sha256, replace(self.signature, size=self.size))

    def open(self, *, verify: str = "quick") -> BinaryIO:
        """Return the bytes of this version as an open binary file.

        Parameters
        ----------
        verify
            "full": read them all first; by default the size alone is looked at.

        Raises
        ------
        ArtifactGone
            If they are not here any more (a ``FileNotFoundError``).
        CorruptError
            If the file has another size than what was registered; with "full", other bytes.
        AccessDenied
            If the user may not read the cache any more.
        """
        Database("cache", cache_path(self.workspace)).authorize("read", self.auth)
        if self.state == "purged":
            raise self._gone()
        file = self._opened()
        if not self._bytes.signature.fits(os.fstat(file.fileno())) and self._kept.exists():
            # a newer version came between looking and opening: what was kept is ours
            file.close()
            file = self._opened()
        found = os.fstat(file.fileno()).st_size
        if found != self.size:
            file.close()
            message = f"{self.relative_path} has {found} bytes, {self.size} were registered; add or fetch it again"
            raise CorruptError(message, path=str(self.path))
        if verify == "full":
            self._require_same(file)
        return file

    def _require_same(self, file: BinaryIO) -> None:
        digest = hashlib.sha256()
        while block := file.read(_CHUNK):
            digest.update(block)
        found = digest.hexdigest()
        file.seek(0)
        if found != self.sha256:
            file.close()
            message = (
                f"{self.relative_path} has SHA-256 {found}, {self.sha256} was registered; "
                f"`hmp data restore --full {self.sha256}` brings those bytes back"
            )
            raise CorruptError(message, path=str(self.path))

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise self._gone() from None

    def _gone(self) -> ArtifactGone:
        how = "were purged" if self.state == "purged" else "are gone"
        message = (
            f"{self.relative_path}: the bytes of this version of {self.name} ({self.sha256[:12]}) {how}; "
            f"`hmp data restore {self.sha256}` brings them back, or add or fetch them again"
        )
        return ArtifactGone(message, path=self.relative_path, sha256=self.sha256)

    def read_table(self) -> pa.Table:
        """Return the rows of a CSV or Parquet file; the time column of a CSV file as timestamps.

        Raises
        ------
        InvalidInput
            If it is neither.
        ArtifactGone
            If the bytes are not here any more.
        """
        self.open().close()
        return tabular.read(self.path, suffix=formats.suffix_of(self.media_type))

    def read_frame(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame, indexed by the time column if there is one.

        Raises
        ------
        MissingPart
            If pandas is not installed.
        """
        table = self.read_table()
        frame = to_frame(table)
        name = tabular.time_column(table)
        return frame if name is None else frame.set_index(name)

    def used_by(self, **options: Any) -> Any:
        """Return the simulations that consumed this input (see `hydromodpy`).

        Raises
        ------
        MissingPart
            If the umbrella, which knows both sides, is not installed.
        """
        from importlib.metadata import entry_points

        for point in entry_points(group="hmp.bridge", name="used_by"):
            return point.load()(self, **options)
        message = "which simulations used an input is known to the umbrella alone: install hmp-hydromodpy"
        raise MissingPart(message, install="hmp-hydromodpy")

    def as_dict(self) -> dict[str, Any]:
        """Return what the entry says as plain values, for JSON."""
        moments = None if self.period is None else [m.isoformat() if m else None for m in self.period]
        plain = {name: getattr(self, name) for name in _SHOWN}
        try:
            where = str(self.path)
        except PathEscape:  # a link leads out of the workspace: what lies there is not told
            where = None
        return plain | {
            "id": str(self.id),
            "artifact_id": str(self.artifact_id),
            "bbox": list(self.bbox) if self.bbox else None,
            "period": moments,
            "created_at": self.created_at.isoformat(),
            "stored_at": self.stored_at.isoformat(),
            "path": where,
        }


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one of several requests: an entry, or an error."""

    request: Mapping[str, Any]
    entry: Entry | None = None
    error: HmpError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON; of the request what may be shown."""
        asked = {key: public(str(value)) if key == "uri" else value for key, value in self.request.items()}
        error = None
        if self.error is not None:
            error = {"type": type(self.error).__name__, "message": str(self.error)}
            error |= {key: getattr(self.error, key) for key in ("reason", "status") if hasattr(self.error, key)}
            moment = getattr(self.error, "next_retry", None)
            error |= {"next_retry": moment.isoformat()} if moment else {}
        return {"request": asked, "entry": self.entry.as_dict() if self.entry else None, "error": error}


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a pandas DataFrame.

    Raises
    ------
    MissingPart
        If pandas is not installed.
    """
    if find_spec("pandas") is None:
        message = "a frame is a pandas DataFrame: install hmp-cache[frame], or use the Arrow table"
        raise MissingPart(message, install="hmp-cache[frame]")
    return table.to_pandas()


_SHOWN = tuple(name for name in Entry.__dataclass_fields__ if name not in {"workspace", "signature", "auth"})
