"""The tasks of the lab. Each notes in the process's tally that it ran; `number` says which job it is."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import forthwith

if TYPE_CHECKING:
    from forthwith.bench.tally import Tally

QUEUE = "bench"
OTHER_QUEUE = "bench_other"
TASK_S = 0.001
"""How long the tasks that do something take."""


class BenchTasks:
    """The tasks; what they do is told by their names."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._note = tally.note
        self._lock = threading.Lock()

    def register(self, app: forthwith.App) -> None:
        """Register them with an app."""
        app.task(name="nothing", queue=QUEUE)(self.nothing)
        app.task(name="timed", queue=QUEUE)(self.timed)
        app.task(name="fails_once", queue=QUEUE, retry=1, pass_context=True)(self.fails_once)
        app.task(name="waits", queue=QUEUE)(self.waits)
        app.task(name="sleeps", queue=QUEUE)(self.sleeps)
        app.task(name="computes", queue=QUEUE)(self.computes)

    async def nothing(self, number: int) -> None:
        """Do nothing else."""
        self._note(number)

    async def timed(self, number: int, at_s: float) -> None:
        """Note how long ago the call was that deferred the job."""
        self._tally.waits_s.append(time.monotonic() - at_s)
        self._note(number)

    async def fails_once(self, context: forthwith.JobContext, number: int) -> None:
        """Fail in the first run."""
        self._note(number)
        if context.job.attempts == 0:
            raise RuntimeError("the first run fails, as planned")

    async def waits(self, number: int) -> None:
        """Wait without holding up anybody, as for an answer from the network."""
        await asyncio.sleep(TASK_S)
        self._note(number)

    def sleeps(self, number: int) -> None:
        """Wait in a thread."""
        time.sleep(TASK_S)
        self._note_in_thread(number)

    def computes(self, number: int) -> None:
        """Keep a core busy."""
        until_s = time.thread_time() + TASK_S
        while time.thread_time() < until_s:
            pass
        self._note_in_thread(number)

    def _note_in_thread(self, number: int) -> None:
        with self._lock:
            self._note(number)


def bench_app(url: str, schema: str, tally: Tally) -> forthwith.App:
    """Return an app with the lab's tasks."""
    app = forthwith.App(url, schema=schema)
    BenchTasks(tally).register(app)
    return app
