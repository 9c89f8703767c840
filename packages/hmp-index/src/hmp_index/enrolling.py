"""How workspaces come onto the list, and stay on it: registered by hand, announced by whoever works in them, moved.

Everything here makes a new list from the present one; `Keeper` holds the lock meanwhile and writes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hmp_core.arrivals import Arrival
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.layout import WORKSPACE_MARKER, Root, read_root
from hmp_index import labels, roster, survey
from hmp_index.records import Skipped
from hmp_index.roster import Listed, Outcome
from hmp_index.scanning import Sought

_log = logging.getLogger(__name__)

#: What there is to say of how a workspace came onto the list.
REMARKS = {
    "moved": "was recognised as a workspace that lay elsewhere; its line has the new path",
    "copied": "is a copy of a registered workspace; it has an id of its own here, and its simulations are listed twice",
}


@dataclass(slots=True)
class Enrolled:
    """The list after some workspaces were put on it, and what there is to say."""

    listed: list[Listed]
    lines: list[Listed] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, root: Root, label: str | None = None) -> None:
        """Put a workspace on the list; without a label it goes by the one that it notes itself."""
        now = datetime.now(UTC).replace(tzinfo=None)
        self.listed, line, outcome = roster.enlist(self.listed, root, label, now, survey.holds)
        if label is None and (known := _known(line, outcome)) is not None:
            line = replace(line, label=known)
            self.listed = [line if one.id == line.id else one for one in self.listed]
        if outcome in REMARKS:
            self.remarks.append(f"{line.path} {REMARKS[outcome]}")
        self.lines.append(line)

    def add_all(self, roots: Iterable[Root]) -> None:
        """Put workspaces on the list, in their order."""
        for root in roots:
            self.add(root)

    def relocate(self, line: Listed, root: Root) -> None:
        """Give a workspace that was found elsewhere its new path."""
        self.listed = roster.relocated(self.listed, line, root)
        self.lines.append(replace(line, path=root.path))
        self.remarks.append(f"{root.path} {REMARKS['moved']} (it was {line.path})")


def _known(line: Listed, outcome: Outcome) -> str | None:
    return labels.noted(line, copied=outcome == "copied") if outcome in {"registered", "copied"} else None


# ── announced ────────────────────────────────────────────────────────────────────────────────────────


def newcomers(arrived: Iterable[Arrival], listed: Sequence[Listed]) -> list[Root]:
    """Return the announced workspaces that the list does not have.

    A folder that is no workspace any more, as a temporary one, is passed over with a line in the log.
    """
    known = {(line.path, line.own_id) for line in listed}
    roots = (_announced(word) for word in arrived)
    return [root for root in roots if root is not None and (root.path, root.id) not in known]


def _announced(word: Arrival) -> Root | None:
    if word.path is None:
        return None
    try:
        str(word.path).encode()  # the list is text
        return read_root(word.path, WORKSPACE_MARKER)
    except (HmpError, UnicodeEncodeError) as error:
        _log.info("%r was announced and is passed over: %s", word.path, error)
        return None


def discard(words: Iterable[Arrival]) -> None:
    """Take word away that was heard; where that is not possible it is heard again, which changes nothing."""
    for word in words:
        try:
            word.file.unlink(missing_ok=True)
        except OSError as error:
            _log.info("%s stays: %s", word.file, error)


def not_yet(roots: Iterable[Root], why: str) -> list[Skipped]:
    """Return what an answer lacks that was given before announced workspaces came onto the list."""
    detail = f"announced by whoever works in it, but not on the list yet: {why}"
    return [Skipped(root.name, "", root.path, "pending", detail) for root in roots]


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────


def readable(places: Iterable[Path]) -> tuple[list[Root], list[Skipped]]:
    """Return the workspaces at some places, and why there is none where there is none."""
    roots, skipped = list[Root](), list[Skipped]()
    for place in places:
        try:
            root = read_root(place, WORKSPACE_MARKER)
            str(root.path).encode()
        except UnicodeEncodeError:
            skipped.append(Skipped(repr(place.name), "", place, "unreachable", "its path cannot be kept as text"))
        except HmpError as error:
            skipped.append(Skipped(place.name, "", place, "unreachable", str(error)))
        else:
            roots.append(root)
    return roots, skipped


# ── moved ────────────────────────────────────────────────────────────────────────────────────────────


def settle_moves(listed: list[Listed], lost: Sequence[Listed], sought: Sought) -> Enrolled:
    """Return the list with the new places of workspaces that are gone from theirs, as far as there is no doubt."""
    after = Enrolled(listed)
    taken = {line.path for line in listed if line not in lost}  # two may have swapped their names
    for line in lost:
        if line not in listed:
            continue  # somebody else was here
        rivals = [one for one in lost if one.own_id == line.own_id]
        places = [root for root in sought.found.get(line.own_id, ()) if root.path not in taken]
        if len(places) == 1 and len(rivals) == 1:
            try:
                after.relocate(line, places[0])
            except InvalidInput as error:
                _log.info("%s: %s", line.path, error)
        elif places:
            named = ", ".join(str(root.path) for root in places)
            after.remarks.append(
                f"{line.label} is gone from {line.path} and may be at {named}: say where with `hmp index relocate`"
            )
    return after
