"""Claimed jobs that wait for a runner, best first."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forthwith.job import ClaimedJob


_priority = attrgetter("priority")


class Buffer:
    """Jobs by priority, oldest first within one; runners wait here, the claimer fills it."""

    def __init__(self) -> None:
        self._by_priority: dict[int, deque[ClaimedJob]] = {}
        self._priorities: list[int] = []  # ascending; those that have jobs
        self._idle: deque[asyncio.Future[None]] = deque()
        self._depth = 0
        self._low_mark = 0
        self._is_calling = False
        self._is_closed = False
        self.is_served = False
        """Whether a runner takes one job after the other, and just lets the loop pass: see `Turns`."""
        self.room = asyncio.Event()
        """Set when the depth falls to the low mark, or a runner has nothing to do."""

    def __len__(self) -> int:
        return self._depth

    @property
    def idle(self) -> int:
        """How many runners wait for a job."""
        return len(self._idle)

    def put(self, jobs: Iterable[ClaimedJob]) -> None:
        """Add jobs (in claim order) and wake a runner, and for what it leaves, in a moment, others."""
        for priority, group in groupby(jobs, key=_priority):
            line = self._by_priority.get(priority)
            if line is None:
                line = self._by_priority[priority] = deque()
            if not line:
                insort(self._priorities, priority)
            before = len(line)
            line.extend(group)
            self._depth += len(line) - before
        self._wake(min(1, self._depth))
        self._call_later()

    def take_nowait(self) -> ClaimedJob | None:
        """Take the best job, if there is one."""
        if not self._depth:
            return None
        priority = self._priorities[-1]
        line = self._by_priority[priority]
        job = line.popleft()
        if not line:
            self._priorities.pop()
            if len(self._by_priority) > 100:  # many different priorities: keep no empty lines
                del self._by_priority[priority]
        self._depth -= 1
        if self._depth <= self._low_mark:
            self.room.set()
        return job

    async def wait(self) -> None:
        """Wait until there may be a job. Spurious wake-ups happen: look with `take_nowait`."""
        if self._is_closed:
            return
        future = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        if self._depth:
            self._call_later()
        else:
            self.room.set()
        try:
            await future
        finally:
            if future in self._idle:
                self._idle.remove(future)

    def want_room(self, low_mark: int) -> None:
        """Clear `room`, to be set again when the depth has fallen to the low mark."""
        self._low_mark = low_mark
        self.room.clear()

    def drain(self) -> list[ClaimedJob]:
        """Take out everything."""
        jobs = []
        while (job := self.take_nowait()) is not None:
            jobs.append(job)
        return jobs

    def ids(self) -> list[int]:
        """The jobs that wait here."""
        return [job.id for line in self._by_priority.values() for job in line]

    def close(self) -> None:
        """Wake every runner that waits: from now on none does."""
        self._is_closed = True
        self._wake(len(self._idle))

    def _call_later(self) -> None:
        if self._idle and not self._is_calling:
            self._is_calling = True
            asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        """Wake runners for the jobs that are still here, unless one runner is about to take them all."""
        self._is_calling = False
        if not self.is_served:
            self._wake(self._depth)
        elif self._depth:
            self._call_later()

    def _wake(self, count: int) -> None:
        while count and self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                count -= 1
