"""`RunWriter`: what a measuring session records as it happens, each event and frame at once."""

from __future__ import annotations

import contextlib
import json
import logging
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np

from hmp_catalog.acquisition.fields import Field, pixels
from hmp_catalog.acquisition.records import ABORTED, ENDS, FAILED, SUCCESS, ResearcherInfo, SampleMetadata
from hmp_catalog.acquisition.recovery import interrupt_dead_runs
from hmp_catalog.acquisition.samples import sample_id
from hmp_catalog.acquisition.session import SQL, Session
from hmp_catalog.acquisition.values import dumped
from hmp_catalog.errors import WriterState
from hmp_catalog.plain import dumps, mapping, printable, real, text, whole, word
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.locks import DEFAULT_TIMEOUT, this_process
from hmp_core.paths import to_local

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols import AuthBackend


@dataclass(slots=True)
class _Stream:
    uid: str
    keys: frozenset[str]
    seq: int = 0
    last: str = ""


@dataclass(slots=True)
class _Run:
    uid: str
    streams: dict[str, _Stream] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)
    current: str = ""


class RunWriter:
    """Writes the runs of one session, one after the other.

    What a ``write_`` call returned from outlives this process, and, unless it is told to gather events, a power cut;
    frames do so after ``sync_seconds``. Others read meanwhile. It is used by the thread that opened it.

    Parameters
    ----------
    db_path
        The session file; its frames lie beside it, in the folder of the same name with the ending ``.zarr``.
    sample
        What is measured.
    label, researcher
        What the session is called, and whose it is; put down when it is new, for the master index.
    flush_events, flush_seconds
        Gather so many events and frames before they are committed; fewer, if the first came so many seconds before the
        last. Nobody looks at the clock until the next one comes.
    sync_seconds
        Seconds after which frames are put on the disk, when the next one comes.
    auth
        Who is asked for the right to write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for another writer.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with RunWriter(tempfile.mkdtemp() + "/june.db", SampleMetadata("outlet")) as writer:
    ...     run = writer.open_run("count", operator="Ada")
    ...     stream = writer.open_stream("primary", {"level": {"dtype": "number"}})
    ...     event = writer.write_event({"level": 1.25})
    ...     writer.write_image(event, "camera", np.zeros((4, 6), np.uint16))
    ...     writer.close_run()
    """

    def __init__(
        self,
        db_path: str | Path | UPath,
        sample: SampleMetadata,
        *,
        label: str | None = None,
        researcher: ResearcherInfo | None = None,
        flush_events: int = 1,
        flush_seconds: float | None = None,
        sync_seconds: float = 1.0,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self.path = to_local(db_path)
        self._sample = sample
        self._facts = {
            "label": text(label, "label"),
            "researcher": None if researcher is None else dumps(asdict(researcher)),
            "created_at": repr(time.time()),
        }
        self._flush_events = max(1, whole(flush_events, "flush_events") or 1)
        self._flush_seconds = float("inf") if flush_seconds is None else real(flush_seconds, "flush_seconds")
        self._sync_seconds = real(sync_seconds, "sync_seconds")
        self._auth, self._timeout = auth, timeout
        self._session: Session | None = None
        self._run: _Run | None = None
        self._waiting, self._since, self._synced = 0, 0.0, 0.0
        self._sample_id = 0

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    def open(self) -> None:
        """Take the session for writing; runs that a dead writer left become ``interrupted``.

        Raises
        ------
        WriterState
            If it is open already.
        BusyError
            If another writer has the session; it is named.
        SchemaTooNewError, CorruptError, NotWritable, AccessDenied, InvalidInput
            If the session cannot be had; see `hmp_core.errors`.
        """
        if self._session is not None:
            message = "RunWriter is already open"
            raise WriterState(message)
        session = Session(self.path, auth=self._auth, timeout=self._timeout)
        session.open(self._facts)
        try:
            interrupt_dead_runs(session)
            with session.backend.transaction():
                self._sample_id = sample_id(session.backend, self._sample)
        except BaseException:
            session.close()
            raise
        self._session = session

    def close(self) -> None:
        """Give the session back; a run that is open ends as ``aborted``. Closing twice is allowed."""
        session = self._session
        if session is None:
            return
        try:
            if self._run is not None and not session.inherited:
                self.close_run(exit_status=ABORTED, reason="the writer was closed before the run was")
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        if not session.inherited:
            session.require_thread()
        self._let_go()
        self._session = None
        if not session.inherited:  # else it is its parent's
            session.close()

    def _let_go(self) -> None:
        run, self._run = self._run, None
        for each in run.fields.values() if run is not None else ():
            each.let_go()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        if session is None:
            return
        status = SUCCESS if error is None else FAILED if isinstance(error, Exception) else ABORTED
        try:
            try:
                if self._run is not None and not session.inherited:
                    self.close_run(exit_status=status, reason=_told(error))
            finally:
                self._forget(session)
        except HmpError as worse:
            if error is None:
                raise
            error.add_note(f"and the run was not ended: {worse}")

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────

    def open_run(
        self,
        plan_name: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        operator: str | None = None,
        scan_id: int | None = None,
    ) -> str:
        """Begin a run and return its uid: 32 hexadecimal digits.

        Parameters
        ----------
        plan_name
            What is done.
        metadata
            Whatever else is known, as JSON keeps it.
        operator
            Who does it.
        scan_id
            Its number in the session; by default the next one.

        Raises
        ------
        WriterState
            If the writer is not open, or a run is open already: close that one first.
        InvalidInput
            For what cannot be kept.
        """
        session = self._opened()
        if self._run is not None:
            message = f"run {self._run.uid} is open: close it first"
            raise WriterState(message)
        uid = uuid4().hex
        number = whole(scan_id, "scan_id")
        said = None if metadata is None else dumped(dict(mapping(metadata, "metadata")), "metadata")
        about = [word(operator, "operator") if operator else None, said]
        plan = word(plan_name, "plan_name")
        with session.backend.transaction():
            if number is None:
                (number,) = session.backend.fetch_one(SQL["next_scan"]) or (1,)
            facts = [number, dumps(this_process().as_dict()), dumps(_provenance())]
            row = [uid, self._sample_id, plan, time.time(), *about, *facts]
            session.backend.execute(SQL["begin_run"], row)
        self._run = _Run(uid)
        return uid

    def close_run(self, *, exit_status: str = SUCCESS, reason: str | None = None) -> None:
        """End the run: everything before is durable then.

        Parameters
        ----------
        exit_status
            ``"success"``, ``"failed"`` or ``"aborted"``.
        reason
            Why, in a sentence.

        Raises
        ------
        WriterState
            If no run is open.
        InvalidInput
            For another status; the run stays open.
        """
        session, run = self._opened(), self._opened_run()
        if exit_status not in ENDS:
            message = f"a run ends as one of {', '.join(ENDS)}, not {exit_status!r}"
            raise InvalidInput(message)
        self._settle(session, run)
        for each in run.fields.values():
            self._close_shard(session, run, each)
        by_stream = {name: stream.seq for name, stream in run.streams.items()}
        told = None if reason is None else printable(str(reason))
        ended = [time.time(), exit_status, told, sum(by_stream.values()), json.dumps(by_stream), run.uid]
        with session.backend.transaction():
            session.backend.execute(SQL["end_run"], ended)
        self._run = None

    # ── streams and events ───────────────────────────────────────────────────────────────────────────

    def open_stream(self, name: str, data_keys: Mapping[str, Any]) -> str:
        """Begin a stream of the run, and return its uid; streams that are open stay so.

        Parameters
        ----------
        name
            What it is called: ``"primary"``, ``"baseline"``.
        data_keys
            What its events may hold: key -> its description (``dtype``, ``shape``, ``units``, ``source``).

        Raises
        ------
        WriterState
            If no run is open.
        InvalidInput
            If the run has a stream of that name already; it goes on with the streams that it has.
        """
        session, run = self._opened(), self._opened_run()
        called = word(name, "name of a stream")
        keys = dict(mapping(data_keys, "data_keys"))
        said = dumped(keys, "data_keys")
        if called in run.streams:
            message = f"the run has a stream {called!r} already; write to it with write_event(..., stream={called!r})"
            raise InvalidInput(message)
        uid = uuid4().hex
        self._settle(session, run)
        with session.backend.transaction():
            session.backend.execute(SQL["begin_stream"], [uid, run.uid, called, said, time.time()])
        run.streams[called] = _Stream(uid, frozenset(map(str, keys)))
        run.current = called
        return uid

    def write_event(
        self, data: Mapping[str, Any], timestamps: Mapping[str, float] | None = None, *, stream: str | None = None
    ) -> str:
        """Record what was read, and return the uid of the event.

        Parameters
        ----------
        data
            Key -> value; numbers, text, small arrays. NaN and infinities are kept.
        timestamps
            Key -> when it was read, in seconds since 1970; a key may be left out.
        stream
            Of which stream it is; by default of the one that was opened last.

        Raises
        ------
        WriterState
            If no stream is open.
        InvalidInput
            For a key that the stream does not have, or a value that cannot be kept; no number is used up.
        StorageError
            If the disk is full or fails; the event is not recorded.
        """
        session, run = self._opened(), self._opened_run()
        found = self._stream(run, stream)
        said = dumped(dict(mapping(data, "data")), "data")
        moments = mapping({} if timestamps is None else timestamps, "timestamps")
        when = dumped({key: real(each, f"timestamps.{key}") for key, each in moments.items()}, "timestamps")
        if strange := {*map(str, data), *map(str, moments)} - found.keys:
            message = f"the stream has no key {', '.join(sorted(strange))}; it has {', '.join(sorted(found.keys))}"
            raise InvalidInput(message)
        uid = uuid4().hex
        with self._recording(session, run):
            session.backend.execute(SQL["add_event"], [uid, found.uid, found.seq + 1, time.time(), said, when])
            found.seq, found.last = found.seq + 1, uid
        return uid

    def write_image(self, event_uid: str, field_name: str, image: np.ndarray[Any, Any]) -> None:
        """Record the frame that a detector took for an event.

        Parameters
        ----------
        event_uid
            What `write_event` returned.
        field_name
            Which detector; one frame an event, in the order of the events.
        image
            Pixels (height x width): whole or floating-point numbers, or bool.

        Raises
        ------
        WriterState
            If no stream is open.
        FrameMismatch
            If it has another shape or type than the first frame of the field; not a byte is changed.
        InvalidInput
            If the run has no such event, it has a frame of that field already, or pixels are masked.
        StorageError
            If the disk is full or fails; the frame is not recorded.
        """
        session, run = self._opened(), self._opened_run()
        self._stream(run, None)
        stream, seq = self._event(session, run, event_uid)
        given = pixels(image)
        if not isinstance(field_name, str) or field_name not in run.fields:
            run.fields[field_name] = Field(session, run.uid, field_name, given)
        into = run.fields[field_name]
        data = into.checked(given, stream, seq)
        if into.is_full:
            self._close_shard(session, run, into)
        with self._recording(session, run):
            into.append(data, event_uid, stream, seq)
            self._sync_if_due(run)

    def _stream(self, run: _Run, name: str | None) -> _Stream:
        if not run.streams:
            message = "No open stream: open_stream comes first"
            raise WriterState(message)
        if name is not None and name not in run.streams:
            message = f"the run has no stream {name!r}; it has {', '.join(run.streams)}"
            raise InvalidInput(message)
        return run.streams[run.current if name is None else name]

    def _event(self, session: Session, run: _Run, event_uid: str) -> tuple[str, int]:
        for stream in run.streams.values():
            if event_uid and stream.last == event_uid:
                return stream.uid, stream.seq
        found = session.backend.fetch_one(SQL["event"], [event_uid, run.uid]) if isinstance(event_uid, str) else None
        if found is None:
            message = f"the run has no event {event_uid!r}"
            raise InvalidInput(message)
        return str(found[0]), int(found[1])

    # ── committing ───────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _recording(self, session: Session, run: _Run) -> Iterator[None]:
        """Record what the block does, and commit when it is due; what fails is undone, on the disk and here."""
        with self._undoing(session, run):
            session.begin()
            yield
            now = time.monotonic()
            self._since = self._since if self._waiting else now
            self._waiting += 1
            if self._waiting >= self._flush_events or now - self._since >= self._flush_seconds:
                session.commit()
                self._waiting = 0

    def _settle(self, session: Session, run: _Run) -> None:
        """Commit what was gathered."""
        with self._undoing(session, run):
            session.commit()
            self._waiting = 0

    def _close_shard(self, session: Session, run: _Run, of: Field) -> None:
        self._settle(session, run)
        with self._undoing(session, run):
            of.close_shard()

    @contextlib.contextmanager
    def _undoing(self, session: Session, run: _Run) -> Iterator[None]:
        """Take back what is not committed where the block fails: the run goes on behind what the tables hold."""
        gathered = self._waiting
        try:
            yield
        except BaseException as error:
            self._waiting = 0
            session.roll_back(error)
            if gathered:
                error.add_note(f"{gathered} events and frames that were gathered before are not recorded either")
            try:
                self._go_back(session, run)
            except HmpError as worse:
                _log.error("run %s cannot go on: %s", run.uid, worse)
                self._let_go()
            raise

    def _go_back(self, session: Session, run: _Run) -> None:
        """Be as the tables say: a commit may have been one though it was cut short."""
        for name, seq, uid in session.backend.fetch_all(SQL["last_events"], [run.uid]):
            if name in run.streams:
                run.streams[name].seq, run.streams[name].last = seq or 0, uid or ""
        rows = session.backend.fetch_all(SQL["open_frames"], [run.uid])
        for name, each in run.fields.items():
            each.go_back([row[1:] for row in rows if row[0] == name])

    def _sync_if_due(self, run: _Run) -> None:
        now = time.monotonic()
        if now - self._synced >= self._sync_seconds:
            for each in run.fields.values():
                each.sync()
            self._synced = now

    # ── guards ───────────────────────────────────────────────────────────────────────────────────────

    def _opened(self) -> Session:
        if self._session is None:
            message = "RunWriter is not open"
            raise WriterState(message)
        self._session.require_thread()
        return self._session

    def _opened_run(self) -> _Run:
        if self._run is None:
            message = "No open run: open_run comes first"
            raise WriterState(message)
        return self._run


def _provenance() -> dict[str, Any]:
    from hmp_catalog import __version__

    return {"hmp_catalog": __version__, "python": platform.python_version(), "platform": platform.platform()}


def _told(error: BaseException | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
