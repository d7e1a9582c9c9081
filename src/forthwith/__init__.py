"""forthwith: durable, high-throughput background jobs on PostgreSQL, with Procrastinate's API.

Names are imported when they are first asked for, so that what needs only a few of the modules, such as
`forthwith --help`, does not wait for the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

    __version__: str

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

_HOMES = {
    "AbortReason": "forthwith.context",
    "App": "forthwith.app",
    "BaseRetryStrategy": "forthwith.retry",
    "Blueprint": "forthwith.blueprint",
    "DeleteJobCondition": "procrastinate.jobs",
    "ExponentialBackoffStrategy": "forthwith.retry",
    "FailedAttempt": "forthwith.job",
    "Job": "procrastinate.jobs",
    "JobContext": "forthwith.context",
    "JobDetails": "forthwith.job",
    "RetryDecision": "forthwith.retry",
    "RetryStrategy": "forthwith.retry",
    "WorkerDetails": "forthwith.job",
}


def __getattr__(name: str) -> Any:
    """Import a public name, once."""
    value = _find(name)
    globals()[name] = value
    return value


def _find(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    match name:
        case "JobStatus":
            return importlib.import_module("procrastinate.jobs").Status
        case "errors":
            return importlib.import_module("forthwith.errors")
        case "__version__":
            return importlib.import_module("importlib.metadata").version("forthwith")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what there is, whether it was imported already or not."""
    return sorted({*globals(), *__all__, "__version__"})
