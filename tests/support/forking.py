"""Processes that are forked from one which has read the code already, as `python -m` would start them.

Each has its own arguments, environment, directory, streams and session, and is killed, stopped and
waited for as any other. What is saved is the half second that reading the modules takes: that was half
of all the time of the tests. `python -m tests.support.forking FD` is the process that forks.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import queue
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
LENGTH_BYTES = 8
CODE = (
    "forthwith.app",
    "forthwith.worker",
    "forthwith.verify.worker_main",
    "forthwith.cli.commands",
)


class ForkedProcess:
    """A process that the forking one has started and waits for: what of Popen is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stdin: Any = None
        """What we may write to its standard input, where that was asked for."""
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Return its exit status (negative: the signal that ended it), None while it runs."""
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended; return its exit status. Raises `TimeoutError`."""
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s")
        assert self.returncode is not None, "it has ended"
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self.send_signal(signal.SIGKILL)

    def end(self, status: int) -> None:
        """Note that it has ended."""
        self.returncode = status
        self._ended.set()


class Forking:
    """The process that forks, as its user sees it. For any thread."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._started: queue.SimpleQueue[ForkedProcess] = queue.SimpleQueue()
        self._running: dict[int, ForkedProcess] = {}
        threading.Thread(target=self._listen, name="forking", daemon=True).start()

    def start(self, request: Mapping[str, Any], streams: Sequence[int]) -> ForkedProcess:
        """Start a process with these standard streams."""
        text = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._ours, [len(text).to_bytes(LENGTH_BYTES)], list(streams))
            self._ours.sendall(text)
            return self._started.get(timeout=60.0)

    def close(self) -> None:
        """Start no more."""
        self._ours.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _listen(self) -> None:
        with self._ours.makefile("r") as lines:
            for line in lines:
                pid, status = json.loads(line)
                if status is None:
                    self._running[pid] = ForkedProcess(pid)
                    self._started.put(self._running[pid])
                else:
                    self._running.pop(pid).end(status)


@cache
def _forking() -> Forking:
    forking = Forking()
    atexit.register(forking.close)
    return forking


def fork_python(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    stdin: int | None,
    stdout: int,
    stderr: int,
    directory: Path = ROOT,
    start_new_session: bool = True,
) -> ForkedProcess:
    """Start `python -m module arguments`. A `stdin` of None is a pipe that closes when we are gone."""
    request = {
        "module": module,
        "arguments": arguments,
        "environment": dict(environment),
        "directory": str(directory),
        "start_new_session": start_new_session,
    }
    if stdin is not None:
        return _forking().start(request, [stdin, stdout, stderr])
    reading, writing = os.pipe()
    try:
        process = _forking().start(request, [reading, stdout, stderr])
    finally:
        os.close(reading)
    process.stdin = os.fdopen(writing, "wb")
    return process


def fork_worker(
    program: str, settings: str, *, environment: Mapping[str, str], output: int
) -> ForkedProcess:
    """Start a worker of the lab: a `Launch`."""
    return fork_python(
        program, settings, environment=environment, stdin=None, stdout=output, stderr=output
    )


# -- the process that forks --------------------------------------------------------------------------


def main(connection: socket.socket) -> None:
    """Read the code; fork a process for each request, and tell how it ended, until nobody is there."""
    for name in CODE:
        package = import_module(name)
        if name.endswith("commands"):
            for module in iter_modules(package.__path__, f"{name}."):
                import_module(module.name)
    for name in ("program", "session", "work", "app_loader", "logs", "output", "documents"):
        import_module(f"forthwith.cli.{name}")
    gc.freeze()  # what is shared with the children stays shared
    request = _serve(connection)
    if request is not None:  # we are the new process
        _become(request)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    ended, told = socket.socketpair()
    told.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is ended:
                    ended.recv(4096)
                    _tell_who_ended(connection)
                    continue
                length, streams, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
                if not length:
                    return None
                request: dict[str, Any] = json.loads(_received(connection, int.from_bytes(length)))
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (connection, ended, told):
                        each.close()
                    _take(streams)
                    return request
                for stream in streams:
                    os.close(stream)
                _tell(connection, pid, None)


def _tell_who_ended(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(connection, pid, os.waitstatus_to_exitcode(status))


def _tell(connection: socket.socket, pid: int, status: int | None) -> None:
    connection.sendall(json.dumps([pid, status]).encode() + b"\n")


def _received(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += connection.recv(count - len(received))
    return received


def _take(streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)


def _become(request: dict[str, Any]) -> None:
    if request["start_new_session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["directory"])
    if "PYTHONUNBUFFERED" in os.environ:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path[0] = request["directory"]
    sys.argv[1:] = request["arguments"]
    sys.modules.pop(request["module"], None)  # it is read again, as the program
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
