"""One worker, as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that is registered, and whether it still gives signs of life."""

    id: int
    name: str
    host: str
    pid: int
    queues: list[str] | None
    """The queues that it listens to; None for all."""
    concurrency: int
    running: int | None
    """Jobs that it ran when it last renewed its lease; None where it does not say."""
    started_at: datetime
    last_seen: datetime
    lease_expires_at: datetime
    lease_left_s: float
    """Seconds until its lease expires, by the database's clock; below zero: since then."""
    is_silent: bool
    """It has missed renewals, or its lease is over. Its jobs are about to be rescued."""
    tasks_known: list[str] | None
    """The tasks that it can run; None where it does not say."""
