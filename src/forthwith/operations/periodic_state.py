"""One periodic task, as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class PeriodicState:
    """A periodic task: when it runs next, and what became of the last time."""

    task: str
    periodic_id: str
    cron: str
    queue: str
    next_at: datetime | None
    """Its next tick; None for a cron expression that cannot be read."""
    last_at: datetime | None
    """The last tick that became a job; None if none is remembered."""
    last_job_id: int | None
    last_status: str | None
    """That job's status; None if it is gone."""
    paused_at: datetime | None
    seen_at: datetime
    """When a worker last said that it knows it."""
