"""Child processes for tests: real ones, started in milliseconds, that speak over a pipe and die when told.

Children are forked from a nursery, a process of its own that has imported the engines and done nothing else with
them. A child is given its code as text, so that it does not matter where the tests lie.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from typing import Any

_LENGTH = struct.Struct("!Q")
_STATUS = struct.Struct("!i")

#: How many children died by SIGKILL, by the test that watched them die.
deaths: Counter[str] = Counter()


class Child:
    """A running child; use it in a ``with`` block, at whose end it is no more."""

    def __init__(self, pipe: Connection, status: int) -> None:
        self._pipe = pipe
        self._status = status
        self._exit: int | None = None
        self.pid: int = _STATUS.unpack(_exactly(status, _STATUS.size))[0]
        #: everything heard so far
        self.said: list[Any] = []

    def hear(self, timeout: float = 30.0) -> Any:
        """Return the next thing that the child says.

        Raises
        ------
        AssertionError
            If it fails, ends or is silent for ``timeout`` seconds instead.
        """
        if not self._pipe.poll(timeout):
            message = f"child {self.pid} said nothing for {timeout} s; it said before: {self.said}"
            raise AssertionError(message)
        try:
            failed, said = self._pipe.recv()
        except (EOFError, OSError) as error:
            message = f"child {self.pid} ended with {self.join()}; it said before: {self.said}"
            raise AssertionError(message) from error
        if failed:
            message = f"child {self.pid} failed:\n{said}"
            raise AssertionError(message)
        self.said.append(said)
        return said

    def tell(self, value: Any = None) -> None:
        """Answer a child that listens."""
        self._pipe.send(value)

    def kill(self) -> None:
        """End the child as the kernel would: no handler runs."""
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.join()

    def join(self, timeout: float = 60.0) -> int:
        """Wait for the end; return the exit code, or minus the signal that killed it."""
        if self._exit is None:
            os.set_blocking(self._status, False)
            until = time.monotonic() + timeout
            while self._exit is None:
                with contextlib.suppress(BlockingIOError):
                    self._exit = _STATUS.unpack(os.read(self._status, _STATUS.size))[0]
                    break
                if time.monotonic() > until:
                    message = f"child {self.pid} still runs after {timeout} s; it said: {self.said}"
                    raise AssertionError(message)
                time.sleep(0.002)
            if self._exit == -signal.SIGKILL:
                deaths[_current_test()] += 1
        return self._exit

    def rest(self, timeout: float = 60.0) -> list[Any]:
        """Return everything the child said until it ended, whichever way."""
        until = time.monotonic() + timeout
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll(max(0.0, until - time.monotonic())):
                failed, said = self._pipe.recv()
                if failed:
                    message = f"child {self.pid} failed:\n{said}"
                    raise AssertionError(message)
                self.said.append(said)
        self.join(max(1.0, until - time.monotonic()))
        return self.said

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.kill()
        finally:
            self._pipe.close()
            os.close(self._status)


def _of_hmp() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HMP_")}


def _current_test() -> str:
    """Return the test that runs, as pytest names it."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]


def start(code: str, *, env: Mapping[str, str] | None = None, die_at: int = 0, **names: Any) -> Child:
    """Start a child that runs ``code``.

    Parameters
    ----------
    code
        What it does; indentation is taken off. ``say(value)`` and ``listen()`` speak with the test.
    env
        Variables of its environment, besides those of hmp that the test has now.
    die_at
        At which step it is killed, counted from 1 (see `hmp_core.testing.faults`); 0 lets it live.
    **names
        What the code knows by name; anything that pickles.
    """
    ours, theirs = Pipe()
    reads, writes = os.pipe()
    # the nursery has the environment of the test that asked it first
    variables = _of_hmp() | dict(env or {})
    request = {"code": textwrap.dedent(code), "env": variables, "die_at": die_at, "names": names}
    try:
        _nursery.ask(pickle.dumps(request), [theirs.fileno(), writes])
    finally:
        theirs.close()
        os.close(writes)
    return Child(ours, reads)


def run(code: str, *, env: Mapping[str, str] | None = None, timeout: float = 60.0, **names: Any) -> list[Any]:
    """Run ``code`` in a child to its end and return what it said.

    Raises
    ------
    AssertionError
        If it failed.
    """
    with start(code, env=env, **names) as child:
        said = child.rest(timeout)
        code_of_exit = child.join()
        if code_of_exit != 0:
            message = f"child {child.pid} ended with {code_of_exit}; it said: {said}"
            raise AssertionError(message)
        return said


def _exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            message = "the nursery of child processes has ended; see its error output"
            raise AssertionError(message)
        data += piece
    return data


class _Nursery:
    """The process that children are forked from; started when it is first asked for a child."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, descriptors: list[int]) -> None:
        if self._socket is None:
            self._begin()
        assert self._socket is not None
        socket.send_fds(self._socket, [_LENGTH.pack(len(request))], descriptors)
        self._socket.sendall(request)

    def _begin(self) -> None:
        self._socket, theirs = socket.socketpair()
        code = f"from hmp_core.testing.children import _keep; _keep({theirs.fileno()})"
        # -P: the folder of the tests must not shadow what is installed
        self._process = subprocess.Popen([sys.executable, "-P", "-c", code], pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(self.end)

    def end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()
            self._socket = self._process = None


_nursery = _Nursery()


# ── in the nursery ───────────────────────────────────────────────────────────────────────────────────


def _keep(descriptor: int) -> None:
    """Fork a child for each request, until the tests end."""
    import warnings

    # children start with what takes long already imported
    import pyarrow  # noqa: F401

    import hmp_core.testing.faults
    import hmp_core.testing.gauges  # noqa: F401
    from hmp_core.backends.duckdb import engine_error

    engine_error()
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*multi-threaded.*fork.*")
    with socket.socket(fileno=descriptor) as door:
        while True:
            length, descriptors, *_ = socket.recv_fds(door, _LENGTH.size, 2)
            if not length:
                return
            request = _received(door, _LENGTH.unpack(length)[0])
            if os.fork() == 0:
                door.close()
                _watch(pickle.loads(request), *descriptors)
                return  # the child ends as a program does, through the end of its interpreter
            for each in descriptors:
                os.close(each)
            _reap()


def _received(door: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += door.recv(length - len(data))
    return data


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(request: dict[str, Any], pipe: int, status: int) -> None:
    """Fork once more: the child runs, and this process stays to tell how it ended."""
    child = os.fork()
    if child == 0:
        os.close(status)
        _live(request, Connection(pipe))
        return
    os.close(pipe)
    os.write(status, _STATUS.pack(child))
    _, ended = os.waitpid(child, 0)
    os.write(status, _STATUS.pack(os.waitstatus_to_exitcode(ended)))
    os._exit(0)


def _live(request: dict[str, Any], pipe: Connection) -> None:
    from hmp_core.testing import faults

    for name in _of_hmp():
        del os.environ[name]
    os.environ.update(request["env"])

    def say(value: Any = None) -> None:
        pipe.send((False, value))

    names = request["names"] | {"say": say, "listen": pipe.recv}
    try:
        program = compile(request["code"], "<child>", "exec")
        with faults.dying(request["die_at"], say):
            exec(program, names)
    except SystemExit:
        raise
    except BaseException:
        pipe.send((True, f"{traceback.format_exc()}\nin:\n{request['code']}"))
        raise
