"""What a run that did not return leads to: decisions, without effects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forthwith.context import AbortReason
from forthwith.engine.execution import TimedOut
from forthwith.errors import JobAborted
from forthwith.outcome import Aborted, Failed, Outcome, Released, Retry, failure_of

if TYPE_CHECKING:
    from forthwith.engine.execution import Execution
    from forthwith.engine.plan import TaskPlan
    from forthwith.job import AttemptKind

_ABORTS = (asyncio.CancelledError, JobAborted)


def outcome_of(error: BaseException, execution: Execution, plan: TaskPlan) -> Outcome:
    """Return the outcome of a run that ended with this error."""
    job, reason = execution.job, execution.abort_reason
    if reason is AbortReason.SHUTDOWN:  # whatever it raised: it was not let finish
        return Aborted(job, failure_of(error, "aborted")) if plan.once else Released(job)
    failure = failure_of(error, _kind_of(error))
    if reason is not AbortReason.USER_REQUEST and not issubclass(type(error), JobAborted):
        try:
            retry = plan.decide_retry(error, job)
        except BaseException as broken:
            BaseException.__setattr__(broken, "__context__", error)
            return Failed(job, failure_of(broken, "failed"))
        if retry is not None:
            return Retry(job, failure, *retry)
    return Aborted(job, failure) if failure.kind == "aborted" else Failed(job, failure)


def given_up(execution: Execution) -> Outcome:
    """Return the outcome of a run that does not stop: the job runs again elsewhere, unless it must not."""
    if execution.plan is not None and execution.plan.once:
        error = JobAborted("The worker stopped, and the job did not stop in time")
        return Aborted(execution.job, failure_of(error, "aborted"))
    return Released(execution.job)


def _kind_of(error: BaseException) -> AttemptKind:
    cls = type(error)  # what its `__class__` says is the user's affair
    if issubclass(cls, _ABORTS):
        return "aborted"
    return "timed_out" if issubclass(cls, TimedOut) else "failed"
