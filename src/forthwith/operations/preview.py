"""What an action would touch, and what it has touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from forthwith.operations.job_summary import JobSummary

Action = Literal["retry", "cancel", "abort", "reschedule", "delete"]
ACTIONS: tuple[Action, ...] = ("retry", "cancel", "abort", "reschedule", "delete")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Jobs that an action does not apply to."""

    count: int
    reason: str
    """A plain phrase, such as "running: abort it instead"."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do to the jobs of a filter, at the time of asking."""

    action: Action
    count: int
    """Jobs that it would be done to."""
    is_exact: bool
    """False if the jobs were too many to count in the time of a call: there are at least so many."""
    sample: list[JobSummary]
    """The newest of them."""
    skipped: list[Skipped]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action did."""

    action: Action
    done: int
    skipped: list[Skipped]
    is_complete: bool
    """False if it stopped at `expected_max`, with jobs of the filter left."""
