"""A peer's process: started, read line by line, and gone when its block is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.errors import RunError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ROOT = Path(__file__).parent.parent
GRACE_PERIOD_S = 3.0


class Child:
    """A running command of a peer; see `benchmarks.peers.protocol` for the lines it prints."""

    def __init__(self, command: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self._command = command
        self._process = process
        self._log = log

    async def expect(self, event: str, timeout_s: float) -> dict[str, Any]:
        """The next line, which must be `event`. Raises RunError if another, none, or too late."""
        try:
            line = await asyncio.wait_for(self._lines.readline(), timeout_s)
        except TimeoutError:
            raise RunError(f"{self._command}: no {event!r} within {timeout_s:.0f} s") from None
        if not line:
            raise RunError(f"{self._command}: ended before {event!r}: {self._complaint()}")
        said: dict[str, Any] = json.loads(line)
        if said["event"] != event:
            raise RunError(f"{self._command}: said {said['event']!r} instead of {event!r}")
        return said

    async def write(self, line: str) -> None:
        """Send a line to the command's standard input."""
        self._input.write(f"{line}\n".encode())
        await self._input.drain()

    async def ended(self, timeout_s: float) -> None:
        """Wait for the end. Raises RunError if it is an unhappy one."""
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            raise RunError(f"{self._command}: did not end") from None
        if self._process.returncode:
            raise RunError(f"{self._command}: {self._complaint()}")

    @property
    def pid(self) -> int:
        """The command's process, which leads a session of its own."""
        return self._process.pid

    def stop(self) -> None:
        """Ask the command to finish: SIGTERM to it alone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL to the command and all it has started; gone when this returns."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    @property
    def _lines(self) -> asyncio.StreamReader:
        return cast("asyncio.StreamReader", self._process.stdout)

    @property
    def _input(self) -> asyncio.StreamWriter:
        return cast("asyncio.StreamWriter", self._process.stdin)

    def _complaint(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


@contextlib.asynccontextmanager
async def start(command: Sequence[str], peer: str, *arguments: str) -> AsyncIterator[Child]:
    """Start a command of `peer`. It is stopped, whatever happens, when the block is left."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "stderr"
        with log.open("wb") as stderr:
            # A session of its own: Ctrl-C reaches us alone, and we stop the child in order.
            process = await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                limit=1 << 20,
            )
        try:
            yield Child(f"{peer} {arguments[0]}", process, log)
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_PERIOD_S)
