"""Retry strategies: Procrastinate's own, decisions, and strategies that users wrote."""

# ruff: noqa: ARG002 -- the signatures are Procrastinate's

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import procrastinate
import pytest

import forthwith
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from procrastinate.jobs import Job


class Refused(Exception):  # noqa: N818 -- an exception of a user's
    """What the tasks below raise."""


def failing(app: forthwith.App, runs: list[int], times: int, **options: Any) -> Any:
    """Return a task whose first `times` runs fail."""

    @app.task(name="failing", pass_context=True, **options)
    async def task(context: forthwith.JobContext) -> None:
        runs.append(context.job.attempts)
        if len(runs) <= times:
            raise Refused

    return task


@pytest.mark.parametrize(
    ("retry", "runs_expected", "status_expected"),
    [
        (False, 1, "failed"),
        (0, 1, "failed"),
        (2, 3, "failed"),
        (4, 5, "succeeded"),
        (True, 5, "succeeded"),
        (forthwith.RetryStrategy(max_attempts=1), 2, "failed"),
        (forthwith.RetryStrategy(retry_exceptions=[ValueError]), 1, "failed"),
        (forthwith.RetryStrategy(retry_exceptions={Refused}), 5, "succeeded"),
    ],
    ids=str,
)
async def test_a_task_is_retried_as_its_strategy_says(
    app: forthwith.App, retry: Any, runs_expected: int, status_expected: str
) -> None:
    runs: list[int] = []
    job_id = await failing(app, runs, 4, retry=retry).defer_async()
    await run_until_idle(app)
    assert runs == list(range(runs_expected))
    assert await status(app, job_id) == status_expected
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert job.attempts == runs_expected


@pytest.mark.parametrize(
    ("strategy", "attempts", "wait_s"),
    [
        (forthwith.RetryStrategy(wait=30), 0, 30),
        (forthwith.RetryStrategy(linear_wait=30), 2, 60),
        (forthwith.RetryStrategy(exponential_wait=3), 1, 9),
        (forthwith.RetryStrategy(wait=7, linear_wait=30, exponential_wait=3), 2, 7 + 60 + 27),
    ],
    ids=["wait", "linear", "exponential", "all"],
)
async def test_waits_are_computed_as_procrastinate_does(
    app: forthwith.App, strategy: Any, attempts: int, wait_s: float
) -> None:
    class FromLater(procrastinate.BaseRetryStrategy):
        """Retries at once until the attempt that is asked for, then as the strategy says."""

        def get_retry_decision(
            self, *, exception: BaseException, job: Job
        ) -> forthwith.RetryDecision | None:
            if job.attempts < attempts:
                return forthwith.RetryDecision()
            decision: forthwith.RetryDecision | None = strategy.get_retry_decision(
                exception=exception, job=job
            )
            return decision

    job_id = await failing(app, [], 100, retry=FromLater()).defer_async()
    before = datetime.datetime.now(tz=datetime.UTC)
    await run_until_idle(app)
    after = datetime.datetime.now(tz=datetime.UTC)
    wait = datetime.timedelta(seconds=wait_s)
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert job.scheduled_at is not None
    assert (job.status, job.attempts) == ("todo", attempts + 1)
    assert before + wait <= job.scheduled_at <= after + wait


async def test_a_decision_may_move_the_job(app: forthwith.App) -> None:
    class Demote(forthwith.BaseRetryStrategy):
        def get_retry_decision(
            self, *, exception: BaseException, job: Job
        ) -> forthwith.RetryDecision:
            return forthwith.RetryDecision(
                retry_in={"hours": 1}, priority=-7, queue="slow", lock="careful"
            )

    job_id = await failing(app, [], 1, retry=Demote()).defer_async()
    await run_until_idle(app)
    (job,) = await app.job_manager.list_jobs_async(id=job_id)
    assert (job.status, job.priority, job.queue, job.lock) == ("todo", -7, "slow", "careful")


async def test_a_strategy_sees_the_exception_and_the_job(app: forthwith.App) -> None:
    seen: list[Any] = []

    class Watch(procrastinate.BaseRetryStrategy):
        def get_retry_decision(self, *, exception: BaseException, job: Job) -> None:
            seen.append((type(exception), job.id, job.attempts, job.task_name, job.status))

    job_id = await failing(app, [], 1, retry=Watch()).defer_async()
    await run_until_idle(app)
    assert seen == [(Refused, job_id, 0, "failing", "doing")]


@pytest.mark.filterwarnings("ignore:`get_schedule_in` is deprecated:DeprecationWarning")
async def test_a_strategy_of_the_old_interface_works(app: forthwith.App) -> None:
    class Old(procrastinate.BaseRetryStrategy):
        def get_schedule_in(self, *, exception: BaseException, attempts: int) -> int | None:
            return 0 if attempts < 2 else None

    runs: list[int] = []
    job_id = await failing(app, runs, 9, retry=Old()).defer_async()
    await run_until_idle(app)
    assert runs == [0, 1, 2]
    assert await status(app, job_id) == "failed"


async def test_a_strategy_that_fails_fails_the_job(app: forthwith.App) -> None:
    class Broken(procrastinate.BaseRetryStrategy):
        def get_retry_decision(self, *, exception: BaseException, job: Job) -> None:
            raise ZeroDivisionError

    job_id = await failing(app, [], 1, retry=Broken()).defer_async()
    await run_until_idle(app)
    (attempt,) = await app.job_manager.list_attempts_async(job_id)
    assert attempt.exception_type == "ZeroDivisionError"
    assert await status(app, job_id) == "failed"


async def test_sync_tasks_are_retried(app: forthwith.App) -> None:
    runs = []

    @app.task(name="sync", retry=1)
    def sync() -> None:
        runs.append(1)
        raise Refused

    await sync.defer_async()
    await run_until_idle(app)
    assert len(runs) == 2


async def test_every_failed_attempt_is_kept_with_its_error(app: forthwith.App) -> None:
    job_id = await failing(app, [], 9, retry=1).defer_async()
    await run_until_idle(app)
    attempts = await app.job_manager.list_attempts_async(job_id)
    assert [(one.attempt, one.kind, one.exception_type) for one in attempts] == [
        (1, "failed", "Refused"),
        (2, "failed", "Refused"),
    ]
    assert "raise Refused" in attempts[0].traceback


async def test_a_retry_never_collides_with_a_queueing_lock(app: forthwith.App) -> None:
    deferred = []

    @app.task(name="single", queueing_lock="single", retry=1, pass_context=True)
    async def single(context: forthwith.JobContext) -> None:
        if not deferred:
            deferred.append(await single.defer_async())
            raise Refused

    first = await single.defer_async()
    await run_until_idle(app)
    assert await status(app, first) == "succeeded"
    assert await status(app, deferred[0]) == "succeeded"


async def test_a_task_that_aborts_itself_is_aborted(app: forthwith.App) -> None:
    @app.task(name="cancelled")
    async def cancelled() -> None:
        raise asyncio.CancelledError

    @app.task(name="aborted", retry=True)
    def aborted() -> None:
        raise forthwith.errors.JobAborted

    ids = [await cancelled.defer_async(), await aborted.defer_async()]
    await run_until_idle(app)
    assert [await status(app, job_id) for job_id in ids] == ["aborted", "aborted"]


async def test_a_cancellation_that_nobody_asked_for_is_retried(app: forthwith.App) -> None:
    runs = []

    @app.task(name="leaky", retry=2)
    async def leaky() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise asyncio.CancelledError

    job_id = await leaky.defer_async()
    await run_until_idle(app)
    assert len(runs) == 2
    assert await status(app, job_id) == "succeeded"
