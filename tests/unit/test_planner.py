"""What the plan of a task decides when a run fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import forthwith
from forthwith.job import ClaimedJob
from forthwith.planner import Planner

if TYPE_CHECKING:
    from procrastinate.jobs import Job

    from forthwith.engine.plan import RetryPlan

JOB = ClaimedJob(7, 1, 2, "mail", "send", 3, 1, 0, 3, '{"to": "ada"}', None, None, None, False)


def decided(retry: Any, error: BaseException, job: ClaimedJob = JOB) -> RetryPlan | None:
    """Return what the plan of a task with that retry strategy decides."""
    app = forthwith.App("postgresql://nowhere")
    app.task(name="send", retry=retry)(print)
    planner = Planner(
        app,
        worker_name=None,
        worker_queues=None,
        additional_context=None,
        task_middleware=(),
        worker_middleware=(),
    )
    plan = planner.plan_of("send")
    assert plan is not None
    return plan.decide_retry(error, job)


class Spy(forthwith.RetryStrategy):
    """Keeps the job that it was asked about."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> Any:
        self.seen = job
        return super().get_retry_decision(exception=exception, job=job)


STRATEGIES = [
    forthwith.RetryStrategy(max_attempts=3, wait=60),
    forthwith.ExponentialBackoffStrategy(max_attempts=3, base_delay=30.0),
    Spy(max_attempts=3, wait=60),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_time_is_what_the_strategy_says(strategy: Any) -> None:
    plan = decided(strategy, ValueError())
    assert plan is not None
    if isinstance(strategy, Spy):  # a user's own says a time, the database's clock or not
        assert plan.retry_at is not None
        wait = plan.retry_at - datetime.now(tz=UTC)
        assert abs(wait - timedelta(seconds=60)) < timedelta(seconds=15)
        assert plan.retry_in_s is None
    else:
        assert (plan.retry_at, plan.retry_in_s) == (None, 60.0)
    assert (plan.priority, plan.queue, plan.lock) == (None, None, None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_is_decided_when_the_attempts_are_used_up(strategy: Any) -> None:
    assert decided(strategy, ValueError(), JOB._replace(attempts=3)) is None


def test_strategy_of_the_users_own_sees_the_whole_job() -> None:
    spy = Spy(max_attempts=3)
    assert decided(spy, ValueError()) is not None
    assert (spy.seen.id, spy.seen.queue, spy.seen.task_kwargs) == (7, "mail", {"to": "ada"})


def test_exceptions_that_are_not_listed_are_not_retried() -> None:
    strategy = forthwith.ExponentialBackoffStrategy(retry_exceptions=[KeyError])
    assert decided(strategy, ValueError()) is None
    assert decided(strategy, KeyError()) is not None
