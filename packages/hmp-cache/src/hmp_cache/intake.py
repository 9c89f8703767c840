"""How bytes become a version of an input: staged, checked, put in place, recorded; files first, the event last.

What is about to be done is written down before it is done (the *intent*, ``data/.incoming/<entry id>.json``). Each step
can be repeated, so a process that dies between any two of them leaves either nothing but an unread file, or an intent
that the next one to come carries out. The steps of `Intake.carry_out`, in order:

1. the bytes that are to be replaced are kept under their SHA-256;
2. the sidecar says what the new version is;
3. the new bytes take their place, in one rename;
4. the event is appended to the log: now it is acknowledged;
5. what was said in another place before is removed there, and so is the intent.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from hmp_cache import sidecar
from hmp_cache.arrival import Arrival
from hmp_cache.batch import Batch, Move, begun
from hmp_cache.changes import Changes
from hmp_cache.errors import ValidationFailed
from hmp_cache.incoming import Staged
from hmp_cache.ledger import Known, Ledger, sidecar_path
from hmp_cache.records import Entry
from hmp_cache.shelf import Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.succession import keep, retire
from hmp_cache.validation import Report
from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import BusyError, HmpError, InvalidInput
from hmp_core.events import Event, EventStore
from hmp_core.events.clock import clock
from hmp_core.events.record import from_dict
from hmp_core.layout import internal_folder
from hmp_core.locks import database_lock

_log = logging.getLogger(__name__)

#: What upstream says of bytes that may change while they do not.
_DESCRIBED = ("uri", "etag", "last_modified")


class Intake:
    """The way in of one workspace.

    Parameters
    ----------
    store, shelf
        The log and the files.
    timeout
        Seconds to wait for another process that stores into the same folder.
    """

    def __init__(self, store: EventStore, shelf: Shelf, *, timeout: float) -> None:
        self._store = store
        self._shelf = shelf
        self._timeout = timeout
        self.ledger = Ledger(store, shelf)
        self.changes = Changes(store, shelf)

    # ── one arrival ──────────────────────────────────────────────────────────────────────────────────

    def accept(self, staged: Staged, arrival: Arrival, *, report: Report | None = None) -> Event:
        """Make staged bytes the current version of their input.

        The same bytes again change nothing: the event that stored them is returned.

        Parameters
        ----------
        report
            How they were judged, if they were.

        Raises
        ------
        ValidationFailed
            If they are not what their variable's contract expects; they are kept aside.
        BusyError
            If another process stores into the same folder for longer than the timeout.
        """
        label = arrival.label
        if report is None:
            report = arrival.judged(staged.path)
        if not report.passed:
            raise self.reject(staged, arrival, report)
        entry = arrival.entry_id
        with self.holding(label.variable, label.source):
            self.settle(entry)
            known = self.find(arrival)
            if known is not None and known.bytes.sha256 == staged.sha256 and self._stays(known):
                self.changes.bring_back(staged, known, known.artifact, uri=arrival.uri)
                return known.newest
            target = self._target(arrival, known)
            ready = self._shelf.incoming.ready(entry)
            make_folder(target.parent)
            facts = arrival.artifact(staged, self._shelf.relative(target), in_place=False)
            event = self._event(arrival, facts, report, known)
            staged.path.replace(ready)
            return self._intend(event, known)

    def register(self, path: Path, sha256: str, arrival: Arrival) -> Event:
        """Make a file that stays where it is the current version of its input."""
        label = arrival.label
        report = arrival.judged(path)
        staged = Staged(path, sha256, path.stat().st_size)
        if not report.passed:
            raise self._refuse(staged, arrival, report, self._shelf.relative(path))
        with self.holding(label.variable, label.source):
            self.settle(arrival.entry_id)
            known = self.find(arrival)
            kept = self._shelf.relative(path)
            same = known is not None and known.bytes.sha256 == sha256 and known.artifact["path"] == kept
            if known is not None and same and not known.sidecar.removed:
                return known.newest
            facts = arrival.artifact(staged, kept, in_place=True)
            return self._intend(self._event(arrival, facts, report, known), known)

    def confirm(self, arrival: Arrival, *, always: bool) -> None:
        """Record that the bytes that are there are what upstream has, if it describes them otherwise than before.

        Parameters
        ----------
        always
            Record it also where nothing is described otherwise: after failures, whose end it is.
        """
        label = arrival.label
        name = f"{label.variable}.{label.source}"
        with self.holding(label.variable, label.source):
            known = self.find(arrival)
            if known is None:
                return
            former = known.sidecar.upstream(known.artifact["id"])
            if not always and all(former.get(what) == getattr(arrival, what) for what in _DESCRIBED):
                return
            clock.observe(max(e.clock for e in known.sidecar.events))
            event = self._store.prepare("input.confirmed", arrival.confirmation(known))
            with self.batch(name).staging() as batch:
                move = Move(str(arrival.entry_id), known.artifact, [event])
                batch.commit([move], [known.sidecar.with_event(event)])

    def find(self, arrival: Arrival) -> Known | None:
        """Return what is known of the input that something arrives for."""
        label = arrival.label
        return self.ledger.find(
            arrival.entry_id, variable=label.variable, source=label.source, file_name=arrival.file_name
        )

    def known(self, entry: Entry) -> Known | None:
        """Return what is known of the input that a record is about; the folder's lock is held."""
        name = PurePosixPath(entry.relative_path).name
        return self.ledger.find(entry.id, variable=entry.variable, source=entry.source, file_name=name)

    @contextlib.contextmanager
    def holding(self, variable: str, source: str) -> Iterator[None]:
        """Hold the folder of a source: who may name, replace and record files in it."""
        name = f"{variable}.{source}"
        with self.lock(name, f"data/{variable}/{source}", self._timeout):
            self.batch(name).settle()
            yield

    def batch(self, name: str) -> Batch:
        """Return what is stored together under the lock ``name``."""
        return Batch(self._store, self._shelf, name)

    @contextlib.contextmanager
    def lock(self, name: str, what: str, timeout: float) -> Iterator[None]:
        """Hold one of the cache's own locks, a file in ``data/.hmp/cache/locks``."""
        folder = internal_folder(self._store.path) / "locks"
        make_folder(folder)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(database_lock(folder / name).hold(timeout))
            except BusyError as error:
                message = (
                    f"{what} is in the hands of {error.holder}; waited {error.waited:.1f} s: "
                    "try again, or wait longer (timeout=)"
                )
                raise BusyError(message, path=error.path, holder=error.holder, waited=error.waited) from None
            yield

    # ── what is to be done, and doing it ─────────────────────────────────────────────────────────────

    def _event(self, arrival: Arrival, facts: dict[str, Any], report: Report, known: Known | None) -> Event:
        if known is not None:
            # the new version must come after what another machine with a faster clock has said
            clock.observe(max(e.clock for e in known.sidecar.events))
        return self._store.prepare("input.stored", arrival.payload(facts, report, known))

    def _intend(self, event: Event, known: Known | None) -> Event:
        """Write down what is to be done, then do it."""
        former = known.sidecar.events if known else ()
        entry = event.payload["entry"]["id"]
        intent = {
            "events": [e.as_dict() for e in (*former, event)],
            "former": dict(known.artifact) if known else None,
        }
        path = self._shelf.incoming.intent(entry)
        try:
            make_folder(path.parent)
            write_atomic(path, json.dumps(intent, ensure_ascii=False).encode())
            self.carry_out(path)
        except (HmpError, OSError):
            self._call_off(entry, event, known)
            raise
        self.ledger.remember(entry, self._shelf.local(event.payload["artifact"]["path"]))
        return event

    def _call_off(self, entry: str, event: Event, known: Known | None) -> None:
        """Undo what was begun, if the new bytes are not in place yet; else the next to come finishes it."""
        ready = self._shelf.incoming.ready(entry)
        if not ready.exists():
            return
        beside = sidecar_path(self._shelf, entry, event.payload["artifact"])
        with contextlib.suppress(HmpError, OSError):  # what cannot be undone now is finished later
            if known is not None and beside == sidecar_path(self._shelf, entry, known.artifact):
                sidecar.write(beside, known.sidecar)
            else:
                beside.unlink(missing_ok=True)
            self._shelf.incoming.intent(entry).unlink(missing_ok=True)
            ready.unlink()

    def carry_out(self, path: Path) -> None:
        """Do what an intent says, from wherever it was left; the folder's lock is held."""
        intent = json.loads(path.read_bytes())
        if "former" not in intent:
            self.changes.carry_out(path)
            return
        events = tuple(from_dict(e) for e in intent["events"])
        event, former = events[-1], intent["former"]
        entry, artifact = event.payload["entry"]["id"], event.payload["artifact"]
        ready = self._shelf.incoming.ready(entry)
        if former and (ready.exists() or artifact["in_place"]):
            keep(self._shelf, former, artifact)
        beside = sidecar_path(self._shelf, entry, artifact)
        told = sidecar.read(beside) or Sidecar(entry)
        for each in events:
            told = told.with_event(each)
        sidecar.write(beside, told)
        if ready.exists():
            self._shelf.put(ready, self._shelf.local(artifact["path"]))
        self._store.commit([event])
        if former and told.newest == event:
            retire(self._shelf, entry, former, artifact)
        path.unlink()

    def settle(self, entry: UUID | str) -> None:
        """Carry out what a process that died had begun for an input; the folder's lock is held."""
        path = self._shelf.incoming.intent(entry)
        if path.exists():
            _log.warning("%s: carrying out what a process that died had begun", path)
            self.carry_out(path)

    def settle_all(self) -> None:
        """Carry out what processes that died had begun; what another process is at is left to it."""
        for path in self._shelf.incoming.intents():
            said = _entry_of(path)
            if said is not None:
                name = f"{said['variable']}.{said['source']}"
                try:
                    with self.lock(name, str(path), 0.0):
                        self.settle(said["id"])
                except BusyError:
                    continue  # another process is at it
                except (HmpError, OSError) as error:
                    # it was never acknowledged, and must not keep anybody from opening the cache
                    _log.error("%s could not be carried out: %s", path, error)
        self._settle_batches()

    def _settle_batches(self) -> None:
        for name in begun(self._shelf):
            try:
                with self.lock(name, name, 0.0):
                    self.batch(name).settle()
            except BusyError:
                continue  # see above
            except (HmpError, OSError) as error:
                _log.error("%s could not be carried out: %s", name, error)

    # ── details ──────────────────────────────────────────────────────────────────────────────────────

    def _target(self, arrival: Arrival, known: Known | None) -> Path:
        """Return where the new version goes: where the former lay, unless its form is another."""
        if known is not None and not known.artifact["in_place"]:
            former = self._shelf.local(known.artifact["path"])
            self.changes.refuse_stranger(known, former)
            if former.suffix.lower() == arrival.suffix.lower():
                return former
        found = self.free_place(arrival)
        if found is not None:
            return found
        label = arrival.label
        message = (
            f"{arrival.file_name}: every name for it in {self._shelf.home(label.variable, label.source)} is taken "
            "by files that the cache did not make; move them away"
        )
        raise InvalidInput(message)

    def free_place(self, arrival: Arrival, taken: Collection[Path] = ()) -> Path | None:
        """Return where a new input may lie that is in none of the places ``taken``; None if there is no such place."""
        label, entry = arrival.label, arrival.entry_id
        for path in self._shelf.candidates(label.variable, label.source, arrival.file_name, entry):
            if path not in taken and not path.exists() and not sidecar.path_of(path).exists():
                return path
        return None

    def _stays(self, known: Known) -> bool:
        """Return whether an input is where it was: nobody removed it, and no owner took his file away."""
        gone = known.artifact["in_place"] and not self._shelf.local(known.artifact["path"]).exists()
        return not known.sidecar.removed and not gone

    def reject(self, staged: Staged, arrival: Arrival, report: Report) -> ValidationFailed:
        """Keep aside what its contract does not accept, record that, and return what is to be raised."""
        where = self._shelf.set_aside(staged.path, staged.sha256, arrival.file_name)
        return self._refuse(staged, arrival, report, self._shelf.relative(where), beside=sidecar.path_of(where))

    def _refuse(
        self, staged: Staged, arrival: Arrival, report: Report, kept: str, *, beside: Path | None = None
    ) -> ValidationFailed:
        event = self._store.prepare("input.rejected", arrival.rejection(staged, report, kept))
        if beside is not None:
            known = sidecar.read(beside) or Sidecar(str(arrival.entry_id))
            sidecar.write(beside, known.with_event(event))
        self._store.commit([event])
        listed = "; ".join(finding.message for finding in report.findings)
        message = (
            f"{arrival.file_name} is not accepted as {arrival.label.variable} ({report.schema_name}): {listed}. "
            f"It lies in {kept} and is not served; mend it and add it again"
        )
        return ValidationFailed(message, checks=[f.check for f in report.findings], path=kept)


def _entry_of(intent: Path) -> dict[str, Any] | None:
    """Return what an intent says of its input; None if another process has just carried it out."""
    try:
        entry: dict[str, Any] = json.loads(intent.read_bytes())["events"][-1]["payload"]["entry"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        # nothing acknowledged hangs on it: whoever wrote it was never answered
        _log.error("%s cannot be read (%s) and was left as it is", intent, error)
        return None
    return entry
