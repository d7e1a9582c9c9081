"""A worker in a process of its own, and what the lab can do to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from forthwith.verify.history import Fault, WorkerLife

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POLL_S = 0.01
OUTPUT_BYTES_MAX = 100_000


class Process(Protocol):
    """What is needed of a process: Popen has it."""

    pid: int
    returncode: int | None
    stdin: IO[bytes] | None

    def wait(self) -> int:
        """Wait until it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal, unless it has ended."""


class Launch(Protocol):
    """Starts `python -m program settings` in a session of its own, its output going to `output`.

    Its standard input is a pipe that closes when the lab's process is gone, however it dies.
    """

    def __call__(
        self, program: str, settings: str, *, environment: Mapping[str, str], output: int
    ) -> Process:
        """Start it."""


def start_python(
    program: str, settings: str, *, environment: Mapping[str, str], output: int
) -> Process:
    """Start a new Python for it."""
    return subprocess.Popen(  # noqa: S603 -- our own interpreter and module
        [sys.executable, "-m", program, settings],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """How to start a worker process."""

    url: str
    schema: str
    home: Path
    options: Mapping[str, Any]
    """Of run_worker."""
    environment: Mapping[str, str]
    program: str = "forthwith.verify.worker_main"
    """The module to run."""
    launch: Launch | None = None
    """How to start the process; None: as a new Python."""


class LabWorker:
    """A worker process, in a process group of its own."""

    def __init__(self, name: str, setup: WorkerSetup) -> None:
        """Start it."""
        self.name = name
        self.setup = setup
        self.started_s = time.monotonic()
        self._ended_s: float | None = None
        self._ended = threading.Event()
        self._asked_to_stop_s: float | None = None
        self._hurried_s: float | None = None
        self._frozen_s: float | None = None
        self._faults: list[Fault] = []
        self._log = setup.home / "logs" / f"{name}.log"
        settings = {
            "url": setup.url,
            "schema": setup.schema,
            "home": str(setup.home),
            "name": name,
            "options": dict(setup.options),
        }
        with self._log.open("ab") as output:
            self._process = (setup.launch or start_python)(
                setup.program,
                json.dumps(settings),
                environment={**os.environ, "PYTHONUNBUFFERED": "1", **setup.environment},
                output=output.fileno(),
            )
        # A worker may end by itself at any time, and the history says when.
        threading.Thread(target=self._await_end, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status (negative: the signal that ended it); None while it runs."""
        return self._process.returncode if self._ended.is_set() else None

    @property
    def life(self) -> WorkerLife:
        """What the history says of it."""
        status = self.exit_status
        return WorkerLife(
            self.name,
            self.pid,
            self.started_s,
            self._ended_s,
            status,
            self._asked_to_stop_s,
            self.setup.options.get("shutdown_graceful_timeout"),
            self._hurried_s,
            self.setup.options.get("delete_jobs", "never"),
        )

    @property
    def faults(self) -> list[Fault]:
        """The kills and freezes that were done to it; one that goes on ends now."""
        if self._frozen_s is None:
            return list(self._faults)
        return [*self._faults, Fault("freeze", self.name, self._frozen_s, time.monotonic())]

    def output(self) -> str:
        """Return the end of what it has logged and printed."""
        return self._log.read_bytes()[-OUTPUT_BYTES_MAX:].decode(errors="replace")

    def kill(self) -> None:
        """Kill the process at once (SIGKILL), and wait until it is gone."""
        if self.exit_status is None:
            now_s = time.monotonic()
            self._faults.append(Fault("kill", self.name, now_s, now_s))
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended.wait()

    def freeze(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        self._frozen_s = self._frozen_s or time.monotonic()
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)
        if self._frozen_s is not None:
            self._faults.append(Fault("freeze", self.name, self._frozen_s, time.monotonic()))
            self._frozen_s = None

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM); a second time: to hurry."""
        if self._asked_to_stop_s is None:
            self._asked_to_stop_s = time.monotonic()
        elif self._hurried_s is None:
            self._hurried_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)

    async def wait_exit(self, deadline_s: float = 30.0) -> int:
        """Wait until the process has ended; return its exit status. Raises `TimeoutError`."""
        async with asyncio.timeout(deadline_s):
            while True:
                status = self.exit_status
                if status is not None:
                    return status
                await asyncio.sleep(POLL_S)

    def _await_end(self) -> None:
        self._process.wait()
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.close()
        self._ended_s = time.monotonic()
        self._ended.set()
