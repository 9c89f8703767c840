"""What is missing in a local folder is fetched when it is read: pieces of files, each verified, each kept.

Kept pieces are verified again whenever they are read, so that they need no flushing: one that a power cut damaged is
fetched anew.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

from hmp_catalog.datasets.remote import manifests, pieces, remotes, standing
from hmp_catalog.datasets.remote.manifests import Entry
from hmp_catalog.datasets.remote.pieces import Piece
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.errors import RemoteMissing
from hmp_core.durable import translated
from hmp_core.errors import CorruptError

#: Two threads fetch the same file one after the other, others at the same time.
_TURNS = 64
_turns: list[threading.Lock] = []


def _fresh() -> None:
    _turns[:] = [threading.Lock() for _ in range(_TURNS)]


_fresh()
os.register_at_fork(after_in_child=_fresh)


class Fetcher:
    """Fetches what stubs stand for.

    Parameters
    ----------
    home : Path
        Where it is kept, beside the versions of a data set.
    remote : Remote, optional
        Where it comes from; else where the data set was attached to.
    """

    def __init__(self, home: Path, remote: Remote | None = None) -> None:
        self._kept = home / "objects"
        self._remote = remote if remote is not None else remotes.of(home, standing.url_of(home))

    def read(self, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes of a file from ``start`` to ``stop``; only what is not here yet is fetched.

        Raises
        ------
        CorruptError
            If what comes is not what it should be, twice.
        RemoteMissing
            If it was cleared behind the URL.
        RemoteUnreachable
            If the store does not answer.
        StorageError, NotWritable
            If what was fetched cannot be kept.
        """
        stop = entry.size if stop is None else min(stop, entry.size)
        if start >= stop:
            return b""
        with _turns[int(entry.sha256[:4], 16) % _TURNS]:
            try:
                return self._read(entry, start, stop)
            except RemoteMissing:
                moved = self._moved(entry)
                if moved is None:
                    raise
                return self._read(moved, start, stop)

    def fetch(self, entry: Entry) -> None:
        """Fetch what is not here of a file, and keep it."""
        self.read(entry)

    def whole(self, entry: Entry) -> list[bytes]:
        """Return all of a file, and its table of pieces if it has one."""
        data = self.read(entry)
        return [data] if entry.pieces is None else [data, pieces.table(self._pieces(entry))]

    def forget(self, entry: Entry) -> None:
        """Let go of what is kept of a file."""
        table = self._look(entry.pieces) if entry.pieces is not None else None
        names = [entry.sha256] if table is None else [each.sha256 for each in pieces.read(table, entry.size)]
        for name in (*names, *([entry.pieces] if entry.pieces else [])):
            self._place(name).unlink(missing_ok=True)

    def _moved(self, entry: Entry) -> Entry | None:
        """Return where the newest version has the same bytes: the version they were read from was perhaps cleared."""
        newest = manifests.newest(self._remote)
        found = None if newest is None else newest.by_content().get(entry.sha256)
        return None if found == entry else found

    def _read(self, entry: Entry, start: int, stop: int) -> bytes:
        wanted = [each for each in self._pieces(entry) if each.start < stop and each.stop > start]
        found = {each.start: self._look(each.sha256) for each in wanted}
        for run in _runs([each for each in wanted if found[each.start] is None]):
            found |= self._fetch(entry.key, run)
        whole = b"".join(found[each.start] or b"" for each in wanted)
        return whole[start - wanted[0].start : stop - wanted[0].start]

    def _pieces(self, entry: Entry) -> list[Piece]:
        if entry.pieces is None:
            return [Piece(0, entry.size, entry.sha256)]
        key = f"{manifests.OBJECTS}/{entry.push}/{entry.pieces}"
        table = self._look(entry.pieces)
        if table is None:
            table = self._fetch(key, [Piece(0, -1, entry.pieces)])[0]
        try:
            return pieces.read(table, entry.size)
        except ValueError as error:
            where = f"{self._remote.url}/{key}"
            message = f"{where} is no table of {entry.key} ({error}); push that file again from a folder that has it"
            raise CorruptError(message, path=where) from error

    def _fetch(self, key: str, run: list[Piece]) -> dict[int, bytes]:
        """Fetch pieces that follow each other, by one request, verify and keep each."""
        for again in (True, False):
            data = self._ask(key, run)
            found = {each.start: data[each.start - run[0].start : _end(each, run, data)] for each in run}
            wrong = [each for each in run if hashlib.sha256(found[each.start]).hexdigest() != each.sha256]
            if not wrong:
                break
            if not again:
                where = f"{self._remote.url}/{key}"
                message = (
                    f"{where}, from byte {wrong[0].start}, is not what it should be (SHA-256, asked for twice); it was "
                    "damaged where it lies or on the way: push it again from a folder that has it"
                )
                raise CorruptError(message, path=where)
        for each in run:
            self._keep(each.sha256, found[each.start])
        return found

    def _ask(self, key: str, run: list[Piece]) -> bytes:
        if run[-1].stop < 0:
            return self._remote.read(key)
        return self._remote.read(key, run[0].start, run[-1].stop)

    # ── what is kept ─────────────────────────────────────────────────────────────────────────────────

    def _place(self, sha256: str) -> Path:
        return self._kept / sha256[:2] / sha256

    def _look(self, sha256: str) -> bytes | None:
        """Return what is kept under a digest, if it is that."""
        try:
            data = self._place(sha256).read_bytes()
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def _keep(self, sha256: str, data: bytes) -> None:
        place = self._place(sha256)
        with translated(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(f".{sha256}.{secrets.token_hex(4)}")
            try:
                beside.write_bytes(data)
                os.replace(beside, place)
            finally:
                beside.unlink(missing_ok=True)


def _runs(found: list[Piece]) -> list[list[Piece]]:
    """Return pieces in groups that follow each other without a gap."""
    runs: list[list[Piece]] = []
    for each in found:
        if runs and runs[-1][-1].stop == each.start:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _end(each: Piece, run: list[Piece], data: bytes) -> int:
    return len(data) if each.stop < 0 else each.stop - run[0].start
