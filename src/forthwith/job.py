"""A job as the engine sees it: what a defer inserts, what a claim returns, what queries tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

Status = Literal["todo", "doing", "succeeded", "failed", "cancelled", "aborted"]
"""A job's status, in Procrastinate's words. The last four are final."""

AttemptKind = Literal["failed", "crashed", "aborted", "timed_out"]
"""How a failed attempt ended: by an exception, with its worker's death, on request, by its timeout."""


class Trace(NamedTuple):
    """Where in a trace a job was deferred, as W3C Trace Context writes it."""

    traceparent: str
    tracestate: str | None


class NewJob(NamedTuple):
    """A job on its way into the database: checked, its arguments encoded as JSON text."""

    queue: str
    task: str
    priority: int
    args: str
    lock: str | None
    queueing_lock: str | None
    scheduled_at: datetime | None
    crashes_max: int
    trace: Trace | None = None
    """Of whoever defers it, if he traces."""


class ClaimedJob(NamedTuple):
    """A job that a worker holds under its lease. The lease token is the fence of its completion."""

    id: int
    lease_token: int
    worker_id: int
    queue: str
    task: str
    priority: int
    attempts: int
    """Runs before this one: 0 on the first."""
    crashes: int
    crashes_max: int
    args: str
    """The arguments as JSON text; parsed when the job runs."""
    lock: str | None
    queueing_lock: str | None
    scheduled_at: datetime | None
    abort_requested: bool
    wait_s: float | None = None
    """How long it had waited when it was claimed: since it was deferred or, if later, due. In a large claim
    it is told of one job in twenty."""

    @property
    def is_suspect(self) -> bool:
        """Whether one more crash would be its last: a worker runs one such job at a time."""
        return 0 < self.crashes >= self.crashes_max - 1


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that is known of one job, live or finished. Times are aware; None where it has not come to that."""

    id: int
    status: Status
    queue: str
    task_name: str
    task_kwargs: dict[str, Any]
    priority: int
    lock: str | None
    queueing_lock: str | None
    scheduled_at: datetime | None
    attempts: int
    """Runs so far that ended."""
    crashes: int
    """Runs that ended with their worker's death."""
    worker_id: int | None
    deferred_at: datetime
    started_at: datetime | None
    """When it was last claimed by a worker."""
    finished_at: datetime | None
    abort_requested: bool


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One run of a job that did not succeed."""

    job_id: int
    attempt: int
    """Which run: 1 for the first."""
    kind: AttemptKind
    worker_id: int | None
    at: datetime
    exception_type: str | None
    message: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class WorkerDetails:
    """A worker process that is registered in the database."""

    id: int
    name: str
    host: str
    pid: int
    queues: list[str] | None
    """The queues it listens to; None for all."""
    concurrency: int
    started_at: datetime
    last_seen: datetime
    lease_expires_at: datetime
