"""What the audit trail says of an event: who did what to which simulation, under one hash."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hmp_catalog.chain import content_hash
from hmp_catalog.plain import from_microseconds
from hmp_core.events import Event, Row

#: The version of an event of which a purge left only that it happened, and what it keeps then.
SCRUBBED = 0
KEPT = ("sim_id", "project", "on", "by")
#: Facts that have a column of their own, or are large and elsewhere.
_APART = {"about", "owner", "host", "by"}


def host_of(event: Event) -> str | None:
    """Return the machine that an event says it happened on."""
    owner = event.payload.get("owner")
    host = event.payload.get("host") or (owner.get("host") if isinstance(owner, dict) else None)
    return None if host is None else str(host)


def circumstances(project: Path, author: str) -> dict[str, Any]:
    """Return what an event on the trail says beside its facts: how its author is known, and the commit of the project.

    An author whom the operating system knows by that name is its user; another is a principal, whom ``HMP_USER`` or
    the authority of the workspace names.
    """
    from hmp_catalog.environment import commit_of, user_name

    said = {"kind": None if author == user_name() else "principal", "commit": commit_of(project)}
    by = {key: value for key, value in said.items() if value is not None}
    return {"by": by} if by else {}


def emptied(event: Event) -> Event:
    """Return what stays of an event in the log when its run is purged: that it happened, and on which machine."""
    said = {key: event.payload[key] for key in KEPT if key in event.payload}
    host = host_of(event)
    return replace(event, v=SCRUBBED, payload=said if host is None else said | {"host": host})


def audit_row(event: Event, project: Path, kind: str) -> Row:
    """Return the row of an event on the audit trail, where it is called ``kind``."""
    said, by = event.payload, event.payload.get("by") or {}
    values: dict[str, Any] = {
        "occurred_at": from_microseconds(event.at),
        "actor": event.author,
        "actor_kind": by.get("kind", "os_user"),
        "event_type": kind,
        "sim_id": said.get("sim_id"),
        "project": said.get("project", project.name),
        "payload": json.dumps({k: v for k, v in said.items() if k not in _APART}),
        "git_commit": by.get("commit"),
        "hostname": host_of(event),
    }
    if event.v == SCRUBBED:
        # what it said is gone, and its hash is in the chain alone
        return Row("audit_log", (str(event.id),), values | {"payload": None}, event.stamp())
    content = content_hash(values | {"event_id": str(event.id)})
    return Row("audit_log", (str(event.id),), values | {"content_sha256": content}, event.stamp())
