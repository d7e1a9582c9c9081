"""Which jobs an operator means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.options import check_count, check_lock, check_name, check_schedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

TEXT_CHARACTERS_MAX = 1000
STATUSES = (
    *("todo", "ready", "scheduled", "blocked", "doing", "running"),
    *("succeeded", "failed", "cancelled", "aborted"),
)
"""`todo` is ready, scheduled or blocked; `running` is another word for `doing`."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Jobs that fit all of what is not None. `JobFilter()` means every job.

    Raises `InvalidArgument` for a value that no job can have.
    """

    status: str | None = None
    """One of `STATUSES`: a job's status, or what a todo one waits for."""
    queue: str | None = None
    task: str | None = None
    lock: str | None = None
    worker_id: int | None = None
    """The worker that has claimed it or, of a finished one, that ran it last."""
    deferred_after: datetime | None = None
    """Deferred at that time or later."""
    deferred_before: datetime | None = None
    """Deferred before that time."""
    ended_after: datetime | None = None
    """Ended at that time or later, whenever it was deferred: a live job has not ended."""
    text: str | None = None
    """What the arguments contain, as JSON text, in capitals or not."""
    error: str | None = None
    """The exception type of one of its failed attempts."""

    def __post_init__(self) -> None:
        for argument, check in _CHECKS.items():
            value = getattr(self, argument)
            if value is not None:
                check(argument, value)

    @property
    def is_empty(self) -> bool:
        """Whether it means every job."""
        return self == JobFilter()


def _check_status(argument: str, value: object) -> None:
    if not isinstance(value, str) or value not in STATUSES:
        raise InvalidArgument(argument, f"must be one of {', '.join(STATUSES)}, not {value!r}")


def _check_text(argument: str, value: object) -> None:
    check_name(argument, value, characters_max=TEXT_CHARACTERS_MAX)


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "status": _check_status,
    "queue": check_name,
    "task": check_name,
    "lock": check_lock,
    "worker_id": check_count,
    "deferred_after": check_schedule,
    "deferred_before": check_schedule,
    "ended_after": check_schedule,
    "text": _check_text,
    "error": _check_text,
}

ALL_JOBS = JobFilter()
