"""Many workspaces looked at, of which one may lie on a disk that does not answer: it holds the others for a moment.

One hand looks at one after the other, which on a local disk is quickest (1,000 workspaces in 0.06 s; two hands take
longer, for both wait for the interpreter). Whenever somebody has not come back for a while another hand takes over,
so that slow mounts are looked at side by side. A hand that has not come back after `PATIENCE` is left where it is:
nothing can end a system call on a dead mount.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hmp_index.roster import Listed
from hmp_index.survey import SeenWorkspace, look

#: Seconds that a workspace may take to be looked at.
PATIENCE = 5.0

#: Seconds after which a look is slow, and another hand helps.
_SLOW = 0.02
_HANDS = 16

#: If this one does not answer nothing does: a workspace on it that hangs says nothing of the others.
_ROOT = Path("/")

#: Workspace or mount that does not answer -> who waits for it still; asked again when it has come back.
_waiting: dict[Path, threading.Thread] = {}


def look_at_all(listed: Sequence[Listed], patience: float | None = None) -> list[SeenWorkspace]:
    """Return what lies at the place of each workspace; one that does not answer in time is unreachable.

    Parameters
    ----------
    patience
        Seconds that each may take, by default `PATIENCE`. Where none on the same mount has answered by then, the
        others on it are not tried.
    """
    return _Look(listed, PATIENCE if patience is None else patience).done() if listed else []


@dataclass(slots=True)
class _Busy:
    """What a hand is at, and since when."""

    number: int
    since: float


@dataclass(slots=True)
class _Look:
    listed: Sequence[Listed]
    patience: float
    seen: dict[int, SeenWorkspace] = field(default_factory=dict)
    busy: dict[threading.Thread, _Busy] = field(default_factory=dict)
    todo: deque[int] = field(default_factory=deque)
    news: threading.Condition = field(default_factory=threading.Condition)

    def done(self) -> list[SeenWorkspace]:
        silent = _silent()
        mounts = _mounts() if silent else []
        for number, line in enumerate(self.listed):
            if silent and not silent.isdisjoint({line.path, _mount(line.path, mounts)}):
                self.seen[number] = _unanswered(line, self.patience)
            else:
                self.todo.append(number)
        try:
            with self.news:
                self._one_more_hand()
                while self.todo or self.busy:
                    self.news.wait(_SLOW)
                    self._leave_the_silent()
                    self._help()
        finally:
            self.todo.clear()
        return [self.seen.get(number) or look(line) for number, line in enumerate(self.listed)]

    def _one_more_hand(self) -> None:
        hand = threading.Thread(target=self._work, name="hmp-index-look", daemon=True)
        self.busy[hand] = _Busy(-1, time.monotonic())
        hand.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self.news:
                if me not in self.busy:
                    return  # it was not waited for any longer
                if not self.todo:
                    del self.busy[me]
                    self.news.notify()
                    return
                number = self.todo.popleft()
                self.busy[me] = _Busy(number, time.monotonic())
            seen = None
            try:
                seen = look(self.listed[number])
            finally:
                with self.news:
                    if seen is None:  # what went wrong ends this hand, and is raised again where it is waited for
                        self.busy.pop(me, None)
                    elif me in self.busy:
                        self.seen[number] = seen

    def _help(self) -> None:
        now = time.monotonic()
        slow = sum(now - one.since >= _SLOW for one in self.busy.values())
        if self.todo and slow == len(self.busy) < _HANDS:  # also when there is none any more
            self._one_more_hand()

    def _leave_the_silent(self) -> None:
        now = time.monotonic()
        late = [
            hand
            for hand, one in self.busy.items()
            if now - one.since >= self.patience and one.number >= 0 and one.number not in self.seen
        ]
        if not late:
            return
        mounts = _mounts()
        back = [self.listed[number].path for number, seen in self.seen.items() if seen.status == "ok"]
        answered = {_mount(path, mounts) for path in back}
        for hand in late:
            line = self.listed[self.busy[hand].number]
            self.seen[self.busy.pop(hand).number] = _unanswered(line, self.patience)
            _waiting[line.path] = hand
            mount = _mount(line.path, mounts)
            others = [one for one in self.todo if _mount(self.listed[one].path, mounts) == mount]
            if others and mount not in answered and mount != _ROOT:
                _waiting[mount] = hand
                for number in others:
                    self.todo.remove(number)
                    self.seen[number] = _unanswered(self.listed[number], self.patience)


def _silent() -> set[Path]:
    """Return what still does not answer; what has come back meanwhile is asked again."""
    for path in [path for path, hand in _waiting.items() if not hand.is_alive()]:
        del _waiting[path]
    return set(_waiting)


def _unanswered(line: Listed, patience: float) -> SeenWorkspace:
    detail = f"{line.path} did not answer within {patience:g} s: is it on a disk or a server that is not there?"
    return SeenWorkspace(line, "unreachable", detail)


def _mounts() -> list[Path]:
    """Return where file systems are mounted, the deepest first; nothing where the system does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    places = {Path(line.split(" ")[1].replace("\\040", " ")) for line in lines if line.count(" ") > 1}
    return sorted(places, key=lambda place: -len(place.parts))


def _mount(path: Path, mounts: Sequence[Path]) -> Path:
    """Return where the file system of a path is mounted; what is not known is taken for a mount of its own."""
    return next((place for place in mounts if path.is_relative_to(place)), path)
