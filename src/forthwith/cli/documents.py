"""The JSON documents of what the database holds. Their keys are part of the public interface."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from forthwith.job import FailedAttempt, JobDetails, WorkerDetails
    from forthwith.operations import JobSummary

JOB_KEYS = (
    "id",
    "status",
    "queue",
    "task_name",
    "task_kwargs",
    "priority",
    "lock",
    "queueing_lock",
    "scheduled_at",
    "attempts",
    "crashes",
    "worker_id",
    "deferred_at",
    "started_at",
    "finished_at",
    "abort_requested",
)
LISTED_JOB_KEYS = (*JOB_KEYS, "state")
ATTEMPT_KEYS = ("attempt", "kind", "worker_id", "at", "exception_type", "message", "traceback")
WORKER_KEYS = (
    "id",
    "name",
    "host",
    "pid",
    "queues",
    "concurrency",
    "started_at",
    "last_seen",
    "lease_expires_at",
)


def job_document(job: JobDetails) -> dict[str, Any]:
    """Return what a program may know about a job."""
    return _picked(job, JOB_KEYS)


def listed_job_document(job: JobSummary, arguments: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a program may know about a job that the desk told of, with these arguments."""
    named = {"task_name": job.task, "task_kwargs": arguments}
    return {key: named[key] if key in named else getattr(job, key) for key in LISTED_JOB_KEYS}


def attempt_document(attempt: FailedAttempt) -> dict[str, Any]:
    """Return what a program may know about a failed attempt."""
    return _picked(attempt, ATTEMPT_KEYS)


def worker_document(worker: WorkerDetails) -> dict[str, Any]:
    """Return what a program may know about a worker. `queues` is null where it takes all."""
    return _picked(worker, WORKER_KEYS)


def plain_document(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a value that has nothing but plain ones."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _picked(value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: getattr(value, key) for key in keys}
