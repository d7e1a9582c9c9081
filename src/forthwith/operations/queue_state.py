"""One queue, as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs of a queue wait, for what, and what has become of others lately."""

    name: str
    paused_at: datetime | None
    """Since when nobody claims from it; None if it is not paused."""
    ready: int
    """Jobs that a worker could claim now, suspects among them."""
    blocked: int
    """Jobs that wait behind another of their lock."""
    scheduled: int
    """Jobs whose due time lies ahead."""
    running: int
    """Jobs that a worker has claimed."""
    failed_last_hour: int
    """Attempts that failed or crashed for good within the last hour."""
    ended_per_minute: float
    """Attempts that ended, on average of the last five whole minutes."""
    oldest_waiting_at: datetime | None
    """Since when the first of the ready jobs could have been claimed; None if none is ready."""
    listeners: int
    """Live workers that listen to it."""
    is_exact: bool
    """False if a count was cut off: there are at least so many."""

    @property
    def waiting(self) -> int:
        """Jobs that nobody has claimed, due or not."""
        return self.ready + self.blocked + self.scheduled
