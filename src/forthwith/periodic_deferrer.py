"""Decides which ticks of periodic tasks are due, by a clock that may be set while the worker runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith import upstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procrastinate import periodic

CLOCK_CHECK_S = 30.0


class PeriodicDeferrer(upstream.DiscreetDeferrer):
    """Procrastinate's, for wall clocks that jump.

    Set forward, the clock makes up for no more ticks than those of the last `max_delay` seconds; set
    back, it starts over from there, and the database, which remembers a day of ticks, takes none
    twice. A jump is noticed within half a minute.
    """

    def get_previous_tasks(self, at: float) -> Iterable[periodic.TaskAtTime]:
        """Return the ticks up to `at`, in seconds since the epoch, that may not have been deferred."""
        self.last_defers = {key: tick for key, tick in self.last_defers.items() if tick <= at}
        for task, tick in super().get_previous_tasks(at):
            if at - tick <= self.max_delay:
                yield task, tick

    async def wait(self, next_tick: float) -> None:
        """Wait `next_tick` seconds, or until it is time to look at the clock again."""
        await super().wait(min(next_tick, CLOCK_CHECK_S))
