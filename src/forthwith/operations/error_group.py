"""What fails now, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failed attempts that have the task, the kind and the exception type in common."""

    task: str | None
    """None if the jobs are gone."""
    kind: str
    """failed, crashed, aborted or timed_out."""
    exception_type: str | None
    message: str | None
    """The first line of the last one's message."""
    count: int
    first_at: datetime
    last_at: datetime
    last_job_id: int
    is_exact: bool
    """False if there were too many to count: there are at least so many."""
