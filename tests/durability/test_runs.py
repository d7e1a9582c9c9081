"""Runs that end in strange ways, and a worker that must not lose itself over them."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.engine import watch
from forthwith.store.postgres import PostgresStore
from tests.store.virtual_worker import defer, new_job
from tests.support.workers import count, run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

    import forthwith

    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]


async def test_sync_task_that_raises_stop_iteration_fails(app: forthwith.App) -> None:
    @app.task
    def work() -> None:
        next(iter(()))

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert await status(app, job_id) == "failed"


async def test_swallowed_cancelling_does_not_reach_the_next_job(
    app: forthwith.App, wait_until: WaitUntil
) -> None:
    started = asyncio.Event()

    @app.task
    async def deaf() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    @app.task
    async def group() -> None:
        async def fail() -> None:
            raise ValueError("one of a group")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    first = await deaf.defer_async()
    second = await group.defer_async()
    async with running_worker(app, concurrency=1):
        await started.wait()
        assert await app.job_manager.cancel_job_by_id_async(first, abort=True)
        await wait_until(lambda: ended(app, second))
    assert await status(app, first) == "succeeded"
    assert await status(app, second) == "failed"


async def test_job_that_was_deferred_while_a_claim_came_back_empty_is_run_before_leaving(
    app: forthwith.App, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    """A worker without `wait` asks what is left while a job runs; that defers another one, and is over
    before the answer comes, which knows nothing of it."""
    asked, ids = asyncio.Event(), []

    @app.task
    async def second() -> None: ...

    @app.task
    async def first() -> None:
        await asked.wait()
        ids.append(await second.defer_async())

    claim = PostgresStore.claim

    async def slow(self: PostgresStore, *args: Any, **options: Any) -> Any:
        jobs = await claim(self, *args, **options)
        if not jobs and not asked.is_set():
            asked.set()
            await wait_until(lambda: ended(app, job_id))
        return jobs

    monkeypatch.setattr(PostgresStore, "claim", slow)
    job_id = await first.defer_async()
    await run_until_idle(app, concurrency=2)
    assert asked.is_set()
    assert await status(app, ids[0]) == "succeeded"


async def test_stream_of_notifications_does_not_keep_a_worker_from_looking(
    app: forthwith.App, database_url: str, connection: Connection, wait_until: WaitUntil
) -> None:
    """What waits in line or for its time is found by looks, and a busy worker must go on looking."""
    ran: list[str] = []

    @app.task(name="work")
    async def work(key: str = "") -> None:
        ran.append(key)
        await asyncio.sleep(0.005)

    async with running_worker(app, concurrency=5), feeding(connection, database_url):
        await wait_until(lambda: len(ran) > 200)
        locked = await work.configure(lock="L").defer_async(key="locked")
        scheduled = await work.configure(schedule_in={"milliseconds": 100}).defer_async(key="due")
        await wait_until(lambda: ended(app, locked))
        await wait_until(lambda: ended(app, scheduled))


async def test_job_that_must_not_run_twice_is_not_given_back_after_it_has_started(
    app: forthwith.App, wait_until: WaitUntil
) -> None:
    started = asyncio.Event()

    @app.task(on_crash="fail")
    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    job_id = await work.defer_async()
    async with running_worker(app, shutdown_graceful_timeout=0.01):
        await started.wait()
    assert await status(app, job_id) in ("failed", "aborted")


async def test_job_that_must_not_run_twice_and_does_not_stop_is_not_given_back(
    app: forthwith.App, wait_until: WaitUntil
) -> None:
    started, may_stop = threading.Event(), threading.Event()

    @app.task(on_crash="fail")
    def work() -> None:
        started.set()
        may_stop.wait(60)

    job_id = await work.defer_async()
    try:
        async with running_worker(app, shutdown_graceful_timeout=0.01):
            await wait_until(started.is_set)
    finally:
        may_stop.set()
    assert await status(app, job_id) == "aborted"


async def test_job_that_retries_into_another_lock_leaves_its_old_line(
    app: forthwith.App, wait_until: WaitUntil
) -> None:
    import forthwith

    ran: list[str] = []

    class Move(forthwith.BaseRetryStrategy):
        def get_retry_decision(self, **_: Any) -> forthwith.RetryDecision | None:
            return forthwith.RetryDecision(retry_in={"hours": 1}, lock="other")

    @app.task(retry=Move())
    async def fail() -> None:
        raise ValueError

    @app.task
    async def work(key: str) -> None:
        ran.append(key)

    moved = await fail.configure(lock="L").defer_async()
    next_in_line = await work.configure(lock="L").defer_async(key="next")
    of_the_other = await work.configure(lock="other").defer_async(key="other")
    await run_until_idle(app, concurrency=3)
    assert await status(app, moved) == "todo"
    assert await status(app, next_in_line) == "succeeded"
    assert await status(app, of_the_other) == "succeeded"
    assert await count(app, "todo", "doing") == 1


@asynccontextmanager
async def feeding(connection: Connection, url: str) -> AsyncIterator[None]:
    """Keep a backlog of jobs, and notify without end."""

    async def feed() -> None:
        while True:
            cursor = await connection.execute("select count(*) from forthwith.job")
            [(waiting,)] = await cursor.fetchall()
            if waiting < 2000:
                await defer(connection, *(new_job(args='{"key": ""}') for _ in range(500)))

    async def notify() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as notifying:
            while True:
                await notifying.execute("select pg_notify('forthwith_wake', 'queue:default')")

    feeders = [asyncio.create_task(feed()), asyncio.create_task(notify())]
    try:
        yield
    finally:
        for feeder in feeders:
            feeder.cancel()
        await asyncio.gather(*feeders, return_exceptions=True)


async def ended(app: forthwith.App, job_id: int) -> bool:
    """Whether a job is over."""
    return await status(app, job_id) not in ("todo", "doing")


async def test_rescuer_outlives_a_statement_that_the_database_refuses(
    app: forthwith.App,
    connection: Connection,
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG, logger="forthwith.engine.rescuer")
    monkeypatch.setattr(watch, "PATIENCE_S", 0.5)  # after the sweeps that were refused

    @app.task(name="work")
    async def work() -> None: ...

    [job_id] = await defer(connection, new_job(queue="default"))
    await connection.execute(
        "with gone as (insert into forthwith.worker (name, host, pid, concurrency, lease_expires_at)"
        " values ('gone', 'test', 1, 1, '-infinity') returning id)"
        " update forthwith.job set worker_id = gone.id, lease_token = 1 from gone"
    )
    rescue = "bigint[], timestamptz[], boolean[], integer"
    await connection.execute(f"alter function forthwith.rescue({rescue}) rename to hidden")
    async with running_worker(app):
        await wait_until(lambda: "Could not sweep" in caplog.text)
        await connection.execute(f"alter function forthwith.hidden({rescue}) rename to rescue")
        await wait_until(lambda: ended(app, job_id))
    assert await status(app, job_id) == "succeeded"
