"""Cancelling waiting jobs, aborting running ones, and stopping a worker while jobs run."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate import job_context

import forthwith
from forthwith.errors import JobAborted
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def hang(app: forthwith.App) -> Any:
    """A task that waits until it is stopped; `hang.started` is set when it runs."""
    started = asyncio.Event()

    @app.task(name="hang", retry=True)
    async def task() -> None:
        started.set()
        await asyncio.Event().wait()

    task.started = started  # type: ignore[attr-defined]
    return task


async def test_a_waiting_job_is_cancelled(app: forthwith.App, hang: Any) -> None:
    one, two, three = await hang.batch_defer_async({}, {}, {})
    assert await app.job_manager.cancel_job_by_id_async(one) is True
    assert app.job_manager.cancel_job_by_id(two) is True
    assert await app.job_manager.cancel_job_by_id_async(three, abort=True) is True
    assert [await status(app, job_id) for job_id in (one, two, three)] == ["cancelled"] * 3
    await run_until_idle(app)
    assert not hang.started.is_set()


async def test_a_cancelled_job_can_be_deleted(app: forthwith.App, hang: Any) -> None:
    one, two = await hang.batch_defer_async({}, {})
    assert await app.job_manager.cancel_job_by_id_async(one, delete_job=True)
    assert app.job_manager.cancel_job_by_id(two, delete_job=True)
    assert await app.job_manager.list_jobs_async() == []


async def test_cancelling_what_is_over_or_not_there_changes_nothing(app: forthwith.App) -> None:
    done = await app.task(name="done")(lambda: None).defer_async()
    await run_until_idle(app)
    for abort in (False, True):
        assert await app.job_manager.cancel_job_by_id_async(done, abort=abort) is False
        assert app.job_manager.cancel_job_by_id(999, abort=abort) is False
    assert await status(app, done) == "succeeded"


async def test_cancelling_rides_in_the_callers_transaction(
    app: forthwith.App, hang: Any, database_url: str
) -> None:
    manager = app.job_manager
    job_id = await hang.defer_async()
    async with await psycopg.AsyncConnection.connect(database_url) as own:
        assert await manager.cancel_job_by_id_async(job_id, connection=own)
        assert (await manager.get_job_status_async(job_id, connection=own)).value == "cancelled"
        assert await status(app, job_id) == "todo"
        await own.rollback()
    assert await status(app, job_id) == "todo"
    with psycopg.connect(database_url) as blocking:
        assert manager.cancel_job_by_id(job_id, connection=blocking)
        assert manager.get_job_status(job_id, connection=blocking).value == "cancelled"
        assert await status(app, job_id) == "todo"
        blocking.commit()
    assert await status(app, job_id) == "cancelled"


async def test_a_running_job_is_only_aborted_on_request(
    app: forthwith.App, hang: Any, wait_until: Callable[..., Any]
) -> None:
    async with running_worker(app):
        job_id = await hang.defer_async()
        await wait_until(hang.started.is_set)
        assert await app.job_manager.cancel_job_by_id_async(job_id) is False
        assert await status(app, job_id) == "doing"
        assert await app.job_manager.cancel_job_by_id_async(job_id, abort=True) is True
        await wait_until(lambda: ended(app, job_id))
    assert await status(app, job_id) == "aborted"


async def test_abort_requests_are_found_without_notifications(
    app: forthwith.App, hang: Any, wait_until: Callable[..., Any]
) -> None:
    options = {"listen_notify": False, "abort_job_polling_interval": 0.05}
    job_id = await hang.defer_async()
    async with running_worker(app, **options):
        await wait_until(hang.started.is_set)
        assert app.job_manager.cancel_job_by_id(job_id, abort=True)
        await wait_until(lambda: ended(app, job_id))
    assert await status(app, job_id) == "aborted"


async def test_a_sync_task_learns_of_its_abort_from_the_context(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    started, reasons = threading.Event(), []

    @app.task(name="look", pass_context=True)
    def look(context: forthwith.JobContext) -> None:
        started.set()
        while not context.should_abort():
            threading.Event().wait(0.005)
        reasons.append(context.abort_reason())
        raise JobAborted("on request")

    async with running_worker(app):
        job_id = await look.defer_async()
        await wait_until(started.is_set)
        await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await wait_until(lambda: ended(app, job_id))
    assert await status(app, job_id) == "aborted"
    assert reasons == [forthwith.AbortReason.USER_REQUEST] == [job_context.AbortReason.USER_REQUEST]


@pytest.mark.parametrize(("ending", "expected"), [("return", "succeeded"), ("raise", "failed")])
async def test_an_aborted_task_may_end_in_its_own_way_and_is_never_retried(
    app: forthwith.App, wait_until: Callable[..., Any], ending: str, expected: str
) -> None:
    started = asyncio.Event()

    @app.task(name="stubborn", retry=True)
    async def stubborn() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "raise":
                raise ValueError from None

    async with running_worker(app):
        job_id = await stubborn.defer_async()
        await wait_until(started.is_set)
        await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await wait_until(lambda: ended(app, job_id))
    assert await status(app, job_id) == expected


@pytest.mark.parametrize("ending", ["swallow", "raise"])
async def test_an_abort_leaves_no_trace_in_the_next_job(
    app: forthwith.App, wait_until: Callable[..., Any], ending: str
) -> None:
    started, cancels = asyncio.Event(), []

    @app.task(name="stubborn")
    async def stubborn() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "raise":
                raise

    @app.task(name="next")
    async def look() -> None:
        runner = asyncio.current_task()
        assert runner is not None
        cancels.append(runner.cancelling())

    async with running_worker(app):
        job_id = await stubborn.defer_async()
        await wait_until(started.is_set)
        await look.defer_async()
        await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await wait_until(lambda: cancels)
    assert cancels == [0]


async def test_a_job_that_cancels_its_own_asyncio_task_harms_no_other(app: forthwith.App) -> None:
    @app.task(name="reckless")
    async def reckless() -> None:
        runner = asyncio.current_task()
        assert runner is not None
        runner.cancel()

    @app.task(name="next")
    async def next_one() -> None:
        await asyncio.sleep(0)

    await reckless.defer_async()
    job_id = await next_one.defer_async()
    await run_until_idle(app)
    assert await status(app, job_id) == "succeeded"


async def test_cancelling_the_workers_task_lets_running_jobs_finish(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    @app.task(name="slow")
    async def slow() -> None:
        started.set()
        await finish.wait()

    job_id = await slow.defer_async()
    worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
    await wait_until(started.is_set)
    worker.cancel()
    waiting = await slow.defer_async()
    assert await status(app, job_id) == "doing"
    finish.set()
    with suppress(asyncio.CancelledError):
        await worker
    assert worker.cancelled()
    assert await status(app, job_id) == "succeeded"
    assert await status(app, waiting) == "todo"


async def test_after_the_grace_period_jobs_are_aborted_and_run_again_later(
    app: forthwith.App, hang: Any, wait_until: Callable[..., Any]
) -> None:
    seen = []
    looking = threading.Event()

    @app.task(name="look", pass_context=True)
    def look(context: forthwith.JobContext) -> None:
        looking.set()
        while not context.should_abort():
            threading.Event().wait(0.005)
        seen.append(context.abort_reason())
        raise JobAborted

    ids = [await hang.defer_async(), await look.defer_async()]
    options = {"concurrency": 2, "shutdown_graceful_timeout": 0.05}
    async with running_worker(app, **options):
        await wait_until(lambda: hang.started.is_set() and looking.is_set())
    assert seen == [forthwith.AbortReason.SHUTDOWN]
    for job_id in ids:
        job = await app.job_manager.get_job_async(job_id)
        assert job is not None
        assert (job.status, job.attempts) == ("todo", 0)


async def test_a_second_cancel_aborts_running_jobs(
    app: forthwith.App, hang: Any, wait_until: Callable[..., Any]
) -> None:
    job_id = await hang.defer_async()
    worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
    await wait_until(hang.started.is_set)
    worker.cancel()
    for _ in range(10):  # the event loop's turns, in which the first one arrives
        await asyncio.sleep(0)
    assert not worker.done()
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    assert await status(app, job_id) == "todo"
    assert await app.job_manager.list_workers_async() == []


async def ended(app: forthwith.App, job_id: int) -> bool:
    return await status(app, job_id) not in ("todo", "doing")
