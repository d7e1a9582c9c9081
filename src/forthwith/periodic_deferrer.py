"""Decides which ticks of periodic tasks are due, by a clock that may be set while the worker runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from procrastinate import periodic

from forthwith import upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


CLOCK_CHECK_S = 30.0
NOTE_INTERVAL_S = 3600.0


class PeriodicDeferrer(upstream.DiscreetDeferrer):
    """Procrastinate's, for wall clocks that jump.

    Set forward, the clock makes up for no more ticks than those of the last `max_delay` seconds; set
    back, it starts over from there, and the database, which remembers a day of ticks, takes none
    twice. A jump is noticed within half a minute.

    At its start and once an hour it notes in the database which periodic tasks there are, so that they can
    be seen and paused.
    """

    def __init__(
        self,
        registry: periodic.PeriodicRegistry,
        max_delay: float = periodic.MAX_DELAY,
        *,
        note: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(registry, max_delay)
        self._note = note
        self._next_note_s = 0.0

    async def defer_jobs(self, jobs_to_defer: Iterable[periodic.TaskAtTime]) -> None:
        """Defer the jobs of these ticks, each unless somebody has."""
        if self._note is not None and time.monotonic() >= self._next_note_s:
            await self._note()
            self._next_note_s = time.monotonic() + NOTE_INTERVAL_S
        await super().defer_jobs(jobs_to_defer)

    def get_previous_tasks(self, at: float) -> Iterable[periodic.TaskAtTime]:
        """Return the ticks up to `at`, in seconds since the epoch, that may not have been deferred."""
        self.last_defers = {key: tick for key, tick in self.last_defers.items() if tick <= at}
        for task, tick in super().get_previous_tasks(at):
            if at - tick <= self.max_delay:
                yield task, tick

    async def wait(self, next_tick: float) -> None:
        """Wait `next_tick` seconds, or until it is time to look at the clock again."""
        await super().wait(min(next_tick, CLOCK_CHECK_S))
