"""How to run the jobs of one task: worked out once, used for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from forthwith.context import AbortReason, Completion, JobContext
    from forthwith.engine.ports import KeptResult
    from forthwith.job import ClaimedJob


_decode = json.JSONDecoder().raw_decode


def decode_arguments(text: str) -> dict[str, Any]:
    """Return the arguments of a job from their JSON, as PostgreSQL writes it.

    That has nothing around it: what `json.loads` does besides is to look for it, at twice the cost.
    """
    arguments: dict[str, Any] = _decode(text)[0]
    return arguments


class RetryPlan(NamedTuple):
    """When and how a job runs again; None leaves as it was, and now for the time.

    The time is one on the clock, or `retry_in_s` seconds from when the database records it.
    """

    retry_at: datetime | None
    retry_in_s: float | None
    priority: int | None
    queue: str | None
    lock: str | None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What the runner needs to know of a task."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    pass_context: bool
    needs_context: bool
    """The task or a middleware of it looks at the context, or what it returns is kept."""
    timeout_s: float | None
    once: bool
    """It must never run twice: its start is recorded before it runs."""
    decide_retry: Callable[[BaseException, ClaimedJob], RetryPlan | None]
    make_context: Callable[[ContextParts], JobContext]
    wrap_task: Callable[[Callable[[], Any], JobContext], Callable[[], Any]] | None
    """Nests the task's middlewares around a call of it."""
    wrap_job: Callable[[Callable[[], Any], JobContext], Callable[[], Any]] | None
    """Nests the worker's middlewares around the whole, on the event loop."""
    decode: Callable[[str], dict[str, Any]] = decode_arguments
    """Turns the arguments' JSON into the arguments."""
    keep: Callable[[Any], KeptResult] | None = None
    """Makes of what the task returned what is kept of it."""


@dataclass(frozen=True, slots=True)
class ContextParts:
    """What a job's context is made of."""

    job: ClaimedJob
    arguments: dict[str, Any]
    abort_reason: Callable[[], AbortReason | None]
    timeout_s: float | None
    deadline: float | None
    completion: Completion
    say: Callable[[float, float | None, str | None], None] | None
