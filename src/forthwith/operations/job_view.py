"""All that is known of one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith.job import FailedAttempt
    from forthwith.operations.job_summary import JobSummary


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened in a job's life, or will."""

    at: datetime
    kind: str
    """deferred, due, claimed, failed, crashed, timed_out, aborted, succeeded or cancelled."""
    text: str
    """A plain sentence."""
    attempt: int | None
    """Which run: 1 for the first."""
    worker_id: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job says that it is."""

    at: datetime
    done: float
    total: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a task returned that keeps its result."""

    value: Any
    """Plain JSON."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with its history."""

    job: JobSummary
    args: dict[str, Any]
    """All of the arguments, whatever their size."""
    crashes_max: int
    """At so many crashes it is failed."""
    attempts: list[FailedAttempt]
    """What failed, first to last, with tracebacks."""
    timeline: list[TimelineEvent]
    waits_for: list[str]
    """Why it does not run yet, in plain sentences, the decisive one first; empty if it waits for nothing."""
    behind_id: int | None
    """The job at the head of its lock's line, which has to end first; None if there is none."""
    progress: Progress | None
    result: Result | None
    traceparent: str | None
    """The W3C trace that it belongs to."""
