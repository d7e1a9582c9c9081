"""Runners at work in this process, without a database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from forthwith.engine.buffer import Buffer
from forthwith.engine.completer import Completer
from forthwith.engine.runner import Runners
from tests.unit.claimed import claimed_job
from tests.unit.test_execution import plan_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.engine.ports import JobStore

NOTHING = cast("Any", None)
RUNNERS = 20


class Work:
    """Runners, and what they did. Outcomes gather in the completer, which nobody runs."""

    def __init__(self, task: Callable[[int], Awaitable[None]]) -> None:
        self.buffer = Buffer()
        self.completer = Completer(cast("JobStore", None), on_freed=lambda: None)
        self.runners = Runners(
            buffer=self.buffer,
            completer=self.completer,
            store=NOTHING,
            progress=NOTHING,
            plan_of=lambda _name: plan_of(task),
            concurrency=RUNNERS,
            holds_lease=lambda _worker_id: True,
        )
        self.passes = 0
        self._count = asyncio.create_task(self._count_passes())
        self.runners.start()

    async def _count_passes(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.passes += 1

    def put(self, count: int) -> None:
        """Add jobs numbered from 1."""
        jobs = [claimed_job(n, args=f'{{"number": {n}}}') for n in range(1, count + 1)]
        self.buffer.put(jobs)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for it."""
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110 -- what happens in between is what is tested
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop the runners, which must not hang."""
        async with asyncio.timeout(30):
            await self.runners.finish(None)
        self._count.cancel()
