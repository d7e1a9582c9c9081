"""A child process of the lab: a worker or a producer, as the lab sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from forthwith.bench.errors import ChildDied
from forthwith.bench.event import Event, parsed
from forthwith.bench.order import GO, ProducerOrder, WorkerOrder, as_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_S = 60.0
STOP_S = 30.0
DEAD_S = 1.0
LOG_BYTES_SHOWN = 400
_PROGRAMS = {
    WorkerOrder: "forthwith.bench.worker_main",
    ProducerOrder: "forthwith.bench.producer_main",
}


class Child:
    """A process in a process group of its own, so that Ctrl-C in a terminal does not reach it.

    Its standard input is a lifeline: the child leaves when the lab's process is gone. `watch` is told
    each event.
    """

    def __init__(
        self,
        order: WorkerOrder | ProducerOrder,
        home: Path,
        watch: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.name = order.name
        self.events: list[Event] = []
        self.count = 0
        """How many jobs it has run or deferred so far."""
        self._order = order
        self._log = home / f"{order.name}.log"
        self._watch = watch
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it has loaded its program; then it waits for `go`."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _PROGRAMS[type(self._order)],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reader = asyncio.create_task(self._read())
        self._tell(as_line(self._order))
        await self.wait_for("loaded")

    def go(self) -> None:
        """Let it begin."""
        self._tell(GO)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "it was started"
        return self._process.pid

    async def wait_for(self, name: str, deadline_s: float | None = START_S) -> Event:
        """Wait for the first event of this name. Raises `ChildDied`, and `TimeoutError`."""
        async with asyncio.timeout(deadline_s):
            while True:
                found = next((event for event in self.events if event.name == name), None)
                if found is not None:
                    return found
                self.check_alive()
                self._news.clear()
                await self._news.wait()

    def check_alive(self) -> None:
        """Raise `ChildDied` if it has ended without saying so."""
        ended = self._reader is not None and self._reader.done()
        if ended and not any(event.name == "ended" for event in self.events):
            raise ChildDied(f"{self.name} has died: {self._last_words()}")

    def terminate(self) -> None:
        """Ask it to stop."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    async def wait_end(self) -> None:
        """Wait until it has ended well. Raises `ChildDied`, and `TimeoutError` after half a minute."""
        assert self._process is not None, "it was started"
        async with asyncio.timeout(STOP_S):
            status = await self._process.wait()
            if self._reader is not None:
                await self._reader
        if status != 0:
            raise ChildDied(f"{self.name} left with {status}: {self._last_words()}")

    async def kill(self) -> None:
        """Kill it, if it still runs, and wait until it is gone."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._reader is not None:
            with suppress(TimeoutError):  # its end of the pipe is closed by now
                await asyncio.wait_for(self._reader, DEAD_S)

    def _tell(self, line: bytes) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.write(line)

    async def _read(self) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdout is not None, "it was started with a pipe"
        try:
            async for line in self._process.stdout:
                event = parsed(line)
                if event is not None:
                    self._note(event)
        finally:
            self._news.set()

    def _note(self, event: Event) -> None:
        if event.name in {"ran", "deferred"}:
            self.count = int(event.values["count"])
        self.events.append(event)
        self._watch(event)
        self._news.set()

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_bytes()[-LOG_BYTES_SHOWN:].decode(errors="replace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return "it said nothing"
