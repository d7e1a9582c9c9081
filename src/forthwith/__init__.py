"""forthwith: durable, high-throughput background jobs on PostgreSQL, with Procrastinate's API."""

from __future__ import annotations

from importlib.metadata import version

from procrastinate.jobs import DeleteJobCondition, Job
from procrastinate.jobs import Status as JobStatus

from forthwith import errors
from forthwith.app import App
from forthwith.blueprint import Blueprint
from forthwith.context import AbortReason, JobContext
from forthwith.job import FailedAttempt, JobDetails, WorkerDetails
from forthwith.retry import (
    BaseRetryStrategy,
    ExponentialBackoffStrategy,
    RetryDecision,
    RetryStrategy,
)

__version__ = version("forthwith")

__all__ = [
    "AbortReason",
    "App",
    "BaseRetryStrategy",
    "Blueprint",
    "DeleteJobCondition",
    "ExponentialBackoffStrategy",
    "FailedAttempt",
    "Job",
    "JobContext",
    "JobDetails",
    "JobStatus",
    "RetryDecision",
    "RetryStrategy",
    "WorkerDetails",
    "errors",
]
