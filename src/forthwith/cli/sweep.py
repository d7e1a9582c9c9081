"""Does something to all jobs of a filter: says what it would touch, then does it batch by batch.

A job is touched once at the most, and what one batch has done stays done: whoever interrupts a sweep is told
how far it came.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.operations import Action, ActionResult, Changes, Desk, JobFilter

BATCH = 1000
# The statuses of jobs that an action can apply to: nobody looks through a long history for the rest.
_STATUSES: dict[str, tuple[str, ...]] = {
    "retry": ("failed", "aborted", "cancelled"),
    "cancel": ("todo",),
    "abort": ("doing",),
    "reschedule": ("todo",),
    "delete": ("todo", "succeeded", "failed", "cancelled", "aborted"),
}
_FINER = {"ready": "todo", "scheduled": "todo", "blocked": "todo", "running": "doing"}


@dataclass(slots=True)
class Swept:
    """How far a sweep came."""

    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Why jobs were left alone, and how many."""
    is_complete: bool = True
    """False if it was interrupted, or stopped at its limit with jobs left."""
    interrupted: bool = False
    error: Exception | None = None
    """What ended it early; nothing of what is `done` is undone by it."""

    def add(self, result: ActionResult) -> None:
        """Count what a batch did."""
        self.done += result.done
        self.skipped.update({skipped.reason: skipped.count for skipped in result.skipped})


@dataclass(frozen=True, slots=True)
class Sweep:
    """An action on the jobs of a filter: at most `limit` of them, None for no limit."""

    action: Action
    filter: JobFilter
    changes: Changes
    limit: int | None = None

    async def run(self, desk: Desk) -> Swept:
        """Do it, until it is done or SIGINT comes: then once the batch under way is done."""
        loop = asyncio.get_running_loop()
        swept, interrupted = Swept(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, interrupted.set)
        try:
            await self._run(desk, swept, interrupted)
        except Exception as error:
            swept.error, swept.is_complete = error, False
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        return swept

    async def _run(self, desk: Desk, swept: Swept, interrupted: asyncio.Event) -> None:
        async for ids in self._batches(desk):
            if interrupted.is_set():
                swept.interrupted, swept.is_complete = True, False
                return
            room = len(ids) if self.limit is None else self.limit - swept.done
            if room > 0 and ids:
                swept.add(await desk.do(self.action, ids[:room], self.changes))
            if room < len(ids):
                swept.is_complete = False
                return

    async def _batches(self, desk: Desk) -> AsyncIterator[list[int]]:
        """Yield the jobs' ids, newest first of each status; an empty list where a look found none yet."""
        for status in statuses_of(self.action, self.filter.status):
            cursor = None
            while True:
                wanted = replace(self.filter, status=status)
                page = await desk.jobs(wanted, limit=BATCH, after=cursor)
                yield [job.id for job in page.jobs]
                cursor = page.next_cursor
                if cursor is None:
                    break


def statuses_of(action: Action, wanted: str | None) -> tuple[str, ...]:
    """Return the statuses to look through for jobs that an action applies to."""
    if wanted is None:
        return _STATUSES[action]
    return (wanted,) if _FINER.get(wanted, wanted) in _STATUSES[action] else ()
