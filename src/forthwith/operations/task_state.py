"""One task, as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task: who knows it, how its jobs fare. Times are those of the last hour, in seconds."""

    name: str
    is_known: bool
    """This app or a live worker can run it."""
    known_by: int
    """Live workers that say that they can."""
    waiting: int
    running: int
    ended_last_hour: int
    """Attempts that ended."""
    failed_last_hour: int
    """Of these, failed or crashed for good."""
    failure_rate: float | None
    """Attempts that did not succeed among those that ended, from 0 to 1; None if none ended."""
    run_p50_s: float | None
    run_p95_s: float | None
    wait_p50_s: float | None
    """From due to start."""
    wait_p95_s: float | None
    is_exact: bool
    """False if a count was cut off: there are at least so many."""
