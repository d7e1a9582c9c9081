"""One job among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as a line of a list. Times are aware; None where it has not come to that."""

    id: int
    status: str
    """Procrastinate's: todo, doing, succeeded, failed, cancelled or aborted."""
    state: str
    """Finer: a todo job is ready, suspect, blocked or scheduled, one that is doing is running."""
    queue: str
    task: str
    args: dict[str, Any] | None
    """The arguments; None if they take more than 4,000 bytes as JSON."""
    args_bytes: int
    priority: int
    lock: str | None
    queueing_lock: str | None
    attempts: int
    """Runs so far that ended."""
    crashes: int
    """Runs that ended with their worker's death."""
    worker_id: int | None
    deferred_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    """When a worker last claimed it."""
    finished_at: datetime | None
    abort_requested: bool


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first, as far as one call has looked."""

    jobs: list[JobSummary]
    next_cursor: str | None
    """What to pass as `after` to look further; None at the end. A page may be empty and not the last."""
    looked_back_to: datetime | None
    """Deferral of the oldest job that was looked at; None if there was none."""
    is_complete: bool
    """False if the budget of the call ended before the page was full: there may be more further back."""
