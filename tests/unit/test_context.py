"""What a running job can ask about itself."""

from __future__ import annotations

import time
from typing import Any

import procrastinate
import procrastinate.testing
import pytest
from procrastinate.job_context import AbortReason as Stock

from forthwith.context import AbortReason, JobContext
from forthwith.errors import ForthwithError


def context_with(**fields: Any) -> JobContext:
    app = procrastinate.App(connector=procrastinate.testing.InMemoryConnector())
    job = app.configure_task("task").job
    defaults = {"app": app, "job": job, "start_timestamp": 0.0, "abort_reason": lambda: None}
    return JobContext(**{**defaults, **fields})


@pytest.mark.parametrize("name", [reason.name for reason in Stock])
def test_procrastinates_abort_reasons_are_ours(name: str) -> None:
    ours, theirs = AbortReason[name], Stock[name]
    assert ours == theirs
    assert theirs == ours
    assert len({ours, theirs}) == 1


def test_different_abort_reasons_differ() -> None:
    assert AbortReason.SHUTDOWN != Stock.USER_REQUEST
    assert AbortReason.TIMEOUT not in set(Stock)
    assert len({*AbortReason, *Stock}) == 3
    assert AbortReason.SHUTDOWN != "shutdown"


def test_a_context_says_whether_and_why_to_stop() -> None:
    assert not context_with().should_abort()
    context = context_with(abort_reason=lambda: AbortReason.TIMEOUT)
    assert context.should_abort()
    assert context.abort_reason() is AbortReason.TIMEOUT


def test_a_context_is_procrastinates_too() -> None:
    context = context_with(additional_context={"a": 1})
    assert isinstance(context, procrastinate.JobContext)
    changed = context.evolve(worker_name="w")
    assert isinstance(changed, JobContext)
    assert changed.additional_context == {"a": 1}


def test_remaining_time_counts_down_to_zero() -> None:
    assert context_with().remaining_s() is None
    remaining = context_with(deadline=time.monotonic() + 60).remaining_s()
    assert remaining is not None
    assert 0 < remaining <= 60
    assert context_with(deadline=time.monotonic() - 1).remaining_s() == 0


@pytest.mark.parametrize("call", [JobContext.transaction, lambda own: own.complete_in(object())])
def test_without_an_engine_there_is_no_transaction_and_the_error_says_why(call: Any) -> None:
    with pytest.raises(ForthwithError, match="forthwith's own worker"):
        call(context_with())
