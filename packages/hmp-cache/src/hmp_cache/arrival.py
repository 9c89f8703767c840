"""Something that arrives: what it is said to be, how it was obtained, and what will be recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from hmp_cache import formats
from hmp_cache.backoff import Setback, next_retry
from hmp_cache.incoming import Staged
from hmp_cache.labels import Label, artifact_id
from hmp_cache.ledger import Known
from hmp_cache.signature import Signature
from hmp_cache.validation import Report, validate
from hmp_core.identity import sha256_bytes

_TOOL = "hmp-cache"

#: How many names of columns are kept of a wide table: an event is small.
_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival.

    Parameters
    ----------
    label
        What it is said to be.
    file_name
        What the file is called where it comes from.
    stand_in
        What stands in for the place where the label has neither place nor name.
    uri
        Where it comes from: a URI, or a path relative to the workspace.
    is_custom
        The user's own file.
    """

    label: Label
    file_name: str
    stand_in: str
    uri: str | None = None
    is_custom: bool = True
    request: dict[str, Any] | None = None
    etag: str | None = None
    last_modified: str | None = None
    license: str | None = None
    fetched_at: str | None = None
    metadata: dict[str, Any] | None = None
    #: fetches in a row that failed before this one; None where nobody need wait after a failure
    failures: int | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))

    @property
    def entry_id(self) -> UUID:
        """The input that it is a version of."""
        return self.label.entry_id(self.stand_in)

    @property
    def suffix(self) -> str:
        """What the file is said to be, as ".csv"."""
        return PurePath(self.file_name).suffix

    def judged(self, path: Path) -> Report:
        """Hold a file that it brings to the contract of its variable."""
        label, suffix = self.label, self.suffix
        return validate(path, suffix=suffix, variable=label.variable, unit=label.unit, frequency=label.frequency)

    def artifact(self, staged: Staged, path: str, *, in_place: bool) -> dict[str, Any]:
        """Return the facts of the bytes that arrived, which go to ``path``."""
        derived = "derived" if self.label.parents else None
        return {
            "id": str(artifact_id(self.entry_id, staged.sha256)),
            "type": derived or ("custom" if self.is_custom else "download"),
            "sha256": staged.sha256,
            "size": staged.size,
            **Signature.of(staged.path.stat()).as_dict(),
            "path": path,
            "media_type": formats.media_type(self.suffix),
            "in_place": in_place,
            "created_at": self.now.isoformat(),
        }

    def payload(self, artifact: dict[str, Any], report: Report, known: Known | None) -> dict[str, Any]:
        """Return what the event ``input.stored`` says."""
        first = known.sidecar.stored(artifact["sha256"]) if known else None
        return {
            "entry": self._entry(known),
            "artifact": artifact | ({"created_at": first["created_at"]} if first else {}),
            "superseded": _superseded(known, artifact),
            "data": {
                "date_start": report.date_start.isoformat() if report.date_start else None,
                "date_end": report.date_end.isoformat() if report.date_end else None,
                "n_records": report.n_records,
                "columns": list(report.columns[:_COLUMNS]) if report.columns else None,
                "metadata": self.metadata,
            },
            "provenance": self._provenance(),
            "validation": _verdict(report),
        }

    def rejection(self, staged: Staged, report: Report, kept: str) -> dict[str, Any]:
        """Return what the event ``input.rejected`` says."""
        listed = "; ".join(finding.message for finding in report.findings)
        request = {"path": kept, "sha256": staged.sha256, "size": staged.size}
        return {
            "entry": {"id": str(self.entry_id)},
            "failure": self.failure(self.setback("validation", listed, hopeless=True), request),
            "validation": _verdict(report),
        }

    def confirmation(self, known: Known) -> dict[str, Any]:
        """Return what the event ``input.confirmed`` says: upstream has the bytes that are there."""
        entry, artifact = known.newest.payload["entry"], known.artifact
        return {
            "entry": {name: entry[name] for name in ("id", "variable", "source", "name")},
            "artifact": {name: artifact[name] for name in ("id", "sha256", "path")},
            "provenance": self._provenance(),
        }

    def setback(
        self, reason: str, message: str, *, status: int | None = None, hopeless: bool, asked: float | None = None
    ) -> Setback:
        """Return a failure that ends a fetch, with the time from which on to try again."""
        if self.failures is None:
            return Setback(reason, message, status)
        attempts = self.failures + 1
        moment = datetime.now(UTC).replace(tzinfo=None)
        return Setback(reason, message, status, attempts, next_retry(attempts, moment, hopeless=hopeless, asked=asked))

    def failure(self, setback: Setback, request: dict[str, Any]) -> dict[str, Any]:
        """Return what is recorded of an attempt that failed."""
        return {
            "entry_id": str(self.entry_id),
            "variable": self.label.variable,
            "source": self.label.source,
            "source_ref": self.uri or self.file_name,
            "error_type": setback.reason,
            "message": setback.message,
            "status": setback.status,
            "attempts": setback.attempts,
            "next_retry": setback.next_retry.isoformat() if setback.next_retry else None,
            "request": request,
        }

    def _entry(self, known: Known | None) -> dict[str, Any]:
        label = self.label
        born = known.newest.payload["entry"]["created_at"] if known else self.now.isoformat()
        return {
            "id": str(self.entry_id),
            "name": label.called(self.file_name),
            "variable": label.variable,
            "source": label.source,
            "station_id": label.station,
            "bbox": list(label.bbox) if label.bbox else None,
            "crs": label.crs,
            "period": [m.isoformat() if m else None for m in label.period] if label.period else None,
            "frequency": label.frequency,
            "unit": label.unit,
            "source_unit": label.source_unit,
            "is_custom": self.is_custom,
            "created_at": born,
        }

    def _provenance(self) -> dict[str, Any]:
        label = self.label
        name, _, version = (label.tool or "").partition(" ")
        parents = [dict(parent) for parent in label.parents]
        hashes = "\n".join(sorted(parent["sha256"] for parent in parents))
        return {
            "uri": self.uri,
            "request": self.request,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "license": label.license or self.license,
            "fetched_at": self.fetched_at,
            "tool_name": name or _TOOL,
            "tool_version": version.strip() or (_own_version() if not name else None),
            "parents": parents or None,
            "input_hash": sha256_bytes(hashes.encode()) if parents else None,
            "parameters": dict(label.parameters) if label.parameters else None,
        }


def _superseded(known: Known | None, artifact: dict[str, Any]) -> dict[str, Any] | None:
    """Return the facts of the version that makes way, and where its bytes are kept."""
    if known is None or known.artifact["sha256"] == artifact["sha256"]:
        return None
    if known.sidecar.purged(known.artifact["id"]):
        return None  # it stays what it is: purged
    return dict(known.artifact) | {"path": f"data/.versions/{known.artifact['sha256']}"}


def _verdict(report: Report) -> dict[str, Any]:
    errors: list[dict[str, Any]] = [{"check": f.check, "message": f.message} for f in report.findings]
    errors += [{"check": f.check, "message": f.message, "remark": True} for f in report.remarks]
    return {"schema_name": report.schema_name, "passed": report.passed, "errors": errors}


def _own_version() -> str:
    from hmp_cache import __version__

    return __version__
