"""The demo's processes: none of them outlives it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
START_MAX_S = 30.0
STOP_MAX_S = 10.0
LOG_TAIL_LINES = 30


class DemoError(Exception):
    """The demo cannot go on; the message is for the person in front of it."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and the file that it writes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def failure(self, problem: str) -> DemoError:
        """Return an error that says `problem` and shows the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return DemoError("\n".join([f"{self.name} {problem}. From {self.log}:", *lines]))

    def check(self) -> None:
        """Raise `DemoError` if the process has ended."""
        if (code := self.process.poll()) is not None:
            raise self.failure(f"ended with exit code {code}")

    def kill(self) -> None:
        """Kill the process, as a machine that loses power would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the process to stop, and insist if it takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(slots=True)
class Children:
    """A context manager that stops, on the way out, whatever was started in it."""

    logs: Path
    environment: Mapping[str, str]
    running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The last first: the workers finish what they deliver while the receiver is still there.
        while self.running:
            self.running.pop().stop()

    def start(self, name: str, *command: str) -> Child:
        """Start a process.

        It gets a session of its own, so that Ctrl-C in the terminal reaches the demo alone, which
        then stops its children in order. There is no `await` between the process's start and its
        entry in the list: nothing can come between them.
        """
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # the demo's own commands
                command,
                cwd=ROOT,
                env=_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(child := Child(name, process, log))
        return child

    def start_python(self, name: str, module: str, *arguments: str) -> Child:
        """Start a module with this interpreter."""
        return self.start(name, sys.executable, "-m", module, *arguments)

    def kill(self, child: Child) -> None:
        """Kill a child and forget it."""
        self.running.remove(child)
        child.kill()

    def check(self) -> None:
        """Raise `DemoError` if any child has ended by itself."""
        for child in self.running:
            child.check()


async def wait_until_up(child: Child, url: str) -> None:
    """Wait until `url` answers 200; raise `DemoError` if the child ends or takes too long."""
    deadline = time.monotonic() + START_MAX_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while not await _answers(client, url):
            child.check()
            if time.monotonic() > deadline:
                raise child.failure(f"did not answer at {url} within {START_MAX_S:g} s")
            await asyncio.sleep(POLL_S)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False


def free_port(preferred: int) -> int:
    """Return `preferred` if nothing listens there on loopback, or else a port that is free."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("there is no free port on 127.0.0.1")


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # A proxy from the environment must not come between processes on one machine.
    return {**os.environ, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1", **ours}
