"""Tells a job's life as a list of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.operations.job_view import TimelineEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from forthwith.job import FailedAttempt
    from forthwith.operations.job_summary import JobSummary

_ENDS = {
    "failed": "failed",
    "crashed": "ended with its worker's death",
    "timed_out": "was stopped by its timeout",
    "aborted": "was aborted",
}


def timeline(
    job: JobSummary, attempts: Sequence[FailedAttempt], *, now: datetime
) -> list[TimelineEvent]:
    """Return what is known to have happened, in order, and when it will be due."""
    events = [*_beginnings(job, now), *map(_end_of, attempts)]
    # The last attempt and the end that it brought are written together, the end first.
    return [*sorted(events, key=lambda event: event.at), *_endings(job)]


def _beginnings(job: JobSummary, now: datetime) -> Iterator[TimelineEvent]:
    yield TimelineEvent(job.deferred_at, "deferred", "deferred", None, None)
    if job.scheduled_at is not None and job.scheduled_at > job.deferred_at:
        text = "due" if job.scheduled_at <= now else "will be due"
        yield TimelineEvent(job.scheduled_at, "due", text, None, None)
    if job.started_at is not None:
        run = job.attempts + 1 if job.status == "doing" else job.attempts or None
        by = f"claimed by worker {job.worker_id}" if job.worker_id is not None else "claimed"
        yield TimelineEvent(job.started_at, "claimed", by, run, job.worker_id)


def _end_of(attempt: FailedAttempt) -> TimelineEvent:
    error = f": {attempt.exception_type}" if attempt.exception_type else ""
    message = (attempt.message or "").partition("\n")[0]
    text = f"attempt {attempt.attempt} {_ENDS[attempt.kind]}{error}"
    return TimelineEvent(
        attempt.at,
        attempt.kind,
        f"{text}: {message}" if message else text,
        attempt.attempt,
        attempt.worker_id,
    )


def _endings(job: JobSummary) -> Iterator[TimelineEvent]:
    if job.finished_at is not None:
        yield TimelineEvent(
            job.finished_at, job.status, job.status, job.attempts or None, job.worker_id
        )
